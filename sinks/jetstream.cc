#include "sinks/jetstream.h"

#include <charconv>

namespace takt {
namespace {

constexpr const char* kIdHeader = "Nats-Msg-Id";
constexpr const char* kHashHeader = "Takt-Payload-Hash";
constexpr const char* kExpectHeader = "Nats-Expected-Last-Subject-Sequence";
constexpr std::uint64_t kWrongLastSequence = 10071;
constexpr std::uint64_t kTooLarge = 10054;
constexpr int kReadBackMessages = 500;

/// The number after `name` in an answer of the server, which we know to be flat JSON without blanks in its members.
std::optional<std::uint64_t> number_after(std::string_view text, std::string_view name) {
    const std::size_t at = text.find(name);
    if (at == std::string_view::npos) return std::nullopt;
    std::string_view rest = text.substr(at + name.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(" :"), rest.size()));
    std::uint64_t value = 0;
    if (std::from_chars(rest.data(), rest.data() + rest.size(), value).ec != std::errc{}) return std::nullopt;
    return value;
}

}  // namespace

struct JetStreamSink::Outgoing {
    std::string subject;
    std::string id;
    std::string hash;
    std::string text;
    bool once = false;  // the subject is this message's own
};

OptionTable<JetStreamSink::Options> JetStreamSink::options() {
    using namespace std::chrono_literals;
    OptionTable<Options> table;
    add_nats_options(table);
    table.optional("stream", &Options::stream, "stream that keeps the postings; made when it is missing");
    table.optional(
        "subject", &Options::subject,
        "where a posting goes; {type}, {pipeline}, {key}, {revision} and key fields are filled in; with {key} "
        "the stream takes each posting once for good");
    table.optional("dead_letters", &Options::dead_letters, "where dead letters go");
    table
        .optional("format", &Options::format,
                  "how messages are written: schemas/posting.fbs has the tables of the latter")
        .one_of({{"json", MessageFormat::json}, {"flatbuffers", MessageFormat::flatbuffers}});
    table.optional("window", &Options::window, "messages that may wait for their answer").from(1).to(65536);
    table.optional("ack_timeout", &Options::ack_timeout, "without an answer for so long, a posting's state is unknown")
        .from(100ms)
        .to(5min);
    return table;
}

JetStreamSink::JetStreamSink(Options options, Clock& clock) : options_(std::move(options)), clock_(clock) {}
JetStreamSink::~JetStreamSink() = default;

std::string JetStreamSink::describe() const {
    return fmt::format("jetstream {} at {}", options_.stream, describe_servers(options_));
}

void JetStreamSink::resume(const Past& past) {
    run_ = past.run;
    position_ = past.confirmed;
    unconfirmed_ = past.unconfirmed;
}

Status JetStreamSink::open() {
    Result<NatsSubject> subject = NatsSubject::parse(options_.subject);
    if (!subject.ok()) return subject.error();
    subject_ = std::move(subject).value();
    answers_.reset();
    if (Status connected =
            connect_jetstream(options_, NatsConnection::Use::publish, options_.ack_timeout, connection_, jetstream_);
        !connected.ok())
        return connected;
    if (Status made = make_stream(); !made.ok()) return made;

    natsInbox* name = nullptr;
    if (const natsStatus status = natsInbox_Create(&name); status != NATS_OK)
        return nats_error("E524", "no inbox", status);
    inbox_ = name;
    natsInbox_Destroy(name);
    natsSubscription* answers = nullptr;
    if (const natsStatus status = natsConnection_SubscribeSync(&answers, connection_->get(), (inbox_ + ".>").c_str());
        status != NATS_OK)
        return nats_error("E524", "no subscription to our inbox", status);
    answers_.reset(answers);
    natsSubscription_SetPendingLimits(answers, -1, -1);
    return {};
}

bool JetStreamSink::is_under_postings(const std::string& subject) const {
    const std::string postings = subject_.pattern();
    return subject == postings ||
           (postings.ends_with(">") && subject.starts_with(std::string_view(postings).substr(0, postings.size() - 1)));
}

