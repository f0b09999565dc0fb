#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pipeline/runtime/chunk.h"

namespace takt {

/// Chunks in flight by number: room for as many as there are credits.
class ChunkRing {
  public:
    explicit ChunkRing(std::size_t chunks) : slots_(std::bit_ceil(chunks)) {}
    Chunk*& operator[](std::uint64_t number) { return slots_[number & (slots_.size() - 1)]; }
    std::size_t size() const { return slots_.size(); }

  private:
    std::vector<Chunk*> slots_;
};

/// Puts what arrives in any order into the order of its numbers.
class InOrder {
  public:
    explicit InOrder(std::size_t chunks) : waiting_(chunks) {}
    void put(Chunk* chunk) { waiting_[chunk->number] = chunk; }
    /// Null while the next one is not there.
    Chunk* next() {
        Chunk* chunk = waiting_[next_];
        if (chunk == nullptr) return nullptr;
        waiting_[next_] = nullptr;
        ++next_;
        return chunk;
    }

  private:
    ChunkRing waiting_;
    std::uint64_t next_ = 0;
};

}  // namespace takt
