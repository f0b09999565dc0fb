#include "sources/nats.h"

#include <limits>

namespace takt {

OptionTable<NatsSource::Options> NatsSource::options() {
    OptionTable<Options> table;
    add_nats_options(table);
    table.required("subject", &Options::subject, "what to listen to, with * and >");
    table.optional("queue", &Options::queue, "queue group: its members share the messages");
    table.optional("pending_bytes", &Options::pending_bytes, "what may wait here; more is dropped and counted")
        .from(SizeBytes{64 << 10})
        .to(SizeBytes{1u << 30});
    return table;
}

NatsSource::NatsSource(Options options, Clock& clock) : options_(std::move(options)), clock_(clock) {}
NatsSource::~NatsSource() = default;

std::string NatsSource::describe() const {
    return fmt::format("nats {}{} at {}", options_.subject,
                       options_.queue.empty() ? "" : " (queue " + options_.queue + ")", describe_servers(options_));
}

Status NatsSource::subscribe() {
    dropped_before_ = dropped();
    subscription_.reset();
    connection_.reset();
    Result<std::unique_ptr<NatsConnection>> connected = NatsConnection::connect(options_, NatsConnection::Use::consume);
    if (!connected.ok()) return connected.error();
    connection_ = std::move(connected).value();
    natsSubscription* made = nullptr;
    const natsStatus status = options_.queue.empty()
                                  ? natsConnection_SubscribeSync(&made, connection_->get(), options_.subject.c_str())
                                  : natsConnection_QueueSubscribeSync(&made, connection_->get(),
                                                                      options_.subject.c_str(), options_.queue.c_str());
    if (status == NATS_INVALID_SUBJECT || status == NATS_INVALID_ARG || status == NATS_INVALID_QUEUE_NAME)
        return nats_error("C524", fmt::format("cannot listen to '{}'", options_.subject), status);
    if (status != NATS_OK) return nats_error("E520", fmt::format("cannot listen to {}", describe()), status);
    subscription_.reset(made);
    if (const natsStatus limited = natsSubscription_SetPendingLimits(made, std::numeric_limits<int>::max(),
                                                                     static_cast<int>(options_.pending_bytes.value));
        limited != NATS_OK)
        return nats_error("E520", fmt::format("no limits for {}", describe()), limited);
    // The subscription stands at the server when this returns: what is published from now on is ours.
    if (const natsStatus flushed = natsConnection_FlushTimeout(connection_->get(), 5000); flushed != NATS_OK)
        return nats_error("E520", fmt::format("{} does not answer", describe()), flushed);
    return {};
}

Status NatsSource::open(const SourcePosition& position) {
    next_sequence_ = std::max<std::uint64_t>(position.next_sequence, 1);
    return subscribe();
}

Result<Source::State> NatsSource::read(const Limits& limits, MessageBlock& block) {
    const Timestamp deadline = clock_.monotonic() + limits.wait;
    const auto held = std::make_shared<NatsMessages>();  // shared: becomes the block's keep
    const Timestamp now = clock_.wall();
    block.own_clock = true;
    while (block.messages.size() < limits.messages && block.size_bytes < limits.bytes) {
        const Duration left = block.messages.empty() ? deadline - clock_.monotonic() : 0;
        natsMsg* message = nullptr;
        const natsStatus status = natsSubscription_NextMsg(
            &message, subscription_.get(),
            left <= 0 ? 0 : std::max<Duration>(std::min(left, kNatsWaitSlice) / kMillisecond, 1));
        if (status == NATS_OK) {
            held->take(message);
            const std::string_view data = nats_data(message);
            block.messages.push_back({.data = data,
                                      .subject = natsMsg_GetSubject(message),
                                      .sequence = next_sequence_++,
                                      .ingest_time = now});
            block.size_bytes += data.size();
        } else if (status == NATS_SLOW_CONSUMER) {
            // Said once for each time of dropping; dropped() has the number.
            continue;
        } else if (!block.messages.empty()) {
            break;
        } else if (status != NATS_TIMEOUT && natsConnection_IsClosed(connection_->get())) {
            // The client gives up for good when a server refuses the same credentials twice.
            if (Status again = subscribe(); !again.ok()) return again.error();
        } else if (clock_.monotonic() >= deadline) {
            return State::quiet;
        } else if (status != NATS_TIMEOUT) {
            nats_Sleep(1);
        }
    }
    block.keep = held;
    return State::more;
}

std::uint64_t NatsSource::pending() const {
    int messages = 0;
    int bytes = 0;
    if (!subscription_ || natsSubscription_GetPending(subscription_.get(), &messages, &bytes) != NATS_OK) return 0;
    return static_cast<std::uint64_t>(messages);
}

std::uint64_t NatsSource::dropped() const {
    std::int64_t dropped = 0;
    if (!subscription_ || natsSubscription_GetDropped(subscription_.get(), &dropped) != NATS_OK) return dropped_before_;
    return dropped_before_ + static_cast<std::uint64_t>(dropped);
}

}  // namespace takt
