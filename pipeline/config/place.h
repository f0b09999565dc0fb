#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace takt {

/// One config file as read.
struct ConfigFile {
    std::string path;  ///< as the user named it
    std::string text;  ///< UTF-8, lines end with \n, no byte order mark
    std::uint32_t order =
        0;  ///< 0: the file that was asked for; then its includes in the order in which they were read
};

/// Where something stands: 1-based line and column (in UTF-8 characters).
struct Place {
    std::shared_ptr<const ConfigFile> file;  ///< shared by all places of a file
    std::uint32_t line = 0;
    std::uint32_t column = 0;
    std::uint32_t length = 0;  ///< characters to underline; 0: one caret
};

}  // namespace takt