Status JetStreamSink::make_stream() {
    jsStreamInfo* found = nullptr;
    natsStatus status = js_GetStreamInfo(&found, jetstream_.get(), options_.stream.c_str(), nullptr, nullptr);
    const StreamInfoHandle info(found);
    jsStreamInfo* added = nullptr;
    if (status == NATS_NOT_FOUND) {
        const std::string postings = subject_.pattern();
        const char* subjects[] = {postings.c_str(), options_.dead_letters.c_str()};
        const bool one = is_under_postings(options_.dead_letters);
        jsStreamConfig config;
        jsStreamConfig_Init(&config);
        config.Name = options_.stream.c_str();
        config.Subjects = subjects;
        config.SubjectsLen = one ? 1 : 2;
        config.Storage = js_FileStorage;
        config.DenyDelete = true;
        config.DenyPurge = true;
        status = js_AddStream(&added, jetstream_.get(), &config, nullptr, nullptr);
    }
    const StreamInfoHandle made(added);
    if (status != NATS_OK) return nats_error("E524", fmt::format("{} cannot be used", describe()), status);
    return recall(made != nullptr ? *made : *info);
}

/// Compares the stream with what is known of it.
Status JetStreamSink::recall(const jsStreamInfo& stream) {
    if (run_.incarnation == 0) return {};
    const bool is_another = position_.created && *position_.created != stream.Created;
    if (is_another || stream.State.LastSeq < position_.last_sequence) {
        return Error{"F524",
                     fmt::format("SINK_REGRESSION: {} has accepted postings up to {}, and now {} {}: it was "
                                 "restored or made anew, and postings are missing in it",
                                 describe(), position_.last_sequence,
                                 is_another ? "is another stream, which ends at" : "ends at", stream.State.LastSeq)};
    }
    position_.created = stream.Created;
    if (recalled_) return {};
    if (unconfirmed_) {
        stored_.clear();
        const std::uint64_t first = position_.last_sequence + 1;
        if (Status read = read_back(subject_.pattern(), first); !read.ok()) return read;
        if (!is_under_postings(options_.dead_letters)) {
            if (Status read = read_back(options_.dead_letters, first); !read.ok()) return read;
        }
    } else {
        position_.last_sequence = stream.State.LastSeq;
    }
    recalled_ = true;
    return {};
}

/// Notes the messages of the subject that the stream has from this sequence on, up to the last one that is there now.
/// How many they are the server need not know: 2.9 counts wrongly where a subject has several.
Status JetStreamSink::read_back(const std::string& subject, std::uint64_t first) {
    jsSubOptions options;
    jsSubOptions_Init(&options);
    options.Stream = options_.stream.c_str();
    options.Config.DeliverPolicy = js_DeliverByStartSequence;
    options.Config.OptStartSeq = first;
    options.Config.AckPolicy = js_AckNone;
    options.Config.HeadersOnly = true;
    const auto failed = [&](natsStatus status) {
        return nats_error("E524", fmt::format("{} cannot be read back from {}", describe(), first), status);
    };
    natsMsg* found = nullptr;
    natsStatus status =
        js_GetLastMsg(&found, jetstream_.get(), options_.stream.c_str(), subject.c_str(), nullptr, nullptr);
    const NatsMessageHandle newest(found);
    if (status == NATS_NOT_FOUND) return {};
    if (status != NATS_OK) return failed(status);
    const std::uint64_t last = natsMsg_GetSequence(found);
    if (last < first) return {};
    natsSubscription* made = nullptr;
    status = js_PullSubscribe(&made, jetstream_.get(), subject.c_str(), nullptr, nullptr, &options, nullptr);
    const NatsSubscriptionHandle subscription(made);
    if (status != NATS_OK) return failed(status);
    for (std::uint64_t reached = first - 1; reached < last;) {
        natsMsgList list{};
        // There are not more of them: a client that asks for more may wait for these.
        const int most = static_cast<int>(std::min<std::uint64_t>(last - reached, kReadBackMessages));
        status =
            natsSubscription_Fetch(&list, made, most, options_.ack_timeout / std::chrono::milliseconds(1), nullptr);
        if (status != NATS_OK) return failed(status);
        for (int i = 0; i < list.Count; ++i) {
            natsMsg* const message = list.Msgs[i];
            const std::string_view id = nats_header(message, kIdHeader);
            jsMsgMetaData* meta = nullptr;
            status = natsMsg_GetMetaData(&meta, message);
            if (status != NATS_OK) break;
            reached = meta->Sequence.Stream;
            jsMsgMetaData_Destroy(meta);
            if (!id.empty())
                stored_.try_emplace(std::string(id), Stored{std::string(nats_header(message, kHashHeader)), reached});
        }
        natsMsgList_Destroy(&list);
        if (status != NATS_OK) return failed(status);
    }
    return {};
}

