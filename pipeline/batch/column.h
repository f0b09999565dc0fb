#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>

#include "pipeline/base/check.h"
#include "pipeline/base/int128.h"
#include "pipeline/batch/type.h"

namespace takt {

/// One bit a row. Bits beyond the rows in use are unspecified.
class Bitmap {
  public:
    /// All bits clear. Keeps its memory where it suffices.
    void reset(std::uint32_t bits) {
        const std::uint32_t words = (bits + 63) / 64;
        if (words > capacity_words_) {
            words_ = std::make_unique_for_overwrite<std::uint64_t[]>(words);
            capacity_words_ = words;
        }
        if (words != 0) std::memset(words_.get(), 0, words * sizeof(std::uint64_t));
    }
    bool test(std::uint32_t bit) const { return (words_[bit >> 6] >> (bit & 63)) & 1; }
    void set(std::uint32_t bit) { words_[bit >> 6] |= std::uint64_t{1} << (bit & 63); }
    void clear(std::uint32_t bit) { words_[bit >> 6] &= ~(std::uint64_t{1} << (bit & 63)); }
    void assign(std::uint32_t bit, bool value) {
        const std::uint64_t mask = std::uint64_t{1} << (bit & 63);
        words_[bit >> 6] = (words_[bit >> 6] & ~mask) | (value ? mask : 0);
    }
    std::uint64_t* words() { return words_.get(); }
    const std::uint64_t* words() const { return words_.get(); }

  private:
    std::unique_ptr<std::uint64_t[]> words_;
    std::uint32_t capacity_words_ = 0;
};

struct ListSpan {
    std::uint32_t begin = 0;  ///< first element in the child column
    std::uint32_t size = 0;
};

/// The values of one field for all rows of a batch, and a bit a row that says whether the value is there.
/// An absent value reads as its type's default (0, false, empty), as CEL reads absent protobuf fields; `valid` is
/// has(). The column's memory is uninitialised after `reset`: whoever fills it writes every row that is selected.
/// Strings point into message buffers or arenas that the batch keeps alive.
class Column {
  public:
    Column() = default;
    explicit Column(Type type) : type_(std::move(type)) {}

    const Type& type() const { return type_; }
    void set_type(Type type) { type_ = std::move(type); }

    /// Room for `rows` values of this column's type, all marked absent. Keeps its memory where it suffices.
    void reset(std::uint32_t rows) {
        const std::size_t need = rows * value_size_bytes(type_.kind);
        if (need > capacity_bytes_) {
            data_.reset(static_cast<std::byte*>(::operator new (need, std::align_val_t{64})));
            capacity_bytes_ = need;
        }
        rows_ = rows;
        valid_.reset(rows);
    }
    std::uint32_t rows() const { return rows_; }

    /// The values as an array; T must be the storage type that TypeKind names.
    template <typename T>
    T* values() {
        return reinterpret_cast<T*>(data_.get());
    }
    template <typename T>
    const T* values() const {
        return reinterpret_cast<const T*>(data_.get());
    }

    Bitmap& valid() { return valid_; }
    const Bitmap& valid() const { return valid_; }

    /// Elements of a list column; null for scalars. Its rows are elements, in any order that the spans name.
    Column* elements() { return elements_.get(); }
    const Column* elements() const { return elements_.get(); }
    void set_elements(std::unique_ptr<Column> elements) { elements_ = std::move(elements); }

  private:
    struct Free {
        void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{64}); }
    };
    Type type_;
    std::unique_ptr<std::byte, Free> data_;
    std::size_t capacity_bytes_ = 0;
    std::uint32_t rows_ = 0;
    Bitmap valid_;
    std::unique_ptr<Column> elements_;
};

}  // namespace takt
