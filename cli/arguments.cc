#include "cli/arguments.h"

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

}  // namespace takt
