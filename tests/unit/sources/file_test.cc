#include "sources/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace takt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class FileSourceTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = (std::filesystem::temp_directory_path() / "takt_file_XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    std::string write(const std::string& name, std::string_view text, bool append = false) {
        const std::string path = folder_ + "/" + name;
        std::ofstream(path, append ? std::ios::app | std::ios::binary : std::ios::binary) << text;
        return path;
    }
    static std::string prefixed(std::string_view record) {
        const auto size = static_cast<std::uint32_t>(record.size());
        return std::string(reinterpret_cast<const char*>(&size), sizeof size) + std::string(record);
    }

    struct Read {
        std::vector<std::string> messages;
        std::vector<std::uint64_t> sequences;
    };
    /// Reads until the source says something other than `more`.
    static Read drain(Source& source, std::size_t messages = 3, std::size_t bytes = 4 << 20) {
        Read read;
        Source::Limits limits;
        limits.messages = messages;
        limits.bytes = bytes;
        limits.wait = 0;
        while (true) {
            MessageBlock block;
            const Result<Source::State> state = source.read(limits, block);
            EXPECT_TRUE(state.ok()) << state.error().text();
            if (!state.ok() || block.messages.empty()) return read;
            for (const Message& message : block.messages) {
                read.messages.emplace_back(message.data);
                read.sequences.push_back(message.sequence);
            }
        }
    }
    static Read read_all(FileSource::Options options) {
        FileSource source(std::move(options));
        const Status opened = source.open({});
        EXPECT_TRUE(opened.ok()) << opened.error().text();
        return drain(source);
    }

    std::string folder_;
};

