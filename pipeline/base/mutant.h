#pragma once

#include <string_view>

namespace takt {

// Planted mistakes, so that tests show what they would find (tests/mutants/run). Only the build of the CMake option
// TAKT_MUTANTS has them; in every other one `mutant` is false at compile time and nothing of them is left.

#ifdef TAKT_MUTANTS
/// Whether this is the mistake that the environment's TAKT_MUTANT names.
bool mutant(std::string_view name);
#else
constexpr bool mutant(std::string_view) {
    return false;
}
#endif

}  // namespace takt
