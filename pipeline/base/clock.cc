#include "pipeline/base/clock.h"

#include <ctime>

#include "pipeline/base/check.h"

namespace takt {
namespace {

Timestamp read_clock(clockid_t id) {
    timespec time{};
    CHECK(clock_gettime(id, &time) == 0);
    return time.tv_sec * kSecond + time.tv_nsec;
}

class SystemClock final : public Clock {
  public:
    Timestamp wall() const override { return read_clock(CLOCK_REALTIME); }
    Timestamp monotonic() const override { return read_clock(CLOCK_BOOTTIME); }
};

}  // namespace

Clock& system_clock() {
    static SystemClock clock;
    return clock;
}

}  // namespace takt
