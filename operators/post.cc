#include "operators/post.h"

#include <fmt/format.h>

#include <array>

#include "operators/open_panes.h"
#include "operators/posting_identity.h"
#include "operators/rules_step.h"
#include "operators/value_book.h"
#include "pipeline/base/mutant.h"

namespace takt {
namespace {

struct PostOptions : StepUid {
    ExpressionText where;
    std::vector<std::string> by;
    ConfigNode window;
    std::chrono::nanoseconds lateness{0};
    ExpressionText zone;
    ExpressionText quantity;
    std::int64_t quantity_digits = 6;
    ExpressionText unit;
    ExpressionText amount;
    std::int64_t amount_digits = 2;
    ExpressionText currency;
    ExpressionText debit;
    ExpressionText credit;
    ExpressionText cost_center;
    ExpressionText correlation;
    std::string owner = "master_data";

    static OptionTable<PostOptions> options() {
        using namespace std::chrono_literals;
        OptionTable<PostOptions> table;
        table.optional("where", &PostOptions::where,
                       "which rows; those that no posting wants are counted as filtered, unrouted");
        table.required("by", &PostOptions::by, "the columns that name a pane: one document for each value and window");
        table.optional("window", &PostOptions::window,
                       "{ tumbling: 1h }, { hopping: 1h, every: 5m }, { day: local }, { week: local }, { month: local "
                       "}, { shift: CALENDAR, of: COLUMN }; without it each event is posted");
        table
            .optional("lateness", &PostOptions::lateness,
                      "how long after its end a window takes late events, each time as a new revision")
            .from(0ns);
        table.optional("zone", &PostOptions::zone,
                       "IANA time zone of local windows and of the posting date; default UTC");
        table.optional("quantity", &PostOptions::quantity,
                       "FUNCTION(EXPRESSION) over the pane, exact; without a window an expression");
        table.optional("quantity_digits", &PostOptions::quantity_digits, "digits after the point, rounded half to even")
            .from(0)
            .to(12);
        table.optional("unit", &PostOptions::unit, "unit of the quantity");
        table.optional("amount", &PostOptions::amount,
                       "FUNCTION(EXPRESSION) over the pane, exact; without a window an expression");
        table.optional("amount_digits", &PostOptions::amount_digits, "digits after the point, rounded half to even")
            .from(0)
            .to(12);
        table.optional("currency", &PostOptions::currency, "currency of the amount");
        table.optional("debit", &PostOptions::debit, "account to debit");
        table.optional("credit", &PostOptions::credit, "account to credit");
        table.optional("cost_center", &PostOptions::cost_center, "cost centre of both lines");
        table.optional("correlation", &PostOptions::correlation,
                       "goes with the document; default the source's correlation");
        table.optional("owner", &PostOptions::owner, "who must act where an event has no zone or shift");
        StepUid::add_to(table);
        return table;
    }
};

/// What a posting says beside its sums, by the place in PaneHeader::texts.
enum Text : std::size_t { kUnit, kCurrency, kDebit, kCredit, kCostCenter, kCorrelation, kZone, kTexts };

/// Views of them, of a row or a pane.
using Texts = std::array<std::string_view, kTexts>;

struct PostSpec : PaneSpec {
    std::string pipeline;
    std::string uid;  ///< begins the keys of its documents
    std::string config_hash;
    Slot texts[kTexts] = {kNoSlot, kNoSlot, kNoSlot, kNoSlot, kNoSlot, kNoSlot, kNoSlot};

