#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "pipeline/plan/posting.h"

namespace takt {

// Postings and dead letters as schemas/posting.fbs and schemas/dead_letter.fbs have them: what sinks write with
// `format: flatbuffers`. One table a text, without a length before it.

/// Nothing where a number has no exact place in the schema: it does not fit 64 bits at the schema's scale, or has a
/// digit beyond it.
std::optional<std::string> posting_flatbuffer(const Posting& posting);
std::string dead_letter_flatbuffer(const DeadLetter& letter);

/// The posting that `bytes` (of any alignment) are, with numbers at the schema's scales; nothing where they are none.
/// Fields of a later schema are left out.
std::optional<Posting> read_posting_flatbuffer(std::string_view bytes);
std::optional<DeadLetter> read_dead_letter_flatbuffer(std::string_view bytes);

// As records lie in a file: each after its length (u32, little endian).
constexpr std::size_t kSizePrefixBytes = 4;
std::string size_prefixed(std::string_view record);
/// The first record of `bytes`, which begin at a length; empty where it is not all there, or empty itself.
std::string_view next_size_prefixed(std::string_view bytes);

}  // namespace takt
