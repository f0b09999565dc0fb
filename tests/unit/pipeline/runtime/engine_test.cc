#include "pipeline/runtime/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>

#include "tests/unit/pipeline/runtime/synthetic_plan.h"

namespace takt {
namespace {

using synthetic::Event;
using synthetic::sale;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

/// What a test's source says, read by read; after the script it says `last`.
struct Script {
    struct Read {
        Source::State state = Source::State::more;
        std::vector<Event> events;
    };
    std::deque<Read> reads;
    Source::State last = Source::State::end;
    int open_failures = 0;
    std::optional<Error> read_error;  ///< after the script

    std::mutex mutex;
    void say(Source::State state, std::vector<Event> events) {
        std::lock_guard lock(mutex);
        reads.push_back({state, std::move(events)});
    }
};

class ScriptedSource final : public Source {
  public:
    explicit ScriptedSource(std::shared_ptr<Script> script) : script_(std::move(script)) {}
    Status open(const SourcePosition&) override {
        if (script_->open_failures-- > 0) return Error{"E999", "not yet"};
        return {};
    }
    Result<State> read(const Limits& limits, MessageBlock& block) override {
        Script::Read next;
        {
            std::lock_guard lock(script_->mutex);
            if (script_->reads.empty()) {
                if (script_->read_error) return *script_->read_error;
                next.state = script_->last;
            } else {
                next = std::move(script_->reads.front());
                script_->reads.pop_front();
            }
        }
        if (next.events.empty() && next.state != State::end) {
            std::this_thread::sleep_for(std::chrono::nanoseconds(limits.wait));  // as a connector waits for its server
        }
        block = *synthetic::make_block(next.events, sequence_ + 1);
        sequence_ += next.events.size();
        return next.state;
    }
    SourcePosition position() const override { return {sequence_ + 1, {}}; }
    std::string describe() const override { return "script"; }

  private:
    std::shared_ptr<Script> script_;
    std::uint64_t sequence_ = 0;
};

/// What a test's sink got; fails as told.
struct Ledger {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::string> accepted;  ///< keys, in order of their effect
    std::set<std::string> known;
    std::vector<DeadLetter> dead_letters;
    std::map<std::string, std::uint64_t> outcomes;
    int finished = 0;
    int deliveries = 0;
    // Behaviour.
    std::deque<Error> open_errors;
    std::deque<Error> deliver_errors;
    std::set<std::string> unknown_once;  ///< took effect, but says unknown the first time
    std::set<std::string> refuse;
    bool closed = false;  ///< deliver blocks

    std::vector<std::string> keys() {
        std::lock_guard lock(mutex);
        return accepted;
    }
};

class LedgerSink final : public Sink {
  public:
    explicit LedgerSink(std::shared_ptr<Ledger> ledger) : ledger_(std::move(ledger)) {}
    Status open() override { return pop(ledger_->open_errors); }
    Result<std::vector<Delivery>> deliver(std::span<const Posting> postings) override {
        if (Status failed = pop(ledger_->deliver_errors); !failed) return failed.error();
        std::unique_lock lock(ledger_->mutex);
        ++ledger_->deliveries;
        ledger_->changed.notify_all();
        ledger_->changed.wait(lock, [this] { return !ledger_->closed; });
        std::vector<Delivery> answers;
        for (const Posting& posting : postings) {
            if (ledger_->refuse.contains(posting.key)) {
                answers.push_back({State::refused, {}, "period closed"});
                continue;
            }
            if (ledger_->known.insert(posting.key).second) ledger_->accepted.push_back(posting.key);
            answers.push_back(
                {ledger_->unknown_once.erase(posting.key) > 0 ? State::unknown : State::accepted, {}, {}});
        }
        ledger_->changed.notify_all();
        return answers;
    }
    Status keep(std::span<const DeadLetter> dead_letters) override {
        std::lock_guard lock(ledger_->mutex);
        ledger_->dead_letters.insert(ledger_->dead_letters.end(), dead_letters.begin(), dead_letters.end());
        return {};
    }
    Status summarize(std::span<const OutcomeCount> counts) override {
        std::lock_guard lock(ledger_->mutex);
        for (const OutcomeCount& count : counts) ledger_->outcomes[count.outcome + "/" + count.rule] = count.count;
        return {};
    }
    Status finish() override {
        std::lock_guard lock(ledger_->mutex);
        ++ledger_->finished;
        return {};
    }
    std::string describe() const override { return "ledger of a test"; }

