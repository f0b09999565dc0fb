#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pipeline/config/node.h"
#include "pipeline/config/option_table.h"
#include "pipeline/expression/expression.h"
#include "pipeline/plan/catalog.h"
#include "pipeline/plan/plan.h"
#include "pipeline/plan/tables.h"
#include "pipeline/state/calendar.h"

namespace takt {

/// A step of the config, its input resolved.
struct StepSpec {
    std::string name;  ///< also the label of its metrics
    std::string operator_name;
    const ConfigNode* node = nullptr;  ///< the mapping with its options
    Place place;                       ///< of the name
    std::vector<std::string> from;     ///< streams, all known
};

/// Options of every step that keeps state.
struct StepUid {
    std::string uid;      ///< empty: the step's name
    std::string uid_was;  ///< empty: it takes over nobody's state

    const std::string& of(const StepSpec& step) const { return uid.empty() ? step.name : uid; }

    /// Adds both to the table of options that have them by these names.
    template <typename Options>
    static void add_to(OptionTable<Options>& table) {
        std::string Options::*const uid_option = &StepUid::uid;
        std::string Options::*const uid_was_option = &StepUid::uid_was;
        table.optional("uid", uid_option, "name of its state in a state directory; default the step's name");
        table.optional("uid_was", uid_was_option, "uid that the state had in the config before: takes it over");
    }
};

/// A stream that steps can read: which rows, and which names they have.
struct Stream {
    std::size_t segment = 0;
    StreamId id = -1;
    Scope scope;
    bool after_dedup = false;
    bool has_id_hash = false;  ///< the segment's id_hash column is filled for its rows
    bool revised = false;      ///< rows of panes that come again, cumulative, when late events change them
};

/// A `calendars` entry: shift plans by key.
struct ShiftCalendar {
    struct Entry {
        std::string key;
        std::vector<Shift> shifts;
    };
    std::vector<Entry> entries;
    const Entry* find(std::string_view key) const;
};

/// What was drawn from the config for people: one line a step, with what flows where. `takt graph` renders it.
struct GraphNode {
    std::string name;
    std::string kind;    ///< "source", "filter", ..., "posting", "sink"
    std::string detail;  ///< options in one line
    std::vector<std::string> from;
    bool keyed = false;  ///< an exchange stands before it
    std::string exchange_key;
    std::size_t segment = 0;
};

/// What of a keyed step's input decides what the step keeps, by the steps before it down to the sources or the panes
/// that it reads.
enum class InputPart : std::uint8_t {
    columns,           ///< what columns mean
    columns_and_rows,  ///< and which rows there are
};

/// What a step's type works with while it is planned.
class PlanContext {
  public:
    virtual ~PlanContext() = default;

    virtual Mistakes& mistakes() = 0;
    virtual const std::string& pipeline() const = 0;
    virtual const std::string& config_hash() const = 0;
    /// The stream of that name; CHECKs that it exists (StepSpec::from holds only such).
    virtual Stream& stream(const std::string& name) = 0;
    virtual Segment& segment(std::size_t index) = 0;
    virtual OutcomeTable& outcomes() = 0;
    /// Makes a stream's rows visible under a name.
    virtual void publish(const std::string& name, Stream stream, const Place& place) = 0;

    /// A column of the segment; a hidden one ("#...") is made once and shared by name.
    virtual Slot add_column(std::size_t segment, const std::string& name, Type type) = 0;
    virtual StreamId add_stream(std::size_t segment) = 0;
    /// Where rows of a new record type begin (the panes of an aggregate): its layout starts with these fields.
    virtual std::size_t add_segment(const std::string& name, std::vector<Field> fields) = 0;

    /// Compiles against the stream's names. Mistakes are reported at their own column. Notes the columns as used.
    virtual std::optional<Program> compile(const ExpressionText& text, const Stream& stream) = 0;
    /// The same for a part of a scalar: `text` stands at `offset` of `node.scalar`.
    virtual std::optional<Program> compile_part(std::string_view text, const ConfigNode& node, std::size_t offset,
                                                const Stream& stream) = 0;
    /// A column by its exact name; reports a mistake with a did-you-mean. Notes it as used.
    virtual std::optional<Scope::Entry> column(const std::string& name, const ConfigNode& node,
                                               const Stream& stream) = 0;

    /// Null when there is none, or when it has mistakes, which are reported: then its name is among the names all the
    /// same.
    virtual std::shared_ptr<const TableHandle> table(const std::string& name) const = 0;
    virtual std::vector<std::string> table_names() const = 0;
    virtual std::shared_ptr<const ShiftCalendar> calendar(const std::string& name) const = 0;
    virtual std::vector<std::string> calendar_names() const = 0;

    /// Names of the sources by their index (Batch::source).
    virtual const std::vector<std::string>& source_names() const = 0;

    /// Numbers keyed steps in the order of the config: the order of their outputs within one instant.
    virtual std::uint32_t next_output() = 0;

    /// Takes `uid` and `uid_was` of a keyed step into its node, with the parameters of its state: `parameters`, then
    /// those that follow from its input. To be called once for each keyed step, with what its options table has read.
    virtual void identify(const StepSpec& step, const StepUid& uid, InputPart input,
                          std::vector<StepParameter> parameters, KeyedNode& node) = 0;

    virtual GraphNode& draw(const StepSpec& step, std::string kind, std::string detail) = 0;
};

/// A plan, and what people want to see of it.
struct PlannedPipeline {
    std::unique_ptr<Plan> plan;  ///< null when there are mistakes
    std::vector<GraphNode> graph;
    std::vector<std::string> notes;  ///< for `takt check`: what is worth knowing and no mistake
};

struct PlanOverrides {
    /// What the plan's table of outcomes begins with, by code: EngineState::outcomes of the state it goes on with.
    std::vector<Outcome> outcomes = {};
    /// For `takt test`: tables by name, as CSV text in place of the file.
    std::map<std::string, std::string> tables = {};
    /// Sources and sinks need not be reachable or complete: `check`, `test` and `graph` never make them.
};

/// Options of the sections that the planner reads itself, for `takt list` and the JSON Schema.
struct SectionDocs {
    OptionDocs source;
    OptionDocs source_time;
    OptionDocs sink;
    OptionDocs engine;
    OptionDocs dead_letters;
};
SectionDocs section_docs();

/// Config → plan: types resolved, expressions compiled, stateless runs fused, an exchange where the key changes.
/// Everything wrong goes to `mistakes`.
PlannedPipeline plan_pipeline(const ConfigNode& config, const Catalog& catalog, const PlanOverrides& overrides,
                              Mistakes& mistakes);

}  // namespace takt
