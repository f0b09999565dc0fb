// How chunks of rows find their threads: takt's numbered chunks with a sequencer, lanes and a committer, beside
// oneTBB's own pipeline doing the same made-up work. A chunk has work that any thread may do, then work on the keys of
// each lane, which must see the chunks in order, then a commit in order. Every way must give the answer of one thread.
#include <benchmark/benchmark.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_pipeline.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "pipeline/runtime/actor_inbox.h"
#include "pipeline/runtime/workers.h"

namespace takt {
namespace {

/// A chunk of made-up work.
struct Piece {
    static constexpr std::size_t kRows = 1024;
    std::uint64_t number = 0;
    std::array<std::uint64_t, kRows> rows{};
    std::vector<std::vector<std::uint16_t>> rows_of;  // by lane
    std::vector<std::uint64_t> answers;               // likewise
    std::atomic<std::uint32_t> lanes_left = 0;
};

constexpr std::uint64_t kChunks = 512;
constexpr std::uint32_t kThreads = 2;

std::uint64_t mix(std::uint64_t bits, int rounds) {
    for (int i = 0; i < rounds; ++i) {
        bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
        bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
    }
    return bits;
}

/// The work of all ways, and what it comes to.
class Work {
  public:
    Work(std::uint32_t lanes, int stateless_rounds, int keyed_rounds)
        : lanes_(lanes), stateless_rounds_(stateless_rounds), keyed_rounds_(keyed_rounds), states_(lanes) {}

    std::uint32_t lanes() const { return lanes_; }

    void stateless(Piece& chunk) const {
        chunk.rows_of.resize(lanes_);
        chunk.answers.resize(lanes_);
        for (auto& rows : chunk.rows_of) rows.clear();
        for (std::size_t i = 0; i < Piece::kRows; ++i) {
            chunk.rows[i] = mix(chunk.number * Piece::kRows + i + 1, stateless_rounds_);
            chunk.rows_of[chunk.rows[i] % lanes_].push_back(static_cast<std::uint16_t>(i));
        }
    }
    /// Each row changes what the next ones of its lane come to.
    void keyed(Piece& chunk, std::uint32_t lane) {
        std::uint64_t& state = states_[lane].value;
        for (const std::uint16_t row : chunk.rows_of[lane]) state = mix(state + chunk.rows[row], keyed_rounds_);
        chunk.answers[lane] = state;
    }
    void commit(const Piece& chunk) {
        for (const std::uint64_t answer : chunk.answers) answer_ = answer_ * 31 + answer;
    }
    std::uint64_t answer() const { return answer_; }

  private:
    struct alignas(64) State {
        std::uint64_t value = 0;
    };
    std::uint32_t lanes_;
    int stateless_rounds_;
    int keyed_rounds_;
    std::vector<State> states_;
    std::uint64_t answer_ = 0;
};

void one_thread(Work& work) {
    Piece chunk;
    for (std::uint64_t number = 0; number < kChunks; ++number) {
        chunk.number = number;
        work.stateless(chunk);
        for (std::uint32_t lane = 0; lane < work.lanes(); ++lane) work.keyed(chunk, lane);
        work.commit(chunk);
    }
}

/// Chunks in the order of their numbers.
class InOrder {
  public:
    explicit InOrder(std::size_t chunks) : waiting_(chunks) {}
    void put(Piece* chunk) { waiting_[chunk->number % waiting_.size()] = chunk; }
    Piece* next() {
        Piece* const chunk = std::exchange(waiting_[next_ % waiting_.size()], nullptr);
        if (chunk != nullptr) ++next_;
        return chunk;
    }

  private:
    std::vector<Piece*> waiting_;
    std::uint64_t next_ = 0;
};

/// As Core does it (pipeline/runtime/core.cc). `wake_late`: who feeds is woken when half of the credits are there, not
/// for each of them.
template <bool wake_late>
class SequencerAndLanes {
  public:
    explicit SequencerAndLanes(Work& work) : work_(work), sequencer_(kCredits), committer_(kCredits) {
        for (std::uint32_t i = 0; i < work.lanes(); ++i) lanes_.push_back(std::make_unique<Actor>(kCredits));
        for (std::size_t i = 0; i < kCredits; ++i) chunks_.push_back(std::make_unique<Piece>());
    }

