#pragma once

namespace takt {

/// Brings the cache line of `at` near, which need not be readable. Without the empty statement GCC 12 takes a function
/// that does nothing else for one without effects, and drops the calls of it.
inline void prefetch(const void* at) {
    __builtin_prefetch(at);
    asm volatile("");
}

}  // namespace takt
