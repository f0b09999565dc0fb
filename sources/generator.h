#pragma once

#include <memory>
#include <string>

#include "pipeline/base/clock.h"
#include "pipeline/plan/source.h"
#include "sources/plant_simulator.h"

namespace takt {

/// A simulated plant in the same process: for trying things out, benchmarks and tests that need the same events each
/// time.
///
/// Messages: FlatBuffers events (schemas/event.fbs), several in one message up to `message_bytes` (then size-prefixed)
/// or one each (0, not
///           prefixed), or JSON objects. Subject: "plant.P100.reading" of the message's first event. Ingest time: the
///           recorded time of the first event. The sequence counts messages.
/// Position: a start in the middle makes the messages before it once more and throws them away.
/// Pace:     as fast as it is read; with `paced` at `rate` by the clock.
/// Errors:   those of PlantSimulator; F512 SOURCE_IDENTITY the position belongs to a plant with other options.
class GeneratorSource final : public Source {
  public:
    struct Options : PlantOptions {
        bool json = false;  ///< follows from the source's `format`
        std::int64_t events = 0;
        SizeBytes message_bytes{64 << 10};
        bool paced = false;
    };
    /// Without `json`.
    static OptionTable<Options> options();

    explicit GeneratorSource(Options options, Clock& clock = system_clock());
    ~GeneratorSource() override;

    Status open(const SourcePosition& position) override;
    Result<State> read(const Limits& limits, MessageBlock& block) override;
    SourcePosition position() const override;
    std::string describe() const override;

    /// Appends messages with this many events to the (empty) block, the last message maybe smaller. After `open`.
    void fill(std::size_t events, MessageBlock& block);

  private:
    /// Messages with at most `events` events.
    void fill(std::size_t events, std::size_t messages, std::size_t bytes, MessageBlock& block);
    std::string identity() const;

    Options options_;
    Clock& clock_;
    std::unique_ptr<PlantSimulator> plant_;
    std::uint64_t next_sequence_ = 1;
    Timestamp started_ = 0;
    std::uint64_t events_before_ = 0;  // made before `started_`
};

}  // namespace takt
