#include "cli/arguments.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

namespace takt {

CLI::Option* add_duration(CLI::App& app, const std::string& name, std::optional<Duration>& value,
                          const std::string& help) {
    const auto read = [&value, name](const std::string& text) {
        value = parse_duration(text);
        if (!value) throw CLI::ValidationError(name, "'" + text + "' is no duration such as 90s or 1h30m");
    };
    return app.add_option_function<std::string>(name, read, help)->type_name("DURATION");
}

CLI::Option* add_time(CLI::App& app, const std::string& name, std::optional<Timestamp>& value,
                      const std::string& help) {
    const auto read = [&value, name](const std::string& text) {
        value = parse_timestamp(text);
        if (!value) value = parse_timestamp(text + "T00:00:00Z");
        if (!value) throw CLI::ValidationError(name, "'" + text + "' is no time such as 2026-05-12T06:00:00Z");
    };
    return app.add_option_function<std::string>(name, read, help)->type_name("TIME");
}

std::string user_name() {
    const passwd* user = ::getpwuid(::getuid());
    return user != nullptr && user->pw_name[0] != '\0' ? user->pw_name : fmt::format("user {}", ::getuid());
}

}  // namespace takt
