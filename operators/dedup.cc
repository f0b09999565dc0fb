#include "operators/dedup.h"

#include <fmt/format.h>

#include <algorithm>

#include "operators/key_columns.h"
#include "operators/pane_step.h"
#include "pipeline/base/bytes.h"
#include "pipeline/base/clock.h"
#include "pipeline/base/mutant.h"
#include "pipeline/state/dedup_table.h"

namespace takt {
namespace {

struct DedupOptions : StepUid {
    std::vector<std::string> by;
    std::vector<std::string> same;
    std::chrono::nanoseconds horizon{0};
    std::int64_t max_ids = 0;
    std::string owner = "plant_it";

    static OptionTable<DedupOptions> options() {
        using namespace std::chrono_literals;
        OptionTable<DedupOptions> table;
        table.required("by", &DedupOptions::by, "the columns that are an event's id");
        table.optional("same", &DedupOptions::same,
                       "columns that a retry repeats; the same id with other content is a dead letter ID_CONFLICT");
        table
            .required("horizon", &DedupOptions::horizon,
                      "how long an id is remembered, in event time; an event older than that is BEYOND_DEDUP_HORIZON")
            .from(1ms)
            .to(std::chrono::hours(24 * 365));
        table
            .optional("max_ids", &DedupOptions::max_ids,
                      "most ids held at once; beyond it fresh events are dead letters LIMIT; 0: no limit")
            .from(0);
        table.optional("owner", &DedupOptions::owner, "who must act on conflicts");
        StepUid::add_to(table);
        return table;
    }
};

/// The stateless half: hashes of id and content.
class HashStep final : public RowOperator {
  public:
    HashStep(std::vector<KeyColumn> by, std::vector<KeyColumn> same, Slot id_hash, Slot lane_hash, Slot content)
        : by_(std::move(by)), same_(std::move(same)), id_hash_(id_hash), lane_hash_(lane_hash), content_(content) {}

    void process(Batch& batch, std::span<const Selection* const> in, std::span<Selection* const> out,
                 Scratch&) const override {
        *out[0] = *in[0];
        Hash128* ids = batch.column(id_hash_).values<Hash128>();
        hash_ids(batch, *in[0], by_, batch.arena, ids);
        std::uint64_t* lanes = batch.column(lane_hash_).values<std::uint64_t>();
        for (const Row row : *in[0]) lanes[row] = ids[row].high;
        hash_content(batch, *in[0], same_, batch.column(content_).values<std::uint64_t>());
    }

  private:
    std::vector<KeyColumn> by_;
    std::vector<KeyColumn> same_;
    Slot id_hash_;
    Slot lane_hash_;
    Slot content_;
};

struct Spec {
    Slot id_hash = kNoSlot;
    Slot content = kNoSlot;
    Duration horizon = 0;
    std::uint64_t max_ids = 0;
    OutcomeCode duplicate = kUndecided;
    OutcomeCode conflict = kUndecided;
    OutcomeCode beyond = kUndecided;
    OutcomeCode limit = kUndecided;
};

class DedupState final : public KeyedState {
  public:
    explicit DedupState(const Spec& spec) : spec_(spec), table_(DedupTable::Options{spec.max_ids}) {}

    void process(Batch& batch, std::span<const Row> rows, Timestamp watermark) override {
        constexpr std::size_t kSlotsAhead = 16;
        constexpr std::size_t kTagsAhead = 2 * kSlotsAhead;
        const Hash128* ids = batch.column(spec_.id_hash).values<Hash128>();
        const std::uint64_t* contents = batch.column(spec_.content).values<std::uint64_t>();
        const Timestamp oldest = saturating_subtract(watermark, spec_.horizon);
        for (const Row row : rows.first(std::min(kTagsAhead, rows.size()))) table_.prefetch_tags(ids[row]);
        for (const Row row : rows.first(std::min(kSlotsAhead, rows.size()))) table_.prefetch_slot(ids[row]);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            if (i + kTagsAhead < rows.size()) table_.prefetch_tags(ids[rows[i + kTagsAhead]]);
            if (i + kSlotsAhead < rows.size()) table_.prefetch_slot(ids[rows[i + kSlotsAhead]]);
            const Row row = rows[i];
            batch.outcome[row] = judge(ids[row], contents[row], batch.event_time[row], oldest, batch.outcome[row]);
        }
    }

    void end_epoch(Timestamp, Timestamp after, std::uint64_t, LaneOutput&) override {
        oldest_ = saturating_subtract(after, spec_.horizon);
        table_.sweep(oldest_);
    }

    void save(StateGroups& groups) const override {
        for (std::uint32_t group = 0; group < kKeyGroups; ++group) {
            ByteWriter out(groups[group]);
            const std::vector<DedupTable::Entry> entries = table_.entries(group, oldest_);
            groups[group].reserve(sizeof(std::uint64_t) + entries.size() * kEntryBytes);
            out.put<std::uint64_t>(entries.size());
            for (const DedupTable::Entry& entry : entries) {
                out.put(entry.id);
                out.put(entry.content);
                out.put(entry.time);
            }
        }
    }
    bool load(std::string_view group) override {
        ByteReader in(group);
        std::vector<DedupTable::Entry> entries(in.get_count(kEntryBytes));
        for (DedupTable::Entry& entry : entries) {
            entry.id = in.get<std::uint64_t>();
            entry.content = in.get<std::uint32_t>();
            entry.time = in.get<Timestamp>();
        }
        const auto group_of = [](const DedupTable::Entry& entry) { return entry.id >> 48; };
        const bool one_group = std::all_of(entries.begin(), entries.end(), [&](const DedupTable::Entry& entry) {
            return group_of(entry) < kKeyGroups && group_of(entry) == group_of(entries.front());
        });
        if (!in.ok() || !in.at_end() || !one_group) return false;
        table_.restore(entries);
        return true;
    }

