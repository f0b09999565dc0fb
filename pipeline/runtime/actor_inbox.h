#pragma once

#include <concurrentqueue/concurrentqueue.h>

#include <atomic>
#include <cstdint>
#include <vector>

namespace takt {

/// Lock-free inbox of an actor: many threads push, and at any time at most one runs the actor. Whoever pushes into an
/// empty inbox must see to it that the actor is run; the run ends with `finish`. Its size is bounded by the credits of
/// those who push.
template <typename Item>
class ActorInbox {
  public:
    /// True: the actor was at rest, and the caller must have it run.
    [[nodiscard]] bool push(const Item& item) {
        queue_.enqueue(item);
        return count_.fetch_add(1, std::memory_order_acq_rel) == 0;
    }
    /// Only in a run: appends everything that was pushed when it was called, in no order across pushers. Returns how
    /// many.
    std::uint64_t take(std::vector<Item>& out) {
        const std::uint64_t count = count_.load(std::memory_order_acquire);
        for (std::uint64_t taken = 0; taken < count;) {
            Item item;
            if (!queue_.try_dequeue(item)) continue;  // counted, so it is there
            out.push_back(item);
            ++taken;
        }
        return count;
    }
    /// Only in a run, after what `take` gave was dealt with. True: the inbox is empty and the run is over; else it must
    /// go on.
    [[nodiscard]] bool finish(std::uint64_t taken) {
        return count_.fetch_sub(taken, std::memory_order_acq_rel) == taken;
    }

  private:
    moodycamel::ConcurrentQueue<Item> queue_;
    std::atomic<std::uint64_t> count_ = 0;
};

}  // namespace takt
