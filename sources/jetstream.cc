#include "sources/jetstream.h"

#include <algorithm>
#include <charconv>

#include "pipeline/base/hash.h"

namespace takt {
namespace {

constexpr std::int64_t kRequestsInFlight = 2;
constexpr Duration kNoDataWhilePending = 5 * kSecond;
constexpr Duration kAskConsumerEvery = 10 * kSecond;
constexpr Duration kDeleteWait = 500 * kMillisecond;
constexpr int kConsumerNotFound = 10014;

template <typename T>
bool parse_number(std::string_view text, T& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size();
}

std::string digest_of(std::string_view subject, std::string_view data) {
    return to_hex(hash128(data, hash64(subject)));
}

Error jetstream_error(std::string_view what, natsStatus status, int code) {
    Error error = nats_error("E522", what, status);
    if (code != 0) error.message += fmt::format(" (JetStream error {})", code);
    return error;
}

}  // namespace

std::optional<JetStreamDelivery> parse_jetstream_reply(std::string_view reply) {
    constexpr std::size_t kShort = 9;
    constexpr std::size_t kLong = 11;
    if (!reply.starts_with("$JS.ACK.")) return std::nullopt;
    std::array<std::string_view, kLong + 1> tokens;
    std::size_t count = 0;
    for (std::size_t begin = 0; begin <= reply.size() && count < tokens.size(); ++count) {
        const std::size_t end = std::min(reply.find('.', begin), reply.size());
        tokens[count] = reply.substr(begin, end - begin);
        begin = end + 1;
    }
    if (count != kShort && count < kLong) return std::nullopt;
    const std::size_t skipped = count == kShort ? 0 : 2;
    JetStreamDelivery delivery;
    if (!parse_number(tokens[5 + skipped], delivery.stream_sequence) ||
        !parse_number(tokens[6 + skipped], delivery.consumer_sequence) ||
        !parse_number(tokens[7 + skipped], delivery.stored) || !parse_number(tokens[8 + skipped], delivery.pending))
        return std::nullopt;
    return delivery;
}

OptionTable<JetStreamSource::Options> JetStreamSource::options() {
    using namespace std::chrono_literals;
    OptionTable<Options> table;
    add_nats_options(table);
    table.required("stream", &Options::stream, "name of the stream");
    table.optional("subjects", &Options::subjects,
                   "one subject that messages must match, with * and >; all when absent");
    table.optional("start", &Options::start, "where a pipeline without a position begins")
        .one_of({{"first", Start::first}, {"new", Start::fresh}});
    table
        .optional("start_sequence", &Options::start_sequence,
                  "the sequence at which a pipeline without a position begins; 0: as start says")
        .from(0);
    table.optional("on_gap", &Options::on_gap, "what to do when the stream has lost messages that were not read yet")
        .one_of({{"halt", OnGap::halt}, {"record", OnGap::record}});
    table.optional("batch", &Options::batch, "messages per request").from(1).to(65536);
    table
        .optional("max_bytes", &Options::max_bytes, "bytes per request; never below twice the server's largest message")
        .from(SizeBytes{4096});
    table.optional("heartbeat", &Options::heartbeat, "a server that says nothing for 2.5 of these is asked anew")
        .from(100ms)
        .to(1min);
    table.optional("request_timeout", &Options::request_timeout, "longest wait for an answer about stream and consumer")
        .from(100ms)
        .to(1min);
    return table;
}

JetStreamSource::JetStreamSource(Options options, Clock& clock) : options_(std::move(options)), clock_(clock) {}

JetStreamSource::~JetStreamSource() {
    inbox_.reset();
    drop_consumer();
}

std::string JetStreamSource::describe() const {
    return fmt::format("jetstream {} at {}", options_.stream, describe_servers(options_));
}

std::optional<JetStreamSource::Anchor> JetStreamSource::parse_anchor(std::string_view text) {
    std::array<std::string_view, 5> tokens;
    std::size_t count = 0;
    for (std::size_t begin = 0; begin <= text.size() && count < tokens.size(); ++count) {
        const std::size_t end = std::min(text.find(' ', begin), text.size());
        tokens[count] = text.substr(begin, end - begin);
        begin = end + 1;
    }
    Anchor anchor;
    if (count != tokens.size() || tokens[0] != "j1" || !parse_number(tokens[1], anchor.created) ||
        !parse_number(tokens[2], anchor.sequence) || !parse_number(tokens[3], anchor.stored))
        return std::nullopt;
    anchor.digest = tokens[4];
    return anchor;
}

SourcePosition JetStreamSource::position() const {
    SourcePosition position{.next_sequence = next_sequence_, .anchor = {}};
    if (anchor_.created != 0)
        position.anchor =
            fmt::format("j1 {} {} {} {}", anchor_.created, anchor_.sequence, anchor_.stored, anchor_.digest);
    return position;
}

Status JetStreamSource::connect() {
    return connect_jetstream(options_, NatsConnection::Use::consume, options_.request_timeout, connection_, jetstream_);
}

Result<JetStreamSource::Anchor> JetStreamSource::read_anchor(const std::string& text) const {
    if (text.empty()) return Anchor{};
    std::optional<Anchor> anchor = parse_anchor(text);
    if (!anchor) return Error{"F530", fmt::format("SOURCE_IDENTITY: the position is not one of {}", describe())};
    return std::move(*anchor);
}

Status JetStreamSource::open(const SourcePosition& position) {
    if (options_.subjects.size() > 1)
        return Error{
            "C522",
            fmt::format("{}: subjects names {} subjects, but servers before 2.10 filter by one only: name one, or "
                        "make one source of each",
                        describe(), options_.subjects.size())};
    inbox_.reset();
    if (Status connected = connect(); !connected.ok()) return connected;
    next_sequence_ = position.next_sequence;
    Result<Anchor> anchor = read_anchor(position.anchor);
    Result<Anchor> newest = read_anchor(position.newest_anchor);
    if (!anchor || !newest) return (anchor ? newest : anchor).error();
    anchor_ = std::move(*anchor);
    newest_ = std::move(*newest);
    if (anchor_.created == 0) anchor_.created = newest_.created;
    const bool begins = position.anchor.empty() && position.next_sequence <= 1 && !position.from_start;
    if (begins && options_.start_sequence > 0) next_sequence_ = static_cast<std::uint64_t>(options_.start_sequence);
    // Without a sequence of its own, a beginning takes the stream as it is.
    if (begins && options_.start_sequence == 0) next_sequence_ = 0;
    missing_before_.clear();
    holes_.clear();
    holes_told_ = 0;
    const std::uint64_t wanted = next_sequence_;
    if (Status checked = check_stream(); !checked.ok()) return checked;
    const std::uint64_t start = wanted > 0 ? wanted : next_sequence_;
    if ((begins || position.from_start) && start > 1)
        missing_before_.insert(missing_before_.begin(), {1, start - 1, HoleKind::before_start});
    return make_consumer();
}

Status JetStreamSource::check_stream() {
    jsStreamInfo* found = nullptr;
    auto code = static_cast<jsErrCode>(0);
    const natsStatus status = js_GetStreamInfo(&found, jetstream_.get(), options_.stream.c_str(), nullptr, &code);
    const StreamInfoHandle info(found);
    if (status == NATS_NOT_FOUND)
        return Error{"E522", fmt::format("there is no stream {} at {}: create it, or correct `stream`", options_.stream,
                                         describe_servers(options_))};
    if (status != NATS_OK) return jetstream_error(fmt::format("{} does not answer", describe()), status, code);

    if (anchor_.created != 0 && anchor_.created != info->Created) {
        return Error{
            "F530",
            fmt::format(
                "SOURCE_IDENTITY: {} was created anew at {} (we read one of {}): its sequences mean other messages; "
                "restore the old stream, or start a new pipeline",
                describe(), format_timestamp(info->Created), format_timestamp(anchor_.created))};
    }
    anchor_.created = info->Created;
    const std::uint64_t first = std::max<std::uint64_t>(info->State.FirstSeq, 1);
    if (next_sequence_ == 0) {
        next_sequence_ = options_.start == Start::first ? first : info->State.LastSeq + 1;
        if (newest_.sequence == 0) return {};
    }
    return check_anchor(first, info->State.LastSeq);
}

Status JetStreamSource::check_anchor(std::uint64_t first_sequence, std::uint64_t last_sequence) {
    const std::uint64_t cut = next_sequence_ - 1;
    if (const std::uint64_t read = std::max(cut, newest_.sequence); last_sequence < read) {
        return Error{
            "F531",
            fmt::format("SOURCE_REGRESSION: {} ends at sequence {}, but {} was read already: it lost its tail; restore "
                        "it, or start a new pipeline",
                        describe(), last_sequence, read)};
    }
    if (newest_.sequence > cut) {
        const Result<bool> same = check_message(newest_);
        if (!same) return same.error();
    }
    if (cut > 0 && anchor_.sequence == cut) {
        const Result<bool> same = check_message(anchor_);
        if (!same) return same.error();
        // Else deleted, or beyond a limit: only what was not read yet matters.
        if (*same) return {};
    }
    if (first_sequence <= next_sequence_) return {};
    missing_before_.push_back({next_sequence_, first_sequence - 1, HoleKind::lost});
    return lost(next_sequence_, first_sequence - 1);
}

Result<bool> JetStreamSource::check_message(const Anchor& anchor) {
    natsMsg* found = nullptr;
    auto code = static_cast<jsErrCode>(0);
    const natsStatus status =
        js_GetMsg(&found, jetstream_.get(), options_.stream.c_str(), anchor.sequence, nullptr, &code);
    const NatsMessageHandle message(found);
    if (status == NATS_NOT_FOUND) return false;
    if (status != NATS_OK)
        return jetstream_error(fmt::format("{}: message {} cannot be read", describe(), anchor.sequence), status, code);
    if (natsMsg_GetTime(found) == anchor.stored &&
        digest_of(natsMsg_GetSubject(found), nats_data(found)) == anchor.digest)
        return true;
    return Error{"F532",
                 fmt::format("SOURCE_REUSED: message {} of {} is not the one that was read: the stream lost its "
                             "tail and used its sequences again; restore it, or start a new pipeline",
                             anchor.sequence, describe())};
}

Status JetStreamSource::lost(std::uint64_t first, std::uint64_t last) {
    if (options_.on_gap == OnGap::halt) {
        return Error{
            "F533",
            fmt::format(
                "SOURCE_GAP: messages {} to {} of {} are gone before they were read: its limits are too small for "
                "the time we were away; `on_gap: record` counts them as dropped and goes on",
                first, last, describe())};
    }
    dropped_ += last - first + 1;
    next_sequence_ = std::max(next_sequence_, last + 1);
    return {};
}

/// Tells the block's holes, and finds out which of them are losses.
Status JetStreamSource::check_holes(MessageBlock& block) {
    if (!block.messages.empty()) block.holes = std::exchange(missing_before_, {});
    if (!options_.subjects.empty()) {
        for (SequenceHole& hole : holes_) {
            hole.kind = HoleKind::filtered;
            block.holes.push_back(hole);
        }
        holes_.clear();
    }
    if (holes_.empty()) return {};
    jsStreamInfo* found = nullptr;
    auto code = static_cast<jsErrCode>(0);
    const bool answered =
        connection_->connected() &&
        js_GetStreamInfo(&found, jetstream_.get(), options_.stream.c_str(), nullptr, &code) == NATS_OK;
    const StreamInfoHandle info(found);
    const std::size_t told = std::exchange(holes_told_, holes_.size());
    if (!answered) {
        // Whether they are losses is asked again at the next read.
        block.holes.insert(block.holes.end(), holes_.begin() + static_cast<std::ptrdiff_t>(told), holes_.end());
        return {};
    }
    const std::uint64_t first_kept = info->State.FirstSeq;
    holes_told_ = 0;
    const std::vector<SequenceHole> holes = std::exchange(holes_, {});
    for (std::size_t i = 0; i < holes.size(); ++i) {
        const SequenceHole& hole = holes[i];
        // What lies above the stream's first message was deleted one by one, on purpose.
        const std::uint64_t deleted_from = std::clamp(first_kept, hole.first, hole.last + 1);
        if (deleted_from > hole.first) {
            if (Status recorded = lost(hole.first, deleted_from - 1); !recorded.ok()) return recorded;
            if (i >= told) block.holes.push_back({hole.first, deleted_from - 1, HoleKind::lost});
        }
        if (deleted_from <= hole.last && i >= told) block.holes.push_back({deleted_from, hole.last, HoleKind::deleted});
    }
    return {};
}

Status JetStreamSource::make_consumer() {
    jsConsumerConfig config;
    jsConsumerConfig_Init(&config);
    config.DeliverPolicy = js_DeliverByStartSequence;
    config.OptStartSeq = next_sequence_;
    config.AckPolicy = js_AckNone;
    config.ReplayPolicy = js_ReplayInstant;
    config.FilterSubject = options_.subjects.empty() ? nullptr : options_.subjects.front().c_str();
    config.InactiveThreshold = 30 * kSecond;
    config.MemoryStorage = true;
    config.Replicas = 1;
    config.MaxWaiting = 16;
    reconnects_ = connection_->reconnects();
    jsConsumerInfo* made = nullptr;
    auto code = static_cast<jsErrCode>(0);
    if (const natsStatus status =
            js_AddConsumer(&made, jetstream_.get(), options_.stream.c_str(), &config, nullptr, &code);
        status != NATS_OK)
        return jetstream_error(fmt::format("{} gives us no consumer", describe()), status, code);
    const ConsumerInfoHandle info(made);
    consumer_ = info->Name;
    next_subject_ = fmt::format("$JS.API.CONSUMER.MSG.NEXT.{}.{}", options_.stream, consumer_);
    pending_ = info->NumPending;

    natsInbox* name = nullptr;
    if (const natsStatus status = natsInbox_Create(&name); status != NATS_OK)
        return nats_error("E522", "no inbox", status);
    inbox_subject_ = name;
    natsInbox_Destroy(name);
    natsSubscription* subscription = nullptr;
    if (const natsStatus status =
            natsConnection_SubscribeSync(&subscription, connection_->get(), inbox_subject_.c_str());
        status != NATS_OK)
        return nats_error("E522", "no subscription to our inbox", status);
    inbox_.reset(subscription);
    // Our requests bound what can wait there; the client's own limits would drop messages in the middle.
    if (const natsStatus status = natsSubscription_SetPendingLimits(subscription, -1, -1); status != NATS_OK)
        return nats_error("E522", "no limits for our inbox", status);

    const auto largest =
        static_cast<std::uint64_t>(std::max<std::int64_t>(natsConnection_GetMaxPayload(connection_->get()), 0));
    request_bytes_ = std::max<std::uint64_t>(options_.max_bytes.value, 2 * largest);
    const std::int64_t heartbeat = options_.heartbeat.count();
    request_text_ = fmt::format(R"({{"batch":{},"max_bytes":{},"expires":{},"idle_heartbeat":{}}})", options_.batch,
                                request_bytes_, std::max<std::int64_t>(30 * heartbeat, 2 * heartbeat), heartbeat);
    consumer_sequence_ = 0;
    outstanding_ = 0;
    too_large_ = 0;
    silent_since_ = no_data_since_ = asked_at_ = 0;
    for (std::int64_t i = 0; i < kRequestsInFlight; ++i) {
        if (Status requested = request(); !requested.ok()) return requested;
    }
    broken_ = false;
    retry_wait_ = 0;
    return {};
}

Status JetStreamSource::request() {
    const natsStatus status =
        natsConnection_PublishRequest(connection_->get(), next_subject_.c_str(), inbox_subject_.c_str(),
                                      request_text_.data(), static_cast<int>(request_text_.size()));
    if (status != NATS_OK) return nats_error("E522", "cannot send a request", status);
    outstanding_ += options_.batch;
    return {};
}

void JetStreamSource::drop_consumer() {
    if (consumer_.empty() || !connection_ || !connection_->connected()) return;
    jsOptions wait;
    jsOptions_Init(&wait);
    wait.Wait = kDeleteWait / kMillisecond;
    // Best effort: the server forgets it by itself.
    js_DeleteConsumer(jetstream_.get(), options_.stream.c_str(), consumer_.c_str(), &wait, nullptr);
    consumer_.clear();
}

Status JetStreamSource::rebuild() {
    broken_ = true;
    const Timestamp now = clock_.monotonic();
    if (now < retry_at_) return {};
    Status status;
    if (natsConnection_IsClosed(connection_->get())) {
        // The client gives up for good when a server refuses the same credentials twice.
        inbox_.reset();
        consumer_.clear();
        status = connect();
    } else if (!connection_->connected()) {
        return {};
    }
    inbox_.reset();
    pending_.reset();
    if (status.ok()) {
        drop_consumer();
        status = check_stream();
    }
    if (status.ok()) status = make_consumer();
    if (status.ok()) {
        ++rebuilds_;
        retry_at_ = 0;
        return {};
    }
    if (status.error().code.front() != 'E') return status;
    retry_wait_ = std::min(std::max(2 * retry_wait_, kFirstNatsRetry), kLastNatsRetry);
    retry_at_ = clock_.monotonic() + retry_wait_;
    return {};
}

Result<JetStreamSource::Turn> JetStreamSource::take(natsMsg* message, MessageBlock& block) {
    const char* reply = natsMsg_GetReply(message);
    if (reply == nullptr) return take_status(message);
    const std::optional<JetStreamDelivery> delivery = parse_jetstream_reply(reply);
    if (!delivery)
        return Error{"F522", fmt::format("{} delivered a message with the reply subject {}, which we do not know",
                                         describe(), reply)};
    if (delivery->consumer_sequence != consumer_sequence_ + 1) return Turn::rebuild;
    if (delivery->stream_sequence < next_sequence_) {
        return Error{
            "F531",
            fmt::format("SOURCE_REGRESSION: {} delivered sequence {}, but {} was read already: it lost its tail",
                        describe(), delivery->stream_sequence, next_sequence_ - 1)};
    }
    if (delivery->stream_sequence > next_sequence_)
        holes_.push_back({next_sequence_, delivery->stream_sequence - 1, HoleKind::deleted});
    consumer_sequence_ = delivery->consumer_sequence;
    next_sequence_ = delivery->stream_sequence + 1;
    pending_ = delivery->pending;
    anchor_.stored = delivery->stored;
    --outstanding_;
    too_large_ = 0;
    no_data_since_ = 0;
    asked_at_ = 0;
    const std::string_view data = nats_data(message);
    block.messages.push_back({.data = data,
                              .subject = natsMsg_GetSubject(message),
                              .sequence = delivery->stream_sequence,
                              .ingest_time = delivery->stored});
    block.size_bytes += data.size();
    return Turn::taken;
}

Result<JetStreamSource::Turn> JetStreamSource::take_status(natsMsg* message) {
    const std::string_view status = nats_header(message, "Status");
    const std::string_view description = nats_header(message, "Description");
    if (status == "100") {
        std::uint64_t last = 0;
        const bool said = parse_number(nats_header(message, "Nats-Last-Consumer"), last);
        return said && last != consumer_sequence_ ? Turn::rebuild : Turn::ignored;
    }
    std::int64_t owed = options_.batch;
    parse_number(nats_header(message, "Nats-Pending-Messages"), owed);
    const bool too_large = description.starts_with("Message Size Exceeds MaxBytes");
    if (status == "404" || (status == "408" && !description.starts_with("Interest Expired")) || too_large ||
        description.starts_with("Batch Completed")) {
        outstanding_ -= owed;
        too_large_ = too_large && owed >= options_.batch ? too_large_ + 1 : 0;
        if (too_large_ >= 2) {
            return Error{"F523", fmt::format("message {} or a later one of {} is larger than {} bytes: raise max_bytes",
                                             next_sequence_, describe(), request_bytes_)};
        }
        return Turn::ignored;
    }
    if (status == "400" || description.starts_with("Exceeded") || description.starts_with("Consumer is push based"))
        return Error{"F522",
                     fmt::format("{} refuses our request {}: {} {}", describe(), request_text_, status, description)};
    return Turn::rebuild;
}

Status JetStreamSource::watch(Timestamp now) {
    if (!connection_->connected()) return {};
    if (silent_since_ == 0) silent_since_ = now;
    if (no_data_since_ == 0) no_data_since_ = now;
    const bool silent = now - silent_since_ > options_.heartbeat.count() * 5 / 2;
    const bool stuck = pending_.value_or(0) > 0 && now - no_data_since_ > kNoDataWhilePending;
    if (silent || stuck) return rebuild();
    if (asked_at_ == 0) asked_at_ = now;
    if (now - asked_at_ > kAskConsumerEvery) return ask_consumer(now);
    return {};
}

Status JetStreamSource::ask_consumer(Timestamp now) {
    asked_at_ = now;
    jsConsumerInfo* found = nullptr;
    auto code = static_cast<jsErrCode>(0);
    const natsStatus status =
        js_GetConsumerInfo(&found, jetstream_.get(), options_.stream.c_str(), consumer_.c_str(), nullptr, &code);
    const ConsumerInfoHandle info(found);
    if (status == NATS_NOT_FOUND || static_cast<int>(code) == kConsumerNotFound) return rebuild();
    if (status != NATS_OK) return {};
    if (info->NumPending == 0) {
        asked_pending_at_ = 0;
        return {};
    }
    // Twice at one position: it has messages and does not send them.
    if (asked_pending_at_ == next_sequence_) return rebuild();
    asked_pending_at_ = next_sequence_;
    return {};
}

Result<Source::State> JetStreamSource::read(const Limits& limits, MessageBlock& block) {
    const Timestamp deadline = clock_.monotonic() + limits.wait;
    const auto held = std::make_shared<NatsMessages>();  // shared: becomes the block's keep
    while (block.messages.size() < limits.messages && block.size_bytes < limits.bytes) {
        if (connection_->reconnects() != reconnects_) broken_ = true;
        if (broken_) {
            if (!block.messages.empty()) break;
            if (Status rebuilt = rebuild(); !rebuilt.ok()) return rebuilt.error();
        }
        const Timestamp left = block.messages.empty() ? deadline - clock_.monotonic() : 0;
        const std::int64_t wait_ms =
            left <= 0 ? 0 : std::max<Duration>(std::min(left, kNatsWaitSlice) / kMillisecond, 1);
        if (broken_) {
            if (left <= 0) return State::quiet;
            nats_Sleep(wait_ms);
            continue;
        }
        natsMsg* message = nullptr;
        const natsStatus status = natsSubscription_NextMsg(&message, inbox_.get(), wait_ms);
        if (status == NATS_TIMEOUT) {
            if (!block.messages.empty()) break;
            const Timestamp now = clock_.monotonic();
            if (Status watched = watch(now); !watched.ok()) return watched.error();
            if (now < deadline) continue;
            const bool alive = !broken_ && connection_->connected() && silent_since_ != 0 &&
                               now - silent_since_ < options_.heartbeat.count() * 3 / 2;
            return alive && pending_ == 0 ? State::idle : State::quiet;
        }
        if (status != NATS_OK) {
            broken_ = true;
            retry_at_ = clock_.monotonic() + kFirstNatsRetry;
            continue;
        }
        silent_since_ = 0;
        const Result<Turn> turn = take(message, block);
        if (turn.ok() && *turn == Turn::taken) {
            held->take(message);
        } else {
            natsMsg_Destroy(message);
        }
        if (!turn.ok()) return turn.error();
        if (*turn == Turn::rebuild) {
            broken_ = true;
        } else if (outstanding_ <= (kRequestsInFlight - 1) * options_.batch && !request().ok()) {
            broken_ = true;
        }
    }
    if (Status checked = check_holes(block); !checked.ok()) return checked.error();
    if (block.messages.empty()) return State::quiet;
    const Message& last = block.messages.back();
    anchor_.sequence = last.sequence;
    anchor_.stored = last.ingest_time;
    anchor_.digest = digest_of(last.subject, last.data);
    block.keep = held;
    return State::more;
}

}  // namespace takt
