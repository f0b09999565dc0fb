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

/// 91 % full.
std::uint32_t most_ids(std::uint64_t slots) {
    return static_cast<std::uint32_t>(slots * 10 / 11);
}

constexpr std::uint64_t kEachByte = 0x0101010101010101;

/// Never 0, which is a free slot's.
std::uint64_t tag_of(std::uint64_t fingerprint) {
    return std::max<std::uint64_t>(fingerprint & 0xFF, 1);
}

/// The highest bit of each byte that is 0 (Warren, Hacker's Delight, 6-1).
std::uint64_t zero_bytes(std::uint64_t word) {
    constexpr std::uint64_t kLowBits = 0x7F * kEachByte;
    return ~(((word & kLowBits) + kLowBits) | word | kLowBits);
}

unsigned first_byte(std::uint64_t bits) {
    return static_cast<unsigned>(std::countr_zero(bits)) / 8;
}

/// How many of a bucket's slots are used.
unsigned count_of(std::uint64_t tags) {
    return static_cast<unsigned>(std::bit_width(tags) + 7) / 8;
}

bool comes_before(const DedupTable::Entry& a, const DedupTable::Entry& b) {
    return std::tie(a.id, a.time) < std::tie(b.id, b.time);
}

/// Where nearly all are a few places from where they belong: each moves forward past the greater ones before it.
void sort_nearly_sorted(std::vector<DedupTable::Entry>& entries) {
    for (std::size_t i = 1; i < entries.size(); ++i) {
        const DedupTable::Entry entry = entries[i];
        std::size_t place = i;
        for (; place > 0 && comes_before(entry, entries[place - 1]); --place) entries[place] = entries[place - 1];
        entries[place] = entry;
    }
}

}  // namespace

DedupTable::Segment DedupTable::Segment::with_room_for(std::uint32_t ids) {
    Segment made;
    // 71 % full, or a little more, so that 17 bytes a slot stay below 24 an id.
    made.buckets = static_cast<std::uint32_t>(std::uint64_t{ids} * 7 / 5 / kBucketSlots);
    while ((made.limit = most_ids(std::uint64_t{made.buckets} * kBucketSlots)) < ids) ++made.buckets;
    const std::size_t slot_bytes = std::size_t{made.buckets} * kBucketSlots * sizeof(Slot);
    const std::size_t tag_bytes = std::size_t{made.buckets} * sizeof(std::uint64_t);
    const std::size_t aligned = (slot_bytes + tag_bytes + 63) / 64 * 64;
    auto* const memory = static_cast<std::byte*>(std::aligned_alloc(64, aligned));
    CHECK(memory != nullptr);
    made.slots.reset(reinterpret_cast<Slot*>(memory));
    made.tags = reinterpret_cast<std::uint64_t*>(memory + slot_bytes);
    std::memset(made.tags, 0, tag_bytes);
    return made;
}

/// The slot that a search for the fingerprint comes to first: one with its tag, or a free one.
inline DedupTable::Slot* DedupTable::Segment::nearest(std::uint64_t fingerprint) const {
    const std::uint64_t tag = tag_of(fingerprint) * kEachByte;
    for (std::size_t bucket = home(fingerprint);; bucket = after(bucket)) {
        const std::uint64_t matches = zero_bytes(tags[bucket] ^ tag);
        const std::uint64_t wanted = matches != 0 ? matches : zero_bytes(tags[bucket]);
        if (wanted != 0) return &slots[bucket * kBucketSlots + first_byte(wanted)];
    }
}

/// Where an id that is not there goes.
inline DedupTable::Place DedupTable::Segment::free_place(std::uint64_t fingerprint) const {
    for (std::size_t bucket = home(fingerprint);; bucket = after(bucket)) {
        if (const std::uint64_t free = zero_bytes(tags[bucket]); free != 0) return {bucket, first_byte(free)};
    }
}

inline void DedupTable::Segment::put(const Place& place, const Slot& slot) {
    slots[place.bucket * kBucketSlots + place.index] = slot;
    tags[place.bucket] |= tag_of(slot.fingerprint()) << (8 * place.index);
}

template <typename Visit>
void DedupTable::Segment::for_each(Visit&& visit) const {
    for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
        const unsigned used = count_of(tags[bucket]);
        for (unsigned i = 0; i < used; ++i) visit(slots[bucket * kBucketSlots + i]);
    }
}

/// A bucket's slots fill from the first on, and the first one that is free ends the search.
inline DedupTable::Probe DedupTable::probe(const Segment& segment, std::uint64_t fingerprint, std::uint64_t content,
                                           Timestamp oldest) const {
    if (segment.buckets == 0) return {};
    const std::uint64_t tag = tag_of(fingerprint) * kEachByte;
    for (std::size_t bucket = segment.home(fingerprint);; bucket = segment.after(bucket)) {
        const std::uint64_t tags = segment.tags[bucket];
        for (std::uint64_t match = zero_bytes(tags ^ tag); __builtin_expect(match != 0, 0); match &= match - 1) {
            const Slot& known = segment.slots[bucket * kBucketSlots + first_byte(match)];
            if (known.fingerprint() != fingerprint || since_anchor(known) < since_anchor(oldest)) continue;
            return {known.content() == (content & kContentMask) ? Verdict::duplicate : Verdict::conflict, {}};
        }
        if (const std::uint64_t free = zero_bytes(tags); free != 0) return {Verdict::fresh, {bucket, first_byte(free)}};
    }
}

