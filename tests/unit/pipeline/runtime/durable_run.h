#pragma once

#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "pipeline/runtime/engine.h"
#include "tests/unit/pipeline/runtime/synthetic_plan.h"

// Runs of the engine that share what survives a process.
namespace takt::durable {

using synthetic::Event;

/// What survives a process: the log's epochs, the sink's postings.
struct Durable {
    std::mutex mutex;
    std::vector<EpochResult> epochs;
    std::vector<std::string> posted;  ///< in the order of their effect
    std::map<std::string, std::string> payloads;
    std::map<std::string, std::uint64_t> totals;
    std::uint64_t repeats = 0;
    std::vector<QuarantinedMessage> quarantine;
};

enum class Death : std::uint8_t { none, before_it_is_durable, when_it_is_durable };

class MemoryLog final : public EpochLog {
  public:
    MemoryLog(Durable& durable, Death death, std::uint64_t at) : durable_(durable), death_(death), at_(at) {}

    Result<Past> recover() override {
        Past past;
        past.epochs = durable_.epochs;
        past.quarantine = durable_.quarantine;
        return past;
    }
    Status append(const EpochResult& epoch, const SinkAnswers&) override {
        std::lock_guard lock(durable_.mutex);
        const bool dies = ++appends_ == at_;
        if (dies && death_ == Death::before_it_is_durable) return Error{"F999", "the process dies"};
        EXPECT_EQ(epoch.epoch, durable_.epochs.empty() ? 1 : durable_.epochs.back().epoch + 1);
        durable_.epochs.push_back(epoch);
        if (dies && death_ == Death::when_it_is_durable) return Error{"F999", "the process dies"};
        if (rooms_missing > 0) {
            --rooms_missing;
            durable_.epochs.pop_back();
            return Error{"E701", "no room"};
        }
        return {};
    }
    Status snapshot(const EngineState&, std::uint64_t) override { return {}; }

    int rooms_missing = 0;

  private:
    Durable& durable_;
    Death death_;
    std::uint64_t at_;
    std::uint64_t appends_ = 0;
};

class EventSource final : public Source {
  public:
    EventSource(std::span<const Event> events, std::size_t block) : events_(events), block_(block) {}
    Status open(const SourcePosition& position) override {
        at_ = position.next_sequence - 1;
        return {};
    }
    Result<State> read(const Limits&, MessageBlock& block) override {
        const std::size_t count = std::min<std::size_t>(block_, events_.size() - at_);
        const auto some = events_.subspan(at_, count);
        block = *synthetic::make_block({some.begin(), some.end()}, at_ + 1);
        at_ += count;
        return at_ == events_.size() ? State::end : State::more;
    }
    SourcePosition position() const override { return {at_ + 1, anchor_of(at_)}; }
    static std::string anchor_of(std::uint64_t sequence) { return fmt::format("event {}", sequence); }
    std::string describe() const override { return "events of a test"; }

  private:
    std::span<const Event> events_;
    std::size_t block_;
    std::size_t at_ = 0;
};

/// Says everything once: what a process took is gone with it.
struct Broker {
    std::vector<Event> events;
    std::size_t next = 0;
    std::vector<std::uint64_t> opened_at;  ///< in each life
};

class BrokerSource final : public Source {
  public:
    BrokerSource(Broker& broker, std::size_t block) : broker_(broker), block_(block) {}
    Status open(const SourcePosition& position) override {
        next_sequence_ = position.next_sequence;
        broker_.opened_at.push_back(next_sequence_);
        return {};
    }
    Result<State> read(const Limits&, MessageBlock& block) override {
        const std::size_t count = std::min<std::size_t>(block_, broker_.events.size() - broker_.next);
        const auto some = std::span(broker_.events).subspan(broker_.next, count);
        block = *synthetic::make_block({some.begin(), some.end()}, next_sequence_);
        block.own_clock = true;
        next_sequence_ += count;
        broker_.next += count;
        return broker_.next == broker_.events.size() ? State::end : State::more;
    }
    SourcePosition position() const override { return {next_sequence_, {}}; }
    std::string describe() const override { return "a broker of a test"; }

