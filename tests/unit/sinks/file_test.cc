#include "sinks/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "pipeline/state/csv.h"
#include "sinks/posting_flatbuffers.h"
#include "sinks/posting_json.h"
#include "tests/unit/sinks/sample_posting.h"

namespace takt {
namespace {

using sample::deliver_one;
using sample::Folder;
using sample::goods_receipt;
using sample::text_of;
using testing::ElementsAre;
using testing::HasSubstr;

std::set<std::string> names_in(const std::string& folder) {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        names.insert(entry.path().filename().string());
    return names;
}

FileSink::Options options_for(const Folder& folder, FileSink::Format format, std::int64_t records_per_file = 0) {
    return {.path = folder / "out", .format = format, .records_per_file = records_per_file, .synchronous = false};
}

std::string extension_of(FileSink::Format format) {
    if (format == FileSink::Format::flatbuffers) return "flatbuffers";
    return format == FileSink::Format::csv ? "csv" : "jsonl";
}

class FileSinkForms : public testing::TestWithParam<FileSink::Format> {};
INSTANTIATE_TEST_SUITE_P(Forms, FileSinkForms,
                         testing::Values(FileSink::Format::json, FileSink::Format::csv, FileSink::Format::flatbuffers));

TEST_P(FileSinkForms, NoPartialFileIsLeftAndNothingShowsBefore) {
    const Folder folder;
    FileSink sink(options_for(folder, GetParam()));
    ASSERT_TRUE(sink.open().ok());
    EXPECT_EQ(deliver_one(sink, goods_receipt("a", 1, 1)).state, Sink::State::accepted);
    const std::string extension = extension_of(GetParam());
    EXPECT_THAT(names_in(folder / "out"), ElementsAre(".postings-000001." + extension + ".partial"));
    ASSERT_TRUE(sink.finish().ok());
    EXPECT_THAT(names_in(folder / "out"), ElementsAre("outcomes.csv", "postings-000001." + extension));
}

TEST_P(FileSinkForms, FilesDependOnNoGroupingIntoCalls) {
    const auto run = [&](std::size_t per_call) {
        const Folder folder;
        FileSink sink(options_for(folder, GetParam(), 3));
        EXPECT_TRUE(sink.open().ok());
        std::vector<Posting> postings;
        for (int i = 0; i < 8; ++i) postings.push_back(goods_receipt(std::to_string(i), i, i));
        for (std::size_t i = 0; i < postings.size(); i += per_call)
            EXPECT_TRUE(sink.deliver(std::span(postings).subspan(i, std::min(per_call, postings.size() - i))).ok());
        EXPECT_TRUE(sink.finish().ok());
        std::map<std::string, std::string> files;
        for (const std::string& name : names_in(folder / "out")) files[name] = text_of(folder / "out/" + name);
        return files;
    };
    const auto one = run(1);
    EXPECT_EQ(one.size(), 4U);  // three of postings, and the outcomes
    EXPECT_EQ(run(8), one);
    EXPECT_EQ(run(5), one);
}

TEST_P(FileSinkForms, ARepeatTakesNoEffectAndAConflictIsRefused) {
    const Folder folder;
    {
        FileSink sink(options_for(folder, GetParam(), 2));
        ASSERT_TRUE(sink.open().ok());
        for (const char* name : {"a", "b", "c", "a"})
            EXPECT_EQ(deliver_one(sink, goods_receipt(name, 1, 1)).state, Sink::State::accepted);
        EXPECT_EQ(deliver_one(sink, goods_receipt("b", 1, 2)).reason, "IDEMPOTENCY_CONFLICT");
    }
    FileSink sink(options_for(folder, GetParam(), 2));  // "a" and "b" are in a whole file, "c" is in a partial one
    ASSERT_TRUE(sink.open().ok());
    for (const char* name : {"a", "b", "c"})
        EXPECT_EQ(deliver_one(sink, goods_receipt(name, 1, 1)).state, Sink::State::accepted);
    EXPECT_EQ(deliver_one(sink, goods_receipt("c", 2, 1)).reason, "IDEMPOTENCY_CONFLICT");
    ASSERT_TRUE(sink.finish().ok());
    EXPECT_EQ(names_in(folder / "out").size(), 3U);
}

TEST_P(FileSinkForms, AfterACrashTheWholeRecordsStayAndTheTornOneIsWrittenAgain) {
    const std::string extension = extension_of(GetParam());
    const Folder folder;
    const auto make = [&](const std::string& name) {
        Posting posting = goods_receipt(name, 1, 1);
        posting.correlation_id = "line\nend, \"quoted\"";
        return posting;
    };
    {
        FileSink sink(options_for(folder, GetParam()));
        ASSERT_TRUE(sink.open().ok());
        for (const char* name : {"a", "b"}) EXPECT_EQ(deliver_one(sink, make(name)).state, Sink::State::accepted);
        ASSERT_TRUE(sink.finish().ok());
    }
    const std::string whole = text_of(folder / "out/postings-000001." + extension);
    // Torn at every byte: what is recovered and delivered again makes the same file.
    for (std::size_t torn = 0; torn <= whole.size(); torn += 11) {
        std::filesystem::remove_all(folder / "out");
        std::filesystem::create_directory(folder / "out");
        std::ofstream(folder / "out/.postings-000001." + extension + ".partial", std::ios::binary)
            << whole.substr(0, torn);
        FileSink sink(options_for(folder, GetParam()));
        ASSERT_TRUE(sink.open().ok()) << torn;
        for (const char* name : {"a", "b"}) EXPECT_EQ(deliver_one(sink, make(name)).state, Sink::State::accepted);
        ASSERT_TRUE(sink.finish().ok());
        ASSERT_EQ(text_of(folder / "out/postings-000001." + extension), whole) << torn;
        EXPECT_EQ(names_in(folder / "out").size(), 2U);
    }
}

TEST_P(FileSinkForms, DeadLettersAreKeptOnceAlsoAfterReopening) {
    const Folder folder;
    std::vector<DeadLetter> letters{sample::dead_letter(1, "DECODE", "\xFF\n"), sample::dead_letter(2, "TOO_LATE")};
    letters[0].source = "floor \"1\"";
    for (int run = 0; run < 2; ++run) {
        FileSink sink(options_for(folder, GetParam()));
        ASSERT_TRUE(sink.open().ok());
        ASSERT_TRUE(sink.keep(letters).ok());
        ASSERT_TRUE(sink.keep(letters).ok());
        ASSERT_TRUE(sink.finish().ok());
    }
    const std::string extension = extension_of(GetParam());
    EXPECT_THAT(names_in(folder / "out"), ElementsAre("dead_letters-000001." + extension, "outcomes.csv"));
    const std::string text = text_of(folder / "out/dead_letters-000001." + extension);
    if (extension == "flatbuffers") {
        const std::string_view first = next_size_prefixed(text);
        EXPECT_EQ(read_dead_letter_flatbuffer(first).value().bytes, "\xFF\n");
        EXPECT_EQ(text, size_prefixed(first) + size_prefixed(dead_letter_flatbuffer(letters[1])));
        return;
    }
    EXPECT_THAT(text, HasSubstr("/wo="));  // the bytes, in base64
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), extension == "csv" ? 3 : 2);
}

