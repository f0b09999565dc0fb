#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "pipeline/config/place.h"

namespace takt {

/// Number of UTF-8 characters of `text`; a byte that is no UTF-8 counts as one.
std::size_t count_characters(std::string_view text);

/// Byte offset of the first byte that is no UTF-8, or text.size().
std::size_t find_invalid_utf8(std::string_view text);

/// Turns byte offsets of a file into places.
class TextLines {
  public:
    explicit TextLines(std::shared_ptr<const ConfigFile> file);

    /// Where bytes [begin, end) stand; underlined is what is on the first line. The end of the file stands behind its
    /// last word.
    Place place(std::size_t begin, std::size_t end) const;
    const std::shared_ptr<const ConfigFile>& file() const { return file_; }
    std::string_view text() const { return file_->text; }

  private:
    std::shared_ptr<const ConfigFile> file_;
    std::vector<std::uint32_t> starts_;  ///< of each line
};

}  // namespace takt
