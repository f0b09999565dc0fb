// The whole chain from message bytes to postings on one core, and beside it the hand-written limit: fixed structs, no
// configuration, no generality. Both answers are compared before anything is timed.
//
// chain.wide: FlatBuffers events of 17 fields, one in each message; 3 of 8 kinds pass the filter; deduplication over a
// million ids; sums by 10,000 orders in windows of 60 s. limit.wide: the same events as structs.
//
// chain.daemon: the same chain in the daemon's engine, with its threads, fed by a source; wall time. chain.durable: the
// same with a state directory on the disk that holds the build folder: a frame each 100 ms. Both without the last
// epoch, whose windows all close at once, and the end's snapshot, which is chain.snapshot: neither is what a daemon
// does all day. chain.snapshot: what a snapshot of the chain's state stops it for, in two lanes on two cores, and what
// writing it takes beside.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "operators/catalog.h"
#include "pipeline/base/check.h"
#include "pipeline/base/hash.h"
#include "pipeline/base/process_memory.h"
#include "pipeline/config/node.h"
#include "pipeline/journal/state_log.h"
#include "pipeline/plan/planner.h"
#include "pipeline/runtime/core.h"
#include "pipeline/runtime/engine.h"
#include "schemas/event_generated.h"
#include "sinks/catalog.h"
#include "sources/catalog.h"

