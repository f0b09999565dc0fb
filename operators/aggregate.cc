#include "operators/aggregate.h"

#include <fmt/format.h>

#include <array>
#include <type_traits>

#include "operators/open_panes.h"
#include "operators/rules_step.h"
#include "operators/session_table.h"
#include "operators/value_book.h"
#include "pipeline/base/mutant.h"

namespace takt {
namespace {

enum class Emit : std::uint8_t { cumulative, delta };

struct AggregateOptions : StepUid {
    ExpressionText where;
    std::vector<std::string> by;
    ConfigNode window;
    std::chrono::nanoseconds lateness{0};
    ExpressionText zone;
    NamedExpressions values;
    Emit emit = Emit::delta;
    std::string owner = "master_data";

    static OptionTable<AggregateOptions> options() {
        using namespace std::chrono_literals;
        OptionTable<AggregateOptions> table;
        table.optional("where", &AggregateOptions::where, "which rows");
        table.required("by", &AggregateOptions::by, "the columns that name a pane: one row for each value and window");
        table.required("window", &AggregateOptions::window,
                       "{ tumbling: 1h }, { hopping: 1h, every: 5m }, { session: 30m }, { day: local }, { week: local "
                       "}, { month: local }, { shift: CALENDAR, of: COLUMN }");
        table
            .optional("lateness", &AggregateOptions::lateness,
                      "how long after its end a window takes late events, each time as a new revision")
            .from(0ns);
        table.optional("zone", &AggregateOptions::zone, "IANA time zone of local windows; default UTC");
        table.required("values", &AggregateOptions::values,
                       "new columns by name, each FUNCTION(EXPRESSION): count, sum, min, max, avg, first, last, "
                       "distinct, integral, time_avg");
        table
            .optional("emit", &AggregateOptions::emit,
                      "a later revision of a pane is the difference to the one before (of extremes and edges: the new "
                      "value), or its whole value again")
            .one_of({{"cumulative", Emit::cumulative}, {"delta", Emit::delta}});
        table.optional("owner", &AggregateOptions::owner, "who must act where an event has no zone or shift");
        StepUid::add_to(table);
        return table;
    }
};

struct AggregateSpec : PaneSpec {
    Emit emit = Emit::delta;
    std::vector<std::string> value_names;  ///< by function
    std::vector<Slot> arguments;           ///< by function
    std::vector<std::size_t> booked;       ///< functions whose results add up: the numbers of the ValueBook