    int quantity_function = -1;  ///< place in functions
    int amount_function = -1;
    /// Without a window: the columns that tell one row from all others; empty: only its place in its source does.
    std::vector<KeyColumn> identity;
    Slot quantity = kNoSlot;  ///< the posted value; with a window the function's argument, where it has one
    Slot amount = kNoSlot;
    bool has_quantity = false;
    bool has_amount = false;
    int quantity_source_scale = 0;  ///< scale of the exact sum
    int amount_source_scale = 0;
    int quantity_digits = 6;
    int amount_digits = 2;
    std::uint32_t posted_offset = 0;
    std::uint32_t residual_offset = 0;  ///< 0: postings say all that panes hold
};

/// What earlier revisions of the pane have posted.
struct Posted {
    Int128 quantity;
    Int128 amount;
    std::uint64_t revision;
    std::uint64_t unused;
};

/// What rounding has left out of what earlier revisions have posted, at the ValueBook's scale; only where it can.
struct Residual {
    Int128 quantity;
    Int128 amount;
};

/// The numbers of a posting in its ValueBook.
enum Number : std::size_t { kQuantity, kAmount };

std::vector<ValueBook::Number> booked_numbers(const PostSpec& spec) {
    const auto adds_up = [&](int function) {
        return function < 0 || spec.functions[static_cast<std::size_t>(function)].adds_up();
    };
    return {{"quantity", spec.quantity_source_scale, spec.quantity_digits, true, adds_up(spec.quantity_function)},
            {"amount", spec.amount_source_scale, spec.amount_digits, true, adds_up(spec.amount_function)}};
}

/// Whether a row that is posted by itself has its identity columns; else only its place tells it from others.
bool has_identity(const PostSpec& spec, const Batch& batch, Row row) {
    const bool by_id = spec.segment->events == kNoSlot;
    return !spec.identity.empty() && (!by_id || batch.column(spec.segment->id).valid().test(row));
}

std::string place_of(const PostSpec& spec, const Batch& batch, Row row) {
    const Origin& origin = batch.origin[row];
    return fmt::format("{}:{}:{}", spec.sources[batch.source], origin.sequence, origin.part);
}

/// Everything that panes and single events post in common.
class PostBase : public KeyedState {
  public:
    explicit PostBase(const PostSpec& spec)
        : spec_(spec), finder_(spec.window), book_(spec.name, booked_numbers(spec)) {}

  protected:
    /// A document without its numbers.
    Posting draft(std::string_view key, const Texts& texts, Timestamp date_of, std::uint32_t revision) {
        Posting posting;
        posting.type = spec_.name;
        posting.pipeline = spec_.pipeline;
        posting.config_hash = spec_.config_hash;
        posting.revision = revision;
        posting.key_fields = decode_key(key, spec_.by);
        posting.unit = texts[kUnit];
        posting.currency = texts[kCurrency];
        posting.debit = texts[kDebit];
        posting.credit = texts[kCredit];
        posting.correlation_id = texts[kCorrelation];
        const TimeZone* zone = finder_.zone(texts[kZone].empty() ? "UTC" : texts[kZone]);
        CHECK(zone != nullptr);
        posting.posting_date = zone->local_date(date_of);
        posting.has_quantity = spec_.has_quantity;
        posting.has_amount = spec_.has_amount;
        posting.quantity_scale = spec_.quantity_digits;
        posting.amount_scale = spec_.amount_digits;
        return posting;
    }

    void complete(Posting& posting, std::string_view key, std::string_view cost_center) const {
        if (posting.has_amount && !posting.debit.empty() && !posting.credit.empty()) {
            posting.lines.push_back({posting.debit, std::string(cost_center), Side::debit, posting.amount});
            posting.lines.push_back({posting.credit, std::string(cost_center), Side::credit, posting.amount});
        }
        posting.key = posting_key(posting, spec_.uid, key, posting.revision);
        if (posting.revision > 1) posting.previous_key = posting_key(posting, spec_.uid, key, posting.revision - 1);
        posting.payload_hash = posting_payload_hash(posting);
    }

    Texts read_texts(const Batch& batch, Row row) const {
        Texts texts;
        for (std::size_t i = 0; i < kTexts; ++i) {
            if (spec_.texts[i] != kNoSlot) texts[i] = batch.column(spec_.texts[i]).values<std::string_view>()[row];
        }
        return texts;
    }

    std::uint32_t book_place(const Texts& texts) {
        const std::string_view units[] = {spec_.has_quantity ? texts[kUnit] : std::string_view(),
                                          spec_.has_amount ? texts[kCurrency] : std::string_view()};
        return book_.place(units);
    }

    const PostSpec& spec_;
    WindowFinder finder_;
    ValueBook book_;
};

/// Posts each event by itself.
class EventPostState final : public PostBase {
  public:
    using PostBase::PostBase;

