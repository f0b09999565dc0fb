#include "sources/decode/text.h"

#include <simdjson.h>

namespace takt {

TextFault examine_text(const char* text, std::size_t size) {
    if (std::memchr(text, 0, size) != nullptr) return TextFault::zero;
    return simdjson::validate_utf8(text, size) ? TextFault::none : TextFault::not_utf8;
}

}  // namespace takt