    std::vector<ValueBook::Number> booked_numbers() const {
        std::vector<ValueBook::Number> numbers;
        for (const std::size_t function : booked) {
            const int scale = functions[function].type().scale;
            numbers.push_back({value_names[function], scale, scale, false, true});
        }
        return numbers;
    }
};

/// What a pane has emitted before: for deltas and revisions.
struct Emitted {
    std::uint64_t revision = 0;
    std::vector<Scalar> values;
    std::uint64_t events = 0;
    Hash128 ids;
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
        case TypeKind::boolean:
            return read(std::uint8_t{}) != 0;
        case TypeKind::uint64:
            return read(std::uint64_t{});
        case TypeKind::decimal:
            return read(Int128{});
        default:
            return read(std::int64_t{});
    }
}

/// now - before. Both come from one function whose results are sums or means; nothing counts as 0.
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

/// now + more, as `difference` would take them apart again.
Scalar total(const Scalar& now, const Scalar& more) {
    if (const auto* exact = std::get_if<Int128>(&now)) {
        const auto* other = std::get_if<Int128>(&more);
        return *exact + (other ? *other : 0);
    }
    if (const auto* whole = std::get_if<std::int64_t>(&now)) {
        const auto* other = std::get_if<std::int64_t>(&more);
        return *whole + (other ? *other : 0);
    }
    if (const auto* real = std::get_if<double>(&now)) {
        const auto* other = std::get_if<double>(&more);
        return *real + (other ? *other : 0.0);
    }
    return std::holds_alternative<std::monostate>(now) ? more : now;
}

/// The units of a result that adds up; nothing counts as 0.
Int128 exact_units(const Scalar& value) {
    if (const auto* exact = std::get_if<Int128>(&value)) return *exact;
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return *whole;
    return 0;
}

/// Whether `emit: delta` says how the result changed; an extreme or an edge has no meaningful difference and is told as
/// it stands.
bool has_difference(Function function) {
    return function != Function::minimum && function != Function::maximum && function != Function::first &&
           function != Function::last;
}

/// The multiset of what is in `all` and not in `part`.
Hash128 without(const Hash128& all, const Hash128& part) {
    return {all.low - part.low, all.high - part.high - (all.low < part.low ? 1 : 0)};
}

void save_scalar(const Scalar& value, ByteWriter& out) {
    out.put(static_cast<std::uint8_t>(value.index()));
    std::visit(
        [&](const auto& held) {
            using Held = std::decay_t<decltype(held)>;
            if constexpr (std::is_same_v<Held, std::string>) {
                out.put_text(held);
            } else if constexpr (!std::is_same_v<Held, std::monostate>) {
                out.put(held);
            }
        },
        value);
}

template <std::size_t index = 0>
bool load_scalar_as(std::size_t wanted, Scalar& value, ByteReader& in) {
    if constexpr (index == std::variant_size_v<Scalar>) {
        return false;
    } else {
        if (wanted != index) return load_scalar_as<index + 1>(wanted, value, in);
        using Held = std::variant_alternative_t<index, Scalar>;
        if constexpr (std::is_same_v<Held, std::string>) {
            value = std::string(in.get_text());
        } else if constexpr (!std::is_same_v<Held, std::monostate>) {
            value = in.get<Held>();
        }
        return in.ok();
    }
}

bool load_scalar(Scalar& value, ByteReader& in) {
    return load_scalar_as(in.get<std::uint8_t>(), value, in);
}

/// What panes and sessions have in common.
class AggregateBase : public KeyedState {
  protected:
    explicit AggregateBase(const AggregateSpec& spec) : spec_(spec), book_(spec.name, spec.booked_numbers()) {
        const std::vector<std::string_view> no_units(spec.booked.size());
        (void)book_.place(no_units);
    }

    void contribute(const Batch& batch, std::span<const Row> rows) {
        for (std::size_t i = 0; i < spec_.booked.size(); ++i)
            book_.contribute(0, i, spec_.functions[spec_.booked[i]].contribution(batch, rows));
    }
    /// What a pane holds of a booked number beyond what it has sent on.
    Int128 untold(const std::byte* block, std::size_t number) const {
        const std::size_t function = spec_.booked[number];
        const auto emitted = emitted_.find(block);
        const bool told = emitted != emitted_.end() && !emitted->second.values.empty();
        return wrapping_subtract(spec_.functions[function].exact_result(block),
                                 told ? exact_units(emitted->second.values[function]) : 0);
    }
    void add_untold(const std::byte* block, ValueBook::Open& open) const {
        for (std::size_t i = 0; i < spec_.booked.size(); ++i) open.add(0, i, untold(block, i));
    }

    /// The block itself stays with its table.
    void forget_emitted(const std::byte* block) { emitted_.erase(block); }
    std::uint64_t emitted() const { return emitted_.size(); }

    /// Adds `from` to `into` with what both have emitted, and frees what `from` holds.
    void merge(std::byte* into, std::byte* from) {
        merge_lineage(into, from);
        for (const Accumulator& function : spec_.functions) function.merge(into, from);
        const auto absorbed = emitted_.find(from);
        if (absorbed != emitted_.end()) {
            const Emitted other = std::move(absorbed->second);
            emitted_.erase(absorbed);
            add_emitted(emitted_[into], other);
        }
        release_block(from);
    }