    void run() {
        Workers workers(kThreads, [this](Job job) { run(job); });
        workers_ = &workers;
        for (std::uint64_t number = 0; number < kChunks; ++number) {
            std::unique_lock lock(mutex_);
            if (in_flight_ == kCredits) credit_.wait(lock, [this] { return in_flight_ <= kWake; });
            ++in_flight_;
            lock.unlock();
            Piece& chunk = *chunks_[number % kCredits];
            chunk.number = number;
            workers.post({Job::Kind::stateless, static_cast<std::uint32_t>(number % kCredits), nullptr});
        }
        std::unique_lock lock(mutex_);
        credit_.wait(lock, [this] { return in_flight_ == 0; });
    }

  private:
    static constexpr std::size_t kCredits = 2 * kThreads + 2;
    static constexpr std::size_t kWake = wake_late ? kCredits / 2 : kCredits - 1;
    struct Actor {
        explicit Actor(std::size_t chunks) : order(chunks) {}
        ActorInbox<Piece*> inbox;
        std::vector<Piece*> taken;
        InOrder order;
    };
    using Todo = std::vector<Job>;

    void run(Job job) {
        Todo todo{job};
        while (!todo.empty()) {
            const Job next = todo.back();
            todo.pop_back();
            execute(next, todo);
        }
    }
    void activate(Job job, Todo& todo) {
        todo.push_back(job);
        if (todo.size() == 1) return;
        workers_->post(todo.front());
        todo.erase(todo.begin());
    }
    /// Takes what has come, and does it in order.
    template <typename Do>
    void act(Actor& actor, Job again, Todo& todo, Do&& work) {
        actor.taken.clear();
        const std::uint64_t taken = actor.inbox.take(actor.taken);
        for (Piece* chunk : actor.taken) actor.order.put(chunk);
        while (Piece* chunk = actor.order.next()) work(*chunk);
        if (!actor.inbox.finish(taken)) activate(again, todo);
    }
    void execute(Job job, Todo& todo) {
        switch (job.kind) {
            case Job::Kind::stateless:
                work_.stateless(*chunks_[job.lane]);
                if (sequencer_.inbox.push(chunks_[job.lane].get())) activate({Job::Kind::sequencer, 0, nullptr}, todo);
                return;
            case Job::Kind::sequencer:
                act(sequencer_, job, todo, [&](Piece& chunk) {
                    chunk.lanes_left.store(work_.lanes(), std::memory_order_relaxed);
                    for (std::uint32_t lane = 0; lane < work_.lanes(); ++lane) {
                        if (lanes_[lane]->inbox.push(&chunk)) activate({Job::Kind::lane, lane, nullptr}, todo);
                    }
                });
                return;
            case Job::Kind::lane:
                act(*lanes_[job.lane], job, todo, [&](Piece& chunk) {
                    work_.keyed(chunk, job.lane);
                    if (chunk.lanes_left.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
                    if (committer_.inbox.push(&chunk)) activate({Job::Kind::committer, 0, nullptr}, todo);
                });
                return;
            case Job::Kind::committer:
                act(committer_, job, todo, [&](Piece& chunk) {
                    work_.commit(chunk);
                    std::lock_guard lock(mutex_);
                    --in_flight_;
                    if (in_flight_ == 0 || in_flight_ == kWake) credit_.notify_one();
                });
        }
    }

    Work& work_;
    Workers* workers_ = nullptr;
    Actor sequencer_;
    std::vector<std::unique_ptr<Actor>> lanes_;
    Actor committer_;
    std::vector<std::unique_ptr<Piece>> chunks_;
    std::mutex mutex_;
    std::condition_variable credit_;
    std::size_t in_flight_ = 0;
};

template <bool wake_late>
void sequencer_and_lanes(Work& work) {
    SequencerAndLanes<wake_late>(work).run();
}

/// oneTBB's pipeline. Keyed work must see chunks in order: either one filter does all lanes of a chunk, or each lane
/// has a filter of its own and a chunk goes through them one after another.
template <bool filter_a_lane>
void tbb_pipeline(Work& work) {
    constexpr std::size_t kTokens = 2 * kThreads + 2;
    const tbb::global_control threads(tbb::global_control::max_allowed_parallelism, kThreads);
    std::vector<std::unique_ptr<Piece>> chunks;
    for (std::size_t i = 0; i < kTokens; ++i) chunks.push_back(std::make_unique<Piece>());
    std::uint64_t number = 0;
    const auto input = [&](tbb::flow_control& control) -> Piece* {
        if (number == kChunks) {
            control.stop();
            return nullptr;
        }
        Piece& chunk = *chunks[number % kTokens];
        chunk.number = number++;
        return &chunk;
    };
    const auto any = tbb::filter_mode::parallel;
    const auto ordered = tbb::filter_mode::serial_in_order;
    tbb::filter<void, Piece*> chain =
        tbb::make_filter<void, Piece*>(ordered, input) & tbb::make_filter<Piece*, Piece*>(any, [&](Piece* chunk) {
            work.stateless(*chunk);
            return chunk;
        });
    if constexpr (filter_a_lane) {
        for (std::uint32_t lane = 0; lane < work.lanes(); ++lane) {
            chain = chain & tbb::make_filter<Piece*, Piece*>(ordered, [&work, lane](Piece* chunk) {
                        work.keyed(*chunk, lane);
                        return chunk;
                    });
        }
    } else {
        chain = chain & tbb::make_filter<Piece*, Piece*>(ordered, [&work](Piece* chunk) {
                    for (std::uint32_t lane = 0; lane < work.lanes(); ++lane) work.keyed(*chunk, lane);
                    return chunk;
                });
    }
    tbb::parallel_pipeline(kTokens,
                           chain & tbb::make_filter<Piece*, void>(ordered, [&](Piece* chunk) { work.commit(*chunk); }));
}

/// range(0): lanes; range(1): percent of a row's work that is keyed.
template <void (*way)(Work&)>
void schedule(benchmark::State& state) {
    constexpr int kRounds = 20;  // about 100 ns a row
    const auto lanes = static_cast<std::uint32_t>(state.range(0));
    const auto keyed = static_cast<int>(state.range(1)) * kRounds / 100;
    const auto make = [&] { return Work(lanes, kRounds - keyed, keyed); };
    Work reference = make();
    one_thread(reference);
    for (auto _ : state) {
        Work work = make();
        way(work);
        if (work.answer() != reference.answer()) {
            state.SkipWithError("another answer than that of one thread");
            return;
        }
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kChunks * Piece::kRows));
}

void arguments(benchmark::internal::Benchmark* benchmark) {
    for (const int keyed : {20, 50, 80}) benchmark->Args({2, keyed});
    benchmark->Args({8, 50});
    benchmark->ArgNames({"lanes", "keyed_percent"})
        ->UseRealTime()
        ->MeasureProcessCPUTime()
        ->Unit(benchmark::kMillisecond);
}

BENCHMARK(schedule<one_thread>)->Name("schedule/one_thread")->Apply(arguments);
BENCHMARK(schedule<sequencer_and_lanes<false>>)->Name("schedule/sequencer_and_lanes")->Apply(arguments);
BENCHMARK(schedule<sequencer_and_lanes<true>>)->Name("schedule/sequencer_and_lanes_woken_late")->Apply(arguments);
BENCHMARK(schedule<tbb_pipeline<false>>)->Name("schedule/tbb_pipeline")->Apply(arguments);
BENCHMARK(schedule<tbb_pipeline<true>>)->Name("schedule/tbb_pipeline_of_lanes")->Apply(arguments);

}  // namespace
}  // namespace takt

BENCHMARK_MAIN();
