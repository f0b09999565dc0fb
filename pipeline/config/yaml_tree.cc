#include "pipeline/config/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <istream>
#include <map>
#include <sstream>
#include <unordered_set>

#include "pipeline/config/environment.h"
#include "pipeline/config/scalar_source.h"
#include "pipeline/config/text_lines.h"

namespace takt {
namespace {

/// Ends the walk over a file that is past its limits; never leaves this file.
struct TooMuch {};

std::size_t height(const ConfigNode& node) {
    std::size_t highest = 0;
    for (const ConfigNode& item : node.items) highest = std::max(highest, height(item));
    for (const ConfigNode::Entry& entry : node.entries) highest = std::max(highest, height(entry.value));
    return highest + 1;
}

std::size_t count_nodes(const ConfigNode& node) {
    std::size_t count = 1;
    for (const ConfigNode& item : node.items) count += count_nodes(item);
    for (const ConfigNode::Entry& entry : node.entries) count += count_nodes(entry.value);
    return count;
}

class TreeBuilder final : public YAML::EventHandler {
  public:
    TreeBuilder(const TextLines& lines, Mistakes& mistakes) : lines_(lines), mistakes_(mistakes) {}

    /// The tree so far; collections that are still open end here.
    ConfigNode take() {
        while (!frames_.empty()) close();
        return std::move(root_);
    }
    /// Whether byte `offset` stands inside a scalar, where a tab is as good as any other character.
    bool in_scalar(std::size_t offset) const {
        const auto next = scalars_.upper_bound(offset);
        return next != scalars_.begin() && std::prev(next)->second > offset;
    }

    /// Bytes from the begin of the last scalar to the end of its content; both 0 when there is none.
    std::pair<std::size_t, std::size_t> last_scalar() const {
        if (scalars_.empty()) return {0, 0};
        return *scalars_.rbegin();
    }

    void OnDocumentStart(const YAML::Mark&) override {}
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        ConfigNode node;
        node.place = null_place(mark);
        finish(std::move(node), anchor);
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        const auto found = anchors_.find(anchor);
        const std::size_t at = offset_of(mark);
        if (found == anchors_.end()) {
            mistakes_.add(word_at(at), "C184", "this alias stands inside of what it repeats");
            ConfigNode nothing;
            nothing.place = word_at(at);
            finish(std::move(nothing), 0);
            return;
        }
        if (frames_.size() + found->second.height > kMaxConfigDepth) too_deep(at);
        nodes_ += found->second.nodes;
        check_size(at);
        finish(found->second.node, 0);
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        const std::size_t at = offset_of(mark);
        check_tag(at, tag);
        ScalarSource source = locate_scalar(lines_.text(), at, value);
        // The reader lets quotes pass that are open at the end of the file when that ends with a line break.
        if (!source.closed) {
            mistakes_.add(lines_.place(at, at + 1), "C181", "these quotes are not closed", "close them on this line");
        }
        ConfigNode node;
        node.kind = ConfigNode::Kind::scalar;
        node.scalar = value;
        node.quoted = source.quoted;
        node.text_offset = source.begin;
        node.text_end = source.end;
        node.offsets = std::move(source.offsets);
        node.place = lines_.place(source.begin, std::max(source.end, source.begin));
        if (source.end > at) scalars_[at] = source.end;
        substitute_environment(node, lines_, mistakes_);
        finish(std::move(node), anchor);
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(ConfigNode::Kind::sequence, mark, tag, anchor);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(ConfigNode::Kind::mapping, mark, tag, anchor);
    }
    void OnMapEnd() override { close(); }

  private:
    struct Anchored {
        ConfigNode node;
        std::size_t height = 0;
        std::size_t nodes = 0;
    };
    struct Frame {
        ConfigNode node;
        YAML::anchor_t anchor = 0;
        bool has_key = false;
        bool keep_value = false;
        std::string key;
        Place key_place;
        std::vector<ConfigNode> merged{};  ///< values of `<<`
        std::unordered_set<std::string> keys{};
    };

