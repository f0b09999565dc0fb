#include "pipeline/runtime/core.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <condition_variable>
#include <iterator>
#include <mutex>

#include "pipeline/base/mutant.h"
#include "pipeline/base/thread.h"
#include "pipeline/runtime/accounting.h"
#include "pipeline/runtime/actor_inbox.h"
#include "pipeline/runtime/chunk.h"
#include "pipeline/runtime/chunk_order.h"
#include "pipeline/runtime/live_tables.h"
#include "pipeline/runtime/pane_stage.h"
#include "pipeline/runtime/stateless_stage.h"
#include "pipeline/runtime/watermarks.h"
#include "pipeline/runtime/workers.h"

namespace takt {

class Core::Impl {
  public:
    Impl(const Plan& plan, const Options& options, std::function<void(EpochResult&&)> on_epoch);
    ~Impl();

    void feed(std::uint32_t source, std::shared_ptr<const MessageBlock> block);
    Status complete_tables(CutOptions& cut) const;
    void cut(CutOptions cut, std::vector<SourceCut> logged);
    std::shared_ptr<const TableEntries> table_entries(std::uint32_t table) const { return tables_.entries(table); }
    void drain();
    std::vector<Imbalance> find_open_imbalances() const;
    void save(EngineState& into) const;
    Status load(const EngineState& state);
    InFlight in_flight() const;

  private:
    /// Work that the running thread found; it keeps one piece for itself, because that one's data are in its cache.
    using Todo = std::vector<Job>;

    enum class Stage : std::uint8_t { dedup, terminals };
    struct LaneItem {
        Stage stage = Stage::dedup;
        Chunk* chunk = nullptr;
    };
    struct SegmentStates {
        std::unique_ptr<KeyedState> dedup;
        std::vector<std::unique_ptr<KeyedState>> terminals;
    };
    struct Lane {
        explicit Lane(std::size_t chunks) : dedup(chunks), terminals(chunks) {}
        ActorInbox<LaneItem> inbox;
        std::vector<LaneItem> taken;
        InOrder dedup;
        InOrder terminals;
        std::vector<SegmentStates> states;  ///< by segment; empty for those of panes
    };
    /// A keyed step of a segment that a source feeds. Its place in keyed_ is that in Chunk::outputs.
    struct Keyed {
        std::size_t segment = 0;
        const KeyedNode* node = nullptr;
        std::int32_t terminal = -1;  ///< -1: the deduplication
    };

    Chunk& next_chunk(std::uint64_t size_bytes);
    void feed(const DeadLetterReplay& replay);
    void submit(Chunk& chunk);
    void activate(Job job, Todo& todo);
    void run(Job job);
    void execute(const Job& job, Todo& todo);

    void run_sequencer(Todo& todo);
    void release(Chunk& chunk, Todo& todo);
    void observe_times(const Chunk& chunk);
    void release_messages(const Chunk& chunk);
    void release_marker(Chunk& chunk);
    void push_to_lanes(Stage stage, Chunk& chunk, Todo& todo);
    void run_lane(std::uint32_t index, Todo& todo);
    void run_dedup(Lane& lane, std::uint32_t index, Chunk& chunk);
    void run_terminals(Lane& lane, std::uint32_t index, Chunk& chunk);
    void finish_rows(Chunk& chunk);
    void refuse_quarantined(Chunk& chunk);
    void run_committer(Todo& todo);
    void commit_rows(Chunk& chunk);
    void commit_replay(Chunk& chunk);
    void count_holes(const Chunk& chunk);
    void keep_messages(const Chunk& chunk);
    void commit_epoch(Chunk& chunk);
    void gather(Chunk& chunk, std::vector<OrderedPosting*>& postings);
    template <typename Work>
    void for_each_lane(Work&& work) const;
    void save_lane(std::uint32_t lane, std::vector<EngineState::Step>& older,
                   std::vector<EngineState::Step>& part) const;
    static KeyedState& state_of(Lane& lane, const Keyed& keyed) {
        SegmentStates& states = lane.states[keyed.segment];
        return keyed.terminal < 0 ? *states.dedup : *states.terminals[static_cast<std::size_t>(keyed.terminal)];
    }

    const Plan& plan_;
    const Options options_;
    const std::function<void(EpochResult&&)> on_epoch_;
    const std::size_t credit_chunks_;
    std::vector<Keyed> keyed_;
    bool any_dedup_ = false;

