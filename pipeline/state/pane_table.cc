#include "pipeline/state/pane_table.h"

#include <new>

#include "pipeline/base/check.h"

namespace takt {

static_assert(alignof(PaneTable::Pane) <= 16 && sizeof(PaneTable::Pane) % 16 == 0);

PaneTable::PaneTable(std::uint32_t block_bytes, Duration lateness)
    : stride_(static_cast<std::uint32_t>(sizeof(Pane)) + block_bytes), lateness_(lateness), slots_(64), mask_(63) {
    CHECK(block_bytes % 16 == 0);
    CHECK(lateness >= 0);
}

PaneTable::~PaneTable() {
    for (std::uint32_t id = 0; id < next_id_; ++id) pane(id).~Pane();
}

PaneTable::Pane& PaneTable::upsert(std::uint64_t key_hash, std::string_view key, const Window& window) {
    const std::uint64_t hash = mix(key_hash, window.start);
    const auto tag = static_cast<std::uint32_t>(hash >> 32);
    for (std::size_t at = static_cast<std::size_t>(hash) & mask_;; at = (at + 1) & mask_) {
        const Slot& slot = slots_[at];
        if (slot.id_plus_1 == 0) return make(hash, key, window);
        if (slot.tag != tag) continue;
        Pane& found = pane(slot.id_plus_1 - 1);
        if (found.hash_ != hash || found.start_ != window.start || found.end_ != window.end || found.key() != key)
            continue;
        if (found.fired_ && !found.dirty_) {
            found.dirty_ = true;
            dirty_.push_back(found.id_);
        }
        return found;
    }
}

PaneTable::Pane& PaneTable::make(std::uint64_t hash, std::string_view key, const Window& window) {
    if ((size_ + 1) * 10 > slots_.size() * 7) grow();
    std::uint32_t id = next_id_;
    if (!free_.empty()) {
        id = free_.back();
        free_.pop_back();
    } else {
        if (next_id_ % kPanesPerSlab == 0) {
            const std::size_t bytes = std::size_t{stride_} * kPanesPerSlab;
            slabs_.emplace_back(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{64})));
        }
        ++next_id_;
        new (&pane(id)) Pane;
    }
    Pane& fresh = pane(id);
    std::memset(fresh.block(), 0, stride_ - sizeof(Pane));
    fresh.hash_ = hash;
    fresh.start_ = window.start;
    fresh.end_ = window.end;
    fresh.key_ = std::make_unique_for_overwrite<char[]>(key.size());
    if (!key.empty()) std::memcpy(fresh.key_.get(), key.data(), key.size());
    fresh.key_size_ = static_cast<std::uint32_t>(key.size());
    fresh.id_ = id;
    fresh.fired_ = fresh.dirty_ = false;
    fresh.live_ = true;
    key_bytes_ += key.size();
    ++size_;
    insert_slot(hash, id);
    due_[window.end].push_back(id);
    return fresh;
}

void PaneTable::insert_slot(std::uint64_t hash, std::uint32_t id) {
    std::size_t at = static_cast<std::size_t>(hash) & mask_;
    while (slots_[at].id_plus_1 != 0) at = (at + 1) & mask_;
    slots_[at] = {static_cast<std::uint32_t>(hash >> 32), id + 1};
}

void PaneTable::grow() {
    slots_.assign(slots_.size() * 2, Slot{});
    mask_ = slots_.size() - 1;
    for (std::uint32_t id = 0; id < next_id_; ++id) {
        if (pane(id).live_) insert_slot(pane(id).hash_, id);
    }
}

void PaneTable::remove(Pane& gone) {
    std::size_t hole = static_cast<std::size_t>(gone.hash_) & mask_;
    while (slots_[hole].id_plus_1 != gone.id_ + 1) hole = (hole + 1) & mask_;
    // Move back what probed past the hole (Knuth, TAOCP vol. 3, 6.4, algorithm R).
    for (std::size_t at = (hole + 1) & mask_; slots_[at].id_plus_1 != 0; at = (at + 1) & mask_) {
        const std::size_t home = static_cast<std::size_t>(pane(slots_[at].id_plus_1 - 1).hash_) & mask_;
        if (((at - home) & mask_) < ((at - hole) & mask_)) continue;
        slots_[hole] = slots_[at];
        hole = at;
    }
    slots_[hole] = Slot{};
    key_bytes_ -= gone.key_size_;
    gone.key_.reset();
    gone.key_size_ = 0;
    gone.live_ = false;
    free_.push_back(gone.id_);
    --size_;
}

std::uint64_t PaneTable::size_bytes() const {
    // A key's allocation costs 16 bytes beside its text, a timer entry 4.
    return slabs_.size() * kPanesPerSlab * stride_ + slots_.size() * sizeof(Slot) + key_bytes_ + size_ * (16 + 4) +
           free_.capacity() * sizeof(std::uint32_t);
}

}  // namespace takt
