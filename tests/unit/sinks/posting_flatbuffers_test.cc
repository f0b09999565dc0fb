#include "sinks/posting_flatbuffers.h"

#include <flatbuffers/reflection_generated.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "sinks/posting_json.h"
#include "tests/unit/sinks/sample_posting.h"

namespace takt {
namespace {

using sample::goods_receipt;

constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kGreatest = std::numeric_limits<std::int64_t>::max();

/// Read back from every alignment: messages of the NATS client have any.
std::optional<Posting> there_and_back(const Posting& posting) {
    const auto bytes = posting_flatbuffer(posting);
    if (!bytes) return std::nullopt;
    std::optional<Posting> read;
    for (std::size_t offset = 0; offset < 8; ++offset) {
        const std::string moved = std::string(offset, '\0') + *bytes;
        read = read_posting_flatbuffer(std::string_view(moved).substr(offset));
        EXPECT_TRUE(read) << offset;
    }
    return read;
}

TEST(PostingFlatBuffers, KeepsEverythingThatTheJsonSays) {
    Posting posting = goods_receipt("a", kLeast, kGreatest);
    posting.revision = 4'294'967'295;
    posting.previous_key = goods_receipt("b", 1, 1).key;
    posting.posting_date = -1;
    posting.correlation_id = "line\nend, \"quoted\" \xC3\xA4";
    posting.quantity_cumulative = kGreatest;
    posting.amount_cumulative = -5;
    posting.lineage.ranges = {{"a", 1, 9}, {"b", 0, std::numeric_limits<std::uint64_t>::max()}};
    posting.epoch = std::numeric_limits<std::uint64_t>::max();
    const auto read = there_and_back(posting);
    ASSERT_TRUE(read);
    EXPECT_EQ(posting_json(*read), posting_json(posting));
    ASSERT_EQ(read->key_fields.size(), 4u);  // JSON leaves the absent one out
    EXPECT_EQ(read->key_fields[3].name, "lot");
    EXPECT_EQ(read->key_fields[3].value, "");
}

TEST(PostingFlatBuffers, WhatWasNeverSaidIsAbsent) {
    Posting posting = goods_receipt("a", 0, 0);
    posting.window_start.reset();
    posting.window_end.reset();
    posting.has_amount = false;
    posting.lines.clear();
    posting.debit = posting.credit = posting.currency = "";
    posting.correlation_id = posting.config_hash = "";
    posting.lineage = {};
    const auto read = there_and_back(posting);
    ASSERT_TRUE(read);
    EXPECT_EQ(posting_json(*read), posting_json(posting));
    EXPECT_TRUE(read->has_quantity);
    EXPECT_FALSE(read->has_amount);
    EXPECT_FALSE(read->window_start || read->window_end);
}

TEST(PostingFlatBuffers, ANumberIsExactOrThePostingIsRefused) {
    Posting posting = goods_receipt("a", 1, 12);
    posting.amount_scale = 0;
    posting.quantity_scale = 9;
    posting.quantity = posting.quantity_cumulative = 1'500'000'000;
    auto read = there_and_back(posting);
    ASSERT_TRUE(read);
    EXPECT_EQ(format_decimal(read->amount, read->amount_scale), "12.00");
    EXPECT_EQ(format_decimal(read->lines[1].amount, read->amount_scale), "12.00");
    EXPECT_EQ(format_decimal(read->quantity, read->quantity_scale), "1.500000");

    posting.quantity = 1'500'000'001;  // 9 digits
    EXPECT_FALSE(posting_flatbuffer(posting));
    posting.quantity = Int128{kGreatest} * 1000;
    EXPECT_TRUE(posting_flatbuffer(posting));
    posting.quantity += 1000;
    EXPECT_FALSE(posting_flatbuffer(posting));
    posting.quantity = Int128{kLeast} * 1000;
    EXPECT_TRUE(posting_flatbuffer(posting));
    for (Int128 Posting::*number :
         {&Posting::quantity, &Posting::quantity_cumulative, &Posting::amount, &Posting::amount_cumulative}) {
        Posting wide = goods_receipt("a", 1, 1);
        wide.*number = Int128{kGreatest} + 1;
        EXPECT_FALSE(posting_flatbuffer(wide));
        wide.*number = Int128{kLeast} - 1;
        EXPECT_FALSE(posting_flatbuffer(wide));
    }
    Posting wide = goods_receipt("a", 1, 1);
    wide.lines[0].amount = Int128{kGreatest} + 1;
    EXPECT_FALSE(posting_flatbuffer(wide));
    wide.has_amount = false;  // then nobody reads the header's amount
    wide.lines.clear();
    wide.amount = Int128{kGreatest} + 1;
    EXPECT_TRUE(posting_flatbuffer(wide));
}

TEST(PostingFlatBuffers, ADeadLetterKeepsItsBytes) {
    DeadLetter letter = sample::dead_letter(7, "DECODE", std::string("\xFF\0{", 3));
    letter.subject = "plant.a";
    letter.part = 3;
    const auto read = read_dead_letter_flatbuffer(dead_letter_flatbuffer(letter));
    ASSERT_TRUE(read);
    EXPECT_EQ(dead_letter_json(*read), dead_letter_json(letter));
    letter = {};
    const auto empty = read_dead_letter_flatbuffer(dead_letter_flatbuffer(letter));
    ASSERT_TRUE(empty);
    EXPECT_EQ(dead_letter_json(*empty), dead_letter_json(letter));
}

TEST(PostingFlatBuffers, BytesOfStrangersAreNoPosting) {
    const std::string good = *posting_flatbuffer(goods_receipt("a", 1, 2));
    for (std::size_t size = 0; size < 40; ++size) EXPECT_FALSE(read_posting_flatbuffer(good.substr(0, size))) << size;
    EXPECT_FALSE(read_posting_flatbuffer(dead_letter_flatbuffer(sample::dead_letter(1, "DECODE"))));
    // Damaged anywhere: it may still be a posting, but nothing outside is read.
    for (std::size_t at = 0; at < good.size(); ++at) {
        for (const char bits : {'\x01', '\x80', '\xff'}) {
            std::string damaged = good;
            damaged[at] = static_cast<char>(damaged[at] ^ bits);
            (void)read_posting_flatbuffer(damaged);
        }
    }
}

TEST(PostingFlatBuffers, RecordsOfAFileStandAfterTheirLength) {
    const std::string two = size_prefixed("one") + size_prefixed(std::string(300, 'x'));
    EXPECT_EQ(two.substr(0, 7), std::string("\x03\0\0\0one", 7));
    EXPECT_EQ(next_size_prefixed(two), "one");
    EXPECT_EQ(next_size_prefixed(two.substr(7)), std::string(300, 'x'));
    EXPECT_EQ(next_size_prefixed(two.substr(7, 303)), "");  // a byte is missing
    EXPECT_EQ(next_size_prefixed("\x01\0"), "");
    EXPECT_EQ(next_size_prefixed(std::string("\xff\xff\xff\xff", 4)), "");
}

/// The attribute of a field in the schema that the build made.
std::string attribute(const reflection::Schema& schema, const char* table, const char* field, const char* name) {
    for (const reflection::Object* object : *schema.objects()) {
        if (object->name()->str() != table) continue;
        const reflection::Field* found = object->fields()->LookupByKey(field);
        const reflection::KeyValue* value =
            found && found->attributes() ? found->attributes()->LookupByKey(name) : nullptr;
        if (value) return value->value()->str();
    }
    return "none";
}

TEST(PostingFlatBuffers, ScalesAreThoseOfTheSchema) {
    const std::string bytes = sample::text_of(TAKT_BINARY_DIR "/schemas/posting.bfbs");
    ASSERT_FALSE(bytes.empty());
    const reflection::Schema& schema = *reflection::GetSchema(bytes.data());
    Posting posting = goods_receipt("a", 1, 1);
    const auto read = there_and_back(posting);
    ASSERT_TRUE(read);
    for (const char* field : {"quantity", "quantity_cumulative"})
        EXPECT_EQ(attribute(schema, "takt.wire.Posting", field, "decimal"), std::to_string(read->quantity_scale));
    for (const char* field : {"amount", "amount_cumulative"})
        EXPECT_EQ(attribute(schema, "takt.wire.Posting", field, "decimal"), std::to_string(read->amount_scale));
    EXPECT_EQ(attribute(schema, "takt.wire.Line", "amount", "decimal"), std::to_string(read->amount_scale));
}

}  // namespace
}  // namespace takt
