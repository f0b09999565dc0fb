#include "pipeline/journal/crash_point.h"

#include "pipeline/base/check.h"

#if defined(TAKT_FAULTS) && !defined(TAKT_SIMULATION)
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
        case CrashPoint::incarnation_written:
            return "incarnation_written";
        case CrashPoint::incarnation_named:
            return "incarnation_named";
        case CrashPoint::incarnation_durable:
            return "incarnation_durable";
        case CrashPoint::identity_durable:
            return "identity_durable";
        case CrashPoint::segment_preallocated:
            return "segment_preallocated";
        case CrashPoint::segment_named:
            return "segment_named";
        case CrashPoint::segment_durable:
            return "segment_durable";
        case CrashPoint::first_written:
            return "first_written";
        case CrashPoint::first_durable:
            return "first_durable";
        case CrashPoint::segment_unlinked:
            return "segment_unlinked";
        case CrashPoint::tail_cleared:
            return "tail_cleared";
        case CrashPoint::frame_half:
            return "frame_half";
        case CrashPoint::frame_written:
            return "frame_written";
        case CrashPoint::frame_durable:
            return "frame_durable";
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
    // Crash points lie on the journal's one thread.
    static Order order = order_of_environment();
    if (static_cast<int>(point) == order.point && --order.times_left == 0) std::raise(SIGKILL);
}
#endif

}  // namespace takt