    std::size_t offset_of(const YAML::Mark& mark) const {
        return mark.pos < 0 ? 0 : std::min(static_cast<std::size_t>(mark.pos), lines_.text().size());
    }
    Place word_at(std::size_t at) const {
        const std::size_t end = std::min(lines_.text().find_first_of(" \t\n,]}:", at), lines_.text().size());
        return lines_.place(at, end);
    }

    /// YAML puts a value that is not there where the next word stands, maybe many lines below; its key is nearer.
    Place null_place(const YAML::Mark& mark) const {
        const std::size_t at = offset_of(mark);
        const std::string_view rest = lines_.text().substr(at);
        for (const std::string_view word : {"~", "null", "Null", "NULL"}) {
            if (rest.substr(0, word.size()) == word) return lines_.place(at, at + word.size());
        }
        if (frames_.empty()) return lines_.place(at, at);
        return frames_.back().has_key ? frames_.back().key_place : frames_.back().node.place;
    }

    void check_tag(std::size_t at, const std::string& tag) {
        if (tag.empty() || tag == "?" || tag == "!" || tag.rfind("tag:yaml.org,2002:", 0) == 0) return;
        mistakes_.add(word_at(at), "C181", fmt::format("the tag '{}' has no meaning here", tag));
    }

    [[noreturn]] void too_deep(std::size_t at) {
        mistakes_.add(lines_.place(at, at + 1), "C185",
                      fmt::format("this is nested deeper than {} levels", kMaxConfigDepth));
        throw TooMuch{};
    }
    void check_size(std::size_t at) {
        if (nodes_ <= kMaxConfigNodes) return;
        mistakes_.add(word_at(at), "C185",
                      fmt::format("the config has more than {} values, aliases repeated", kMaxConfigNodes));
        throw TooMuch{};
    }

    void open(ConfigNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        const std::size_t at = offset_of(mark);
        check_tag(at, tag);
        if (frames_.size() == kMaxConfigDepth) too_deep(at);
        Frame frame;
        frame.node.kind = kind;
        frame.node.place = lines_.place(at, at);
        frame.anchor = anchor;
        frames_.push_back(std::move(frame));
    }

    void close() {
        Frame frame = std::move(frames_.back());
        frames_.pop_back();
        for (const ConfigNode& merged : frame.merged) {
            for (const ConfigNode::Entry& entry : merged.entries) {
                if (frame.keys.insert(entry.key).second) frame.node.entries.push_back(entry);
            }
        }
        finish(std::move(frame.node), frame.anchor);
    }

    void finish(ConfigNode node, YAML::anchor_t anchor) {
        ++nodes_;
        check_size(node.text_offset);
        if (anchor != 0) {
            // Copies of copies count as what they become.
            anchors_[anchor] = Anchored{node, height(node), count_nodes(node)};
        }
        if (frames_.empty()) {
            root_ = std::move(node);
            return;
        }
        Frame& frame = frames_.back();
        if (frame.node.is_sequence()) {
            frame.node.items.push_back(std::move(node));
        } else if (!frame.has_key) {
            take_key(frame, node);
        } else {
            take_value(frame, std::move(node));
        }
    }

    void take_key(Frame& frame, const ConfigNode& node) {
        frame.has_key = true;
        frame.keep_value = false;
        frame.key_place = node.place;
        if (!node.is_scalar()) {
            mistakes_.add(node.place, "C181", fmt::format("a key must be a word; this is {}", node.written()));
            return;
        }
        frame.key = node.scalar;
        if (frame.node.entries.empty() && node.place.line == frame.node.place.line &&
            node.place.column == frame.node.place.column) {
            frame.node.place.length = node.place.length;
        }
        if (frame.key == "<<" && !node.quoted) {
            frame.keep_value = true;
            return;
        }
        frame.keep_value = frame.keys.insert(frame.key).second;
        if (!frame.keep_value) {
            const ConfigNode::Entry* first = frame.node.find_entry(frame.key);
            mistakes_.add(node.place, "C183", fmt::format("the key '{}' stands twice in this mapping", frame.key),
                          first == nullptr ? "" : fmt::format("first in line {}", first->key_place.line));
        }
    }

