#include <random>

#include "gtest/gtest.h"
#include "pipeline/config/node.h"
#include "pipeline/config/option_table.h"
#include "pipeline/config/text_lines.h"

namespace takt {
namespace {

constexpr std::string_view kConfig = R"(# a pipeline
pipeline: plant_to_ledger

sources:
  floor:
    jetstream: { server: "${NATS_URL:nats://127.0.0.1:4222}", stream: PLANT, subjects: [plant.>] }
    time: &time { event: event_time, out_of_order: 5m, future: 10m, idle: 1m }

steps:
  - policy: keep_in_plant   # é
    drop:
      telemetry:      kind in ["reading", "machine_state", "cycle"]
      zero_quantity:  'kind != "lot_status" && it''s == decimal("0")'
      escaped: "a \"b\" \u00e9 \
        joined

        folded"
  - require: complete
    that: >
      has(plant) && (kind == "lot_status"
        ? has(material) && has(lot)
        : has(unit))

      next paragraph
    other: |2-
      literal
        deeper
again: { <<: *time, idle: 2m }
$: $${x} and ~
)";

bool inside(const Place& place) {
    if (place.file == nullptr || place.line == 0) return false;
    std::string_view text = place.file->text;
    for (std::uint32_t line = 1; line < place.line; ++line) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos) return false;
        text.remove_prefix(end + 1);
    }
    const std::size_t characters = count_characters(text.substr(0, text.find('\n')));
    return place.column >= 1 && place.column - 1 + place.length <= characters;
}

void expect_places_inside(const ConfigNode& node, const std::string& text) {
    ASSERT_TRUE(inside(node.place)) << text;
    if (node.is_scalar()) {
        const std::size_t size = node.scalar.size();
        for (std::size_t at = 0; at <= size; at += 1 + size / 8) {
            ASSERT_TRUE(inside(node.place_of(at, 1))) << text;
            ASSERT_TRUE(inside(node.place_of(at, size))) << text;
        }
    }
    for (const ConfigNode& item : node.items) expect_places_inside(item, text);
    for (const ConfigNode::Entry& entry : node.entries) {
        ASSERT_TRUE(inside(entry.key_place)) << text;
        expect_places_inside(entry.value, text);
    }
}

std::string mutate(std::mt19937& random) {
    static constexpr std::string_view kPieces[] = {"\n",   "  ",    "\t",
                                                   ":",    ": ",    "- ",
                                                   "[",    "]",     "{",
                                                   "}",    "'",     "\"",
                                                   "|",    ">",     "&a ",
                                                   "*a",   "*time", "#",
                                                   " #",   "!",     "?",
                                                   "%",    "@",     "`",
                                                   "${",   "$${",   "${X:",
                                                   "\\",   "\r\n",  "\xFF",
                                                   "é",    "---\n", "...\n",
                                                   "<<: ", ",",     "~",
                                                   "\\x4", "\\\n",  std::string_view("\0", 1)};
    std::string text(kConfig);
    const std::size_t changes = 1 + random() % 6;
    for (std::size_t i = 0; i < changes; ++i) {
        const std::size_t at = random() % (text.size() + 1);
        switch (random() % 4) {
            case 0:
                text.insert(at, kPieces[random() % std::size(kPieces)]);
                break;
            case 1:
                text.erase(at, 1 + random() % 20);
                break;
            case 2:
                text.insert(at, text.substr(random() % (text.size() + 1), random() % 40));
                break;
            default:
                if (at < text.size()) text[at] = static_cast<char>(random() % 256);
        }
        if (random() % 50 == 0) text.resize(text.size() / 2);
    }
    return text;
}

struct RootOptions {
    std::string pipeline;
    std::int64_t again = 0;
    NamedExpressions sources;
};

TEST(ConfigMutations, NeverCrashAndStayInsideTheFile) {
    OptionTable<RootOptions> table;
    table.required("pipeline", &RootOptions::pipeline, "");
    table.optional("again", &RootOptions::again, "");
    table.optional("sources", &RootOptions::sources, "");
    std::mt19937 random(20'000);
    std::size_t refused = 0;
    for (int round = 0; round < 20'000; ++round) {
        const std::string text = round == 0 ? std::string(kConfig) : mutate(random);
        Mistakes mistakes;
        const ConfigNode root = parse_config("t.yaml", text, mistakes);
        if (round == 0) {
            ASSERT_EQ(mistakes.render(), "");
        }
        refused += mistakes.empty() ? 0u : 1u;
        RootOptions options;
        table.read(root, "config", options, mistakes);
        for (const Mistake& mistake : mistakes.list()) {
            ASSERT_TRUE(inside(mistake.place)) << mistake.code << " " << mistake.message << " at " << mistake.place.line
                                               << ":" << mistake.place.column << " in\n"
                                               << text;
        }
        EXPECT_EQ(mistakes.render().empty(), mistakes.empty());
        expect_places_inside(root, text);
        if (HasFatalFailure()) return;
    }
    EXPECT_GT(refused, 5'000u);
    EXPECT_LT(refused, 19'500u);
}

}  // namespace
}  // namespace takt
