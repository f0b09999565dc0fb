// The deduplication's table in steady state: each id is new but for one in a hundred, and as many are forgotten as
// come.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "pipeline/state/dedup_table.h"

namespace takt {
namespace {

constexpr std::size_t kRows = 1024;
constexpr std::size_t kSlotsAhead = 16;
constexpr std::size_t kTagsAhead = 2 * kSlotsAhead;
constexpr Timestamp kBegin = 1'780'000'000 * kSecond;

/// A stand-in for the hash of the id with this number (splitmix64): its cost is not what is measured.
Hash128 id(std::uint64_t number) {
    const auto mix = [](std::uint64_t bits) {
        bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
        bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
        return bits ^ (bits >> 31);
    };
    return {mix(number * 2 + 1), mix(number * 0x9E3779B97F4A7C15u)};
}

/// Row n of the stream has id n at n milliseconds, but from the second horizon on each hundredth repeats one of the
/// last half horizon.
class Stream {
  public:
    explicit Stream(std::uint64_t ids) : ids_(ids) {}

    Duration horizon() const { return static_cast<Duration>(ids_) * kMillisecond; }
    bool repeats(std::uint64_t row) const { return row >= ids_ && row % 100 == 99; }
    std::uint64_t number(std::uint64_t row) const {
        if (!repeats(row)) return row;
        const std::uint64_t earlier = row - 2 - row * 7919 % (ids_ / 2);
        return earlier % 100 == 99 ? earlier - 1 : earlier;
    }
    Timestamp time(std::uint64_t row) const { return kBegin + static_cast<Timestamp>(row) * kMillisecond; }

  private:
    std::uint64_t ids_;
};

/// Bytes that a container of the standard library has taken.
template <typename T>
struct CountingAllocator {
    using value_type = T;
    explicit CountingAllocator(std::uint64_t* count) : bytes(count) {}
    template <typename Other>
    CountingAllocator(const CountingAllocator<Other>& other) : bytes(other.bytes) {}
    T* allocate(std::size_t n) {
        *bytes += n * sizeof(T);
        return std::allocator<T>().allocate(n);
    }
    void deallocate(T* at, std::size_t n) {
        *bytes -= n * sizeof(T);
        std::allocator<T>().deallocate(at, n);
    }
    bool operator==(const CountingAllocator& other) const { return bytes == other.bytes; }
    std::uint64_t* bytes;
};

/// What the standard library has for it: a hash map with the whole id, and a queue that says what is forgotten next.
class MapTable {
  public:
    using Verdict = DedupTable::Verdict;

    MapTable() : known_(0, LowBits{}, {}, Allocator<Entry>(&bytes_)), by_time_(Allocator<Due>(&bytes_)) {}

    void prefetch_tags(const Hash128&) const {}
    void prefetch_slot(const Hash128&) const {}
    Verdict find(const Hash128& id, std::uint64_t content, Timestamp oldest) const {
        const auto known = known_.find(id);
        if (known == known_.end() || known->second.time < oldest) return Verdict::fresh;
        return known->second.content == content ? Verdict::duplicate : Verdict::conflict;
    }
    Verdict admit(const Hash128& id, std::uint64_t content, Timestamp time, Timestamp oldest) {
        const Verdict verdict = find(id, content, oldest);
        if (verdict != Verdict::fresh) return verdict;
        known_.insert_or_assign(id, Value{time, content});
        by_time_.push_back({time, id});
        return verdict;
    }
    void sweep(Timestamp oldest) {
        for (; !by_time_.empty() && by_time_.front().first < oldest; by_time_.pop_front()) {
            const auto known = known_.find(by_time_.front().second);
            if (known != known_.end() && known->second.time < oldest) known_.erase(known);
        }
    }
    std::uint64_t size() const { return known_.size(); }
    std::uint64_t size_bytes() const { return bytes_; }  // without what malloc adds to each node

  private:
    struct LowBits {
        std::size_t operator()(const Hash128& hash) const { return hash.low; }
    };
    struct Value {
        Timestamp time;
        std::uint64_t content;
    };
    using Entry = std::pair<const Hash128, Value>;
    using Due = std::pair<Timestamp, Hash128>;
    template <typename T>
    using Allocator = CountingAllocator<T>;
    std::uint64_t bytes_ = 0;
    std::unordered_map<Hash128, Value, LowBits, std::equal_to<>, Allocator<Entry>> known_;
    std::deque<Due, Allocator<Due>> by_time_;
};

/// The same open addressing with nothing cut off: 32 bytes a slot, two to a cache line. One array, rewritten whole:
/// with more ids than stream by in a measurement its rewriting would not be seen.
class WideTable {
  public:
    using Verdict = DedupTable::Verdict;