void DedupTable::prefetch_slot(const Hash128& id) const {
    const Segment& segment = segments_[key_group(id.high)];
    if (segment.buckets != 0) prefetch(segment.nearest(fingerprint(id)));
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

inline void DedupTable::keep(Segment& segment, const Place& place, const Slot& slot) {
    segment.put(place, slot);
    segment.earliest = std::min(segment.earliest, since_anchor(slot));
    ++segment.held;
    ++size_;
}

inline bool DedupTable::remember(Segment& segment, const Place& free, const Hash128& id, std::uint64_t content,
                                 Timestamp time, Timestamp oldest) {
    if (!anchored_) {
        anchor_ = std::max(oldest, saturating_subtract(time, kBeforeFirst));
        anchored_ = true;
    }
    const std::uint64_t bits = fingerprint(id);
    if (!near(time)) return remember_far(kept_id(key_group(id.high), bits), content, time, oldest);
    const std::uint64_t stored = static_cast<std::uint64_t>(time) & (kTimeRange - 1);
    const Slot slot{bits << 16 | stored >> 40, stored << 24 | (content & kContentMask)};
    if (segment.held < segment.limit && (options_.max_ids == 0 || size() < options_.max_ids)) {
        keep(segment, free, slot);
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
    keep(segment, segment.free_place(slot.fingerprint()), slot);
}

std::uint32_t DedupTable::count_forgotten(const Segment& segment, std::uint64_t oldest) const {
    if (oldest <= segment.earliest) return 0;
    std::uint32_t forgotten = 0;
    segment.for_each([&](const Slot& slot) { forgotten += since_anchor(slot) < oldest ? 1 : 0; });
    return forgotten;
}

/// Makes the segment 71 % full with its remembered ids and `more` that will come. Places ascend with fingerprints, so
/// this reads and writes both arrays from front to back.
void DedupTable::rewrite(Segment& segment, std::uint64_t oldest, std::uint32_t forgotten, std::uint32_t more) {
    const std::uint32_t kept = segment.held - forgotten;
    size_ -= forgotten;
    Segment fresh;
    if (kept + more > 0) {
        fresh = Segment::with_room_for(kept + more);
        fresh.held = kept;
        segment.for_each([&](const Slot& slot) {
            const std::uint64_t time = since_anchor(slot);
            if (time < oldest) return;
            fresh.earliest = std::min(fresh.earliest, time);
            fresh.put(fresh.free_place(slot.fingerprint()), slot);
        });
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
    for (Segment& segment : segments_) segment.earliest = 0;
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

void DedupTable::restore(std::span<const Entry> entries) {
    if (entries.empty()) return;
    // In the order of their places: an array that grew with them would be full in front and empty behind.
    Segment& segment = segments_[entries.front().id >> 48];
    CHECK(segment.held == 0);
    segment = Segment::with_room_for(static_cast<std::uint32_t>(entries.size()));
    const Options limited = std::exchange(options_, Options{});
    for (const Entry& entry : entries) {
        // The kept bits in the places that `fingerprint` and `key_group` take them from.
        const Hash128 id{0, (entry.id >> 48) << 57 | (entry.id & ((std::uint64_t{1} << 48) - 1)) << 9};
        CHECK(admit(id, entry.content, entry.time, kBeginningOfTime) == Verdict::fresh);
    }
    options_ = limited;
}

std::uint64_t DedupTable::size_bytes() const {
    std::uint64_t bytes = sizeof *this;
    for (const Segment& segment : segments_)
        bytes += segment.buckets * (kBucketSlots * sizeof(Slot) + sizeof(std::uint64_t));
    // A node and its link of the map, and the allocator's word.
    return bytes + far_.size() * (sizeof(decltype(far_)::value_type) + 2 * sizeof(void*)) +
           far_.bucket_count() * sizeof(void*);
}

std::vector<DedupTable::Entry> DedupTable::entries(std::uint32_t group, Timestamp oldest) const {
    std::vector<Entry> entries;
    const Segment& segment = segments_[group];
    entries.reserve(segment.held);
    segment.for_each([&](const Slot& slot) {
        const auto time = static_cast<Timestamp>(static_cast<std::uint64_t>(anchor_) + since_anchor(slot));
        if (time >= oldest) entries.push_back({kept_id(group, slot.fingerprint()), slot.content(), time});
    });
    // A bucket's place rises with the ids in it.
    sort_nearly_sorted(entries);
    const auto near = static_cast<std::ptrdiff_t>(entries.size());
    for (const auto& [id, far] : far_) {
        if (id >> 48 == group && far.time >= oldest) entries.push_back({id, far.content, far.time});
    }
    std::sort(entries.begin() + near, entries.end(), comes_before);
    std::inplace_merge(entries.begin(), entries.begin() + near, entries.end(), comes_before);
    return entries;
}

}  // namespace takt
