#include "pipeline/observe/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <cctype>

namespace takt {
namespace {

std::atomic<LogFormat> format_in_use = LogFormat::logfmt;

/// Escapes for a quoted value; the same escapes are right in JSON and logfmt.
std::string quoted(std::string_view text) {
    std::string out(1, '"');
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (byte < 0x20) {
            out += fmt::format("\\u{:04x}", byte);
        } else {
            out += c;
        }
    }
    out += '"';
    return out;
}

bool plain(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
               std::string_view("._-+:/").find(c) != std::string_view::npos;
    });
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
    switch (level) {
        case LogLevel::debug:
            return spdlog::level::debug;
        case LogLevel::info:
            return spdlog::level::info;
        case LogLevel::warning:
            return spdlog::level::warn;
        case LogLevel::error:
            return spdlog::level::err;
    }
    return spdlog::level::err;
}

spdlog::logger& logger() {
    static spdlog::logger instance = [] {
        spdlog::logger made("takt", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        made.flush_on(spdlog::level::debug);
        return made;
    }();
    return instance;
}

void set_pattern(LogFormat format) {
    logger().set_pattern(format == LogFormat::json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l",%v})"
                                                   : "time=%Y-%m-%dT%H:%M:%S.%fZ level=%l %v",
                         spdlog::pattern_time_type::utc);
}

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view text) {
    if (text == "debug") return LogLevel::debug;
    if (text == "info") return LogLevel::info;
    if (text == "warning") return LogLevel::warning;
    if (text == "error") return LogLevel::error;
    return std::nullopt;
}

std::string format_log(LogFormat format, std::string_view message, std::initializer_list<LogField> fields) {
    if (format == LogFormat::json) {
        std::string line = fmt::format("\"message\":{}", quoted(message));
        for (const LogField& field : fields) line += fmt::format(",{}:{}", quoted(field.name), quoted(field.value));
        return line;
    }
    std::string line = fmt::format("message={}", quoted(message));
    for (const LogField& field : fields) {
        line += fmt::format(" {}={}", field.name, plain(field.value) ? field.value : quoted(field.value));
    }
    return line;
}

void configure_log(LogFormat format, LogLevel level) {
    format_in_use = format;
    set_pattern(format);
    logger().set_level(spdlog_level(level));
}

void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
    static const bool once = [] {
        set_pattern(format_in_use);
        return true;
    }();
    static_cast<void>(once);
    if (!logger().should_log(spdlog_level(level))) return;
    // The line is an argument, never a format: braces in it are its own.
    logger().log(spdlog_level(level), "{}", format_log(format_in_use, message, fields));
}

}  // namespace takt
