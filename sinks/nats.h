#pragma once

#include <memory>
#include <string>

#include "pipeline/plan/sink.h"
#include "sinks/message_format.h"
#include "sinks/nats_subject.h"
#include "sources/connection/nats_connection.h"

namespace takt {

/// Publishes postings and dead letters as JSON or FlatBuffers to core NATS subjects, with the headers Nats-Msg-Id and
/// Takt-Payload-Hash. Nobody needs to listen, and nothing remembers a key: a posting that is sent again arrives again.
/// For screens and loose ends, not for a ledger.
///
/// Accepted: the server has taken the message. Unknown: it did not answer within `timeout`. Refused: TOO_LARGE;
///           OUT_OF_RANGE: the format has no exact place for a number.
/// Errors:   those of NatsConnection; C525 a subject; E525 the server does not answer.
class NatsSink final : public Sink {
  public:
    struct Options : NatsConnectionOptions {
        std::string subject = "ledger.{type}";
        std::string dead_letters = "ledger.dead_letters";
        MessageFormat format = MessageFormat::json;
        std::chrono::nanoseconds timeout = std::chrono::seconds(5);
    };
    static OptionTable<Options> options();

    explicit NatsSink(Options options);
    ~NatsSink() override;

    Status open() override;
    Result<std::vector<Delivery>> deliver(std::span<const Posting> postings) override;
    Status keep(std::span<const DeadLetter> dead_letters) override;
    Status summarize(std::span<const OutcomeCount>) override { return {}; }
    Status finish() override;
    std::string describe() const override;

  private:
    natsStatus publish(const std::string& subject, const std::string& id, const std::string& hash,
                       const std::string& text);

    Options options_;
    std::unique_ptr<NatsConnection> connection_;
    NatsSubject subject_;
};

}  // namespace takt
