#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/pipeline/expression/shop_floor.h"

namespace takt {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ExpressionMistakes, NameThePlaceAndWhatWasMeant) {
    const ShopFloor floor;
    EXPECT_EQ(floor.mistakes("good && cuont > 5"), "C202 8+5 no column 'cuont' here [did you mean 'count'?]");
    EXPECT_THAT(floor.mistakes("item.cots > amount"),
                AllOf(StartsWith("C202 0+9 "), HasSubstr("[did you mean 'item.cost'?]")));
    EXPECT_EQ(
        floor.mistakes("kind == 'readng'"),
        "C206 8+8 enum Kind has no value 'readng'; there are cycle, reading, lot_status [did you mean 'reading'?]");
    EXPECT_THAT(floor.mistakes("kind in ['cycle', 'lot_states']"),
                AllOf(StartsWith("C206 18+12 "), HasSubstr("'lot_status'?")));
    EXPECT_EQ(floor.mistakes("order + 1"), "C204 0+9 '+' does not take string and int");
    EXPECT_THAT(floor.mistakes("order.startWith('a')"), StartsWith("C203 0+20 no function 'startWith'"));
    EXPECT_THAT(floor.mistakes("order.startsWith(5)"), StartsWith("C204 0+19 string.startsWith(int)"));
    EXPECT_THAT(floor.mistakes("order.matches('(')"), StartsWith("C208 14+3 "));
    EXPECT_THAT(floor.mistakes("at.getHours('Europe/Berlim')"),
                AllOf(StartsWith("C208 12+15 "), HasSubstr("Europe/Berlim")));
    EXPECT_THAT(floor.mistakes("kind < 'reading'"), StartsWith("C204 "));
}

TEST(ExpressionMistakes, ComeAllAtOnce) {
    const ShopFloor floor;
    EXPECT_THAT(floor.mistakes("cuont > 5 && kind == 'readng' || !order"),
                AllOf(HasSubstr("C202 0+5"), HasSubstr("C206 21+8"), HasSubstr("C204 33+6")));
}

TEST(ExpressionMistakes, OfTheGrammarStandWhereItBreaks) {
    const ShopFloor floor;
    EXPECT_THAT(floor.mistakes("count >"), StartsWith("C201 7+0 "));
    EXPECT_THAT(floor.mistakes("count = 5"), AllOf(StartsWith("C201 6+1 "), HasSubstr("'=='")));
    EXPECT_THAT(floor.mistakes("(count > 5"), StartsWith("C201 10+0 expected ')'"));
    EXPECT_THAT(floor.mistakes("'open"), StartsWith("C201 0+1 "));
    EXPECT_THAT(floor.mistakes("9223372036854775808 > count"), StartsWith("C201 0+19 "));
    EXPECT_EQ(floor.mistakes("-9223372036854775808 < count"), "");
    EXPECT_THAT(floor.mistakes(""), StartsWith("C201 0+0 "));
}

TEST(ExpressionMistakes, NameWhatTheSubsetLeavesOut) {
    const ShopFloor floor;
    for (const char* text :
         {"{'a': 1}.a == 1", "type(count)", "[1, 'a']", "[[1]]", "tags.map(t, [t])", "order.x == 1 ? int : uint"}) {
        EXPECT_THAT(floor.mistakes(text), ::testing::ContainsRegex("^C20[25] ")) << text;
    }
    EXPECT_THAT(floor.mistakes("{'a': 1} == {}"), HasSubstr("maps are outside takt's subset of CEL"));
}

TEST(ExpressionMistakes, OfDepthAreNoCrash) {
    const ShopFloor floor;
    const auto repeated = [](const char* text, std::size_t times) {
        std::string all;
        for (std::size_t i = 0; i < times; ++i) all += text;
        return all;
    };
    EXPECT_THAT(floor.mistakes(repeated("(", 100000) + "1"), StartsWith("C201 "));
    EXPECT_THAT(floor.mistakes(repeated("-", 100000) + "1"), StartsWith("C201 "));
    EXPECT_THAT(floor.mistakes(repeated("[", 100000)), StartsWith("C201 "));
    EXPECT_THAT(floor.mistakes("1" + repeated(" + 1", 100000)), StartsWith("C201 "));
    EXPECT_THAT(floor.mistakes("order" + repeated(".trim()", 100000)), StartsWith("C201 "));
    EXPECT_EQ(floor.mistakes("count == 0" + repeated(" || count == 1", 300)), "");
}

TEST(ExpressionMistakes, OrAProgramIsWhatAnyBytesGive) {
    const ShopFloor floor;
    const std::vector<std::string> seeds = {
        "kind in ['reading', 'cycle'] && order.startsWith('TEST-') || amount == decimal('1.5')",
        "tags.exists(i, t, t == order + string(count)) ? at.getHours('Europe/Berlin') : int(ratio)",
        "'%s %.3f %x'.format([order, ratio, count]).split(' ', 2)[1].matches(r'^[0-9]+$')",
        "scale(amount, 1, count, 4) > round(item.cost, 1) && has(item.cost) && math.greatest(1, count) > 2u"};
    std::mt19937 random(7);
    std::size_t loaded = 0;
    for (int i = 0; i < 20000; ++i) {
        std::string text = seeds[random() % seeds.size()];
        for (std::size_t changes = 1 + random() % 3; changes > 0; --changes) {
            const std::size_t at = random() % text.size();
            const std::string& other = seeds[random() % seeds.size()];
            switch (random() % 4) {
                case 0:
                    text[at] = static_cast<char>(random() % 256);
                    break;
                case 1:
                    text.erase(at, 1 + random() % 5);
                    break;
                case 2:
                    text.insert(at, other.substr(random() % other.size(), random() % 12));
                    break;
                default:
                    text[at] = "()[]{}'\".,?:!-+*/%<>=&|"[random() % 23];
                    break;
            }
            if (text.empty()) text = "1";
        }
        // One text for each row, or the mistakes, each within the expression.
        const auto compiled = compile_expression(text, floor.scope);
        if (std::holds_alternative<Program>(compiled)) {
            ASSERT_EQ(floor.evaluate(text).size(), ShopFloor::kRowCount) << text;
            ++loaded;
            continue;
        }
        ASSERT_FALSE(std::get<1>(compiled).empty()) << text;
        for (const ExpressionMistake& mistake : std::get<1>(compiled)) {
            ASSERT_LE(mistake.offset + mistake.length, text.size()) << text << ": " << mistake.message;
            ASSERT_EQ(mistake.code.substr(0, 2), "C2") << text;
        }
    }
    EXPECT_GT(loaded, 200u);
}

}  // namespace
}  // namespace takt