    void take_value(Frame& frame, ConfigNode node) {
        frame.has_key = false;
        if (!frame.keep_value) return;
        if (frame.key != "<<" || frame.keys.count("<<") != 0) {
            frame.node.entries.push_back({frame.key, frame.key_place, std::move(node)});
        } else if (node.is_mapping()) {
            frame.merged.push_back(std::move(node));
        } else if (node.is_sequence() && std::all_of(node.items.begin(), node.items.end(),
                                                     [](const ConfigNode& item) { return item.is_mapping(); })) {
            for (ConfigNode& item : node.items) frame.merged.push_back(std::move(item));
        } else {
            mistakes_.add(frame.key_place, "C184", fmt::format("'<<' merges mappings; this is {}", node.written()));
        }
    }

    const TextLines& lines_;
    Mistakes& mistakes_;
    ConfigNode root_;
    std::vector<Frame> frames_;
    std::map<YAML::anchor_t, Anchored> anchors_;
    std::map<std::size_t, std::size_t> scalars_;  ///< begin and end of each, in bytes
    std::size_t nodes_ = 0;
};

/// The reader's words, and ours.
struct Wording {
    std::string_view theirs;
    std::string_view message;
    std::string_view hint;
};
constexpr Wording kWordings[] = {
    {"end of map not found", "this line does not fit the mapping above it",
     "a key ends with ': '; keys of one mapping start in one column"},
    {"end of sequence not found", "this line does not fit the list above it",
     "each item starts with '- ' in one column"},
    {"end of map flow not found", "a '{' is not closed here", "close it with '}'; entries are parted by ', '"},
    {"end of sequence flow not found", "a '[' is not closed here", "close it with ']'; items are parted by ', '"},
    {"illegal flow end", "nothing is open that this could close", ""},
    {"illegal map value", "a ':' is not allowed here",
     "put a value that holds ': ' into quotes, or check the indentation"},
    {"illegal map key", "a key is not allowed here", "check the indentation"},
    {"illegal block entry", "a list item is not allowed here", "start it on a line of its own"},
    {"illegal EOF in scalar", "the file ends inside quotes", "close the quotes"},
    {"illegal document indicator in scalar", "a '---' stands inside quotes that are not closed", "close the quotes"},
    {"unexpected character in block scalar", "only an indentation, '+' or '-' may follow '|' or '>'", ""},
    {"illegal tab when looking for indentation", "a tab stands in the indentation", "indent with spaces"},
    {"alias not found after *", "a name must follow '*'", "put a text that begins with '*' into quotes"},
    {"anchor not found after &", "a name must follow '&'", "put a text that begins with '&' into quotes"},
    {"illegal character found while scanning alias", "this cannot be the name of an alias",
     "put a text that begins with '*' into quotes"},
    {"illegal character found while scanning anchor", "this cannot be the name of an anchor",
     "put a text that begins with '&' into quotes"},
    {"unknown token", "this character cannot begin a value", "put the value into quotes"},
    {"unknown escape character", "an escape in \"...\" that does not exist",
     "write a backslash as '\\\\', or use '...'"},
    {"bad character found while scanning hex number", "an escape in \"...\" with a digit that is none", ""},
    {"invalid unicode", "an escape in \"...\" for a character that does not exist", ""},
    {"cannot assign multiple", "a value has one tag and one anchor at most", ""},
};

class YamlFile {
  public:
    YamlFile(std::shared_ptr<const ConfigFile> file, Mistakes& mistakes)
        : lines_(std::move(file)), mistakes_(mistakes) {}

    ConfigNode read() {
        TreeBuilder builder(lines_, mistakes_);
        try {
            std::istringstream in{std::string(lines_.text())};
            YAML::Parser parser(in);
            parser.HandleNextDocument(builder);
            reject_second_document(parser);
        } catch (const TooMuch&) {
        } catch (const YAML::Exception& problem) {
            report(problem, builder);
        } catch (const std::exception& problem) {
            mistakes_.add(lines_.place(0, 0), "C181", fmt::format("this cannot be read as YAML: {}", problem.what()));
        }
        try {
            ConfigNode root = builder.take();
            if (root.place.file == nullptr) root.place = lines_.place(0, 0);
            return root;
        } catch (const TooMuch&) {
            ConfigNode root;
            root.place = lines_.place(0, 0);
            return root;
        }
    }

