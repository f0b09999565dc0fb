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
    std::size_t size = (1 + texts.size()) * sizeof(std::uint32_t);
    for (const std::string_view text : texts) size += text.size();
    char* const packed = new char[size];
    const auto total = static_cast<std::uint32_t>(size);
    std::memcpy(packed, &total, sizeof total);
    char* to = packed + sizeof total;
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
    packed += sizeof(std::uint32_t);
    for (std::string_view& text : texts) {
        std::uint32_t length = 0;
        std::memcpy(&length, packed, sizeof length);
        packed += sizeof length;
        text = {packed, length};
        packed += length;
    }
}

namespace {

std::string_view packed_bytes(const char* packed) {
    std::uint32_t size = 0;
    if (packed != nullptr) std::memcpy(&size, packed, sizeof size);
    return {packed, size};
}

void save_attachment(const Attachment& attachment, ByteWriter& out) {
    out.put<std::uint64_t>(attachment.text_values.size());
    for (const std::string& text : attachment.text_values) out.put_text(text);
    out.put<std::uint64_t>(attachment.distinct.size());
    for (const auto& values : attachment.distinct) {
        std::vector<std::string_view> sorted(values.begin(), values.end());
        std::sort(sorted.begin(), sorted.end());
        out.put<std::uint64_t>(sorted.size());
        for (const std::string_view value : sorted) out.put_text(value);
    }
    out.put<std::uint64_t>(attachment.samples.size());
    for (const auto& samples : attachment.samples) {
        out.put<std::uint64_t>(samples.size());
        for (const Sample& sample : samples) {
            out.put(sample.time);
            out.put(sample.sequence);
            out.put(sample.exact);
            out.put(sample.real);
        }
    }
    out.put<std::uint64_t>(attachment.more_ranges.size());
    for (const auto& [source, range] : attachment.more_ranges) {
        out.put(source);
        out.put(range.first);
        out.put(range.second);
    }
}

void load_attachment(Attachment& attachment, ByteReader& in) {
    attachment.text_values.resize(in.get_count(sizeof(std::uint32_t)));
    for (std::string& text : attachment.text_values) text = in.get_text();
    attachment.distinct.resize(in.get_count(sizeof(std::uint64_t)));
    for (auto& values : attachment.distinct) {
        for (std::uint64_t left = in.get_count(sizeof(std::uint32_t)); left > 0; --left) values.emplace(in.get_text());
    }
    attachment.samples.resize(in.get_count(sizeof(std::uint64_t)));
    for (auto& samples : attachment.samples) {
        samples.resize(in.get_count(sizeof(Timestamp) + sizeof(std::uint64_t) + sizeof(Int128) + sizeof(double)));
        for (Sample& sample : samples) {
            sample.time = in.get<Timestamp>();
            sample.sequence = in.get<std::uint64_t>();
            sample.exact = in.get<Int128>();
            sample.real = in.get<double>();
        }
    }
    attachment.more_ranges.resize(in.get_count(sizeof(std::uint32_t) + 2 * sizeof(std::uint64_t)));
    for (auto& [source, range] : attachment.more_ranges) {
        source = in.get<std::uint32_t>();
        range.first = in.get<std::uint64_t>();
        range.second = in.get<std::uint64_t>();
    }
}

}  // namespace

void save_block(const std::byte* block, std::uint32_t size, ByteWriter& out) {
    const PaneHeader& header = pane_header(block);
    out.put(header.events);
    out.put(header.first_sequence);
    out.put(header.ids.low);
    out.put(header.ids.high);
    out.put(header.last_sequence);
    out.put(header.source);
    out.put_text(packed_bytes(header.texts));
    out.put<std::uint8_t>(header.attachment != nullptr ? 1 : 0);
    if (header.attachment != nullptr) save_attachment(*header.attachment, out);
    out.put_raw(block + sizeof(PaneHeader), size - sizeof(PaneHeader));
}

bool load_block(std::byte* block, std::uint32_t size, ByteReader& in) {
    PaneHeader& header = pane_header(block);
    header.events = in.get<std::uint64_t>();
    header.first_sequence = in.get<std::uint64_t>();
    header.ids.low = in.get<std::uint64_t>();
    header.ids.high = in.get<std::uint64_t>();
    header.last_sequence = in.get<std::uint64_t>();
    header.source = in.get<std::uint32_t>();
    const std::string_view texts = in.get_text();
    if (!texts.empty()) {
        if (texts.size() < sizeof(std::uint32_t) || packed_bytes(texts.data()).size() != texts.size()) return false;
        header.texts = new char[texts.size()];
        std::memcpy(header.texts, texts.data(), texts.size());
    }
    if (in.get<std::uint8_t>() != 0) {
        header.attachment = new Attachment;
        load_attachment(*header.attachment, in);
    }
    in.get_raw(block + sizeof(PaneHeader), size - sizeof(PaneHeader));
    return in.ok();
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
