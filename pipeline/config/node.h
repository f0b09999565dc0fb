#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/config/mistakes.h"
#include "pipeline/config/place.h"

namespace takt {

/// A config file may have this size at most, and nest this deep.
constexpr std::size_t kMaxConfigBytes = 4u << 20;
constexpr std::size_t kMaxConfigDepth = 64;
/// Nodes of a config after aliases and includes are resolved; a few lines of aliases could otherwise fill the memory.
constexpr std::size_t kMaxConfigNodes = 500'000;
constexpr std::size_t kMaxConfigFiles = 64;

/// A node of a YAML document that knows where it stands. Immutable after reading. `${NAME}` and `${NAME:default}` in
/// scalars are replaced; what came from the environment is never printed by `written`.
class ConfigNode {
  public:
    enum class Kind : std::uint8_t { null, scalar, sequence, mapping };
    struct Entry;

    Kind kind = Kind::null;
    Place place;
    std::string scalar;             ///< after substitution
    bool quoted = false;            ///< 'x' or "x": a number or duration written so stays text where it matters
    bool substituted = false;       ///< a ${...} stood in it
    bool unresolved = false;        ///< a ${NAME} is not set: reported, so whoever reads the value stays silent
    bool from_environment = false;  ///< and (a part of) the value came from the environment, not from its default
    std::vector<ConfigNode> items;  ///< of a sequence
    std::vector<Entry> entries;     ///< of a mapping, in order of the file

    bool is_null() const { return kind == Kind::null; }
    bool is_scalar() const { return kind == Kind::scalar; }
    bool is_mapping() const { return kind == Kind::mapping; }
    bool is_sequence() const { return kind == Kind::sequence; }
    /// The value of a mapping's key; null when absent.
    const ConfigNode* find(std::string_view key) const;
    /// The key with its place; null when absent.
    const Entry* find_entry(std::string_view key) const;
    /// For messages: "'5x'", "a list", "a mapping", "nothing"; of a scalar that holds something from the environment
    /// what stands in the file.
    std::string written() const;
    /// Place of byte `offset` of `scalar` in the file, through quotes, escapes and block scalars, as exactly as it can
    /// be known. What a ${...} was replaced with stands where the ${...} stands.
    Place place_of(std::size_t offset, std::size_t length) const;

    /// For each byte of `scalar` its byte offset in file->text; empty where scalar stands in the file as it is, from
    /// `text_offset`.
    std::vector<std::uint32_t> offsets;
    std::uint32_t text_offset = 0;  ///< of the first byte of content, after an opening quote
    std::uint32_t text_end = 0;     ///< one behind the last byte of content
};

struct ConfigNode::Entry {
    std::string key;
    Place key_place;
    ConfigNode value;
};

/// Reads a YAML file (`path` for messages), resolving `include: FILE` or `include: [FILE...]` at the top level: paths
/// start at the folder of the file that names them, the included file's keys are merged section by section (sequences:
/// the included items first), a name that is there twice is a mistake, a file that is reached twice counts once. `<<`
/// merges mappings. Duplicate keys, anchors that make cycles, tabs: mistakes with places.
/// `${NAME:default}` takes the default also where NAME is set and empty; `$${` is a plain `${`.
/// On mistakes the returned tree holds what could be read; what is missing in it then is no mistake of its author.
ConfigNode read_config(const std::string& path, Mistakes& mistakes);
/// The same from memory, for tests and for the editor.
ConfigNode parse_config(std::string path, std::string text, Mistakes& mistakes);

}  // namespace takt
