#include "pipeline/observe/health.h"

#include <fmt/format.h>

#include <algorithm>

namespace takt {
namespace {

std::string with_error(std::string reason, const std::string& error) {
    if (!error.empty()) reason += ": " + error;
    return reason;
}

/// What is wrong with a source by itself; empty: nothing.
std::string complaint(const SourceStatus& source, Timestamp now, Duration limit) {
    const Duration age = now - source.since;
    if (age <= limit) return {};
    if (source.state == SourceStatus::State::opening) {
        return with_error(fmt::format("source {} has not opened for {} s", source.name, age / kSecond),
                          source.last_error);
    }
    if (source.state == SourceStatus::State::quiet) {
        return with_error(fmt::format("source {} has said nothing for {} s", source.name, age / kSecond),
                          source.last_error);
    }
    return {};
}

/// What is wrong with a table by itself; empty: nothing.
std::string complaint(const TableStatus& table, Timestamp now, Duration limit) {
    const Duration age = now - table.since;
    if (table.state == TableStatus::State::current || age <= limit) return {};
    return with_error(fmt::format("table {} {} for {} s", table.name,
                                  table.state == TableStatus::State::loading ? "has not been loaded" : "has been stale",
                                  age / kSecond),
                      table.last_error);
}

std::string what_waits(const EngineStatus& status) {
    for (const SourceStatus& source : status.sources) {
        if (source.queued_messages > 0)
            return fmt::format("{} messages of source {}", source.queued_messages, source.name);
        if (source.pending > 0) return fmt::format("{} messages at source {}", source.pending, source.name);
    }
    if (status.chunks_in_flight > 0) return fmt::format("{} chunks", status.chunks_in_flight);
    return {};
}

}  // namespace

Health judge_health(const EngineStatus& status, Duration limit) {
    if (status.phase == EngineStatus::Phase::failed) return {false, status.error};
    if (status.phase == EngineStatus::Phase::stopped) return {false, "stopped"};
    if (!status.log_error.empty()) return {false, "no epoch becomes durable: " + status.log_error};
    for (const SourceStatus& source : status.sources) {
        if (std::string reason = complaint(source, status.now, limit); !reason.empty()) return {false, reason};
    }
    for (const TableStatus& table : status.tables) {
        if (std::string reason = complaint(table, status.now, limit); !reason.empty()) return {false, reason};
    }
    for (const SinkStatus& sink : status.sinks) {
        const Duration age = status.now - std::max(sink.waiting_since, status.started);
        if (sink.waiting > 0 && sink.waiting_since > 0 && age > limit && !sink.last_error.empty()) {
            return {false, with_error(fmt::format("{} postings have waited {} s for sink {}", sink.waiting,
                                                  age / kSecond, sink.name),
                                      sink.last_error)};
        }
    }
    const Duration still = status.now - std::max(status.last_progress, status.started);
    const std::string waits = what_waits(status);
    if (!waits.empty() && still > limit) {
        return {false, fmt::format("no progress for {} s while {} wait", still / kSecond, waits)};
    }
    return {true, waits.empty() ? "nothing waits" : fmt::format("epoch {}", status.epoch)};
}

}  // namespace takt
