#include "sources/key_value.h"

#include <fmt/format.h>

#include <algorithm>

namespace takt {
namespace {

constexpr std::size_t kEntriesAtOnce = 4096;

TableChange change_of(kvEntry* entry) {
    TableChange change;
    change.key = kvEntry_Key(entry);
    change.revision = kvEntry_Revision(entry);
    if (kvEntry_Operation(entry) == kvOp_Put) {
        change.value.assign(static_cast<const char*>(kvEntry_Value(entry)),
                            static_cast<std::size_t>(kvEntry_ValueLen(entry)));
    } else {
        change.operation = TableChange::Operation::remove;
    }
    return change;
}

}  // namespace

OptionTable<KeyValueBucket::Options> KeyValueBucket::options() {
    using namespace std::chrono_literals;
    OptionTable<Options> table;
    add_nats_options(table);
    table.required("bucket", &Options::bucket, "name of the key-value bucket");
    table.optional("prefix", &Options::prefix,
                   "what the keys of this table begin with, a dot at its end; the whole bucket when absent");
    table.optional("check", &Options::check, "how often the bucket is asked whether something was missed")
        .from(100ms)
        .to(10min);
    table.optional("request_timeout", &Options::request_timeout, "longest wait for an answer of the server")
        .from(100ms)
        .to(1min);
    table.short_form("bucket");
    return table;
}

KeyValueBucket::KeyValueBucket(Options options, TableSpec spec, Clock& clock)
    : options_(std::move(options)),
      rows_(std::move(spec), options_.prefix, fmt::format("bucket {}", options_.bucket)),
      clock_(clock) {}

KeyValueBucket::~KeyValueBucket() = default;

std::string KeyValueBucket::describe() const {
    return fmt::format("key-value bucket {}{}{} at {}", options_.bucket, options_.prefix.empty() ? "" : ", prefix ",
                       options_.prefix, describe_servers(options_));
}

Status KeyValueBucket::connect() {
    watcher_.reset();
    bucket_.reset();
    return connect_jetstream(options_, NatsConnection::Use::consume, options_.request_timeout, connection_, jetstream_);
}

/// Asks for the stream behind the bucket.
Status KeyValueBucket::find_bucket() {
    const std::string stream = "KV_" + options_.bucket;
    jsStreamInfo* found = nullptr;
    auto code = static_cast<jsErrCode>(0);
    const natsStatus status = js_GetStreamInfo(&found, jetstream_.get(), stream.c_str(), nullptr, &code);
    const StreamInfoHandle info(found);
    if (status == NATS_NOT_FOUND) return Error{"C526", fmt::format("there is no {}: create it", describe())};
    if (status != NATS_OK) return nats_error("E526", fmt::format("{} does not answer", describe()), status);
    if (info->Config->MaxAge > 0) {
        return Error{"C527",
                     fmt::format("values in {} expire after {}, and nobody is told: rows would vanish; make the "
                                 "bucket without a TTL",
                                 describe(), format_duration(info->Config->MaxAge))};
    }
    created_ = info->Created;
    last_revision_ = info->State.LastSeq;
    return {};
}

Status KeyValueBucket::watch() {
    watcher_.reset();
    if (Status found = find_bucket(); !found.ok()) return found;
    kvStore* bucket = nullptr;
    if (const natsStatus status = js_KeyValue(&bucket, jetstream_.get(), options_.bucket.c_str()); status != NATS_OK)
        return nats_error("E526", fmt::format("cannot use {}", describe()), status);
    bucket_.reset(bucket);
    kvWatchOptions how;
    kvWatchOptions_Init(&how);
    how.Timeout = options_.request_timeout / std::chrono::milliseconds(1);
    reconnects_ = connection_->reconnects();
    kvWatcher* watcher = nullptr;
    if (const natsStatus status = kvStore_Watch(&watcher, bucket, (options_.prefix + ">").c_str(), &how);
        status != NATS_OK)
        return nats_error("E526", fmt::format("cannot watch {}", describe()), status);
    watcher_.reset(watcher);
    seen_ = unseen_ = 0;
    check_at_ = saturating_add(clock_.monotonic(), options_.check.count());
    return {};
}

/// Nothing: nothing came within the time, or `complete` was set: the content that was there is through.
Result<std::optional<KeyValueBucket::Entry>> KeyValueBucket::next(Duration wait, bool& complete) {
    kvEntry* found = nullptr;
    const natsStatus status = kvWatcher_Next(&found, watcher_.get(), std::max<std::int64_t>(wait / kMillisecond, 1));
    const KeyValueEntryHandle entry(found);
    if (status == NATS_TIMEOUT) return std::optional<Entry>();
    if (status != NATS_OK) return nats_error("E526", fmt::format("cannot watch {}", describe()), status);
    if (found == nullptr) {
        complete = true;
        return std::optional<Entry>();
    }
    seen_ = std::max(seen_, kvEntry_Revision(found));
    return std::optional(Entry{change_of(found), kvEntry_Created(found)});
}

/// Reads the whole content and tells what differs from what was told before.
Status KeyValueBucket::load(std::vector<TableChange>& changes) {
    if (Status watched = watch(); !watched.ok()) return watched;
    std::map<std::string, Entry, std::less<>> content;
    for (bool complete = false; !complete;) {
        Result<std::optional<Entry>> entry = next(options_.request_timeout.count(), complete);
        if (!entry.ok()) return entry.error();
        if (complete) break;
        if (!*entry) return Error{"E526", fmt::format("{} stopped in the middle of its content", describe())};
        std::string key = (*entry)->change.key;
        content[std::move(key)] = std::move(**entry);
    }
    for (auto known = known_.begin(); known != known_.end();) {
        const auto entry = content.find(known->first);
        if (entry != content.end()) {
            ++known;
            continue;
        }
        changes.push_back({.key = known->first, .revision = seen_, .operation = TableChange::Operation::gone});
        known = known_.erase(known);
    }
    std::vector<Entry*> in_order;
    for (auto& [key, entry] : content) in_order.push_back(&entry);
    std::sort(in_order.begin(), in_order.end(),
              [](const Entry* a, const Entry* b) { return a->change.revision < b->change.revision; });
    for (Entry* entry : in_order) {
        const auto known = known_.find(entry->change.key);
        if (known != known_.end() && known->second == Version{entry->change.revision, entry->created}) continue;
        entry->change.in_content = true;
        tell(std::move(*entry), changes);
    }
    return {};
}

void KeyValueBucket::tell(Entry entry, std::vector<TableChange>& changes) {
    if (entry.change.operation == TableChange::Operation::put) {
        known_[entry.change.key] = {entry.change.revision, entry.created};
    } else if (known_.erase(entry.change.key) == 0) {
        return;  // it went before we knew it
    }
    changes.push_back(std::move(entry.change));
}

Status KeyValueBucket::open(std::vector<TableChange>& content) {
    known_.clear();
    if (Status connected = connect(); !connected.ok()) return connected;
    Status loaded = load(content);
    if (!loaded.ok()) watcher_.reset();
    return loaded;
}

Status KeyValueBucket::out_of_step(Error error) {
    watcher_.reset();
    // To whoever only reads on, everything is from outside.
    if (error.code == "C526") error = {"E526", fmt::format("{} is gone", describe())};
    trouble_ = std::move(error);
    return trouble_;
}

Status KeyValueBucket::reload(std::vector<TableChange>& changes) {
    Status status;
    if (connection_ == nullptr || natsConnection_IsClosed(connection_->get())) status = connect();
    if (status.ok()) status = load(changes);
    if (status.ok()) {
        ++reloads_;
        retry_wait_ = 0;
        trouble_ = {};
        return {};
    }
    retry_wait_ = std::min(std::max(2 * retry_wait_, kFirstNatsRetry), kLastNatsRetry);
    retry_at_ = saturating_add(clock_.monotonic(), retry_wait_);
    return out_of_step(status.error());
}

Status KeyValueBucket::read(Duration wait, std::vector<TableChange>& changes) {
    const bool closed = connection_ == nullptr || natsConnection_IsClosed(connection_->get());
    if (!closed && !connection_->connected()) {
        nats_Sleep(wait / kMillisecond);
        return out_of_step({"E520", fmt::format("the connection to {} is lost", describe_servers(options_))});
    }
    if (closed || connection_->reconnects() != reconnects_) watcher_.reset();
    if (watcher_ == nullptr) {
        if (clock_.monotonic() >= retry_at_) return reload(changes);
        nats_Sleep(wait / kMillisecond);
        return trouble_;
    }
    for (std::size_t count = 0; count < kEntriesAtOnce; ++count) {
        bool complete = false;
        Result<std::optional<Entry>> entry = next(count == 0 ? wait : 0, complete);
        if (!entry.ok()) return out_of_step(entry.error());
        if (!*entry) break;
        tell(std::move(**entry), changes);
    }
    return clock_.monotonic() < check_at_ ? Status() : check();
}

/// Whether the watcher still tells everything: one whose bucket is gone just says nothing.
Status KeyValueBucket::check() {
    check_at_ = saturating_add(clock_.monotonic(), options_.check.count());
    const std::int64_t created = created_;
    if (Status found = find_bucket(); !found.ok()) return out_of_step(found.error());
    if (created_ != created || last_revision_ < seen_)
        return out_of_step({"E526", fmt::format("{} was made anew, or lost its latest changes", describe())});
    if (last_revision_ == seen_) return {};
    const std::string subjects = fmt::format("$KV.{}.{}>", options_.bucket, options_.prefix);
    natsMsg* found = nullptr;
    auto code = static_cast<jsErrCode>(0);
    const natsStatus status =
        js_GetLastMsg(&found, jetstream_.get(), ("KV_" + options_.bucket).c_str(), subjects.c_str(), nullptr, &code);
    const NatsMessageHandle last(found);
    if (status == NATS_NOT_FOUND) return {};
    if (status != NATS_OK)
        return out_of_step(nats_error("E526", fmt::format("{} does not answer", describe()), status));
    const std::uint64_t revision = natsMsg_GetSequence(found);
    // It may be under way: only at the second time it was missed.
    if (revision > seen_ && unseen_ > seen_)
        return out_of_step({"E526", fmt::format("revision {} of {} was not shown", unseen_, describe())});
    unseen_ = revision > seen_ ? revision : 0;
    return {};
}

std::vector<TableChange> KeyValueBucket::earlier(const TableChange& change) {
    std::vector<TableChange> kept;
    kvEntryList list;
    kvWatchOptions how;
    kvWatchOptions_Init(&how);
    how.Timeout = options_.request_timeout / std::chrono::milliseconds(1);
    if (bucket_ == nullptr || kvStore_History(&list, bucket_.get(), change.key.c_str(), &how) != NATS_OK) return kept;
    for (int i = list.Count - 1; i >= 0; --i) {
        TableChange older = change_of(list.Entries[i]);
        if (older.revision >= change.revision) continue;
        if (older.operation != TableChange::Operation::put) break;
        kept.push_back(std::move(older));
    }
    kvEntryList_Destroy(&list);
    return kept;
}

}  // namespace takt
