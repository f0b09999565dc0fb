#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pipeline/base/hash.h"
#include "pipeline/base/time.h"

namespace takt {

/// Remembers ids within a horizon of event time, at most 24 bytes an id at every size.
///
/// An id is its 128-bit hash: the high half chooses the place, part of the low half is kept; a 24-bit content fingerprint tells a retry
/// from a conflict. Time is kept exactly, to the nanosecond, within ±2^55 ns of the watermark (limit of the horizon: 365 days).
/// Forgetting is exact: an id whose remembered time is older than `oldest` is as if it had never been there, whether it was swept or not.
/// Not thread-safe: one lane owns it.
class DedupTable {
  public:
    enum class Verdict : std::uint8_t { fresh, duplicate, conflict };

    struct Options {
        std::uint64_t max_ids = 0;  ///< 0: no limit
    };

    explicit DedupTable(Options options);
    DedupTable();
    ~DedupTable();

    /// Brings the cache lines of these ids near. Call for a batch of rows, then find/remember each.
    void prefetch(const Hash128& id) const;

    /// What is known of the id; does not change the table. `oldest` = watermark - horizon: entries with time < oldest are forgotten.
    Verdict find(const Hash128& id, std::uint64_t content, Timestamp oldest) const;

    /// Remembers a fresh id (after find said fresh). False when max_ids is reached.
    bool remember(const Hash128& id, std::uint64_t content, Timestamp time, Timestamp oldest);

    /// Drops some forgotten entries (bounded work a call); called at each epoch end with the new `oldest`. A jump of the
    /// watermark that could make old times ambiguous sweeps everything.
    void sweep(Timestamp oldest);

    std::uint64_t size() const;        ///< ids held, forgotten but unswept ones included
    std::uint64_t size_bytes() const;  ///< memory of the table

    /// Every remembered id of one key group, in an order that depends only on the content: for snapshots and tests.
    struct Entry {
        std::uint64_t place;        ///< high half of the id's hash
        std::uint64_t fingerprint;  ///< what is kept of the low half
        std::uint64_t content;      ///< what is kept of the content hash
        Timestamp time;
    };
    std::vector<Entry> entries(std::uint32_t key_group) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace takt
