#pragma once

#include <cstdint>
#include <string_view>

namespace takt {

/// Places between two steps of the write order where a crash test lets the process die. Nothing in builds without the
/// CMake option TAKT_FAULTS.
enum class CrashPoint : std::uint8_t {
    state_locked,         ///< the lock is held, nothing is written
    incarnation_written,  ///< the new incarnation lies under its temporary name, not synchronized
    incarnation_named,    ///< it has its name, the folder is not synchronized
    incarnation_durable,
    identity_durable,
    segment_preallocated,  ///< a new segment lies under its temporary name
    segment_named,         ///< it has its name, the folder is not synchronized
    segment_durable,
    first_written,     ///< the journal's new start lies under its temporary name
    first_durable,     ///< it counts; segments before it are still there
    segment_unlinked,  ///< one of them is gone, the folder is not synchronized
    tail_cleared,      ///< a torn frame is overwritten, not synchronized
    frame_half,        ///< the first half of a frame is written
    frame_written,     ///< all of it, not synchronized
    frame_durable,     ///< synchronized, append has not returned
};
constexpr int kCrashPoints = static_cast<int>(CrashPoint::frame_durable) + 1;

/// "frame_half".
std::string_view to_string(CrashPoint point);

#ifdef TAKT_FAULTS
/// Whether `reach` does anything.
constexpr bool kCrashPointsAreActive = true;
/// Ends the process by SIGKILL where the environment's TAKT_CRASH_AT is this point's name, or "NAME:N" and this is the
/// N-th time. A text that names no point ends it, too, with a message. In the simulator (TAKT_SIMULATION) its own.
void reach(CrashPoint point);
#else
constexpr bool kCrashPointsAreActive = false;
inline void reach(CrashPoint) {}
#endif

}  // namespace takt
