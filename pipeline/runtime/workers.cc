#include "pipeline/runtime/workers.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define TAKT_UNSEEN_BY_TSAN __attribute__((no_sanitize("thread"), noinline))
// The constructor of TBB's own task writes to memory that TBB's pool used before; only that frame is meant, never what
// a task does.
extern "C" const char* __tsan_default_suppressions() {
    return "race:enqueue_task<takt::Workers::Impl::Task>::enqueue_task\nrace:^enqueue_task$\n";
}
#else
#define TAKT_UNSEEN_BY_TSAN
#endif

namespace takt {
namespace {

// TBB's binaries carry no instrumentation, so ThreadSanitizer cannot see that what was enqueued happens before its run.
// These say so.
void hand_over([[maybe_unused]] void* object) {
#if defined(__SANITIZE_THREAD__)
    __tsan_release(object);
#endif
}
void receive([[maybe_unused]] void* object) {
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(object);
#endif
}

}  // namespace

/// At most `threads` arena tasks are alive; each takes jobs until none is left, so that a busy engine enqueues few
/// tasks.
struct Workers::Impl {
    Impl(std::uint32_t count, std::function<void(Job)> run_job)
        // One more than the workers: TBB counts the thread that waits, and would start none on a machine with one core.
        : allowed(tbb::global_control::max_allowed_parallelism, count + 1),
          arena(static_cast<int>(count), 0),
          threads(count),
          run(std::move(run_job)) {
        arena.initialize();
    }

    void work() {
        std::unique_lock lock(mutex);
        while (!jobs.empty()) {
            const Job job = jobs.front();
            jobs.pop_front();
            lock.unlock();
            run(job);
            lock.lock();
        }
        if (--alive == 0) rest.notify_all();
    }

    struct Task {
        Impl* impl;
        TAKT_UNSEEN_BY_TSAN void operator()() const {
            receive(impl);
            impl->work();
        }
    };

    tbb::global_control allowed;
    tbb::task_arena arena;
    const std::uint32_t threads;
    const std::function<void(Job)> run;

    std::mutex mutex;
    std::condition_variable rest;
    std::deque<Job> jobs;  ///< bounded by the credits of the engine
    std::uint32_t alive = 0;
};

Workers::Workers(std::uint32_t threads, std::function<void(Job)> run)
    : impl_(std::make_unique<Impl>(threads, std::move(run))) {}

Workers::~Workers() {
    std::unique_lock lock(impl_->mutex);
    impl_->rest.wait(lock, [this] { return impl_->alive == 0; });
}

void Workers::post(Job job) {
    std::lock_guard lock(impl_->mutex);
    impl_->jobs.push_back(job);
    if (impl_->alive == impl_->threads) return;
    ++impl_->alive;
    hand_over(impl_.get());
    impl_->arena.enqueue(Impl::Task{impl_.get()});
    hand_over(impl_.get());
}

}  // namespace takt
