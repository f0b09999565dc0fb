#include "pipeline/state/dedup_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>
#include <utility>

#include "pipeline/base/check.h"

namespace takt {
namespace {

constexpr Duration kReanchorAfter = Duration{1} << 54;  // 208 days
constexpr Duration kBeforeFirst = Duration{1} << 55;
/// Rewrite a swept segment when one in this many of its ids is forgotten.
constexpr std::uint32_t kForgottenShare = 6;

/// 70 % full.
std::uint64_t slots_for(std::uint64_t ids) {
    return (ids * 10 + 6) / 7;
}
/// 87.5 % full.
std::uint32_t most_ids(std::uint64_t slots) {
    return static_cast<std::uint32_t>(slots * 7 / 8);
}

}  // namespace

/// A bucket's slots fill from the first on, and the first one that is free ends the search.
inline DedupTable::Probe DedupTable::probe(const Segment& segment, std::uint64_t fingerprint, std::uint64_t content,
                                           Timestamp oldest) const {
    if (segment.buckets == 0) return {};
    for (std::size_t bucket = segment.home(fingerprint);; bucket = segment.after(bucket)) {
        Slot* const slots = &segment.slots[bucket * kBucketSlots];
        unsigned match = 0;
        unsigned used = 0;
        for (unsigned i = 0; i < kBucketSlots; ++i) {
            match |= unsigned{slots[i].fingerprint() == fingerprint} << i;
            used += unsigned{slots[i].fingerprint() != 0};
        }
        for (; __builtin_expect(match != 0, 0); match &= match - 1) {
            const Slot& known = slots[std::countr_zero(match)];
            if (since_anchor(known) < since_anchor(oldest)) continue;
            return {known.content() == (content & kContentMask) ? Verdict::duplicate : Verdict::conflict};
        }
        if (used < kBucketSlots) return {Verdict::fresh, slots + used};
    }
}

DedupTable::Verdict DedupTable::find(const Hash128& id, std::uint64_t content, Timestamp oldest) const {
    const std::uint32_t group = key_group(id.high);
    const std::uint64_t bits = fingerprint(id);
    if (!far_.empty()) {
        const Verdict verdict = find_far(kept_id(group, bits), content, oldest);
        if (verdict != Verdict::fresh) return verdict;
    }
    return probe(segments_[group], bits, content, oldest).verdict;
}

DedupTable::Verdict DedupTable::admit(const Hash128& id, std::uint64_t content, Timestamp time, Timestamp oldest) {
    const std::uint32_t group = key_group(id.high);
    const std::uint64_t bits = fingerprint(id);
    if (!far_.empty()) {
        const Verdict verdict = find_far(kept_id(group, bits), content, oldest);
        if (verdict != Verdict::fresh) return verdict;
    }
    Segment& segment = segments_[group];
    const Probe found = probe(segment, bits, content, oldest);
    if (found.verdict != Verdict::fresh) return found.verdict;
    return remember(segment, found.free, id, content, time, oldest) ? Verdict::fresh : Verdict::full;
}

inline bool DedupTable::remember(Segment& segment, Slot* free, const Hash128& id, std::uint64_t content, Timestamp time,
                                 Timestamp oldest) {
    if (!anchored_) {
        anchor_ = std::max(oldest, saturating_subtract(time, kBeforeFirst));
        anchored_ = true;
    }
    const std::uint64_t bits = fingerprint(id);
    if (!near(time)) return remember_far(kept_id(key_group(id.high), bits), content, time, oldest);
    const std::uint64_t stored = static_cast<std::uint64_t>(time) & (kTimeRange - 1);
    const Slot slot{bits << 16 | stored >> 40, stored << 24 | (content & kContentMask)};
    if (segment.held < segment.limit && (options_.max_ids == 0 || size() < options_.max_ids)) {
        *free = slot;
        ++segment.held;
        ++size_;
        return true;
    }
    if (!make_room(oldest)) return false;
    insert(segment, slot, since_anchor(oldest));
    return true;
}

/// Whether one more id may be held.
bool DedupTable::make_room(Timestamp oldest) {
    if (options_.max_ids == 0 || size() < options_.max_ids) return true;
    if (oldest > swept_all_) sweep_all(oldest);
    return size() < options_.max_ids;
}

void DedupTable::insert(Segment& segment, const Slot& slot, std::uint64_t oldest) {
    if (segment.held >= segment.limit) rewrite(segment, oldest, count_forgotten(segment, oldest), 1);
    *segment.put(slot) = slot;
    ++segment.held;
    ++size_;
}

/// The first free place for a slot.
DedupTable::Slot* DedupTable::Segment::put(const Slot& slot) {
    for (std::size_t bucket = home(slot.fingerprint());; bucket = after(bucket)) {
        for (std::size_t i = 0; i < kBucketSlots; ++i) {
            Slot& place = slots[bucket * kBucketSlots + i];
            if (place.fingerprint() == 0) return &place;
        }
    }
}

std::uint32_t DedupTable::count_forgotten(const Segment& segment, std::uint64_t oldest) const {
    if (oldest == 0) return 0;
    std::uint32_t forgotten = 0;
    for (std::size_t i = 0; i < segment.buckets * kBucketSlots; ++i) {
        const Slot& slot = segment.slots[i];
        forgotten += slot.fingerprint() != 0 && since_anchor(slot) < oldest ? 1 : 0;
    }
    return forgotten;
}

/// Makes the segment 70 % full with its remembered ids and `more` that will come. Places ascend with fingerprints, so
/// this reads and writes both arrays from front to back.
void DedupTable::rewrite(Segment& segment, std::uint64_t oldest, std::uint32_t forgotten, std::uint32_t more) {
    const std::uint32_t kept = segment.held - forgotten;
    size_ -= forgotten;
    Segment fresh;
    if (kept + more > 0) {
        fresh.buckets = static_cast<std::uint32_t>((slots_for(kept + more) + kBucketSlots - 1) / kBucketSlots);
        const std::size_t slots = fresh.buckets * kBucketSlots;
        fresh.limit = most_ids(slots);
        fresh.held = kept;
        fresh.slots.reset(static_cast<Slot*>(std::aligned_alloc(64, slots * sizeof(Slot))));
        CHECK(fresh.slots != nullptr);
        std::memset(static_cast<void*>(fresh.slots.get()), 0, slots * sizeof(Slot));
        filled_.assign(fresh.buckets, 0);
        for (std::size_t i = 0; i < segment.buckets * kBucketSlots; ++i) {
            const Slot& slot = segment.slots[i];
            if (slot.fingerprint() == 0 || since_anchor(slot) < oldest) continue;
            std::size_t bucket = fresh.home(slot.fingerprint());
            while (filled_[bucket] == kBucketSlots) bucket = fresh.after(bucket);
            fresh.slots[bucket * kBucketSlots + filled_[bucket]++] = slot;
        }
    }
    segment = std::move(fresh);
}

void DedupTable::sweep(Timestamp oldest) {
    if (anchored_ && oldest > saturating_add(anchor_, kReanchorAfter)) {
        sweep_all(oldest);
        move_anchor(oldest);
        return;
    }
    const std::uint64_t first_kept = since_anchor(oldest);
    for (int i = 0; i < 2; ++i) {
        Segment& segment = segments_[next_swept_];
        next_swept_ = (next_swept_ + 1) % kKeyGroups;
        const std::uint32_t forgotten = count_forgotten(segment, first_kept);
        if (forgotten > 0 && forgotten >= segment.held / kForgottenShare) rewrite(segment, first_kept, forgotten, 0);
    }
    sweep_far(oldest);
}

void DedupTable::sweep_all(Timestamp oldest) {
    const std::uint64_t first_kept = since_anchor(oldest);
    for (Segment& segment : segments_) {
        const std::uint32_t forgotten = count_forgotten(segment, first_kept);
        if (forgotten > 0) rewrite(segment, first_kept, forgotten, 0);
    }
    sweep_far(oldest);
    swept_all_ = oldest;
}

void DedupTable::sweep_far(Timestamp oldest) {
    for (auto at = far_.begin(); at != far_.end();) at = at->second.time < oldest ? far_.erase(at) : std::next(at);
}

/// Everything before `to` must be gone.
void DedupTable::move_anchor(Timestamp to) {
    anchor_ = to;
    for (auto at = far_.begin(); at != far_.end();) {
        const auto& [id, far] = *at;
        if (!near(far.time)) {
            ++at;
            continue;
        }
        const std::uint64_t stored = static_cast<std::uint64_t>(far.time) & (kTimeRange - 1);
        insert(segments_[id >> 48], Slot{id << 16 | stored >> 40, stored << 24 | far.content}, 0);
        at = far_.erase(at);
    }
}

DedupTable::Verdict DedupTable::find_far(std::uint64_t id, std::uint64_t content, Timestamp oldest) const {
    const auto found = far_.find(id);
    if (found == far_.end() || found->second.time < oldest) return Verdict::fresh;
    return found->second.content == (content & kContentMask) ? Verdict::duplicate : Verdict::conflict;
}

bool DedupTable::remember_far(std::uint64_t id, std::uint64_t content, Timestamp time, Timestamp oldest) {
    const Far far{time, static_cast<std::uint32_t>(content & kContentMask)};
    if (const auto found = far_.find(id); found != far_.end()) {
        found->second = far;
        return true;
    }
    if (!make_room(oldest)) return false;
    far_.emplace(id, far);
    return true;
}

void DedupTable::restore(const Entry& entry) {
    // The kept bits in the places that `fingerprint` and `key_group` take them from.
    const Hash128 id{0, (entry.id >> 48) << 57 | (entry.id & ((std::uint64_t{1} << 48) - 1)) << 9};
    const Options limited = std::exchange(options_, Options{});
    CHECK(admit(id, entry.content, entry.time, kBeginningOfTime) == Verdict::fresh);
    options_ = limited;
}

std::uint64_t DedupTable::size_bytes() const {
    std::uint64_t bytes = sizeof *this;
    for (const Segment& segment : segments_) bytes += segment.buckets * kBucketSlots * sizeof(Slot);
    // A node and its link of the map, and the allocator's word.
    return bytes + far_.size() * (sizeof(decltype(far_)::value_type) + 2 * sizeof(void*)) +
           far_.bucket_count() * sizeof(void*);
}

std::vector<DedupTable::Entry> DedupTable::entries(std::uint32_t group, Timestamp oldest) const {
    std::vector<Entry> entries;
    const Segment& segment = segments_[group];
    for (std::size_t i = 0; i < segment.buckets * kBucketSlots; ++i) {
        const Slot& slot = segment.slots[i];
        const auto time = static_cast<Timestamp>(static_cast<std::uint64_t>(anchor_) + since_anchor(slot));
        if (slot.fingerprint() != 0 && time >= oldest)
            entries.push_back({kept_id(group, slot.fingerprint()), slot.content(), time});
    }
    for (const auto& [id, far] : far_) {
        if (id >> 48 == group && far.time >= oldest) entries.push_back({id, far.content, far.time});
    }
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return std::tie(a.id, a.time) < std::tie(b.id, b.time); });
    return entries;
}

}  // namespace takt