    void emit(std::string_view key, const Window& window, const std::byte* block, LaneOutput& output) {
        for (std::size_t i = 0; i < spec_.booked.size(); ++i) book_.settle(0, i, untold(block, i), 0);
        Emitted& emitted = emitted_[block];
        std::vector<Scalar> values;
        for (const Accumulator& function : spec_.functions) values.push_back(function.result(block));
        ++emitted.revision;
        PaneRow row;
        row.order = {window.end, spec_.node, std::string(key), static_cast<std::uint64_t>(window.start)};
        row.event_time = window.end - 1;  // the last instant that belongs to the window
        const char* from = key.data();
        for (const KeyColumn& column : spec_.by) row.values.push_back(key_value(from, column.type));
        row.values.emplace_back(window.start);
        row.values.emplace_back(window.end);
        row.values.emplace_back(static_cast<std::int64_t>(emitted.revision));
        for (std::size_t i = 0; i < values.size(); ++i) {
            const bool as_difference =
                spec_.emit == Emit::delta && !emitted.values.empty() && has_difference(spec_.functions[i].function());
            row.values.push_back(as_difference ? difference(values[i], emitted.values[i]) : values[i]);
        }
        row.lineage = read_lineage(block, spec_.sources);
        const std::uint64_t events = row.lineage.events;
        const Hash128 ids = row.lineage.ids;
        if (spec_.emit == Emit::delta) {
            // What sums up deltas counts each event once; the ranges stay those of the whole pane.
            row.lineage.events -= emitted.events;
            row.lineage.ids = without(ids, emitted.ids);
        }
        emitted.events = events;
        emitted.ids = ids;
        emitted.values = std::move(values);
        output.rows.push_back(std::move(row));
    }

    void save_emitted(const std::byte* block, ByteWriter& out) const {
        const auto found = emitted_.find(block);
        out.put<std::uint8_t>(found != emitted_.end() ? 1 : 0);
        if (found == emitted_.end()) return;
        out.put(found->second.revision);
        out.put(found->second.events);
        out.put(found->second.ids.low);
        out.put(found->second.ids.high);
        for (const Scalar& value : found->second.values) save_scalar(value, out);
    }
    bool load_emitted(const std::byte* block, ByteReader& in) {
        if (in.get<std::uint8_t>() == 0) return in.ok();
        Emitted& emitted = emitted_[block];
        emitted.revision = in.get<std::uint64_t>();
        emitted.events = in.get<std::uint64_t>();
        emitted.ids.low = in.get<std::uint64_t>();
        emitted.ids.high = in.get<std::uint64_t>();
        emitted.values.resize(spec_.functions.size());
        for (Scalar& value : emitted.values) {
            if (!load_scalar(value, in)) return false;
        }
        return in.ok();
    }

    const AggregateSpec& spec_;
    ValueBook book_;

  private:
    void add_emitted(Emitted& into, const Emitted& from) const {
        into.revision = std::max(into.revision, from.revision);
        into.events += from.events;
        into.ids += from.ids;
        if (into.values.empty()) {
            into.values = from.values;
            return;
        }
        for (std::size_t i = 0; i < from.values.size(); ++i) into.values[i] = total(into.values[i], from.values[i]);
    }

    std::unordered_map<const std::byte*, Emitted> emitted_;  ///< by block
};

class AggregateState final : public AggregateBase {
  public:
    explicit AggregateState(const AggregateSpec& spec) : AggregateBase(spec), panes_(spec) {}

    void process(Batch& batch, std::span<const Row> rows, Timestamp watermark) override {
        panes_.add(
            batch, rows, watermark, [](Row, std::byte*) {},
            [&](std::span<const Row> added, std::span<std::byte* const>) { contribute(batch, added); });
    }

    void end_epoch(Timestamp, Timestamp after, std::uint64_t, LaneOutput& output) override {
        panes_.advance(
            after, [&](PaneTable::Pane& pane) { emit(pane.key(), pane.window(), pane.block(), output); },
            [&](PaneTable::Pane& pane) { forget_emitted(pane.block()); });
        book_.report(output.values);
    }

