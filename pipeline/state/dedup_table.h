#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "pipeline/base/hash.h"
#include "pipeline/base/int128.h"
#include "pipeline/base/prefetch.h"
#include "pipeline/base/time.h"

namespace takt {

/// Remembers ids within a horizon of event time, at most 24 bytes an id at every size from about 10,000 ids on.
///
/// An id is its 128-bit hash, of which 55 bits are kept: 7 choose the key group, 48 the place and the fingerprint;
/// beside them 24 bits of the content's hash, which tell a retry from a conflict. So with n ids held a fresh id is
/// taken for a known one with probability n / 2^55 (a million ids: 1 in 36,000 million), and is then an ID_CONFLICT,
/// which people see; only with n / 2^79 (1 in 6 x 10^17) is it silently a duplicate. A conflict passes as a duplicate
/// in 1 of 2^24 cases.
///
/// Time is kept exactly, to the nanosecond. Forgetting is exact: an id whose remembered time is older than `oldest` is
/// as if it had never been there, whether it was swept or not. No answer depends on when, or how often, `sweep` was
/// called.
///
/// Each key group has an open-addressed array of buckets of eight ids, filled to between 71 and 91 %; it is rewritten
/// in order when it is full, with what is forgotten left out. A bucket has a word of tags, a byte of each id's
/// fingerprint, and the words of eight buckets share a cache line: one look there says that an id is fresh, and its
/// slot is then only written. Not thread-safe: one lane owns it.
class DedupTable {
  public:
    enum class Verdict : std::uint8_t {
        fresh,
        duplicate,
        conflict,
        full,  ///< fresh, but max_ids ids are remembered already
    };

    struct Options {
        std::uint64_t max_ids = 0;  ///< 0: no limit
    };

    explicit DedupTable(Options options) : options_(options) {}
    DedupTable() : DedupTable(Options{}) {}

    /// Bring near what `admit` will read and write: first the tags of the id's bucket, then, some rows later, its slot.
    void prefetch_tags(const Hash128& id) const {
        const Segment& segment = segments_[key_group(id.high)];
        if (segment.buckets != 0) prefetch(&segment.tags[segment.home(fingerprint(id))]);
    }
    void prefetch_slot(const Hash128& id) const;

    /// What is known of the id; does not change the table. `oldest` = watermark - horizon: entries with time < oldest
    /// are forgotten.
    Verdict find(const Hash128& id, std::uint64_t content, Timestamp oldest) const;

    /// The same, and remembers a fresh id.
    Verdict admit(const Hash128& id, std::uint64_t content, Timestamp time, Timestamp oldest);

    /// Drops forgotten entries of the next two key groups, and gives their memory back; called at each epoch's end with
    /// the new `oldest`, which never goes back.
    void sweep(Timestamp oldest);

    std::uint64_t size() const { return size_ + far_.size(); }  ///< ids held, forgotten but unswept ones included
    std::uint64_t size_bytes() const;                           ///< memory of the table

    struct Entry {
        std::uint64_t id = 0;       ///< the 55 bits that are kept
        std::uint32_t content = 0;  ///< the 24 bits that are kept
        Timestamp time = 0;
        bool operator==(const Entry&) const = default;
    };
    /// Every remembered id of one key group, by id and time: the same for the same content. For snapshots and tests.
    std::vector<Entry> entries(std::uint32_t group, Timestamp oldest) const;
    /// Remembers entries of one key group of another table, as `entries` gave them, whatever max_ids says; this one has
    /// none of that group yet.
    void restore(std::span<const Entry> entries);

  private:
    static constexpr std::size_t kBucketSlots = 8;  ///< as many as a word has bytes
    static constexpr std::uint64_t kContentMask = (1u << 24) - 1;
    static constexpr std::uint64_t kTimeRange = std::uint64_t{1} << 56;

    /// 48 bits of fingerprint, 56 bits of time, 24 bits of content.
    struct Slot {
        std::uint64_t high = 0;
        std::uint64_t low = 0;

