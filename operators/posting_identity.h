#pragma once

#include <string>
#include <string_view>

#include "pipeline/plan/posting.h"

namespace takt {

/// The idempotency key: 32 lower-case hex digits of the 128-bit hash of (pipeline, uid, encoded key, window, revision),
/// where the uid is that of the step's state. Part of the contract with sinks.
std::string posting_key(const Posting& posting, std::string_view uid, std::string_view encoded_key,
                        std::uint32_t revision);

/// Hash of everything that has a financial effect: type, revision, dates, key fields, quantity, amount, unit, currency,
/// lines.
std::string posting_payload_hash(const Posting& posting);

}  // namespace takt