namespace takt {
namespace {

constexpr std::size_t kIds = 1'000'000;
constexpr std::size_t kOrders = 10'000;
constexpr Timestamp kStart = 1'780'000'000 * kSecond;
constexpr std::size_t kBlockEvents = 1024;
constexpr std::uint8_t kKinds[8] = {
    1,  2, 3, 12,
    13, 4, 6, 5};  // reading, machine_state, cycle, quality_result, nonconformance; produced, consumed, scrapped

/// One event of the limit: what the messages say, already in place.
struct Wide {
    char event_id[20];
    char order_id[12];
    Timestamp event_time;
    Timestamp recorded_time;
    std::int64_t quantity;
    std::uint8_t kind;
    char rest[207];  // the other fields, as long as in the message
};
static_assert(sizeof(Wide) == 264);

/// Input of both: the same events as messages and as structs.
struct Input {
    std::vector<std::shared_ptr<const MessageBlock>> blocks;
    std::vector<Wide> events;
    std::size_t passing = 0;
};

Input make_input(std::size_t count) {
    Input input;
    input.events.resize(count);
    flatbuffers::FlatBufferBuilder builder(512);
    std::uint64_t random = 42;
    const auto next = [&random] {
        random = random * 6364136223846793005u + 1442695040888963407u;
        return random >> 33;
    };
    std::size_t id = 0;
    for (std::size_t first = 0; first < count; first += kBlockEvents) {
        auto block = std::make_shared<MessageBlock>();
        auto bytes = std::make_shared<std::string>();  // shared: the block's keeper
        std::vector<std::pair<std::size_t, std::size_t>> places;
        for (std::size_t i = first; i < std::min(first + kBlockEvents, count); ++i) {
            Wide& event = input.events[i];
            event.kind = kKinds[next() % 8];
            const bool passes = event.kind >= 4 && event.kind <= 6;
            input.passing += passes ? 1 : 0;
            // One event in a hundred is a retry of a recent one.
            const bool retry = passes && id > 1000 && next() % 100 == 0;
            if (retry) {
                std::size_t back = i;
                do {
                    --back;
                } while (input.events[back].kind < 4 || input.events[back].kind > 6);
                event = input.events[back];
            } else {
                const std::size_t number = passes ? id++ % kIds : kIds + i;
                fmt::format_to_n(event.event_id, sizeof event.event_id, "MES-{:015}", number);
                event.event_id[19] = 0;
                fmt::format_to_n(event.order_id, sizeof event.order_id, "PO-{:08}", next() % kOrders);
                event.order_id[11] = 0;
                event.event_time = kStart + static_cast<Timestamp>(i) * 40 * kMicrosecond;
                event.recorded_time = event.event_time + kSecond;
                event.quantity = static_cast<std::int64_t>(next() % 10'000'000);
            }
            builder.Clear();
            const auto event_id = builder.CreateString(event.event_id, 19);
            const auto order = builder.CreateString(event.order_id, 11);
            const auto plant = builder.CreateString("P100");
            const auto area = builder.CreateString("assembly");
            const auto work_center = builder.CreateString("WC-0042");
            const auto operation = builder.CreateString("0010");
            const auto material = builder.CreateString("FG-PUMP-7000");
            const auto revision = builder.CreateString("C");
            const auto lot = builder.CreateString("L0000042");
            const auto unit = builder.CreateString("pc");
            const auto status = builder.CreateString("ok");
            const auto reason = builder.CreateString("none");
            const auto who = builder.CreateString("op-7");
            EventBuilder out(builder);
            out.add_event_time(event.event_time);
            out.add_recorded_time(event.recorded_time);
            out.add_quantity(event.quantity);
            out.add_value(20.5);
            out.add_event_id(event_id);
            out.add_plant(plant);
            out.add_area(area);
            out.add_work_center(work_center);
            out.add_order_id(order);
            out.add_operation(operation);
            out.add_material(material);
            out.add_revision(revision);
            out.add_lot(lot);
            out.add_unit(unit);
            out.add_status(status);
            out.add_reason(reason);
            out.add_operator_id(who);
            out.add_kind(static_cast<EventKind>(event.kind));
            builder.Finish(out.Finish());
            places.emplace_back(bytes->size(), builder.GetSize());
            bytes->append(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
        }
        for (std::size_t i = 0; i < places.size(); ++i) {
            Message message;
            message.data = std::string_view(*bytes).substr(places[i].first, places[i].second);
            message.sequence = first + i + 1;
            block->messages.push_back(message);
        }
        block->size_bytes = bytes->size();
        block->keep = bytes;
        input.blocks.push_back(std::move(block));
    }
    return input;
}

const char* const kConfig = R"(
pipeline: chain
sources:
  floor:
    generator: {}
    schema: SCHEMA
    id: event_id
    time: { event: event_time, recorded: recorded_time, out_of_order: 1s, future: 10m }
steps:
  - filter: kept
    drop: { not_posted: '!(kind in ["produced", "consumed", "scrapped"])' }
  - dedup: once
    by: event_id
    same: [kind, event_time, order_id, quantity, unit]
    horizon: 48h
postings:
  moved:
    by: [order_id]
    window: { tumbling: 60s }
    lateness: 1s
    quantity: sum(quantity)
    unit: unit
sinks:
  nowhere: { discard: {} }
)";

std::unique_ptr<Plan> make_plan() {
    std::string text = kConfig;
    text.replace(text.find("SCHEMA"), 6,
                 std::filesystem::absolute(std::string(TAKT_SOURCE_DIR) + "/schemas/event.bfbs").string());
    Mistakes mistakes;
    const ConfigNode config = parse_config("chain.yaml", text, mistakes);
    const Catalog catalog{operator_catalog(), source_catalog(), sink_catalog()};
    PlannedPipeline planned = plan_pipeline(config, catalog, {}, mistakes);
    if (!mistakes.empty()) {
        fmt::print(stderr, "{}\n", mistakes.render());
        std::exit(1);
    }
    return std::move(planned.plan);
}

struct Answer {
    std::uint64_t accepted = 0;
    std::uint64_t duplicates = 0;
    Int128 quantity = 0;
    std::uint64_t postings = 0;
    bool operator==(const Answer&) const = default;
};

/// Feeds the core and leaves it drained, its windows open.
void feed(Core& core, const Input& input) {
    std::size_t since_cut = 0;
    for (const auto& block : input.blocks) {
        core.feed(0, block);
        // One epoch for each 100 ms at four million events a second.
        if ((since_cut += block->messages.size()) >= 400'000) {
            core.cut({});
            since_cut = 0;
        }
    }
    core.drain();
}

Core::Options on_one_core() {
    Core::Options options;
    options.lanes = 1;
    options.threads = 1;
    return options;
}

Answer run_chain(const Plan& plan, const Input& input) {
    Answer answer;
    Core core(plan, on_one_core(), [&](EpochResult&& epoch) {
        for (std::size_t code = 0; code < epoch.outcomes.size(); ++code) {
            const OutcomeKind kind = plan.outcomes.at(static_cast<OutcomeCode>(code)).kind;
            if (kind == OutcomeKind::accepted) answer.accepted += epoch.outcomes[code];
            if (kind == OutcomeKind::duplicate) answer.duplicates += epoch.outcomes[code];
        }
        for (const Posting& posting : epoch.postings) answer.quantity += posting.quantity;
        answer.postings += epoch.postings.size();
    });
    feed(core, input);
    CutOptions last;
    last.ended = {0};
    last.flush = true;
    core.cut(last);
    core.drain();
    return answer;
}

/// The limit: an open-addressing set of 64-bit hashes, a table of orders for each window.
Answer run_limit(const Input& input) {
    Answer answer;
    constexpr std::size_t kSlots = std::size_t{1} << 21;
    std::vector<std::uint64_t> ids(kSlots);
    struct Order {
        char name[12];
        std::int64_t window;
        Int128 sum;
        bool used;
    };
    constexpr std::size_t kOrderSlots = std::size_t{1} << 15;
    std::vector<Order> orders(kOrderSlots);
    for (const Wide& event : input.events) {
        if (event.kind < 4 || event.kind > 6) continue;
        const std::uint64_t id = hash64({event.event_id, 19}) | 1;
        std::size_t slot = id >> 43;
        while (ids[slot] != 0 && ids[slot] != id) slot = (slot + 1) % kSlots;
        if (ids[slot] == id) {
            ++answer.duplicates;
            continue;
        }
        ids[slot] = id;
        ++answer.accepted;
        const std::int64_t window = event.event_time / (60 * kSecond);
        std::size_t at = hash64({event.order_id, 11}) % kOrderSlots;
        while (orders[at].used && std::memcmp(orders[at].name, event.order_id, 12) != 0) at = (at + 1) % kOrderSlots;
        Order& order = orders[at];
        if (!order.used) {
            std::memcpy(order.name, event.order_id, 12);
            order.used = true;
            order.window = window;
        }
        if (order.window != window) {
            answer.quantity += order.sum;
            ++answer.postings;
            order.window = window;
            order.sum = 0;
        }
        order.sum += event.quantity;
    }
    for (const Order& order : orders) {
        if (!order.used) continue;
        answer.quantity += order.sum;
        ++answer.postings;
    }
    return answer;
}

const Input& input() {
    // 2.6 million events hold a million ids that pass.
    static const Input made =
        make_input(std::getenv("TAKT_BENCH_QUICK") && *std::getenv("TAKT_BENCH_QUICK") ? 1'000'000 : 2'600'000);
    return made;
}

void same_answer(benchmark::State& state, const Answer& chain, const Answer& limit) {
    const bool same =
        chain.accepted == limit.accepted && chain.duplicates == limit.duplicates && chain.quantity == limit.quantity;
    if (!same) {
        state.SkipWithError(fmt::format("the answers differ: accepted {} and {}, duplicates {} and {}", chain.accepted,
                                        limit.accepted, chain.duplicates, limit.duplicates)
                                .c_str());
    }
}

void limit_wide(benchmark::State& state) {
    const Input& events = input();
    for (auto _ : state) benchmark::DoNotOptimize(run_limit(events));
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * events.events.size()));
}