        std::uint64_t fingerprint() const { return high >> 16; }
        std::uint64_t time() const { return (high & 0xFFFF) << 40 | low >> 24; }
        std::uint32_t content() const { return static_cast<std::uint32_t>(low & kContentMask); }
    };
    struct FreeSlots {
        void operator()(Slot* slots) const { std::free(slots); }
    };
    struct Place {
        std::size_t bucket = 0;
        unsigned index = 0;
    };
    struct Segment {
        std::unique_ptr<Slot[], FreeSlots> slots;  ///< aligned to cache lines; those without a tag are not initialized
        std::uint64_t* tags = nullptr;             ///< of each bucket, behind the slots: filled from the lowest byte on
        std::uint32_t buckets = 0;
        std::uint32_t held = 0;
        std::uint32_t limit = 0;              ///< held never exceeds it, so some slot is always free
        std::uint64_t earliest = kTimeRange;  ///< no id that is held has an earlier time since the anchor

        static Segment with_room_for(std::uint32_t ids);
        std::size_t home(std::uint64_t fingerprint) const {
            return static_cast<std::size_t>((UInt128{fingerprint << 16} * buckets) >> 64);
        }
        std::size_t after(std::size_t bucket) const { return bucket + 1 == buckets ? 0 : bucket + 1; }
        Slot* nearest(std::uint64_t fingerprint) const;
        Place free_place(std::uint64_t fingerprint) const;
        void put(const Place& place, const Slot& slot);
        template <typename Visit>
        void for_each(Visit&& visit) const;
    };
    struct Probe {
        Verdict verdict = Verdict::fresh;
        Place free;  ///< where a fresh id goes
    };
    struct Far {
        Timestamp time = 0;
        std::uint32_t content = 0;
    };

    static std::uint64_t fingerprint(const Hash128& id) {
        const std::uint64_t bits = id.high << 7 >> 16;
        return bits == 0 ? 1 : bits;
    }
    static std::uint64_t kept_id(std::uint32_t group, std::uint64_t fingerprint) {
        return std::uint64_t{group} << 48 | fingerprint;
    }
    /// Time since the anchor, exact.
    std::uint64_t since_anchor(const Slot& slot) const {
        return (slot.time() - static_cast<std::uint64_t>(anchor_)) & (kTimeRange - 1);
    }
    std::uint64_t since_anchor(Timestamp oldest) const {
        return oldest <= anchor_ ? 0 : static_cast<std::uint64_t>(oldest) - static_cast<std::uint64_t>(anchor_);
    }
    bool near(Timestamp time) const {
        return time >= anchor_ && static_cast<std::uint64_t>(time) - static_cast<std::uint64_t>(anchor_) < kTimeRange;
    }
    Probe probe(const Segment& segment, std::uint64_t fingerprint, std::uint64_t content, Timestamp oldest) const;
    bool remember(Segment& segment, const Place& free, const Hash128& id, std::uint64_t content, Timestamp time,
                  Timestamp oldest);
    Verdict find_far(std::uint64_t id, std::uint64_t content, Timestamp oldest) const;
    bool remember_far(std::uint64_t id, std::uint64_t content, Timestamp time, Timestamp oldest);
    bool make_room(Timestamp oldest);
    void keep(Segment& segment, const Place& place, const Slot& slot);
    std::uint32_t count_forgotten(const Segment& segment, std::uint64_t oldest) const;
    void rewrite(Segment& segment, std::uint64_t oldest, std::uint32_t forgotten, std::uint32_t more);
    void insert(Segment& segment, const Slot& slot, std::uint64_t oldest);
    void sweep_all(Timestamp oldest);
    void sweep_far(Timestamp oldest);
    void move_anchor(Timestamp to);

    Options options_;
    std::array<Segment, kKeyGroups> segments_{};
    std::uint64_t size_ = 0;  ///< in the segments
    std::uint32_t next_swept_ = 0;
    /// Times of the segments' entries lie within kTimeRange (834 days) from here on, so 56 bits are enough.
    Timestamp anchor_ = kBeginningOfTime;
    bool anchored_ = false;
    /// The few whose time does not: two sources that are years apart, for example.
    std::unordered_map<std::uint64_t, Far> far_;
    /// Everything forgotten at this time has been swept.
    Timestamp swept_all_ = kBeginningOfTime;
};

}  // namespace takt
