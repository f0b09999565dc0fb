#include "pipeline/dead_letters/dead_letter_log.h"

#include <fmt/format.h>

#include "pipeline/observe/log.h"

namespace takt {
namespace {

bool may_be_gone_soon(const Error& error) {
    return error.code.front() == 'E';
}

/// What the store needs of an epoch.
EpochResult part_for_store(const EpochResult& epoch) {
    EpochResult part;
    part.epoch = epoch.epoch;
    part.cut.replays = epoch.cut.replays;
    part.replay_outcomes = epoch.replay_outcomes;
    part.dead_letters = epoch.dead_letters;
    return part;
}

std::size_t size_of(const EpochResult& part) {
    std::size_t bytes = sizeof part;
    for (const DeadLetterReplay& replay : part.cut.replays) bytes += sizeof replay + replay.data.size();
    for (const DeadLetter& letter : part.dead_letters) bytes += sizeof letter + letter.bytes.size();
    return bytes;
}

}  // namespace

Result<std::unique_ptr<DeadLetterLog>> DeadLetterLog::open(EpochLog& log, const std::string& path, const Plan& plan,
                                                           const Options& options) {
    Result<DeadLetterStore> store = DeadLetterStore::open(path, plan, options.origin);
    if (!store) return store.error();
    Result<RetryRequests> requests = RetryRequests::open(path, plan);
    if (!requests) return requests.error();
    return std::unique_ptr<DeadLetterLog>(new DeadLetterLog(log, std::move(*store), std::move(*requests), options));
}

Result<EpochLog::Past> DeadLetterLog::recover() {
    Result<Past> past = log_.recover();
    if (!past) return past;
    std::lock_guard lock(mutex_);
    const std::uint64_t before = store_.last_epoch();
    if (!past->epochs.empty() && past->epochs.front().epoch > before + 1) {
        const std::string what = fmt::format("epochs {} to {} are in the journal no more and never were in this store",
                                             before + 1, past->epochs.front().epoch - 1);
        log(LogLevel::warning, "the store of dead letters begins late", {{"reason", what}});
        if (Status noted = store_.note(what, options_.clock->wall()); !noted) return noted.error();
    }
    CHECK(past->incarnations.empty() || past->incarnations.size() == past->epochs.size());
    for (std::size_t i = 0; i < past->epochs.size(); ++i) {
        const std::uint64_t incarnation = past->incarnations.empty() ? options_.incarnation : past->incarnations[i];
        if (Status kept = store_.apply(past->epochs[i], incarnation, options_.clock->wall()); !kept)
            return kept.error();
    }
    return past;
}

Status DeadLetterLog::append(const EpochResult& epoch, const SinkAnswers& answers) {
    if (Status appended = log_.append(epoch, answers); !appended) return appended;
    std::lock_guard lock(mutex_);
    return keep(epoch);
}

Status DeadLetterLog::keep(const EpochResult& epoch) {
    const Timestamp now = options_.clock->wall();
    Status kept;
    while (kept && !waiting_.empty()) {
        kept = store_.apply(waiting_.front(), options_.incarnation, now);
        if (!kept) break;
        waiting_bytes_ -= size_of(waiting_.front());
        waiting_.pop_front();
    }
    if (kept) kept = store_.apply(epoch, options_.incarnation, now);
    if (kept || !may_be_gone_soon(kept.error())) return kept;
    log(LogLevel::warning, "dead letters wait for their store",
        {{"epochs", std::to_string(waiting_.size() + 1)}, {"error", kept.error().text()}});
    waiting_.push_back(part_for_store(epoch));
    waiting_bytes_ += size_of(waiting_.back());
    return waiting_bytes_ > options_.waiting_bytes ? kept : Status();
}

Status DeadLetterLog::snapshot(const EngineState& state, std::uint64_t delivered) {
    std::uint64_t kept = 0;
    {
        std::lock_guard lock(mutex_);
        if (const Status synchronized = store_.synchronize()) {
            kept = store_.last_epoch();
        } else if (!may_be_gone_soon(synchronized.error())) {
            return synchronized;
        }
    }
    // The log forgets nothing that the store might not have.
    return log_.snapshot(state, std::min(delivered, kept));
}

std::vector<DeadLetterReplay> DeadLetterLog::take_replays() {
    Result<std::vector<DeadLetterReplay>> taken = requests_.take();
    if (taken) return std::move(*taken);
    log(LogLevel::warning, "retries cannot be read now", {{"error", taken.error().text()}});
    return {};
}

}  // namespace takt
