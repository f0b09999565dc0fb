#include "pipeline/runtime/source_reader.h"

#include <chrono>

#include "pipeline/base/mutant.h"
#include "pipeline/observe/log.h"

namespace takt {

SourceReader::SourceReader(const SourcePlan& plan, const Options& options, std::function<void()> on_change)
    : plan_(plan), options_(options), on_change_(std::move(on_change)) {
    status_.name = plan.name;
    status_.description = plan.connector;
    status_.since = options.clock->monotonic();
}

SourceReader::~SourceReader() {
    stop();
}

Status SourceReader::start(const SourcePosition& position) {
    position_ = position;
    Result<std::unique_ptr<Source>> made = plan_.make();
    if (!made) return made.error();
    {
        std::lock_guard lock(mutex_);
        source_ = std::move(made).value();
        status_.description = source_->describe();
    }
    thread_ = Thread([this] { run(); });
    return {};
}

void SourceReader::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

std::shared_ptr<const MessageBlock> SourceReader::take() {
    std::shared_ptr<const MessageBlock> block;
    {
        std::lock_guard lock(mutex_);
        if (queue_.empty()) return nullptr;
        block = std::move(queue_.front());
        queue_.pop_front();
        status_.queued_messages -= block->messages.size();
        status_.queued_bytes -= block->size_bytes;
    }
    changed_.notify_all();
    return block;
}

SourceReader::View SourceReader::view() const {
    std::lock_guard lock(mutex_);
    View view;
    view.queued = !queue_.empty();
    view.ended = status_.state == SourceStatus::State::ended;
    const bool idle = status_.state == SourceStatus::State::idle ||
                      (mutant("idle_while_disconnected") && status_.state == SourceStatus::State::quiet) ||
                      mutant("idle_under_back_pressure");
    if (idle && (queue_.empty() || mutant("idle_under_back_pressure"))) view.idle_since = status_.since;
    view.error = error_;
    return view;
}

SourceStatus SourceReader::status() const {
    std::lock_guard lock(mutex_);
    return status_;
}

void SourceReader::enter(SourceStatus::State state) {
    if (status_.state == state) return;
    status_.state = state;
    status_.since = options_.clock->monotonic();
}

void SourceReader::fail(const Error& error) {
    {
        std::lock_guard lock(mutex_);
        error_ = error;
        status_.last_error = error.text();
        enter(SourceStatus::State::ended);
    }
    log(LogLevel::error, "source failed", {{"source", plan_.name}, {"error", error.text()}});
    on_change_();
}

bool SourceReader::wait(Duration duration) {
    std::unique_lock lock(mutex_);
    return !changed_.wait_for(lock, std::chrono::nanoseconds(duration), [this] { return stopping_; });
}

bool SourceReader::open() {
    Backoff backoff(options_.retry);
    while (true) {
        const Status opened = source_->open(position_);
        if (opened.ok()) break;
        if (!may_retry(opened)) {
            fail(opened.error());
            return false;
        }
        {
            std::lock_guard lock(mutex_);
            ++status_.retries;
            status_.last_error = opened.error().text();
        }
        log(LogLevel::warning, "source does not open, trying again",
            {{"source", plan_.name}, {"error", opened.error().text()}});
        if (!wait(backoff.next())) return false;
    }
    std::lock_guard lock(mutex_);
    status_.last_error.clear();
    status_.description = source_->describe();
    enter(SourceStatus::State::reading);
    return true;
}

bool SourceReader::read_one() {
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || status_.queued_bytes < options_.queue_bytes; });
        if (stopping_) return false;
    }
    auto block = std::make_shared<MessageBlock>();
    const Result<Source::State> state = source_->read(options_.limits, *block);
    if (!state) {
        fail(state.error());
        return false;
    }
    const bool ended = *state == Source::State::end;
    if (!block->messages.empty()) block->anchor = source_->position().anchor;
    if (block->own_clock && !mutant("ingest_time_goes_back")) keep_order(*block);
    {
        std::lock_guard lock(mutex_);
        status_.pending = source_->pending();
        status_.dropped = source_->dropped();
        if (!block->messages.empty()) {
            status_.queued_messages += block->messages.size();
            status_.queued_bytes += block->size_bytes;
            queue_.push_back(std::move(block));
        }
        switch (*state) {
            case Source::State::more:
                enter(SourceStatus::State::reading);
                break;
            case Source::State::idle:
                enter(SourceStatus::State::idle);
                break;
            case Source::State::quiet:
                enter(SourceStatus::State::quiet);
                break;
            case Source::State::end:
                enter(SourceStatus::State::ended);
                break;
        }
    }
    on_change_();
    return !ended;
}

/// A clock that was set back does not put later messages before earlier ones. One time is that of the whole block.
void SourceReader::keep_order(MessageBlock& block) {
    if (block.messages.empty()) return;
    if (block.messages.front().ingest_time < position_.last_ingest_time) {
        for (Message& message : block.messages) message.ingest_time = position_.last_ingest_time;
    }
    position_.last_ingest_time = block.messages.back().ingest_time;
}

void SourceReader::run() {
    if (!open()) return;
    while (read_one()) {
    }
}

}  // namespace takt
