#include "pipeline/state/pane_table.h"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

#include "pipeline/base/check.h"
#include "pipeline/base/mutant.h"
#include "pipeline/base/prefetch.h"

namespace takt {

namespace {
constexpr std::size_t kFirstSlots = 64;
}

static_assert(alignof(PaneTable::Pane) <= 16 && sizeof(PaneTable::Pane) % 16 == 0);

PaneTable::PaneTable(std::uint32_t block_bytes, Duration lateness)
    : stride_(static_cast<std::uint32_t>(sizeof(Pane)) + block_bytes),
      lateness_(lateness),
      slots_(kFirstSlots),
      mask_(kFirstSlots - 1),
      home_shift_(32 - std::countr_zero(kFirstSlots)) {
    CHECK(block_bytes % 16 == 0);
    CHECK(lateness >= 0);
}

PaneTable::~PaneTable() {
    for (std::uint32_t id = 0; id < next_id_; ++id) pane(id).free_key();
}

void PaneTable::upsert(std::span<const Want> wants, std::vector<Pane*>& found, std::vector<std::uint32_t>& made) {
    // Each row depends on two places in memory, one after the other: slot, pane.
    constexpr std::size_t kPanesAhead = 16;
    constexpr std::size_t kSlotsAhead = 2 * kPanesAhead;
    hashes_.resize(wants.size());
    found.resize(wants.size());
    made.clear();
    for (std::size_t i = 0; i < wants.size(); ++i) hashes_[i] = mix(wants[i].key_hash, wants[i].window.start);
    for (std::size_t i = 0; i < std::min(kSlotsAhead, wants.size()); ++i) prefetch_slot(hashes_[i]);
    for (std::size_t i = 0; i < std::min(kPanesAhead, wants.size()); ++i) prefetch_pane(hashes_[i]);
    for (std::size_t i = 0; i < wants.size(); ++i) {
        if (i + kSlotsAhead < wants.size()) prefetch_slot(hashes_[i + kSlotsAhead]);
        if (i + kPanesAhead < wants.size()) prefetch_pane(hashes_[i + kPanesAhead]);
        const std::uint64_t before = size_;
        found[i] = &upsert(hashes_[i], wants[i]);
        if (size_ != before) made.push_back(static_cast<std::uint32_t>(i));
    }
}

void PaneTable::prefetch_pane(std::uint64_t hash) const {
    for (std::size_t at = home(tag_of(hash));; at = (at + 1) & mask_) {
        const Slot& slot = slots_[at];
        if (slot.id_plus_1 == 0) return;
        if (slot.tag != tag_of(hash)) continue;
        const auto* memory = reinterpret_cast<const std::byte*>(&pane(slot.id_plus_1 - 1));
        for (std::uint32_t offset = 0; offset < stride_; offset += 64) prefetch(memory + offset);
        return;
    }
}

void PaneTable::Pane::set_key(std::string_view key) {
    key_size_ = static_cast<std::uint32_t>(key.size());
    if (key_size_ > kInlineKey) key_.far = new char[key.size()];
    if (!key.empty()) std::memcpy(key_size_ > kInlineKey ? key_.far : key_.bytes, key.data(), key.size());
}

PaneTable::Pane& PaneTable::upsert(std::uint64_t hash, const Want& want) {
    for (std::size_t at = home(tag_of(hash));; at = (at + 1) & mask_) {
        const Slot& slot = slots_[at];
        if (slot.id_plus_1 == 0) return make(hash, want);
        if (slot.tag != tag_of(hash)) continue;
        Pane& found = pane(slot.id_plus_1 - 1);
        if (found.hash_ != hash || found.start_ != want.window.start || found.end_ != want.window.end ||
            found.key() != want.key)
            continue;
        if (found.fired_ && !found.dirty_) {
            found.dirty_ = true;
            dirty_.push_back(found.id_);
        }
        return found;
    }
}

PaneTable::Pane& PaneTable::make(std::uint64_t hash, const Want& want) {
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
    fresh.start_ = want.window.start;
    fresh.end_ = want.window.end;
    fresh.set_key(want.key);
    fresh.id_ = id;
    fresh.fired_ = fresh.dirty_ = false;
    fresh.live_ = true;
    far_key_bytes_ += fresh.far_key_bytes();
    ++size_;
    insert_slot({tag_of(hash), id + 1});
    due_[want.window.end].push_back(id);
    return fresh;
}

PaneTable::Pane* PaneTable::restore(const Want& want, bool fired) {
    const std::uint64_t before = size_;
    Pane& pane = upsert(want);
    if (size_ == before) return nullptr;
    if (!fired && mutant("lost_timer")) due_.erase(pane.end_);
    if (fired) {
        pane.fired_ = true;
        std::vector<std::uint32_t>& due = due_[pane.end_];
        due.pop_back();
        if (due.empty()) due_.erase(pane.end_);
        kept_[pane.end_].push_back(pane.id_);
    }
    return &pane;
}

void PaneTable::insert_slot(const Slot& slot) {
    std::size_t at = home(slot.tag);
    while (slots_[at].id_plus_1 != 0) at = (at + 1) & mask_;
    slots_[at] = slot;
}

void PaneTable::grow() {
    const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.size() * 2));
    mask_ = slots_.size() - 1;
    --home_shift_;
    for (const Slot& slot : old) {
        if (slot.id_plus_1 != 0) insert_slot(slot);
    }
}

void PaneTable::remove(Pane& gone) {
    std::size_t hole = home(tag_of(gone.hash_));
    while (slots_[hole].id_plus_1 != gone.id_ + 1) hole = (hole + 1) & mask_;
    // Move back what probed past the hole (Knuth, TAOCP vol. 3, 6.4, algorithm R).
    for (std::size_t at = (hole + 1) & mask_; slots_[at].id_plus_1 != 0; at = (at + 1) & mask_) {
        if (((at - home(slots_[at].tag)) & mask_) < ((at - hole) & mask_)) continue;
        slots_[hole] = slots_[at];
        hole = at;
    }
    slots_[hole] = Slot{};
    far_key_bytes_ -= gone.far_key_bytes();
    gone.free_key();
    gone.live_ = false;
    free_.push_back(gone.id_);
    --size_;
}

std::uint64_t PaneTable::size_bytes() const {
    // A timer entry costs 4 bytes.
    return slabs_.size() * kPanesPerSlab * stride_ + slots_.size() * sizeof(Slot) + far_key_bytes_ + size_ * 4 +
           free_.capacity() * sizeof(std::uint32_t);
}

}  // namespace takt
