#include "cli/exit_codes.h"

#include <fmt/format.h>

#include <cstdio>

namespace takt {

int fail(const Error& error) {
    fmt::print(stderr, "takt: {}\n", error.text());
    return exit_code_of(error);
}

}  // namespace takt
