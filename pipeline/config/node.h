#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/config/mistakes.h"
#include "pipeline/config/place.h"

namespace takt {

/// A node of a YAML document that knows where it stands. Immutable after reading. `${NAME}` and `${NAME:default}` in scalars are replaced;
/// what came from the environment is never printed by `written`.
class ConfigNode {
  public:
    enum class Kind : std::uint8_t { null, scalar, sequence, mapping };
    struct Entry;

    Kind kind = Kind::null;
    Place place;
    std::string scalar;       ///< after substitution
    bool quoted = false;      ///< 'x' or "x": a number or duration written so stays text where it matters
    bool from_environment = false;
    std::vector<ConfigNode> items;   ///< of a sequence
    std::vector<Entry> entries;      ///< of a mapping, in order of the file

    bool is_scalar() const { return kind == Kind::scalar; }
    bool is_mapping() const { return kind == Kind::mapping; }
    bool is_sequence() const { return kind == Kind::sequence; }
    /// The value of a mapping's key; null when absent.
    const ConfigNode* find(std::string_view key) const;
    /// Place of byte `offset` of `scalar` in the file, through quotes, escapes and block scalars, as exactly as it can be known.
    Place place_of(std::size_t offset, std::size_t length) const;

    /// For each byte of `scalar` its byte offset in file->text; empty where scalar stands in the file as it is, from `text_offset`.
    std::vector<std::uint32_t> offsets;
    std::uint32_t text_offset = 0;
};

struct ConfigNode::Entry {
    std::string key;
    Place key_place;
    ConfigNode value;
};

/// Reads a YAML file (`path` for messages), resolving `include: FILE` or `include: [FILE...]` at the top level (the included file's keys are merged section
/// by section; a name that is there twice is a mistake). Duplicate keys, anchors that make cycles, tabs: mistakes with places.
/// On mistakes the returned tree holds what could be read.
ConfigNode read_config(const std::string& path, Mistakes& mistakes);
/// The same from memory, for tests and for the editor.
ConfigNode parse_config(std::string path, std::string text, Mistakes& mistakes);

}  // namespace takt
