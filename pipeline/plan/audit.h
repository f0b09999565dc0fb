#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipeline/base/bytes.h"
#include "pipeline/base/hash.h"
#include "pipeline/base/int128.h"
#include "pipeline/batch/batch.h"
#include "pipeline/plan/posting.h"

namespace takt {

// What must balance (docs/audit.md). The sums grow with each epoch, from the first one on, and stand in every frame and
// snapshot. Sums of values are modulo 2^128: no pipeline gets there, and none is stopped by it.

struct EpochResult;
struct SourceCut;

/// Events as a multiset: how many there are, and the sum of their hashes modulo 2^128. One event that was lost and
/// another one that was counted twice leave the number as it is, and not the hash.
struct EventSum {
    std::uint64_t count = 0;
    Hash128 hash;

    void add(const Hash128& event) {
        ++count;
        hash += event;
    }
    EventSum& operator+=(const EventSum& more) {
        count += more.count;
        hash += more.hash;
        return *this;
    }
    bool operator==(const EventSum&) const = default;
};

/// What stands for a source in the hashes of its events.
inline Hash128 source_seed(std::string_view name) {
    return hash128(name);
}

/// The hash of the event at this place of a source. Cheap, as each event is hashed twice, and mixed so well that each
/// half alone tells sums of two places apart (docs/decisions/audit-sums.md).
inline Hash128 event_hash(const Hash128& seed, std::uint64_t sequence, std::uint32_t part) {
    std::uint64_t low = sequence ^ std::rotl(std::uint64_t{part}, 40) ^ seed.low;
    low *= 0xBF58476D1CE4E5B9u;
    low ^= low >> 32;
    low *= 0x94D049BB133111EBu;
    low ^= low >> 29;
    std::uint64_t high = (low ^ seed.high) * 0xD6E8FEB86659FD93u;
    high ^= high >> 32;
    return {low, high};
}

/// How the sequences of one source went, since the first epoch.
struct SourceSum {
    std::uint64_t received = 0;                        ///< messages
    std::array<std::uint64_t, kHoleKinds> holes = {};  ///< sequences without a message, by kind

    bool operator==(const SourceSum&) const = default;
};

/// One number of one step in one unit, since the first epoch, in units of 10^-scale.
struct ValueSum {
    std::string step;     ///< a posting or an aggregate
    std::string measure;  ///< "quantity", "amount", or the name of the aggregate's value
    std::string unit;     ///< of a quantity, or the currency of an amount; empty: none
    std::int32_t scale = 0;
    bool posts = false;      ///< of a posting
    bool adds_up = false;    ///< a sum or a number of rows: what rows brought is what panes hold
    Int128 contributed = 0;  ///< by accepted rows, once for each pane that took them
    Int128 settled = 0;      ///< what panes held when they were posted or sent on; the rest is open
    Int128 rounding = 0;     ///< the part of it that is finer than the posting's digits
    Int128 dropped = 0;      ///< what panes held when a person let their state go

    bool operator==(const ValueSum&) const = default;
};

/// The postings of one type in one unit and currency, since the first epoch.
struct PostingSum {
    std::string type;
    std::string unit;
    std::string currency;
    std::int32_t quantity_scale = 0;
    std::int32_t amount_scale = 0;
    std::uint64_t count = 0;
    Int128 quantity = 0;  ///< of differences
    Int128 amount = 0;
    Int128 debit = 0;  ///< of lines
    Int128 credit = 0;
    Hash128 hash = {};  ///< of their keys and payloads

    void add(const Posting& posting);
    PostingSum& operator+=(const PostingSum& more);
    bool operator==(const PostingSum&) const = default;
};

/// All sums at the end of an epoch.
struct AuditTotals {
    EventSum received;                 ///< as they were decoded
    std::vector<EventSum> outcomes;    ///< by outcome code, as they were counted when all steps were through with them
    EventSum replayed;                 ///< dead letters that were sent again, as they were ordered; not in `received`
    std::vector<EventSum> replays;     ///< the same by how they ended; kUndecided: their data hold no event
    std::vector<SourceSum> sources;    ///< by source index
    std::vector<ValueSum> values;      ///< by step, measure, unit
    std::vector<PostingSum> postings;  ///< by type, unit, currency