  private:
    Status pop(std::deque<Error>& errors) {
        std::lock_guard lock(ledger_->mutex);
        if (errors.empty()) return {};
        const Error error = errors.front();
        errors.pop_front();
        return error;
    }
    std::shared_ptr<Ledger> ledger_;
};

/// A synthetic plan with scripted sources and one ledger.
struct EngineHarness {
    explicit EngineHarness(synthetic::Options options = {}) : made(synthetic::make_plan(options)) {
        for (SourcePlan& source : made->plan.sources) {
            auto script = std::make_shared<Script>();
            scripts.push_back(script);
            source.make = [script]() -> Result<std::unique_ptr<Source>> {
                return std::unique_ptr<Source>(new ScriptedSource(script));
            };
        }
        SinkPlan sink;
        sink.name = "ledger";
        sink.connector = "test";
        sink.make = [this]() -> Result<std::unique_ptr<Sink>> { return std::unique_ptr<Sink>(new LedgerSink(ledger)); };
        made->plan.sinks.push_back(std::move(sink));
        made->plan.epoch = 5 * kMillisecond;
        engine_options.lanes = 2;
        engine_options.threads = 2;
        engine_options.read.wait = kMillisecond;
        engine_options.retry = {.first = kMillisecond, .longest = 2 * kMillisecond};
    }
    Engine& engine() {
        if (engine_ == nullptr) engine_ = std::make_unique<Engine>(made->plan, engine_options);
        return *engine_;
    }
    /// Runs in a thread of its own until `until` holds, then requests a stop.
    template <typename Condition>
    Status run_until(Condition until) {
        Engine& running = engine();
        Status result;
        std::thread thread([&] { result = running.run(); });
        while (!until(running.status())) std::this_thread::yield();
        running.request_stop();
        thread.join();
        return result;
    }

    std::unique_ptr<synthetic::SyntheticPlan> made;
    std::vector<std::shared_ptr<Script>> scripts;
    std::shared_ptr<Ledger> ledger = std::make_shared<Ledger>();
    Engine::Options engine_options;

  private:
    std::unique_ptr<Engine> engine_;
};

TEST(Engine, RunsBoundedInputToItsEndAndClosesAllWindows) {
    EngineHarness harness;
    harness.scripts[0]->say(Source::State::more, {sale(1, 10'100), sale(2, 10'200), sale(0, 0)});
    ASSERT_TRUE(harness.engine().run().ok());
    EXPECT_THAT(harness.ledger->accepted, ElementsAre("left/11000/7/1"));
    ASSERT_THAT(harness.ledger->dead_letters, SizeIs(1));
    EXPECT_EQ(harness.ledger->outcomes["accepted/"], 2);
    EXPECT_EQ(harness.ledger->outcomes["dead_letter/DECODE"], 1);
    EXPECT_EQ(harness.ledger->finished, 1);
    const EngineStatus status = harness.engine().status();
    EXPECT_EQ(status.phase, EngineStatus::Phase::stopped);
    EXPECT_EQ(status.events, 3);
    EXPECT_EQ(status.watermark, kEndOfTime);
    ASSERT_THAT(status.postings, SizeIs(1));
    EXPECT_EQ(status.postings[0].type, "left");
    EXPECT_EQ(static_cast<int>(status.postings[0].amount), 20);
    EXPECT_EQ(status.sinks[0].accepted, 1);
    EXPECT_EQ(status.sinks[0].waiting, 0);
    EXPECT_EQ(status.sources[0].last_sequence, 3);
}

TEST(Engine, DrainsOnAStopAndLeavesOpenWindowsOpen) {
    EngineHarness harness;
    harness.scripts[0]->last = Source::State::idle;
    harness.scripts[0]->say(Source::State::more, {sale(1, 10'100), sale(2, 12'000)});
    EXPECT_TRUE(harness.run_until([](const EngineStatus& status) { return status.events == 2; }).ok());
    EXPECT_THAT(harness.ledger->accepted, ElementsAre("left/11000/7/1")) << "the window of 12'000 is open";
    EXPECT_EQ(harness.ledger->finished, 1);
}

/// A log without room, until there is some.
class FullLog final : public EpochLog {
  public:
    Result<Past> recover() override { return Past{}; }
    Status append(const EpochResult&, const SinkAnswers&) override {
        return has_room ? Status() : Status(Error{"E701", "no room"});
    }
    Status snapshot(const EngineState&, std::uint64_t) override { return {}; }

