#include "operators/aggregate.h"

#include <fmt/format.h>

#include "operators/pane_step.h"
#include "operators/rules_step.h"
#include "pipeline/state/pane_table.h"

namespace takt {
namespace {

enum class Emit : std::uint8_t { cumulative, delta };

struct Options {
    ExpressionText where;
    std::vector<std::string> by;
    ConfigNode window;
    std::chrono::nanoseconds lateness{0};
    ExpressionText zone;
    NamedExpressions values;
    Emit emit = Emit::cumulative;
    std::string owner = "master_data";

    static OptionTable<Options> options() {
        using namespace std::chrono_literals;
        OptionTable<Options> table;
        table.optional("where", &Options::where, "which rows");
        table.required("by", &Options::by, "the columns that name a pane: one row for each value and window");
        table.required("window", &Options::window, "{ tumbling: 1h }, { hopping: 1h, every: 5m }, { session: 30m }, { day: local }, { week: local }, { month: local }, { shift: CALENDAR, of: COLUMN }");
        table.optional("lateness", &Options::lateness, "how long after its end a window takes late events, each time as a new revision").from(0ns);
        table.optional("zone", &Options::zone, "IANA time zone of local windows; default UTC");
        table.required("values", &Options::values, "new columns by name, each FUNCTION(EXPRESSION): count, sum, min, max, avg, first, last, distinct, integral, time_avg");
        table.optional("emit", &Options::emit, "a later revision of a pane is its whole value again, or the difference to the one before").one_of({{"cumulative", Emit::cumulative}, {"delta", Emit::delta}});
        table.optional("owner", &Options::owner, "who must act where an event has no zone or shift");
        return table;
    }
};

struct AggregateSpec {
    std::uint32_t node = 0;
    std::vector<std::string> sources;
    const Segment* segment = nullptr;
    std::vector<KeyColumn> by;
    WindowSpec window;
    Duration lateness = 0;
    Emit emit = Emit::cumulative;
    Slot key = kNoSlot;
    Slot key_hash = kNoSlot;
    Slot start = kNoSlot;
    Slot end = kNoSlot;
    std::vector<Accumulator> functions;
    std::uint32_t block_bytes = 0;
};

/// What a pane has emitted before: for deltas and revisions.
struct Emitted {
    std::uint64_t revision = 0;
    std::vector<Scalar> values;
};

Scalar key_value(const char*& from, const Type& type) {
    const auto read = [&](auto value) {
        std::memcpy(&value, from, sizeof value);
        from += sizeof value;
        return value;
    };
    switch (type.kind) {
        case TypeKind::string:
        case TypeKind::bytes: {
            const std::uint32_t size = read(std::uint32_t{});
            std::string text(from, size);
            from += size;
            return text;
        }
        case TypeKind::boolean: return read(std::uint8_t{}) != 0;
        case TypeKind::uint64: return read(std::uint64_t{});
        case TypeKind::decimal: return read(Int128{});
        default: return read(std::int64_t{});
    }
}

/// a - b for what can be subtracted; the new value for the rest.
Scalar difference(const Scalar& now, const Scalar& before) {
    if (const auto* exact = std::get_if<Int128>(&now)) {
        const auto* old = std::get_if<Int128>(&before);
        return *exact - (old ? *old : 0);
    }
    if (const auto* whole = std::get_if<std::int64_t>(&now)) {
        const auto* old = std::get_if<std::int64_t>(&before);
        return *whole - (old ? *old : 0);
    }
    if (const auto* real = std::get_if<double>(&now)) {
        const auto* old = std::get_if<double>(&before);
        return *real - (old ? *old : 0.0);
    }
    return now;
}

class AggregateState final : public KeyedState {
  public:
    explicit AggregateState(const AggregateSpec& spec) : spec_(spec), panes_(spec.block_bytes, spec.lateness) {}
    ~AggregateState() override {
        panes_.for_each([](PaneTable::Pane& pane) { release(pane); });
    }

    void process(Batch& batch, std::span<const Row> rows, Timestamp watermark) override {
        const std::uint32_t windows = spec_.window.windows_per_event();
        for (std::uint32_t back = 0; back < windows; ++back) {
            find_panes(batch, rows, watermark, static_cast<Duration>(back) * spec_.window.every);
            add_lineage(batch, *spec_.segment, rows_, blocks_);
            for (const Accumulator& function : spec_.functions) function.add(batch, rows_, blocks_);
        }
    }

    void end_epoch(Timestamp, Timestamp after, std::uint64_t, LaneOutput& output) override {
        panes_.advance(
            after, [&](PaneTable::Pane& pane) { fire(pane, output); },
            [&](PaneTable::Pane& pane) {
                emitted_.erase(reinterpret_cast<const PaneHeader*>(pane.block())->attachment);
                release(pane);
            });
    }

    std::uint64_t entries() const override { return panes_.size(); }
    std::uint64_t size_bytes() const override { return panes_.size_bytes(); }

