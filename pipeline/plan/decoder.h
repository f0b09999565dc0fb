#pragma once

#include <memory>
#include <vector>

#include "pipeline/batch/batch.h"

namespace takt {

/// Hands out empty batches of one layout. Thread-safe.
class BatchAllocator {
  public:
    virtual ~BatchAllocator() = default;
    virtual std::unique_ptr<Batch> allocate() = 0;
};

/// Turns messages into columns. Immutable; used by many threads at once, each with a Scratch of its own.
class Decoder {
  public:
    class Scratch {
      public:
        virtual ~Scratch() = default;
    };

    virtual ~Decoder() = default;
    virtual std::unique_ptr<Scratch> make_scratch() const = 0;

    /// Decodes messages [first, first + count) of the block, in order, into full batches (and one partial at the end),
    /// appended to `out`. Every event is one row. What cannot be read is one row too: outcome kMalformed, a reject
    /// text, its bytes in `origin`, all columns at their defaults and absent. A message that says nothing (a blank
    /// line, an empty record) is no row. Never fails, never reads outside a message, never throws.
    virtual void decode(const std::shared_ptr<const MessageBlock>& block, std::size_t first, std::size_t count,
                        Scratch& scratch, BatchAllocator& batches, std::vector<std::unique_ptr<Batch>>& out) const = 0;
};

}  // namespace takt