natsStatus JetStreamSink::publish(const Outgoing& message, std::size_t index) {
    const std::string reply = fmt::format("{}.{}.{}", inbox_, round_, index);
    natsMsg* created = nullptr;
    natsStatus status = natsMsg_Create(&created, message.subject.c_str(), reply.c_str(), message.text.data(),
                                       static_cast<int>(message.text.size()));
    const NatsMessageHandle owner(created);
    if (status == NATS_OK) status = natsMsgHeader_Set(created, kIdHeader, message.id.c_str());
    if (status == NATS_OK && !message.hash.empty())
        status = natsMsgHeader_Set(created, kHashHeader, message.hash.c_str());
    if (status == NATS_OK && message.once) status = natsMsgHeader_Set(created, kExpectHeader, "0");
    if (status == NATS_OK) status = natsConnection_PublishMsg(connection_->get(), created);
    return status;
}

Sink::Delivery JetStreamSink::accept(std::uint64_t sequence, std::string reason) {
    position_.last_sequence = std::max(position_.last_sequence, sequence);
    return {State::accepted, fmt::format("{}:{}", options_.stream, sequence), std::move(reason)};
}

Sink::Delivery JetStreamSink::compare(const Outgoing& message, std::uint64_t sequence) {
    const std::string reference = fmt::format("{}:{}", options_.stream, sequence);
    natsMsg* found = nullptr;
    const natsStatus status = js_GetMsg(&found, jetstream_.get(), options_.stream.c_str(), sequence, nullptr, nullptr);
    const NatsMessageHandle stored(found);
    if (status == NATS_NOT_FOUND) return accept(sequence, "stored before, and gone since");
    if (status != NATS_OK)
        return {State::unknown, {}, fmt::format("{} cannot be read back: {}", reference, natsStatus_GetText(status))};
    if (nats_header(found, kIdHeader) != message.id || nats_header(found, kHashHeader) != message.hash)
        return {State::refused, reference, "IDEMPOTENCY_CONFLICT"};
    return accept(sequence);
}

Sink::Delivery JetStreamSink::judge(const Outgoing& message, natsMsg* answer) {
    const std::string_view text = nats_data(answer);
    if (text.empty()) return {State::unknown, {}, "no stream answers"};
    if (text.find("\"error\"") != std::string_view::npos) {
        const std::uint64_t code = number_after(text, "\"err_code\"").value_or(0);
        if (code == kTooLarge) return {State::refused, {}, "TOO_LARGE"};
        if (code == kWrongLastSequence && message.once) {
            if (const auto last = number_after(text, "wrong last sequence")) return compare(message, *last);
        }
        return {State::unknown, {}, std::string(text)};
    }
    const std::optional<std::uint64_t> sequence = number_after(text, "\"seq\"");
    if (!sequence) return {State::unknown, {}, std::string(text)};
    if (text.find("\"duplicate\"") != std::string_view::npos) return compare(message, *sequence);
    return accept(*sequence);
}

