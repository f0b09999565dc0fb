// What the daemon keeps of dead letters, what people order, and what of it comes back to the daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "pipeline/dead_letters/dead_letter_desk.h"
#include "pipeline/dead_letters/dead_letter_log.h"
#include "pipeline/dead_letters/dead_letter_schema.h"

namespace takt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// A state directory of its own for each test, and a pipeline with two sources.
class DeadLetters : public testing::Test {
  protected:
    DeadLetters() {
        std::string name = (std::filesystem::temp_directory_path() / "takt-dead-letters-XXXXXX").string();
        folder_ = ::mkdtemp(name.data());
        plan_.pipeline = "plant";
        for (const char* source_name : {"floor", "lab"}) {
            SourcePlan& source = plan_.sources.emplace_back();
            source.name = source_name;
            source.index = static_cast<std::uint32_t>(plan_.sources.size() - 1);
        }
        test_order_ = plan_.outcomes.add({OutcomeKind::filtered, "test_order", "", "real", false});
        duplicate_ = plan_.outcomes.add({OutcomeKind::duplicate, "", "", "once", false});
        missing_ = plan_.outcomes.add({OutcomeKind::dead_letter, "MISSING_FIELD", "plant_it", "complete", true});
    }
    ~DeadLetters() override { std::filesystem::remove_all(folder_); }

    DeadLetterStore store() {
        Result<DeadLetterStore> opened =
            DeadLetterStore::open(dead_letter_path(folder_), plan_, {.engine_version = "0.1.0", .config_hash = "c0de"});
        EXPECT_TRUE(opened) << opened.error().text();
        return std::move(*opened);
    }
    DeadLetterDesk desk() {
        Result<DeadLetterDesk> opened = DeadLetterDesk::open(folder_);
        EXPECT_TRUE(opened) << opened.error().text();
        return std::move(*opened);
    }
    RetryRequests requests() {
        Result<RetryRequests> opened = RetryRequests::open(dead_letter_path(folder_), plan_);
        EXPECT_TRUE(opened) << opened.error().text();
        return std::move(*opened);
    }
    static DeadLetter letter(std::uint64_t sequence, const std::string& bytes = "{") {
        DeadLetter letter;
        letter.source = "floor";
        letter.sequence = sequence;
        letter.subject = "plant.a";
        letter.ingest_time = 1'000'000'001;
        letter.reason = "DECODE";
        letter.text = "no JSON";
        letter.owner = "plant_it";
        letter.step = "decode";
        letter.bytes = bytes;
        return letter;
    }
    static EpochResult epoch(std::uint64_t number, std::vector<DeadLetter> letters = {}) {
        EpochResult epoch;
        epoch.epoch = number;
        epoch.dead_letters = std::move(letters);
        return epoch;
    }
    /// An epoch that took these retries.
    static EpochResult epoch_with(std::uint64_t number, const std::vector<DeadLetterReplay>& replays,
                                  OutcomeCode outcome) {
        EpochResult epoch;
        epoch.epoch = number;
        epoch.cut.replays = replays;
        epoch.replay_outcomes.assign(replays.size(), outcome);
        return epoch;
    }
    std::string states() {
        std::string text;
        DeadLetterDesk open = desk();
        const auto entries = open.list({});
        for (const DeadLetterEntry& entry : *entries)
            text += fmt::format("{}{} {}", text.empty() ? "" : ", ", entry.id, to_string(entry.state));
        return text;
    }