  private:
    Broker& broker_;
    std::size_t block_;
    std::uint64_t next_sequence_ = 1;
};

/// Takes a posting once, whatever comes again; the same key never has another payload.
class KeyedSink final : public Sink {
  public:
    explicit KeyedSink(Durable& durable) : durable_(durable) {}
    Status open() override { return {}; }
    Result<std::vector<Delivery>> deliver(std::span<const Posting> postings) override {
        std::lock_guard lock(durable_.mutex);
        for (const Posting& posting : postings) {
            const std::string payload =
                fmt::format("{} {}", static_cast<std::int64_t>(posting.amount), posting.revision);
            const auto [known, fresh] = durable_.payloads.emplace(posting.key, payload);
            EXPECT_EQ(known->second, payload) << posting.key;
            if (fresh) durable_.posted.push_back(posting.key);
            durable_.repeats += fresh ? 0 : 1;
        }
        return std::vector<Delivery>(postings.size(), Delivery{State::accepted, {}, {}});
    }
    Status keep(std::span<const DeadLetter>) override { return {}; }
    Status summarize(std::span<const OutcomeCount> counts) override {
        std::lock_guard lock(durable_.mutex);
        for (const OutcomeCount& count : counts) durable_.totals[count.outcome + "/" + count.rule] = count.count;
        return {};
    }
    Status finish() override { return {}; }
    std::string describe() const override { return "keyed"; }

  private:
    Durable& durable_;
};

inline std::vector<Event> make_events(std::uint64_t seed, std::size_t count) {
    std::mt19937_64 random(seed);
    std::vector<Event> events;
    for (std::size_t i = 0; i < count; ++i) {
        Event event{.id = i + 1,
                    .key = random() % 9,
                    .time = static_cast<std::int64_t>(10'000 + i * 20 - random() % 900),
                    .amount = static_cast<std::int64_t>(random() % 100)};
        if (!events.empty() && random() % 12 == 0)
            event = events[events.size() - 1 - random() % std::min<std::size_t>(events.size(), 20)];
        events.push_back(event);
    }
    return events;
}

/// Dies of events with this amount.
constexpr std::int64_t kDeadlyAmount = 666;

class DeadlyDecoder final : public Decoder {
  public:
    explicit DeadlyDecoder(std::shared_ptr<const Decoder> inner) : inner_(std::move(inner)) {}
    std::unique_ptr<Scratch> make_scratch() const override { return inner_->make_scratch(); }
    void decode(const std::shared_ptr<const MessageBlock>& block, std::size_t first, std::size_t count,
                Scratch& scratch, BatchAllocator& batches, std::vector<std::unique_ptr<Batch>>& out) const override {
        for (const Message& message : std::span(block->messages).subspan(first, count)) {
            Event event;
            if (message.data.size() != sizeof event) continue;
            std::memcpy(&event, message.data.data(), sizeof event);
            if (event.amount == kDeadlyAmount) std::abort();
        }
        inner_->decode(block, first, count, scratch, batches, out);
    }

  private:
    std::shared_ptr<const Decoder> inner_;
};

/// A plan over events that lie in memory, a source for each vector; they must outlive it. Deadly events kill it.
inline std::unique_ptr<synthetic::SyntheticPlan> make_plan(const std::vector<std::vector<Event>>& inputs,
                                                           std::size_t block, std::size_t more_sources = 0) {
    auto made = synthetic::make_plan({.sources = inputs.size() + more_sources});
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        SourcePlan& source = made->plan.sources[i];
        source.decoder = std::make_shared<DeadlyDecoder>(source.decoder);
        source.make = [&inputs, i, block]() -> Result<std::unique_ptr<Source>> {
            return std::unique_ptr<Source>(new EventSource(inputs[i], block));
        };
    }
    return made;
}

/// One process. Ends by itself, or dies as the log says. `stop_at_once`: it is told to before it starts. `broker`: one
/// more source, behind those of `inputs`.
inline Status run(Durable& durable, const std::vector<std::vector<Event>>& inputs, EpochLog& log, std::uint32_t lanes,
                  std::size_t block, std::uint64_t epoch_messages, const DeadLetterLimit& limit = {},
                  bool stop_at_once = false, Broker* broker = nullptr) {
    auto made = make_plan(inputs, block, broker != nullptr ? 1 : 0);
    made->plan.dead_letters = limit;
    if (broker != nullptr) {
        made->plan.sources.back().can_read_again = false;
        made->plan.sources.back().make = [broker, block]() -> Result<std::unique_ptr<Source>> {
            return std::unique_ptr<Source>(new BrokerSource(*broker, block));
        };
    }
    SinkPlan sink;
    sink.name = "ledger";
    sink.connector = "test";
    sink.make = [&durable]() -> Result<std::unique_ptr<Sink>> { return std::unique_ptr<Sink>(new KeyedSink(durable)); };
    made->plan.sinks.push_back(std::move(sink));
    made->plan.epoch = kMillisecond;
    made->plan.epoch_messages = epoch_messages;
    Engine::Options options;
    options.lanes = lanes;
    options.threads = lanes;
    options.read.wait = kMillisecond;
    options.retry = {.first = kMillisecond, .longest = 2 * kMillisecond};
    options.log = &log;
    Engine engine(made->plan, options);
    if (stop_at_once) engine.request_stop();
    return engine.run();
}

}  // namespace takt::durable
