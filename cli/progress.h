#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/observe/engine_status.h"

namespace takt {

/// A running pipeline for people. Pure functions of what the engine says.

/// Several lines, each at most `width` characters: rates since `before`, outcomes, postings, sinks, the audit.
std::vector<std::string> render_live(const EngineStatus& now, const EngineStatus& before, Timestamp wall,
                                     std::size_t width);

/// The same as one line, for logs and pipes.
std::string render_plain(const EngineStatus& now, const EngineStatus& before);

/// What became of everything, at the end: events by outcome, which add up to what came in, postings by type with their
/// totals, sinks, throughput.
std::string render_summary(const EngineStatus& status);

/// "1 284 310".
std::string group_digits(std::uint64_t number);
/// "3 m 12 s", "850 ms".
std::string show_elapsed(Duration duration);

}  // namespace takt
