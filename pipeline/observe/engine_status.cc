#include "pipeline/observe/engine_status.h"

#include <algorithm>

#include "pipeline/base/check.h"

namespace takt {

void EpochDurations::add(Duration duration) {
    const double seconds = static_cast<double>(duration) / static_cast<double>(kSecond);
    const auto bound = std::lower_bound(kBoundsSeconds.begin(), kBoundsSeconds.end(), seconds);
    ++counts[static_cast<std::size_t>(bound - kBoundsSeconds.begin())];
    sum_s += seconds;
}

std::string_view to_string(EngineStatus::Phase phase) {
    switch (phase) {
        case EngineStatus::Phase::starting:
            return "starting";
        case EngineStatus::Phase::running:
            return "running";
        case EngineStatus::Phase::draining:
            return "draining";
        case EngineStatus::Phase::stopped:
            return "stopped";
        case EngineStatus::Phase::failed:
            return "failed";
    }
    check_failed("unknown phase", __FILE__, __LINE__);
}

std::string_view to_string(SourceStatus::State state) {
    switch (state) {
        case SourceStatus::State::opening:
            return "opening";
        case SourceStatus::State::reading:
            return "reading";
        case SourceStatus::State::idle:
            return "idle";
        case SourceStatus::State::quiet:
            return "quiet";
        case SourceStatus::State::ended:
            return "ended";
    }
    check_failed("unknown state", __FILE__, __LINE__);
}

std::string_view to_string(TableStatus::State state) {
    switch (state) {
        case TableStatus::State::loading:
            return "loading";
        case TableStatus::State::current:
            return "current";
        case TableStatus::State::stale:
            return "stale";
    }
    check_failed("unknown state", __FILE__, __LINE__);
}

}  // namespace takt