TEST(FileSink, TheCsvHasOneRowForEachPosting) {
    const Folder folder;
    FileSink sink(options_for(folder, FileSink::Format::csv));
    ASSERT_TRUE(sink.open().ok());
    EXPECT_EQ(deliver_one(sink, goods_receipt("a", 1'500'000, -1234)).state, Sink::State::accepted);
    ASSERT_TRUE(sink.summarize(std::vector<Sink::OutcomeCount>{{"filtered", "telemetry", 3}}).ok());
    ASSERT_TRUE(sink.finish().ok());
    const auto csv = read_csv(folder / "out/postings-000001.csv");
    ASSERT_TRUE(csv.ok()) << csv.error().text();
    ASSERT_EQ(csv->rows(), 1U);
    const auto cell = [&](const char* column) {
        return std::string(csv->row(0)[static_cast<std::size_t>(csv->find(column))].text);
    };
    EXPECT_EQ(cell("quantity"), "1.500000");
    EXPECT_EQ(cell("amount"), "-12.34");
    EXPECT_EQ(cell("key_fields"), R"({"plant":"P100","order_id":"PO-1","material":"FG-PUMP"})");
    EXPECT_EQ(cell("window_end"), "2026-05-12T12:00:00Z");
    EXPECT_EQ(text_of(folder / "out/outcomes.csv"), "outcome,rule,count\nfiltered,telemetry,3\n");
}

