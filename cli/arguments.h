#pragma once

#include <optional>
#include <string>

#include "pipeline/base/time.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace takt {

/// An option that is written as durations are in a config: "90s", "1h30m".
CLI::Option* add_duration(CLI::App& app, const std::string& name, std::optional<Duration>& value,
                          const std::string& help);

/// An option that is an instant, "2026-05-12T06:00:00Z", or the midnight that begins a date in UTC, "2026-05-12".
CLI::Option* add_time(CLI::App& app, const std::string& name, std::optional<Timestamp>& value, const std::string& help);

/// Who gives an order, where nobody else is named: the user of this process.
std::string user_name();

}  // namespace takt
