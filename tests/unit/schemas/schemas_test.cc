#include <flatbuffers/flatbuffers.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <iterator>

#include "pipeline/base/decimal.h"
#include "schemas/frame_generated.h"
#include "sources/decode/flatbuffers_schema.h"

namespace takt {
namespace {

using flatbuffers::FlatBufferBuilder;

std::string bytes_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Schemas, CommittedBinarySchemasAreWhatFlatcMakes) {
    for (const char* name : {"posting", "dead_letter"}) {
        const std::string committed = bytes_of(fmt::format("{}/schemas/{}.bfbs", TAKT_SOURCE_DIR, name));
        EXPECT_FALSE(committed.empty()) << name;
        EXPECT_EQ(committed, bytes_of(fmt::format("{}/schemas/{}.bfbs", TAKT_BINARY_DIR, name))) << name;
    }
}

/// A pipeline may read the postings of another one: "key string required, ...", as its author sees them.
std::string columns_of(const char* name) {
    const auto schema = load_bfbs(fmt::format("{}/schemas/{}.bfbs", TAKT_SOURCE_DIR, name));
    if (!schema) return schema.error().text();
    std::string text;
    for (const RecordField& field : (*schema)->fields) {
        text += fmt::format("{} {}{}\n", field.field.name, to_string(field.field.type),
                            field.field.required ? " required" : "");
    }
    return text;
}

TEST(Schemas, PostingsHaveExactColumns) {
    EXPECT_EQ(columns_of("posting"),
              "key string required\npayload_hash string required\ntype string required\npipeline string required\n"
              "revision uint\nprevious_key string\nwindow_start timestamp\nwindow_end timestamp\nposting_date int\n"
              "correlation_id string\nquantity decimal(6)\nquantity_cumulative decimal(6)\nunit string\n"
              "amount decimal(2)\namount_cumulative decimal(2)\ncurrency string\ndebit string\ncredit string\n"
              "events uint\nevent_ids_hash string\nconfig_hash string\nepoch uint\n");
}

TEST(Schemas, DeadLettersHaveTheirBytes) {
    EXPECT_EQ(columns_of("dead_letter"),
              "source string required\nsequence uint\npart uint\nsubject string\ningest_time timestamp\n"
              "event_id string\nreason string required\ntext string\nowner string\nstep string\n"
              "correlation_id string\nbytes bytes\nepoch uint\nreplay uint\n");
}

/// What a nested builder finished, as a section of a frame.
flatbuffers::Offset<wire::Section> section(FlatBufferBuilder& frame, wire::SectionKind kind,
                                           const FlatBufferBuilder& nested) {
    const std::vector<std::uint8_t> data(nested.GetBufferPointer(), nested.GetBufferPointer() + nested.GetSize());
    return wire::CreateSectionDirect(frame, kind, 0, &data);
}

/// One source cut at 42, and one posting of 10^20 millionths.
std::vector<std::uint8_t> small_frame() {
    FlatBufferBuilder cuts;
    const auto source = cuts.CreateString("floor");
    const std::vector<std::uint8_t> bytes = {1, 2};
    const auto anchor = cuts.CreateVector(bytes);
    wire::SourceCutBuilder cut(cuts);
    cut.add_source(source);
    cut.add_last_sequence(42);
    cut.add_anchor(anchor);
    const std::vector<flatbuffers::Offset<wire::SourceCut>> all = {cut.Finish()};
    cuts.Finish(wire::CreateCutsSectionDirect(cuts, &all));

    FlatBufferBuilder postings;
    const auto posting = wire::CreatePostingDirect(postings, "key", "hash", "goods_receipt", "plant");
    const wire::Units128 quantity(7'766'279'631'452'241'920u, 5);  // 10^20
    wire::JournaledPostingBuilder journaled(postings);
    journaled.add_posting(posting);
    journaled.add_quantity(&quantity);
    const std::vector<flatbuffers::Offset<wire::JournaledPosting>> made = {journaled.Finish()};
    postings.Finish(wire::CreatePostingsSectionDirect(postings, &made));

    FlatBufferBuilder frame;
    const std::vector<flatbuffers::Offset<wire::Section>> sections = {
        section(frame, wire::SectionKind::cuts, cuts), section(frame, wire::SectionKind::postings, postings)};
    frame.Finish(wire::CreateFrameDirect(frame, "0.1.0", "c0ffee", "2024a", &sections));
    return {frame.GetBufferPointer(), frame.GetBufferPointer() + frame.GetSize()};
}

TEST(Schemas, SectionsOfAFrameAreReadInPlace) {
    const std::vector<std::uint8_t> bytes = small_frame();
    flatbuffers::Verifier whole(bytes.data(), bytes.size());
    ASSERT_TRUE(wire::VerifyFrameBuffer(whole));
    const auto& sections = *wire::GetFrame(bytes.data())->sections();
    ASSERT_EQ(sections.size(), 2u);
    for (const wire::Section* section : sections)
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(section->data()->data()) % 8, 0u);

    const auto& cuts = *sections[0]->data();
    flatbuffers::Verifier verify_cuts(cuts.data(), cuts.size());
    ASSERT_TRUE(verify_cuts.VerifyBuffer<wire::CutsSection>(nullptr));
    const wire::SourceCut& cut = *flatbuffers::GetRoot<wire::CutsSection>(cuts.data())->sources()->Get(0);
    EXPECT_EQ(cut.last_sequence(), 42u);
    EXPECT_EQ(cut.anchor()->Get(1), 2u);
    EXPECT_FALSE(cut.highest_event_time().has_value());  // nothing was read, which is not 1970

    const auto& postings = *sections[1]->data();
    flatbuffers::Verifier verify_postings(postings.data(), postings.size());
    ASSERT_TRUE(verify_postings.VerifyBuffer<wire::PostingsSection>(nullptr));
    const wire::JournaledPosting& made =
        *flatbuffers::GetRoot<wire::PostingsSection>(postings.data())->postings()->Get(0);
    const wire::Units128& quantity = *made.quantity();
    EXPECT_EQ(format_decimal((static_cast<Int128>(quantity.high()) << 64) + quantity.low(), made.quantity_scale()),
              "100000000000000.000000");
    EXPECT_EQ(made.amount(), nullptr);
    EXPECT_FALSE(made.posting()->quantity().has_value());
}

TEST(Schemas, TheHeaderOfAFrameHas64BytesInTheOrderOfThePage) {
    static_assert(sizeof(wire::FrameHeader) == 64);
    const wire::FrameHeader header(1, 2, 3, 4, 5, wire::Hash128(6, 7), 8, 9, 0, 10);
    std::array<std::uint32_t, 16> words{};
    std::memcpy(words.data(), &header, sizeof header);
    EXPECT_THAT(words, testing::ElementsAre(1, 0, 2, 3, 4, 0, 5, 0, 6, 0, 7, 0, 8, 9, 0, 10));
}

}  // namespace
}  // namespace takt