    void prefetch_tags(const Hash128&) const {}
    void prefetch_slot(const Hash128& id) const {
        if (!slots_.empty()) prefetch(&slots_[home(id)]);
    }
    Verdict find(const Hash128& id, std::uint64_t content, Timestamp oldest) const {
        if (slots_.empty()) return Verdict::fresh;
        for (std::size_t at = home(id); slots_[at].time != kFree; at = after(at)) {
            if (!(slots_[at].id == id) || slots_[at].time < oldest) continue;
            return slots_[at].content == content ? Verdict::duplicate : Verdict::conflict;
        }
        return Verdict::fresh;
    }
    Verdict admit(const Hash128& id, std::uint64_t content, Timestamp time, Timestamp oldest) {
        const Verdict verdict = find(id, content, oldest);
        if (verdict != Verdict::fresh) return verdict;
        if (held_ >= slots_.size() / 8 * 7) rewrite(oldest);
        put({id, time, content});
        return verdict;
    }
    void sweep(Timestamp) {}
    std::uint64_t size() const { return held_; }
    std::uint64_t size_bytes() const { return slots_.size() * sizeof(Slot); }

  private:
    static constexpr Timestamp kFree = kBeginningOfTime;
    struct Slot {
        Hash128 id;
        Timestamp time = kFree;
        std::uint64_t content = 0;
    };
    std::size_t home(const Hash128& id) const {
        return static_cast<std::size_t>((UInt128{id.high} * slots_.size()) >> 64);
    }
    std::size_t after(std::size_t at) const { return at + 1 == slots_.size() ? 0 : at + 1; }
    void put(const Slot& slot) {
        std::size_t at = home(slot.id);
        while (slots_[at].time != kFree) at = after(at);
        slots_[at] = slot;
        ++held_;
    }
    void rewrite(Timestamp oldest) {
        std::vector<Slot> old = std::move(slots_);
        const auto live = static_cast<std::size_t>(std::count_if(
            old.begin(), old.end(), [&](const Slot& slot) { return slot.time != kFree && slot.time >= oldest; }));
        slots_ = std::vector<Slot>(std::max<std::size_t>(64, live * 10 / 7));
        held_ = 0;
        for (const Slot& slot : old) {
            if (slot.time != kFree && slot.time >= oldest) put(slot);
        }
    }

    std::vector<Slot> slots_;
    std::size_t held_ = 0;
};

struct Counts {
    std::uint64_t duplicates = 0;
    std::uint64_t conflicts = 0;
};

/// Rows [first, first + kRows) as the operator does it.
template <typename Table>
Counts process(Table& table, const Stream& stream, std::uint64_t first) {
    std::array<Hash128, kRows> ids;
    for (std::size_t i = 0; i < kRows; ++i) ids[i] = id(stream.number(first + i));
    const Timestamp oldest = stream.time(first) - stream.horizon();
    Counts counts;
    for (std::size_t i = 0; i < kTagsAhead; ++i) table.prefetch_tags(ids[i]);
    for (std::size_t i = 0; i < kSlotsAhead; ++i) table.prefetch_slot(ids[i]);
    for (std::size_t i = 0; i < kRows; ++i) {
        if (i + kTagsAhead < kRows) table.prefetch_tags(ids[i + kTagsAhead]);
        if (i + kSlotsAhead < kRows) table.prefetch_slot(ids[i + kSlotsAhead]);
        const std::uint64_t content = ids[i].low >> 8;
        switch (table.admit(ids[i], content, stream.time(first + i), oldest)) {
            case DedupTable::Verdict::fresh:
            case DedupTable::Verdict::full:
                break;
            case DedupTable::Verdict::duplicate:
                ++counts.duplicates;
                break;
            case DedupTable::Verdict::conflict:
                ++counts.conflicts;
                break;
        }
    }
    if (first / kRows % 64 == 63) table.sweep(oldest);
    return counts;
}

template <typename Table>
void steady_state(benchmark::State& state) {
    const auto ids = static_cast<std::uint64_t>(state.range(0));
    const Stream stream(ids);
    Table table;
    std::uint64_t row = 0;
    Counts counts;
    // Two horizons: what was forgotten has been replaced once.
    while (row < 2 * ids) {
        const Counts more = process(table, stream, row);
        counts.duplicates += more.duplicates;
        counts.conflicts += more.conflicts;
        row += kRows;
    }
    std::uint64_t expected = 0;
    for (std::uint64_t r = 0; r < row; ++r) expected += stream.repeats(r) ? 1 : 0;
    if (counts.conflicts != 0 || counts.duplicates != expected) {
        state.SkipWithError("the table's answer is wrong");
        return;
    }
    for (auto _ : state) {
        benchmark::DoNotOptimize(process(table, stream, row));
        row += kRows;
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRows));
    state.counters["bytes_per_id"] = static_cast<double>(table.size_bytes()) / static_cast<double>(table.size());
    if constexpr (std::is_same_v<Table, DedupTable>) {
        state.SetLabel(ids == 1'000'000 ? "goal=16666667 goal.bytes_per_id=24" : "goal.bytes_per_id=24");
    } else {
        state.SetLabel("baseline=dedup/steady/" + std::to_string(ids));
    }
}

BENCHMARK(steady_state<DedupTable>)->Name("dedup/steady")->Arg(10'000)->Arg(100'000)->Arg(1'000'000)->Arg(10'000'000);
BENCHMARK(steady_state<WideTable>)->Name("dedup/slots_of_32_bytes")->Arg(100'000)->Arg(1'000'000);
BENCHMARK(steady_state<MapTable>)->Name("dedup/unordered_map")->Arg(100'000)->Arg(1'000'000);

}  // namespace
}  // namespace takt

BENCHMARK_MAIN();