    void process(Batch& batch, std::span<const Row> rows, Timestamp) override {
        const std::string_view* keys = batch.column(spec_.key).values<std::string_view>();
        identify(batch, rows);
        for (const Row row : rows) {
            if (batch.outcome[row] != kUndecided) continue;
            const Timestamp time = batch.event_time[row];
            const Texts texts = read_texts(batch, row);
            Posting posting = draft(keys[row], texts, time, 1);
            const std::uint32_t place = book_place(texts);
            posting.quantity = posting.quantity_cumulative =
                number(batch, row, spec_.quantity, place, kQuantity, posting.has_quantity);
            posting.amount = posting.amount_cumulative =
                number(batch, row, spec_.amount, place, kAmount, posting.has_amount);
            alignas(16) std::byte block[sizeof(PaneHeader)] = {};
            std::byte* const blocks[] = {block};
            add_lineage(batch, *spec_.segment, std::span(&row, 1), blocks);
            posting.lineage = read_lineage(block, spec_.sources);
            complete(posting, fmt::format("{}{}", keys[row], identity_of(batch, row)), texts[kCostCenter]);
            made_.push_back(
                {{time, spec_.node, std::string(keys[row]), batch.origin[row].sequence}, std::move(posting)});
        }
    }

    void save(StateGroups&) const override {}
    bool load(std::string_view group) override { return group.empty(); }

    void end_epoch(Timestamp, Timestamp, std::uint64_t, LaneOutput& output) override {
        std::move(made_.begin(), made_.end(), std::back_inserter(output.postings));
        made_.clear();
        book_.report(output.values);
    }

    std::uint64_t entries() const override { return 0; }
    std::uint64_t size_bytes() const override { return 0; }

  private:
    /// Two rows of one key are two documents, so the idempotency key holds what tells them apart, and the same again
    /// when the row comes again.
    void identify(const Batch& batch, std::span<const Row> rows) {
        if (spec_.identity.empty()) return;
        identified_.clear();
        for (const Row row : rows) identified_.push_back(row);
        identities_.resize(batch.outcome.size());
        hashes_.resize(batch.outcome.size());
        arena_.clear();
        encode_keys(batch, identified_, spec_.identity, arena_, identities_.data(), hashes_.data());
    }
    std::string identity_of(const Batch& batch, Row row) const {
        return has_identity(spec_, batch, row) ? std::string(identities_[row]) : place_of(spec_, batch, row);
    }

    Int128 number(const Batch& batch, Row row, Slot slot, std::uint32_t place, Number which, bool& has) {
        if (slot == kNoSlot) return 0;
        const Column& column = batch.column(slot);
        has = column.valid().test(row);
        if (!has) return 0;
        const ValueBook::Number& booked = book_.numbers()[which];
        const Int128 units = column.values<Int128>()[row];
        const auto value = rescale(units, column.type().scale, booked.posted_scale);
        CHECK(value.has_value());
        const Int128 exact = booked.exact(units);
        book_.contribute(place, which, units);
        book_.settle(place, which, exact, wrapping_subtract(exact, booked.posted(*value)));
        return *value;
    }

    std::vector<OrderedPosting> made_;
    Selection identified_;
    std::vector<std::string_view> identities_;  ///< by row
    std::vector<std::uint64_t> hashes_;
    Arena arena_;  ///< the batch's own is shared with other lanes
};

/// Posts the panes of windows: revision 1 when the watermark passes the end, further ones for what comes late.
class PanePostState final : public PostBase {
  public:
    explicit PanePostState(const PostSpec& spec) : PostBase(spec), panes_(spec) {}

    void process(Batch& batch, std::span<const Row> rows, Timestamp watermark) override {
        panes_.add(
            batch, rows, watermark,
            [&](Row row, std::byte* block) {
                const Texts texts = read_texts(batch, row);
                pane_header(block).texts = pack_texts(texts);
                pane_header(block).book_place = book_place(texts);
            },
            [&](std::span<const Row> added, std::span<std::byte* const> blocks) {
                contribute(batch, added, blocks, spec_.quantity_function, kQuantity);
                contribute(batch, added, blocks, spec_.amount_function, kAmount);
            });
    }

