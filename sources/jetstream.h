#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/clock.h"
#include "pipeline/plan/source.h"
#include "sources/connection/nats_connection.h"

namespace takt {

/// What the reply subject of a delivered message says about it.
struct JetStreamDelivery {
    std::uint64_t stream_sequence = 0;
    std::uint64_t consumer_sequence = 0;
    Timestamp stored = 0;  ///< the server's time
    std::uint64_t pending = 0;
};

/// Reads `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>` and its longer form
/// with domain and account hash (ADR-15). Nothing when it is neither.
std::optional<JetStreamDelivery> parse_jetstream_reply(std::string_view reply);

/// Reads a JetStream stream by a pull loop of its own over an ephemeral consumer that acknowledges nothing: the
/// position is ours.
///
/// Messages: as stored, in the stream's order; sequence and ingest time are the server's. A filter, deletes and limits
/// leave holes. Bytes:    those of the client's messages, which the block keeps: nothing is copied. Idle:     when the
/// server said that nothing waits, and its heartbeats arrive. Breaks:   a lost connection, a server restart, a deleted
/// consumer and a silent server are mended: a new consumer at the last message
///           taken + 1, after a check of the anchor. `rebuilds()` counts.
/// Anchor:   the stream's creation time, and sequence, store time and digest of the last message taken.
/// Start:    a position without anchor and with sequence 1 starts as `start` says; any other goes on at its sequence.
/// Errors:   C520, C521, E520, E521 of the connection; C522 options; E522 the stream is not there, or JetStream does
/// not answer (only from
///           `open`); F522 the server does not understand us; F523 one message is larger than max_bytes.
///           F530 SOURCE_IDENTITY the stream was re-created; F531 SOURCE_REGRESSION it ends before our position; F532
///           SOURCE_REUSED the message at our position is another one; F533 SOURCE_GAP messages are gone that we have
///           not read (with `on_gap: record` they count as dropped).
/// Limits:   memory is bounded by two requests: 2 * batch messages or 2 * max_bytes.
class JetStreamSource final : public Source {
  public:
    enum class Start : std::uint8_t { first, fresh };
    enum class OnGap : std::uint8_t { halt, record };
    struct Options : NatsConnectionOptions {
        std::string stream;
        std::vector<std::string> subjects;
        Start start = Start::first;
        std::int64_t start_sequence = 0;
        OnGap on_gap = OnGap::halt;
        std::int64_t batch = 1024;
        SizeBytes max_bytes{8u << 20};
        std::chrono::nanoseconds heartbeat = std::chrono::seconds(1);
        std::chrono::nanoseconds request_timeout = std::chrono::seconds(2);
    };
    static OptionTable<Options> options();

    explicit JetStreamSource(Options options, Clock& clock = system_clock());
    ~JetStreamSource() override;

    Status open(const SourcePosition& position) override;
    Result<State> read(const Limits& limits, MessageBlock& block) override;
    SourcePosition position() const override;
    std::uint64_t pending() const override { return pending_.value_or(0); }
    std::uint64_t dropped() const override { return dropped_; }
    std::string describe() const override;

    /// How often the consumer was made anew after a break.
    std::uint64_t rebuilds() const { return rebuilds_; }

  private:
    struct Anchor {
        std::int64_t created = 0;    ///< of the stream; 0: not known yet
        std::uint64_t sequence = 0;  ///< of the last message taken; 0: none
        Timestamp stored = 0;
        std::string digest;
    };
    /// What a message in the inbox means for the loop.
    enum class Turn : std::uint8_t { taken, ignored, rebuild };

    static std::optional<Anchor> parse_anchor(std::string_view text);
    /// No text: an anchor of nothing. F530: it is none of ours.
    Result<Anchor> read_anchor(const std::string& text) const;
    Status connect();
    Status check_stream();
    Status check_anchor(std::uint64_t first_sequence, std::uint64_t last_sequence);
    /// Whether it is there; F532 where another one is.
    Result<bool> check_message(const Anchor& anchor);
    Status check_holes(MessageBlock& block);
    Status lost(std::uint64_t first, std::uint64_t last);
    Status make_consumer();
    void drop_consumer();
    Status request();
    /// Rebuilds now or, while the server does not answer, later; only F and C errors come out.
    Status rebuild();
    Result<Turn> take(natsMsg* message, MessageBlock& block);
    Result<Turn> take_status(natsMsg* message);
    /// After a time without any message.
    Status watch(Timestamp now);
    Status ask_consumer(Timestamp now);

    Options options_;
    Clock& clock_;
    std::unique_ptr<NatsConnection> connection_;
    JetStreamHandle jetstream_;
    NatsSubscriptionHandle inbox_;
    std::string inbox_subject_;
    std::string consumer_;
    std::string next_subject_;
    std::string request_text_;
    std::uint64_t request_bytes_ = 0;

    Anchor anchor_;
    Anchor newest_;  ///< of SourcePosition::newest_anchor; counts until it has been read again
    std::uint64_t next_sequence_ = 1;
    std::uint64_t consumer_sequence_ = 0;
    std::int64_t outstanding_ = 0;
    std::optional<std::uint64_t> pending_;  // nothing: not known
    std::uint64_t reconnects_ = 0;          // of the connection, when the consumer was made
    bool broken_ = false;                   // there is no consumer; rebuild
    Timestamp retry_at_ = 0;
    Duration retry_wait_ = 0;
    Timestamp silent_since_ = 0;                // 0: something came
    Timestamp no_data_since_ = 0;               // 0: a message came
    Timestamp asked_at_ = 0;                    // the consumer's state, while idle
    std::uint64_t asked_pending_at_ = 0;        // the position at which the consumer had messages that did not come
    std::vector<SequenceHole> missing_before_;  // of the next block: found when the stream was opened
    std::vector<SequenceHole> holes_;           // sequences that did not come, and may be lost
    std::size_t holes_told_ = 0;                // of them, in an earlier block
    int too_large_ = 0;                         // requests in a row that ended before their first message
    std::uint64_t dropped_ = 0;
    std::uint64_t rebuilds_ = 0;
};

}  // namespace takt
