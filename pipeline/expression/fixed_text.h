#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace takt::expression {

template <typename T>
inline T load(const char* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

/// The first 8 bytes of a text as a number; of a shorter one all its bytes. Texts of one size differ in their first 8
/// bytes exactly when their heads differ.
inline std::uint64_t head_of(std::string_view text) {
    const std::size_t size = text.size();
    if (size >= 8) return load<std::uint64_t>(text.data());
    if (size >= 4) {
        return load<std::uint32_t>(text.data()) | std::uint64_t{load<std::uint32_t>(text.data() + size - 4)} << 32;
    }
    if (size == 0) return 0;
    const auto byte = [&](std::size_t at) { return std::uint64_t{static_cast<unsigned char>(text[at])}; };
    return byte(0) | byte(size / 2) << 8 | byte(size - 1) << 16;
}

/// Whether the bytes at a place are a text of `size` 4 to 7 (T = 4 bytes) or 8 to 16 (T = 8 bytes): two loads that may
/// overlap.
template <typename T>
struct IsMiddleText {
    explicit IsMiddleText(std::string_view text)
        : size(text.size()), first(load<T>(text.data())), last(load<T>(text.data() + size - sizeof(T))) {}
    bool operator()(const char* at) const {
        return ((load<T>(at) ^ first) | (load<T>(at + size - sizeof(T)) ^ last)) == 0;
    }

    std::size_t size;
    T first;
    T last;
};

struct IsShortText {
    explicit IsShortText(std::string_view text) : size(text.size()), head(head_of(text)) {}
    bool operator()(const char* at) const { return head_of({at, size}) == head; }

    std::size_t size;
    std::uint64_t head;
};

struct IsLongText {
    explicit IsLongText(std::string_view kept) : size(kept.size()), text(kept) {}
    bool operator()(const char* at) const { return std::memcmp(at, text.data(), size) == 0; }

    std::size_t size;
    std::string_view text;
};

/// Calls `make` with a test of whether the bytes at a place are `text`, which must outlive it; the test of the text's
/// size, so that each has a loop of its own. At least `size` bytes must be there.
template <typename Make>
auto with_fixed_text(std::string_view text, Make&& make) {
    if (text.size() < 4) return make(IsShortText(text));
    if (text.size() < 8) return make(IsMiddleText<std::uint32_t>(text));
    if (text.size() <= 16) return make(IsMiddleText<std::uint64_t>(text));
    return make(IsLongText(text));
}

}  // namespace takt::expression