    void end_epoch(Timestamp, Timestamp after, std::uint64_t, LaneOutput& output) override {
        panes_.advance(
            after, [&](PaneTable::Pane& pane) { fire(pane, output); }, [](PaneTable::Pane&) {});
        book_.report(output.values);
    }

    void add_open(std::vector<ValueSum>& open) const override {
        ValueBook::Open sums(book_);
        panes_.for_each([&](const std::byte* block) {
            const Posted& posted = *reinterpret_cast<const Posted*>(block + spec_.posted_offset);
            for (const Number which : {kQuantity, kAmount}) {
                const Int128 held = exact(block, which);
                const Int128 told =
                    wrapping_add(book_.numbers()[which].posted(posted_of(posted, which)), residual_of(block, which));
                sums.add(pane_header(block).book_place, which, wrapping_subtract(held, told));
            }
        });
        sums.report(open);
    }

    void save(StateGroups& groups) const override {
        panes_.save(groups, [](const std::byte*, ByteWriter&) {});
    }
    bool load(std::string_view group) override {
        ByteReader in(group);
        const auto restore_place = [&](std::byte* block, ByteReader&) {
            PaneHeader& header = pane_header(block);
            if (header.texts == nullptr) return false;
            Texts texts;
            unpack_texts(header.texts, texts);
            header.book_place = book_place(texts);
            return true;
        };
        return panes_.load(in, restore_place) && in.at_end();
    }

    std::uint64_t told() const override {
        std::uint64_t told = 0;
        panes_.for_each([&](const std::byte* block) {
            if (reinterpret_cast<const Posted*>(block + spec_.posted_offset)->revision > 0) ++told;
        });
        return told;
    }
    std::uint64_t entries() const override { return panes_.size(); }
    std::uint64_t size_bytes() const override { return panes_.size_bytes(); }

  private:
    void fire(PaneTable::Pane& pane, LaneOutput& output) {
        const std::byte* block = pane.block();
        Posted& posted = *reinterpret_cast<Posted*>(pane.block() + spec_.posted_offset);
        if (mutant("revision_restarts")) posted.revision = 0;
        const Int128 quantity =
            total(block, spec_.quantity_function, spec_.quantity_source_scale, spec_.quantity_digits);
        const Int128 amount = total(block, spec_.amount_function, spec_.amount_source_scale, spec_.amount_digits);
        settle(pane.block(), kQuantity, posted.quantity, quantity);
        settle(pane.block(), kAmount, posted.amount, amount);
        if (quantity == posted.quantity && amount == posted.amount) return;
        ++posted.revision;
        Texts texts;
        unpack_texts(pane_header(block).texts, texts);
        const Window window = pane.window();
        Posting posting = draft(pane.key(), texts, window.start, static_cast<std::uint32_t>(posted.revision));
        posting.window_start = window.start;
        posting.window_end = window.end;
        posting.quantity = quantity - posted.quantity;
        posting.quantity_cumulative = quantity;
        posting.amount = amount - posted.amount;
        posting.amount_cumulative = amount;
        posting.lineage = read_lineage(block, spec_.sources);
        complete(posting, pane.key(), texts[kCostCenter]);
        posted.quantity = quantity;
        posted.amount = amount;
        output.postings.push_back(
            {{window.end, spec_.node, std::string(pane.key()), static_cast<std::uint64_t>(window.start)},
             std::move(posting)});
    }

    Int128 total(const std::byte* block, int function, int source_scale, int digits) const {
        if (function < 0) return 0;
        const auto value =
            rescale(spec_.functions[static_cast<std::size_t>(function)].exact_result(block), source_scale, digits);
        CHECK(value.has_value());
        return *value;
    }

    int function_of(Number which) const { return which == kQuantity ? spec_.quantity_function : spec_.amount_function; }
    static Int128 posted_of(const Posted& posted, Number which) {
        return which == kQuantity ? posted.quantity : posted.amount;
    }
    Int128 residual_of(const std::byte* block, Number which) const {
        if (spec_.residual_offset == 0) return 0;
        const Residual& residual = *reinterpret_cast<const Residual*>(block + spec_.residual_offset);
        return which == kQuantity ? residual.quantity : residual.amount;
    }

