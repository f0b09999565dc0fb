#include "pipeline/journal/crash_point.h"

#include "pipeline/base/check.h"

#ifdef TAKT_FAULTS
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#endif

namespace takt {

std::string_view to_string(CrashPoint point) {
    switch (point) {
        case CrashPoint::state_locked:
            return "state_locked";
        case CrashPoint::owner_written:
            return "owner_written";
        case CrashPoint::incarnation_written:
            return "incarnation_written";
        case CrashPoint::incarnation_synchronized:
            return "incarnation_synchronized";
        case CrashPoint::incarnation_named:
            return "incarnation_named";
        case CrashPoint::incarnation_durable:
            return "incarnation_durable";
        case CrashPoint::identity_written:
            return "identity_written";
        case CrashPoint::identity_synchronized:
            return "identity_synchronized";
        case CrashPoint::identity_named:
            return "identity_named";
        case CrashPoint::identity_durable:
            return "identity_durable";
        case CrashPoint::segment_preallocated:
            return "segment_preallocated";
        case CrashPoint::segment_synchronized:
            return "segment_synchronized";
        case CrashPoint::segment_named:
            return "segment_named";
        case CrashPoint::segment_durable:
            return "segment_durable";
        case CrashPoint::first_written:
            return "first_written";
        case CrashPoint::first_synchronized:
            return "first_synchronized";
        case CrashPoint::first_named:
            return "first_named";
        case CrashPoint::first_durable:
            return "first_durable";
        case CrashPoint::outbox_written:
            return "outbox_written";
        case CrashPoint::outbox_synchronized:
            return "outbox_synchronized";
        case CrashPoint::outbox_named:
            return "outbox_named";
        case CrashPoint::outbox_durable:
            return "outbox_durable";
        case CrashPoint::segment_unlinked:
            return "segment_unlinked";
        case CrashPoint::segments_gone:
            return "segments_gone";
        case CrashPoint::tail_cleared:
            return "tail_cleared";
        case CrashPoint::tail_written:
            return "tail_written";
        case CrashPoint::tail_durable:
            return "tail_durable";
        case CrashPoint::frame_half:
            return "frame_half";
        case CrashPoint::frame_written:
            return "frame_written";
        case CrashPoint::frame_durable:
            return "frame_durable";
        case CrashPoint::snapshot_written:
            return "snapshot_written";
        case CrashPoint::snapshot_synchronized:
            return "snapshot_synchronized";
        case CrashPoint::snapshot_durable:
            return "snapshot_durable";
        case CrashPoint::manifest_written:
            return "manifest_written";
        case CrashPoint::manifest_synchronized:
            return "manifest_synchronized";
        case CrashPoint::manifest_named:
            return "manifest_named";
        case CrashPoint::manifest_durable:
            return "manifest_durable";
        case CrashPoint::manifest_unlinked:
            return "manifest_unlinked";
        case CrashPoint::manifest_gone:
            return "manifest_gone";
        case CrashPoint::snapshot_unlinked:
            return "snapshot_unlinked";
    }
    check_failed("unknown crash point", __FILE__, __LINE__);
}

#if defined(TAKT_FAULTS) && !defined(TAKT_SIMULATION)
namespace {

struct Order {
    int point = -1;  // none
    std::uint64_t times_left = 1;
};

Order order_of_environment() {
    const char* const text = std::getenv("TAKT_CRASH_AT");
    if (text == nullptr || *text == '\0') return {};
    std::string_view name = text;
    Order order;
    if (const std::size_t colon = name.find(':'); colon != std::string_view::npos) {
        const std::string_view count = name.substr(colon + 1);
        const auto [stop, error] = std::from_chars(count.data(), count.data() + count.size(), order.times_left);
        if (error != std::errc{} || stop != count.data() + count.size()) order.times_left = 0;
        name = name.substr(0, colon);
    }
    for (int point = 0; point < kCrashPoints; ++point) {
        if (to_string(static_cast<CrashPoint>(point)) == name) order.point = point;
    }
    if (order.point < 0 || order.times_left == 0) {
        std::fprintf(stderr, "TAKT_CRASH_AT=%s names no crash point\n", text);
        std::abort();
    }
    return order;
}

}  // namespace

void reach(CrashPoint point) {
    static const Order order = order_of_environment();
    static std::atomic<std::uint64_t> times_left = order.times_left;  // the snapshots have a thread of their own
    if (static_cast<int>(point) == order.point && --times_left == 0) std::raise(SIGKILL);
}
#endif

#ifdef TAKT_FAULTS
std::uint64_t segment_bytes_for_crashes(std::uint64_t usual) {
    const char* const text = std::getenv("TAKT_SEGMENT_BYTES");
    return text == nullptr ? usual : std::strtoull(text, nullptr, 10);
}
#endif

}  // namespace takt
