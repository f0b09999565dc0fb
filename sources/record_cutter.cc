#include "sources/record_cutter.h"

#include <cstring>

namespace takt {

RecordCutter::Cut RecordCutter::cut(std::string_view bytes, bool last) const {
    if (bytes.empty()) return {};
    switch (framing_) {
        case RecordFraming::lines:
            return cut_line(bytes, last);
        case RecordFraming::delimited:
            return cut_delimited(bytes, last);
        case RecordFraming::size_prefixed:
            return cut_size_prefixed(bytes, last);
    }
    return {};
}

RecordCutter::Cut RecordCutter::too_long(std::string_view data) const {
    const std::string_view start = data.substr(0, max_record_bytes_ + 1);
    return {.kind = Cut::Kind::too_long, .data = start, .consumed = start.size()};
}

RecordCutter::Cut RecordCutter::cut_line(std::string_view bytes, bool last) const {
    const void* end = std::memchr(bytes.data(), '\n', bytes.size());
    if (end == nullptr) {
        if (bytes.size() > max_record_bytes_) return too_long(bytes);
        if (!last) return {};
        return {.kind = Cut::Kind::record, .data = bytes, .consumed = bytes.size()};
    }
    const auto size = static_cast<std::size_t>(static_cast<const char*>(end) - bytes.data());
    if (size > max_record_bytes_) return too_long(bytes.substr(0, size));
    return {.kind = Cut::Kind::record, .data = bytes.substr(0, size), .consumed = size + 1};
}

RecordCutter::Cut RecordCutter::cut_delimited(std::string_view bytes, bool last) const {
    bool field_start = true;
    bool quoted = false;
    std::size_t i = 0;
    for (; i < bytes.size() && i <= max_record_bytes_; ++i) {
        const char c = bytes[i];
        if (quoted) {
            // A doubled quote closes and opens again: the same as staying inside.
            if (c == '"') quoted = false;
        } else if (c == '"' && (field_start || bytes[i - 1] == '"')) {
            quoted = true;
            field_start = false;
        } else if (c == '\n') {
            return {.kind = Cut::Kind::record, .data = bytes.substr(0, i), .consumed = i + 1};
        } else {
            field_start = c == delimiter_;
        }
    }
    const bool beyond = i > max_record_bytes_;
    if (!beyond && !last) return {};
    if (quoted || beyond) return cut_line(bytes, last);
    return {.kind = Cut::Kind::record, .data = bytes, .consumed = bytes.size()};
}

RecordCutter::Cut RecordCutter::cut_size_prefixed(std::string_view bytes, bool last) const {
    constexpr std::size_t kPrefix = sizeof(std::uint32_t);
    if (bytes.size() < kPrefix) {
        if (!last) return {};
        return {.kind = Cut::Kind::record, .data = bytes, .consumed = bytes.size()};
    }
    std::uint32_t size = 0;
    std::memcpy(&size, bytes.data(), kPrefix);
    const std::string_view rest = bytes.substr(kPrefix);
    if (size > max_record_bytes_) {
        if (rest.size() <= max_record_bytes_ && !last) return {};
        Cut cut = too_long(rest);
        cut.consumed += kPrefix;
        cut.skip_bytes = size > cut.data.size() ? size - cut.data.size() : 0;
        return cut;
    }
    if (rest.size() < size) {
        if (!last) return {};
        return {.kind = Cut::Kind::record, .data = rest, .consumed = bytes.size()};
    }
    return {.kind = Cut::Kind::record, .data = rest.substr(0, size), .consumed = kPrefix + size};
}

}  // namespace takt