    /// Adds to the sum of the same step, measure and unit.
    void add(const ValueSum& more);
    void add(const Posting& posting);
    bool empty() const;
    bool operator==(const AuditTotals&) const = default;
};

/// The hash of a posting in multisets of postings: of its key and its payload.
Hash128 posting_hash(std::string_view key, std::string_view payload_hash);

/// a + b, a - b, and a at a finer scale, modulo 2^128.
inline Int128 wrapping_add(Int128 a, Int128 b) {
    return static_cast<Int128>(static_cast<UInt128>(a) + static_cast<UInt128>(b));
}
inline Int128 wrapping_subtract(Int128 a, Int128 b) {
    return static_cast<Int128>(static_cast<UInt128>(a) - static_cast<UInt128>(b));
}
Int128 wrapping_rescale(Int128 units, int from_scale, int to_scale);

/// "before_start", "filtered", "deleted", "lost".
std::string_view to_string(HoleKind kind);

enum class Equation : std::uint8_t { sequence = 1, classification, value, posting, sink, double_entry };
/// "sequence", "classification", "value", "posting", "sink", "double entry".
std::string_view to_string(Equation equation);
constexpr Equation kEquations[] = {Equation::sequence, Equation::classification, Equation::value,
                                   Equation::posting,  Equation::sink,           Equation::double_entry};

/// An equation that does not hold.
struct Imbalance {
    Equation equation = Equation::sequence;
    std::string text;  ///< "source floor: cut 12 - start 0 is 12, but 11 received + 0 holes"
};

/// How many sequences between a source's start and its cut were neither received nor told to be missing: 0. A negative
/// number: some were both, or twice.
Int128 unknown_sequences(const SourceCut& cut, const SourceSum& sums);

/// What was posted of a value in its unit, at its scale.
Int128 posted_of(const AuditTotals& totals, const ValueSum& value);

/// What of an epoch that was made does not balance: totals at its end, its documents, its revisions. `source_names` by
/// index. Empty: all is well.
std::vector<Imbalance> find_imbalances(const EpochResult& epoch, std::span<const std::string> source_names);

/// What of a value its panes hold: 0 where that cannot be known.
Int128 open_of(const ValueSum& value);

/// Which values are not what rows brought, less what panes have told. `open`: what panes hold beside, of all lanes, as
/// KeyedState::add_open gives it.
std::vector<Imbalance> find_open_imbalances(const AuditTotals& totals, std::span<const ValueSum> open);

/// What does not fit between the totals of two epochs that follow each other, and what stands in the later one.
/// `is_dead_letter`: by outcome code.
std::vector<Imbalance> find_gaps(const AuditTotals& before, const EpochResult& epoch,
                                 std::span<const std::string> source_names, const std::vector<bool>& is_dead_letter);

/// Follows the revisions of panes: 1, 2, ... without gap, each once, and their differences sum up to the cumulative
/// values.
class RevisionChains {
  public:
    /// `from_the_first`: every revision is seen; else those before the ones that are seen are not known.
    explicit RevisionChains(bool from_the_first) : from_the_first_(from_the_first) {}
    /// The next posting in the order in which they were made. What is wrong with it; empty: nothing.
    std::string follow(const Posting& posting);

  private:
    /// Of the last revision of a pane.
    struct Last {
        std::uint32_t revision = 0;
        Int128 quantity_cumulative = 0;
        Int128 amount_cumulative = 0;
    };
    struct Low {
        std::size_t operator()(const Hash128& hash) const { return hash.low; }
    };
    bool from_the_first_;
    std::unordered_map<Hash128, Last, Low> last_;  ///< by hash of its key
};

/// The same of one posting by itself, as far as that can be seen.
std::string revision_mistake(const Posting& posting);

/// For snapshots: see ByteWriter.
void save_totals(const AuditTotals& totals, ByteWriter& out);
bool load_totals(AuditTotals& totals, ByteReader& in);
void save_values(std::span<const ValueSum> values, ByteWriter& out);
void load_values(std::vector<ValueSum>& values, ByteReader& in);

}  // namespace takt
