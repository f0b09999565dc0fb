#include "pipeline/config/environment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace takt {
namespace {

bool is_name(std::string_view text) {
    const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
    if (text.empty() || !letter(text[0])) return false;
    for (const char c : text) {
        if (!letter(c) && !(c >= '0' && c <= '9')) return false;
    }
    return true;
}

class Substitution {
  public:
    Substitution(ConfigNode& node, const TextLines& lines, Mistakes& mistakes)
        : node_(node), lines_(lines), mistakes_(mistakes), from_(std::move(node.scalar)) {}

    void run() {
        std::size_t at = 0;
        while (at < from_.size()) {
            if (from_.compare(at, 3, "$${") == 0) {
                copy(at);
                to_ += '{';
                offsets_.push_back(source_of(at + 2));
                at += 3;
            } else if (from_.compare(at, 2, "${") == 0) {
                at = replace(at);
            } else {
                copy(at++);
            }
        }
        node_.scalar = std::move(to_);
        node_.offsets = std::move(offsets_);
    }

  private:
    std::uint32_t source_of(std::size_t i) const {
        if (i >= from_.size()) return node_.text_end;
        return node_.offsets.empty() ? static_cast<std::uint32_t>(node_.text_offset + i) : node_.offsets[i];
    }

    void copy(std::size_t at) {
        to_ += from_[at];
        offsets_.push_back(source_of(at));
    }

    std::size_t replace(std::size_t at) {
        const std::size_t close = from_.find('}', at);
        const std::size_t end = close == std::string::npos ? from_.size() : close + 1;
        const std::string inside = from_.substr(at + 2, (close == std::string::npos ? end : close) - at - 2);
        const std::size_t colon = inside.find(':');
        const std::string name = inside.substr(0, colon);
        if (close == std::string::npos || !is_name(name)) {
            report(
                at, end,
                close == std::string::npos ? "'${' is not closed" : fmt::format("'{}' is no name of a variable", name),
                "write ${NAME} or ${NAME:default}; a plain '${' is written '$${'");
            return end;
        }
        node_.substituted = true;
        const char* value = std::getenv(name.c_str());
        const bool has_default = colon != std::string::npos;
        if (value != nullptr && (*value != '\0' || !has_default)) {
            node_.from_environment = true;
            insert(value, at);
        } else if (has_default) {
            insert(inside.substr(colon + 1), at);
        } else {
            report(at, end, fmt::format("the environment variable '{}' is not set", name),
                   fmt::format("set it, or write ${{{}:default}}", name));
        }
        return end;
    }

    void insert(std::string_view value, std::size_t at) {
        to_ += value;
        offsets_.insert(offsets_.end(), value.size(), source_of(at));
    }

    void report(std::size_t at, std::size_t end, std::string message, std::string hint) {
        node_.unresolved = true;
        const std::size_t begin = source_of(at);
        mistakes_.add(lines_.place(begin, std::max<std::size_t>(source_of(end - 1) + 1, begin + 1)), "C186",
                      std::move(message), std::move(hint));
    }

    ConfigNode& node_;
    const TextLines& lines_;
    Mistakes& mistakes_;
    std::string from_;
    std::string to_;
    std::vector<std::uint32_t> offsets_;
};

}  // namespace

void substitute_environment(ConfigNode& node, const TextLines& lines, Mistakes& mistakes) {
    if (node.scalar.find("${") == std::string::npos) return;
    Substitution(node, lines, mistakes).run();
}

}  // namespace takt
