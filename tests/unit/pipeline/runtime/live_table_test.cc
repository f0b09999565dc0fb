#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "pipeline/runtime/core.h"
#include "pipeline/runtime/engine.h"
#include "pipeline/runtime/table_reader.h"
#include "tests/unit/pipeline/runtime/synthetic_plan.h"

namespace takt {
namespace {

using synthetic::Event;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TableSpec price_spec() {
    TableSpec spec;
    spec.name = "prices";
    spec.key = {"material"};
    spec.fields = {{"price", Type::of(TypeKind::int64)}};
    return spec;
}

TableChange put(std::string key, std::uint64_t revision, std::string value) {
    return {.key = std::move(key), .revision = revision, .value = std::move(value)};
}
TableChange removal(std::string key, std::uint64_t revision) {
    return {.key = std::move(key), .revision = revision, .operation = TableChange::Operation::remove};
}
TableChange found(TableChange change) {
    change.in_content = true;
    return change;
}

/// What a test's origin says: its answers to `open`, then reading by reading; after that nothing new.
struct Origin {
    struct Reading {
        Status status;
        std::vector<TableChange> changes;
    };
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Status> opens;  ///< before it opens
    std::vector<TableChange> content;
    std::deque<Reading> readings;
    std::vector<TableChange> kept;  ///< earlier values
    int reads = 0;

    void say(std::vector<TableChange> changes, Status status = {}) {
        std::lock_guard lock(mutex);
        readings.push_back({std::move(status), std::move(changes)});
        changed.notify_all();
    }
};

/// Values are the price as text; "?" is no row.
class ScriptedFeed final : public TableFeed {
  public:
    explicit ScriptedFeed(std::shared_ptr<Origin> origin) : origin_(std::move(origin)) {}
    Status open(std::vector<TableChange>& content) override {
        std::lock_guard lock(origin_->mutex);
        if (!origin_->opens.empty()) {
            const Status status = origin_->opens.front();
            origin_->opens.pop_front();
            return status;
        }
        content = origin_->content;
        return {};
    }
    Status read(Duration wait, std::vector<TableChange>& changes) override {
        std::unique_lock lock(origin_->mutex);
        origin_->changed.wait_for(lock, std::chrono::nanoseconds(wait), [&] { return !origin_->readings.empty(); });
        ++origin_->reads;
        if (origin_->readings.empty()) return last_;
        last_ = origin_->readings.front().status;
        changes = std::move(origin_->readings.front().changes);
        origin_->readings.pop_front();
        return last_;
    }
    std::vector<TableChange> earlier(const TableChange& change) override {
        std::vector<TableChange> older;
        for (const TableChange& kept : origin_->kept) {
            if (kept.key == change.key) older.push_back(kept);
        }
        return older;
    }
    Result<std::vector<TableUpdate>> decode(const TableChange& change) const override {
        if (change.value == "?") return Error{"D406", change.key + " is no row"};
        std::vector<TableUpdate> updates;
        updates.push_back({.key = {change.key}, .erase = true});
        if (change.operation == TableChange::Operation::put)
            updates.push_back({.key = {change.key}, .values = {{"price", change.value}}, .place = change.key});
        return updates;
    }
    std::string describe() const override { return "origin of a test"; }

  private:
    std::shared_ptr<Origin> origin_;
    Status last_;
};

TablePlan make_table(const std::shared_ptr<Origin>& origin) {
    auto handle = std::make_shared<TableHandle>();
    handle->name = "prices";
    handle->current = TableBuilder(price_spec()).build().value();
    return {"prices", "test", handle, [origin]() -> Result<std::unique_ptr<TableFeed>> {
                return std::unique_ptr<TableFeed>(new ScriptedFeed(origin));
            }};
}

/// "PUMP 3, VALVE 7", by key.
std::string rows_of(const TemporalTable& table) {
    std::map<std::string_view, std::int64_t> rows;
    for (std::uint32_t row = 0; row < table.rows(); ++row)
        rows[table.column(0).values<std::string_view>()[row]] = table.column(1).values<std::int64_t>()[row];
    std::string text;
    for (const auto& [key, price] : rows) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", key, price);
    return text;
}

std::vector<std::string> changes_of(const TableVersion& version) {
    std::vector<std::string> texts;
    for (const TableChange& change : version.changes)
        texts.push_back(fmt::format("{}@{}={}", change.key, change.revision, change.value));
    return texts;
}

// ---- the reader

class TableReaderTest : public testing::Test {
  protected:
    ~TableReaderTest() override { reader_.stop(); }
    void start() { ASSERT_TRUE(reader_.start(nullptr).ok()); }
    TableVersion take() {
        std::optional<TableVersion> version;
        while (!(version = reader_.take())) std::this_thread::yield();
        return *version;
    }
    template <typename Condition>
    void wait_until(Condition condition) {
        while (!condition(reader_.status())) std::this_thread::yield();
    }

