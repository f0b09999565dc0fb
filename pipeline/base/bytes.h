#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace takt {

/// Appends values to bytes as they lie in memory (little endian; takt runs on nothing else). For state that the same
/// version of takt reads again.
class ByteWriter {
  public:
    explicit ByteWriter(std::string& to) : to_(to) {}

    template <typename T>
    void put(const T& value) {
        static_assert(std::is_trivially_copyable_v<T>);
        static_assert(std::has_unique_object_representations_v<T> || std::is_floating_point_v<T>,
                      "padding would make equal values differ");
        to_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    /// Its length, then the text.
    void put_text(std::string_view text) {
        put(static_cast<std::uint32_t>(text.size()));
        to_.append(text);
    }
    void put_raw(const void* from, std::size_t size) { to_.append(static_cast<const char*>(from), size); }

  private:
    std::string& to_;
};

/// Reads what a ByteWriter wrote. Past the end every value is zero or empty and `ok` says so: ask once, at the end.
class ByteReader {
  public:
    explicit ByteReader(std::string_view from) : rest_(from) {}

    template <typename T>
    T get() {
        static_assert(std::is_trivially_copyable_v<T>);
        T value{};
        get_raw(&value, sizeof value);
        return value;
    }
    /// Looks into the bytes.
    std::string_view get_text() {
        const auto size = get<std::uint32_t>();
        if (size > rest_.size()) return fail();
        const std::string_view text = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return text;
    }
    void get_raw(void* to, std::size_t size) {
        if (size > rest_.size()) {
            fail();
            return;
        }
        if (size != 0) std::memcpy(to, rest_.data(), size);
        rest_.remove_prefix(size);
    }
    /// How many values of at least `size` bytes can follow: no count of a damaged file makes us allocate more.
    std::uint64_t get_count(std::size_t size) {
        const auto count = get<std::uint64_t>();
        if (count > rest_.size() / size) {
            fail();
            return 0;
        }
        return count;
    }
    bool ok() const { return ok_; }
    bool at_end() const { return rest_.empty(); }

  private:
    std::string_view fail() {
        ok_ = false;
        rest_ = {};
        return {};
    }

    std::string_view rest_;
    bool ok_ = true;
};

}  // namespace takt
