#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/batch/record_schema.h"
#include "pipeline/config/node.h"
#include "pipeline/config/option_table.h"
#include "pipeline/plan/decoder.h"
#include "pipeline/plan/sink.h"
#include "pipeline/plan/source.h"
#include "pipeline/plan/table_feed.h"

namespace takt {

class PlanContext;
struct StepSpec;

/// A kind of step that a config may name. Stateless; one object of each stands in operators/catalog.cc.
class OperatorType {
  public:
    virtual ~OperatorType() = default;
    /// The key that names it in a step: "filter".
    virtual std::string_view name() const = 0;
    /// One sentence for `takt list`.
    virtual std::string_view help() const = 0;
    virtual OptionDocs docs() const = 0;
    /// Reads the step's options, checks them against its input and adds what runs to the plan. Mistakes go to the
    /// context; a step with mistakes still publishes its output where its columns are known, so that later steps are
    /// checked too.
    virtual void plan(const StepSpec& step, PlanContext& context) const = 0;
};

/// A source as its section of the config describes it.
struct SourceDraft {
    std::shared_ptr<const RecordSchema> schema;  ///< shared with the decoder
    std::function<std::shared_ptr<const Decoder>(const Layout& layout, std::uint32_t source)> make_decoder;
    std::function<Result<std::unique_ptr<Source>>()> make;
};

class SourceType {
  public:
    virtual ~SourceType() = default;
    virtual std::string_view name() const = 0;
    virtual std::string_view help() const = 0;
    virtual OptionDocs docs() const = 0;
    /// Whether what was read can be read once more after a crash.
    virtual bool can_read_again() const = 0;
    /// `options`: the connector's own mapping; `section`: the whole source, for `schema` and `format`. Nothing on
    /// mistakes.
    virtual std::optional<SourceDraft> plan(const std::string& source_name, const ConfigNode& options,
                                            const ConfigNode& section, Mistakes& mistakes) const = 0;
};

class SinkType {
  public:
    virtual ~SinkType() = default;
    virtual std::string_view name() const = 0;
    virtual std::string_view help() const = 0;
    virtual OptionDocs docs() const = 0;
    /// Whether what was accepted stays so when the daemon crashes before it has finished, and a posting that comes
    /// again is taken for the same one.
    virtual bool keeps_after_crash() const = 0;
    using Make = std::function<Result<std::unique_ptr<Sink>>()>;
    virtual std::optional<Make> plan(const std::string& sink_name, const ConfigNode& options,
                                     const std::string& pipeline, Mistakes& mistakes) const = 0;
};

/// Where the rows of a live table come from.
class TableType {
  public:
    virtual ~TableType() = default;
    virtual std::string_view name() const = 0;
    virtual std::string_view help() const = 0;
    virtual OptionDocs docs() const = 0;
    using Make = std::function<Result<std::unique_ptr<TableFeed>>()>;
    /// Nothing on mistakes.
    virtual std::optional<Make> plan(const ConfigNode& options, const TableSpec& spec, Mistakes& mistakes) const = 0;
};

/// Everything that a config may name.
struct Catalog {
    std::vector<const OperatorType*> operators;
    std::vector<const SourceType*> sources;
    std::vector<const SinkType*> sinks;
    std::vector<const TableType*> tables = {};
};

/// A path of a config: relative ones start at the folder of the file that names them.
std::string resolve_path(const ConfigNode& node, const std::string& path);

}  // namespace takt