    std::shared_ptr<Origin> origin_ = std::make_shared<Origin>();
    TablePlan plan_ = make_table(origin_);
    TableReader reader_{plan_,
                        3,
                        {.waiting_bytes = 100,
                         .wait = kMillisecond,
                         .retry = {.first = kMillisecond, .longest = kMillisecond},
                         .clock = &system_clock()},
                        [] {}};
};

TEST_F(TableReaderTest, TheFirstVersionIsTheWholeContent) {
    origin_->content = {found(put("PUMP", 4, "3")), found(put("VALVE", 9, "7"))};
    EXPECT_EQ(reader_.status().state, TableStatus::State::loading);
    start();
    const TableVersion version = take();
    EXPECT_EQ(version.table, 3u);
    EXPECT_EQ(rows_of(*version.content), "PUMP 3, VALVE 7");
    EXPECT_THAT(changes_of(version), ElementsAre("PUMP@4=3", "VALVE@9=7"));
    wait_until([](const TableStatus& status) { return status.state == TableStatus::State::current; });
    const TableStatus status = reader_.status();
    EXPECT_EQ(status.rows, 2u);
    EXPECT_EQ(status.revision, 9u);
    EXPECT_EQ(status.changes, 2u);
    EXPECT_EQ(status.description, "origin of a test");
}

TEST_F(TableReaderTest, WhatTheTableHeldBeforeTheRunGoes) {
    const TableUpdate left_over{.key = {"RING"}, .values = {{"price", "1"}}};
    plan_.handle->current = updated(*plan_.handle->current, std::span(&left_over, 1)).value();
    TableReader reader(plan_, 0, {.retry = {}, .clock = &system_clock()}, [] {});
    origin_->content = {found(put("PUMP", 4, "3"))};
    ASSERT_TRUE(reader.start(nullptr).ok());
    while (!reader.view().waiting) std::this_thread::yield();
    const TableVersion version = *reader.take();
    EXPECT_TRUE(version.whole);
    EXPECT_EQ(rows_of(*version.content), "PUMP 3");
}

TEST_F(TableReaderTest, TheChangesOfAllVersionsGiveTheContentOfTheLast) {
    origin_->content = {found(put("PUMP", 1, "3")), found(put("VALVE", 2, "?")), found(put("RING", 3, "4"))};
    origin_->say({put("VALVE", 4, "7"), removal("RING", 5), put("PUMP", 6, "?")});
    origin_->say({put("PUMP", 7, "8"), put("RING", 8, "9"), removal("NONE", 9)});
    start();
    std::shared_ptr<const TemporalTable> replayed;
    std::shared_ptr<const TemporalTable> last;
    std::uint64_t revision = 0;
    while (revision < 9) {
        const TableVersion version = take();
        EXPECT_EQ(version.whole, replayed == nullptr);
        std::vector<TableUpdate> updates;
        for (const TableChange& change : version.changes) {
            revision = change.revision;
            auto decoded = ScriptedFeed(origin_).decode(change).value();
            std::move(decoded.begin(), decoded.end(), std::back_inserter(updates));
        }
        if (version.whole) replayed = TableBuilder(price_spec()).build().value();
        replayed = updated(*replayed, updates).value();
        last = version.content;
    }
    EXPECT_EQ(rows_of(*replayed), "PUMP 8, RING 9, VALVE 7");
    EXPECT_EQ(rows_of(*last), rows_of(*replayed));
}

TEST_F(TableReaderTest, AnEmptyOriginGivesAVersionToo) {
    start();
    EXPECT_EQ(take().content->rows(), 0u);
    EXPECT_TRUE(reader_.view().loaded);
}

TEST_F(TableReaderTest, WhatChangesWhileAVersionWaitsIsInTheNextOne) {
    origin_->content = {found(put("PUMP", 1, "3"))};
    start();
    wait_until([](const TableStatus& status) { return status.state == TableStatus::State::current; });
    for (std::uint64_t revision = 2; revision < 5; ++revision)
        origin_->say({put("PUMP", revision, std::to_string(revision)), put("VALVE", revision + 10, "7")});
    origin_->say({removal("VALVE", 20)});
    while (true) {
        std::lock_guard lock(origin_->mutex);
        if (origin_->readings.empty()) break;
    }
    const TableVersion first = take();
    EXPECT_EQ(rows_of(*first.content), "PUMP 3");
    const TableVersion second = take();
    EXPECT_EQ(rows_of(*second.content), "PUMP 4");
    EXPECT_THAT(second.changes, SizeIs(7));
    EXPECT_EQ(rows_of(*first.content), "PUMP 3") << "who holds a version keeps it";
    EXPECT_EQ(reader_.status().revision, 20u);
    EXPECT_EQ(reader_.status().rows, 1u);
}

TEST_F(TableReaderTest, MoreThanItsLimitIsNotReadWhileAVersionWaits) {
    start();
    wait_until([](const TableStatus& status) { return status.state == TableStatus::State::current; });
    for (std::uint64_t revision = 1; revision <= 40; ++revision) origin_->say({put("PUMP", revision, "1234567")});
    const auto left = [&] {
        std::lock_guard lock(origin_->mutex);
        return origin_->readings.size();
    };
    while (left() > 30) std::this_thread::yield();  // 100 bytes are ten changes
    EXPECT_GE(left(), 29u);
    while (reader_.status().revision < 40) reader_.take();
    EXPECT_EQ(left(), 0u);
}

TEST_F(TableReaderTest, ABadValueLeavesWhatStoodBeforeIt) {
    origin_->content = {found(put("PUMP", 1, "3")), found(put("VALVE", 2, "?")), found(put("RING", 3, "many"))};
    start();
    const TableVersion first = take();
    EXPECT_EQ(rows_of(*first.content), "PUMP 3");
    EXPECT_THAT(changes_of(first), ElementsAre("PUMP@1=3")) << "what was refused is no control input";
    EXPECT_EQ(reader_.status().refused, 2u);
    EXPECT_THAT(reader_.status().last_refusal, HasSubstr("D404: RING: 'price' is 'many'"));
    origin_->say({put("PUMP", 4, "?"), put("RING", 5, "9")});
    EXPECT_EQ(rows_of(*take().content), "PUMP 3, RING 9");
    origin_->say({put("PUMP", 6, "5")});
    EXPECT_EQ(rows_of(*take().content), "PUMP 5, RING 9");
    EXPECT_EQ(reader_.status().refused, 3u);
}

TEST_F(TableReaderTest, ABadValueInTheContentFallsBackToTheLastGoodOneThatIsKept) {
    origin_->content = {found(put("PUMP", 7, "?")), found(put("VALVE", 8, "?"))};
    origin_->kept = {put("PUMP", 6, "none"), put("PUMP", 5, "3"), put("PUMP", 4, "2")};
    start();
    const TableVersion version = take();
    EXPECT_EQ(rows_of(*version.content), "PUMP 3");
    EXPECT_THAT(changes_of(version), ElementsAre("PUMP@5=3"));
    EXPECT_EQ(reader_.status().refused, 2u) << "an older bad value is no news";
    // A live change needs no such thing: everything before it was seen.
    origin_->say({put("PUMP", 9, "?"), put("RING", 10, "1")});
    EXPECT_THAT(changes_of(take()), ElementsAre("RING@10=1"));
}

TEST_F(TableReaderTest, ErrorsFromOutsideAreTriedAgainAndOthersAreNot) {
    origin_->opens = {Error{"E526", "no answer"}, Error{"E526", "no answer"}};
    origin_->content = {found(put("PUMP", 1, "3"))};
    start();
    EXPECT_EQ(rows_of(*take().content), "PUMP 3");
    wait_until([](const TableStatus& status) { return status.state == TableStatus::State::current; });
    EXPECT_EQ(reader_.status().retries, 2u);
    EXPECT_EQ(reader_.status().last_error, "");
    const auto missing = std::make_shared<Origin>();
    missing->opens = {Error{"C526", "there is no bucket"}};
    const TablePlan plan = make_table(missing);
    TableReader other(plan, 0, {.retry = {}, .clock = &system_clock()}, [] {});
    ASSERT_TRUE(other.start(nullptr).ok());
    while (!other.view().error) std::this_thread::yield();
    EXPECT_EQ(other.view().error->code, "C526");
    EXPECT_FALSE(other.view().loaded);
}

TEST_F(TableReaderTest, ATableWithoutItsOriginIsStaleAndKeepsItsContent) {
    origin_->content = {found(put("PUMP", 1, "3"))};
    start();
    const TableVersion version = take();
    origin_->say({}, Error{"C521", "refused"});
    wait_until([](const TableStatus& status) { return status.state == TableStatus::State::stale; });
    EXPECT_EQ(reader_.status().last_error, "C521: refused");
    EXPECT_FALSE(reader_.view().error) << "the stream goes on, whatever the error";
    EXPECT_FALSE(reader_.take());
    origin_->say(
        {{.key = "PUMP", .revision = 8, .operation = TableChange::Operation::gone}, found(put("VALVE", 8, "7"))});
    EXPECT_EQ(rows_of(*take().content), "VALVE 7");
    wait_until([](const TableStatus& status) { return status.state == TableStatus::State::current; });
    EXPECT_EQ(reader_.status().last_error, "");
}

std::shared_ptr<const TableEntries> entries_of(const std::vector<TableChange>& changes) {
    auto entries = std::make_shared<TableEntries>();
    for (const TableChange& change : changes) entries->emplace(change.key, change);
    return entries;
}

TEST_F(TableReaderTest, ContentThatIsKnownIsNoVersion) {
    const TableUpdate before{.key = {"PUMP"}, .values = {{"price", "3"}}};
    plan_.handle->current = updated(*plan_.handle->current, std::span(&before, 1)).value();
    origin_->content = {found(put("PUMP", 4, "3"))};
    ASSERT_TRUE(reader_.start(entries_of({put("PUMP", 4, "3")})).ok());
    while (!reader_.view().loaded) std::this_thread::yield();
    EXPECT_FALSE(reader_.take());
    EXPECT_EQ(reader_.status().revision, 4u);
    EXPECT_EQ(reader_.status().rows, 1u);
    origin_->say({put("VALVE", 5, "7")});
    const TableVersion version = take();
    EXPECT_FALSE(version.whole);
    EXPECT_EQ(rows_of(*version.content), "PUMP 3, VALVE 7");
}

TEST_F(TableReaderTest, WhatContentSaysOtherwiseThanIsKnownIsTheFirstVersion) {
    std::vector<TableUpdate> before;
    for (const char* key : {"PUMP", "RING", "BOLT", "VALVE"})
        before.push_back({.key = {key}, .values = {{"price", "3"}}});
    plan_.handle->current = updated(*plan_.handle->current, before).value();
    // RING was deleted while nobody looked, PUMP has another value, VALVE one that is none, BOLT is as it was.
    origin_->content = {found(put("BOLT", 3, "3")), found(put("PUMP", 7, "8")), found(put("VALVE", 8, "?")),
                        found(put("NUT", 9, "1"))};
    const auto known =
        entries_of({put("PUMP", 4, "3"), put("RING", 5, "3"), put("BOLT", 3, "3"), put("VALVE", 6, "3")});
    ASSERT_TRUE(reader_.start(known).ok());
    const TableVersion version = take();
    EXPECT_FALSE(version.whole);
    EXPECT_EQ(rows_of(*version.content), "BOLT 3, NUT 1, PUMP 8, VALVE 3");
    EXPECT_THAT(changes_of(version), ElementsAre("PUMP@7=8", "NUT@9=1", "RING@9="));
    EXPECT_EQ(reader_.status().refused, 1u);
}

// ---- at a cut

/// Gives each row that goes on what the table says of "PUMP" as its amount; 0 where it says nothing.
class PricedByTable final : public RowOperator {
  public:
    PricedByTable(std::unique_ptr<RowOperator> before, std::shared_ptr<const TableHandle> table, Slot amount)
        : before_(std::move(before)), table_(std::move(table)), amount_(amount) {}
    void process(Batch& batch, std::span<const Selection* const> in, std::span<Selection* const> out,
                 Scratch& scratch) const override {
        before_->process(batch, in, out, scratch);
        const std::string_view key[] = {"PUMP"};
        for (const Row row : *out[0]) {
            const TemporalTable& table = *table_->current;
            const std::int32_t found = table.find(key, 0);
            batch.column(amount_).values<std::int64_t>()[row] =
                found < 0 ? 0 : table.column(1).values<std::int64_t>()[found];
        }
    }

