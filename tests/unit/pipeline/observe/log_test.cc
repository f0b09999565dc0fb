#include "pipeline/observe/log.h"

#include <gtest/gtest.h>

namespace takt {
namespace {

TEST(Log, QuotesLogfmtValuesOnlyWhereTheyNeedIt) {
    EXPECT_EQ(format_log(LogFormat::logfmt, "epoch released", {{"epoch", "17"}, {"text", "a \"b\"\nc"}, {"empty", ""}}),
              R"(message="epoch released" epoch=17 text="a \"b\"\nc" empty="")");
}

TEST(Log, EscapesForJson) {
    EXPECT_EQ(format_log(LogFormat::json, "a\\b", {{"text", "tab\t{}"}}), R"("message":"a\\b","text":"tab\u0009{}")");
}

TEST(Log, WritesOneLineToStderr) {
    configure_log(LogFormat::json, LogLevel::info);
    testing::internal::CaptureStderr();
    log(LogLevel::debug, "not this");
    log(LogLevel::warning, "braces {} stay", {{"key", "a b"}});
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_NE(text.find(R"("level":"warning","message":"braces {} stay","key":"a b"})"), std::string::npos) << text;
    EXPECT_EQ(text.find("not this"), std::string::npos);
    EXPECT_EQ(text.substr(0, 9), R"({"time":")");
}

TEST(Log, KnowsItsLevels) {
    EXPECT_EQ(parse_log_level("warning"), LogLevel::warning);
    EXPECT_FALSE(parse_log_level("loud").has_value());
}

}  // namespace
}  // namespace takt
