#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "pipeline/config/node.h"
#include "pipeline/config/text_lines.h"
#include "pipeline/config/yaml_tree.h"

namespace takt {
namespace {

/// Reads one file and those that it includes into one tree.
class ConfigReader {
  public:
    explicit ConfigReader(Mistakes& mistakes) : mistakes_(mistakes) {}

    ConfigNode read(const std::string& path) {
        std::string text;
        const std::string problem = load(path, text);
        if (!problem.empty()) {
            ConfigNode nothing;
            nothing.place = file_place(path);
            mistakes_.add(nothing.place, "C180", fmt::format("the config cannot be read: {}", problem));
            return nothing;
        }
        return parse(path, std::move(text));
    }

    ConfigNode parse(const std::string& path, std::string text) {
        const std::string identity = identity_of(path);
        open_.push_back(identity);
        seen_.insert(identity);
        ConfigNode root = parse_text(path, std::move(text));
        resolve_includes(path, root);
        open_.pop_back();
        return root;
    }

  private:
    static Place file_place(const std::string& path) {
        Place place;
        place.file = std::make_shared<ConfigFile>(ConfigFile{path, "", 0});
        return place;
    }

    static std::string identity_of(const std::string& path) {
        std::error_code ignored;
        const std::filesystem::path canonical = std::filesystem::weakly_canonical(path, ignored);
        return ignored ? path : canonical.string();
    }

    /// The reason why a file cannot be read; empty when it was.
    static std::string load(const std::string& path, std::string& text) {
        std::error_code error;
        const auto status = std::filesystem::status(path, error);
        if (!std::filesystem::exists(status)) return "there is no such file";
        if (std::filesystem::is_directory(status)) return "this is a folder";
        std::ifstream in(path, std::ios::binary);
        if (!in) return std::strerror(errno);
        text.resize(kMaxConfigBytes + 1);
        in.read(text.data(), static_cast<std::streamsize>(text.size()));
        if (in.bad()) return std::strerror(errno);
        text.resize(static_cast<std::size_t>(in.gcount()));
        return "";
    }

    ConfigNode parse_text(const std::string& path, std::string text) {
        auto file = std::make_shared<ConfigFile>();
        file->path = path;
        file->order = files_++;
        const bool too_large = text.size() > kMaxConfigBytes;
        if (!too_large) file->text = normalize(std::move(text));
        const TextLines lines(file);
        ConfigNode nothing;
        nothing.place = lines.place(0, 0);
        if (too_large) {
            nothing.place.line = 0;
            mistakes_.add(nothing.place, "C180",
                          fmt::format("the config is larger than {} MiB", kMaxConfigBytes >> 20));
            return nothing;
        }
        const std::size_t odd = find_unreadable(file->text);
        if (odd != file->text.size()) {
            mistakes_.add(lines.place(odd, odd), "C189",
                          fmt::format("byte 0x{:02x} is no text; a config is UTF-8 without control characters",
                                      static_cast<unsigned char>(file->text[odd])));
            return nothing;
        }
        return read_yaml(file, mistakes_);
    }

    /// Without byte order mark, lines end with \n.
    static std::string normalize(std::string text) {
        if (text.compare(0, 3, "\xEF\xBB\xBF") == 0) text.erase(0, 3);
        std::size_t to = 0;
        for (std::size_t from = 0; from < text.size(); ++from) {
            if (text[from] == '\r' && from + 1 < text.size() && text[from + 1] == '\n') continue;
            text[to++] = text[from];
        }
        text.resize(to);
        return text;
    }

    static std::size_t find_unreadable(std::string_view text) {
        const std::size_t invalid = find_invalid_utf8(text);
        for (std::size_t i = 0; i < invalid; ++i) {
            const auto byte = static_cast<unsigned char>(text[i]);
            if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F) return i;
            // A byte order mark inside the text would be skipped in silence.
            if (byte == 0xEF && text.compare(i, 3, "\xEF\xBB\xBF") == 0) return i;
        }
        return invalid;
    }