void chain_wide(benchmark::State& state) {
    const Input& events = input();
    const auto plan = make_plan();
    const Answer limit = run_limit(events);
    same_answer(state, run_chain(*plan, events), limit);
    for (auto _ : state) benchmark::DoNotOptimize(run_chain(*plan, events));
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * events.events.size()));
    state.SetLabel("baseline=limit.wide goal=4000000");
}

/// A state directory that goes with the object.
class StateFolder {
  public:
    explicit StateFolder(const Plan& plan) {
        std::string name = TAKT_BINARY_DIR "/chain-bench-XXXXXX";
        path_ = ::mkdtemp(name.data());
        StateLog::Options options;
        options.engine_version = options.tzdb_version = "bench";
        auto opened = StateLog::open(real_disk(), path_, plan, options);
        CHECK(opened.ok());
        log_ = std::move(*opened);
        CHECK(log_->recover().ok());
    }
    ~StateFolder() {
        log_.reset();
        std::filesystem::remove_all(path_);
    }
    StateFolder(const StateFolder&) = delete;
    StateFolder& operator=(const StateFolder&) = delete;
    StateLog& log() { return *log_; }

  private:
    std::string path_;
    std::unique_ptr<StateLog> log_;
};

/// The input as a source has it, from its beginning to its end.
class BlockSource final : public Source {
  public:
    explicit BlockSource(const Input& input) : input_(input) {}
    Status open(const SourcePosition&) override { return {}; }
    Result<State> read(const Limits&, MessageBlock& block) override {
        block = *input_.blocks[at_++];
        return at_ == input_.blocks.size() ? State::end : State::more;
    }
    SourcePosition position() const override { return {at_ * kBlockEvents + 1, {}}; }
    std::string describe() const override { return "the events of the benchmark"; }

  private:
    const Input& input_;
    std::size_t at_ = 0;
};

using Clock = std::chrono::steady_clock;

