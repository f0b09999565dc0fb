#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "operators/accumulator.h"
#include "operators/key_columns.h"
#include "operators/pane_block.h"
#include "operators/pane_step.h"
#include "operators/window.h"
#include "pipeline/plan/pane_finder.h"
#include "pipeline/plan/planner.h"
#include "pipeline/state/pane_table.h"

namespace takt {

/// What aggregates and postings have in common once they are planned: which pane a row belongs to, and what is summed
/// up in it.
struct PaneSpec {
    std::string name;        ///< the step's
    std::uint32_t node = 0;  ///< place among the terminals of the plan: order of outputs of one time
    std::vector<std::string> sources;
    const Segment* segment = nullptr;
    std::vector<KeyColumn> by;
    WindowSpec window;
    Duration lateness = 0;
    Slot key = kNoSlot;
    Slot key_hash = kNoSlot;
    Slot start = kNoSlot;
    Slot end = kNoSlot;
    std::vector<Accumulator> functions;
    std::uint32_t block_bytes = sizeof(PaneHeader);

    /// Gives the function its place in the block; returns its index.
    std::size_t add_function(const PlannedFunction& planned);
    /// Makes a fresh (zero) block ready for the functions.
    void begin(std::byte* block) const;
    /// Adds rows[i] to blocks[i], for all i.
    void add(const Batch& batch, std::span<const Row> rows, std::span<std::byte* const> blocks) const;
    /// The panes of a row, without values; see PaneFinder.
    std::vector<PaneOfRow> panes_of(const Batch& batch, Row row) const;
};

/// Adds the value of a column to what the row brings to the pane; nothing for kNoSlot.
void add_value(const Batch& batch, Row row, const std::string& name, Slot slot, PaneOfRow& pane);

/// The open panes of one lane, which rows are added to a batch at a time.
class OpenPanes {
  public:
    /// The spec must outlive the panes.
    explicit OpenPanes(const PaneSpec& spec) : spec_(spec), panes_(spec.block_bytes, spec.lateness) {}
    ~OpenPanes() {
        panes_.for_each([](PaneTable::Pane& pane) { release_block(pane.block()); });
    }
    OpenPanes(const OpenPanes&) = delete;
    OpenPanes& operator=(const OpenPanes&) = delete;

    /// Adds each row without an outcome to the panes of its windows; `begin(row, block)` is called for the first row of
    /// a pane, before any is added to it; `added(rows, blocks)` when rows[i] were added to blocks[i].
    template <typename Begin, typename Added>
    void add(const Batch& batch, std::span<const Row> rows, Timestamp watermark, Begin&& begin, Added&& added) {
        const std::uint32_t windows = spec_.window.windows_per_event();
        for (; !rows.empty(); rows = rows.subspan(std::min(kRowsAtOnce, rows.size()))) {
            for (std::uint32_t back = 0; back < windows; ++back) {
                collect(batch, rows.first(std::min(kRowsAtOnce, rows.size())), watermark,
                        static_cast<Duration>(back) * spec_.window.every);
                panes_.upsert(wants_, found_, made_);
                for (const std::uint32_t i : made_) {
                    spec_.begin(found_[i]->block());
                    begin(rows_[i], found_[i]->block());
                }
                blocks_.resize(found_.size());
                for (std::size_t i = 0; i < found_.size(); ++i) blocks_[i] = found_[i]->block();
                spec_.add(batch, rows_, blocks_);
                added(std::span<const Row>(rows_), std::span<std::byte* const>(blocks_));
            }
        }
    }

    /// See PaneTable::advance; frees what a purged pane's block owns.
    template <typename Fire, typename Purge>
    void advance(Timestamp watermark, Fire&& fire, Purge&& purge) {
        panes_.advance(watermark, fire, [&](PaneTable::Pane& pane) {
            purge(pane);
            release_block(pane.block());
        });
    }

    /// Appends each pane to its key group, by (end, start, key); `more(block, out)` adds what else belongs to it.
    template <typename More>
    void save(StateGroups& groups, More&& more) const {
        std::array<std::vector<const PaneTable::Pane*>, kKeyGroups> sorted;
        panes_.for_each([&](const PaneTable::Pane& pane) { sorted[key_group(hash64(pane.key()))].push_back(&pane); });
        for (std::size_t group = 0; group < kKeyGroups; ++group) {
            std::sort(sorted[group].begin(), sorted[group].end(), comes_before);
            ByteWriter out(groups[group]);
            out.put<std::uint64_t>(sorted[group].size());
            for (const PaneTable::Pane* pane : sorted[group]) {
                save_pane(*pane, out);
                more(pane->block(), out);
            }
        }
    }
    /// Takes over a key group; `more(block, in)` reads what else belongs to a pane and says whether it is right.
    template <typename More>
    bool load(ByteReader& in, More&& more) {
        for (std::uint64_t left = in.get_count(sizeof(Window)); left > 0; --left) {
            PaneTable::Pane* pane = load_pane(in);
            if (pane == nullptr || !more(pane->block(), in)) return false;
        }
        return in.ok();
    }

    /// The block of each pane, in no particular order.
    template <typename Visit>
    void for_each(Visit&& visit) const {
        panes_.for_each([&](const PaneTable::Pane& pane) { visit(pane.block()); });
    }

    std::uint64_t size() const { return panes_.size(); }
    std::uint64_t size_bytes() const { return panes_.size_bytes(); }

  private:
    static constexpr std::size_t kRowsAtOnce = 128;  ///< so few that their panes stay in the first-level cache

    static bool comes_before(const PaneTable::Pane* a, const PaneTable::Pane* b);
    void save_pane(const PaneTable::Pane& pane, ByteWriter& out) const;
    /// Null: it is no pane of this step, or there twice.
    PaneTable::Pane* load_pane(ByteReader& in);
    void collect(const Batch& batch, std::span<const Row> rows, Timestamp watermark, Duration back);

    const PaneSpec& spec_;
    PaneTable panes_;
    std::vector<Row> rows_;
    std::vector<PaneTable::Want> wants_;
    std::vector<PaneTable::Pane*> found_;
    std::vector<std::uint32_t> made_;
    std::vector<std::byte*> blocks_;
};

/// Mistakes that aggregates and postings have in common: rows that did not pass the deduplication, and local windows
/// without a zone. `what` names the step in messages, `window` is its place.
void check_pane_input(const StepSpec& step, const std::string& what, const Stream& stream, const WindowSpec& window,
                      const Place& window_place, bool has_zone, PlanContext& context);

/// Adds the stateless half to the stream's segment and fills the columns, sources and place of `spec` that follow from
/// it.
/// Returns the stream that the keyed half reads.
StreamId plan_pane_step(Stream& stream, PaneStepSpec&& pane, PaneSpec& spec, PlanContext& context);

/// Adds the keyed half as a terminal of the stream's segment, and draws it. The node stays where it is until the next
/// terminal is added.
KeyedNode& plan_pane_terminal(const StepSpec& step, const char* kind, const PaneSpec& spec,
                              std::unique_ptr<KeyedOperator> op, StreamId in, std::int32_t output_segment,
                              const Stream& stream, PlanContext& context);

/// What decides which pane a row enters and how long that stays open, as StepIdentity has it.
std::vector<StepParameter> pane_parameters(const PaneSpec& spec, const ExpressionText& where,
                                           const ExpressionText& zone);

/// "sum(quantity) of decimal(2)".
std::string function_definition(const ExpressionText& text, const PlannedFunction& planned);

}  // namespace takt
