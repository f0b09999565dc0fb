#pragma once

#include <cstdint>
#include <string_view>

namespace takt {

/// Places between two steps of the write order where a crash test lets the process die: behind every write,
/// synchronization, rename and removal. Nothing in builds without TAKT_FAULTS.
enum class CrashPoint : std::uint8_t {
    state_locked,              ///< the lock is held, nothing is written
    owner_written,             ///< who holds it is in its file, for people
    incarnation_written,       ///< the new incarnation lies under its temporary name, not synchronized
    incarnation_synchronized,  ///< it is, and has not yet its name
    incarnation_named,         ///< it has its name, the folder is not synchronized
    incarnation_durable,
    identity_written,  ///< the same of the state directory's identity
    identity_synchronized,
    identity_named,
    identity_durable,
    segment_preallocated,  ///< a new segment lies under its temporary name
    segment_synchronized,  ///< it is, and has not yet its name
    segment_named,         ///< it has its name, the folder is not synchronized
    segment_durable,
    first_written,  ///< the journal's new start lies under its temporary name
    first_synchronized,
    first_named,     ///< it counts until the power fails
    first_durable,   ///< it counts; segments before it are still there
    outbox_written,  ///< what sinks have said of the segments that are to go, under its temporary name
    outbox_synchronized,
    outbox_named,
    outbox_durable,
    segment_unlinked,  ///< one of them is gone, the folder is not synchronized
    segments_gone,     ///< all of them are, and it is
    tail_cleared,      ///< a torn frame is overwritten, not synchronized
    tail_written,      ///< the last frame is written once more, not synchronized
    tail_durable,
    frame_half,             ///< the first half of a frame is written
    frame_written,          ///< all of it, not synchronized
    frame_durable,          ///< synchronized, append has not returned
    snapshot_written,       ///< a state is in its file, not synchronized
    snapshot_synchronized,  ///< its name is not
    snapshot_durable,       ///< it is read back, its name is synchronized; it has no manifest
    manifest_written,       ///< its manifest lies under its temporary name
    manifest_synchronized,
    manifest_named,
    manifest_durable,   ///< the snapshot counts; those beyond the ones that are kept are still there
    manifest_unlinked,  ///< an old one's manifest is gone, the folder is not synchronized
    manifest_gone,      ///< it is, and the state is still there
    snapshot_unlinked,
};
constexpr int kCrashPoints = static_cast<int>(CrashPoint::snapshot_unlinked) + 1;

/// "frame_half".
std::string_view to_string(CrashPoint point);

#ifdef TAKT_FAULTS
/// Whether `reach` does anything.
constexpr bool kCrashPointsAreActive = true;
/// Ends the process by SIGKILL where the environment's TAKT_CRASH_AT is this point's name, or "NAME:N" and this is the
/// N-th time. A text that names no point ends it, too, with a message. In the simulator (TAKT_SIMULATION) its own.
void reach(CrashPoint point);
/// Small segments, where the environment's TAKT_SEGMENT_BYTES says how small, let a short run reach all points.
std::uint64_t segment_bytes_for_crashes(std::uint64_t usual);
#else
constexpr bool kCrashPointsAreActive = false;
inline void reach(CrashPoint) {}
inline std::uint64_t segment_bytes_for_crashes(std::uint64_t usual) {
    return usual;
}
#endif

}  // namespace takt
