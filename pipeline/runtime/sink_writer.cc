#include "pipeline/runtime/sink_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "pipeline/observe/log.h"

namespace takt {

SinkWriter::SinkWriter(const SinkPlan& plan, const OutcomeTable& outcomes, const Options& options,
                       std::function<void()> on_progress, std::function<void(const Error&)> on_failure)
    : plan_(plan),
      outcomes_(outcomes),
      options_(options),
      on_progress_(std::move(on_progress)),
      on_failure_(std::move(on_failure)),
      totals_(outcomes.size()) {
    status_.name = plan.name;
    status_.description = plan.connector;
}

SinkWriter::~SinkWriter() {
    abandon();
    if (thread_.joinable()) thread_.join();
}

Status SinkWriter::start() {
    Result<std::unique_ptr<Sink>> made = plan_.make();
    if (!made) return made.error();
    sink_ = std::move(made).value();
    {
        std::lock_guard lock(mutex_);
        status_.description = sink_->describe();
    }
    thread_ = std::thread([this] { run(); });
    return {};
}

bool SinkWriter::wants(const Posting& posting) const {
    return plan_.all_postings ||
           std::find(plan_.postings.begin(), plan_.postings.end(), posting.type) != plan_.postings.end();
}

bool SinkWriter::push(std::shared_ptr<const EpochResult> epoch) {
    const auto postings = static_cast<std::uint64_t>(
        std::count_if(epoch->postings.begin(), epoch->postings.end(), [this](const Posting& p) { return wants(p); }));
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return abandoned_ || queue_.size() < options_.queue_epochs; });
        if (abandoned_) return false;
        const Timestamp now = options_.clock->monotonic();
        queue_.push_back({std::move(epoch), now, postings});
        status_.waiting += postings;
        if (postings > 0 && status_.waiting_since == 0) status_.waiting_since = now;
    }
    changed_.notify_all();
    return true;
}