  private:
    std::unique_ptr<RowOperator> before_;
    std::shared_ptr<const TableHandle> table_;
    Slot amount_;
};

/// A synthetic plan whose amounts come from a live table.
std::unique_ptr<synthetic::SyntheticPlan> priced_plan(const std::shared_ptr<Origin>& origin) {
    auto made = synthetic::make_plan({.dedup = false});
    made->plan.tables.push_back(make_table(origin));
    for (RowNode& node : made->plan.segments[0]->nodes) {
        if (node.step != "keep") continue;
        node.op = std::make_unique<PricedByTable>(std::move(node.op), made->plan.tables[0].handle, made->slots.amount);
    }
    return made;
}

TableVersion version_of(const TemporalTable& before, std::uint64_t revision, std::int64_t price) {
    const TableUpdate update{.key = {"PUMP"}, .values = {{"price", std::to_string(price)}}};
    return {0, false, {put("PUMP", revision, std::to_string(price))}, updated(before, std::span(&update, 1)).value()};
}

/// One window an epoch, all of its rows at the price of that epoch.
std::vector<std::string> run_with_changes(std::uint32_t threads, std::uint32_t lanes) {
    const auto made = priced_plan(std::make_shared<Origin>());
    std::vector<std::string> lines;
    Core core(made->plan, {.lanes = lanes, .threads = threads, .chunk_messages = 7}, [&](EpochResult&& result) {
        for (const Posting& posting : result.postings)
            lines.push_back(fmt::format("{} {}", posting.key, static_cast<std::int64_t>(posting.amount)));
        for (const TableVersion& version : result.cut.tables)
            lines.push_back(fmt::format("epoch {}: {}", result.epoch, fmt::join(changes_of(version), " ")));
    });
    std::uint64_t id = 1;
    for (std::int64_t epoch = 0; epoch < 40; ++epoch) {
        std::vector<Event> events;
        for (int i = 0; i < 100; ++i)
            events.push_back({.id = id++, .key = 7, .time = 10'000 + 1000 * epoch, .amount = -1});
        core.feed(0, synthetic::make_block(events, id - 100));
        CutOptions cut;
        if (epoch % 2 == 0) {
            const auto revision = static_cast<std::uint64_t>(epoch + 1);
            cut.tables.push_back(version_of(*made->plan.tables[0].handle->current, revision, epoch + 1));
        }
        core.cut(std::move(cut));
    }
    core.cut({.flush = true});
    core.drain();
    return lines;
}

TEST(LiveTable, AnEpochSeesOneVersionAndTheNextOneWhatItsCutBrought) {
    std::vector<std::string> expected;
    for (std::int64_t epoch = 0; epoch < 40; ++epoch) {
        // The price of epoch 0 is none, of 1 and 2 that of the cut of 0, and so on.
        const std::int64_t price = epoch == 0 ? 0 : (epoch - 1) / 2 * 2 + 1;
        expected.push_back(fmt::format("left/{}/7/1 {}", 11'000 + 1000 * epoch, 100 * price));
        if (epoch % 2 == 0) expected.push_back(fmt::format("epoch {}: PUMP@{}={}", epoch + 1, epoch + 1, epoch + 1));
    }
    for (const auto& [threads, lanes] : {std::pair{1u, 1u}, {4u, 1u}, {4u, 3u}}) {
        std::vector<std::string> lines = run_with_changes(threads, lanes);
        // A window is posted in a later epoch than its own: only what it says counts.
        std::sort(lines.begin(), lines.end());
        std::sort(expected.begin(), expected.end());
        EXPECT_EQ(lines, expected) << threads << " threads, " << lanes << " lanes";
    }
}

void forget_content(CutOptions& cut) {
    for (TableVersion& version : cut.tables) version.content = nullptr;
}

/// One epoch with two events at whatever the table says.
void feed_epoch(Core& core, std::uint64_t epoch, CutOptions cut) {
    std::vector<Event> events;
    for (std::uint64_t i = 0; i < 2; ++i)
        events.push_back(
            {.id = 2 * epoch + i, .key = 7, .time = static_cast<std::int64_t>(10'000 + 1000 * epoch), .amount = -1});
    core.feed(0, synthetic::make_block(events, 2 * epoch + 1));
    core.cut(std::move(cut));
}

/// Amounts by key of a posting.
std::map<std::string, std::int64_t> amounts_of(std::span<const EpochResult> results) {
    std::map<std::string, std::int64_t> amounts;
    for (const EpochResult& result : results) {
        for (const Posting& posting : result.postings) amounts[posting.key] = static_cast<std::int64_t>(posting.amount);
    }
    return amounts;
}

/// A start that has a state and the epochs after it, but not the table's origin.
TEST(LiveTable, AStateAndTheEpochsAfterItGiveTheSameTables) {
    const auto made = priced_plan(std::make_shared<Origin>());
    std::vector<EpochResult> journal;
    std::vector<EngineState> states;
    {
        Core core(made->plan, {}, [&](EpochResult&& result) { journal.push_back(std::move(result)); });
        for (std::uint64_t epoch = 0; epoch < 12; ++epoch) {
            CutOptions cut;
            const TemporalTable& now = *made->plan.tables[0].handle->current;
            if (epoch == 6) {
                cut.tables.push_back({0, false, {removal("PUMP", 60)}, TableBuilder(now.spec()).build().value()});
            } else if (epoch % 3 == 0) {
                cut.tables.push_back(version_of(now, epoch + 1, static_cast<std::int64_t>(epoch) + 5));
                cut.tables.back().whole = epoch == 0;
            }
            feed_epoch(core, epoch, std::move(cut));
            core.drain();
            states.push_back(core.save());
        }
    }
    for (const EngineState& state : states) {
        const auto later = priced_plan(std::make_shared<Origin>());
        std::vector<EpochResult> again;
        Core core(later->plan, {.lanes = 2}, [&](EpochResult&& result) { again.push_back(std::move(result)); });
        ASSERT_TRUE(core.load(state).ok());
        for (std::uint64_t epoch = state.epoch; epoch < journal.size(); ++epoch) {
            CutOptions cut = journal[epoch].cut;
            forget_content(cut);
            ASSERT_TRUE(core.complete_tables(cut).ok());
            feed_epoch(core, epoch, std::move(cut));
        }
        core.drain();
        // The state of the test's panes is not saved, so what they post again is of the events that came again.
        const std::map<std::string, std::int64_t> before = amounts_of(journal);
        const std::map<std::string, std::int64_t> now = amounts_of(again);
        EXPECT_GE(now.size() + state.epoch + 3, journal.size());
        for (const auto& [key, amount] : now)
            EXPECT_EQ(amount, before.at(key)) << key << " after the state of epoch " << state.epoch;
        EXPECT_EQ(core.save().tables[0].entries->size(), 1u);
        EXPECT_EQ(core.table_entries(0)->at("PUMP").value, "14");
    }
}

TEST(LiveTable, AStateIsNotChangedByLaterVersions) {
    const auto made = priced_plan(std::make_shared<Origin>());
    Core core(made->plan, {}, [](EpochResult&&) {});
    core.cut({.tables = {version_of(*made->plan.tables[0].handle->current, 1, 3)}});
    core.drain();
    const EngineState before = core.save();
    core.cut({.tables = {version_of(*made->plan.tables[0].handle->current, 2, 8)}});
    core.drain();
    EXPECT_EQ(before.tables[0].entries->at("PUMP").value, "3");
    EXPECT_EQ(core.save().tables[0].entries->at("PUMP").value, "8");
}

TEST(LiveTable, WhatIsNoEntryOfThePlanIsLeftOutOfAStateAndNotReadFromAJournal) {
    const auto made = priced_plan(std::make_shared<Origin>());
    EngineState state;
    {
        Core core(made->plan, {}, [](EpochResult&&) {});
        core.cut({.tables = {version_of(*made->plan.tables[0].handle->current, 1, 3)}});
        core.drain();
        state = core.save();
    }
    auto entries = std::make_shared<TableEntries>(*state.tables[0].entries);
    entries->emplace("VALVE", put("VALVE", 2, "?"));
    state.tables[0].entries = entries;
    Core core(made->plan, {}, [](EpochResult&&) {});
    ASSERT_TRUE(core.load(state).ok());
    EXPECT_EQ(rows_of(*made->plan.tables[0].handle->current), "PUMP 3");
    EXPECT_EQ(core.table_entries(0)->size(), 1u) << "its origin may tell it again";
    CutOptions cut{.tables = {{0, false, {put("VALVE", 3, "?")}, nullptr}}};
    EXPECT_EQ(core.complete_tables(cut).error().code, "F625");
    cut.tables = {{1, false, {}, nullptr}};
    EXPECT_EQ(core.complete_tables(cut).error().code, "F625");
}

// ---- in the engine

/// Events that a test gives block by block, then the end.
class ListSource final : public Source {
  public:
    struct Blocks {
        std::mutex mutex;
        std::deque<std::vector<Event>> blocks;
        bool opened = false;
        bool end = false;
    };
    explicit ListSource(std::shared_ptr<Blocks> blocks) : blocks_(std::move(blocks)) {}
    Status open(const SourcePosition&) override {
        std::lock_guard lock(blocks_->mutex);
        blocks_->opened = true;
        return {};
    }
    Result<State> read(const Limits& limits, MessageBlock& block) override {
        std::unique_lock lock(blocks_->mutex);
        if (blocks_->blocks.empty()) {
            if (blocks_->end) return State::end;
            lock.unlock();
            std::this_thread::sleep_for(std::chrono::nanoseconds(limits.wait));  // as a connector waits for its server
            return State::idle;
        }
        block = *synthetic::make_block(blocks_->blocks.front(), sequence_ + 1);
        sequence_ += block.messages.size();
        blocks_->blocks.pop_front();
        return State::more;
    }
    SourcePosition position() const override { return {sequence_ + 1, {}}; }
    std::string describe() const override { return "list"; }

  private:
    std::shared_ptr<Blocks> blocks_;
    std::uint64_t sequence_ = 0;
};

class AcceptingSink final : public Sink {
  public:
    Status open() override { return {}; }
    Result<std::vector<Delivery>> deliver(std::span<const Posting> postings) override {
        return std::vector<Delivery>(postings.size(), {State::accepted, {}, {}});
    }
    Status keep(std::span<const DeadLetter>) override { return {}; }
    Status summarize(std::span<const OutcomeCount>) override { return {}; }
    Status finish() override { return {}; }
    std::string describe() const override { return "accepts"; }
};

class LiveTableEngine : public testing::Test {
  protected:
    LiveTableEngine() {
        SourcePlan& source = made_->plan.sources[0];
        source.make = [blocks = blocks_]() -> Result<std::unique_ptr<Source>> {
            return std::unique_ptr<Source>(new ListSource(blocks));
        };
        SinkPlan sink;
        sink.name = "ledger";
        sink.connector = "test";
        sink.make = []() -> Result<std::unique_ptr<Sink>> { return std::unique_ptr<Sink>(new AcceptingSink); };
        made_->plan.sinks.push_back(std::move(sink));
        made_->plan.epoch = kMillisecond;
        engine_ = std::make_unique<Engine>(made_->plan,
                                           Engine::Options{.lanes = 2,
                                                           .threads = 2,
                                                           .read = {.wait = kMillisecond},
                                                           .retry = {.first = kMillisecond, .longest = kMillisecond}});
    }
    void start() {
        thread_ = std::thread([this] { result_ = engine_->run(); });
    }
    Status finish() {
        thread_.join();
        return result_;
    }
    template <typename Condition>
    void wait_until(Condition condition) {
        while (!condition(engine_->status())) std::this_thread::yield();
    }
    void say(std::vector<Event> events) {
        std::lock_guard lock(blocks_->mutex);
        blocks_->blocks.push_back(std::move(events));
    }
    void end_input() {
        std::lock_guard lock(blocks_->mutex);
        blocks_->end = true;
    }

    std::shared_ptr<Origin> origin_ = std::make_shared<Origin>();
    std::shared_ptr<ListSource::Blocks> blocks_ = std::make_shared<ListSource::Blocks>();
    std::unique_ptr<synthetic::SyntheticPlan> made_ = priced_plan(origin_);
    std::unique_ptr<Engine> engine_;
    Status result_;
    std::thread thread_;
};

Event unpriced_sale(std::uint64_t id) {
    return {.id = id, .key = 7, .time = 10'000, .amount = 0};
}

TEST_F(LiveTableEngine, SourcesStartWhenTheTableIsLoadedAndLaterEventsSeeItsChanges) {
    origin_->opens.assign(20, Error{"E526", "no answer"});
    origin_->content = {found(put("PUMP", 1, "3"))};
    say({unpriced_sale(1)});
    start();
    wait_until([](const EngineStatus& status) { return status.tables[0].retries == 20; });
    wait_until([](const EngineStatus& status) { return status.events == 1; });
    EXPECT_EQ(engine_->status().tables[0].revision, 1u) << "no event before the table";
    origin_->say({put("PUMP", 2, "50")});
    // Nothing comes in: an empty epoch brings the change.
    wait_until([](const EngineStatus& status) { return status.tables[0].revision == 2; });
    say({unpriced_sale(2)});
    wait_until([](const EngineStatus& status) { return status.events == 2; });
    origin_->say({removal("PUMP", 3)});
    wait_until([](const EngineStatus& status) { return status.tables[0].revision == 3; });
    say({unpriced_sale(3)});
    end_input();
    ASSERT_TRUE(finish().ok());
    const EngineStatus status = engine_->status();
    ASSERT_THAT(status.postings, SizeIs(1));
    EXPECT_EQ(static_cast<int>(status.postings[0].amount), 53);
    EXPECT_EQ(status.tables[0].rows, 0u);
}

TEST_F(LiveTableEngine, AMissingOriginEndsTheRunBeforeAnySourceIsOpened) {
    origin_->opens = {Error{"C526", "there is no bucket"}};
    start();
    const Status status = finish();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, "C526");
    EXPECT_FALSE(blocks_->opened);
    EXPECT_EQ(engine_->status().phase, EngineStatus::Phase::failed);
}

TEST_F(LiveTableEngine, StopsWhileATableDoesNotLoad) {
    origin_->opens.assign(1'000'000, Error{"E526", "no answer"});
    start();
    wait_until([](const EngineStatus& status) { return status.tables[0].retries > 2; });
    engine_->request_stop();
    EXPECT_TRUE(finish().ok());
    EXPECT_FALSE(blocks_->opened);
    EXPECT_THAT(engine_->status().tables[0].last_error, HasSubstr("no answer"));
}

}  // namespace
}  // namespace takt