    std::vector<std::unique_ptr<Chunk>> chunks_;  ///< by number modulo size; a chunk is used again after its commit
    StatelessStage stateless_;

    // Of the thread that feeds.
    std::uint64_t next_number_ = 0;
    LiveTables tables_;

    // Of the sequencer's run.
    ActorInbox<Chunk*> sequencer_;
    std::vector<Chunk*> sequencer_taken_;
    InOrder finished_stateless_;
    Watermarks watermarks_;
    std::uint64_t epoch_ = 1;
    std::vector<SourceCut> cuts_;

    std::vector<std::unique_ptr<Lane>> lanes_;

    // Of the committer's run.
    ActorInbox<Chunk*> committer_;
    std::vector<Chunk*> committer_taken_;
    InOrder finished_;
    PaneStage panes_;
    EpochResult result_;                         ///< of the epoch that is being committed; its totals are of all before
    std::vector<std::uint64_t> committed_;       ///< by source: the last sequence that is counted in
    std::vector<Hash128> seeds_;                 ///< by source: of its events' hashes
    std::vector<std::uint64_t> total_outcomes_;  ///< by outcome code, of all epochs

    mutable std::mutex credit_mutex_;
    std::condition_variable credit_;
    std::uint64_t chunks_in_flight_ = 0;
    std::uint64_t bytes_in_flight_ = 0;

