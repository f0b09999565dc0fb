#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "pipeline/plan/decoder.h"

namespace takt {

/// Batches of one layout, used again: the one that came back last first, because it is still in the cache. Thread-safe.
/// Holds no more batches than were ever in use at once.
class BatchPool final : public BatchAllocator {
  public:
    /// The layout must outlive the pool.
    explicit BatchPool(const Layout& layout) : layout_(layout) {}

    std::unique_ptr<Batch> allocate() override {
        std::unique_ptr<Batch> batch;
        {
            std::lock_guard lock(mutex_);
            if (!free_.empty()) {
                batch = std::move(free_.back());
                free_.pop_back();
            }
        }
        if (batch == nullptr) batch = std::make_unique<Batch>();
        batch->reset(layout_, kBatchRows);
        return batch;
    }
    void give_back(std::unique_ptr<Batch> batch) {
        batch->block.reset();  // the messages' memory is not the pool's to keep
        std::lock_guard lock(mutex_);
        free_.push_back(std::move(batch));
    }

  private:
    const Layout& layout_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Batch>> free_;
};

}  // namespace takt
