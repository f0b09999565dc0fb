#include "pipeline/runtime/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <thread>

#include "pipeline/base/mutant.h"
#include "pipeline/base/process_memory.h"
#include "pipeline/base/thread.h"
#include "pipeline/observe/log.h"
#include "pipeline/runtime/core.h"
#include "pipeline/runtime/cutter.h"
#include "pipeline/runtime/epoch_difference.h"
#include "pipeline/runtime/sink_writer.h"
#include "pipeline/runtime/source_reader.h"
#include "pipeline/runtime/storm_breaker.h"
#include "pipeline/runtime/table_reader.h"

namespace takt {
namespace {

/// Epochs that are made and wait to be durable, at most; the next ones are made meanwhile.
constexpr std::size_t kEpochsAhead = 2;

/// Without input for so long, what sinks have refused goes into a frame of its own.
constexpr Duration kQuiet = kSecond;

/// From one snapshot's begin to the next one's pass at least so many times what the one took: a state that has grown
/// large, or a slow disk, makes them rarer.
constexpr int kLeastIntervalOfCost = 10;

std::uint32_t cores() {
    return std::clamp(std::thread::hardware_concurrency(), 1u, kKeyGroups);
}

Core::Options core_options(const Plan& plan, const Engine::Options& options) {
    Core::Options core;
    core.lanes = options.lanes > 0 ? options.lanes : plan.lanes > 0 ? plan.lanes : cores();
    core.threads = options.threads > 0 ? options.threads : cores();
    core.keep_input = options.log != nullptr;
    return core;
}

Error out_of_balance(const std::vector<Imbalance>& found, const std::string& when) {
    std::string texts;
    for (const Imbalance& one : found) {
        texts +=
            fmt::format("; equation {} ({}): {}", static_cast<int>(one.equation), to_string(one.equation), one.text);
    }
    return {"F622", fmt::format("AUDIT: {} the books do not balance, and nothing of it was released{}", when, texts)};
}

}  // namespace

class Engine::Impl {
  public:
    Impl(const Plan& plan, const Options& options);
    ~Impl() { (void)await_snapshot(); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    Status run();
    void request_stop();
    EngineStatus status() const;

  private:
    enum class Next : std::uint8_t { go_on, stop, end, abort };

    Status start();
    Status load_tables();
    Status recover();
    Status replay();
    bool make_durable(const EpochResult& epoch);
    void begin_again(const std::vector<SourceSum>& sums);
    void go_on_behind(const std::vector<SourceCut>& cuts);
    void take_snapshot_if_due();
    void take_snapshot();
    Status await_snapshot();
    void record_answers();
    bool news_waits() const;
    std::uint64_t delivered() const;
    Next next_step();
    void cut_epochs();
    void wait_for_input(Duration longest);
    void ring();
    void drain();
    void hand_over(EpochResult&& result);
    void release_in_turn();
    void release(const std::shared_ptr<const EpochResult>& epoch);
    void count(const EpochResult& result);
    void show_equations(const std::vector<Imbalance>& broken);
    void show_audit(const AuditTotals& totals);
    void fail(const Error& error);
    void enter(EngineStatus::Phase phase);

    const Plan& plan_;
    const Options options_;
    std::vector<std::string> source_names_;  ///< by index
    std::vector<std::unique_ptr<SourceReader>> readers_;
    std::vector<std::unique_ptr<TableReader>> tables_;
    bool tables_started_ = false;
    std::vector<std::unique_ptr<SinkWriter>> writers_;

    mutable Mutex mutex_;
    Condition bell_;
    bool rung_ = false;
    int stops_ = 0;
    bool aborted_ = false;
    std::optional<Error> error_;  ///< the first one
    EngineStatus status_;         ///< what is not asked of readers, writers and core
    std::vector<std::uint64_t> outcomes_;
    std::map<std::pair<std::string, std::string>, PostingStatus> postings_;
    std::vector<SourceCut> cuts_;
    std::vector<SourceSum> source_sums_;
    Timestamp newest_ingest_ = 0;
    std::deque<Timestamp> epoch_starts_;  ///< monotonic, of the epochs that were cut and not yet released

    // From the core's committer to the thread that makes epochs durable and releases them.
    Condition made_changed_;
    std::deque<std::shared_ptr<const EpochResult>> made_;  ///< shared with the writers; the front one is under way
    bool all_made_ = false;
    Thread releaser_;

    // Recovery; what the releaser reads is set before anything is fed.
    std::vector<std::shared_ptr<const EpochResult>> released_again_;  ///< the log's epochs that are in the state
    std::deque<EpochResult> replayed_;         ///< the log's epochs that must be made again, in order
    std::uint64_t last_logged_ = 0;            ///< the newest of them
    std::atomic<std::uint64_t> released_ = 0;  ///< the newest epoch that was released
    bool finished_ = false;                    ///< the writers are; set while no epoch is under way
    std::vector<SourcePosition> positions_;    ///< where the readers start; empty: at the beginning
    Timestamp last_input_ = 0;                 ///< monotonic: input was taken, or an epoch was cut
    Timestamp last_snapshot_ = 0;              ///< the same
    std::uint64_t snapshot_epoch_ = 0;         ///< of the newest snapshot, as far as it is known to be written
    EngineState snapshot_;                     ///< the last one; the thread's while it is
    Thread snapshot_writer_;
    std::optional<Status> snapshot_written_;  ///< what it says at its end
    Duration snapshot_cost_ = 0;              ///< from the last one's begin until it was durable

    StormBreaker storm_;  ///< the releaser's, once it has the log's epochs

    Core core_;
    Cutter cutter_;
};

Engine::Impl::Impl(const Plan& plan, const Options& options)
    : plan_(plan),
      options_(options),
      outcomes_(plan.outcomes.size()),
      cuts_(plan.sources.size()),
      storm_(plan),
      core_(plan, core_options(plan, options), [this](EpochResult&& result) { hand_over(std::move(result)); }),
      cutter_(plan, readers_, tables_, *options.clock, core_, [this](Timestamp first_message) {
          std::lock_guard lock(mutex_);
          epoch_starts_.push_back(first_message);
      }) {
    status_.pipeline = plan.pipeline;
    status_.started = options.clock->monotonic();
    status_.last_progress = status_.started;
    for (const SourcePlan& source : plan.sources) {
        source_names_.push_back(source.name);
        readers_.push_back(
            std::make_unique<SourceReader>(source,
                                           SourceReader::Options{.limits = options.read,
                                                                 .queue_bytes = options.source_queue_bytes,
                                                                 .retry = options.retry,
                                                                 .clock = options.clock},
                                           [this] { ring(); }));
    }
    for (std::uint32_t i = 0; i < plan.tables.size(); ++i) {
        tables_.push_back(std::make_unique<TableReader>(
            plan.tables[i], i, TableReader::Options{.retry = options.retry, .clock = options.clock},
            [this] { ring(); }));
    }
    for (const SinkPlan& sink : plan.sinks) {
        writers_.push_back(std::make_unique<SinkWriter>(
            sink, plan.outcomes, SinkWriter::Options{options.sink_queue_epochs, options.retry, options.clock},
            [this] {
                std::lock_guard lock(mutex_);
                status_.last_progress = options_.clock->monotonic();
            },
            [this](const Error& error) { fail(error); }));
    }
}

// ---- life
// -----------------------------------------------------------------------------------------------------------------------------

void Engine::Impl::enter(EngineStatus::Phase phase) {
    {
        std::lock_guard lock(mutex_);
        status_.phase = phase;
    }
    log(LogLevel::info, "engine", {{"pipeline", plan_.pipeline}, {"phase", std::string(to_string(phase))}});
}

Status Engine::Impl::start() {
    if (options_.log != nullptr) {
        if (Status recovered = recover(); !recovered) return recovered;
    }
    for (auto& writer : writers_) {
        if (Status started = writer->start(); !started) return started;
    }
    // What a log has of their changes comes before what their origins say now.
    if (replayed_.empty() && released_again_.empty()) {
        if (Status loaded = load_tables(); !loaded) return loaded;
        std::lock_guard lock(mutex_);
        if (stops_ > 0) return {};
    }
    for (std::size_t i = 0; i < readers_.size(); ++i) {
        const SourcePosition position = positions_.empty() ? SourcePosition{} : positions_[i];
        if (Status started = readers_[i]->start(position); !started) return started;
    }
    return {};
}

// ---- recovery

/// Takes over the state, and keeps what must be made and released again. The writers are not started yet.
Status Engine::Impl::recover() {
    Result<EpochLog::Past> past = options_.log->recover();
    if (!past) return past.error();
    std::uint64_t base = 0;
    std::vector<std::uint64_t> totals(plan_.outcomes.size());
    if (past->state) {
        if (Status loaded = core_.load(*past->state); !loaded) return loaded;
        cutter_.resume(past->state->cuts);
        base = past->state->epoch;
        snapshot_epoch_ = base;
        totals = past->state->total_outcomes;
        for (const SourceCut& cut : past->state->cuts) {
            positions_.push_back({.next_sequence = cut.anchor_sequence + 1,
                                  .anchor = mutant("anchor_not_verified") ? std::string() : cut.anchor});
        }
        std::lock_guard lock(mutex_);
        cuts_ = past->state->cuts;
    }
    for (EpochResult& epoch : past->epochs) {
        last_logged_ = epoch.epoch;
        if (epoch.epoch <= base) (void)storm_.add(epoch);
        if (epoch.epoch > base) {
            replayed_.push_back(std::move(epoch));
            continue;
        }
        for (std::size_t code = 0; code < totals.size(); ++code) totals[code] -= epoch.outcomes[code];
        released_again_.push_back(std::make_shared<const EpochResult>(std::move(epoch)));
    }
    last_logged_ = std::max(last_logged_, base);
    if (!past->state && !replayed_.empty()) begin_again(replayed_.back().audit.sources);
    if (!replayed_.empty()) {
        go_on_behind(replayed_.back().cuts);
    } else if (past->state) {
        go_on_behind(past->state->cuts);
    }
    // By an earlier run. A stop that comes before the next epoch finds nothing left to make again.
    released_.store(base);
    cutter_.set_quarantine(past->quarantine);
    for (auto& writer : writers_) writer->set_totals(totals);
    std::size_t to_send = 0;
    for (std::size_t i = 0; i < past->sinks.size(); ++i) {
        to_send += past->sinks[i].waiting.size();
        writers_[i]->resume(std::move(past->sinks[i]), past->run);
    }
    log(LogLevel::info, "recovered",
        {{"pipeline", plan_.pipeline},
         {"postings_to_send_again", std::to_string(to_send)},
         {"state_of_epoch", std::to_string(base)},
         {"epochs_to_make_again", std::to_string(replayed_.size())},
         {"epochs_to_release_again", std::to_string(released_again_.size())}});
    return {};
}

/// Without a state sources are read from where they were read first: a beginning that the config describes ("new") may
/// be another one by now.
void Engine::Impl::begin_again(const std::vector<SourceSum>& sums) {
    positions_.resize(plan_.sources.size());
    for (std::size_t i = 0; i < sums.size(); ++i) {
        if (sums[i].received == 0) continue;
        positions_[i].next_sequence = sums[i].holes[static_cast<std::size_t>(HoleKind::before_start)] + 1;
        positions_[i].from_start = true;
    }
}

/// Sources that cannot be read again: what the log has of them comes from the log, so they go on behind it. All others
/// must still have what the log's last epoch has read.
void Engine::Impl::go_on_behind(const std::vector<SourceCut>& cuts) {
    positions_.resize(plan_.sources.size());
    for (std::size_t i = 0; i < cuts.size(); ++i) {
        if (!plan_.sources[i].can_read_again) {
            positions_[i] = {cuts[i].last_sequence + 1, {}};
        } else if (!mutant("journal_anchor_not_verified")) {
            positions_[i].newest_anchor = cuts[i].anchor;
        }
        positions_[i].last_ingest_time = cuts[i].last_ingest_time;
    }
}

/// Releases again what the state holds already, and makes again what it does not. Not to its end where a stop comes.
Status Engine::Impl::replay() {
    for (const auto& epoch : released_again_) {
        for (auto& writer : writers_) {
            if (!writer->push(epoch)) return {};
        }
    }
    released_again_.clear();
    // The releaser takes them from the queue's front; here they are only read.
    std::vector<const EpochResult*> epochs;
    for (const EpochResult& epoch : replayed_) epochs.push_back(&epoch);
    for (const EpochResult* epoch : epochs) {
        while (true) {
            {
                std::lock_guard lock(mutex_);
                if (aborted_ || stops_ > 0) return {};
            }
            const Result<bool> fed = cutter_.replay(*epoch);
            if (!fed) return fed.error();
            if (*fed) break;
            wait_for_input(kSecond);  // whatever the clock says, its messages end the epoch
        }
    }
    drain();
    return {};
}

/// What sinks said after the last epoch goes into one without input, in which nothing moves.
void Engine::Impl::record_answers() {
    {
        std::lock_guard lock(mutex_);
        if (aborted_) return;
    }
    // A replay that did not come to its end has fed a part of an epoch.
    if (options_.log == nullptr || released_.load() < last_logged_) return;
    const bool any =
        std::any_of(writers_.begin(), writers_.end(), [](const auto& writer) { return writer->has_answers(); });
    if (!any) return;
    cutter_.cut_nothing();
    drain();
}

/// Whether people wait for what sinks have said, and no event has brought a frame for it for a while.
bool Engine::Impl::news_waits() const {
    if (options_.log == nullptr || options_.clock->monotonic() - last_input_ < kQuiet) return false;
    return std::any_of(writers_.begin(), writers_.end(), [](const auto& writer) { return writer->has_news(); });
}

std::uint64_t Engine::Impl::delivered() const {
    std::uint64_t delivered = released_.load();
    for (const auto& writer : writers_) delivered = std::min(delivered, writer->settled());
    return delivered;
}

void Engine::Impl::take_snapshot_if_due() {
    if (options_.log == nullptr) return;
    std::unique_lock lock(mutex_);
    if (snapshot_writer_.joinable() && !snapshot_written_) return;
    const Duration interval = std::max(options_.snapshot_interval, kLeastIntervalOfCost * snapshot_cost_);
    lock.unlock();
    if (options_.clock->monotonic() - last_snapshot_ < interval) return;
    take_snapshot();
}

/// Copies the state between two epochs; a thread of its own writes it.
void Engine::Impl::take_snapshot() {
    drain();
    if (const Status before = await_snapshot(); !before) return fail(before.error());
    {
        std::lock_guard lock(mutex_);
        if (aborted_) return;
    }
    if (const auto found = core_.find_open_imbalances(); !found.empty()) {
        show_equations(found);
        return fail(out_of_balance(found, fmt::format("after epoch {}", released_.load())));
    }
    last_snapshot_ = options_.clock->monotonic();
    core_.save(snapshot_);
    snapshot_epoch_ = snapshot_.epoch;
    snapshot_writer_ = Thread([this, delivered = delivered(), begun = last_snapshot_] {
        Status written = options_.log->snapshot(snapshot_, delivered);
        give_back_much_freed_memory();
        std::lock_guard lock(mutex_);
        snapshot_cost_ = options_.clock->monotonic() - begun;
        snapshot_written_ = std::move(written);
    });
}

/// The result of the last snapshot. Without room the ones before stand, and the journal only grows.
Status Engine::Impl::await_snapshot() {
    if (!snapshot_writer_.joinable()) return {};
    snapshot_writer_.join();
    Status written = std::move(*snapshot_written_);
    snapshot_written_.reset();
    if (written.ok() || written.error().code != "E701") return written;
    snapshot_epoch_ = 0;
    log(LogLevel::warning, "no room for a snapshot", {{"pipeline", plan_.pipeline}, {"error", written.error().text()}});
    return {};
}

/// Starts to follow the live tables from where the log's epochs have left them. Waits for the content of each, or for a
/// stop, and puts it in place: no event that is in no epoch yet is processed before.
Status Engine::Impl::load_tables() {
    tables_started_ = true;
    if (tables_.empty()) return {};
    for (std::uint32_t i = 0; i < tables_.size(); ++i) {
        if (Status started = tables_[i]->start(core_.table_entries(i)); !started) return started;
    }
    bool loaded = false;
    while (!loaded) {
        loaded = true;
        for (const auto& table : tables_) {
            const TableReader::View view = table->view();
            if (view.error) return *view.error;
            loaded = loaded && view.loaded;
        }
        std::unique_lock lock(mutex_);
        if (stops_ > 0 || aborted_) return {};
        if (!loaded) bell_.wait(lock, [this] { return rung_; });
        rung_ = false;
    }
    cutter_.cut_if_due();
    return {};
}

Status Engine::Impl::run() {
    releaser_ = Thread([this] { release_in_turn(); });
    const Status started = start();
    Status ready = started.ok() ? replay() : started;
    if (ready.ok() && !tables_started_) ready = load_tables();
    if (ready.ok()) {
        last_snapshot_ = options_.clock->monotonic();
        if (options_.log != nullptr) cutter_.set_control(options_.log);
        enter(EngineStatus::Phase::running);
        cut_epochs();
    } else {
        fail(ready.error());
    }
    for (auto& reader : readers_) reader->stop();
    for (auto& table : tables_) table->stop();
    drain();
    for (auto& writer : writers_) writer->finish();
    finished_ = true;
    record_answers();
    // Also of epochs that were only made again: what was stopped cleanly has a snapshot of the journal's end.
    if (options_.log != nullptr && released_.load() >= last_logged_ && released_.load() > snapshot_epoch_) {
        take_snapshot();
        if (const Status written = await_snapshot(); !written) fail(written.error());
    }
    if (options_.log != nullptr) {
        // Without room the next start takes this one for killed, and looks for a reason that it will not find.
        if (const Status ended = options_.log->end(); !ended && ended.error().code != "E701") fail(ended.error());
    }
    std::unique_lock lock(mutex_);
    all_made_ = true;
    made_changed_.notify_all();
    if (error_) status_.error = error_->text();
    const std::optional<Error> error = error_;
    lock.unlock();
    releaser_.join();
    enter(error ? EngineStatus::Phase::failed : EngineStatus::Phase::stopped);
    return error ? Status(*error) : Status();
}

void Engine::Impl::request_stop() {
    int stops = 0;
    {
        std::lock_guard lock(mutex_);
        stops = ++stops_;
    }
    if (stops == 1) {
        const Timestamp until = saturating_add(options_.clock->monotonic(), options_.drain_limit);
        for (auto& writer : writers_) writer->limit_retries(until);
    } else {
        fail({"E612", "stopped at once; not everything that was read has been delivered"});
    }
    ring();
}

/// Nobody waits for anybody any more: what is in flight runs through and is forgotten.
void Engine::Impl::fail(const Error& error) {
    {
        std::lock_guard lock(mutex_);
        if (!error_) error_ = error;
        aborted_ = true;
    }
    log(LogLevel::error, "engine stops", {{"pipeline", plan_.pipeline}, {"error", error.text()}});
    for (auto& writer : writers_) writer->abandon();
    made_changed_.notify_all();
    ring();
}

void Engine::Impl::ring() {
    {
        std::lock_guard lock(mutex_);
        rung_ = true;
    }
    bell_.notify_all();
}

void Engine::Impl::wait_for_input(Duration longest) {
    std::unique_lock lock(mutex_);
    bell_.wait_for(lock, std::chrono::nanoseconds(longest), [this] { return rung_; });
    rung_ = false;
}

// ---- input
// ----------------------------------------------------------------------------------------------------------------------------

Engine::Impl::Next Engine::Impl::next_step() {
    {
        std::lock_guard lock(mutex_);
        if (aborted_) return Next::abort;
        if (stops_ > 0) return Next::stop;
    }
    for (const auto& table : tables_) {
        if (const auto error = table->view().error) {
            std::lock_guard lock(mutex_);
            if (!error_) error_ = error;
            return Next::stop;
        }
    }
    bool ended = true;
    for (const auto& reader : readers_) {
        const SourceReader::View view = reader->view();
        if (view.error && !mutant("source_failure_ends_input")) {
            std::lock_guard lock(mutex_);
            if (!error_) error_ = view.error;
            return Next::stop;
        }
        ended = ended && view.ended && !view.queued;
    }
    return ended && cutter_.empty_handed() ? Next::end : Next::go_on;
}

void Engine::Impl::cut_epochs() {
    last_input_ = options_.clock->monotonic();
    while (true) {
        switch (next_step()) {
            case Next::abort:
                return;
            case Next::end:
                enter(EngineStatus::Phase::draining);
                cutter_.cut_last(true);
                return;
            case Next::stop:
                enter(EngineStatus::Phase::draining);
                // A replay that a stop has ended has fed a part of an epoch: it is made again at the next start.
                if (released_.load() < last_logged_) return;
                for (auto& reader : readers_) reader->stop();
                while (cutter_.take()) cutter_.cut_if_due();
                cutter_.cut_last(false);
                return;
            case Next::go_on:
                break;
        }
        const bool took = cutter_.take();
        const bool cut = cutter_.cut_if_due(news_waits());
        if (took || cut) last_input_ = options_.clock->monotonic();
        if (cut) {
            take_snapshot_if_due();
        } else if (!took) {
            wait_for_input(std::max<Duration>(0, cutter_.due_in()));
        }
    }
}

// ---- output
// ---------------------------------------------------------------------------------------------------------------------------

/// The epoch must balance. What the log already has must be the same again; what it has not is durable when this
/// returns true. False: an error
/// or a second stop came first, and the epoch must not be released.
bool Engine::Impl::make_durable(const EpochResult& epoch) {
    const auto found = find_imbalances(epoch, source_names_);
    show_equations(found);
    if (!found.empty()) {
        fail(out_of_balance(found, fmt::format("in epoch {}", epoch.epoch)));
        return false;
    }
    // What is in the log was let through; it counts for what comes after it.
    if (const auto storm = storm_.add(epoch); storm && replayed_.empty()) {
        fail(*storm);
        return false;
    }
    if (options_.log == nullptr) return true;
    if (!replayed_.empty()) {
        const std::string difference = epoch_difference(epoch, replayed_.front());
        if (!difference.empty() && !mutant("replay_not_compared")) {
            fail({"F621",
                  fmt::format("epoch {} comes out otherwise than the journal has it: {}", epoch.epoch, difference)});
            return false;
        }
        replayed_.pop_front();
        return true;
    }
    SinkAnswers answers;
    for (auto& writer : writers_) writer->take_answers(epoch.epoch, answers);
    Backoff backoff(options_.retry);
    while (true) {
        {
            std::lock_guard lock(mutex_);
            if (aborted_) return false;
        }
        const Status appended = options_.log->append(epoch, answers);
        {
            std::lock_guard lock(mutex_);
            status_.log_error = appended.ok() ? "" : appended.error().text();
        }
        if (appended.ok()) {
            for (auto& writer : writers_) writer->answers_are_durable();
            return true;
        }
        if (appended.error().code != "E701") {
            fail(appended.error());
            return false;
        }
        log(LogLevel::warning, "no room for the journal, waiting",
            {{"pipeline", plan_.pipeline}, {"error", appended.error().text()}});
        std::unique_lock lock(mutex_);
        bell_.wait_for(lock, std::chrono::nanoseconds(backoff.next()), [this] { return aborted_; });
    }
}

/// The core's on_epoch. Waits where the releaser is too far behind.
void Engine::Impl::hand_over(EpochResult&& result) {
    auto epoch = std::make_shared<const EpochResult>(std::move(result));
    std::unique_lock lock(mutex_);
    made_changed_.wait(lock, [this] { return made_.size() < kEpochsAhead || aborted_; });
    made_.push_back(std::move(epoch));
    made_changed_.notify_all();
}

/// The thread that waits for the disk and for sinks, so that no thread that makes epochs does.
void Engine::Impl::release_in_turn() {
    std::unique_lock lock(mutex_);
    while (true) {
        made_changed_.wait(lock, [this] { return !made_.empty() || all_made_; });
        if (made_.empty()) return;
        const std::shared_ptr<const EpochResult> epoch = made_.front();
        lock.unlock();
        release(epoch);
        lock.lock();
        made_.pop_front();
        made_changed_.notify_all();
    }
}

/// Until everything that was cut is released, or given up.
void Engine::Impl::drain() {
    core_.drain();
    std::unique_lock lock(mutex_);
    made_changed_.wait(lock, [this] { return made_.empty(); });
}

void Engine::Impl::release(const std::shared_ptr<const EpochResult>& epoch) {
    {
        std::lock_guard lock(mutex_);
        if (aborted_) return;
    }
    if (mutant("released_before_durable")) {
        for (auto& writer : writers_) (void)writer->push(epoch);
    }
    if (!make_durable(*epoch)) return;
    count(*epoch);
    for (auto& writer : writers_) {
        if (!finished_ && !writer->push(epoch)) return;
    }
    released_.store(epoch->epoch);
    std::lock_guard lock(mutex_);
    status_.epoch = epoch->epoch;
    status_.watermark = epoch->watermark_after;
    status_.last_progress = options_.clock->monotonic();
    status_.epoch_durations.add(status_.last_progress - epoch_starts_.front());
    epoch_starts_.pop_front();
}

void Engine::Impl::count(const EpochResult& result) {
    std::lock_guard lock(mutex_);
    status_.messages += result.messages;
    status_.message_bytes += result.message_bytes;
    status_.events += result.rows;
    status_.dead_letters += result.dead_letters.size();
    for (std::size_t code = 0; code < outcomes_.size(); ++code) outcomes_[code] += result.outcomes[code];
    for (const Posting& posting : result.postings) {
        PostingStatus& status = postings_[{posting.type, posting.currency}];
        ++status.count;
        if (posting.revision > 1) ++status.revisions;
        if (!posting.has_amount) continue;
        status.amount += posting.amount;
        status.amount_scale = posting.amount_scale;
    }
    cuts_ = result.cuts;
    for (const SourceCut& cut : cuts_) newest_ingest_ = std::max(newest_ingest_, cut.last_ingest_time);
    status_.states.clear();
    for (const StateSize& state : result.states)
        status_.states.push_back({state.step, state.entries, state.size_bytes});
    show_audit(result.audit);
}

/// What the journal alone can tell; the sink's equation needs its ledger.
void Engine::Impl::show_equations(const std::vector<Imbalance>& broken) {
    std::lock_guard lock(mutex_);
    status_.equations.clear();
    for (const Equation equation : kEquations) {
        if (equation == Equation::sink) continue;
        const bool balances =
            std::none_of(broken.begin(), broken.end(), [&](const Imbalance& one) { return one.equation == equation; });
        status_.equations.push_back({std::string(to_string(equation)), balances});
    }
}

/// With the mutex.
void Engine::Impl::show_audit(const AuditTotals& totals) {
    status_.values.clear();
    for (const ValueSum& value : totals.values) {
        status_.values.push_back(
            {value.step, value.measure, value.unit, value.scale, value.settled, value.rounding, open_of(value)});
    }
    source_sums_ = totals.sources;
}

EngineStatus Engine::Impl::status() const {
    const Core::InFlight in_flight = core_.in_flight();
    std::lock_guard lock(mutex_);
    EngineStatus status = status_;
    status.now = options_.clock->monotonic();
    bool waits = in_flight.chunks > 0 || !made_.empty();
    for (std::size_t i = 0; i < readers_.size(); ++i) {
        SourceStatus& source = status.sources.emplace_back(readers_[i]->status());
        source.last_sequence = cuts_[i].last_sequence;
        for (std::size_t kind = 0; kind < kHoleKinds && i < source_sums_.size(); ++kind) {
            source.holes.emplace_back(to_string(static_cast<HoleKind>(kind)), source_sums_[i].holes[kind]);
        }
        waits = waits || source.queued_messages > 0 || source.pending > 0;
    }
    for (const auto& writer : writers_) status.sinks.push_back(writer->status());
    for (const auto& table : tables_) status.tables.push_back(table->status());
    std::map<std::tuple<std::string, std::string, std::string>, std::uint64_t> by_rule;
    for (std::size_t code = 0; code < outcomes_.size(); ++code) {
        const Outcome& outcome = plan_.outcomes.at(static_cast<OutcomeCode>(code));
        if (outcomes_[code] > 0)
            by_rule[{std::string(to_string(outcome.kind)), outcome.rule, outcome.owner}] += outcomes_[code];
    }
    for (const auto& [outcome, count] : by_rule) {
        status.outcomes.push_back({std::get<0>(outcome), std::get<1>(outcome), std::get<2>(outcome), count});
    }
    for (const auto& [key, posting] : postings_) {
        status.postings.push_back(posting);
        status.postings.back().type = key.first;
        status.postings.back().currency = key.second;
    }
    status.chunks_in_flight = in_flight.chunks;
    status.chunks_limit = in_flight.chunks_limit;
    status.bytes_in_flight = in_flight.bytes;
    status.bytes_limit = in_flight.bytes_limit;
    if (waits && newest_ingest_ > 0) status.lag = std::max<Duration>(0, options_.clock->wall() - newest_ingest_);
    return status;
}

Engine::Engine(const Plan& plan, const Options& options) : impl_(std::make_unique<Impl>(plan, options)) {}
Engine::~Engine() = default;
Status Engine::run() {
    return impl_->run();
}
void Engine::request_stop() {
    impl_->request_stop();
}
EngineStatus Engine::status() const {
    return impl_->status();
}

}  // namespace takt