    void add_open(std::vector<ValueSum>& open) const override {
        ValueBook::Open sums(book_);
        panes_.for_each([&](const std::byte* block) { add_untold(block, sums); });
        sums.report(open);
    }

    void save(StateGroups& groups) const override {
        panes_.save(groups, [&](const std::byte* block, ByteWriter& out) { save_emitted(block, out); });
    }
    bool load(std::string_view group) override {
        ByteReader in(group);
        return panes_.load(in, [&](std::byte* block, ByteReader& more) { return load_emitted(block, more); }) &&
               in.at_end();
    }

    std::uint64_t told() const override { return emitted(); }
    std::uint64_t entries() const override { return panes_.size(); }
    std::uint64_t size_bytes() const override { return panes_.size_bytes(); }

  private:
    OpenPanes panes_;
};

class SessionState final : public AggregateBase {
  public:
    explicit SessionState(const AggregateSpec& spec)
        : AggregateBase(spec), sessions_(spec.block_bytes, spec.lateness) {}
    ~SessionState() override {
        sessions_.for_each([](SessionTable::Session& session) { release_block(session.block.get()); });
    }

    void process(Batch& batch, std::span<const Row> rows, Timestamp) override {
        const std::string_view* keys = batch.column(spec_.key).values<std::string_view>();
        const Timestamp* starts = batch.column(spec_.start).values<Timestamp>();
        const Timestamp* ends = batch.column(spec_.end).values<Timestamp>();
        for (const Row row : rows) {
            if (batch.outcome[row] != kUndecided) continue;
            SessionTable::Session& session =
                sessions_.upsert(keys[row], Window{starts[row], ends[row]},
                                 [&](SessionTable::Session& into, SessionTable::Session& from) {
                                     merge(into.block.get(), from.block.get());
                                 });
            std::byte* const block = session.block.get();
            if (pane_header(block).events == 0) spec_.begin(block);
            // One by one: the next row may join this session to another.
            spec_.add(batch, std::span(&row, 1), std::span(&block, 1));
            contribute(batch, std::span(&row, 1));
        }
    }

    void end_epoch(Timestamp, Timestamp after, std::uint64_t, LaneOutput& output) override {
        sessions_.advance(
            after,
            [&](SessionTable::Session& session) { emit(session.key, session.window, session.block.get(), output); },
            [&](SessionTable::Session& session) {
                forget_emitted(session.block.get());
                release_block(session.block.get());
            });
        book_.report(output.values);
    }

    void add_open(std::vector<ValueSum>& open) const override {
        ValueBook::Open sums(book_);
        sessions_.for_each([&](const SessionTable::Session& session) { add_untold(session.block.get(), sums); });
        sums.report(open);
    }

    void save(StateGroups& groups) const override {
        std::array<std::uint64_t, kKeyGroups> counts{};
        const auto group_of = [](const SessionTable::Session& session) { return key_group(hash64(session.key)); };
        const auto lost = [](const SessionTable::Session& session) {
            return session.changed && mutant("lost_open_session");
        };
        sessions_.for_each(
            [&](const SessionTable::Session& session) { counts[group_of(session)] += lost(session) ? 0 : 1; });
        for (std::size_t group = 0; group < kKeyGroups; ++group) ByteWriter(groups[group]).put(counts[group]);
        // By key and start.
        sessions_.for_each([&](const SessionTable::Session& session) {
            if (lost(session)) return;
            ByteWriter out(groups[group_of(session)]);
            out.put(session.window.start);
            out.put(session.window.end);
            out.put_text(session.key);
            out.put<std::uint8_t>(session.changed ? 1 : 0);
            save_block(session.block.get(), spec_.block_bytes, out);
            save_emitted(session.block.get(), out);
        });
    }
    bool load(std::string_view group) override {
        ByteReader in(group);
        for (std::uint64_t left = in.get_count(sizeof(Window)); left > 0; --left) {
            Window window;
            window.start = in.get<Timestamp>();
            window.end = in.get<Timestamp>();
            const std::string_view key = in.get_text();
            const bool changed = in.get<std::uint8_t>() != 0;
            if (!in.ok()) return false;
            SessionTable::Session* session = sessions_.restore(key, window, changed);
            if (session == nullptr || !load_block(session->block.get(), spec_.block_bytes, in) ||
                !load_emitted(session->block.get(), in))
                return false;
        }
        return in.ok() && in.at_end();
    }

