#pragma once

#include <ucontext.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/base/thread.h"
#include "pipeline/base/time.h"
#include "tests/simulation/chance.h"

namespace takt::simulation {

/// Fibers of one thread on a virtual clock. Time moves only when nobody can go on. One at a time in a process; what
/// `simulated::` offers goes to the one that runs.
class Scheduler {
  public:
    Scheduler(std::uint64_t seed, Timestamp start);
    ~Scheduler();
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;

    /// Runs the body as the first fiber until no fiber is left. Otherwise: why nothing goes on; what the fibers hold is
    /// then lost.
    std::string run(std::function<void()> body);

    Timestamp now() const { return now_; }
    /// The running fiber goes on so much later.
    void sleep(Duration duration) { wait(nullptr, saturating_add(now_, duration)); }
    /// Beyond so many switches a run counts as one that does not come to its end.
    void limit_switches(std::uint64_t switches) { switches_left_ = switches; }

    void wait(const void* on, Timestamp until);
    void wake(const void* on);
    void preempt();
    std::uint64_t start(std::function<void()> body);
    void join(std::uint64_t id);

  private:
    struct Fiber {
        std::uint64_t id = 0;
        std::function<void()> body;
        ucontext_t context{};
        char* stack = nullptr;
        bool ready = true;
        const void* on = nullptr;
        Timestamp until = kEndOfTime;
    };
    static void enter();
    Fiber* next();
    void switch_from(Fiber& fiber);
    void end_running();
    char* take_stack();

    Chance chance_;
    Timestamp now_;
    std::uint64_t switches_left_ = 20'000'000;
    std::uint64_t next_id_ = 1;
    std::vector<std::unique_ptr<Fiber>> fibers_;
    std::unique_ptr<Fiber> ended_;  ///< its stack may be in use until the next switch is done
    Fiber* running_ = nullptr;
    ucontext_t outside_{};
    std::string stuck_;
};

/// The one that runs.
Scheduler& scheduler();

}  // namespace takt::simulation