/// A state directory's log, or none; and when which of its messages were durable.
class TimedLog final : public EpochLog {
  public:
    explicit TimedLog(EpochLog* log) : log_(log) {}
    Result<Past> recover() override { return log_ == nullptr ? Past() : log_->recover(); }
    Status append(const EpochResult& epoch, const SinkAnswers& answers) override {
        Status appended = log_ == nullptr ? Status() : log_->append(epoch, answers);
        if (!epoch.cut.flush && epoch.messages > 0) {
            last_ = {Clock::now(), std::clock()};
            if (begun_) messages_ += epoch.messages;
            if (!begun_) first_ = last_;
            begun_ = true;
        }
        return appended;
    }
    Status snapshot(const EngineState& state, std::uint64_t delivered) override {
        return log_ == nullptr ? Status() : log_->snapshot(state, delivered);
    }
    /// From the first epoch's end to the last one's, without the one at whose end all windows close: neither how the
    /// engine begins nor what the last epoch waits for is in it.
    std::uint64_t messages() const { return messages_; }
    double seconds() const { return std::chrono::duration<double>(last_.time - first_.time).count(); }
    double cpu_seconds() const { return static_cast<double>(last_.cpu - first_.cpu) / CLOCKS_PER_SEC; }

  private:
    struct Moment {
        Clock::time_point time;
        std::clock_t cpu = 0;  ///< of all threads
    };

    EpochLog* log_;
    bool begun_ = false;
    std::uint64_t messages_ = 0;
    Moment first_;
    Moment last_;
};

/// The daemon's engine, to the end of its input.
Answer run_daemon(const Plan& plan, EpochLog& log) {
    Engine::Options options;
    options.lanes = 1;
    options.threads = 2;
    options.log = &log;
    Engine engine(plan, options);
    CHECK(engine.run().ok());
    Answer answer;
    const EngineStatus status = engine.status();
    for (const OutcomeStatus& outcome : status.outcomes) {
        if (outcome.outcome == "accepted") answer.accepted += outcome.count;
        if (outcome.outcome == "duplicate") answer.duplicates += outcome.count;
    }
    for (const ValueStatus& value : status.values) answer.quantity += value.told;
    return answer;
}

void chain_in_daemon(benchmark::State& state, bool durable) {
    const Input& events = input();
    const auto plan = make_plan();
    plan->sources[0].make = [&events]() -> Result<std::unique_ptr<Source>> {
        return std::unique_ptr<Source>(new BlockSource(events));
    };
    plan->epoch = 100 * kMillisecond;
    const Answer limit = run_limit(events);
    std::uint64_t messages = 0;
    double cpu_seconds = 0;
    for (auto _ : state) {
        const auto folder = durable ? std::make_unique<StateFolder>(*plan) : nullptr;
        TimedLog log(durable ? &folder->log() : nullptr);
        const Answer answer = run_daemon(*plan, log);
        state.SetIterationTime(log.seconds());
        cpu_seconds += log.cpu_seconds();
        messages += log.messages();
        same_answer(state, answer, limit);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(messages));
    state.counters["cpu_ns_per_event"] = 1e9 * cpu_seconds / static_cast<double>(messages);
    if (durable) state.SetLabel("baseline=chain.daemon");
}

void chain_daemon(benchmark::State& state) {
    chain_in_daemon(state, false);
}

void chain_durable(benchmark::State& state) {
    chain_in_daemon(state, true);
}

void chain_snapshot(benchmark::State& state) {
    const auto milliseconds = [](Clock::duration time) {
        return std::chrono::duration<double, std::milli>(time).count();
    };
    const auto plan = make_plan();
    StateFolder folder(*plan);
    Core::Options options;
    options.lanes = 2;
    options.threads = 2;
    Core core(*plan, options, [&](EpochResult&& epoch) { CHECK(folder.log().append(epoch, {}).ok()); });
    feed(core, input());
    core.cut({});
    core.drain();
    double stopped = 0;
    double writing = 0;
    EngineState saved;
    for (auto _ : state) {
        const auto begin = Clock::now();
        core.save(saved);  // into the memory of the one before, as the daemon does
        const auto copied = Clock::now();
        CHECK(folder.log().snapshot(saved, 0).ok());
        stopped += milliseconds(copied - begin);
        writing += milliseconds(Clock::now() - copied);
    }
    state.counters["stop_ms"] = stopped / static_cast<double>(state.iterations());
    state.counters["write_ms"] = writing / static_cast<double>(state.iterations());
}

}  // namespace
}  // namespace takt

BENCHMARK(takt::limit_wide)->Name("limit.wide")->Unit(benchmark::kMillisecond);
BENCHMARK(takt::chain_wide)->Name("chain.wide")->Unit(benchmark::kMillisecond);
BENCHMARK(takt::chain_daemon)->Name("chain.daemon")->Unit(benchmark::kMillisecond)->UseManualTime();
BENCHMARK(takt::chain_durable)->Name("chain.durable")->Unit(benchmark::kMillisecond)->UseManualTime();
BENCHMARK(takt::chain_snapshot)->Name("chain.snapshot")->Unit(benchmark::kMillisecond)->UseRealTime();
int main(int argc, char** argv) {
    takt::keep_freed_memory();  // as the daemon does
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
