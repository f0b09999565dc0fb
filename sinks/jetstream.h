#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "pipeline/base/clock.h"
#include "pipeline/plan/sink.h"
#include "sinks/message_format.h"
#include "sinks/nats_subject.h"
#include "sources/connection/nats_connection.h"

namespace takt {

/// Publishes postings to a JetStream stream, as JSON or FlatBuffers, each with the headers Nats-Msg-Id (its key) and
/// Takt-Payload-Hash.
///
/// Accepted:     the stream answered that it stored the posting, or has stored it before with the same payload hash;
///               reference "STREAM:SEQUENCE".
/// Refused:      IDEMPOTENCY_CONFLICT: the stream holds the key with another payload hash; TOO_LARGE: the server takes
///               no such message; OUT_OF_RANGE: the format has no exact place for a number.
/// Unknown:      no answer within `ack_timeout`, or one that may be different later.
/// Fence:        with {key} in the subject, as by default, each posting has a subject of its own and the stream is
/// asked
///               to take it only while that subject is empty (Nats-Expected-Last-Subject-Sequence: 0). So a posting
///               that comes again, from a retry, a replay or a second process, takes no effect for as long as the
///               stream keeps the first one. Without {key} that holds within the stream's duplicate window only
///               (2 minutes unless the stream says otherwise).
/// Restart:      where the pipeline keeps its state, `open` reads back what the stream got since the last posting that
/// is
///               known to be accepted. What is there is not sent again, however long ago it was sent.
/// Dead letters: to `dead_letters`, read back as postings are; else once by (source, sequence, part) within the
///               duplicate window. Summaries are not kept.
/// Stream:       made by `open` when it is missing: file storage, no deletes, no purges.
/// Errors:       those of NatsConnection; C525 a subject; E524 the stream cannot be made, or does not answer; F524 the
///               stream has lost postings that it had accepted.
class JetStreamSink final : public Sink {
  public:
    struct Options : NatsConnectionOptions {
        std::string stream = "LEDGER";
        std::string subject = "ledger.{type}.{key}";
        std::string dead_letters = "ledger.dead_letters";
        MessageFormat format = MessageFormat::json;
        std::int64_t window = 256;
        std::chrono::nanoseconds ack_timeout = std::chrono::seconds(5);
    };
    static OptionTable<Options> options();

    explicit JetStreamSink(Options options, Clock& clock = system_clock());
    ~JetStreamSink() override;

    void resume(const Past& past) override;
    Status open() override;
    Result<std::vector<Delivery>> deliver(std::span<const Posting> postings) override;
    Status keep(std::span<const DeadLetter> dead_letters) override;
    Status summarize(std::span<const OutcomeCount>) override { return {}; }
    Status finish() override { return {}; }
    SinkPosition position() const override { return position_; }
    std::string describe() const override;

  private:
    struct Outgoing;
    /// A message that the stream had when this start found it.
    struct Stored {
        std::string payload_hash;
        std::uint64_t sequence = 0;
    };

    Status make_stream();
    Status recall(const jsStreamInfo& stream);
    Status read_back(const std::string& subject, std::uint64_t first);
    bool is_under_postings(const std::string& subject) const;
    Result<std::vector<Delivery>> send(std::vector<Outgoing> messages);
    natsStatus publish(const Outgoing& message, std::size_t index);
    Delivery judge(const Outgoing& message, natsMsg* answer);
    /// The stream says that it has this one already: is it the same?
    Delivery compare(const Outgoing& message, std::uint64_t sequence);
    Delivery accept(std::uint64_t sequence, std::string reason = {});

    Options options_;
    Clock& clock_;
    std::unique_ptr<NatsConnection> connection_;
    JetStreamHandle jetstream_;
    NatsSubscriptionHandle answers_;
    std::string inbox_;
    NatsSubject subject_;
    RunIdentity run_;
    SinkPosition position_;
    bool unconfirmed_ = false;                        // the stream may have more of ours than position_ says
    bool recalled_ = false;                           // ... and `open` has found out
    std::unordered_map<std::string, Stored> stored_;  // by key; what was read back
    std::uint64_t round_ = 0;                         // of `send`: answers of earlier rounds come too late
};

}  // namespace takt
