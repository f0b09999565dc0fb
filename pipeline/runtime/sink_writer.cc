#include "pipeline/runtime/sink_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <tuple>

#include "pipeline/base/mutant.h"
#include "pipeline/observe/log.h"

namespace takt {
namespace {

constexpr std::uint64_t kNoFrame = UINT64_MAX;

}  // namespace

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
    if (run_.incarnation > 0) {
        // Dead letters are not in `waiting`, and an epoch may have some.
        const bool unconfirmed = !past_.waiting.empty() || past_.position.settled < past_.until;
        sink_->resume({run_, past_.position, unconfirmed});
    }
    {
        std::lock_guard lock(mutex_);
        status_.description = sink_->describe();
    }
    thread_ = Thread([this] { run(); });
    return {};
}

void SinkWriter::resume(SinkPast past, const RunIdentity& run) {
    past_ = std::move(past);
    run_ = run;
    position_ = past_.position;
    taken_ = position_.settled;
    durable_.store(taken_);
    status_.waiting = past_.undelivered.size();
    if (status_.waiting > 0) status_.waiting_since = options_.clock->monotonic();
    for (const HeldPosting& held : past_.held) {
        const bool behind = held.said.reason == kEarlierRevision;
        held_.insert_or_assign(held.said.key, Held{behind, held.said.attempt, held.posting});
        ++status_.held;
        if (behind) ++status_.blocked;
    }
}

void SinkWriter::take_answers(std::uint64_t epoch, SinkAnswers& answers) {
    std::lock_guard lock(mutex_);
    for (const SinkConfirmation& said : said_) {
        const auto held = held_since_.find(said.key);
        if (held != held_since_.end() && is_held(said.state)) held->second = epoch;
    }
    std::move(said_.begin(), said_.end(), std::back_inserter(answers.confirmations));
    said_.clear();
    for (auto& [key, said] : part_said_) answers.confirmations.push_back(std::move(said));
    part_said_.clear();
    if (position_.settled > taken_) {
        answers.positions.push_back(position_);
        answers.positions.back().sink = plan_.name;
    }
    taken_ = position_.settled;
    changed_since_taken_ = false;
}

bool SinkWriter::has_answers() const {
    std::lock_guard lock(mutex_);
    return changed_since_taken_ || !said_.empty() || !part_said_.empty();
}

bool SinkWriter::has_news() const {
    std::lock_guard lock(mutex_);
    return !said_.empty();
}

bool SinkWriter::to_send(const Posting& posting) const {
    if (!plan_.all_postings &&
        std::find(plan_.postings.begin(), plan_.postings.end(), posting.type) == plan_.postings.end())
        return false;
    if (posting.epoch > past_.until) return true;
    return past_.waiting.contains(posting.key) && !mutant("outbox_not_sent_again");
}

