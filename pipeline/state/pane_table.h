#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "pipeline/base/prefetch.h"
#include "pipeline/state/calendar.h"

namespace takt {

/// The open windows of an aggregate: a pane for each (key, window), with a block of memory for its sums.
///
/// A pane fires when the watermark reaches its end, again at the end of each epoch in which late events changed it, and
/// is purged when the watermark is later than its end + lateness. Firing costs what fires, an event costs one probe,
/// whatever the number of panes. Not thread-safe: one lane owns it. A pane and its block stay where they are until it
/// is purged.
class PaneTable {
  public:
    class Pane {
      public:
        Window window() const { return {start_, end_}; }
        std::string_view key() const { return {key_size_ <= kInlineKey ? key_.bytes : key_.far, key_size_}; }
        /// The caller's memory, zero when the pane is made, aligned to 16.
        std::byte* block() { return reinterpret_cast<std::byte*>(this + 1); }
        const std::byte* block() const { return reinterpret_cast<const std::byte*>(this + 1); }
        /// Whether it has fired before.
        bool fired() const { return fired_; }

      private:
        friend class PaneTable;
        /// Most keys fit beside the hash: a probe then needs one line of memory.
        static constexpr std::uint32_t kInlineKey = 24;

        void set_key(std::string_view key);
        /// What the key costs beside the pane; the allocator's word is 16 bytes.
        std::uint64_t far_key_bytes() const { return key_size_ > kInlineKey ? key_size_ + 16 : 0; }
        void free_key() {
            if (key_size_ > kInlineKey) delete[] key_.far;
            key_size_ = 0;
        }

        std::uint64_t hash_ = 0;
        Timestamp start_ = 0;
        Timestamp end_ = 0;
        union {
            char bytes[kInlineKey];
            char* far;  ///< owned; of longer keys
        } key_;
        std::uint32_t key_size_ = 0;
        std::uint32_t id_ = 0;
        bool fired_ = false;
        bool dirty_ = false;
        bool live_ = false;
    };

    /// `block_bytes`: memory of each pane, a multiple of 16. `lateness`: how long a fired pane is kept, >= 0.
    PaneTable(std::uint32_t block_bytes, Duration lateness);
    ~PaneTable();

    struct Want {
        std::uint64_t key_hash = 0;  ///< a function of `key`
        std::string_view key;
        Window window;
    };
    /// The pane of this key and window, made where it is not there.
    Pane& upsert(const Want& want) { return upsert(mix(want.key_hash, want.window.start), want); }
    /// The same for many rows, whose panes' memory is brought near some rows ahead. `found` gets one for each, `made`
    /// the places in `wants` of those that were not there.
    void upsert(std::span<const Want> wants, std::vector<Pane*>& found, std::vector<std::uint32_t>& made);

    /// Makes a pane as it was in another table: `fired` or not, unchanged since. Null: there is one already.
    Pane* restore(const Want& want, bool fired);

    /// The watermark has moved to `watermark` (never back). Calls `fire` for each pane that it reached and for each
    /// that changed since it fired; then `purge` for each that is too old, before it is gone. In no particular order.
    template <typename Fire, typename Purge>
    void advance(Timestamp watermark, Fire&& fire, Purge&& purge) {
        for (const std::uint32_t id : dirty_) {
            Pane& changed = pane(id);
            changed.dirty_ = false;
            fire(changed);
        }
        dirty_.clear();
        while (!due_.empty() && due_.begin()->first <= watermark) {
            auto reached = due_.extract(due_.begin());
            std::vector<std::uint32_t>& kept = kept_[reached.key()];
            for (const std::uint32_t id : reached.mapped()) {
                Pane& due = pane(id);
                due.fired_ = true;
                fire(due);
                kept.push_back(id);
            }
        }
        while (!kept_.empty() && watermark > saturating_add(kept_.begin()->first, lateness_)) {
            for (const std::uint32_t id : kept_.begin()->second) {
                purge(pane(id));
                remove(pane(id));
            }
            kept_.erase(kept_.begin());
        }
    }

    /// Every pane, in no particular order.
    template <typename Visit>
    void for_each(Visit&& visit) {
        for (std::uint32_t id = 0; id < next_id_; ++id) {
            if (pane(id).live_) visit(pane(id));
        }
    }
    template <typename Visit>
    void for_each(Visit&& visit) const {
        for (std::uint32_t id = 0; id < next_id_; ++id) {
            if (pane(id).live_) visit(pane(id));
        }
    }

    std::uint64_t size() const { return size_; }
    /// Memory of panes, blocks, keys and index.
    std::uint64_t size_bytes() const;

  private:
    struct Slot {
        std::uint32_t tag = 0;        ///< of the hash: chooses the home slot, too, so moving a slot needs no pane
        std::uint32_t id_plus_1 = 0;  ///< 0: free
    };
    static constexpr std::uint32_t kPanesPerSlab = 256;

    static std::uint64_t mix(std::uint64_t key_hash, Timestamp start) {
        const std::uint64_t mixed =
            (key_hash ^ (static_cast<std::uint64_t>(start) * 0x9E3779B97F4A7C15u)) * 0xD6E8FEB86659FD93u;
        return mixed ^ (mixed >> 32);
    }
    Pane& pane(std::uint32_t id) {
        return *reinterpret_cast<Pane*>(slabs_[id / kPanesPerSlab].get() + std::size_t{id % kPanesPerSlab} * stride_);
    }
    const Pane& pane(std::uint32_t id) const {
        return *reinterpret_cast<const Pane*>(slabs_[id / kPanesPerSlab].get() +
                                              std::size_t{id % kPanesPerSlab} * stride_);
    }
    static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }
    std::size_t home(std::uint32_t tag) const { return static_cast<std::size_t>(tag) >> home_shift_; }
    Pane& upsert(std::uint64_t hash, const Want& want);
    void prefetch_slot(std::uint64_t hash) const { prefetch(&slots_[home(tag_of(hash))]); }
    /// Brings the first pane near whose slot has the hash's tag.
    void prefetch_pane(std::uint64_t hash) const;
    Pane& make(std::uint64_t hash, const Want& want);
    void remove(Pane& gone);
    void grow();
    void insert_slot(const Slot& slot);

    struct FreeSlab {
        void operator()(std::byte* memory) const { ::operator delete (memory, std::align_val_t{64}); }
    };

    std::uint32_t stride_;
    Duration lateness_;
    std::vector<std::unique_ptr<std::byte, FreeSlab>> slabs_;
    std::vector<std::uint32_t> free_;
    std::uint32_t next_id_ = 0;
    std::vector<Slot> slots_;  ///< a power of two
    std::size_t mask_;
    unsigned home_shift_;  ///< 32 - log2(slots)
    std::uint64_t size_ = 0;
    std::uint64_t far_key_bytes_ = 0;                       ///< of keys that are not in their panes
    std::map<Timestamp, std::vector<std::uint32_t>> due_;   ///< by window end: not fired yet
    std::map<Timestamp, std::vector<std::uint32_t>> kept_;  ///< by window end: fired, within lateness
    std::vector<std::uint32_t> dirty_;
    std::vector<std::uint64_t> hashes_;  ///< of the rows that are looked for
};

}  // namespace takt