TEST_F(FileSourceTest, CutsLinesAtLineFeedOnlyAndCountsBlankOnes) {
    const std::string path = write("a.jsonl", "\xEF\xBB\xBF{1}\r\n\n \n{2}\r{3}\n{4}");
    const Read read = read_all({.path = {path}});
    EXPECT_THAT(read.messages, ElementsAre("{1}\r", "", " ", "{2}\r{3}", "{4}"));
    EXPECT_THAT(read.sequences, ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(FileSourceTest, ReadsMatchesOfAPatternInOrderOfTheirNamesUnderOneCount) {
    write("2.jsonl", "c\nd");
    write("1.jsonl", "a\nb\n");
    write("3.jsonl", "");
    write("4.jsonl",
          "\xEF\xBB\xBF"
          "e");
    const Read read = read_all({.path = {folder_ + "/*.jsonl"}});
    EXPECT_THAT(read.messages, ElementsAre("a", "b", "c", "d", "e"));
    EXPECT_THAT(read.sequences, ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(FileSourceTest, AQuotedFieldMayHoldLineEnds) {
    const std::string path = write("a.csv", "id,text\n1,\"two\nlines, \"\"quoted\"\"\"\n2,plain \"quote\n3,x");
    const Read read = read_all({.path = {path}, .framing = RecordFraming::delimited});
    EXPECT_THAT(read.messages, ElementsAre("id,text", "1,\"two\nlines, \"\"quoted\"\"\"", "2,plain \"quote", "3,x"));
}

TEST_F(FileSourceTest, AHeaderIsCountedButSaysNothing) {
    const std::string path = write("a.tsv", "\xEF\xBB\xBFid\tvalue\r\n1\t2\n");
    const FileSource::Options options{
        .path = {path}, .framing = RecordFraming::delimited, .delimiter = "\t", .header = true};
    const Read read = read_all(options);
    EXPECT_THAT(read.messages, ElementsAre("", "1\t2"));
    EXPECT_THAT(read.sequences, ElementsAre(1, 2));
    EXPECT_EQ(FileSource::read_header(options).value(), "id\tvalue");
}

TEST_F(FileSourceTest, AQuoteThatNeverClosesSpoilsOnlyItsLine) {
    const std::string path = write("a.csv", "1,\"open\n2,x\n3,y\n");
    const Read read = read_all({.path = {path}, .framing = RecordFraming::delimited});
    EXPECT_THAT(read.messages, ElementsAre("1,\"open", "2,x", "3,y"));
}

TEST_F(FileSourceTest, SizePrefixedRecordsMayBeEmptyAndATornOneIsPassedOn) {
    const std::string path =
        write("a.fb", prefixed("one") + prefixed("") + prefixed("three") + prefixed("torn").substr(0, 6));
    const Read read = read_all({.path = {path}, .framing = RecordFraming::size_prefixed});
    EXPECT_THAT(read.messages, ElementsAre("one", "", "three", "to"));
}

TEST_F(FileSourceTest, ALongRecordIsCutShortAndTheNextOneIsWhole) {
    const std::string huge(5 << 20, 'x');
    FileSource::Options options{.path = {write("a.jsonl", "a\n" + huge + "\nb\n")}};
    const Read lines = read_all(options);
    ASSERT_THAT(lines.messages, SizeIs(3));
    EXPECT_EQ(lines.messages[1].size(), (1u << 20) + 1);
    EXPECT_EQ(lines.messages[2], "b");

    options = {.path = {write("a.fb", prefixed("a") + prefixed(huge) + prefixed("b"))},
               .framing = RecordFraming::size_prefixed};
    const Read records = read_all(options);
    ASSERT_THAT(records.messages, SizeIs(3));
    EXPECT_EQ(records.messages[1].size(), (1u << 20) + 1);
    EXPECT_EQ(records.messages[2], "b");

    const std::string limit(1 << 20, 'x');
    options = {.path = {write("b.jsonl", limit + "\nb")}};
    EXPECT_THAT(read_all(options).messages, ElementsAre(limit, "b"));
}

TEST_F(FileSourceTest, GoesOnFromEveryPositionWithAndWithoutItsAnchor) {
    write("1.jsonl", "a\nb\n\nc");
    write("2.jsonl", "d\ne\n");
    const FileSource::Options options{.path = {folder_ + "/*.jsonl"}};
    const std::vector<std::string> all = read_all(options).messages;
    FileSource source(options);
    ASSERT_TRUE(source.open({}).ok());
    for (std::size_t n = 0; n <= all.size(); ++n) {
        const SourcePosition position = source.position();
        EXPECT_EQ(position.next_sequence, n + 1);
        EXPECT_FALSE(position.anchor.empty());
        EXPECT_LE(position.anchor.size(), 256u);
        for (const bool anchored : {true, false}) {
            FileSource again(options);
            ASSERT_TRUE(again.open({n + 1, anchored ? position.anchor : ""}).ok());
            EXPECT_EQ(drain(again).messages,
                      std::vector<std::string>(all.begin() + static_cast<std::ptrdiff_t>(n), all.end()));
        }
        MessageBlock block;
        Source::Limits one;
        one.messages = 1;
        ASSERT_TRUE(source.read(one, block).ok());
    }
}

TEST_F(FileSourceTest, RefusesAnotherFileAndAShorterOneAtItsPosition) {
    const std::string path = write("a.jsonl", "one\ntwo\nthree\n");
    FileSource source({.path = {path}});
    ASSERT_TRUE(source.open({}).ok());
    drain(source);
    const SourcePosition position = source.position();

    write("a.jsonl", "one\nTWO\nthree\nfour\n");
    const Status other = FileSource({.path = {path}}).open(position);
    ASSERT_FALSE(other.ok());
    EXPECT_EQ(other.error().code, "F510");

    write("a.jsonl", "one\n");
    EXPECT_EQ(FileSource({.path = {path}}).open(position).error().code, "F511");
    EXPECT_EQ(FileSource({.path = {path}}).open({4, ""}).error().code, "F511");
}

TEST_F(FileSourceTest, FollowWaitsForTheEndOfALine) {
    const std::string path = write("a.jsonl", "one\ntw");
    FileSource source({.path = {path}, .follow = true});
    ASSERT_TRUE(source.open({}).ok());
    EXPECT_THAT(drain(source).messages, ElementsAre("one"));
    MessageBlock nothing;
    EXPECT_EQ(source.read({.wait = 0}, nothing).value(), Source::State::quiet);
    write("a.jsonl", "o\nthree\n", true);
    EXPECT_THAT(drain(source).messages, ElementsAre("two", "three"));
    write("a.jsonl", "");
    MessageBlock block;
    const Result<Source::State> cut = source.read({.wait = 0}, block);
    ASSERT_FALSE(cut.ok());
    EXPECT_EQ(cut.error().code, "F511");
}

TEST_F(FileSourceTest, SaysWhichFileIsMissing) {
    const Status missing = FileSource({.path = {folder_ + "/none.jsonl"}}).open({});
    ASSERT_FALSE(missing.ok());
    EXPECT_EQ(missing.error().code, "C510");
    EXPECT_THAT(missing.error().message, HasSubstr("none.jsonl"));
    EXPECT_EQ(FileSource({.path = {folder_ + "/*.none"}}).open({}).error().code, "C510");
}

}  // namespace
}  // namespace takt
