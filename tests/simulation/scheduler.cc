#include "tests/simulation/scheduler.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "pipeline/base/check.h"

namespace takt::simulation {
namespace {

constexpr std::size_t kStackBytes = 512u << 10;
constexpr std::size_t kGuardBytes = 4096;
constexpr std::uint64_t kPreemptOneIn = 12;

Scheduler* active = nullptr;
std::vector<char*> free_stacks;

}  // namespace

Scheduler& scheduler() {
    CHECK(active != nullptr);
    return *active;
}

Scheduler::Scheduler(std::uint64_t seed, Timestamp start) : chance_(seed), now_(start) {
    CHECK(active == nullptr);
    active = this;
}

Scheduler::~Scheduler() {
    active = nullptr;
}

char* Scheduler::take_stack() {
    if (!free_stacks.empty()) {
        char* const stack = free_stacks.back();
        free_stacks.pop_back();
        return stack;
    }
    void* const memory =
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED && mprotect(memory, kGuardBytes, PROT_NONE) == 0);
    return static_cast<char*>(memory);
}

std::uint64_t Scheduler::start(std::function<void()> body) {
    auto fiber = std::make_unique<Fiber>();
    fiber->id = next_id_++;
    fiber->body = std::move(body);
    fiber->stack = take_stack();
    CHECK(getcontext(&fiber->context) == 0);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = kStackBytes;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, &Scheduler::enter, 0);
    fibers_.push_back(std::move(fiber));
    return fibers_.back()->id;
}

void Scheduler::enter() {
    active->running_->body();
    active->end_running();
}

void Scheduler::end_running() {
    if (ended_ != nullptr) free_stacks.push_back(ended_->stack);
    const auto self = std::find_if(fibers_.begin(), fibers_.end(), [&](const auto& f) { return f.get() == running_; });
    ended_ = std::move(*self);
    fibers_.erase(self);
    ended_->body = nullptr;
    wake(ended_.get());
    Fiber* const after = next();
    running_ = after;
    setcontext(after != nullptr ? &after->context : &outside_);
    CHECK(!"a fiber that has ended goes on");
}

/// Whoever goes on; null: nobody is left, or nobody can.
Scheduler::Fiber* Scheduler::next() {
    while (!fibers_.empty()) {
        std::size_t ready = 0;
        Timestamp soonest = kEndOfTime;
        for (const auto& fiber : fibers_) {
            if (!fiber->ready && fiber->until <= now_) fiber->ready = true;
            ready += fiber->ready ? 1 : 0;
            soonest = std::min(soonest, fiber->until);
        }
        if (switches_left_ == 0) {
            stuck_ = "it does not come to its end";
            return nullptr;
        }
        if (ready > 0) {
            --switches_left_;
            std::size_t chosen = ready == 1 ? 0 : chance_.below(ready);
            for (const auto& fiber : fibers_) {
                if (!fiber->ready || chosen-- > 0) continue;
                return fiber.get();
            }
        }
        if (soonest == kEndOfTime) {
            stuck_ = fmt::format("each of {} threads waits for another one", fibers_.size());
            return nullptr;
        }
        now_ = soonest;
    }
    return nullptr;
}

void Scheduler::switch_from(Fiber& fiber) {
    Fiber* const after = next();
    if (after == &fiber) return;
    running_ = after;
    CHECK(swapcontext(&fiber.context, after != nullptr ? &after->context : &outside_) == 0);
}

void Scheduler::wait(const void* on, Timestamp until) {
    Fiber& fiber = *running_;
    fiber.on = on;
    fiber.until = until;
    fiber.ready = false;
    switch_from(fiber);
    fiber.on = nullptr;
    fiber.until = kEndOfTime;
}

void Scheduler::wake(const void* on) {
    for (const auto& fiber : fibers_) {
        if (fiber->on == on && on != nullptr) fiber->ready = true;
    }
}

void Scheduler::preempt() {
    if (fibers_.size() > 1 && chance_.one_in(kPreemptOneIn)) switch_from(*running_);
}

void Scheduler::join(std::uint64_t id) {
    while (true) {
        const auto found = std::find_if(fibers_.begin(), fibers_.end(), [&](const auto& f) { return f->id == id; });
        if (found == fibers_.end()) return;
        wait(found->get(), kEndOfTime);
    }
}

std::string Scheduler::run(std::function<void()> body) {
    start(std::move(body));
    running_ = fibers_.front().get();
    CHECK(swapcontext(&outside_, &running_->context) == 0);
    running_ = nullptr;
    if (ended_ != nullptr) free_stacks.push_back(ended_->stack);
    ended_.reset();
    return std::exchange(stuck_, {});
}

}  // namespace takt::simulation

namespace takt::simulated {

Timestamp now() {
    return simulation::scheduler().now();
}
void wait(const void* on, Timestamp until) {
    simulation::scheduler().wait(on, until);
}
void wake(const void* on) {
    simulation::scheduler().wake(on);
}
void preempt() {
    simulation::scheduler().preempt();
}
std::uint64_t start(std::function<void()> body) {
    return simulation::scheduler().start(std::move(body));
}
void join(std::uint64_t fiber) {
    simulation::scheduler().join(fiber);
}

}  // namespace takt::simulated
