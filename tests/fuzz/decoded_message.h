#pragma once

#include "pipeline/base/check.h"
#include "tests/unit/sources/decode/decoded.h"

namespace takt {

/// Decodes one message and reads every value of what became of it. Whatever it holds, it is accounted for: by at least
/// one row of its sequence, of which each has its values or a reason. `blank`: it may also be no row at all.
inline void check_message(const Decoder& decoder, const Layout& layout, std::string message, bool blank) {
    const Decoded decoded = decode_all(decoder, layout, block_of({std::move(message)}));
    CHECK(blank || decoded.rows() > 0);
    for (std::size_t row = 0; row < decoded.rows(); ++row) {
        CHECK(decoded.origin(row).sequence == 1);
        CHECK(decoded.malformed(row) == !decoded.reject_text(row).empty());
        CHECK(!decoded.show(row).empty());
    }
}

}  // namespace takt