    std::atomic<bool> has_room = false;
};

TEST(Engine, SaysThatItsLogHasNoRoomUntilThereIsSome) {
    EngineHarness harness;
    FullLog log;
    harness.engine_options.log = &log;
    harness.scripts[0]->last = Source::State::idle;
    harness.scripts[0]->say(Source::State::more, {sale(1, 10'100), sale(2, 12'000)});
    std::string said;
    EXPECT_TRUE(harness
                    .run_until([&](const EngineStatus& status) {
                        if (!status.log_error.empty()) {
                            said = status.log_error;
                            EXPECT_EQ(status.epoch, 0u);
                            log.has_room = true;
                        }
                        return !said.empty() && status.log_error.empty() && status.epoch > 0;
                    })
                    .ok());
    EXPECT_EQ(said, "E701: no room");
    EXPECT_THAT(harness.ledger->accepted, ElementsAre("left/11000/7/1"));
}

TEST(Engine, CutsAtExactlySoManyMessages) {
    EngineHarness harness;
    harness.made->plan.epoch = kHour;
    harness.made->plan.epoch_messages = 3;
    // Late by the watermark of the first cut, which must stand after the third message whatever blocks came.
    harness.scripts[0]->say(Source::State::more, {sale(1, 10'000), sale(2, 30'000), sale(3, 10'001), sale(4, 10'002)});
    harness.scripts[0]->say(Source::State::more, {sale(5, 30'000), sale(6, 30'000), sale(7, 30'000)});
    ASSERT_TRUE(harness.engine().run().ok());
    EXPECT_EQ(harness.ledger->outcomes["accepted/"], 6);
    EXPECT_EQ(harness.ledger->outcomes["dead_letter/TOO_LATE"], 1);
    EXPECT_EQ(harness.engine().status().epoch, 3) << "3 + 3 + 1";
}

TEST(Engine, TakesTheSourcesOfAnEpochInTheOrderOfTheirIndex) {
    EngineHarness harness({.sources = 2});
    harness.made->plan.epoch = kHour;
    harness.scripts[1]->say(Source::State::more, {sale(9, 10'000)});  // the same event: whoever comes first is accepted
    harness.scripts[0]->say(Source::State::idle, {});
    harness.scripts[0]->say(Source::State::idle, {});
    harness.scripts[0]->say(Source::State::more,
                            {{.id = 9, .key = 7, .time = 10'000, .amount = 10, .kind = Event::incomplete}});
    ASSERT_TRUE(harness.engine().run().ok());
    EXPECT_EQ(harness.ledger->outcomes["dead_letter/MISSING_FIELD"], 1);
    EXPECT_EQ(harness.ledger->outcomes["accepted/"], 1) << "b came first, but stands behind a";
}

TEST(Engine, LetsASourceThatIsIdleNoLongerHoldTheWatermark) {
    EngineHarness harness({.sources = 2, .time = {.out_of_order = 0, .idle = 3 * kMillisecond}});
    harness.scripts[0]->last = Source::State::idle;
    harness.scripts[1]->last = Source::State::idle;
    harness.scripts[0]->say(Source::State::more, {sale(1, 10'100), sale(2, 12'000)});
    // After the first epoch both are idle; the watermark may move only while a still counts, that is with its messages.
    EXPECT_TRUE(harness
                    .run_until([&](const EngineStatus& status) {
                        static std::uint64_t id = 2;
                        static std::uint64_t seen = 0;
                        if (status.epoch != seen) harness.scripts[0]->say(Source::State::more, {sale(++id, 12'000)});
                        seen = status.epoch;
                        return status.watermark == 12'000;
                    })
                    .ok());
    EXPECT_THAT(harness.ledger->accepted, ElementsAre("left/11000/7/1"));
}

TEST(Engine, DoesNotTakeSilenceForIdleness) {
    EngineHarness harness({.sources = 2, .time = {.out_of_order = 0, .idle = kMillisecond}});
    harness.scripts[0]->last = Source::State::quiet;
    harness.scripts[1]->last = Source::State::quiet;
    for (std::uint64_t i = 1; i <= 20; ++i) {
        harness.scripts[0]->say(Source::State::more, {sale(i, 10'000)});
        harness.scripts[0]->say(Source::State::quiet, {});
    }
    EXPECT_TRUE(harness.run_until([](const EngineStatus& status) { return status.events == 20; }).ok());
    EXPECT_EQ(harness.engine().status().watermark, kBeginningOfTime) << "b said nothing, and nobody said why";
}

TEST(Engine, DeliversTheSamePostingsAgainAfterAnErrorFromOutside) {
    EngineHarness harness;
    harness.scripts[0]->open_failures = 2;
    harness.ledger->open_errors = {{"E700", "refused"}};
    harness.ledger->deliver_errors = {{"E701", "reset"}, {"E701", "reset"}};
    harness.scripts[0]->say(Source::State::more, {sale(1, 10'100)});
    ASSERT_TRUE(harness.engine().run().ok());
    EXPECT_THAT(harness.ledger->accepted, ElementsAre("left/11000/7/1"));
    const EngineStatus status = harness.engine().status();
    EXPECT_EQ(status.sinks[0].retries, 3);
    EXPECT_EQ(status.sinks[0].last_error, "");
    EXPECT_EQ(status.sources[0].retries, 2);
}

TEST(Engine, SendsUnknownDeliveriesAgainUntilTheyAreKnown) {
    EngineHarness harness;
    harness.scripts[0]->say(Source::State::more, {sale(1, 10'100), sale(2, 12'100)});
    harness.ledger->unknown_once = {"left/11000/7/1"};
    ASSERT_TRUE(harness.engine().run().ok());
    EXPECT_THAT(harness.ledger->accepted, ElementsAre("left/11000/7/1", "left/13000/7/1"));
    EXPECT_EQ(harness.engine().status().sinks[0].accepted, 2);
    EXPECT_GE(harness.ledger->deliveries, 2);
}

TEST(Engine, CountsRefusedPostingsAndGoesOn) {
    EngineHarness harness;
    harness.scripts[0]->say(Source::State::more, {sale(1, 10'100), sale(2, 12'100)});
    harness.ledger->refuse = {"left/11000/7/1"};
    ASSERT_TRUE(harness.engine().run().ok());
    const SinkStatus sink = harness.engine().status().sinks[0];
    EXPECT_EQ(sink.accepted, 1);
    EXPECT_EQ(sink.refused, 1);
    EXPECT_THAT(sink.last_refusal, HasSubstr("period closed"));
}

TEST(Engine, GivesASinkOnlyThePostingsThatItAskedFor) {
    EngineHarness harness;
    harness.made->plan.sinks[0].all_postings = false;
    harness.made->plan.sinks[0].postings = {"right"};
    harness.made->plan.sinks[0].dead_letters = false;
    harness.scripts[0]->say(
        Source::State::more,
        {sale(0, 0), {.id = 1, .key = 7, .time = 10'000, .amount = 1, .kind = Event::both_branches}});
    ASSERT_TRUE(harness.engine().run().ok());
    EXPECT_THAT(harness.ledger->accepted, ElementsAre("right/11000/7/1"));
    EXPECT_THAT(harness.ledger->dead_letters, SizeIs(0));
}

TEST(Engine, StopsWithTheErrorOfASinkThatWillNeverTakeAnything) {
    EngineHarness harness;
    harness.scripts[0]->last = Source::State::idle;
    harness.scripts[0]->say(Source::State::more, {sale(1, 10'100), sale(2, 12'000)});
    harness.ledger->deliver_errors = {{"F701", "disk format is newer"}};
    const Status status = harness.engine().run();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, "F701");
    EXPECT_EQ(harness.engine().status().phase, EngineStatus::Phase::failed);
}

TEST(Engine, DeliversWhatItHasWhenASourceFails) {
    EngineHarness harness;
    harness.scripts[0]->say(Source::State::more, {sale(1, 10'100), sale(2, 12'000)});
    harness.scripts[0]->read_error = Error{"F801", "the stream is another one"};
    const Status status = harness.engine().run();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, "F801");
    EXPECT_THAT(harness.ledger->accepted, ElementsAre("left/11000/7/1"));
}

TEST(Engine, GivesUpASinkThatIsAwayWhenTheTimeToDrainIsOver) {
    EngineHarness harness;
    harness.scripts[0]->last = Source::State::idle;
    harness.engine_options.drain_limit = 20 * kMillisecond;
    harness.scripts[0]->say(Source::State::more, {sale(1, 10'100), sale(2, 12'000)});
    for (int i = 0; i < 10'000; ++i) harness.ledger->deliver_errors.push_back({"E701", "away"});
    const Status status = harness.run_until([](const EngineStatus& s) { return s.sinks[0].retries > 0; });
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, "E611");
    EXPECT_THAT(status.error().message, HasSubstr("ledger did not take 1 postings"));
}

TEST(Engine, StopsAtOnceAtTheSecondRequest) {
    EngineHarness harness;
    harness.scripts[0]->last = Source::State::idle;
    harness.scripts[0]->say(Source::State::more, {sale(1, 10'100), sale(2, 12'000)});
    for (int i = 0; i < 100'000; ++i) harness.ledger->deliver_errors.push_back({"E701", "away"});
    const Status status = harness.run_until([&](const EngineStatus& s) {
        if (s.sinks[0].retries == 0) return false;
        harness.engine().request_stop();
        return true;
    });
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, "E612");
}

TEST(Engine, LetsASlowSinkStopTheReadersAndLosesNothing) {
    EngineHarness harness;
    harness.made->plan.epoch_messages = 1;
    harness.engine_options.source_queue_bytes = 10 * sizeof(Event);
    harness.engine_options.sink_queue_epochs = 2;
    harness.ledger->closed = true;
    for (std::uint64_t i = 0; i < 200; ++i) {
        harness.scripts[0]->say(Source::State::more, {sale(i + 1, static_cast<std::int64_t>(10'000 + 1000 * i))});
    }
    std::thread opener([&] {
        {
            std::unique_lock lock(harness.ledger->mutex);
            harness.ledger->changed.wait(lock, [&] { return harness.ledger->deliveries > 0; });
        }
        const auto is_full = [](const EngineStatus& s) {
            return s.chunks_in_flight == s.chunks_limit && s.sources[0].queued_bytes >= 10 * sizeof(Event);
        };
        while (!is_full(harness.engine().status())) std::this_thread::yield();
        {
            std::lock_guard lock(harness.scripts[0]->mutex);
            EXPECT_GT(harness.scripts[0]->reads.size(), 100u) << "the reader waits";
        }
        std::lock_guard lock(harness.ledger->mutex);
        harness.ledger->closed = false;
        harness.ledger->changed.notify_all();
    });
    harness.engine();
    EXPECT_TRUE(harness.engine().run().ok());
    opener.join();
    EXPECT_THAT(harness.ledger->accepted, SizeIs(200));
}

TEST(Engine, RefusesToStartWithAConnectorThatCannotBeMade) {
    EngineHarness harness;
    harness.made->plan.sinks[0].make = []() -> Result<std::unique_ptr<Sink>> {
        return Error{"C301", "no such folder"};
    };
    const Status status = harness.engine().run();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, "C301");
}

}  // namespace
}  // namespace takt
