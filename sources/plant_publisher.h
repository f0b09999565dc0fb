#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "pipeline/base/clock.h"
#include "sources/connection/nats_connection.h"
#include "sources/plant_simulator.h"

namespace takt {

/// What `takt sim` publishes, and where to.
struct PlantPublishOptions : NatsConnectionOptions, PlantOptions {
    std::string stream = "PLANT";
    SizeBytes stream_limit{8u << 30};
    std::chrono::nanoseconds duration{0};
    std::int64_t events = 0;
    SizeBytes message_bytes{16 << 10};
    std::int64_t window = 512;
    bool json = false;
    std::string file;
    std::string master_data;

    static OptionTable<PlantPublishOptions> options();
};

struct PlantPublished {
    std::uint64_t events = 0;
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;
    std::uint64_t confirmed = 0;  ///< messages that the stream says it stored
    std::uint64_t unknown = 0;    ///< messages whose answer was lost: stored or not
    Duration elapsed = 0;
};

/// Lets a simulated plant publish to a JetStream stream (subjects plant.>, made when it is missing, its oldest messages
/// go beyond `stream_limit`), at `rate`, until `duration` or `events` is over, `stop` is set or, when neither is given,
/// for ever. With `file` it writes a file instead, as fast as it can: size-prefixed FlatBuffers or JSON lines. With
/// `master_data` it first writes the tables there. `progress` is called about once a second. At most `window` messages
/// wait for their answer.
///
/// Errors: those of PlantSimulator and NatsConnection; C532 a file needs `events` or `duration`; E532 the stream
/// refuses a message or cannot be made; E533 the file cannot be written.
Result<PlantPublished> publish_plant(const PlantPublishOptions& options, const std::atomic<bool>& stop,
                                     const std::function<void(const PlantPublished&)>& progress = {},
                                     Clock& clock = system_clock());

}  // namespace takt