    /// What the pane holds of the number, at the book's scale.
    Int128 exact(const std::byte* block, Number which) const {
        const int function = function_of(which);
        if (function < 0) return 0;
        return book_.numbers()[which].exact(spec_.functions[static_cast<std::size_t>(function)].exact_result(block));
    }

    void contribute(const Batch& batch, std::span<const Row> rows, std::span<std::byte* const> blocks, int function,
                    Number which) {
        if (function < 0 || rows.empty()) return;
        const Accumulator& sum = spec_.functions[static_cast<std::size_t>(function)];
        if (!sum.adds_up()) return;
        if (book_.has_one_place()) return book_.contribute(0, which, sum.contribution(batch, rows));
        for (std::size_t i = 0; i < rows.size(); ++i) {
            book_.contribute(pane_header(blocks[i]).book_place, which, sum.contribution(batch, rows.subspan(i, 1)));
        }
    }

    /// Books that the pane has now told `now` after `before`.
    void settle(std::byte* block, Number which, Int128 before, Int128 now) {
        if (function_of(which) < 0) return;
        const ValueBook::Number& number = book_.numbers()[which];
        const Int128 held = exact(block, which);
        const Int128 left_out = wrapping_subtract(held, number.posted(now));
        const Int128 left_out_before = residual_of(block, which);
        const Int128 told_before = wrapping_add(number.posted(before), left_out_before);
        book_.settle(pane_header(block).book_place, which, wrapping_subtract(held, told_before),
                     wrapping_subtract(left_out, left_out_before));
        if (spec_.residual_offset == 0) return;
        Residual& residual = *reinterpret_cast<Residual*>(block + spec_.residual_offset);
        (which == kQuantity ? residual.quantity : residual.amount) = left_out;
    }

    OpenPanes panes_;
};

class PostOperator final : public KeyedOperator, public PaneFinder {
  public:
    explicit PostOperator(PostSpec spec) : spec_(std::move(spec)) {}
    std::unique_ptr<KeyedState> make_state() const override {
        if (spec_.window.has_windows()) return std::make_unique<PanePostState>(spec_);
        return std::make_unique<EventPostState>(spec_);
    }

    std::vector<PaneOfRow> panes_of(const Batch& batch, Row row) const override {
        std::vector<PaneOfRow> panes = spec_.panes_of(batch, row);
        for (PaneOfRow& pane : panes) {
            if (!spec_.window.has_windows()) {
                pane.key += has_identity(spec_, batch, row) ? encode_key(batch, row, spec_.identity)
                                                            : place_of(spec_, batch, row);
            }
            add_value(batch, row, "quantity", spec_.quantity, pane);
            add_value(batch, row, "amount", spec_.amount, pane);
        }
        return panes;
    }
    std::string posting_key(const PaneOfRow& pane, std::uint32_t revision) const override {
        Posting posting;
        posting.pipeline = spec_.pipeline;
        posting.window_start = pane.window_start;
        posting.window_end = pane.window_end;
        return takt::posting_key(posting, spec_.uid, pane.key, revision);
    }

  private:
    PostSpec spec_;
};

/// One posting while it is planned.
class PostPlanner {
  public:
    PostPlanner(const StepSpec& step, PlanContext& context)
        : step_(step),
          context_(context),
          stream_(context.stream(step.from[0])),
          what_(fmt::format("posting '{}'", step.name)) {}

    void run() {
        const bool read = PostOptions::options().read(*step_.node, what_, options_, context_.mistakes(), {"from"});
        pane_.name = step_.name;
        if (!read) return;
        plan_id_hash(stream_, context_);
        if (!options_.where.empty()) pane_.where = plan_condition(options_.where, "'where'", stream_, context_);
        pane_.by = plan_key(options_.by, *step_.node->find("by"), stream_, context_);
        const auto window = read_window(step_.node->find("window"), what_, stream_, context_);
        if (!window) return;
        if (window->kind == WindowSpec::Kind::session) {
            context_.mistakes().add(
                step_.node->find("window")->place, "C161",
                fmt::format("{} cannot have session windows: use an aggregate, and post its panes", what_));
            return;
        }
        pane_.window = *window;
        pane_.lateness = options_.lateness.count();
        check_combination();
        plan_texts();
        plan_numbers();
        if (!context_.mistakes().empty()) return;
        finish();
    }

