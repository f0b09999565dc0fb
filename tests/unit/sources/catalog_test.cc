#include "sources/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pipeline/config/node.h"
#include "pipeline/runtime/batch_pool.h"

namespace takt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A source section under `s`, planned; the config lies in a folder of its own.
class SourceCatalog : public ::testing::Test {
  protected:
    SourceCatalog() {
        folder_ = std::filesystem::path(::testing::TempDir()) /
                  ("catalog_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
        std::filesystem::create_directories(folder_);
    }
    ~SourceCatalog() override { std::filesystem::remove_all(folder_); }

    void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }

    std::optional<SourceDraft> plan(const std::string& yaml) {
        mistakes_ = {};
        const ConfigNode config = parse_config((folder_ / "config.yaml").string(), yaml, mistakes_);
        const ConfigNode* section = config.find("s");
        for (const SourceType* type : source_catalog()) {
            if (const ConfigNode* options = section->find(type->name())) {
                return type->plan("s", *options, *section, mistakes_);
            }
        }
        return std::nullopt;
    }
    std::vector<std::string> codes() const {
        std::vector<std::string> all;
        for (const Mistake& mistake : mistakes_.list()) all.push_back(mistake.code);
        return all;
    }
    const std::string event_schema_ = "schema: " TAKT_SOURCE_DIR "/schemas/event.bfbs";

    std::filesystem::path folder_;
    Mistakes mistakes_;
};

TEST_F(SourceCatalog, DeclaresTheFieldsOfDelimitedTextAndReadsThem) {
    write("log.tsv", "case\tstart\tpower\nA1\t2026/03/29 01:30:00\t007.25\n");
    auto draft = plan(R"(
s:
  file: log.tsv
  format:
    delimited:
      delimiter: tab
      fields:
        case: string
        started: { type: timestamp, column: start, format: "%Y/%m/%d %H:%M:%S", zone: Europe/Berlin }
        power: { type: decimal(6), column: 3 }
        unit: { constant: kW }
)");
    ASSERT_TRUE(draft) << mistakes_.render();
    Layout layout;
    for (const RecordField& field : draft->schema->fields) layout.add(field.field);
    const auto decoder = draft->make_decoder(layout, 0);
    auto source = draft->make();
    ASSERT_TRUE(source.ok());
    ASSERT_TRUE((*source)->open({}).ok());
    auto block = std::make_shared<MessageBlock>();
    ASSERT_TRUE((*source)->read({}, *block).ok());
    BatchPool pool(layout);
    const auto scratch = decoder->make_scratch();
    std::vector<std::unique_ptr<Batch>> batches;
    decoder->decode(block, 0, block->messages.size(), *scratch, pool, batches);
    ASSERT_EQ(batches.size(), 1u);
    const Batch& batch = *batches[0];
    ASSERT_EQ(batch.rows, 1u);
    EXPECT_EQ(batch.outcome[0], kUndecided);
    EXPECT_EQ(batch.column(0).values<std::string_view>()[0], "A1");
    EXPECT_EQ(batch.column(1).values<std::int64_t>()[0], parse_timestamp("2026-03-29T00:30:00Z"));
    EXPECT_EQ(static_cast<std::int64_t>(batch.column(2).values<Int128>()[0]), 7'250'000);
    EXPECT_EQ(batch.column(3).values<std::string_view>()[0], "kW");
}

