#include "sinks/nats.h"

namespace takt {

OptionTable<NatsSink::Options> NatsSink::options() {
    using namespace std::chrono_literals;
    OptionTable<Options> table;
    add_nats_options(table);
    table.optional("subject", &Options::subject,
                   "where a posting goes; {type}, {pipeline}, {key}, {revision} and key fields are filled in");
    table.optional("dead_letters", &Options::dead_letters, "where dead letters go");
    table
        .optional("format", &Options::format,
                  "how messages are written: schemas/posting.fbs has the tables of the latter")
        .one_of({{"json", MessageFormat::json}, {"flatbuffers", MessageFormat::flatbuffers}});
    table.optional("timeout", &Options::timeout, "longest wait for the server").from(100ms).to(5min);
    return table;
}

NatsSink::NatsSink(Options options) : options_(std::move(options)) {}
NatsSink::~NatsSink() = default;

std::string NatsSink::describe() const {
    return fmt::format("nats {} at {}", options_.subject, describe_servers(options_));
}

Status NatsSink::open() {
    Result<NatsSubject> subject = NatsSubject::parse(options_.subject);
    if (!subject.ok()) return subject.error();
    subject_ = std::move(subject).value();
    connection_.reset();
    Result<std::unique_ptr<NatsConnection>> connection =
        NatsConnection::connect(options_, NatsConnection::Use::publish);
    if (!connection.ok()) return connection.error();
    connection_ = std::move(connection).value();
    return {};
}

natsStatus NatsSink::publish(const std::string& subject, const std::string& id, const std::string& hash,
                             const std::string& text) {
    natsMsg* created = nullptr;
    natsStatus status = natsMsg_Create(&created, subject.c_str(), nullptr, text.data(), static_cast<int>(text.size()));
    const NatsMessageHandle owner(created);
    if (status == NATS_OK) status = natsMsgHeader_Set(created, "Nats-Msg-Id", id.c_str());
    if (status == NATS_OK && !hash.empty()) status = natsMsgHeader_Set(created, "Takt-Payload-Hash", hash.c_str());
    if (status == NATS_OK) status = natsConnection_PublishMsg(connection_->get(), created);
    return status;
}

Result<std::vector<Sink::Delivery>> NatsSink::deliver(std::span<const Posting> postings) {
    std::vector<Delivery> deliveries(postings.size(), Delivery{State::accepted, {}, {}});
    for (std::size_t i = 0; i < postings.size(); ++i) {
        const Posting& posting = postings[i];
        const std::optional<std::string> text = message_of(posting, options_.format);
        if (!text) {
            deliveries[i] = {State::refused, {}, "OUT_OF_RANGE"};
            continue;
        }
        const natsStatus status = publish(subject_.of(posting), posting.key, posting.payload_hash, *text);
        if (status == NATS_MAX_PAYLOAD) {
            deliveries[i] = {State::refused, {}, "TOO_LARGE"};
        } else if (status != NATS_OK) {
            deliveries[i] = {State::unknown, {}, natsStatus_GetText(status)};
        }
    }
    // The server works in order: when it answers a ping, it has all that came before.
    if (Status flushed = finish(); !flushed.ok()) {
        for (Delivery& delivery : deliveries)
            if (delivery.state == State::accepted) delivery = {State::unknown, {}, flushed.error().message};
    }
    return deliveries;
}

Status NatsSink::keep(std::span<const DeadLetter> dead_letters) {
    for (const DeadLetter& letter : dead_letters) {
        const std::string id = fmt::format("{}-{}-{}", letter.source, letter.sequence, letter.part);
        const natsStatus status = publish(options_.dead_letters, id, {}, message_of(letter, options_.format));
        if (status != NATS_OK && status != NATS_MAX_PAYLOAD)
            return nats_error("E525", fmt::format("{} takes no dead letter", describe()), status);
    }
    return finish();
}

Status NatsSink::finish() {
    const auto wait_ms = std::chrono::duration_cast<std::chrono::milliseconds>(options_.timeout).count();
    if (const natsStatus status = natsConnection_FlushTimeout(connection_->get(), wait_ms); status != NATS_OK)
        return nats_error("E525", fmt::format("{} does not answer", describe()), status);
    return {};
}

}  // namespace takt
