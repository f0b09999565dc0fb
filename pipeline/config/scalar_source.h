#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace takt {

/// Where the bytes of a YAML scalar's value come from in the text of its file.
struct ScalarSource {
    std::uint32_t begin = 0;  ///< of the first byte of content, after an opening quote or a block's header
    std::uint32_t end = 0;    ///< one behind the last byte of content
    bool quoted = false;
    bool closed = true;                  ///< false: the quotes are still open where the file ends
    bool exact = true;                   ///< false: some bytes could not be followed and stand at `begin`
    std::vector<std::uint32_t> offsets;  ///< one for each byte of the value; empty where the value stands as it is
};

/// Follows `value`, which a YAML reader has read at `mark` (byte offset of the scalar, or of its tag or anchor), back
/// to its source: plain, single- and double-quoted scalars with line folding and escapes, literal and folded blocks.
/// `text` has \n line ends.
ScalarSource locate_scalar(std::string_view text, std::size_t mark, std::string_view value);

}  // namespace takt