    std::uint64_t told() const override { return emitted(); }
    std::uint64_t entries() const override { return sessions_.size(); }
    std::uint64_t size_bytes() const override { return sessions_.size_bytes(); }

  private:
    SessionTable sessions_;
};

class AggregateOperator final : public KeyedOperator, public PaneFinder {
  public:
    explicit AggregateOperator(AggregateSpec spec) : spec_(std::move(spec)) {}
    std::unique_ptr<KeyedState> make_state() const override {
        if (spec_.window.kind == WindowSpec::Kind::session) return std::make_unique<SessionState>(spec_);
        return std::make_unique<AggregateState>(spec_);
    }

    std::vector<PaneOfRow> panes_of(const Batch& batch, Row row) const override {
        std::vector<PaneOfRow> panes = spec_.panes_of(batch, row);
        for (PaneOfRow& pane : panes) {
            for (std::size_t i = 0; i < spec_.arguments.size(); ++i)
                add_value(batch, row, spec_.value_names[i], spec_.arguments[i], pane);
        }
        return panes;
    }
    std::string posting_key(const PaneOfRow&, std::uint32_t) const override { return {}; }

  private:
    AggregateSpec spec_;
};

class AggregatePlanner {
  public:
    AggregatePlanner(const StepSpec& step, PlanContext& context)
        : step_(step),
          context_(context),
          stream_(context.stream(step.from[0])),
          what_(fmt::format("step '{}' (aggregate)", step.name)) {}

    void run() {
        if (!AggregateOptions::options().read(*step_.node, what_, options_, context_.mistakes(), {"aggregate", "from"}))
            return;
        pane_.name = step_.name;
        plan_id_hash(stream_, context_);
        if (!options_.where.empty())
            pane_.where = plan_condition(options_.where, fmt::format("'where' of {}", what_), stream_, context_);
        pane_.by = plan_key(options_.by, *step_.node->find("by"), stream_, context_);
        const auto window = read_window(&options_.window, what_, stream_, context_);
        if (!window) return;
        pane_.window = *window;
        pane_.lateness = options_.lateness.count();
        spec_.emit = options_.emit;
        check_combination();
        if (!options_.zone.empty()) {
            pane_.zone = plan_value(options_.zone, fmt::format("#{}.zone", step_.name), TypeKind::string, stream_,
                                    context_, pane_.arguments);
        }
        plan_functions();
        if (context_.mistakes().empty()) finish();
    }

  private:
    void check_combination() {
        check_pane_input(step_, what_, stream_, pane_.window, options_.window.place, !options_.zone.empty(), context_);
        if (stream_.revised) {
            context_.mistakes().add(step_.place, "C174",
                                    fmt::format("{} would count cumulative revisions again in full; leave out 'emit: "
                                                "cumulative' of the aggregate before it",
                                                what_));
        }
        if (pane_.window.kind == WindowSpec::Kind::none) {
            context_.mistakes().add(step_.place, "C175", fmt::format("{} needs a window", what_));
        }
    }

    void plan_functions() {
        const ConfigNode& by = *step_.node->find("by");
        for (std::size_t i = 0; i < pane_.by.size(); ++i) {
            const KeyColumn& column = pane_.by[i];
            add_field(column.name, column.type, by.is_sequence() && i < by.items.size() ? by.items[i].place : by.place);
        }
        fields_.insert(fields_.end(), own_fields().begin(), own_fields().end());
        for (const NamedExpression& one : options_.values) {
            const auto planned = plan_function(one.expression, fmt::format("#{}.{}", step_.name, one.name), stream_,
                                               context_, pane_.arguments);
            if (!planned) continue;
            if (!add_field(one.name, planned->result, one.name_place)) continue;
            const std::size_t function = spec_.add_function(*planned);
            spec_.value_names.push_back(one.name);
            spec_.arguments.push_back(planned->argument);
            values_.push_back(fmt::format("{} = {}", one.name, function_definition(one.expression, *planned)));
            if (spec_.functions[function].adds_up()) spec_.booked.push_back(function);
        }
    }