  private:
    /// Notes where a second document begins and ignores the rest.
    class SecondDocument final : public YAML::EventHandler {
      public:
        void OnDocumentStart(const YAML::Mark& mark) override {
            at = mark.pos < 0 ? 0 : static_cast<std::size_t>(mark.pos);
            throw TooMuch{};
        }
        void OnDocumentEnd() override {}
        void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
        void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
        void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
        void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                             YAML::EmitterStyle::value) override {}
        void OnSequenceEnd() override {}
        void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
        void OnMapEnd() override {}

        std::size_t at = 0;
    };

    void reject_second_document(YAML::Parser& parser) {
        SecondDocument second;
        try {
            parser.HandleNextDocument(second);
        } catch (const TooMuch&) {
            const bool marked = lines_.text().substr(second.at, 3) == "---";
            mistakes_.add(lines_.place(second.at, second.at), "C181",
                          marked ? "a second YAML document begins here; a config is one document"
                                 : "this line does not fit what stands above it");
        }
    }

    void report(const YAML::Exception& problem, const TreeBuilder& builder) {
        const std::string_view text = lines_.text();
        const std::size_t at =
            problem.mark.pos < 0 ? text.size() : std::min(static_cast<std::size_t>(problem.mark.pos), text.size());
        if (report_tab(at, builder) || report_quotes(at, builder)) return;
        if (problem.msg.find("the referenced anchor is not defined") == 0) {
            const std::size_t end = std::min(text.find_first_of(" \t\n,]}", at), text.size());
            mistakes_.add(lines_.place(at, end), "C184",
                          fmt::format("no anchor of this name stands above: '{}'", text.substr(at, end - at)),
                          "put a text that begins with '*' into quotes");
            return;
        }
        if (problem.msg.find("bad file") == 0) {
            mistakes_.add(lines_.place(at, at), "C185",
                          fmt::format("this is nested deeper than {} levels", kMaxConfigDepth));
            return;
        }
        for (const Wording& wording : kWordings) {
            if (problem.msg.find(wording.theirs) == 0) {
                mistakes_.add(lines_.place(at, at), "C181", std::string(wording.message), std::string(wording.hint));
                return;
            }
        }
        mistakes_.add(lines_.place(at, at), "C181", fmt::format("this is no YAML: {}", problem.msg));
    }

    /// Quotes that were left open close where the next ones should open: the mistake is in the first line, not in the
    /// last.
    bool report_quotes(std::size_t at, const TreeBuilder& builder) {
        const std::string_view text = lines_.text();
        const auto [begin, end] = builder.last_scalar();
        if (end <= begin || end + 1 != at || (text[begin] != '"' && text[begin] != '\'')) return false;
        if (text.substr(begin, end - begin).find('\n') == std::string_view::npos) return false;
        mistakes_.add(
            lines_.place(begin, begin + 1), "C181",
            fmt::format("the quotes that open here close in line {}, where more follows", lines_.place(end, end).line),
            "close them where the value ends");
        return true;
    }

    /// A tab in the indentation makes the reader stumble, often lines below; say that instead.
    bool report_tab(std::size_t until, const TreeBuilder& builder) {
        const std::string_view text = lines_.text();
        for (std::size_t line = 0; line < text.size() && line <= until;) {
            const std::size_t end = std::min(text.find('\n', line), text.size());
            const std::size_t word = std::min(text.find_first_not_of(" \t", line), end);
            const std::size_t tab = text.find('\t', line);
            if (tab < word && word < end && text[word] != '#' && !builder.in_scalar(line)) {
                mistakes_.add(lines_.place(tab, tab + 1), "C182", "a tab stands in the indentation",
                              "indent with spaces");
                return true;
            }
            line = end + 1;
        }
        return false;
    }

    TextLines lines_;
    Mistakes& mistakes_;
};

}  // namespace

ConfigNode read_yaml(std::shared_ptr<const ConfigFile> file, Mistakes& mistakes) {
    return YamlFile(std::move(file), mistakes).read();
}

}  // namespace takt
