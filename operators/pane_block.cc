#include "operators/pane_block.h"

#include <algorithm>
#include <cstring>

namespace takt {
namespace {

/// Widens the range of the source in a header that has one already.
void add_range(PaneHeader& header, std::uint32_t source, std::uint64_t low, std::uint64_t high) {
    if (header.source == source) {
        header.first_sequence = std::min(header.first_sequence, low);
        header.last_sequence = std::max(header.last_sequence, high);
        return;
    }
    if (header.attachment == nullptr) header.attachment = new Attachment;
    auto& ranges = header.attachment->more_ranges;
    auto range = std::find_if(ranges.begin(), ranges.end(), [&](const auto& known) { return known.first == source; });
    if (range == ranges.end()) {
        ranges.push_back({source, {low, high}});
    } else {
        range->second.first = std::min(range->second.first, low);
        range->second.second = std::max(range->second.second, high);
    }
}

}  // namespace

void release_block(std::byte* block) {
    PaneHeader& header = pane_header(block);
    delete header.attachment;
    delete[] header.texts;
    header.attachment = nullptr;
    header.texts = nullptr;
}

char* pack_texts(std::span<const std::string_view> texts) {
    std::size_t size = texts.size() * sizeof(std::uint32_t);
    for (const std::string_view text : texts) size += text.size();
    char* const packed = new char[size];
    char* to = packed;
    for (const std::string_view text : texts) {
        const auto length = static_cast<std::uint32_t>(text.size());
        std::memcpy(to, &length, sizeof length);
        to += sizeof length;
        if (length != 0) std::memcpy(to, text.data(), length);
        to += length;
    }
    return packed;
}

void unpack_texts(const char* packed, std::span<std::string_view> texts) {
    for (std::string_view& text : texts) {
        std::uint32_t length = 0;
        std::memcpy(&length, packed, sizeof length);
        packed += sizeof length;
        text = {packed, length};
        packed += length;
    }
}

void add_lineage(const Batch& batch, const Segment& segment, std::span<const Row> rows,
                 std::span<std::byte* const> blocks) {
    const Hash128* ids = segment.id_hash == kNoSlot ? nullptr : batch.column(segment.id_hash).values<Hash128>();
    const std::uint64_t* events =
        segment.events == kNoSlot ? nullptr : batch.column(segment.events).values<std::uint64_t>();
    const std::uint64_t* first =
        segment.first_sequence == kNoSlot ? nullptr : batch.column(segment.first_sequence).values<std::uint64_t>();
    const std::uint64_t* last =
        segment.last_sequence == kNoSlot ? nullptr : batch.column(segment.last_sequence).values<std::uint64_t>();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const Row row = rows[i];
        PaneHeader& header = pane_header(blocks[i]);
        const std::uint64_t low = first ? first[row] : batch.origin[row].sequence;
        const std::uint64_t high = last ? last[row] : low;
        const bool fresh = header.events == 0;
        header.events += events ? events[row] : 1;
        if (ids != nullptr) header.ids += ids[row];
        if (fresh) {
            header.source = batch.source;
            header.first_sequence = low;
            header.last_sequence = high;
        } else {
            add_range(header, batch.source, low, high);
        }
    }
}

void merge_lineage(std::byte* into, const std::byte* from) {
    PaneHeader& header = pane_header(into);
    const PaneHeader& more = pane_header(from);
    header.events += more.events;
    header.ids += more.ids;
    add_range(header, more.source, more.first_sequence, more.last_sequence);
    if (more.attachment == nullptr) return;
    for (const auto& [source, range] : more.attachment->more_ranges)
        add_range(header, source, range.first, range.second);
}

Lineage read_lineage(const std::byte* block, const std::vector<std::string>& source_names) {
    const PaneHeader& header = pane_header(block);
    Lineage lineage;
    lineage.events = header.events;
    lineage.ids = header.ids;
    lineage.ranges.push_back({source_names[header.source], header.first_sequence, header.last_sequence});
    if (header.attachment != nullptr) {
        for (const auto& [source, range] : header.attachment->more_ranges) {
            lineage.ranges.push_back({source_names[source], range.first, range.second});
        }
    }
    std::sort(lineage.ranges.begin(), lineage.ranges.end(),
              [](const Lineage::Range& a, const Lineage::Range& b) { return a.source < b.source; });
    return lineage;
}

}  // namespace takt
