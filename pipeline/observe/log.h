#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace takt {

enum class LogLevel : std::uint8_t { debug, info, warning, error };
enum class LogFormat : std::uint8_t { logfmt, json };

/// "debug", "info", "warning", "error".
std::optional<LogLevel> parse_log_level(std::string_view text);

/// One named value of a log line.
struct LogField {
    std::string_view name;
    std::string value;
};

/// The line without its time and level, as both formats write it; for tests and the sink below.
/// logfmt: `message="epoch released" epoch=17`; JSON: `"message":"epoch released","epoch":"17"`.
std::string format_log(LogFormat format, std::string_view message, std::initializer_list<LogField> fields);

/// Where and how much to log; everything goes to stderr. Call before the threads start.
void configure_log(LogFormat format, LogLevel level);

/// Writes one line. Thread-safe. No secrets.
void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

}  // namespace takt