TEST_F(SourceCatalog, TellsEveryMistakeOfAFormatAtOnce) {
    write("log.csv", "a,b\n");
    EXPECT_FALSE(plan(R"(
s:
  file: log.csv
  format:
    delimited:
      delimiter: ab
      fields:
        a: { type: decimel(6) }
        b: { type: string, zone: Europe/Berlin }
        c: { type: timestamp, format: "%Q" }
        d: { column: a, constant: b }
        e: { type: timestamp, format: "%Y-%m-%d", zone: Europe/Berlim }
        f: { typ: string }
)"));
    EXPECT_THAT(codes(), ElementsAre("C334", "C332", "C338", "C316", "C333", "C410", "C104"));
    EXPECT_THAT(mistakes_.render(), HasSubstr("did you mean 'decimal(6)'?"));
}

TEST_F(SourceCatalog, AFieldThatTheSchemaDoesNotHaveIsProposed) {
    write("log.csv", "a,b\n");
    EXPECT_FALSE(plan("s:\n  file: log.csv\n  " + event_schema_ + "\n  format: { csv: { fields: { plnt: a } } }\n"));
    EXPECT_THAT(codes(), ElementsAre("C337"));
    EXPECT_THAT(mistakes_.render(), HasSubstr("did you mean 'plant'?"));
}

TEST_F(SourceCatalog, AMessageHasNoHeader) {
    EXPECT_FALSE(plan("s:\n  nats: { subject: a }\n  format: { delimited: { fields: { a: string } } }\n"));
    EXPECT_THAT(codes(), ElementsAre("C335"));
    EXPECT_TRUE(
        plan("s:\n  nats: { subject: a }\n  format: { delimited: { header: false, fields: { a: { column: 1 } } } }\n"))
        << mistakes_.render();
}

TEST_F(SourceCatalog, TheEndOfTheNameSaysTheFormatOfAFile) {
    write("events.jsonl", "{\"plant\":\"P100\"}\n{}\n");
    auto draft = plan("s:\n  file: events.jsonl\n  " + event_schema_ + "\n");
    ASSERT_TRUE(draft) << mistakes_.render();
    auto source = draft->make();
    ASSERT_TRUE(source.ok() && (*source)->open({}).ok());
    MessageBlock block;
    ASSERT_TRUE((*source)->read({}, block).ok());
    EXPECT_EQ(block.messages.size(), 2u);
    EXPECT_EQ(block.messages[0].data, "{\"plant\":\"P100\"}");
}

TEST_F(SourceCatalog, ASourceWithoutSchemaAndAnUnknownFormatAreMistakes) {
    EXPECT_FALSE(plan("s:\n  jetstream: { stream: A }\n"));
    EXPECT_THAT(codes(), ElementsAre("C330"));
    EXPECT_FALSE(plan("s:\n  jetstream: { stream: A }\n  " + event_schema_ + "\n  format: jsn\n"));
    EXPECT_THAT(codes(), ElementsAre("C331"));
    EXPECT_FALSE(plan("s:\n  file: none.csv\n  format: { delimited: { fields: { a: string } } }\n"));
    EXPECT_THAT(codes(), ElementsAre("C336"));
}

TEST_F(SourceCatalog, EveryConnectorSaysItsOptions) {
    for (const SourceType* type : source_catalog()) {
        EXPECT_THAT(type->help(), ::testing::Not(IsEmpty()));
        EXPECT_THAT(type->docs(), ::testing::Not(IsEmpty())) << type->name();
    }
    for (const TableType* type : table_catalog()) {
        EXPECT_THAT(type->help(), ::testing::Not(IsEmpty()));
        EXPECT_THAT(type->docs(), ::testing::Not(IsEmpty())) << type->name();
    }
}

TEST(TableCatalog, ABucketAndItsPrefixHaveNames) {
    const auto mistakes_of = [](const std::string& kv) {
        Mistakes mistakes;
        const ConfigNode config = parse_config("config.yaml", "kv: " + kv + "\n", mistakes);
        TableSpec spec;
        spec.name = "prices";
        const auto make = table_catalog()[0]->plan(*config.find("kv"), spec, mistakes);
        EXPECT_EQ(make.has_value(), mistakes.empty());
        return mistakes.render();
    };
    for (const char* good :
         {"MASTER", "{ bucket: M-1_a }", "{ bucket: M, prefix: prices. }", "{ bucket: M, prefix: a.b=2F/c. }"})
        EXPECT_EQ(mistakes_of(good), "");
    for (const char* bad : {"M.A", "{ bucket: 'M A' }", "{ bucket: M, prefix: prices }", "{ bucket: M, prefix: a..b. }",
                            "{ bucket: M, prefix: .a. }", "{ bucket: M, prefix: 'a*.' }", "{ bucket: M, prefix: . }"})
        EXPECT_THAT(mistakes_of(bad), HasSubstr("error C138")) << bad;
    EXPECT_THAT(mistakes_of("{ prefix: a. }"), HasSubstr("error C190"));
    EXPECT_THAT(mistakes_of("{ buckte: M }"), HasSubstr("did you mean 'bucket'?"));
}

}  // namespace
}  // namespace takt
