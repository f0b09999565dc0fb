#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace takt {

/// Bytes that live as long as their arena; never freed one by one. Not thread-safe.
class Arena {
  public:
    /// `size` bytes, aligned to 16.
    char* allocate(std::size_t size) {
        const std::size_t rounded = (size + 15) & ~std::size_t{15};
        if (rounded > left_) grow(rounded);
        char* result = next_;
        next_ += rounded;
        left_ -= rounded;
        return result;
    }
    std::string_view copy(std::string_view bytes) {
        if (bytes.empty()) return {};
        char* to = allocate(bytes.size());
        std::memcpy(to, bytes.data(), bytes.size());
        return {to, bytes.size()};
    }
    std::size_t size_bytes() const { return size_bytes_; }
    /// Forgets everything, keeps the first block.
    void clear() {
        if (blocks_.size() > 1) blocks_.resize(1);
        if (!blocks_.empty()) {
            next_ = blocks_[0].get();
            left_ = first_size_;
            size_bytes_ = first_size_;
        }
    }

  private:
    void grow(std::size_t at_least) {
        const std::size_t size = at_least > kBlockBytes ? at_least : kBlockBytes;
        blocks_.push_back(std::make_unique_for_overwrite<char[]>(size));
        if (blocks_.size() == 1) first_size_ = size;
        next_ = blocks_.back().get();
        left_ = size;
        size_bytes_ += size;
    }

    static constexpr std::size_t kBlockBytes = 16 * 1024;
    std::vector<std::unique_ptr<char[]>> blocks_;
    char* next_ = nullptr;
    std::size_t left_ = 0;
    std::size_t size_bytes_ = 0;
    std::size_t first_size_ = 0;
};

}  // namespace takt