    std::unique_ptr<Workers> workers_;  ///< null with one thread
};

Core::Impl::Impl(const Plan& plan, const Options& options, std::function<void(EpochResult&&)> on_epoch)
    : plan_(plan),
      options_(options),
      on_epoch_(std::move(on_epoch)),
      credit_chunks_(options.credit_chunks > 0 ? options.credit_chunks : 2 * options.threads + 2),
      stateless_(plan, options.lanes),
      tables_(plan),
      finished_stateless_(credit_chunks_),
      watermarks_(plan.sources),
      cuts_(plan.sources.size()),
      finished_(credit_chunks_),
      panes_(plan) {
    CHECK(options.lanes >= 1 && options.lanes <= kKeyGroups);
    CHECK(options.threads >= 1 && options.threads <= 256 && options.chunk_messages >= 1);
    std::vector<bool> from_source(plan.segments.size(), false);
    for (const SourcePlan& source : plan.sources) from_source[source.segment] = true;
    for (std::size_t i = 0; i < plan.segments.size(); ++i) {
        if (!from_source[i]) continue;
        const Segment& segment = *plan.segments[i];
        any_dedup_ = any_dedup_ || segment.dedup.has_value();
        if (segment.dedup) keyed_.push_back({i, &*segment.dedup, -1});
        for (std::size_t t = 0; t < segment.terminals.size(); ++t) {
            keyed_.push_back({i, &segment.terminals[t], static_cast<std::int32_t>(t)});
        }
    }
    for (std::uint32_t index = 0; index < options.lanes; ++index) {
        auto lane = std::make_unique<Lane>(credit_chunks_);
        lane->states.resize(plan.segments.size());
        for (std::size_t i = 0; i < plan.segments.size(); ++i) {
            if (!from_source[i]) continue;
            const Segment& segment = *plan.segments[i];
            if (segment.dedup) lane->states[i].dedup = segment.dedup->op->make_state();
            for (const KeyedNode& terminal : segment.terminals) {
                lane->states[i].terminals.push_back(terminal.op->make_state());
            }
        }
        lanes_.push_back(std::move(lane));
    }
    for (std::size_t i = 0; i < std::bit_ceil(credit_chunks_); ++i) {
        auto chunk = std::make_unique<Chunk>();
        chunk->outcomes.resize(plan.outcomes.size());
        chunk->outputs.resize(options.lanes, std::vector<LaneOutput>(keyed_.size()));
        chunk->sizes.resize(options.lanes, std::vector<StateSize>(keyed_.size()));
        chunks_.push_back(std::move(chunk));
    }
    result_.outcomes.resize(plan.outcomes.size());
    result_.pane_outcomes.resize(plan.outcomes.size());
    result_.audit.outcomes.resize(plan.outcomes.size());
    result_.audit.replays.resize(plan.outcomes.size());
    result_.audit.sources.resize(plan.sources.size());
    committed_.resize(plan.sources.size());
    for (const SourcePlan& source : plan.sources) seeds_.push_back(source_seed(source.name));
    total_outcomes_.resize(plan.outcomes.size());
    if (options.threads > 1) workers_ = std::make_unique<Workers>(options.threads, [this](Job job) { run(job); });
}

Core::Impl::~Impl() {
    drain();
    workers_.reset();
}

// ---- input
// ----------------------------------------------------------------------------------------------------------------------------

Chunk& Core::Impl::next_chunk(std::uint64_t size_bytes) {
    {
        std::unique_lock lock(credit_mutex_);
        credit_.wait(lock, [&] {
            return chunks_in_flight_ < credit_chunks_ &&
                   (chunks_in_flight_ == 0 || bytes_in_flight_ + size_bytes <= options_.credit_bytes);
        });
        ++chunks_in_flight_;
        bytes_in_flight_ += size_bytes;
    }
    Chunk& chunk = *chunks_[next_number_ & (chunks_.size() - 1)];
    chunk.number = next_number_++;
    chunk.size_bytes = size_bytes;
    return chunk;
}

void Core::Impl::feed(std::uint32_t source, std::shared_ptr<const MessageBlock> block) {
    const std::size_t messages = block->messages.size();
    for (std::size_t first = 0; first < messages; first += options_.chunk_messages) {
        const std::size_t count = std::min<std::size_t>(options_.chunk_messages, messages - first);
        // Shares of the block's size that sum to it.
        const auto bytes_until = [&](std::size_t message) { return block->size_bytes * message / messages; };
        Chunk& chunk = next_chunk(bytes_until(first + count) - bytes_until(first));
        chunk.marker = false;
        chunk.replay = 0;
        chunk.source = source;
        chunk.segment = plan_.sources[source].segment;
        chunk.block = block;
        chunk.first = first;
        chunk.count = count;
        submit(chunk);
    }
}

/// A chunk of its own: its event is counted by itself.
void Core::Impl::feed(const DeadLetterReplay& replay) {
    CHECK(replay.source < plan_.sources.size() && replay.replay > 0);
    std::shared_ptr<const MessageBlock> block = block_of(replay);
    Chunk& chunk = next_chunk(block->size_bytes);
    chunk.marker = false;
    chunk.replay = replay.replay;
    chunk.part = replay.part;
    chunk.source = replay.source;
    chunk.segment = plan_.sources[replay.source].segment;
    chunk.block = std::move(block);
    chunk.first = 0;
    chunk.count = 1;
    submit(chunk);
}

Status Core::Impl::complete_tables(CutOptions& cut) const {
    for (TableVersion& version : cut.tables) {
        if (Status completed = tables_.complete(version); !completed) return completed;
    }
    return {};
}

void Core::Impl::cut(CutOptions cut, std::vector<SourceCut> logged) {
    const std::vector<TableVersion> tables = cut.tables;
    for (const DeadLetterReplay& replay : cut.replays) feed(replay);
    Chunk& chunk = next_chunk(0);
    chunk.marker = true;
    chunk.cut = std::move(cut);
    chunk.cuts = std::move(logged);
    submit(chunk);
    if (tables.empty()) return;
    drain();
    for (const TableVersion& version : tables) tables_.put(version);
}

void Core::Impl::drain() {
    std::unique_lock lock(credit_mutex_);
    credit_.wait(lock, [&] { return chunks_in_flight_ == 0; });
}

/// Calls `work` for each lane, at once as far as there are threads; nothing is in flight.
template <typename Work>
void Core::Impl::for_each_lane(Work&& work) const {
    const std::uint32_t threads = std::min(options_.threads, options_.lanes);
    const auto take_turns = [&](std::uint32_t first) {
        for (std::uint32_t lane = first; lane < options_.lanes; lane += threads) work(lane);
    };
    std::vector<Thread> others;
    for (std::uint32_t first = 1; first < threads; ++first) others.emplace_back([&, first] { take_turns(first); });
    take_turns(0);
    for (Thread& other : others) other.join();
}

/// The lane's part of each keyed step, in the memory of its groups in older ones.
void Core::Impl::save_lane(std::uint32_t lane, std::vector<EngineState::Step>& older,
                           std::vector<EngineState::Step>& part) const {
    for (std::size_t i = 0; i < keyed_.size(); ++i) {
        EngineState::Step& step = part.emplace_back();
        for (std::uint32_t group = 0; group < kKeyGroups && i < older.size(); ++group) {
            if (lane_of_group(group, options_.lanes) != lane) continue;
            step.groups[group] = std::move(older[i].groups[group]);
            step.groups[group].clear();
        }
        const KeyedState& state = state_of(*lanes_[lane], keyed_[i]);
        state.save(step.groups);
        describe(state, step);
        // A lane also writes that it has nothing of the others' groups.
        for (std::uint32_t group = 0; group < kKeyGroups; ++group) {
            if (lane_of_group(group, options_.lanes) != lane) step.groups[group].clear();
        }
    }
}

void Core::Impl::save(EngineState& saved) const {
    std::vector<EngineState::Step> older = std::move(saved.steps);
    saved = {};
    saved.epoch = epoch_ - 1;
    for (const SourcePlan& source : plan_.sources) saved.sources.push_back(source.name);
    saved.cuts = cuts_;
    saved.outcomes = plan_.outcomes.all();
    saved.total_outcomes = total_outcomes_;
    saved.audit = result_.audit;
    saved.watermark = watermarks_.now();
    for (const SourcePlan& source : plan_.sources) saved.source_times.push_back(watermarks_.save(source.index));
    tables_.save(saved.tables);
    std::vector<std::vector<EngineState::Step>> parts(options_.lanes);
    for_each_lane([&](std::uint32_t lane) { save_lane(lane, older, parts[lane]); });
    for (std::size_t i = 0; i < keyed_.size(); ++i) {
        EngineState::Step& step = saved.steps.emplace_back();
        step.identity = keyed_[i].node->identity();
        for (std::vector<EngineState::Step>& part : parts) {
            step.entries += part[i].entries;
            step.told += part[i].told;
            std::move(part[i].open.begin(), part[i].open.end(), std::back_inserter(step.open));
            for (std::uint32_t group = 0; group < kKeyGroups; ++group) {
                if (!part[i].groups[group].empty()) step.groups[group] = std::move(part[i].groups[group]);
            }
        }
        step.open = merged(std::move(step.open));
    }
    panes_.save(saved.steps);
}

/// What panes hold and have not told, pane by pane, against what rows brought and panes have told.
std::vector<Imbalance> Core::Impl::find_open_imbalances() const {
    std::vector<ValueSum> open;
    for (const Keyed& keyed : keyed_) {
        for (const auto& lane : lanes_) state_of(*lane, keyed).add_open(open);
    }
    panes_.add_open(open);
    return takt::find_open_imbalances(result_.audit, open);
}

Status Core::Impl::load(const EngineState& state) {
    const auto foreign = [](std::string_view what) {
        return Error{"C630", fmt::format("the saved state does not fit this pipeline: {}", what)};
    };
    if (state.cuts.size() != plan_.sources.size()) return foreign("it has other sources");
    if (state.total_outcomes.size() != total_outcomes_.size() ||
        state.audit.outcomes.size() != total_outcomes_.size() || state.audit.replays.size() != total_outcomes_.size())
        return foreign("events end otherwise here");
    if (state.audit.sources.size() != plan_.sources.size()) return foreign("it has other sources");
    if (!watermarks_.load(state.watermark, state.source_times)) return foreign("it has other sources");
    if (state.steps.size() != keyed_.size() + panes_.steps()) return foreign("it has other steps");
    for (std::size_t i = 0; i < keyed_.size(); ++i) {
        const EngineState::Step& step = state.steps[i];
        const std::string& name = step.identity.step;
        if (name != keyed_[i].node->step) return foreign(fmt::format("'{}' is no step here", name));
        for (std::uint32_t group = 0; group < kKeyGroups; ++group) {
            const std::uint32_t owner = mutant("rescale_moves_no_state") ? 0 : lane_of_group(group, options_.lanes);
            Lane& lane = *lanes_[owner];
            if (!step.groups[group].empty() && !state_of(lane, keyed_[i]).load(step.groups[group]))
                return foreign(fmt::format("step '{}' kept something else", name));
        }
    }
    if (!panes_.load(std::span(state.steps).subspan(keyed_.size())))
        return foreign("a step over panes kept something else");
    if (Status loaded = tables_.load(state.tables); !loaded) return loaded;
    epoch_ = state.epoch + (mutant("epochs_restart") ? 2 : 1);
    cuts_ = state.cuts;
    total_outcomes_ = state.total_outcomes;
    result_.audit = state.audit;
    for (std::size_t i = 0; i < cuts_.size(); ++i) committed_[i] = cuts_[i].last_sequence;
    return {};
}

Core::InFlight Core::Impl::in_flight() const {
    std::lock_guard lock(credit_mutex_);
    return {chunks_in_flight_, credit_chunks_, bytes_in_flight_, options_.credit_bytes};
}

// ---- work
// -----------------------------------------------------------------------------------------------------------------------------

void Core::Impl::submit(Chunk& chunk) {
    const Job job{Job::Kind::stateless, 0, &chunk};
    if (workers_ == nullptr) {
        run(job);
    } else {
        workers_->post(job);
    }
}

void Core::Impl::activate(Job job, Todo& todo) {
    todo.push_back(job);
    if (workers_ == nullptr || todo.size() == 1) return;
    workers_->post(todo.front());
    todo.erase(todo.begin());
}

void Core::Impl::run(Job job) {
    Todo todo{job};
    while (!todo.empty()) {
        const Job next = todo.back();
        todo.pop_back();
        execute(next, todo);
    }
}

void Core::Impl::execute(const Job& job, Todo& todo) {
    switch (job.kind) {
        case Job::Kind::stateless:
            if (!job.chunk->marker) stateless_.run(*job.chunk);
            if (sequencer_.push(job.chunk)) activate({Job::Kind::sequencer, 0, nullptr}, todo);
            return;
        case Job::Kind::sequencer:
            run_sequencer(todo);
            return;
        case Job::Kind::lane:
            run_lane(job.lane, todo);
            return;
        case Job::Kind::committer:
            run_committer(todo);
            return;
    }
}

// ---- sequencer: the order of chunks, event time
// -----------------------------------------------------------------------------------------

void Core::Impl::run_sequencer(Todo& todo) {
    sequencer_taken_.clear();
    const std::uint64_t taken = sequencer_.take(sequencer_taken_);
    for (Chunk* chunk : sequencer_taken_) finished_stateless_.put(chunk);
    while (Chunk* chunk = finished_stateless_.next()) release(*chunk, todo);
    if (!sequencer_.finish(taken)) activate({Job::Kind::sequencer, 0, nullptr}, todo);
}

void Core::Impl::release(Chunk& chunk, Todo& todo) {
    chunk.epoch = epoch_;
    chunk.watermark = watermarks_.now();
    if (chunk.marker) {
        release_marker(chunk);
    } else {
        const Segment& segment = *plan_.segments[chunk.segment];
        for (std::size_t i = 0; i < chunk.parts_used; ++i) judge_lateness(segment, chunk.watermark, chunk.parts[i]);
        if (chunk.replay == 0) release_messages(chunk);
        if (chunk.replay > 0 && mutant("retry_moves_watermark")) observe_times(chunk);
    }
    push_to_lanes(any_dedup_ ? Stage::dedup : Stage::terminals, chunk, todo);
}

void Core::Impl::observe_times(const Chunk& chunk) {
    for (const PartitionTime& time : chunk.times)
        watermarks_.observe(chunk.source, time.partition, time.highest, time.ingest_time);
}

/// What the source says with them: event time, and how far it was read.
void Core::Impl::release_messages(const Chunk& chunk) {
    observe_times(chunk);
    const Message& last = chunk.block->messages[chunk.first + chunk.count - 1];
    SourceCut& cut = cuts_[chunk.source];
    cut.last_sequence = last.sequence;
    cut.last_ingest_time = last.ingest_time;
    if (chunk.block->own_clock && chunk.first == 0) {
        cut.ingest_times.emplace_back(chunk.block->messages.front().sequence, last.ingest_time);
    }
    if (!chunk.block->anchor.empty() && chunk.first + chunk.count == chunk.block->messages.size()) {
        cut.anchor_sequence = last.sequence;
        cut.anchor = chunk.block->anchor;
    }
    cut.highest_event_time = watermarks_.highest(chunk.source);
}

void Core::Impl::release_marker(Chunk& chunk) {
    chunk.watermark_after = watermarks_.advance(chunk.cut);
    for (std::size_t i = 0; i < chunk.cuts.size() && !mutant("anchor_goes_back"); ++i) {
        if (chunk.cuts[i].anchor_sequence <= cuts_[i].anchor_sequence) continue;
        cuts_[i].anchor_sequence = chunk.cuts[i].anchor_sequence;
        cuts_[i].anchor = std::move(chunk.cuts[i].anchor);
    }
    chunk.cuts = cuts_;
    for (SourceCut& cut : cuts_) cut.ingest_times.clear();
    ++epoch_;
}

// ---- lanes: keyed steps
// -----------------------------------------------------------------------------------------------------------------

void Core::Impl::push_to_lanes(Stage stage, Chunk& chunk, Todo& todo) {
    chunk.lanes_left.store(options_.lanes, std::memory_order_relaxed);
    for (std::uint32_t index = 0; index < options_.lanes; ++index) {
        if (lanes_[index]->inbox.push({stage, &chunk})) activate({Job::Kind::lane, index, nullptr}, todo);
    }
}

void Core::Impl::run_lane(std::uint32_t index, Todo& todo) {
    Lane& lane = *lanes_[index];
    lane.taken.clear();
    const std::uint64_t taken = lane.inbox.take(lane.taken);
    for (const LaneItem& item : lane.taken) (item.stage == Stage::dedup ? lane.dedup : lane.terminals).put(item.chunk);
    while (true) {
        // What is furthest goes first: its batch is the warmest, and its credits come back soonest.
        if (Chunk* chunk = lane.terminals.next()) {
            run_terminals(lane, index, *chunk);
            if (chunk->lanes_left.fetch_sub(1, std::memory_order_acq_rel) > 1) continue;
            if (!chunk->marker) finish_rows(*chunk);
            if (committer_.push(chunk)) activate({Job::Kind::committer, 0, nullptr}, todo);
        } else if (Chunk* judged = lane.dedup.next()) {
            run_dedup(lane, index, *judged);
            if (judged->lanes_left.fetch_sub(1, std::memory_order_acq_rel) > 1) continue;
            push_to_lanes(Stage::terminals, *judged, todo);
        } else {
            break;
        }
    }
    if (!lane.inbox.finish(taken)) activate({Job::Kind::lane, index, nullptr}, todo);
}

void Core::Impl::run_dedup(Lane& lane, std::uint32_t index, Chunk& chunk) {
    if (chunk.marker) {
        for (std::size_t i = 0; i < keyed_.size(); ++i) {
            if (keyed_[i].terminal >= 0) continue;
            KeyedState& state = state_of(lane, keyed_[i]);
            state.end_epoch(chunk.watermark, chunk.watermark_after, chunk.epoch, chunk.outputs[index][i]);
            chunk.sizes[index][i] = {{}, state.entries(), state.size_bytes()};
        }
        return;
    }
    KeyedState* dedup = lane.states[chunk.segment].dedup.get();
    if (dedup == nullptr) return;
    for (std::size_t i = 0; i < chunk.parts_used; ++i) {
        const std::span<const Row> rows = chunk.parts[i].rows_of[index];
        if (!rows.empty()) dedup->process(*chunk.parts[i].batch, rows, chunk.watermark);
    }
}

void Core::Impl::run_terminals(Lane& lane, std::uint32_t index, Chunk& chunk) {
    if (chunk.marker) {
        for (std::size_t i = 0; i < keyed_.size(); ++i) {
            if (keyed_[i].terminal < 0) continue;
            KeyedState& state = state_of(lane, keyed_[i]);
            state.end_epoch(chunk.watermark, chunk.watermark_after, chunk.epoch, chunk.outputs[index][i]);
            chunk.sizes[index][i] = {{}, state.entries(), state.size_bytes()};
        }
        return;
    }
    const auto& terminals = lane.states[chunk.segment].terminals;
    for (std::size_t i = 0; i < chunk.parts_used; ++i) {
        Part& part = chunk.parts[i];
        for (std::size_t t = 0; t < terminals.size(); ++t) {
            const std::span<const Row> rows = part.rows_of[(t + 1) * options_.lanes + index];
            if (!rows.empty()) terminals[t]->process(*part.batch, rows, chunk.watermark);
        }
    }
}

void Core::Impl::finish_rows(Chunk& chunk) {
    const Segment& segment = *plan_.segments[chunk.segment];
    const std::string& source = plan_.sources[chunk.source].name;
    std::fill(chunk.outcomes.begin(), chunk.outcomes.end(), EventSum{});
    chunk.dead_letters.clear();
    chunk.rows = 0;
    for (std::size_t i = 0; i < chunk.parts_used; ++i) {
        const Part& part = chunk.parts[i];
        chunk.rows += part.batch->rows;
        account(segment, plan_.outcomes, source, seeds_[chunk.source], chunk.watermark, part, chunk.outcomes,
                chunk.dead_letters);
    }
    if (chunk.block->quarantined) refuse_quarantined(chunk);
    for (DeadLetter& letter : chunk.dead_letters) letter.replay = chunk.replay;
    stateless_.recycle(chunk);
}

/// Nobody has looked into the message: it counts as one event.
void Core::Impl::refuse_quarantined(Chunk& chunk) {
    const Message& message = chunk.block->messages[chunk.first];
    const Outcome& outcome = plan_.outcomes.at(plan_.crashed);
    chunk.rows = 1;
    chunk.outcomes[plan_.crashed].add(event_hash(seeds_[chunk.source], message.sequence, 0));
    DeadLetter letter;
    letter.source = plan_.sources[chunk.source].name;
    letter.sequence = message.sequence;
    letter.subject = message.subject;
    letter.ingest_time = message.ingest_time;
    letter.reason = outcome.rule;
    letter.text = "the process died again and again when it read this message";
    letter.owner = outcome.owner;
    letter.step = outcome.step;
    letter.bytes = message.data;
    chunk.dead_letters.push_back(std::move(letter));
}

// ---- committer: chunks and epochs leave in order
// ------------------------------------------------------------------------------------------

void Core::Impl::run_committer(Todo& todo) {
    committer_taken_.clear();
    const std::uint64_t taken = committer_.take(committer_taken_);
    for (Chunk* chunk : committer_taken_) finished_.put(chunk);
    // The next epoch may have to wait for the sinks; nobody else may wait for what this thread has put aside.
    if (workers_ != nullptr) {
        for (const Job& job : todo) workers_->post(job);
        todo.clear();
    }
    while (Chunk* chunk = finished_.next()) {
        if (chunk->marker) {
            commit_epoch(*chunk);
        } else {
            commit_rows(*chunk);
        }
        const std::uint64_t size_bytes = chunk->size_bytes;
        chunk->block.reset();
        std::lock_guard lock(credit_mutex_);
        --chunks_in_flight_;
        bytes_in_flight_ -= size_bytes;
        credit_.notify_all();
    }
    if (!committer_.finish(taken)) activate({Job::Kind::committer, 0, nullptr}, todo);
}

void Core::Impl::commit_rows(Chunk& chunk) {
    if (chunk.replay > 0) return commit_replay(chunk);
    result_.messages += chunk.count;
    result_.message_bytes += chunk.size_bytes;
    result_.rows += chunk.rows;
    for (std::size_t code = 0; code < chunk.outcomes.size(); ++code) {
        result_.outcomes[code] += chunk.outcomes[code].count;
        result_.audit.outcomes[code] += chunk.outcomes[code];
    }
    result_.audit.received += chunk.received;
    count_holes(chunk);
    if (options_.keep_input && !plan_.sources[chunk.source].can_read_again) keep_messages(chunk);
    std::move(chunk.dead_letters.begin(), chunk.dead_letters.end(), std::back_inserter(result_.dead_letters));
}

void Core::Impl::commit_replay(Chunk& chunk) {
    const auto ended =
        std::find_if(chunk.outcomes.begin(), chunk.outcomes.end(), [](const EventSum& rows) { return rows.count > 0; });
    const auto code = ended == chunk.outcomes.end() ? kUndecided : ended - chunk.outcomes.begin();
    result_.replay_outcomes.push_back(static_cast<OutcomeCode>(code));
    result_.audit.replays[static_cast<std::size_t>(code)].add(
        event_hash(seeds_[chunk.source], chunk.block->messages[chunk.first].sequence, chunk.part));
    std::move(chunk.dead_letters.begin(), chunk.dead_letters.end(), std::back_inserter(result_.dead_letters));
}

void Core::Impl::keep_messages(const Chunk& chunk) {
    for (const Message& message : std::span(chunk.block->messages).subspan(chunk.first, chunk.count)) {
        result_.input_records.push_back({chunk.source, message.sequence, message.ingest_time,
                                         std::string(message.subject), std::string(message.data)});
    }
}

/// Of the block's holes, those before messages of the chunk.
void Core::Impl::count_holes(const Chunk& chunk) {
    SourceSum& sum = result_.audit.sources[chunk.source];
    std::uint64_t& committed = committed_[chunk.source];
    const std::uint64_t last = chunk.block->messages[chunk.first + chunk.count - 1].sequence;
    sum.received += chunk.count;
    for (const SequenceHole& hole : chunk.block->holes) {
        const std::uint64_t first = std::max(hole.first, committed + 1);
        if (hole.last >= first && hole.last < last)
            sum.holes[static_cast<std::size_t>(hole.kind)] += hole.last - first + 1;
    }
    committed = last;
}

void Core::Impl::gather(Chunk& chunk, std::vector<OrderedPosting*>& postings) {
    for (std::size_t i = 0; i < keyed_.size(); ++i) {
        const KeyedNode& node = *keyed_[i].node;
        StateSize size{node.step};
        for (std::uint32_t lane = 0; lane < options_.lanes; ++lane) {
            LaneOutput& output = chunk.outputs[lane][i];
            for (OrderedPosting& posting : output.postings) postings.push_back(&posting);
            for (const ValueSum& value : output.values) result_.audit.add(value);
            if (!output.rows.empty()) {
                CHECK(node.output_segment >= 0);
                panes_.add(static_cast<std::size_t>(node.output_segment), std::move(output.rows));
            }
            size.entries += chunk.sizes[lane][i].entries;
            size.size_bytes += chunk.sizes[lane][i].size_bytes;
        }
        result_.states.push_back(std::move(size));
    }
}

void Core::Impl::commit_epoch(Chunk& chunk) {
    result_.epoch = chunk.epoch;
    result_.watermark_before = chunk.watermark;
    result_.watermark_after = chunk.watermark_after;
    result_.cuts = std::move(chunk.cuts);
    result_.cut = std::move(chunk.cut);
    // Postings are large: they are sorted by their places and moved once.
    std::vector<OrderedPosting*> postings;
    gather(chunk, postings);
    std::vector<OrderedPosting> of_panes;
    panes_.end_epoch(chunk.watermark, chunk.watermark_after, result_, of_panes);
    for (OrderedPosting& posting : of_panes) postings.push_back(&posting);
    std::stable_sort(postings.begin(), postings.end(),
                     [](const OrderedPosting* a, const OrderedPosting* b) { return a->order < b->order; });
    result_.postings.reserve(postings.size());
    for (OrderedPosting* ordered : postings) {
        ordered->posting.epoch = chunk.epoch;
        result_.audit.add(ordered->posting);
        result_.postings.push_back(std::move(ordered->posting));
    }
    for (auto& lane : chunk.outputs) {
        for (LaneOutput& output : lane) output.clear();
    }
    for (const DeadLetterReplay& order : result_.cut.replays)
        result_.audit.replayed.add(event_hash(seeds_[order.source], order.sequence, order.part));
    for (DeadLetter& letter : result_.dead_letters) letter.epoch = chunk.epoch;
    for (std::size_t code = 0; code < total_outcomes_.size(); ++code) total_outcomes_[code] += result_.outcomes[code];

    EpochResult done = std::move(result_);
    result_ = {};
    result_.audit = done.audit;
    result_.outcomes.resize(plan_.outcomes.size());
    result_.pane_outcomes.resize(plan_.outcomes.size());
    on_epoch_(std::move(done));
}

Core::Core(const Plan& plan, const Options& options, std::function<void(EpochResult&&)> on_epoch)
    : impl_(std::make_unique<Impl>(plan, options, std::move(on_epoch))) {}
Core::~Core() = default;
void Core::feed(std::uint32_t source, std::shared_ptr<const MessageBlock> block) {
    impl_->feed(source, std::move(block));
}
Status Core::complete_tables(CutOptions& cut) const {
    return impl_->complete_tables(cut);
}
void Core::cut(CutOptions cut, std::vector<SourceCut> logged) {
    impl_->cut(std::move(cut), std::move(logged));
}
std::shared_ptr<const TableEntries> Core::table_entries(std::uint32_t table) const {
    return impl_->table_entries(table);
}
void Core::drain() {
    impl_->drain();
}
std::vector<Imbalance> Core::find_open_imbalances() const {
    return impl_->find_open_imbalances();
}
EngineState Core::save() const {
    EngineState saved;
    impl_->save(saved);
    return saved;
}
void Core::save(EngineState& into) const {
    impl_->save(into);
}
Status Core::load(const EngineState& state) {
    return impl_->load(state);
}
Core::InFlight Core::in_flight() const {
    return impl_->in_flight();
}

}  // namespace takt
