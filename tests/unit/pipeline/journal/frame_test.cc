#include "pipeline/journal/frame.h"

#include <flatbuffers/flatbuffers.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "pipeline/journal/crc32c.h"
#include "pipeline/journal/disk.h"
#include "schemas/frame_generated.h"
#include "tests/unit/pipeline/journal/sample_frame.h"

namespace takt {
namespace {

using sample::full_frame;
using sample::text_of;
using testing::ElementsAre;
using testing::HasSubstr;

std::string encoded(const Frame& frame, const Hash128& previous = {1, 2}) {
    Result<std::string> bytes = encode_frame(sample::context(), frame, previous);
    CHECK(bytes);
    return *bytes;
}

std::string code_of(std::string_view bytes) {
    const auto frame = decode_frame(bytes);
    return frame ? "good" : frame.error().code;
}

/// The frame with another FlatBuffer, and a header that fits it.
std::string with_body(const std::string& frame, std::string_view body) {
    std::string bytes = frame.substr(0, kFrameHeaderBytes) + std::string(body);
    bytes.resize((bytes.size() + kSectorBytes - 1) / kSectorBytes * kSectorBytes);
    const auto put = [&](std::size_t at, std::uint32_t value) { std::memcpy(bytes.data() + at, &value, sizeof value); };
    put(12, static_cast<std::uint32_t>(body.size()));
    put(48, crc32c(body));
    put(52, count_zero_sectors(bytes));
    put(60, crc32c(std::string_view(bytes).substr(0, 60)));
    return bytes;
}

std::string_view body_of(const std::string& frame) {
    FrameHeader header;
    CHECK(read_frame_header(frame, header) == HeaderState::good);
    return std::string_view(frame).substr(kFrameHeaderBytes, header.length_bytes);
}

TEST(Frame, KeepsEveryField) {
    const std::string bytes = encoded(full_frame(7));
    EXPECT_EQ(bytes.size() % kSectorBytes, 0u);
    // Frames in files are aligned; those of others need not be.
    for (std::size_t offset = 0; offset < 9; ++offset) {
        const std::string moved = std::string(offset, '\0') + bytes;
        const auto read = decode_frame(std::string_view(moved).substr(offset));
        ASSERT_TRUE(read) << read.error().text();
        EXPECT_EQ(text_of(read->frame), text_of(full_frame(7)));
        EXPECT_EQ(read->incarnation, 3u);
        EXPECT_EQ(read->fencing_token, sample::kMost);
        EXPECT_EQ(read->engine_version, "0.1.0");
        EXPECT_EQ(read->config_hash, sample::context().config_hash);
        EXPECT_EQ(read->tzdb_version, "2024a");
        EXPECT_THAT(read->sources, ElementsAre("floor", "", "lab"));
        EXPECT_THAT(read->tables, ElementsAre("materials", "work_centers"));
        EXPECT_EQ(read->previous, (Hash128{1, 2}));
    }
}

TEST(Frame, WhatWasNeverSaidIsAbsent) {
    const std::string bytes = encoded(sample::small_frame(1));
    EXPECT_EQ(bytes.size(), 512u);
    const auto read = decode_frame(bytes);
    ASSERT_TRUE(read);
    EXPECT_EQ(text_of(read->frame), text_of(sample::small_frame(1)));
    EXPECT_EQ(read->frame.result.watermark_before, kBeginningOfTime);
    EXPECT_FALSE(read->frame.result.cut.watermark);
    EXPECT_THAT(read->tables, ElementsAre());
}

TEST(Frame, TheHeaderIsAsThePageSays) {
    const std::string bytes = encoded(full_frame(7));
    EXPECT_EQ(bytes.substr(0, 8), "TAKTFRME");
    FrameHeader header;
    ASSERT_EQ(read_frame_header(bytes, header), HeaderState::good);
    EXPECT_EQ(header.epoch, 7u);
    EXPECT_EQ(header.incarnation, 3u);
    EXPECT_EQ(header.previous, (Hash128{1, 2}));
    EXPECT_EQ(header.size_bytes(), bytes.size());
    EXPECT_EQ(header.body_crc32c, crc32c(std::string_view(bytes).substr(64, header.length_bytes)));
    // A frame with a long run of zeros says so.
    Frame zeros = sample::small_frame(1);
    DeadLetter letter = sample::dead_letter();
    letter.bytes.assign(5000, '\0');
    zeros.result.dead_letters = {letter};
    const std::string with_zeros = encoded(zeros);
    ASSERT_EQ(read_frame_header(with_zeros, header), HeaderState::good);
    EXPECT_GE(header.zero_sectors, 8u);
    EXPECT_EQ(header.zero_sectors, count_zero_sectors(with_zeros));
    EXPECT_EQ(code_of(with_zeros), "good");
}

TEST(Frame, EveryFlippedBitIsSeen) {
    const std::string good = encoded(full_frame(7));
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        std::string damaged = good;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
        EXPECT_EQ(code_of(damaged), "F706") << bit;
    }
    for (std::size_t size = 0; size < good.size(); size += size < 70 ? 1 : 101)
        EXPECT_EQ(code_of(good.substr(0, size)), "F706");
    EXPECT_EQ(code_of(good + std::string(512, '\0')), "F706");
}

TEST(Frame, ALaterFormatIsRefused) {
    std::string later = encoded(full_frame(7));
    later[8] = 2;
    const std::uint32_t checksum = crc32c(std::string_view(later).substr(0, 60));
    std::memcpy(later.data() + 60, &checksum, sizeof checksum);
    EXPECT_EQ(code_of(later), "F704");
}

/// A frame of one section with these bytes, all checksums right.
std::string frame_of_section(std::uint8_t kind, const std::string& data, std::optional<std::uint32_t> checksum = {},
                             int times = 1) {
    flatbuffers::FlatBufferBuilder builder;
    std::vector<flatbuffers::Offset<wire::Section>> sections;
    for (int i = 0; i < times; ++i) {
        builder.ForceVectorAlignment(data.size(), 1, 8);
        const auto bytes = builder.CreateVector(reinterpret_cast<const std::uint8_t*>(data.data()), data.size());
        sections.push_back(
            wire::CreateSection(builder, static_cast<wire::SectionKind>(kind), checksum.value_or(crc32c(data)), bytes));
    }
    builder.Finish(wire::CreateFrameDirect(builder, "0.1.0", "c", "2024a", &sections));
    return with_body(encoded(full_frame(7)),
                     {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()});
}

std::string message_of(const std::string& frame) {
    const auto read = decode_frame(frame);
    return read ? "good" : read.error().text();
}

template <typename Table>
std::string finished(flatbuffers::FlatBufferBuilder& builder, flatbuffers::Offset<Table> root) {
    builder.Finish(root);
    return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

TEST(Frame, NothingThatItDoesNotKnowIsLeftOut) {
    flatbuffers::FlatBufferBuilder cuts;
    const std::string none = finished(cuts, wire::CreateCutsSection(cuts));
    EXPECT_EQ(message_of(frame_of_section(1, none)), "good");
    EXPECT_THAT(message_of(frame_of_section(0, none)), HasSubstr("F708"));
    EXPECT_THAT(message_of(frame_of_section(10, none)), HasSubstr("does not know"));
    EXPECT_THAT(message_of(frame_of_section(1, none, 5)), HasSubstr("the checksum of section 1 (cuts)"));
    EXPECT_THAT(message_of(frame_of_section(1, none, {}, 2)), HasSubstr("not in its place"));
    EXPECT_THAT(message_of(frame_of_section(1, "")), HasSubstr("no FlatBuffer"));
    EXPECT_THAT(message_of(frame_of_section(1, "12345678")), HasSubstr("no FlatBuffer"));
    EXPECT_THAT(message_of(with_body(encoded(full_frame(7)), "12345678")), HasSubstr("no FlatBuffer"));

    flatbuffers::FlatBufferBuilder inputs;
    const auto command = wire::CreateOperatorCommandDirect(inputs, "redate", nullptr, "anna");
    const std::vector<flatbuffers::Offset<wire::ControlInput>> all = {
        wire::CreateControlInput(inputs, wire::ControlAction::OperatorCommand, command.Union())};
    const std::string unknown = finished(inputs, wire::CreateControlInputsSectionDirect(inputs, &all));
    EXPECT_THAT(message_of(frame_of_section(4, unknown)), HasSubstr("the command 'redate', which this version"));

    flatbuffers::FlatBufferBuilder counters;
    const std::vector<flatbuffers::Offset<wire::OutcomeCount>> counts = {
        wire::CreateOutcomeCountDirect(counters, 5, "accepted", nullptr, 1)};
    const std::string beyond = finished(counters, wire::CreateCountersSectionDirect(counters, 0, 0, 0, &counts, 5));
    EXPECT_THAT(message_of(frame_of_section(7, beyond)), HasSubstr("outcome that the plan does not have"));

    flatbuffers::FlatBufferBuilder sums;
    const std::vector<flatbuffers::Offset<wire::EventSum>> outcomes = {wire::CreateEventSumDirect(sums, 3)};
    const std::string other = finished(sums, wire::CreateAuditSectionDirect(sums, 0, &outcomes, 3));
    EXPECT_THAT(message_of(frame_of_section(9, other)), HasSubstr("outcome that the plan does not have"));
    flatbuffers::FlatBufferBuilder again;
    const std::vector<flatbuffers::Offset<wire::EventSum>> replays = {wire::CreateEventSumDirect(again, 3)};
    const std::string replayed =
        finished(again, wire::CreateAuditSectionDirect(again, 0, nullptr, 3, nullptr, nullptr, nullptr, 0, &replays));
    EXPECT_THAT(message_of(frame_of_section(9, replayed)), HasSubstr("outcome that the plan does not have"));
    flatbuffers::FlatBufferBuilder fine;
    const std::vector<flatbuffers::Offset<wire::ValueSum>> values = {
        wire::CreateValueSumDirect(fine, "step", "amount", nullptr, 39)};
    const std::string finer = finished(fine, wire::CreateAuditSectionDirect(fine, 0, nullptr, 0, nullptr, &values));
    EXPECT_THAT(message_of(frame_of_section(9, finer)), HasSubstr("more digits after the point"));

    flatbuffers::FlatBufferBuilder marks;
    const std::vector<std::uint16_t> idle = {3};
    const std::string stranger =
        finished(marks, wire::CreateWatermarksSectionDirect(marks, flatbuffers::nullopt, flatbuffers::nullopt,
                                                            flatbuffers::nullopt, &idle));
    EXPECT_THAT(message_of(frame_of_section(3, stranger)), HasSubstr("a source that has no cut"));
}

TEST(Frame, KeepsRetriesOfDeadLettersAndHowTheyEnded) {
    Frame frame = sample::small_frame(2);
    frame.result.cut.replays = {
        {2, sample::kMost, 4'294'967'295, 7, "lab.a", -1, std::string("\xFF\0{", 3), "anna", "typo"},
        {0, 1, 0, 1, "", 0, "", "", ""}};
    frame.result.replay_outcomes = {kMalformed, kUndecided};
    frame.result.dead_letters = {sample::dead_letter()};
    frame.result.dead_letters[0].replay = 7;
    const auto read = decode_frame(encoded(frame));
    ASSERT_TRUE(read) << read.error().text();
    const EpochResult& result = read->frame.result;
    EXPECT_EQ(result.replay_outcomes, frame.result.replay_outcomes);
    EXPECT_EQ(result.dead_letters[0].replay, 7u);
    ASSERT_EQ(result.cut.replays.size(), 2u);
    for (std::size_t i = 0; i < 2; ++i) {
        const DeadLetterReplay& kept = result.cut.replays[i];
        const DeadLetterReplay& written = frame.result.cut.replays[i];
        EXPECT_EQ(std::tie(kept.source, kept.sequence, kept.part, kept.replay, kept.subject, kept.ingest_time),
                  std::tie(written.source, written.sequence, written.part, written.replay, written.subject,
                           written.ingest_time));
        EXPECT_EQ(std::tie(kept.data, kept.who, kept.why), std::tie(written.data, written.who, written.why));
    }
}

TEST(Frame, KeepsOrdersAboutHeldPostings) {
    Frame frame = sample::small_frame(2);
    HoldOrder resend{HoldOrder::Action::resend,  "ledger", "k1",       "", "anna",
                     "the period is open again", -5,       "1-2.order"};
    HoldOrder close{HoldOrder::Action::close, "waste", "k2", "4711", "ben", "", 8};
    frame.result.cut.orders = {resend, close};
    frame.confirmations = {{"ledger", "k1", DeliveryState::ready, 3, "", "", "", 0, 17}};
    const auto read = decode_frame(encoded(frame));
    ASSERT_TRUE(read) << read.error().text();
    const std::vector<HoldOrder>& kept = read->frame.result.cut.orders;
    ASSERT_EQ(kept.size(), 2u);
    for (std::size_t i = 0; i < 2; ++i) {
        const HoldOrder& written = frame.result.cut.orders[i];
        EXPECT_EQ(std::tie(kept[i].action, kept[i].sink, kept[i].key, kept[i].reference, kept[i].who, kept[i].why,
                           kept[i].time, kept[i].file),
                  std::tie(written.action, written.sink, written.key, written.reference, written.who, written.why,
                           written.time, written.file));
    }
    EXPECT_EQ(read->frame.confirmations, frame.confirmations);
}

TEST(Frame, ACommandThatItDoesNotKnowIsRefused) {
    const auto message_about = [](const char* command, bool with_key) {
        flatbuffers::FlatBufferBuilder builder;
        std::vector<flatbuffers::Offset<wire::KeyField>> arguments = {
            wire::CreateKeyFieldDirect(builder, "sink", "ledger")};
        if (with_key) arguments.push_back(wire::CreateKeyFieldDirect(builder, "key", "k1"));
        const auto action = wire::CreateOperatorCommandDirect(builder, command, &arguments, "anna");
        const std::vector<flatbuffers::Offset<wire::ControlInput>> inputs = {
            wire::CreateControlInput(builder, wire::ControlAction::OperatorCommand, action.Union())};
        const std::string data = finished(builder, wire::CreateControlInputsSectionDirect(builder, &inputs));
        return message_of(frame_of_section(4, data));
    };
    EXPECT_THAT(message_about("redate", true), HasSubstr("the command 'redate'"));
    EXPECT_THAT(message_about("resend_posting", false), HasSubstr("which posting"));
}

TEST(Frame, RowsShareWhatTheyHaveAlikeAndReadItBack) {
    // As much as can be shared, in rows that are as small as they can be; some rows differ in between.
    const std::string shared(64, 's');
    Frame frame = full_frame(7);
    frame.result.postings.clear();
    for (int row = 0; row < 200; ++row) {
        Posting posting = sample::bare_posting();
        posting.type = posting.pipeline = posting.unit = posting.currency = posting.debit = posting.credit = shared;
        posting.config_hash = shared;
        posting.key_fields.assign(50, {shared, ""});
        posting.lines.assign(50, {shared, shared, Side::debit, 0});
        posting.lineage.ranges.assign(50, {shared, 1, 2});
        if (row % 7 == 3) {
            posting.type = posting.lines[49].account = std::string(65, 't');
            posting.key_fields[1].name = "other";
            posting.lines.pop_back();
            posting.lines[0].cost_center = posting.unit = "";
        }
        frame.result.postings.push_back(posting);
    }
    const std::string bytes = encoded(frame);
    const auto read = decode_frame(bytes);
    ASSERT_TRUE(read) << read.error().text();
    EXPECT_EQ(text_of(read->frame), text_of(frame));
    std::size_t copied = 0;
    for (const Posting& posting : frame.result.postings) {
        copied +=
            shared.size() * (posting.key_fields.size() + 2 * posting.lines.size() + posting.lineage.ranges.size());
    }
    EXPECT_LT(bytes.size(), copied);
}

TEST(Frame, AFewBytesCannotBecomeMany) {
    // A thousand dead letters that are one and the same table.
    flatbuffers::FlatBufferBuilder builder;
    const std::vector<std::uint8_t> bytes(10000, 'x');
    const std::vector<flatbuffers::Offset<wire::DeadLetter>> letters(
        1000, wire::CreateDeadLetterDirect(builder, "floor", 1, 0, nullptr, 0, nullptr, "DECODE", nullptr, nullptr,
                                           nullptr, nullptr, &bytes));
    const std::string data = finished(builder, wire::CreateDeadLettersSectionDirect(builder, &letters));
    EXPECT_THAT(message_of(frame_of_section(6, data)), HasSubstr("overlap"));
}

TEST(Frame, BytesOfStrangersBehindRightChecksumsAreNotReadOutside) {
    const std::string good = encoded(full_frame(7));
    for (std::size_t at = 0; at < body_of(good).size(); ++at) {
        for (const char bits : {'\x01', '\x10', '\x80', '\xff'}) {
            std::string body(body_of(good));
            body[at] = static_cast<char>(body[at] ^ bits);
            (void)decode_frame(with_body(good, body));
        }
    }
}

TEST(Frame, WhatIsTooLongIsRefusedBeforeItIsWritten) {
    // Each part counts.
    const Frame full = full_frame(1);
    const auto fits = [](const Frame& frame) {
        const auto bytes = encode_frame(sample::context(), frame, {}, 1 << 20);
        EXPECT_TRUE(bytes ? bytes->size() <= 1 << 20 : bytes.error().code == "F710");
        return bytes.ok();
    };
    EXPECT_TRUE(fits(full));
    const std::string much(1 << 20, 'x');
    for (const auto& grow : std::vector<std::function<void(Frame&)>>{
             [&](Frame& frame) { frame.result.cuts[0].anchor = much; },
             [&](Frame& frame) { frame.result.cuts[0].ingest_times.resize(1 << 16); },
             [&](Frame& frame) { frame.result.cut.idle.resize(1 << 19); },
             [&](Frame& frame) { frame.result.cut.tables[0].changes.resize(12000); },
             [&](Frame& frame) { frame.result.cut.tables[0].changes[0].value = much; },
             [&](Frame& frame) {
                 frame.result.cut.replays.resize(3000);
                 frame.result.replay_outcomes.resize(3000);
             },
             [&](Frame& frame) {
                 frame.result.cut.replays.resize(1);
                 frame.result.cut.replays[0].data = much;
                 frame.result.replay_outcomes.resize(1);
             },
             [&](Frame& frame) { frame.result.cut.orders.resize(4000); },
             [&](Frame& frame) {
                 frame.result.cut.orders.resize(1);
                 frame.result.cut.orders[0].why = much;
             },
             [&](Frame& frame) { frame.result.postings.resize(2000); },
             [&](Frame& frame) { frame.result.postings[0].correlation_id = much; },
             [&](Frame& frame) { frame.result.postings[0].key_fields.resize(20000); },
             [&](Frame& frame) { frame.result.postings[0].lines[0].account = much; },
             [&](Frame& frame) { frame.result.postings[0].lineage.ranges.resize(20000); },
             [&](Frame& frame) { frame.result.dead_letters.resize(5000); },
             [&](Frame& frame) { frame.result.dead_letters[0].bytes = much; },
             [&](Frame& frame) { frame.result.audit.values.resize(5000); },
             [&](Frame& frame) { frame.result.audit.values[0].unit = much; },
             [&](Frame& frame) { frame.result.audit.postings.resize(5000); },
             [&](Frame& frame) { frame.result.audit.postings[0].type = much; },
             [&](Frame& frame) { frame.result.input_records.resize(12000); },
             [&](Frame& frame) { frame.result.input_records[0].data = much; },
             [&](Frame& frame) { frame.confirmations[0].reason = much; },
             [&](Frame& frame) { frame.positions.resize(12000); }}) {
        Frame larger = full;
        grow(larger);
        EXPECT_FALSE(fits(larger));
    }
}

/// What the first version of the format knew of it: fields were added since, at the ends of tables.
Frame first_full_frame(std::uint64_t epoch) {
    Frame frame = full_frame(epoch);
    frame.result.audit = {};
    for (SinkPosition& position : frame.positions) position.settled = 0;
    frame.routes.clear();
    frame.totals.clear();
    return frame;
}

/// golden/frame_1.bin is first_full_frame(7) after the hash {1, 2}, as the first version of the format wrote it; every
/// later version must read it. Made by this test with TAKT_WRITE_GOLDEN=1; a new format gets a file of its own.
TEST(Frame, ReadsWhatTheFirstVersionWrote) {
    const std::string path = TAKT_SOURCE_DIR "/tests/unit/pipeline/journal/golden/frame_1.bin";
    if (std::getenv("TAKT_WRITE_GOLDEN") != nullptr)
        std::ofstream(path, std::ios::binary) << encoded(first_full_frame(7));
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    const auto read = decode_frame(bytes);
    ASSERT_TRUE(read) << read.error().text();
    EXPECT_EQ(text_of(read->frame), text_of(first_full_frame(7)));
    EXPECT_EQ(to_hex(frame_hash(bytes)), "c1eac665e0884bb4d32d72bfcd3c5ea4");
}

}  // namespace
}  // namespace takt