bool SinkWriter::push(std::shared_ptr<const EpochResult> epoch) {
    const auto postings = static_cast<std::uint64_t>(
        std::count_if(epoch->postings.begin(), epoch->postings.end(), [this](const Posting& p) { return to_send(p); }));
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

SinkConfirmation SinkWriter::confirmation(const Posting& posting, const Sink::Delivery& answer) const {
    SinkConfirmation said;
    said.sink = plan_.name;
    said.key = posting.key;
    switch (answer.state) {
        case Sink::State::accepted:
            said.state = DeliveryState::accepted;
            break;
        case Sink::State::refused:
            said.state = DeliveryState::refused;
            break;
        case Sink::State::unknown:
            said.state = DeliveryState::unknown;
            break;
        case Sink::State::parked:
            said.state = DeliveryState::parked;
            break;
    }
    const auto before = past_.waiting.find(posting.key);
    const auto ordered = attempts_before_.find(posting.key);
    said.attempt = attempt_ + (before == past_.waiting.end() ? 0 : before->second) +
                   (ordered == attempts_before_.end() ? 0 : ordered->second);
    said.reference = answer.reference;
    said.reason = answer.reason;
    said.time = options_.clock->wall();
    return said;
}

/// Takes out what corrects a posting that has not taken effect: a difference to what the ledger does not have.
void SinkWriter::hold_back(std::vector<Posting>& pending) {
    if (held_.empty() || mutant("refused_revision_does_not_hold")) return;
    std::vector<Posting> free;
    for (Posting& posting : pending) {
        if (posting.previous_key.empty() || !held_.contains(posting.previous_key)) {
            free.push_back(std::move(posting));
            continue;
        }
        log(LogLevel::warning, "posting waits: an earlier revision of its pane is refused or parked",
            {{"sink", plan_.name}, {"type", posting.type}, {"key", posting.key}, {"earlier", posting.previous_key}});
        {
            std::lock_guard lock(mutex_);
            said_.push_back(confirmation(posting, {Sink::State::parked, {}, kEarlierRevision}));
            held_since_.insert_or_assign(posting.key, kNoFrame);
            --status_.waiting;
            ++status_.held;
            ++status_.blocked;
        }
        std::string key = posting.key;
        held_.insert_or_assign(std::move(key), Held{true, 0, std::make_shared<const Posting>(std::move(posting))});
    }
    pending = std::move(free);
}

bool SinkWriter::count_answers(const std::vector<Sink::Delivery>& answers, std::vector<Posting>& pending) {
    CHECK(answers.size() == pending.size());
    // As a rule the whole epoch is accepted, and its number says that.
    const bool in_part = std::any_of(answers.begin(), answers.end(),
                                     [](const Sink::Delivery& answer) { return answer.state == Sink::State::unknown; });
    std::vector<Posting> unknown;
    std::vector<SinkConfirmation> held;
    std::vector<SinkConfirmation> taken;
    std::vector<SinkConfirmation> part;
    std::uint64_t accepted = 0;
    std::uint64_t refused = 0;
    std::string refusal;
    for (std::size_t i = 0; i < answers.size(); ++i) {
        switch (answers[i].state) {
            case Sink::State::accepted:
                ++accepted;
                // Its own epoch may be settled long ago: no position says it.
                if (ordered_) taken.push_back(confirmation(pending[i], answers[i]));
                if (in_part && !ordered_) part.push_back(confirmation(pending[i], answers[i]));
                break;
            case Sink::State::refused:
            case Sink::State::parked:
                refused += answers[i].state == Sink::State::refused ? 1 : 0;
                held.push_back(confirmation(pending[i], answers[i]));
                held_.insert_or_assign(pending[i].key,
                                       Held{false, held.back().attempt, std::make_shared<const Posting>(pending[i])});
                refusal = fmt::format("{} {}: {}", pending[i].type, pending[i].key, answers[i].reason);
                log(LogLevel::warning, answers[i].state == Sink::State::refused ? "posting refused" : "posting parked",
                    {{"sink", plan_.name},
                     {"type", pending[i].type},
                     {"key", pending[i].key},
                     {"reason", answers[i].reason}});
                break;
            case Sink::State::unknown:
                if (accepted > 0 && mutant("delivery_ends_at_first_known")) break;
                part.push_back(confirmation(pending[i], answers[i]));
                unknown.push_back(std::move(pending[i]));
                break;
        }
    }
    pending = std::move(unknown);
    std::lock_guard lock(mutex_);
    status_.accepted += accepted;
    status_.refused += refused;
    status_.held += held.size();
    status_.waiting -= accepted + held.size();
    if (!refusal.empty()) status_.last_refusal = std::move(refusal);
    const bool any = accepted + held.size() > 0;
    // What an earlier attempt did not know of them is not to be told after it.
    for (const auto* settled : {&held, &taken}) {
        for (const SinkConfirmation& said : *settled) {
            if (!mutant("unknown_after_refused")) part_said_.erase(said.key);
        }
    }
    for (const SinkConfirmation& said : held) held_since_.insert_or_assign(said.key, kNoFrame);
    if (mutant("refused_counts_as_accepted")) held.clear();
    std::move(held.begin(), held.end(), std::back_inserter(said_));
    std::move(taken.begin(), taken.end(), std::back_inserter(said_));
    for (SinkConfirmation& said : part) part_said_[said.key] = std::move(said);
    return any;
}

bool SinkWriter::deliver_postings(std::vector<Posting> pending) {
    attempt_ = 0;
    hold_back(pending);
    attempt_ = 1;
    if (!pending.empty() && pending.front().epoch <= past_.until) {
        std::lock_guard lock(mutex_);
        status_.sent_again += pending.size();
    }
    Backoff backoff(options_.retry);
    for (; !pending.empty(); ++attempt_) {
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

/// Nothing up to this epoch needs to be sent again.
void SinkWriter::settle(std::uint64_t epoch, bool changed) {
    SinkPosition position = sink_->position();
    std::lock_guard lock(mutex_);
    part_said_.clear();
    position.settled = std::max(position_.settled, epoch);
    position_ = std::move(position);
    changed_since_taken_ = changed_since_taken_ || changed;
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

/// One epoch after the other, so that revisions keep their order.
bool SinkWriter::deliver_by_epoch(const std::vector<Posting>& postings,
                                  const std::function<void(std::uint64_t)>& on_epoch) {
    for (std::size_t begin = 0; begin < postings.size();) {
        const std::uint64_t epoch = postings[begin].epoch;
        std::size_t end = begin;
        while (end < postings.size() && postings[end].epoch == epoch) ++end;
        const auto at = [&](std::size_t index) { return postings.begin() + static_cast<std::ptrdiff_t>(index); };
        if (!deliver_postings({at(begin), at(end)})) return false;
        on_epoch(epoch);
        begin = end;
    }
    return true;
}

/// What is older than the epochs that come again.
bool SinkWriter::deliver_undelivered() {
    return deliver_by_epoch(past_.undelivered, [this](std::uint64_t epoch) { settle(epoch, true); });
}

/// Whether the frames up to this one say that it is held. An order about another posting changes nothing, for the log
/// as well: it may be about a hold that an order before it has ended.
bool SinkWriter::may_end_hold(const std::string& key, std::uint64_t epoch) const {
    if (!held_.contains(key)) return false;
    std::lock_guard lock(mutex_);
    const auto since = held_since_.find(key);
    return since == held_since_.end() || since->second <= epoch;
}

/// Ends the hold of a posting; `send`: it is to be sent again.
void SinkWriter::let_go(const std::string& key, bool send, std::vector<Posting>& pending) {
    const auto held = held_.find(key);
    {
        std::lock_guard lock(mutex_);
        held_since_.erase(key);
        --status_.held;
        status_.blocked -= held->second.behind ? 1 : 0;
        status_.waiting += send ? 1 : 0;
    }
    attempts_before_[key] = held->second.attempts;
    if (send) pending.push_back(*held->second.posting);
    held_.erase(held);
}

/// Ends holds as people have ordered it, and sends what that sets free. What an earlier run was told is among that
/// run's waiting postings.
bool SinkWriter::follow_orders(const EpochResult& epoch) {
    if (epoch.cut.orders.empty() || epoch.epoch <= past_.until) return true;
    std::unordered_map<std::string, std::string> behind;  // key -> the one that waits for it
    for (const auto& [key, held] : held_) {
        if (held.behind) behind.emplace(held.posting->previous_key, key);
    }
    std::vector<Posting> pending;
    for (const HoldOrder& order : epoch.cut.orders) {
        if (order.sink != plan_.name) continue;
        if (!may_end_hold(order.key, epoch.epoch)) {
            log(LogLevel::warning, "order changes nothing: the posting is not held",
                {{"sink", plan_.name}, {"key", order.key}, {"by", order.who}, {"why", order.why}});
            continue;
        }
        const bool resend = order.action == HoldOrder::Action::resend;
        log(LogLevel::warning, resend ? "posting is sent again, as ordered" : "posting is closed, as ordered",
            {{"sink", plan_.name}, {"key", order.key}, {"by", order.who}, {"why", order.why}});
        let_go(order.key, resend, pending);
        for (auto next = behind.find(order.key); next != behind.end() && held_.contains(next->second);
             next = behind.find(next->second))
            let_go(next->second, true, pending);
    }
    std::sort(pending.begin(), pending.end(),
              [](const Posting& a, const Posting& b) { return std::tie(a.epoch, a.key) < std::tie(b.epoch, b.key); });
    ordered_ = true;
    const bool delivered = deliver_by_epoch(pending, [](std::uint64_t) {});
    ordered_ = false;
    attempts_before_.clear();
    return delivered;
}

bool SinkWriter::deliver(const EpochResult& epoch) {
    const bool settled = epoch.epoch <= past_.position.settled;
    if (!follow_orders(epoch)) return false;
    std::vector<Posting> postings;
    std::copy_if(epoch.postings.begin(), epoch.postings.end(), std::back_inserter(postings),
                 [this](const Posting& posting) { return to_send(posting); });
    const bool keeps = plan_.dead_letters && !epoch.dead_letters.empty() && !settled;
    const bool changes = keeps || !postings.empty();
    if (!deliver_postings(std::move(postings))) return false;
    if (keeps) {
        if (!until_done("keep", [&] { return sink_->keep(epoch.dead_letters); })) return false;
        std::lock_guard lock(mutex_);
        status_.dead_letters += epoch.dead_letters.size();
    }
    for (std::size_t code = 0; code < totals_.size() && epoch.rows > 0; ++code) totals_[code] += epoch.outcomes[code];
    if (epoch.rows > 0 && !settled && !summarize()) return false;
    settle(epoch.epoch, changes);
    return true;
}

void SinkWriter::run() {
    if (!until_done("open", [&] { return sink_->open(); })) return abandon();
    {
        std::lock_guard lock(mutex_);
        status_.description = sink_->describe();
    }
    if (!deliver_undelivered()) return abandon();
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
    if (!until_done("finish", [&] { return sink_->finish(); })) return abandon();
    const SinkStatus last = status();
    log(LogLevel::info, "sink finished",
        {{"sink", plan_.name},
         {"accepted", std::to_string(last.accepted)},
         {"refused", std::to_string(last.refused)},
         {"held", std::to_string(last.held)},
         {"sent_again", std::to_string(last.sent_again)}});
}

}  // namespace takt
