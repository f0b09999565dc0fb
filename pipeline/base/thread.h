#pragma once

// Threads that wait for each other: the standard library's. In the simulator (TAKT_SIMULATION) they are fibers of one
// thread on a virtual clock: a seed says who goes on, so that one seed replays one run.

#ifndef TAKT_SIMULATION

#include <condition_variable>
#include <mutex>
#include <thread>

namespace takt {

using Thread = std::thread;
using Mutex = std::mutex;
using Condition = std::condition_variable;

}  // namespace takt

#else

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <type_traits>
#include <utility>

#include "pipeline/base/check.h"
#include "pipeline/base/time.h"

namespace takt {

/// What the simulator provides (tests/simulation/scheduler.cc).
namespace simulated {
Timestamp now();
/// The running fiber goes on when somebody wakes `on`, or at this moment, whatever is first.
void wait(const void* on, Timestamp until);
void wake(const void* on);
/// Lets another fiber go on, where the seed says so.
void preempt();
std::uint64_t start(std::function<void()> body);
void join(std::uint64_t fiber);
}  // namespace simulated

class Mutex {
  public:
    void lock() {
        simulated::preempt();
        while (held_) simulated::wait(this, kEndOfTime);
        held_ = true;
    }
    void unlock() {
        held_ = false;
        simulated::wake(this);
    }

  private:
    bool held_ = false;
};

class Condition {
  public:
    void notify_all() { simulated::wake(this); }
    void notify_one() { simulated::wake(this); }
    void wait(std::unique_lock<Mutex>& lock) { wait_until(lock, kEndOfTime); }
    template <typename Predicate>
    void wait(std::unique_lock<Mutex>& lock, Predicate done) {
        while (!done()) wait(lock);
    }
    template <typename Predicate>
    bool wait_for(std::unique_lock<Mutex>& lock, std::chrono::nanoseconds longest, Predicate done) {
        const Timestamp until = saturating_add(simulated::now(), longest.count());
        while (!done()) {
            if (simulated::now() >= until) return false;
            wait_until(lock, until);
        }
        return true;
    }

  private:
    void wait_until(std::unique_lock<Mutex>& lock, Timestamp until) {
        lock.unlock();
        simulated::wait(this, until);
        lock.lock();
    }
};

class Thread {
  public:
    Thread() = default;
    template <typename Body, typename = std::enable_if_t<!std::is_same_v<std::decay_t<Body>, Thread>>>
    explicit Thread(Body&& body) : fiber_(simulated::start(std::forward<Body>(body))) {}
    Thread(Thread&& other) noexcept : fiber_(std::exchange(other.fiber_, 0)) {}
    Thread& operator=(Thread&& other) noexcept {
        CHECK(!joinable());
        fiber_ = std::exchange(other.fiber_, 0);
        return *this;
    }
    ~Thread() { CHECK(!joinable()); }
    bool joinable() const { return fiber_ != 0; }
    void join() { simulated::join(std::exchange(fiber_, 0)); }

  private:
    std::uint64_t fiber_ = 0;
};

}  // namespace takt

#endif
