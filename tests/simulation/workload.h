#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/base/time.h"
#include "pipeline/plan/plan.h"
#include "tests/simulation/chance.h"

namespace takt::simulation {

/// What the plant says. As bytes: "ID KEY KIND NANOSECONDS QUANTITY", the quantity in thousandths.
struct Event {
    std::uint64_t id = 0;
    std::uint64_t key = 0;
    enum Kind : std::uint8_t { make, run, single, noise } kind = make;
    Timestamp time = 0;
    std::int64_t quantity = 0;
    bool operator==(const Event&) const = default;
};
std::string_view to_string(Event::Kind kind);
std::string to_text(const Event& event);

/// A message of a stream, as the server keeps it.
struct Stored {
    Event event;
    bool malformed = false;
    std::string bytes;
    std::uint64_t sequence = 0;
    Timestamp published = 0;  ///< when the server has it
};

/// One source: messages by sequence, with holes.
using Stream = std::vector<Stored>;

/// The rules below, as the config has them.
constexpr Duration kOutOfOrder = 15 * kSecond;
constexpr Duration kIdle = 60 * kSecond;
constexpr Duration kFuture = 10 * kMinute;
constexpr Duration kHorizon = 20 * kMinute;
constexpr Duration kWindow = 1 * kMinute;
constexpr Duration kLateness = 90 * kSecond;
constexpr Duration kSessionGap = 30 * kSecond;
constexpr Duration kSessionLateness = 2 * kMinute;
constexpr std::size_t kSources = 2;
constexpr const char* kSourceNames[kSources] = {"left", "right"};

/// A pipeline with real steps: noise is filtered, ids are taken once, negative quantities are dead letters. `make` is
/// summed up by key and minute and posted as `made`; `run` in sessions, whose differences are posted as `ran`; each
/// `single` is posted by itself. Sinks: `ledger` takes everything, `audit` takes `made`. Their connectors and those of
/// the sources `left` and `right` are for the caller to set.
std::unique_ptr<Plan> make_plan();

/// Events of some minutes in two streams: retries in either of them, conflicts, late and future ones, broken messages,
/// bursts, pauses.
std::vector<Stream> make_streams(Chance& chance, Timestamp start);

/// A message that nobody has said before. It shows in what an epoch makes.
Stored stranger(std::uint64_t sequence, Timestamp published, Chance& chance);

/// Puts so many of them behind the stream's last message.
void continue_stream(Stream& stream, std::uint64_t count, Chance& chance, Timestamp now);

}  // namespace takt::simulation