    /// What every pane's row says beside its key and values.
    static const std::vector<Field>& own_fields() {
        static const std::vector<Field> fields = {{"window_start", Type::of(TypeKind::timestamp), false},
                                                  {"window_end", Type::of(TypeKind::timestamp), false},
                                                  {"revision", Type::of(TypeKind::int64), false}};
        return fields;
    }

    bool add_field(const std::string& name, const Type& type, const Place& place) {
        const auto named_so = [&](const Field& field) { return field.name == name; };
        const bool taken = std::any_of(fields_.begin(), fields_.end(), named_so) ||
                           std::any_of(own_fields().begin(), own_fields().end(), named_so);
        if (taken) {
            context_.mistakes().add(
                place, "C172", fmt::format("'{}' is a column of each pane already: give this one another name", name));
            return false;
        }
        fields_.push_back({name, type, false});
        return true;
    }

    void finish() {
        pane_.no_window = context_.outcomes().add(
            {OutcomeKind::dead_letter, "MISSING_MASTER_DATA", options_.owner, step_.name, stream_.after_dedup});
        pane_.on_error = expression_outcome(step_, stream_, context_);
        const StreamId out = plan_pane_step(stream_, std::move(pane_), spec_, context_);

        Stream panes;
        panes.segment = context_.add_segment(step_.name, fields_);
        Segment& next = context_.segment(panes.segment);
        for (std::size_t i = 0; i < fields_.size(); ++i)
            panes.scope.add(fields_[i].name, fields_[i].type, static_cast<Slot>(i));
        next.id_hash = context_.add_column(panes.segment, "#id_hash", Type::decimal(0));
        next.events = context_.add_column(panes.segment, "#events", Type::of(TypeKind::uint64));
        next.first_sequence = context_.add_column(panes.segment, "#first_sequence", Type::of(TypeKind::uint64));
        next.last_sequence = context_.add_column(panes.segment, "#last_sequence", Type::of(TypeKind::uint64));
        panes.id = context_.add_stream(panes.segment);
        panes.has_id_hash = true;
        panes.revised = options_.emit == Emit::cumulative;

        auto op = std::make_unique<AggregateOperator>(spec_);
        KeyedNode& node = plan_pane_terminal(step_, "aggregate", spec_, std::move(op), out,
                                             static_cast<std::int32_t>(panes.segment), stream_, context_);
        std::vector<StepParameter> parameters = pane_parameters(spec_, options_.where, options_.zone);
        parameters.push_back({"values", fmt::format("{}", fmt::join(values_, ", "))});
        parameters.push_back({"emit", options_.emit == Emit::delta ? "delta" : "cumulative"});
        context_.identify(step_, options_, InputPart::columns_and_rows, std::move(parameters), node);
        context_.publish(step_.name, std::move(panes), step_.place);
    }

    const StepSpec& step_;
    PlanContext& context_;
    Stream stream_;
    std::string what_;
    AggregateOptions options_;
    PaneStepSpec pane_;
    AggregateSpec spec_;
    std::vector<Field> fields_;
    std::vector<std::string> values_;  ///< definitions
};

class AggregateType final : public OperatorType {
  public:
    std::string_view name() const override { return "aggregate"; }
    std::string_view help() const override {
        return "Sums up the rows of windows of event time; late events make new revisions.";
    }
    OptionDocs docs() const override { return AggregateOptions::options().describe(); }
    void plan(const StepSpec& step, PlanContext& context) const override { AggregatePlanner(step, context).run(); }
};

}  // namespace

const OperatorType& aggregate_type() {
    static const AggregateType type;
    return type;
}

}  // namespace takt
