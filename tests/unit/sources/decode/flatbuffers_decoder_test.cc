#include "sources/decode/flatbuffers_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/sources/decode/decoded.h"
#include "tests/unit/sources/decode/events.h"

namespace takt {
namespace {

using Framing = DecoderOptions::Framing;
using ::testing::HasSubstr;

Decoded decode_events(const std::vector<std::string>& messages, Framing framing = Framing::automatic,
                      const std::vector<std::string>& names = {}) {
    const Layout layout = layout_of(*event_schema(), names);
    DecoderOptions options{.source = 3, .event_time = layout.find("event_time"), .framing = framing};
    auto decoder = make_flatbuffers_decoder(event_schema(), layout, options);
    EXPECT_TRUE(decoder.ok());
    return decode_all(**decoder, layout, block_of(messages));
}

/// The bytes of `needle` in `message` become `replacement` of the same size.
std::string replaced(std::string message, std::string_view needle, std::string_view replacement) {
    const std::size_t at = message.find(needle);
    EXPECT_NE(at, std::string::npos);
    std::memcpy(message.data() + at, replacement.data(), replacement.size());
    return message;
}

TEST(FlatBuffersDecoder, ReadsWhatTheGeneratedCodeWrote) {
    const Decoded decoded = decode_events({event_message({.recorded_time = 2'000'000'000,
                                                          .quantity = -1'500'000,
                                                          .value = 0.25,
                                                          .area = "A",
                                                          .work_center = "WC-1",
                                                          .operator_id = "Zoë"})});
    ASSERT_EQ(decoded.rows(), 1u);
    EXPECT_EQ(decoded.show(0),
              "event_id='e-1' kind=4 event_time=1000000000 recorded_time=2000000000 plant='P100' area='A' "
              "work_center='WC-1' order_id='1000001' operation=- material='FG-PUMP' revision=- lot='L-2026-05-12' "
              "quantity=-1500000d6 unit='pcs' value=0.25 status=- reason=- operator_id='Zoë' corrects=-");
    EXPECT_EQ(decoded.batches[0]->source, 3u);
    EXPECT_EQ(decoded.batches[0]->event_time[0], 1'000'000'000);
    EXPECT_EQ(decoded.batches[0]->ingest_time[0], 1001);
    EXPECT_EQ(decoded.origin(0).sequence, 1u);
}

TEST(FlatBuffersDecoder, AnAbsentValueReadsAsTheDefault) {
    const Decoded decoded = decode_events({event_message({.plant = "", .quantity = {}})});
    EXPECT_FALSE(decoded.has("quantity", 0));
    EXPECT_EQ(decoded.value<Int128>("quantity", 0), 0);
    EXPECT_FALSE(decoded.has("plant", 0));
    EXPECT_EQ(decoded.text("plant", 0), "");
}

TEST(FlatBuffersDecoder, ReadsOnlyColumnsThatTheLayoutHasAndLeavesOthersAlone) {
    Layout layout = layout_of(*event_schema(), {"lot", "quantity"});
    const Slot computed = layout.add({"doubled", Type::of(TypeKind::int64)});
    auto decoder = make_flatbuffers_decoder(event_schema(), layout, {});
    ASSERT_TRUE(decoder.ok());
    const Decoded decoded = decode_all(**decoder, layout, block_of({event_message({})}));
    EXPECT_EQ(decoded.text("lot", 0), "L-2026-05-12");
    EXPECT_FALSE(decoded.batches[0]->column(computed).valid().test(0));
}

TEST(FlatBuffersDecoder, RefusesALayoutWhoseTypeDiffersFromTheSchema) {
    Layout layout;
    layout.add({"quantity", Type::decimal(2)});
    auto decoder = make_flatbuffers_decoder(event_schema(), layout, {});
    ASSERT_FALSE(decoder.ok());
    EXPECT_EQ(decoder.error().text(),
              "C313: column 'quantity' is decimal(2), but the schema's field of that name is decimal(6)");
}

TEST(FlatBuffersDecoder, MandatoryFieldsAreMissedWhetherTheyAreInUseOrNot) {
    const Decoded decoded = decode_events({event_message({.event_id = ""}), event_message({.kind = EventKind::unknown}),
                                           event_message({.event_time = {}}), event_message({})},
                                          Framing::automatic, {"lot"});
    ASSERT_EQ(decoded.rows(), 4u);
    EXPECT_EQ(decoded.reject_text(0), "field 'event_id': is missing");
    EXPECT_EQ(decoded.reject_text(1), "field 'kind': is missing");
    EXPECT_EQ(decoded.reject_text(2), "field 'event_time': is missing");
    EXPECT_FALSE(decoded.malformed(3));
}

TEST(FlatBuffersDecoder, AValueOutsideTheEnumerationIsMalformed) {
    const Decoded decoded = decode_events(
        {event_message({.kind = static_cast<EventKind>(17)}), event_message({.kind = static_cast<EventKind>(18)})});
    EXPECT_FALSE(decoded.malformed(0));
    EXPECT_EQ(decoded.reject_text(1), "field 'kind': value is not of its enumeration");
}

TEST(FlatBuffersDecoder, TextMustBeUtf8WithoutZeroAtEveryLengthAndPlace) {
    for (std::size_t size = 1; size <= 20; ++size) {
        for (std::size_t at = 0; at < size; ++at) {
            std::string good(size, 'x'), zero = good, broken = good;
            zero[at] = '\0';
            broken[at] = '\xff';
            const Decoded decoded = decode_events(
                {event_message({.lot = good}), event_message({.lot = zero}), event_message({.lot = broken})});
            EXPECT_EQ(decoded.text("lot", 0), good);
            EXPECT_EQ(decoded.reject_text(1), "field 'lot': string holds U+0000") << size << " " << at;
            EXPECT_EQ(decoded.reject_text(2), "field 'lot': string is not valid UTF-8") << size << " " << at;
        }
    }
}

TEST(FlatBuffersDecoder, AMalformedRowIsAbsentInEveryColumnAndKeepsItsBytes) {
    const std::string broken = replaced(event_message({}), "L-2026-05-12", std::string("L-2026\0\0\0\0-12", 12));
    const Decoded decoded = decode_events({event_message({}), broken});
    ASSERT_TRUE(decoded.malformed(1));
    for (const Field& field : decoded.layout.fields()) EXPECT_FALSE(decoded.has(field.name, 1)) << field.name;
    EXPECT_EQ(decoded.text("event_id", 1), "");
    EXPECT_EQ(std::string_view(decoded.origin(1).bytes, decoded.origin(1).size_bytes), broken);
    EXPECT_EQ(decoded.text("lot", 0), "L-2026-05-12");
}

TEST(FlatBuffersDecoder, EveryCutOfAMessageIsOneRowAndNeverReadsBeyondIt) {
    const std::string whole = event_message({.value = 1.5, .corrects = "e-0"});
    std::vector<std::string> cuts;
    for (std::size_t size = 1; size < whole.size(); ++size) cuts.push_back(whole.substr(0, size));
    const Decoded decoded = decode_events(cuts);
    ASSERT_EQ(decoded.rows(), cuts.size());
    EXPECT_TRUE(decoded.malformed(0));
    EXPECT_EQ(decoded.reject_text(100).empty(), false);
}

TEST(FlatBuffersDecoder, SaysWhichStringRunsPastTheEnd) {
    std::string message = event_message({});
    const std::size_t at = message.find("L-2026-05-12");
    const std::uint32_t length = 1000;
    std::memcpy(message.data() + at - 4, &length, 4);
    EXPECT_EQ(decode_events({message}).reject_text(0), "field 'lot': string runs past the end of the message");
}

TEST(FlatBuffersDecoder, OneMessageMayHoldManyEvents) {
    const std::string chain = event_message({.event_id = "a"}, true) + event_message({.event_id = "b"}, true) +
                              event_message({.event_id = "c"}, true);
    const Decoded decoded = decode_events({chain, event_message({.event_id = "d"})});
    ASSERT_EQ(decoded.rows(), 4u);
    std::string ids;
    for (std::size_t row = 0; row < 4; ++row) {
        ids += fmt::format("{}@{}.{} ", decoded.text("event_id", row), decoded.origin(row).sequence,
                           decoded.origin(row).part);
    }
    EXPECT_EQ(ids, "a@1.0 b@1.1 c@1.2 d@2.0 ");
}

TEST(FlatBuffersDecoder, ABrokenEventAmongManyIsItsOwnRow) {
    const std::string broken = replaced(event_message({.event_id = "b"}, true), "P100", "P\xff\xff\xff");
    const Decoded decoded =
        decode_events({event_message({.event_id = "a"}, true) + broken + event_message({.event_id = "c"}, true)});
    ASSERT_EQ(decoded.rows(), 3u);
    EXPECT_FALSE(decoded.malformed(0));
    EXPECT_TRUE(decoded.malformed(1));
    EXPECT_EQ(decoded.origin(1).part, 1u);
    EXPECT_EQ(decoded.text("event_id", 2), "c");
}

TEST(FlatBuffersDecoder, AnEventByItselfIsOneWhateverTheFraming) {
    const Layout layout = layout_of(*event_schema());
    for (const Framing framing : {Framing::size_prefixed, Framing::automatic, Framing::single}) {
        auto decoder = make_flatbuffers_decoder(event_schema(), layout, {.framing = framing});
        auto alone = std::make_shared<MessageBlock>(*block_of({event_message({.event_id = "a"})}));
        alone->single = true;
        const Decoded decoded = decode_all(**decoder, layout, alone);
        ASSERT_EQ(decoded.rows(), 1u);
        EXPECT_EQ(decoded.text("event_id", 0), "a");
    }
}

TEST(FlatBuffersDecoder, ATailThatFitsNoEventIsOneRow) {
    const std::string chain = event_message({.event_id = "a"}, true) + std::string("\x20\0\0\0rest", 8);
    const Decoded prefixed = decode_events({chain}, Framing::size_prefixed);
    ASSERT_EQ(prefixed.rows(), 2u);
    EXPECT_EQ(prefixed.text("event_id", 0), "a");
    EXPECT_EQ(prefixed.reject_text(1), "an event's length runs past the end of the message");
    const Decoded automatic = decode_events({chain});
    ASSERT_EQ(automatic.rows(), 1u);
    EXPECT_TRUE(automatic.malformed(0));
}

TEST(FlatBuffersDecoder, AnEmptyMessageIsNoRowAndZerosAreOne) {
    EXPECT_EQ(decode_events({"", event_message({}), ""}).rows(), 1u);
    EXPECT_EQ(decode_events({std::string(4, '\0')}, Framing::size_prefixed).rows(), 0u);
    const Decoded zeros = decode_events({std::string(4, '\0'), std::string(8, '\0'), std::string(64, '\0')});
    ASSERT_EQ(zeros.rows(), 3u);
    for (std::size_t row = 0; row < 3; ++row) EXPECT_TRUE(zeros.malformed(row));
}

TEST(FlatBuffersDecoder, FillsBatchesAndKeepsTheOrder) {
    constexpr std::size_t kRest = 100;
    constexpr std::size_t kRows = 2 * kBatchRows + kRest;
    std::vector<std::string> messages;
    for (std::size_t i = 0; i < kRows; ++i) messages.push_back(event_message({.event_id = fmt::format("e-{}", i)}));
    const Decoded decoded = decode_events(messages);
    ASSERT_EQ(decoded.batches.size(), 3u);
    EXPECT_EQ(decoded.batches[0]->rows, kBatchRows);
    EXPECT_EQ(decoded.batches[2]->rows, kRest);
    for (std::size_t row = 0; row < kRows; row += 7) EXPECT_EQ(decoded.text("event_id", row), fmt::format("e-{}", row));
}

TEST(FlatBuffersDecoder, UnalignedBytesReadTheSame) {
    const std::string message = event_message({.value = 2.5});
    for (std::size_t shift = 0; shift < 8; ++shift) {
        auto block = std::make_shared<MessageBlock>();
        auto bytes = std::make_shared<std::string>(std::string(shift, 'x') + message);
        block->messages.push_back({std::string_view(*bytes).substr(shift), "", 1, 0});
        block->keep = bytes;
        const Layout layout = layout_of(*event_schema());
        auto decoder = make_flatbuffers_decoder(event_schema(), layout, {});
        EXPECT_EQ(decode_all(**decoder, layout, block).show(0), decode_events({message}).show(0));
    }
}

}  // namespace
}  // namespace takt