    void resolve_includes(const std::string& path, ConfigNode& root) {
        if (!root.is_mapping()) return;
        const auto found = std::find_if(root.entries.begin(), root.entries.end(),
                                        [](const ConfigNode::Entry& entry) { return entry.key == "include"; });
        if (found == root.entries.end()) return;
        const ConfigNode include = std::move(found->value);
        root.entries.erase(found);
        std::vector<const ConfigNode*> named;
        if (include.is_sequence()) {
            for (const ConfigNode& item : include.items) named.push_back(&item);
        } else {
            named.push_back(&include);
        }
        ConfigNode merged;
        merged.kind = ConfigNode::Kind::mapping;
        merged.place = root.place;
        for (const ConfigNode* node : named) {
            if (node->unresolved) continue;
            if (!node->is_scalar() || node->scalar.empty()) {
                mistakes_.add(node->place, "C187",
                              fmt::format("'include' names a file or a list of files; this is {}", node->written()));
                continue;
            }
            merge(merged, include_file(path, *node));
        }
        merge(merged, std::move(root));
        root = std::move(merged);
    }

    ConfigNode include_file(const std::string& path, const ConfigNode& node) {
        namespace fs = std::filesystem;
        const std::string wanted = (fs::path(path).parent_path() / node.scalar).lexically_normal().string();
        const std::string identity = identity_of(wanted);
        ConfigNode nothing;
        if (std::find(open_.begin(), open_.end(), identity) != open_.end()) {
            mistakes_.add(node.place, "C187", fmt::format("{} includes itself in the end", node.written()));
            return nothing;
        }
        if (seen_.count(identity) != 0) return nothing;
        if (seen_.size() >= kMaxConfigFiles) {
            mistakes_.add(node.place, "C187", fmt::format("a config has {} files at most", kMaxConfigFiles));
            return nothing;
        }
        std::string text;
        const std::string problem = load(wanted, text);
        if (!problem.empty()) {
            // From the environment may come what must not be shown.
            const std::string shown = node.from_environment ? node.written() : fmt::format("'{}'", wanted);
            mistakes_.add(node.place, "C187", fmt::format("{} cannot be included: {}", shown, problem));
            return nothing;
        }
        ConfigNode included = parse(wanted, std::move(text));
        if (!included.is_mapping() && !included.is_null()) {
            mistakes_.add(included.place, "C187",
                          fmt::format("an included file is a mapping of sections; this is {}", included.written()));
            return nothing;
        }
        return included;
    }

    /// Section by section; what comes from includes stands first.
    void merge(ConfigNode& into, ConfigNode from) {
        if (!from.is_mapping()) {
            if (!from.is_null() && into.entries.empty()) into = std::move(from);
            return;
        }
        for (ConfigNode::Entry& section : from.entries) {
            const auto known = std::find_if(into.entries.begin(), into.entries.end(),
                                            [&](const ConfigNode::Entry& entry) { return entry.key == section.key; });
            if (known == into.entries.end()) {
                into.entries.push_back(std::move(section));
            } else {
                merge_section(*known, std::move(section));
            }
        }
    }

    void merge_section(ConfigNode::Entry& into, ConfigNode::Entry from) {
        if (into.value.is_null()) {
            into = std::move(from);
        } else if (into.value.is_sequence() && from.value.is_sequence()) {
            for (ConfigNode& item : from.value.items) into.value.items.push_back(std::move(item));
        } else if (into.value.is_mapping() && from.value.is_mapping()) {
            std::map<std::string, Place> names;
            for (const ConfigNode::Entry& entry : into.value.entries) names.emplace(entry.key, entry.key_place);
            for (ConfigNode::Entry& entry : from.value.entries) {
                const auto known = names.find(entry.key);
                if (known == names.end()) {
                    into.value.entries.push_back(std::move(entry));
                } else {
                    report_twice(fmt::format("'{}' in '{}'", entry.key, from.key), entry.key_place, known->second);
                }
            }
        } else if (!from.value.is_null()) {
            report_twice(fmt::format("'{}'", from.key), from.key_place, into.key_place);
        }
    }

    void report_twice(const std::string& what, const Place& second, const Place& first) {
        mistakes_.add(second, "C188", fmt::format("{} stands in two files", what),
                      fmt::format("first in {}:{}:{}", first.file->path, first.line, first.column));
    }

    Mistakes& mistakes_;
    std::uint32_t files_ = 0;
    std::vector<std::string> open_;  ///< files that are being read, outermost first
    std::set<std::string> seen_;
};

}  // namespace

ConfigNode read_config(const std::string& path, Mistakes& mistakes) {
    return ConfigReader(mistakes).read(path);
}

ConfigNode parse_config(std::string path, std::string text, Mistakes& mistakes) {
    return ConfigReader(mistakes).parse(path, std::move(text));
}

}  // namespace takt