    std::uint64_t entries() const override { return table_.size(); }
    std::uint64_t size_bytes() const override { return table_.size_bytes(); }

  private:
    /// Of one id in a snapshot.
    static constexpr std::size_t kEntryBytes = sizeof(std::uint64_t) + sizeof(std::uint32_t) + sizeof(Timestamp);

    /// What the row ends as; `verdict` is what later steps have found against it, and only rows without one are
    /// remembered.
    OutcomeCode judge(const Hash128& id, std::uint64_t content, Timestamp time, Timestamp oldest, OutcomeCode verdict) {
        if (time < oldest && !mutant("forgotten_ids_are_fresh")) return spec_.beyond;
        if (mutant("dedup_expires_by_wall_clock")) oldest = system_clock().wall() - spec_.horizon;
        const bool kept = verdict == kUndecided || mutant("dedup_before_effect");
        switch (kept ? table_.admit(id, content, time, oldest) : table_.find(id, content, oldest)) {
            case DedupTable::Verdict::duplicate:
                return spec_.duplicate;
            case DedupTable::Verdict::conflict:
                return spec_.conflict;
            case DedupTable::Verdict::full:
                return spec_.limit;
            case DedupTable::Verdict::fresh:
                break;
        }
        return verdict;
    }

    Spec spec_;
    DedupTable table_;
    Timestamp oldest_ = kBeginningOfTime;  ///< of the last epoch's end: what is older is forgotten
};

class DedupOperator final : public KeyedOperator {
  public:
    explicit DedupOperator(const Spec& spec) : spec_(spec) {}
    std::unique_ptr<KeyedState> make_state() const override { return std::make_unique<DedupState>(spec_); }

  private:
    Spec spec_;
};

class DedupType final : public OperatorType {
  public:
    std::string_view name() const override { return "dedup"; }
    std::string_view help() const override {
        return "Lets each event pass once, within a horizon of event time; tells retries from conflicts.";
    }
    OptionDocs docs() const override { return DedupOptions::options().describe(); }

    void plan(const StepSpec& step, PlanContext& context) const override {
        DedupOptions options;
        const std::string what = fmt::format("step '{}' (dedup)", step.name);
        const bool read =
            DedupOptions::options().read(*step.node, what, options, context.mistakes(), {"dedup", "from"});
        Stream stream = context.stream(step.from[0]);
        Segment& segment = context.segment(stream.segment);
        if (segment.dedup) {
            context.mistakes().add(step.place, "C160",
                                   fmt::format("'{}' is a second dedup over the same rows; '{}' is the first",
                                               step.name, segment.dedup->step));
            return;
        }
        if (read) add(step, options, stream, segment, context);
        stream.after_dedup = true;
        context.publish(step.name, std::move(stream), step.place);
    }

  private:
    static void add(const StepSpec& step, const DedupOptions& options, Stream& stream, Segment& segment,
                    PlanContext& context) {
        const std::vector<KeyColumn> by = plan_key(options.by, *step.node->find("by"), stream, context);
        const ConfigNode* same_node = step.node->find("same");
        const std::vector<KeyColumn> same =
            same_node ? plan_key(options.same, *same_node, stream, context) : std::vector<KeyColumn>{};
        if (by.size() != options.by.size()) return;
        const bool is_event_id = by.size() == 1 && by[0].slot == segment.id;
        Spec spec;
        spec.id_hash = context.add_column(stream.segment, is_event_id ? "#id_hash" : "#dedup_hash", Type::decimal(0));
        if (is_event_id) segment.id_hash = spec.id_hash;
        const Slot lane_hash = context.add_column(stream.segment, "#dedup_lane", Type::of(TypeKind::uint64));
        spec.content = context.add_column(stream.segment, "#dedup_content", Type::of(TypeKind::uint64));
        spec.horizon = options.horizon.count();
        spec.max_ids = static_cast<std::uint64_t>(options.max_ids);
        spec.duplicate = context.outcomes().add({OutcomeKind::duplicate, "", "", step.name, false});
        const auto dead = [&](const char* reason) {
            return context.outcomes().add({OutcomeKind::dead_letter, reason, options.owner, step.name, false});
        };
        spec.conflict = dead("ID_CONFLICT");
        spec.beyond = dead("BEYOND_DEDUP_HORIZON");
        spec.limit = dead("LIMIT");

        const StreamId out = context.add_stream(stream.segment);
        segment.nodes.push_back({step.name,
                                 std::make_unique<HashStep>(by, same, spec.id_hash, lane_hash, spec.content),
                                 {stream.id},
                                 {out}});
        stream.id = out;
        stream.has_id_hash = is_event_id;
        segment.dedup = KeyedNode{step.name, std::make_unique<DedupOperator>(spec), out, lane_hash, -1};
        context.identify(step, options, InputPart::columns,
                         {{"key", key_definition(by) + (is_event_id ? ", the event's id" : "")},
                          {"same", key_definition(same)},
                          {"horizon", format_duration(spec.horizon)}},
                         *segment.dedup);
        GraphNode& drawn =
            context.draw(step, "dedup",
                         fmt::format("by {}, horizon {}", fmt::join(options.by, ", "), format_duration(spec.horizon)));
        drawn.keyed = true;
        drawn.exchange_key = fmt::format("{}", fmt::join(options.by, ", "));
        drawn.segment = stream.segment;
    }
};

}  // namespace

const OperatorType& dedup_type() {
    static const DedupType type;
    return type;
}

}  // namespace takt