  private:
    static void release(PaneTable::Pane& pane) {
        PaneHeader& header = *reinterpret_cast<PaneHeader*>(pane.block());
        delete header.attachment;
        header.attachment = nullptr;
    }

    void find_panes(const Batch& batch, std::span<const Row> rows, Timestamp watermark, Duration back) {
        rows_.clear();
        blocks_.clear();
        const std::string_view* keys = batch.column(spec_.key).values<std::string_view>();
        const std::uint64_t* hashes = batch.column(spec_.key_hash).values<std::uint64_t>();
        const Timestamp* starts = batch.column(spec_.start).values<Timestamp>();
        const Timestamp* ends = batch.column(spec_.end).values<Timestamp>();
        for (const Row row : rows) {
            if (batch.outcome[row] != kUndecided) continue;
            const Window window{starts[row] - back, ends[row] - back};
            if (watermark > saturating_add(window.end, spec_.lateness)) continue;  // one of several windows
            PaneTable::Pane& pane = panes_.upsert(hashes[row], keys[row], window);
            PaneHeader& header = *reinterpret_cast<PaneHeader*>(pane.block());
            if (header.events == 0) {
                header.attachment = new Attachment;
                for (const Accumulator& function : spec_.functions) function.prepare(*header.attachment);
            }
            rows_.push_back(row);
            blocks_.push_back(pane.block());
        }
    }

    void fire(PaneTable::Pane& pane, LaneOutput& output) {
        const std::byte* block = pane.block();
        Emitted& emitted = emitted_[reinterpret_cast<const PaneHeader*>(block)->attachment];
        std::vector<Scalar> values;
        for (const Accumulator& function : spec_.functions) values.push_back(function.result(block));
        ++emitted.revision;
        const Window window = pane.window();
        PaneRow row;
        row.order = {window.end, spec_.node, std::string(pane.key()), static_cast<std::uint64_t>(window.start)};
        row.event_time = window.end - 1;  // the last instant that belongs to the window
        const char* from = pane.key().data();
        for (const KeyColumn& column : spec_.by) row.values.push_back(key_value(from, column.type));
        row.values.emplace_back(window.start);
        row.values.emplace_back(window.end);
        row.values.emplace_back(static_cast<std::int64_t>(emitted.revision));
        for (std::size_t i = 0; i < values.size(); ++i) {
            const bool as_difference = spec_.emit == Emit::delta && !emitted.values.empty();
            row.values.push_back(as_difference ? difference(values[i], emitted.values[i]) : values[i]);
        }
        row.lineage = read_lineage(block, spec_.sources);
        emitted.values = std::move(values);
        output.rows.push_back(std::move(row));
    }

    const AggregateSpec& spec_;
    PaneTable panes_;
    std::unordered_map<const Attachment*, Emitted> emitted_;
    std::vector<Row> rows_;
    std::vector<std::byte*> blocks_;
};

class AggregateOperator final : public KeyedOperator {
  public:
    explicit AggregateOperator(AggregateSpec spec) : spec_(std::move(spec)) {}
    std::unique_ptr<KeyedState> make_state() const override { return std::make_unique<AggregateState>(spec_); }

  private:
    AggregateSpec spec_;
};

class AggregatePlanner {
  public:
    AggregatePlanner(const StepSpec& step, PlanContext& context)
        : step_(step), context_(context), stream_(context.stream(step.from[0])), what_(fmt::format("step '{}' (aggregate)", step.name)) {}

    void run() {
        if (!Options::options().read(*step_.node, what_, options_, context_.mistakes(), {"aggregate", "from"})) return;
        pane_.name = step_.name;
        plan_id_hash(stream_, context_);
        if (!options_.where.empty()) pane_.where = plan_condition(options_.where, fmt::format("'where' of {}", what_), stream_, context_);
        spec_.by = pane_.by = plan_key(options_.by, *step_.node->find("by"), stream_, context_);
        const auto window = read_window(&options_.window, what_, stream_, context_);
        if (!window) return;
        spec_.window = pane_.window = *window;
        spec_.lateness = pane_.lateness = options_.lateness.count();
        spec_.emit = options_.emit;
        check_combination();
        if (!options_.zone.empty()) {
            pane_.zone = plan_value(options_.zone, fmt::format("#{}.zone", step_.name), TypeKind::string, stream_, context_, pane_.arguments);
        }
        plan_functions();
        if (context_.mistakes().empty()) finish();
    }

  private:
    void check_combination() {
        const Segment& segment = context_.segment(stream_.segment);
        if (segment.dedup && !stream_.after_dedup) {
            context_.mistakes().add(step_.place, "C163", fmt::format("{} takes rows that did not pass '{}': retries would be counted twice; read a step after it", what_, segment.dedup->step));
        }
        if (stream_.revised) {
            context_.mistakes().add(step_.place, "C174", fmt::format("{} would count cumulative revisions again in full; let the aggregate before it say 'emit: delta'", what_));
        }
        if (pane_.window.needs_zone() && options_.zone.empty()) {
            context_.mistakes().add(options_.window.place, "C166", fmt::format("the local window of {} needs 'zone'", what_));
        }
        if (pane_.window.kind == WindowSpec::Kind::none) {
            context_.mistakes().add(step_.place, "C175", fmt::format("{} needs a window", what_));
        }
    }