  private:
    void check_combination() {
        const ConfigNode* window = step_.node->find("window");
        check_pane_input(step_, what_, stream_, pane_.window, window ? window->place : step_.place,
                         !options_.zone.text.empty(), context_);
        if (stream_.revised && !takes_revisions()) {
            context_.mistakes().add(
                step_.place, "C164",
                fmt::format(
                    "{} would post cumulative revisions again in full; leave out 'emit: cumulative' of the aggregate",
                    what_));
        }
        if (!pane_.window.has_windows() && step_.node->find("lateness") != nullptr) {
            context_.mistakes().add(step_.node->find("lateness")->place, "C165",
                                    fmt::format("{} has no window, so nothing is late", what_));
        }
        if (options_.debit.text.empty() != options_.credit.text.empty()) {
            context_.mistakes().add(step_.place, "C167",
                                    fmt::format("{} must name both 'debit' and 'credit': a document balances", what_));
        }
        if (!options_.debit.text.empty() && (options_.amount.text.empty() || options_.currency.text.empty())) {
            context_.mistakes().add(step_.place, "C168",
                                    fmt::format("{} has accounts and so needs 'amount' and 'currency'", what_));
        }
        if (options_.quantity.text.empty() && options_.amount.text.empty()) {
            context_.mistakes().add(step_.place, "C169", fmt::format("{} has neither 'quantity' nor 'amount'", what_));
        }
    }

    /// Whether the numbers stay right when a pane comes again with its whole value.
    bool takes_revisions() const {
        bool right = pane_.window.has_windows();
        for (const ExpressionText* number : {&options_.quantity, &options_.amount}) {
            const std::string name = number->text.substr(0, number->text.find('('));
            right = right && (number->text.empty() || name == "last" || name == "max");
        }
        return right;
    }

    void plan_texts() {
        const std::pair<Text, const ExpressionText*> texts[] = {
            {kUnit, &options_.unit},     {kCurrency, &options_.currency},      {kDebit, &options_.debit},
            {kCredit, &options_.credit}, {kCostCenter, &options_.cost_center}, {kCorrelation, &options_.correlation},
            {kZone, &options_.zone}};
        static const char* const names[kTexts] = {"unit",        "currency",    "debit", "credit",
                                                  "cost_center", "correlation", "zone"};
        for (const auto& [text, expression] : texts) {
            if (expression->text.empty()) continue;
            spec_.texts[text] = plan_value(*expression, fmt::format("#{}.{}", step_.name, names[text]),
                                           TypeKind::string, stream_, context_, pane_.arguments);
        }
        if (options_.correlation.text.empty())
            spec_.texts[kCorrelation] = context_.segment(stream_.segment).correlation;
        pane_.zone = spec_.texts[kZone];
    }

    void plan_numbers() {
        spec_.quantity_digits = static_cast<int>(options_.quantity_digits);
        spec_.amount_digits = static_cast<int>(options_.amount_digits);
        spec_.posted_offset = spec_.block_bytes;
        spec_.block_bytes += sizeof(Posted);
        spec_.has_quantity = plan_number(options_.quantity, "quantity", spec_.quantity_function, spec_.quantity,
                                         spec_.quantity_source_scale);
        spec_.has_amount =
            plan_number(options_.amount, "amount", spec_.amount_function, spec_.amount, spec_.amount_source_scale);
        if (pane_.window.has_windows() &&
            (spec_.quantity_source_scale > spec_.quantity_digits || spec_.amount_source_scale > spec_.amount_digits)) {
            spec_.residual_offset = spec_.block_bytes;
            spec_.block_bytes += sizeof(Residual);
        }
    }

