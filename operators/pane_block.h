#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "pipeline/base/bytes.h"
#include "pipeline/base/hash.h"
#include "pipeline/base/int128.h"
#include "pipeline/batch/batch.h"
#include "pipeline/plan/plan.h"
#include "pipeline/plan/posting.h"

namespace takt {

/// A sample of a signal; samples of a pane are kept in order of (time, sequence).
struct Sample {
    Timestamp time = 0;
    std::uint64_t sequence = 0;
    Int128 exact = 0;  ///< decimal and integer arguments
    double real = 0;   ///< double arguments
    bool operator<(const Sample& other) const {
        return std::tie(time, sequence) < std::tie(other.time, other.sequence);
    }
};

/// What does not fit the fixed block of a pane: owned by the pane, allocated only where a function needs it.
struct Attachment {
    std::vector<std::string> text_values;                   ///< first and last of strings, by function
    std::vector<std::unordered_set<std::string>> distinct;  ///< by function
    std::vector<std::vector<Sample>> samples;               ///< by function
    std::vector<std::pair<std::uint32_t, std::pair<std::uint64_t, std::uint64_t>>>
        more_ranges;  ///< sources beside the first
};

/// At the start of every pane's block: lineage, and what the pane owns beside the block.
struct PaneHeader {
    Attachment* attachment;  ///< null where no function needs it and one source fed the pane
    char* texts;             ///< of the pane's first row: what a posting says beside its sums; see pack_texts
    std::uint64_t events;
    std::uint64_t first_sequence;
    Hash128 ids;
    std::uint64_t last_sequence;
    std::uint32_t source;
    std::uint32_t book_place;  ///< of the step's ValueBook, for its units; not saved
};
static_assert(sizeof(PaneHeader) % 16 == 0);

inline PaneHeader& pane_header(std::byte* block) {
    return *reinterpret_cast<PaneHeader*>(block);
}
inline const PaneHeader& pane_header(const std::byte* block) {
    return *reinterpret_cast<const PaneHeader*>(block);
}

/// Frees what the block owns; the block itself is the table's.
void release_block(std::byte* block);

/// Strings in one allocation, which begins with its own size, for PaneHeader::texts.
char* pack_texts(std::span<const std::string_view> texts);
void unpack_texts(const char* packed, std::span<std::string_view> texts);

/// Writes the block of `size` bytes with what it owns, and reads it back into a zeroed one of the same size. False: the
/// bytes are no such block.
void save_block(const std::byte* block, std::uint32_t size, ByteWriter& out);
bool load_block(std::byte* block, std::uint32_t size, ByteReader& in);

/// Counts rows[i] into the header of blocks[i], for all i: how many events, from where, which ids.
void add_lineage(const Batch& batch, const Segment& segment, std::span<const Row> rows,
                 std::span<std::byte* const> blocks);
/// Adds the lineage of `from` to `into`.
void merge_lineage(std::byte* into, const std::byte* from);
/// The lineage of a pane.
Lineage read_lineage(const std::byte* block, const std::vector<std::string>& source_names);

}  // namespace takt