    void plan_functions() {
        spec_.block_bytes = sizeof(PaneHeader);
        for (const KeyColumn& column : spec_.by) fields_.push_back({column.name, column.type, false});
        fields_.push_back({"window_start", Type::of(TypeKind::timestamp), false});
        fields_.push_back({"window_end", Type::of(TypeKind::timestamp), false});
        fields_.push_back({"revision", Type::of(TypeKind::int64), false});
        for (const NamedExpression& one : options_.values) {
            const auto taken = std::find_if(fields_.begin(), fields_.end(), [&](const Field& field) { return field.name == one.name; });
            if (taken != fields_.end()) {
                context_.mistakes().add(one.name_place, "C172", fmt::format("'{}' is a column already: a new one needs a new name", one.name));
                continue;
            }
            const auto planned = plan_function(one.expression, fmt::format("#{}.{}", step_.name, one.name), stream_, context_, pane_.arguments);
            if (!planned) continue;
            spec_.functions.emplace_back(planned->function, planned->argument, planned->argument_type, spec_.block_bytes, static_cast<std::uint32_t>(spec_.functions.size()));
            spec_.block_bytes += Accumulator::size_bytes(planned->function);
            fields_.push_back({one.name, planned->result, false});
        }
    }

    void finish() {
        Segment& segment = context_.segment(stream_.segment);
        plan_pane_columns(stream_, context_, pane_);
        pane_.no_window = context_.outcomes().add({OutcomeKind::dead_letter, "MISSING_MASTER_DATA", options_.owner, step_.name, stream_.after_dedup});
        pane_.on_error = expression_outcome(step_, stream_, context_);
        spec_.sources = context_.source_names();
        spec_.segment = &segment;
        spec_.key = pane_.key;
        spec_.key_hash = pane_.key_hash;
        spec_.start = pane_.start;
        spec_.end = pane_.end;
        spec_.node = context_.next_output();
        const StreamId out = context_.add_stream(stream_.segment);
        const std::string detail = fmt::format("by {}, window {}, lateness {}", fmt::join(options_.by, ", "), spec_.window.text(), format_duration(spec_.lateness));
        segment.nodes.push_back({step_.name, make_pane_step(std::move(pane_)), {stream_.id}, {out}});

        Stream panes;
        panes.segment = context_.add_segment(step_.name, fields_);
        Segment& next = context_.segment(panes.segment);
        for (std::size_t i = 0; i < fields_.size(); ++i) panes.scope.add(fields_[i].name, fields_[i].type, static_cast<Slot>(i));
        next.id_hash = context_.add_column(panes.segment, "#id_hash", Type::decimal(0));
        next.events = context_.add_column(panes.segment, "#events", Type::of(TypeKind::uint64));
        next.first_sequence = context_.add_column(panes.segment, "#first_sequence", Type::of(TypeKind::uint64));
        next.last_sequence = context_.add_column(panes.segment, "#last_sequence", Type::of(TypeKind::uint64));
        panes.id = context_.add_stream(panes.segment);
        panes.has_id_hash = true;
        panes.revised = options_.emit == Emit::cumulative && spec_.lateness > 0;

        KeyedNode node;
        node.step = step_.name;
        node.in = out;
        node.key_hash = spec_.key_hash;
        node.output_segment = static_cast<std::int32_t>(panes.segment);
        node.op = std::make_unique<AggregateOperator>(std::move(spec_));
        segment.terminals.push_back(std::move(node));
        GraphNode& drawn = context_.draw(step_, "aggregate", detail);
        drawn.keyed = true;
        drawn.exchange_key = fmt::format("{}", fmt::join(options_.by, ", "));
        drawn.segment = stream_.segment;
        context_.publish(step_.name, std::move(panes), step_.place);
    }

    const StepSpec& step_;
    PlanContext& context_;
    Stream stream_;
    std::string what_;
    Options options_;
    PaneStepSpec pane_;
    AggregateSpec spec_;
    std::vector<Field> fields_;
};

class AggregateType final : public OperatorType {
  public:
    std::string_view name() const override { return "aggregate"; }
    std::string_view help() const override { return "Sums up the rows of windows of event time; late events make new revisions."; }
    OptionDocs docs() const override { return Options::options().describe(); }
    void plan(const StepSpec& step, PlanContext& context) const override { AggregatePlanner(step, context).run(); }
};

}  // namespace

const OperatorType& aggregate_type() {
    static const AggregateType type;
    return type;
}

}  // namespace takt