    bool plan_number(const ExpressionText& text, const char* role, int& function_index, Slot& slot, int& scale) {
        if (text.text.empty()) return false;
        const std::string column = fmt::format("#{}.{}", step_.name, role);
        if (!pane_.window.has_windows()) {
            Type type;
            slot = plan_value(text, column, TypeKind::decimal, stream_, context_, pane_.arguments, &type);
            if (slot != kNoSlot) scale = type.scale;
            return true;
        }
        const auto planned = plan_function(text, column, stream_, context_, pane_.arguments);
        if (!planned) return true;
        numbers_.push_back({role, function_definition(text, *planned)});
        slot = planned->argument;
        if (!planned->result.is(TypeKind::decimal) && !planned->result.is(TypeKind::int64)) {
            context_.mistakes().add(text.node.place, "C170",
                                    fmt::format("the {} of {} is a {}: only an exact number may be posted", role, what_,
                                                to_string(planned->result)));
            return true;
        }
        scale = planned->result.is(TypeKind::decimal) ? planned->result.scale : 0;
        function_index = static_cast<int>(spec_.add_function(*planned));
        return true;
    }

    void finish() {
        pane_.no_window = context_.outcomes().add(
            {OutcomeKind::dead_letter, "MISSING_MASTER_DATA", options_.owner, step_.name, stream_.after_dedup});
        pane_.on_error = expression_outcome(step_, stream_, context_);
        spec_.pipeline = context_.pipeline();
        spec_.config_hash = context_.config_hash();
        spec_.uid = options_.of(step_);
        if (!pane_.window.has_windows()) spec_.identity = identity_columns(context_.segment(stream_.segment));
        const StreamId out = plan_pane_step(stream_, std::move(pane_), spec_, context_);
        auto op = std::make_unique<PostOperator>(spec_);
        KeyedNode& node = plan_pane_terminal(step_, "posting", spec_, std::move(op), out, -1, stream_, context_);
        node.keeps_state = spec_.window.has_windows();
        context_.identify(step_, options_, InputPart::columns_and_rows, parameters(), node);
    }

    /// A posting of single events keeps nothing, but its sums are kept in the audit.
    std::vector<StepParameter> parameters() const {
        std::vector<StepParameter> all;
        if (spec_.window.has_windows()) {
            all = pane_parameters(spec_, options_.where, options_.zone);
            all.insert(all.end(), numbers_.begin(), numbers_.end());
            all.push_back({"unit", options_.unit.text});
            all.push_back({"currency", options_.currency.text});
            // Both are in the documents' keys and contents: another one would begin other chains of revisions.
            all.push_back({kDocumentType, step_.name});
            all.push_back({kDocumentUid, spec_.uid});
        }
        // What does not add up, such as a maximum, is in other books than a sum.
        const auto kind = [this](int function) {
            return function < 0 || spec_.functions[static_cast<std::size_t>(function)].adds_up() ? "" : " (no sum)";
        };
        all.push_back(
            {kDigits, fmt::format("quantity {} of {}{}, amount {} of {}{}", spec_.quantity_digits,
                                  spec_.quantity_source_scale, kind(spec_.quantity_function), spec_.amount_digits,
                                  spec_.amount_source_scale, kind(spec_.amount_function))});
        return all;
    }

    static std::vector<KeyColumn> identity_columns(const Segment& segment) {
        std::vector<KeyColumn> columns;
        const auto add = [&](Slot slot) {
            columns.push_back({segment.layout.field(slot).name, slot, segment.layout.field(slot).type});
        };
        if (segment.events != kNoSlot) {
            // A pane's row begins with its key, window and revision.
            for (Slot slot = 0; slot <= segment.layout.find("revision"); ++slot) add(slot);
        } else if (segment.id != kNoSlot) {
            add(segment.id);
        }
        return columns;
    }

    const StepSpec& step_;
    PlanContext& context_;
    Stream stream_;
    std::string what_;
    PostOptions options_;
    PaneStepSpec pane_;
    PostSpec spec_;
    std::vector<StepParameter> numbers_;  ///< definitions
};

class PostType final : public OperatorType {
  public:
    std::string_view name() const override { return "post"; }
    std::string_view help() const override {
        return "Turns panes into balanced documents with idempotency key, revisions and lineage; stands under "
               "'postings'.";
    }
    OptionDocs docs() const override { return PostOptions::options().describe(); }
    void plan(const StepSpec& step, PlanContext& context) const override { PostPlanner(step, context).run(); }
};

}  // namespace

const OperatorType& post_type() {
    static const PostType type;
    return type;
}

}  // namespace takt
