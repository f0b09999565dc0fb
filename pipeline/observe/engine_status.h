#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/base/int128.h"
#include "pipeline/base/time.h"

namespace takt {

struct OutcomeStatus {
    std::string outcome;  ///< accepted, duplicate, filtered, dead_letter
    std::string rule;
    std::string owner;  ///< of dead letters
    std::uint64_t count = 0;
};

struct PostingStatus {
    std::string type;
    std::string currency;  ///< empty: no amount
    std::uint64_t count = 0;
    std::uint64_t revisions = 0;  ///< of them, those that correct an earlier one
    Int128 amount = 0;            ///< sum of differences, in units of amount_scale
    int amount_scale = 2;
};

/// An equation of the audit (docs/audit.md).
struct EquationStatus {
    std::string name;  ///< "double entry"
    bool balances = true;
};

/// A number of a step in one unit, in units of 10^-scale, since the first epoch.
struct ValueStatus {
    std::string step;
    std::string measure;
    std::string unit;
    int scale = 0;
    Int128 told = 0;      ///< posted or sent on, with what rounding left out
    Int128 rounding = 0;  ///< of it
    Int128 open = 0;      ///< in open windows; 0 where that is not known
};

struct SourceStatus {
    enum class State : std::uint8_t { opening, reading, idle, quiet, ended };
    std::string name;
    std::string description;
    State state = State::opening;
    Timestamp since = 0;              ///< monotonic: when it came into this state
    std::uint64_t last_sequence = 0;  ///< taken into an epoch
    std::uint64_t queued_messages = 0;
    std::uint64_t queued_bytes = 0;
    std::uint64_t pending = 0;  ///< known to wait at the other side
    std::uint64_t dropped = 0;  ///< lost before we could read them
    std::vector<std::pair<std::string, std::uint64_t>> holes =
        {};  ///< sequences without a message in epochs, by why: "deleted"; since the first epoch
    std::uint64_t retries = 0;
    std::string last_error;  ///< empty when all is well
};

struct SinkStatus {
    std::string name;
    std::string description;
    std::uint64_t accepted = 0;
    std::uint64_t refused = 0;
    std::uint64_t waiting = 0;     ///< postings that were made and have no answer yet
    std::uint64_t held = 0;        ///< refused or parked, since the state was begun: they wait for a person
    std::uint64_t blocked = 0;     ///< of them, those that correct one that is held, and were not sent
    std::uint64_t sent_again = 0;  ///< made before this start, and sent because no answer was known
    std::uint64_t dead_letters = 0;
    std::uint64_t retries = 0;
    Timestamp waiting_since = 0;  ///< monotonic: when the oldest of them was made; 0: none
    std::string last_refusal;
    std::string last_error;  ///< empty when all is well
};

/// A table that follows its origin while the pipeline runs.
struct TableStatus {
    enum class State : std::uint8_t {
        loading,  ///< its first content is not there yet; sources wait for it
        current,  ///< what its origin told is here
        stale,    ///< its origin cannot be reached, or is read again: the last content stands
    };
    std::string name;
    std::string description;
    State state = State::loading;
    Timestamp since = 0;         ///< monotonic: when it came into this state
    std::uint64_t rows = 0;      ///< that steps find
    std::uint64_t revision = 0;  ///< of the last change that they find
    std::uint64_t changes = 0;   ///< that took effect, the first content included
    std::uint64_t refused = 0;   ///< values that are no rows of the table; what stood before them holds
    std::uint64_t retries = 0;   ///< attempts to open it that failed and were repeated
    std::string last_refusal;
    std::string last_error;  ///< empty when all is well
};

struct StateStatus {
    std::string step;
    std::uint64_t entries = 0;
    std::uint64_t size_bytes = 0;
};

/// How long epochs took, from their first message to the release of their postings.
struct EpochDurations {
    static constexpr std::array<double, 10> kBoundsSeconds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10};
    std::array<std::uint64_t, kBoundsSeconds.size() + 1> counts =
        {};  ///< not cumulative; the last one is beyond all bounds
    double sum_s = 0;

    void add(Duration duration);
};

/// A moment of a running engine, as the terminal, /metrics and /healthz show it. A plain value.
struct EngineStatus {
    enum class Phase : std::uint8_t { starting, running, draining, stopped, failed };
    std::string pipeline;
    Phase phase = Phase::starting;
    std::string error;            ///< of `failed`
    Timestamp started = 0;        ///< monotonic
    Timestamp now = 0;            ///< monotonic, when this was taken
    Timestamp last_progress = 0;  ///< monotonic: an epoch was released or a sink took something
    std::string log_error;        ///< why the epoch that is next cannot be made durable yet; empty: it can

    std::uint64_t messages = 0;
    std::uint64_t message_bytes = 0;
    std::uint64_t events = 0;             ///< = sum of outcomes
    std::vector<OutcomeStatus> outcomes;  ///< only those that occurred
    std::vector<PostingStatus> postings;  ///< by type, currency
    std::uint64_t dead_letters = 0;       ///< records, those of panes included

    std::vector<EquationStatus> equations;  ///< as the last epoch left them; empty: there was none
    std::vector<ValueStatus> values;        ///< by step, measure, unit

    std::uint64_t epoch = 0;  ///< the last one that was released; 0: none
    Timestamp watermark = kBeginningOfTime;
    Duration lag = 0;  ///< wall clock minus ingest time of the newest message that an epoch took; 0 when nothing waits
    EpochDurations epoch_durations;

    std::uint64_t chunks_in_flight = 0;
    std::uint64_t chunks_limit = 0;
    std::uint64_t bytes_in_flight = 0;
    std::uint64_t bytes_limit = 0;

    std::vector<SourceStatus> sources;
    std::vector<SinkStatus> sinks;
    std::vector<TableStatus> tables;  ///< only those that change while the pipeline runs
    std::vector<StateStatus> states;
};

std::string_view to_string(EngineStatus::Phase phase);
std::string_view to_string(SourceStatus::State state);
std::string_view to_string(TableStatus::State state);

}  // namespace takt