Result<std::vector<Sink::Delivery>> JetStreamSink::send(std::vector<Outgoing> messages) {
    if (natsConnection_IsClosed(connection_->get())) {
        // The client gives up for good when a server refuses the same credentials twice.
        if (Status opened = open(); !opened.ok()) return opened.error();
    }
    ++round_;
    const std::string prefix = fmt::format("{}.{}.", inbox_, round_);
    std::vector<Delivery> deliveries(messages.size(), Delivery{State::unknown, {}, "no answer in time"});
    std::vector<Timestamp> deadlines(messages.size(), 0);  // 0: answered, or not sent
    std::size_t next = 0;
    std::size_t oldest = 0;  // all before it are done
    std::int64_t waiting = 0;
    while (next < messages.size() || waiting > 0) {
        while (next < messages.size() && waiting < options_.window) {
            const natsStatus status = publish(messages[next], next);
            if (status == NATS_OK) {
                deadlines[next] = clock_.monotonic() + options_.ack_timeout.count();
                ++waiting;
            } else if (status == NATS_MAX_PAYLOAD) {
                deliveries[next] = {State::refused, {}, "TOO_LARGE"};
            } else {
                deliveries[next].reason = natsStatus_GetText(status);
            }
            ++next;
        }
        natsMsg* received = nullptr;
        const natsStatus status = waiting > 0 ? natsSubscription_NextMsg(&received, answers_.get(), 50) : NATS_TIMEOUT;
        const NatsMessageHandle answer(received);
        if (status == NATS_OK) {
            const std::string_view to = natsMsg_GetSubject(received);
            std::size_t index = messages.size();
            if (to.starts_with(prefix)) std::from_chars(to.data() + prefix.size(), to.data() + to.size(), index);
            if (index < messages.size() && deadlines[index] != 0) {
                deliveries[index] = judge(messages[index], received);
                deadlines[index] = 0;
                --waiting;
            }
            continue;
        }
        const Timestamp now = clock_.monotonic();
        while (oldest < next && deadlines[oldest] == 0) ++oldest;
        for (std::size_t i = oldest; i < next && waiting > 0; ++i) {
            if (deadlines[i] == 0) continue;
            if (deadlines[i] > now) break;
            deadlines[i] = 0;
            --waiting;
        }
    }
    return deliveries;
}

Result<std::vector<Sink::Delivery>> JetStreamSink::deliver(std::span<const Posting> postings) {
    std::vector<Delivery> deliveries(postings.size(), Delivery{State::refused, {}, "OUT_OF_RANGE"});
    std::vector<Outgoing> messages;
    std::vector<std::size_t> places;  // of the messages' postings
    messages.reserve(postings.size());
    places.reserve(postings.size());
    const bool once = subject_.uses("key");
    for (std::size_t i = 0; i < postings.size(); ++i) {
        const Posting& posting = postings[i];
        if (const auto known = stored_.find(posting.key); known != stored_.end()) {
            const bool same = known->second.payload_hash == posting.payload_hash;
            deliveries[i] = accept(known->second.sequence);
            if (!same) {
                deliveries[i].state = State::refused;
                deliveries[i].reason = "IDEMPOTENCY_CONFLICT";
            }
            continue;
        }
        std::optional<std::string> text = message_of(posting, options_.format);
        if (!text) continue;
        messages.push_back({.subject = subject_.of(posting),
                            .id = posting.key,
                            .hash = posting.payload_hash,
                            .text = std::move(*text),
                            .once = once});
        places.push_back(i);
    }
    Result<std::vector<Delivery>> sent = send(std::move(messages));
    if (!sent.ok()) return sent.error();
    for (std::size_t i = 0; i < places.size(); ++i) deliveries[places[i]] = std::move((*sent)[i]);
    return deliveries;
}

Status JetStreamSink::keep(std::span<const DeadLetter> dead_letters) {
    std::vector<Outgoing> messages;
    messages.reserve(dead_letters.size());
    for (const DeadLetter& letter : dead_letters) {
        std::string id = fmt::format("{}-{}-{}{}", letter.source, letter.sequence, letter.part,
                                     letter.replay > 0 ? fmt::format("-{}", letter.replay) : "");
        if (stored_.contains(id)) continue;
        messages.push_back({.subject = options_.dead_letters,
                            .id = std::move(id),
                            .hash = {},
                            .text = message_of(letter, options_.format)});
    }
    const Result<std::vector<Delivery>> sent = send(std::move(messages));
    if (!sent.ok()) return sent.error();
    for (std::size_t i = 0; i < sent->size(); ++i) {
        // A dead letter that is too large to be sent is still in the journal's frame; it must not hold up the rest.
        if ((*sent)[i].state == State::unknown)
            return Error{"E524", fmt::format("{} did not confirm a dead letter: {}", describe(), (*sent)[i].reason)};
    }
    return {};
}

}  // namespace takt
