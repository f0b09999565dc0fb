// Dead letters that come again: through the core, and through runs that die anywhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <set>

#include "pipeline/dead_letters/dead_letter_desk.h"
#include "pipeline/dead_letters/dead_letter_log.h"
#include "pipeline/dead_letters/dead_letter_schema.h"
#include "pipeline/runtime/core.h"
#include "tests/unit/pipeline/runtime/durable_run.h"

namespace takt {
namespace {

using namespace durable;
using synthetic::make_block;
using synthetic::make_plan;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::string bytes_of(const Event& event) {
    return {reinterpret_cast<const char*>(&event), sizeof event};
}

DeadLetterReplay replay_of(std::uint64_t sequence, std::string data) {
    DeadLetterReplay replay;
    replay.sequence = sequence;
    replay.subject = "plant.a";
    replay.ingest_time = 77;
    replay.data = std::move(data);
    return replay;
}

/// A plan and a core over it, with one thread unless told otherwise.
struct Running {
    explicit Running(std::uint32_t lanes = 1)
        : core(made->plan, {.lanes = lanes, .threads = lanes},
               [this](EpochResult&& epoch) { epochs.push_back(std::move(epoch)); }) {}
    const EpochResult& cut(CutOptions options) {
        core.cut(std::move(options));
        core.drain();
        return epochs.back();
    }
    std::unique_ptr<synthetic::SyntheticPlan> made = make_plan({});
    std::vector<EpochResult> epochs;
    Core core;
};

TEST(Retry, AnEditedEventIsAcceptedUnderItsOwnPlace) {
    Running run;
    run.core.feed(0, make_block({{.id = 0}, {.id = 2, .key = 5, .time = 10'100, .amount = 7}}));
    const EpochResult& first = run.cut({});
    ASSERT_THAT(first.dead_letters, SizeIs(1));
    EXPECT_EQ(first.dead_letters[0].replay, 0u);
    CutOptions cut;
    cut.replays = {replay_of(1, bytes_of({.id = 1, .key = 5, .time = 10'200, .amount = 4}))};
    cut.flush = true;
    const EpochResult& second = run.cut(cut);
    EXPECT_THAT(second.replay_outcomes, ElementsAre(kAccepted));
    EXPECT_THAT(second.dead_letters, IsEmpty());
    ASSERT_THAT(second.postings, SizeIs(1));
    EXPECT_EQ(second.postings[0].amount, 11);
    EXPECT_EQ(second.postings[0].lineage.events, 2u);
    EXPECT_EQ(second.postings[0].lineage.ranges[0].first_sequence, 1u);
    EXPECT_EQ(second.postings[0].lineage.ranges[0].last_sequence, 2u);
    // It was counted when it came: not once more.
    EXPECT_EQ(second.messages, 0u);
    EXPECT_EQ(second.rows, 0u);
    EXPECT_EQ(second.cuts[0].last_sequence, 2u);
    EXPECT_EQ(second.audit.replayed, (EventSum{1, event_hash(source_seed("a"), 1, 0)}));
    EXPECT_EQ(second.audit.replays[kAccepted], second.audit.replayed);
}

TEST(Retry, EveryOtherEndIsTold) {
    Running run;
    run.core.feed(0, make_block({{.id = 1, .key = 5, .time = 10'100, .amount = 7}}));
    run.cut({});
    CutOptions cut;
    cut.replays = {replay_of(5, "bad"), replay_of(6, bytes_of({.id = 1, .key = 5, .time = 10'100, .amount = 7})),
                   replay_of(7, bytes_of({.id = 3, .key = 5, .time = 10'100, .amount = 7, .kind = Event::noise})),
                   replay_of(8, bytes_of({.id = 4, .key = 5, .time = 10'100, .kind = Event::incomplete}))};
    cut.replays[3].part = 3;
    cut.replays[3].replay = 2;
    const EpochResult& epoch = run.cut(cut);
    EXPECT_THAT(epoch.replay_outcomes,
                ElementsAre(kMalformed, run.made->codes.duplicate, run.made->codes.noise, run.made->codes.incomplete));
    ASSERT_THAT(epoch.dead_letters, SizeIs(2));
    const DeadLetter& letter = epoch.dead_letters[1];
    EXPECT_EQ(std::tie(letter.source, letter.sequence, letter.part, letter.replay), std::make_tuple("a", 8u, 3u, 2u));
    EXPECT_EQ(letter.subject, "plant.a");
    EXPECT_EQ(letter.ingest_time, 77);
    EXPECT_EQ(letter.reason, "MISSING_FIELD");
    EXPECT_EQ(letter.bytes, cut.replays[3].data);
    EXPECT_THAT(find_imbalances(epoch, std::vector<std::string>{"a"}), testing::IsEmpty());
    EXPECT_EQ(epoch.audit.replays[run.made->codes.incomplete], (EventSum{1, event_hash(source_seed("a"), 8, 3)}));
}

TEST(Retry, WhatIsTooLateStaysSoAndTheWatermarkStaysWhereItIs) {
    Running run;
    run.core.feed(0, make_block({{.id = 1, .key = 5, .time = 10'100}, {.id = 2, .key = 5, .time = 20'000}}));
    const Timestamp watermark = run.cut({}).watermark_after;
    CutOptions cut;
    cut.replays = {replay_of(9, bytes_of({.id = 3, .key = 5, .time = 10'200, .amount = 4})),
                   replay_of(10, bytes_of({.id = 4, .key = 5, .time = 90'000, .amount = 4}))};
    const EpochResult& epoch = run.cut(cut);
    EXPECT_THAT(epoch.replay_outcomes, ElementsAre(run.made->codes.too_late, kAccepted));
    ASSERT_THAT(epoch.dead_letters, SizeIs(1));
    EXPECT_EQ(epoch.dead_letters[0].reason, "TOO_LATE");
    EXPECT_EQ(epoch.watermark_after, watermark);
}

TEST(Retry, LanesDoNotChangeTheAnswer) {
    std::vector<std::string> answers;
    for (const std::uint32_t lanes : {1u, 2u, 5u}) {
        Running run(lanes);
        const std::vector<Event> events = synthetic::random_events(3000, 11);
        std::string answer;
        for (std::size_t i = 0; i < 3; ++i) {
            const auto begin = events.begin() + static_cast<std::ptrdiff_t>(1000 * i);
            run.core.feed(0, make_block({begin, begin + 1000}, 1000 * i + 1));
            CutOptions cut;
            cut.flush = i == 2;
            for (const EpochResult& before : run.epochs) {
                for (const DeadLetter& letter : before.dead_letters) {
                    Event event = events[letter.sequence - 1];
                    event.id = 100'000 + letter.sequence;
                    event.kind = Event::sale;
                    cut.replays.push_back(replay_of(letter.sequence, bytes_of(event)));
                }
            }
            const EpochResult& epoch = run.cut(cut);
            answer += synthetic::to_text(epoch) + fmt::format("replays {}\n", fmt::join(epoch.replay_outcomes, " "));
        }
        answers.push_back(answer);
    }
    EXPECT_GT(std::count(answers[0].begin(), answers[0].end(), '\n'), 100);
    EXPECT_EQ(answers[0], answers[1]);
    EXPECT_EQ(answers[0], answers[2]);
}

/// A folder for the store of dead letters, gone afterwards.
class StateFolder {
  public:
    StateFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "takt-retry-XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    ~StateFolder() { std::filesystem::remove_all(path_); }
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

/// Orders a retry of everything that is open, each with another amount for one pane. How much that is.
std::int64_t order_retries(const std::string& folder) {
    auto desk = DeadLetterDesk::open(folder);
    EXPECT_TRUE(desk) << desk.error().text();
    std::int64_t sum = 0;
    const auto open = desk->list({.state = EntryState::open});
    for (const DeadLetterEntry& entry : *open) {
        const Event event{
            .id = 1'000'000 + static_cast<std::uint64_t>(entry.id), .key = 777, .time = 40'000, .amount = entry.id};
        EXPECT_TRUE(desk->retry({.ids = {entry.id}}, bytes_of(event), {"anna", "", 0}));
        sum += entry.id;
    }
    return sum;
}

/// The last revision of the pane that all retries went to.
Int128 retried_amount(const Durable& durable) {
    Int128 amount = 0;
    for (const EpochResult& epoch : durable.epochs) {
        for (const Posting& posting : epoch.postings) {
            if (posting.key.starts_with("left/41000/777/")) amount = posting.amount;
        }
    }
    return amount;
}

TEST(Retry, WhereverARunDiesARetryHasItsEffectOnce) {
    std::vector<std::vector<Event>> inputs = {make_events(1, 1500), make_events(2, 700)};
    for (auto& input : inputs) {
        for (std::size_t i = 5; i < input.size(); i += 37) input[i].id = 0;
    }
    const auto made = make_plan({.sources = inputs.size()});
    std::uint64_t deaths_after_retries = 0;
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        std::mt19937_64 random(seed);
        Durable durable;
        const StateFolder folder;
        std::int64_t ordered = 0;
        for (std::uint64_t life = 1;; ++life) {
            ASSERT_LT(life, 20u) << "it does not come to its end, seed " << seed;
            const Death death = life < 5 ? static_cast<Death>(1 + random() % 2) : Death::none;
            MemoryLog journal(durable, death, 1 + random() % 6);
            auto log = DeadLetterLog::open(journal, dead_letter_path(folder.path()), made->plan, {.incarnation = life});
            ASSERT_TRUE(log) << log.error().text();
            const Status ended = run(durable, inputs, **log, static_cast<std::uint32_t>(1 + random() % 3),
                                     1 + random() % 200, 50 + random() % 100);
            if (ended.ok()) break;
            ASSERT_EQ(ended.error().code, "F999") << ended.error().text() << ", seed " << seed;
            if (ordered > 0) ++deaths_after_retries;
            ordered += order_retries(folder.path());
        }
        ASSERT_GT(ordered, 0) << "seed " << seed;
        EXPECT_EQ(retried_amount(durable), ordered) << "seed " << seed;
        std::set<std::pair<std::uint32_t, std::uint64_t>> events;
        std::uint64_t replays = 0;
        for (const EpochResult& epoch : durable.epochs) {
            for (const DeadLetterReplay& replay : epoch.cut.replays) events.emplace(replay.source, replay.sequence);
            replays += epoch.cut.replays.size();
            for (const OutcomeCode code : epoch.replay_outcomes) EXPECT_EQ(code, kAccepted) << "seed " << seed;
        }
        EXPECT_EQ(events.size(), replays) << "seed " << seed;
        auto desk = DeadLetterDesk::open(folder.path());
        EXPECT_THAT(*desk->list({.state = EntryState::replayed}), IsEmpty()) << "seed " << seed;
        EXPECT_EQ(desk->list({.state = EntryState::accepted})->size(), replays) << "seed " << seed;
        // Each dead letter of the journal is there once.
        std::uint64_t letters = 0;
        for (const EpochResult& epoch : durable.epochs) letters += epoch.dead_letters.size();
        EXPECT_EQ(desk->list({})->size(), letters) << "seed " << seed;
        std::uint64_t counted = 0;
        for (const auto& [outcome, count] : durable.totals) counted += count;
        EXPECT_EQ(counted, inputs[0].size() + inputs[1].size()) << "seed " << seed;
    }
    EXPECT_GT(deaths_after_retries, 15u);
}

}  // namespace
}  // namespace takt
