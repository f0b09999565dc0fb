#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/journal/frame.h"

namespace takt {

/// A part of a frame: the FlatBuffer of one table of schemas/frame.fbs.
struct FrameSection {
    std::uint8_t kind = 0;  ///< wire::SectionKind
    std::string data;
};

/// The sections of a frame in their order, without those that are empty.
std::vector<FrameSection> encode_sections(const FrameContext& context, const FrameView& frame);

/// Adds what a section holds to the frame. Nothing where it was read, else what is wrong with it. `data` is aligned
/// to 8.
std::optional<std::string> decode_section(std::uint8_t kind, std::string_view data, StoredFrame& frame);

}  // namespace takt
