#pragma once

#include <memory>
#include <string>

#include "pipeline/base/clock.h"
#include "pipeline/plan/source.h"
#include "sources/connection/nats_connection.h"

namespace takt {

/// Listens to a core NATS subject, alone or as a member of a queue group. At most once: what passes while we are not
/// connected, or while `pending_bytes` wait here already, is gone. Dropped messages are counted where we can know of
/// them.
///
/// Messages: in the order in which they arrived; the sequence counts those that we took, from the position on. Ingest
/// time: our clock. Bytes:    those of the client's messages, which the block keeps: nothing is copied. Position: has
/// no anchor: nothing can be read again. Idle:     never: nobody says that nothing is there. Errors:   C520, C521,
/// E520, E521 of the connection; C524 a subject that is none.
class NatsSource final : public Source {
  public:
    struct Options : NatsConnectionOptions {
        std::string subject;
        std::string queue;
        SizeBytes pending_bytes{256u << 20};
    };
    static OptionTable<Options> options();

    explicit NatsSource(Options options, Clock& clock = system_clock());
    ~NatsSource() override;

    Status open(const SourcePosition& position) override;
    Result<State> read(const Limits& limits, MessageBlock& block) override;
    SourcePosition position() const override { return {.next_sequence = next_sequence_, .anchor = {}}; }
    std::uint64_t pending() const override;
    std::uint64_t dropped() const override;
    std::string describe() const override;

  private:
    Status subscribe();

    Options options_;
    Clock& clock_;
    std::unique_ptr<NatsConnection> connection_;
    NatsSubscriptionHandle subscription_;
    std::uint64_t next_sequence_ = 1;
    std::uint64_t dropped_before_ = 0;  // by earlier subscriptions
};

}  // namespace takt
