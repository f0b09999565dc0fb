#include "pipeline/runtime/table_reader.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <unordered_set>
#include <utility>

#include "pipeline/observe/log.h"

namespace takt {
namespace {

/// Refusals of one reading that are logged one by one.
constexpr std::size_t kLoggedRefusals = 20;

}  // namespace

TableReader::TableReader(const TablePlan& plan, std::uint32_t index, const Options& options,
                         std::function<void()> on_change)
    : plan_(plan), index_(index), options_(options), on_change_(std::move(on_change)) {
    status_.name = plan.name;
    status_.description = plan.connector;
    status_.since = options.clock->monotonic();
}

TableReader::~TableReader() {
    stop();
}

Status TableReader::start(std::shared_ptr<const TableEntries> known) {
    Result<std::unique_ptr<TableFeed>> made = plan_.make();
    if (!made) return made.error();
    known_ = std::move(known);
    newest_ = plan_.handle->current;
    {
        std::lock_guard lock(mutex_);
        if (known_ != nullptr) {
            status_.rows = newest_->rows();
            for (const auto& [key, change] : *known_) status_.revision = std::max(status_.revision, change.revision);
        }
        feed_ = std::move(made).value();
        status_.description = feed_->describe();
    }
    thread_ = Thread([this] { run(); });
    return {};
}

void TableReader::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

std::optional<TableVersion> TableReader::take() {
    std::optional<TableVersion> version;
    {
        std::lock_guard lock(mutex_);
        if (!version_) return std::nullopt;
        version = std::move(version_);
        version_.reset();
        status_.rows = version->content->rows();
        status_.changes += version->changes.size();
        if (!version->changes.empty()) status_.revision = version->changes.back().revision;
    }
    changed_.notify_all();
    return version;
}

TableReader::View TableReader::view() const {
    std::lock_guard lock(mutex_);
    return {loaded_, version_.has_value(), error_};
}

TableStatus TableReader::status() const {
    std::lock_guard lock(mutex_);
    return status_;
}

void TableReader::enter(TableStatus::State state) {
    if (status_.state == state) return;
    status_.state = state;
    status_.since = options_.clock->monotonic();
}

void TableReader::fail(const Error& error) {
    {
        std::lock_guard lock(mutex_);
        error_ = error;
        status_.last_error = error.text();
        enter(TableStatus::State::stale);
    }
    log(LogLevel::error, "table failed", {{"table", plan_.name}, {"error", error.text()}});
    on_change_();
}

bool TableReader::wait(Duration duration) {
    std::unique_lock lock(mutex_);
    return !changed_.wait_for(lock, std::chrono::nanoseconds(duration), [this] { return stopping_; });
}

// ---- judging

void TableReader::refuse(const Error& error, std::size_t refused_before) {
    {
        std::lock_guard lock(mutex_);
        ++status_.refused;
        status_.last_refusal = error.text();
    }
    if (refused_before < kLoggedRefusals) {
        log(LogLevel::warning, "row of a table refused; what stood before it holds",
            {{"table", plan_.name}, {"error", error.text()}});
    } else if (refused_before == kLoggedRefusals) {
        log(LogLevel::warning, "more rows of a table refused; takt_table_refused_total counts them",
            {{"table", plan_.name}});
    }
}

void TableReader::accept(std::vector<TableChange> changes) {
    std::size_t refused = 0;
    // Whether it is a row of the table; D errors.
    const auto keep = [&](TableChange& change) -> Status {
        Result<std::vector<TableUpdate>> updates = updates_of(*feed_, newest_->spec(), change);
        if (!updates) return updates.error();
        changes_bytes_ += change.key.size() + change.value.size();
        changes_.push_back(std::move(change));
        std::move(updates->begin(), updates->end(), std::back_inserter(updates_));
        return {};
    };
    for (TableChange& change : changes) {
        const Status kept = keep(change);
        if (kept) continue;
        refuse(kept.error(), refused++);
        if (!change.in_content) continue;
        // What stood before it may have been missed.
        for (TableChange& older : feed_->earlier(change)) {
            if (keep(older)) break;
        }
    }
}

/// Makes a version of what has changed, unless the one before still waits. False: the table is beyond its limits.
bool TableReader::make_version() {
    bool whole = false;
    bool as_known = false;
    {
        std::lock_guard lock(mutex_);
        as_known = !loaded_ && known_ != nullptr && changes_.empty();
        if (!as_known && (version_ || (loaded_ && changes_.empty()))) return true;
        whole = !loaded_ && known_ == nullptr;
        loaded_ = loaded_ || as_known;
    }
    if (as_known) {
        on_change_();
        return true;
    }
    // Whatever the table held when the run began, its origin says what it holds now.
    if (whole) newest_ = TableBuilder(newest_->spec()).build().value();
    Result<std::shared_ptr<const TemporalTable>> made = updated(*newest_, updates_);
    if (!made) {
        fail(made.error());
        return false;
    }
    newest_ = std::move(made).value();
    updates_ = {};
    changes_bytes_ = 0;
    {
        std::lock_guard lock(mutex_);
        version_ = TableVersion{index_, whole, std::move(changes_), newest_};
        loaded_ = true;
    }
    changes_.clear();
    on_change_();
    return true;
}

// ---- reading

/// Of the whole content, what is known already; adds what is known and not there any more.
void TableReader::leave_out_known(std::vector<TableChange>& content) const {
    std::unordered_set<std::string> there;
    std::uint64_t newest = 0;
    for (const TableChange& change : content) {
        there.insert(change.key);
        newest = std::max(newest, change.revision);
    }
    std::erase_if(content, [&](const TableChange& change) {
        const auto before = known_->find(change.key);
        return before != known_->end() && before->second.revision == change.revision &&
               before->second.operation == change.operation && before->second.value == change.value;
    });
    for (const auto& [key, change] : *known_) {
        if (there.contains(key)) continue;
        content.push_back(
            {.key = key, .revision = std::max(newest, change.revision), .operation = TableChange::Operation::gone});
    }
}

bool TableReader::open() {
    Backoff backoff(options_.retry);
    std::vector<TableChange> content;
    while (true) {
        content.clear();
        const Status opened = feed_->open(content);
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
        log(LogLevel::warning, "table does not open, trying again",
            {{"table", plan_.name}, {"error", opened.error().text()}});
        if (!wait(backoff.next())) return false;
    }
    if (known_ != nullptr) leave_out_known(content);
    accept(std::move(content));
    if (!make_version()) return false;
    known_.reset();
    std::lock_guard lock(mutex_);
    status_.last_error.clear();
    enter(TableStatus::State::current);
    return true;
}

bool TableReader::read_one() {
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || !version_ || changes_bytes_ < options_.waiting_bytes; });
        if (stopping_) return false;
    }
    std::vector<TableChange> changes;
    const Status read = feed_->read(options_.wait, changes);
    accept(std::move(changes));
    const std::string trouble = read.ok() ? std::string() : read.error().text();
    bool is_news = false;
    {
        std::lock_guard lock(mutex_);
        is_news = status_.last_error != trouble;
        status_.last_error = trouble;
        enter(trouble.empty() ? TableStatus::State::current : TableStatus::State::stale);
    }
    if (is_news && trouble.empty()) {
        log(LogLevel::warning, "table follows its origin again", {{"table", plan_.name}});
    } else if (is_news) {
        log(LogLevel::warning, "table has lost its origin; its last content stands",
            {{"table", plan_.name}, {"error", trouble}});
    }
    return make_version();
}

void TableReader::run() {
    if (!open()) return;
    while (read_one()) {
    }
}

}  // namespace takt