void SinkWriter::finish() {
    {
        std::lock_guard lock(mutex_);
        finishing_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void SinkWriter::limit_retries(Timestamp until) {
    {
        std::lock_guard lock(mutex_);
        retries_until_ = until;
    }
    changed_.notify_all();
}

void SinkWriter::abandon() {
    {
        std::lock_guard lock(mutex_);
        abandoned_ = true;
    }
    changed_.notify_all();
}

SinkStatus SinkWriter::status() const {
    std::lock_guard lock(mutex_);
    return status_;
}

bool SinkWriter::wait_to_retry(const char* what, const Error& error, Backoff& backoff) {
    const Duration pause = backoff.next();
    log(LogLevel::warning, "sink failed, trying again",
        {{"sink", plan_.name}, {"attempt", what}, {"error", error.text()}});
    std::unique_lock lock(mutex_);
    ++status_.retries;
    status_.last_error = error.text();
    const Timestamp now = options_.clock->monotonic();
    const Timestamp until = std::min(saturating_add(now, pause), retries_until_.value_or(kEndOfTime));
    const bool limited = retries_until_.has_value();
    // A limit that is set meanwhile must be seen at once.
    changed_.wait_for(lock, std::chrono::nanoseconds(std::max<Duration>(0, until - now)),
                      [&] { return abandoned_ || retries_until_.has_value() != limited; });
    if (abandoned_) return false;
    if (retries_until_ && options_.clock->monotonic() >= *retries_until_) {
        const std::uint64_t waiting = status_.waiting;
        lock.unlock();
        on_failure_(
            {"E611", fmt::format("sink {} did not take {} postings before the end of the time to drain; last: {}",
                                 plan_.name, waiting, error.text())});
        return false;
    }
    return true;
}

bool SinkWriter::until_done(const char* what, const std::function<Status()>& attempt) {
    Backoff backoff(options_.retry);
    while (true) {
        const Status done = attempt();
        if (done.ok()) break;
        if (!may_retry(done)) {
            on_failure_(done.error());
            return false;
        }
        if (!wait_to_retry(what, done.error(), backoff)) return false;
    }
    std::lock_guard lock(mutex_);
    status_.last_error.clear();
    return !abandoned_;
}

bool SinkWriter::count_answers(const std::vector<Sink::Delivery>& answers, std::vector<Posting>& pending) {
    CHECK(answers.size() == pending.size());
    std::vector<Posting> unknown;
    std::uint64_t accepted = 0;
    std::uint64_t refused = 0;
    std::string refusal;
    for (std::size_t i = 0; i < answers.size(); ++i) {
        switch (answers[i].state) {
            case Sink::State::accepted:
                ++accepted;
                break;
            case Sink::State::refused:
                ++refused;
                refusal = fmt::format("{} {}: {}", pending[i].type, pending[i].key, answers[i].reason);
                log(LogLevel::warning, "posting refused",
                    {{"sink", plan_.name},
                     {"type", pending[i].type},
                     {"key", pending[i].key},
                     {"reason", answers[i].reason}});
                break;
            case Sink::State::unknown:
                unknown.push_back(std::move(pending[i]));
                break;
        }
    }
    pending = std::move(unknown);
    std::lock_guard lock(mutex_);
    status_.accepted += accepted;
    status_.refused += refused;
    status_.waiting -= accepted + refused;
    if (!refusal.empty()) status_.last_refusal = std::move(refusal);
    return accepted + refused > 0;
}

bool SinkWriter::deliver_postings(const EpochResult& epoch) {
    std::vector<Posting> pending;
    std::copy_if(epoch.postings.begin(), epoch.postings.end(), std::back_inserter(pending),
                 [this](const Posting& posting) { return wants(posting); });
    Backoff backoff(options_.retry);
    while (!pending.empty()) {
        const Result<std::vector<Sink::Delivery>> answers = sink_->deliver(pending);
        if (!answers) {
            if (!may_retry(answers)) {
                on_failure_(answers.error());
                return false;
            }
            if (!wait_to_retry("deliver", answers.error(), backoff)) return false;
            continue;
        }
        if (count_answers(*answers, pending)) {
            backoff.reset();
            on_progress_();
        }
        if (pending.empty()) break;
        const Error unknown{"E610", fmt::format("{} postings are unknown", pending.size())};
        if (!wait_to_retry("deliver", unknown, backoff)) return false;
    }
    std::lock_guard lock(mutex_);
    status_.last_error.clear();
    return !abandoned_;
}

bool SinkWriter::summarize() {
    std::map<std::pair<std::string, std::string>, std::uint64_t> by_rule;
    for (std::size_t code = 0; code < totals_.size(); ++code) {
        if (totals_[code] == 0) continue;
        const Outcome& outcome = outcomes_.at(static_cast<OutcomeCode>(code));
        by_rule[{std::string(to_string(outcome.kind)), outcome.rule}] += totals_[code];
    }
    std::vector<Sink::OutcomeCount> counts;
    for (const auto& [outcome, count] : by_rule) counts.push_back({outcome.first, outcome.second, count});
    return until_done("summarize", [&] { return sink_->summarize(counts); });
}

bool SinkWriter::deliver(const EpochResult& epoch) {
    if (!deliver_postings(epoch)) return false;
    if (plan_.dead_letters && !epoch.dead_letters.empty()) {
        if (!until_done("keep", [&] { return sink_->keep(epoch.dead_letters); })) return false;
        std::lock_guard lock(mutex_);
        status_.dead_letters += epoch.dead_letters.size();
    }
    if (epoch.rows == 0) return true;
    for (std::size_t code = 0; code < totals_.size(); ++code) totals_[code] += epoch.outcomes[code];
    return summarize();
}

void SinkWriter::run() {
    if (!until_done("open", [&] { return sink_->open(); })) return abandon();
    {
        std::lock_guard lock(mutex_);
        status_.description = sink_->describe();
    }
    while (true) {
        std::shared_ptr<const EpochResult> epoch;
        {
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [this] { return abandoned_ || finishing_ || !queue_.empty(); });
            if (abandoned_) return;
            if (queue_.empty()) break;
            epoch = queue_.front().epoch;
        }
        if (!deliver(*epoch)) return abandon();
        delivered_.store(epoch->epoch, std::memory_order_release);
        {
            std::lock_guard lock(mutex_);
            queue_.pop_front();
            const auto oldest =
                std::find_if(queue_.begin(), queue_.end(), [](const Waiting& w) { return w.postings > 0; });
            status_.waiting_since = oldest == queue_.end() ? 0 : oldest->since;
        }
        changed_.notify_all();
        on_progress_();
    }
    if (!summarize()) return abandon();
    if (!until_done("finish", [&] { return sink_->finish(); })) abandon();
}

}  // namespace takt