    const DeadLetterOrder order_ = {"anna", "fixed by the MES team", 2'000'000'000};
    std::string folder_;
    Plan plan_;
    OutcomeCode test_order_ = 0, duplicate_ = 0, missing_ = 0;
};

TEST_F(DeadLetters, EachIsKeptWithAllThatIsKnown) {
    DeadLetter full{"floor",    17,         2,          "plant.a", 1'700'000'000'123'456'789, "e-7", "MISSING_FIELD",
                    "no 'lot'", "plant_it", "complete", "PO-1",    std::string("\xFF\0{", 3), 5};
    ASSERT_TRUE(store().apply(epoch(5, {full, letter(18)}), 3, 0));
    DeadLetterDesk open = desk();
    const auto entries = open.list({});
    ASSERT_TRUE(entries) << entries.error().text();
    ASSERT_THAT(*entries, SizeIs(2));
    const DeadLetterEntry& entry = entries->front();
    EXPECT_EQ(entry.id, 1);
    EXPECT_EQ(entry.state, EntryState::open);
    EXPECT_TRUE(entry.of_source);
    EXPECT_EQ(entry.incarnation, 3u);
    EXPECT_EQ(entry.engine_version, "0.1.0");
    EXPECT_EQ(entry.config_hash, "c0de");
    const DeadLetter& kept = entry.letter;
    EXPECT_EQ(std::tie(kept.source, kept.sequence, kept.part, kept.subject, kept.ingest_time, kept.event_id),
              std::tie(full.source, full.sequence, full.part, full.subject, full.ingest_time, full.event_id));
    EXPECT_EQ(std::tie(kept.reason, kept.text, kept.owner, kept.step, kept.correlation_id, kept.bytes, kept.epoch),
              std::tie(full.reason, full.text, full.owner, full.step, full.correlation_id, full.bytes, full.epoch));
}

TEST_F(DeadLetters, AnEpochThatComesAgainChangesNothing) {
    {
        DeadLetterStore first = store();
        ASSERT_TRUE(first.apply(epoch(1, {letter(1)}), 1, 0));
        ASSERT_TRUE(first.apply(epoch(1, {letter(1)}), 1, 0));
        ASSERT_TRUE(first.apply(epoch(2), 1, 0));
        EXPECT_EQ(first.last_epoch(), 2u);
        ASSERT_TRUE(first.synchronize());
    }
    DeadLetterStore again = store();
    EXPECT_EQ(again.last_epoch(), 2u);
    ASSERT_TRUE(again.apply(epoch(2, {letter(2)}), 2, 0));
    EXPECT_EQ(states(), "1 open");
}

TEST_F(DeadLetters, AreChosenByReasonOwnerStateAndNumber) {
    DeadLetter other = letter(3);
    other.reason = "MISSING_FIELD";
    other.owner = "master_data";
    ASSERT_TRUE(store().apply(epoch(1, {letter(1), letter(2), other}), 1, 0));
    DeadLetterDesk open = desk();
    const auto count = [&](const DeadLetterFilter& filter) { return open.list(filter)->size(); };
    EXPECT_EQ(count({.reason = "DECODE"}), 2u);
    EXPECT_EQ(count({.owner = "master_data"}), 1u);
    EXPECT_EQ(count({.state = EntryState::open}), 3u);
    EXPECT_EQ(count({.state = EntryState::accepted}), 0u);
    EXPECT_EQ(count({.limit = 2}), 2u);
    EXPECT_EQ(open.list({.ids = {1, 9}}).error().code, "C652");
}

TEST_F(DeadLetters, ARetryGoesToThePipelineOnceAsItWasReceived) {
    DeadLetterStore daemon = store();
    ASSERT_TRUE(daemon.apply(epoch(1, {letter(7, "{}")}), 1, 0));
    RetryRequests open_requests = requests();
    EXPECT_THAT(*open_requests.take(), IsEmpty());
    DeadLetterDesk open = desk();
    EXPECT_EQ(*open.retry({.ids = {1, 1}}, {}, order_), 1u);
    const auto taken = open_requests.take();
    ASSERT_TRUE(taken);
    ASSERT_THAT(*taken, SizeIs(1));
    const DeadLetterReplay& replay = taken->front();
    EXPECT_EQ(replay.source, 0u);
    EXPECT_EQ(replay.sequence, 7u);
    EXPECT_EQ(replay.replay, 1u);
    EXPECT_EQ(replay.subject, "plant.a");
    EXPECT_EQ(replay.ingest_time, 1'000'000'001);
    EXPECT_EQ(replay.data, "{}");
    EXPECT_EQ(replay.who, "anna");
    EXPECT_EQ(replay.why, "fixed by the MES team");
    EXPECT_THAT(*open_requests.take(), IsEmpty());
    // Nor when the file changes while its epoch is under way.
    ASSERT_TRUE(daemon.apply(epoch(2, {letter(8)}), 1, 0));
    EXPECT_THAT(*open_requests.take(), IsEmpty());
    // A start after a crash that came before the epoch was durable takes it again, one after that does not.
    EXPECT_THAT(*requests().take(), SizeIs(1));
    ASSERT_TRUE(daemon.apply(epoch_with(3, *taken, kAccepted), 1, 0));
    EXPECT_THAT(*requests().take(), IsEmpty());
    EXPECT_EQ(states(), "1 accepted, 2 open");
}

TEST_F(DeadLetters, WhatWasAcceptedCannotBeRetriedOrDiscarded) {
    DeadLetterStore daemon = store();
    ASSERT_TRUE(daemon.apply(epoch(1, {letter(7), letter(8)}), 1, 0));
    DeadLetterDesk open = desk();
    ASSERT_TRUE(open.retry({.ids = {1}}, {}, order_));
    EXPECT_THAT(open.retry({.ids = {1}}, {}, order_).error().text(), HasSubstr("has not ended yet"));
    EXPECT_EQ(open.discard({.ids = {1}}, order_).error().code, "C653");
    ASSERT_TRUE(daemon.apply(epoch_with(2, *requests().take(), kAccepted), 1, 0));
    EXPECT_THAT(open.retry({.ids = {1}}, {}, order_).error().text(),
                HasSubstr("C653: dead letter 1 cannot be retried: it was accepted"));
    EXPECT_EQ(open.discard({.ids = {1}}, order_).error().code, "C653");
    // All or none.
    EXPECT_EQ(open.retry({.ids = {2, 1}}, {}, order_).error().code, "C653");
    EXPECT_EQ(states(), "1 accepted, 2 open");
    // By reason, those are meant that somebody must still act on.
    EXPECT_EQ(*open.retry({.reason = "DECODE"}, {}, order_), 1u);
    EXPECT_EQ(states(), "1 accepted, 2 replayed");
}

TEST_F(DeadLetters, ARetryThatIsRefusedAgainIsTheSameEntry) {
    DeadLetterStore daemon = store();
    ASSERT_TRUE(daemon.apply(epoch(1, {letter(7)}), 1, 0));
    DeadLetterDesk open = desk();
    ASSERT_TRUE(open.retry({.ids = {1}}, "{edited}", order_));
    const std::vector<DeadLetterReplay> taken = *requests().take();
    ASSERT_THAT(taken, SizeIs(1));
    EXPECT_EQ(taken[0].data, "{edited}");
    EpochResult refused = epoch_with(2, taken, missing_);
    DeadLetter again = letter(7, "{edited}");
    again.reason = "MISSING_FIELD";
    again.replay = 1;
    refused.dead_letters = {again};
    ASSERT_TRUE(daemon.apply(refused, 1, 0));
    EXPECT_EQ(states(), "1 rejected");
    const auto entries = open.list({});
    EXPECT_EQ(entries->front().letter.reason, "MISSING_FIELD");
    // Without another edit it goes as it was refused last.
    ASSERT_TRUE(open.retry({.ids = {1}}, {}, order_));
    const std::vector<DeadLetterReplay> second = *requests().take();
    ASSERT_THAT(second, SizeIs(1));
    EXPECT_EQ(second[0].replay, 2u);
    EXPECT_EQ(second[0].data, "{edited}");
    ASSERT_TRUE(daemon.apply(epoch_with(3, second, kAccepted), 1, 0));
    const auto history = open.history(1);
    ASSERT_TRUE(history) << history.error().text();
    EXPECT_THAT(history->refusals, SizeIs(2));
    ASSERT_THAT(history->retries, SizeIs(2));
    EXPECT_TRUE(history->retries[0].edited);
    EXPECT_EQ(history->retries[0].rule, "MISSING_FIELD");
    EXPECT_EQ(history->retries[1].outcome, "accepted");
    EXPECT_EQ(history->retries[1].epoch, 3u);
    std::string audit;
    for (const auto& line : history->audit) audit += fmt::format("{}: {}; ", line.who, line.what);
    EXPECT_EQ(audit,
              "anna: retry ordered, with an edited event; takt: retry 1 ended in epoch 2: rejected, MISSING_FIELD; "
              "anna: retry ordered; takt: retry 2 ended in epoch 3: accepted; ");
    EXPECT_EQ(history->audit[0].why, "fixed by the MES team");
    EXPECT_EQ(history->audit[0].time, "1970-01-01T00:00:02Z");
}

TEST_F(DeadLetters, OtherEndsOfARetryAreNamed) {
    DeadLetterStore daemon = store();
    ASSERT_TRUE(daemon.apply(epoch(1, {letter(1), letter(2), letter(3)}), 1, 0));
    DeadLetterDesk open = desk();
    ASSERT_EQ(*open.retry({.reason = "DECODE"}, {}, order_), 3u);
    EpochResult ended = epoch_with(2, *requests().take(), duplicate_);
    ended.replay_outcomes = {duplicate_, test_order_, kUndecided};
    ASSERT_TRUE(daemon.apply(ended, 1, 0));
    EXPECT_EQ(states(), "1 duplicate, 2 filtered, 3 rejected");
    EXPECT_EQ(open.history(3)->retries[0].rule, "NO_EVENT");
}

TEST_F(DeadLetters, ARetryThatNobodyTakesCanBeTakenBackWhileNobodyRuns) {
    DeadLetterStore daemon = store();
    ASSERT_TRUE(daemon.apply(epoch(1, {letter(7), letter(8)}), 1, 0));
    DeadLetterDesk open = desk();
    ASSERT_TRUE(open.retry({.ids = {1, 2}}, {}, order_));
    EXPECT_EQ(*open.discard({.ids = {1}}, order_, true), 1u);
    EXPECT_EQ(states(), "1 discarded, 2 replayed");
    EXPECT_EQ(open.history(1)->retries[0].outcome, "TAKEN_BACK");
    EXPECT_EQ(open.history(1)->audit[1].what, "retry taken back");
    const auto taken = requests().take();
    ASSERT_THAT(*taken, SizeIs(1));
    EXPECT_EQ((*taken)[0].sequence, 8u);
    EXPECT_EQ(*open.discard({.reason = "DECODE"}, order_, true), 0u) << "it was not named";
    // It was in a durable frame after all.
    DeadLetterReplay in_frame = (*taken)[0];
    in_frame.sequence = 7;
    ASSERT_TRUE(daemon.apply(epoch_with(2, {in_frame}, kAccepted), 1, 0));
    EXPECT_EQ(states(), "1 accepted, 2 replayed");
}

TEST_F(DeadLetters, RowsOfPanesCannotBeRetried) {
    DeadLetter row = letter(9, "");
    row.source = "by_hour";
    ASSERT_TRUE(store().apply(epoch(1, {row}), 1, 0));
    DeadLetterDesk open = desk();
    EXPECT_THAT(open.retry({.ids = {1}}, {}, order_).error().text(), HasSubstr("no event but a row"));
    EXPECT_EQ(*open.retry({.reason = "DECODE"}, {}, order_), 0u);
    EXPECT_EQ(*open.discard({.ids = {1}}, order_), 1u);
    EXPECT_EQ(states(), "1 discarded");
    EXPECT_EQ(open.retry({.ids = {1}}, {}, order_).error().code, "C653");
}

TEST_F(DeadLetters, TheAuditIsOnlyEverAddedTo) {
    ASSERT_TRUE(store().apply(epoch(1, {letter(1)}), 1, 0));
    ASSERT_TRUE(desk().discard({.ids = {1}}, order_));
    auto database = SqliteDatabase::open(dead_letter_path(folder_), SqliteDatabase::Mode::read_write);
    EXPECT_THAT(database->run("UPDATE audit SET who = 'nobody'").error().text(), HasSubstr("only ever added"));
    EXPECT_THAT(database->run("DELETE FROM audit").error().text(), HasSubstr("only ever added"));
}

TEST_F(DeadLetters, AnotherFileIsRefused) {
    EXPECT_EQ(DeadLetterDesk::open(folder_).error().code, "C650");
    {
        auto other = SqliteDatabase::open(dead_letter_path(folder_), SqliteDatabase::Mode::read_write);
        ASSERT_TRUE(other->run("CREATE TABLE x (y)"));
    }
    EXPECT_EQ(DeadLetterDesk::open(folder_).error().code, "C651");
    EXPECT_EQ(DeadLetterStore::open(dead_letter_path(folder_), plan_, {}).error().code, "C651");
}

/// A log in memory that says what it may forget.
class MemoryLog final : public EpochLog {
  public:
    Result<Past> recover() override {
        Past past;
        past.epochs = epochs;
        past.incarnations.assign(epochs.size(), 8);
        return past;
    }
    Status append(const EpochResult& epoch, const SinkAnswers&) override {
        epochs.push_back(epoch);
        return {};
    }
    Status snapshot(const EngineState&, std::uint64_t delivered) override {
        forgotten = delivered;
        return {};
    }
    std::vector<EpochResult> epochs;
    std::uint64_t forgotten = 0;
};

TEST_F(DeadLetters, WhatACrashKeptFromTheStoreComesAtRecovery) {
    MemoryLog journal;
    journal.epochs = {epoch(1, {letter(1)}), epoch(2), epoch(3, {letter(2)})};
    auto log = DeadLetterLog::open(journal, dead_letter_path(folder_), plan_, {.incarnation = 9});
    ASSERT_TRUE(log) << log.error().text();
    ASSERT_TRUE((*log)->recover());
    ASSERT_TRUE((*log)->append(epoch(4, {letter(3)}), {}));
    EXPECT_EQ(states(), "1 open, 2 open, 3 open");
    DeadLetterDesk open = desk();
    EXPECT_EQ(open.list({})->at(1).incarnation, 8u);
    EXPECT_EQ(open.list({})->at(2).incarnation, 9u);
}

TEST_F(DeadLetters, TheJournalForgetsNothingThatTheStoreDoesNotHave) {
    MemoryLog journal;
    auto log = DeadLetterLog::open(journal, dead_letter_path(folder_), plan_, {.waiting_bytes = 4096});
    ASSERT_TRUE(log) << log.error().text();
    ASSERT_TRUE((*log)->recover());
    ASSERT_TRUE((*log)->append(epoch(1, {letter(1)}), {}));
    ASSERT_TRUE((*log)->snapshot({}, 1));
    EXPECT_EQ(journal.forgotten, 1u);
    {
        auto other = SqliteDatabase::open(dead_letter_path(folder_), SqliteDatabase::Mode::read_write);
        ASSERT_TRUE(other->run("BEGIN IMMEDIATE"));
        // The pipeline goes on; the journal keeps what the store could not take.
        ASSERT_TRUE((*log)->append(epoch(2, {letter(2)}), {}));
        ASSERT_TRUE((*log)->append(epoch(3), {}));
        ASSERT_TRUE((*log)->snapshot({}, 3));
        EXPECT_EQ(journal.forgotten, 1u);
        // Not for ever.
        EXPECT_EQ((*log)->append(epoch(4, {letter(3, std::string(5000, 'x'))}), {}).error().code, "E620");
    }
    ASSERT_TRUE((*log)->append(epoch(5), {}));
    EXPECT_EQ(states(), "1 open, 2 open, 3 open");
    ASSERT_TRUE((*log)->snapshot({}, 5));
    EXPECT_EQ(journal.forgotten, 5u);
}

TEST_F(DeadLetters, AStoreThatBeginsLateSaysSo) {
    MemoryLog journal;
    journal.epochs = {epoch(40, {letter(1)})};
    auto log = DeadLetterLog::open(journal, dead_letter_path(folder_), plan_, {});
    ASSERT_TRUE((*log)->recover());
    auto database = SqliteDatabase::open(dead_letter_path(folder_), SqliteDatabase::Mode::read_only);
    auto line = database->prepare("SELECT what FROM audit");
    ASSERT_EQ(line->step(), SQLITE_ROW);
    EXPECT_THAT(std::string(line->text(0)), HasSubstr("epochs 1 to 39"));
}

}  // namespace
}  // namespace takt