TEST(FileSink, TheJsonLineIsTheOneOfAllSinks) {
    const Folder folder;
    FileSink sink(options_for(folder, FileSink::Format::json));
    ASSERT_TRUE(sink.open().ok());
    const Posting posting = goods_receipt("a", 1, 2);
    EXPECT_EQ(deliver_one(sink, posting).state, Sink::State::accepted);
    ASSERT_TRUE(sink.finish().ok());
    EXPECT_EQ(text_of(folder / "out/postings-000001.jsonl"), posting_json(posting) + "\n");
}

TEST(FileSink, FlatBuffersStandInTheFileEachAfterItsLength) {
    const Folder folder;
    FileSink sink(options_for(folder, FileSink::Format::flatbuffers));
    ASSERT_TRUE(sink.open().ok());
    std::vector<Posting> postings{goods_receipt("a", 1, 2), goods_receipt("wide", 1, 2), goods_receipt("b", 3, 4)};
    postings[1].quantity = Int128{INT64_MAX} + 1;
    const auto deliveries = sink.deliver(postings);
    ASSERT_TRUE(deliveries.ok());
    EXPECT_EQ((*deliveries)[0].state, Sink::State::accepted);
    EXPECT_EQ((*deliveries)[1].state, Sink::State::refused);
    EXPECT_EQ((*deliveries)[1].reason, "OUT_OF_RANGE");
    EXPECT_EQ((*deliveries)[2].state, Sink::State::accepted);
    ASSERT_TRUE(sink.finish().ok());
    EXPECT_EQ(text_of(folder / "out/postings-000001.flatbuffers"),
              size_prefixed(*posting_flatbuffer(postings[0])) + size_prefixed(*posting_flatbuffer(postings[2])));
}

TEST(FileSink, AForeignFileInTheFolderIsNotOverwritten) {
    const std::string damaged = size_prefixed(*posting_flatbuffer(goods_receipt("a", 1, 1)));
    for (const auto& [format, text] : {std::pair{FileSink::Format::json, std::string("{\"x\":1}\n")},
                                       {FileSink::Format::csv, std::string("x\n1\n")},
                                       {FileSink::Format::flatbuffers, size_prefixed("nothing of ours")},
                                       {FileSink::Format::flatbuffers, damaged.substr(0, damaged.size() - 1)}}) {
        const Folder folder;
        std::filesystem::create_directory(folder / "out");
        const std::string path = folder / "out/postings-000001." + extension_of(format);
        std::ofstream(path, std::ios::binary) << text;
        FileSink sink(options_for(folder, format));
        const Status status = sink.open();
        ASSERT_FALSE(status.ok());
        EXPECT_THAT(status.error().text(), HasSubstr("F630"));
        EXPECT_EQ(text_of(path), text);
    }
}

TEST(FileSink, MoreKeysThanTheOptionLetsBeRememberedAreRefusedBeforeAnyIsWritten) {
    const Folder folder;
    FileSink::Options options = options_for(folder, FileSink::Format::json);
    options.max_keys = 1;
    FileSink sink(options);
    ASSERT_TRUE(sink.open().ok());
    const std::vector<Posting> two{goods_receipt("a", 1, 1), goods_receipt("b", 1, 1)};
    const auto refused = sink.deliver(two);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, "F631");
    EXPECT_TRUE(names_in(folder / "out").empty());
}

TEST(FileSink, AnOutputThatCannotBeWrittenIsAnOutsideError) {
    const Folder folder;
    std::ofstream(folder / "out") << "a file where the folder should be";
    FileSink sink(options_for(folder, FileSink::Format::json));
    const Status status = sink.open();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, "E630");
}

}  // namespace
}  // namespace takt
