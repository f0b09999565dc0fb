#pragma once

namespace takt {

/// Prints the place and the broken statement to stderr and aborts. Used by CHECK only.
[[noreturn]] void check_failed(const char* statement, const char* file, int line);

}  // namespace takt

/// States what only our own mistake can break; stays on in every build.
#define CHECK(statement) \
    (__builtin_expect(static_cast<bool>(statement), 1) ? void(0) : ::takt::check_failed(#statement, __FILE__, __LINE__))
