#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/pipeline/expression/shop_floor.h"

namespace takt {
namespace {

const char* const kConditions[] = {
    "good",
    "true",
    "false",
    "kind == 'reading'",
    "kind in ['reading', 'lot_status']",
    "good && count > 0",
    "count > 0 && good && has(order)",
    "good || count < 0",
    "10 / (count - 5) < 0 && !good",
    "10 / (count - 5) < 0 && good",
    "!good && 1 / (count + 3) == 0",
    "good && 10 / (count - 5) < 0 && has(kind)",
    "10 / (count - 5) < 0 || 1 / (count + 3) < 0",
    "ratio < 1.0",
    "ratio == ratio && amount > item.cost * decimal('0.1')",
    "order.startsWith('TEST-') || order.endsWith('-1')",
    "order in ['PO-1', 'PO-2', ''] && count + 1 > 0",
    "tags.exists(t, t == 'c') && amount == decimal('0')",
    "at.getHours('Europe/Berlin') == 3",
    "order == 'TEST-2' ? count < 0 : count + 1 > 0",
};
const char* const kValues[] = {
    "count * 3 - 1",
    "order + '!'",
    "tags + [order]",
    "amount * item.cost",
    "good ? order : 'bad'",
    "at.getDate('-01:00')",
    "string(kind)",
    "100 / count",
    "scale(amount, 1, count, 4)",
    "tags.map(t, t + order)",
    "order.split('-')",
    "-count",
    "math.abs(count)",
    "'%s %d'.format([order, count])",
    "int(ratio)",
};

/// All 15 selections of four rows.
std::vector<Selection> selections() {
    std::vector<Selection> all;
    for (std::uint32_t mask = 1; mask < 16; ++mask) {
        Selection rows;
        for (Row row = 0; row < 4; ++row) {
            if ((mask >> row) & 1) rows.push_back(row);
        }
        all.push_back(std::move(rows));
    }
    return all;
}

std::vector<std::string> expressions() {
    std::vector<std::string> all(std::begin(kConditions), std::end(kConditions));
    all.insert(all.end(), std::begin(kValues), std::end(kValues));
    return all;
}

TEST(Kernels, GiveARowTheSameValueWhateverIsSelectedBesideIt) {
    const ShopFloor floor;
    for (const std::string& text : expressions()) {
        const std::vector<std::string> whole = floor.evaluate(text);
        ASSERT_EQ(whole.size(), ShopFloor::kRowCount) << text << ": " << whole[0];
        for (const Selection& rows : selections()) {
            const std::vector<std::string> part = floor.evaluate(text, rows);
            ASSERT_EQ(part.size(), rows.size()) << text;
            for (std::size_t i = 0; i < part.size(); ++i) EXPECT_EQ(part[i], whole[rows[i]]) << text;
        }
    }
}

TEST(Kernels, SplitAsTheyEvaluate) {
    const ShopFloor floor;
    for (const char* text : kConditions) {
        const auto compiled = compile_expression(text, floor.scope);
        const Program& program = std::get<Program>(compiled);
        const auto scratch = program.make_scratch();
        for (const Selection& rows : selections()) {
            const std::vector<std::string> verdicts = floor.evaluate(text, rows);
            std::vector<Row> trues, falses, failures;
            for (std::size_t i = 0; i < verdicts.size(); ++i) {
                const bool failed_row = verdicts[i].substr(0, 5) == "error";
                // An absent bool counts as false.
                (failed_row ? failures : verdicts[i] == "true" ? trues : falses).push_back(rows[i]);
            }
            Selection yes, no, only_yes, only_no;
            ExpressionErrors errors;
            const auto as_rows = [](const Selection& selection) {
                return std::vector<Row>(selection.begin(), selection.end());
            };
            program.split(floor.batch, rows, *scratch, &yes, &no, errors);
            EXPECT_EQ(as_rows(yes), trues) << text;
            EXPECT_EQ(as_rows(no), falses) << text;
            std::vector<Row> failed;
            for (const auto& error : errors.rows) failed.push_back(error.first);
            EXPECT_EQ(failed, failures) << text;
            program.split(floor.batch, rows, *scratch, &only_yes, nullptr, errors);
            EXPECT_EQ(as_rows(only_yes), trues) << text;
            program.split(floor.batch, rows, *scratch, nullptr, &only_no, errors);
            EXPECT_EQ(as_rows(only_no), falses) << text;
            Selection narrowed = rows;
            program.split(floor.batch, narrowed, *scratch, &narrowed, nullptr, errors);
            EXPECT_EQ(as_rows(narrowed), trues) << text;
        }
    }
}

/// Fixed texts of each length against themselves, cut, longer, and with each byte changed.
TEST(Kernels, TellATextOfAnyLengthFromItsNeighbours) {
    const std::string letters = "abcdefghijklmnopqrstuvwxyz";
    Layout layout;
    Scope scope;
    scope.add("text", Type::of(TypeKind::string), layout.add({"text", Type::of(TypeKind::string), true}));
    for (std::size_t size = 0; size <= 20; ++size) {
        const std::string fixed = letters.substr(0, size);
        std::vector<std::string> texts = {fixed, fixed + "x", "x" + fixed, "", letters};
        if (size > 0) texts.push_back(fixed.substr(1));
        if (size > 0) texts.push_back(fixed.substr(0, size - 1));
        for (std::size_t at = 0; at < size; ++at) {
            texts.push_back(fixed);
            texts.back()[at] = '#';
        }
        Batch batch;
        const auto rows = static_cast<std::uint32_t>(texts.size());
        batch.reset(layout, rows);
        batch.rows = rows;
        for (std::uint32_t row = 0; row < rows; ++row) batch.column(0).values<std::string_view>()[row] = texts[row];
        Selection all;
        all.assign_all(rows);
        const auto check = [&](const std::string& text, const auto& expected) {
            const auto compiled = compile_expression(text, scope);
            const Program& program = std::get<Program>(compiled);
            const auto scratch = program.make_scratch();
            Selection yes;
            ExpressionErrors errors;
            program.split(batch, all, *scratch, &yes, nullptr, errors);
            std::vector<std::string> found, wanted;
            for (const Row row : yes) found.push_back(texts[row]);
            for (const std::string& one : texts) {
                if (expected(one)) wanted.push_back(one);
            }
            EXPECT_EQ(found, wanted) << text;
        };
        const auto ends = [&](const std::string& one) {
            return one.size() >= size && one.compare(one.size() - size, size, fixed) == 0;
        };
        check(fmt::format("text == '{}'", fixed), [&](const std::string& one) { return one == fixed; });
        check(fmt::format("'{}' != text", fixed), [&](const std::string& one) { return one != fixed; });
        check(fmt::format("text in ['{}', 'other']", fixed), [&](const std::string& one) { return one == fixed; });
        check(fmt::format("text.startsWith('{}')", fixed),
              [&](const std::string& one) { return one.compare(0, size, fixed) == 0; });
        check(fmt::format("text.endsWith('{}')", fixed), ends);
    }
}

TEST(Kernels, FindANumberInAnyList) {
    const ShopFloor floor;
    using ::testing::ElementsAre;
    EXPECT_THAT(floor.evaluate("count in [5, 63]"), ElementsAre("true", "false", "false", "false"));
    EXPECT_THAT(floor.evaluate("count in [0, 64, -3]"), ElementsAre("false", "true", "false", "true"));
    EXPECT_THAT(floor.evaluate("count in [9223372036854775807, -1]"), ElementsAre("false", "false", "true", "false"));
    EXPECT_THAT(floor.evaluate("count in [5.0, 0.5]"), ElementsAre("true", "false", "false", "false"));
    EXPECT_THAT(floor.evaluate("order in ['a','b','c','d','e','f','g','h','TEST-2']"),
                ElementsAre("false", "true", "false", "false"));
}

}  // namespace
}  // namespace takt
