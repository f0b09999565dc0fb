// Mutated, truncated and random messages: each is accounted for, none is read outside its bytes (AddressSanitizer sees
// it, since every message is an allocation of its own size). TAKT_MUTATIONS says how many; the seeds are fixed.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstdlib>
#include <random>

#include "sources/decode/json_decoder.h"
#include "tests/unit/sources/decode/decoded.h"
#include "tests/unit/sources/decode/events.h"

namespace takt {
namespace {

constexpr std::size_t kBlock = 2000;

std::size_t mutations() {
    const char* count = std::getenv("TAKT_MUTATIONS");
    return count == nullptr ? 100'000 : std::strtoull(count, nullptr, 10);
}

class Mutator {
  public:
    Mutator(std::uint64_t seed, std::string alphabet) : random_(seed), alphabet_(std::move(alphabet)) {}

    std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

    std::string mutated(std::string message) {
        if (below(50) == 0) return random_bytes(below(300));
        for (std::size_t left = 1 + below(4); left > 0; --left) mutate(message);
        return message;
    }

  private:
    std::string random_bytes(std::size_t size) {
        std::string bytes(size, '\0');
        for (char& byte : bytes) byte = static_cast<char>(random_());
        return bytes;
    }
    void mutate(std::string& message) {
        const std::size_t at = below(message.size());
        switch (below(8)) {
            case 0:
                message.resize(below(message.size() + 1));
                break;
            case 1:
                if (!message.empty()) message[at] = static_cast<char>(message[at] ^ (1 << below(8)));
                break;
            case 2:
                if (!message.empty()) message[at] = static_cast<char>(random_());
                break;
            case 3:
            case 4:
                if (!message.empty()) message[at] = alphabet_[below(alphabet_.size())];
                break;
            case 5:
                overwrite_word(message, at);
                break;
            case 6:
                message.insert(at, random_bytes(below(9)));
                break;
            case 7:
                message.erase(at, below(9));
                break;
        }
    }
    /// Offsets and lengths at their limits.
    void overwrite_word(std::string& message, std::size_t at) {
        const auto size = static_cast<std::uint32_t>(message.size());
        const std::uint32_t words[] = {0,
                                       1,
                                       4,
                                       0x7fffffff,
                                       0x80000000,
                                       0xffffffff,
                                       size,
                                       size - 1,
                                       size - 4,
                                       size - 8,
                                       static_cast<std::uint32_t>(size - at),
                                       static_cast<std::uint32_t>(random_())};
        const std::uint32_t word = words[below(std::size(words))];
        const std::size_t bytes = below(2) == 0 ? 4 : 2;
        if (at + bytes <= message.size()) std::memcpy(message.data() + at, &word, bytes);
    }

    std::mt19937_64 random_;
    std::string alphabet_;
};

/// Decodes `count` mutants of the corpus in blocks and shows each block to `check`.
template <typename Check>
void decode_mutants(const Decoder& decoder, const Layout& layout, const std::vector<std::string>& corpus,
                    std::size_t count, Mutator mutator, Check check) {
    for (std::size_t done = 0; done < count; done += kBlock) {
        std::vector<std::string> messages;
        for (std::size_t i = 0; i < std::min(kBlock, count - done); ++i) {
            messages.push_back(mutator.mutated(corpus[mutator.below(corpus.size())]));
        }
        check(messages, decode_all(decoder, layout, block_of(messages)));
        if (testing::Test::HasFailure()) return;
    }
}

std::vector<std::string> flatbuffers_corpus() {
    return {event_message({}),
            event_message({.recorded_time = 5,
                           .value = 1.5,
                           .area = "A",
                           .work_center = "WC",
                           .operation = "10",
                           .revision = "B",
                           .status = "released",
                           .reason = "r",
                           .operator_id = "Zoë",
                           .corrects = "e-0"}),
            event_message({.plant = "", .quantity = {}}), event_message({}, true),
            event_message({.event_id = "a"}, true) + event_message({.event_id = "b"}, true)};
}

std::string_view view(const flatbuffers::String* text) {
    return text == nullptr ? std::string_view() : std::string_view(text->data(), text->size());
}

/// Where FlatBuffers' own verifier accepts a message, we read the same values, or say what it does not ask about (it
/// takes a vtable without room for its own header).
void compare_with_verifier(const std::string& message, const Decoded& decoded, std::size_t row, std::size_t& agreed) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(message.data());
    flatbuffers::Verifier verifier(bytes, message.size());
    if (!VerifyEventBuffer(verifier)) return;
    const std::string reason = decoded.reject_text(row);
    if (decoded.malformed(row)) {
        const auto because = [&](std::string_view end) { return reason.ends_with(end); };
        EXPECT_TRUE(because("is missing") || because("UTF-8") || because("U+0000") || because("enumeration") ||
                    because("impossible size"))
            << reason;
        return;
    }
    ++agreed;
    const Event& event = *GetEvent(bytes);
    EXPECT_EQ(decoded.text("event_id", row), view(event.event_id()));
    EXPECT_EQ(decoded.value<std::int64_t>("kind", row), static_cast<std::int64_t>(event.kind()));
    EXPECT_EQ(decoded.value<std::int64_t>("event_time", row), event.event_time().value());
    EXPECT_EQ(decoded.text("lot", row), view(event.lot()));
    EXPECT_EQ(decoded.text("operator_id", row), view(event.operator_id()));
    EXPECT_EQ(decoded.has("quantity", row), event.quantity().has_value());
    EXPECT_EQ(decoded.value<Int128>("quantity", row), Int128{event.quantity().value_or(0)});
}

TEST(Mutations, EveryFlatBuffersMessageIsOneRowThatTheVerifierAgreesWith) {
    const Layout layout = layout_of(*event_schema());
    const auto decoder = make_flatbuffers_decoder(event_schema(), layout, {.framing = DecoderOptions::Framing::single});
    std::size_t malformed = 0, total = 0, agreed = 0;
    decode_mutants(**decoder, layout, flatbuffers_corpus(), mutations(),
                   Mutator(1, std::string("\0\1\4\x10 aZ\xff", 8)),
                   [&](const std::vector<std::string>& messages, const Decoded& decoded) {
                       std::size_t row = 0;
                       for (std::size_t i = 0; i < messages.size(); ++i) {
                           if (messages[i].empty()) continue;
                           ASSERT_LT(row, decoded.rows());
                           ASSERT_EQ(decoded.origin(row).sequence, i + 1);
                           ASSERT_EQ(decoded.malformed(row), !decoded.reject_text(row).empty());
                           compare_with_verifier(messages[i], decoded, row, agreed);
                           malformed += decoded.malformed(row) ? 1u : 0u;
                           ++row;
                       }
                       ASSERT_EQ(row, decoded.rows());
                       total += row;
                   });
    EXPECT_GT(agreed, total / 50);
    EXPECT_GT(malformed, total / 4);
    EXPECT_LT(malformed, total - total / 50);
}

TEST(Mutations, NoMessageIsLostWhereMessagesMayHoldManyEvents) {
    const Layout layout = layout_of(*event_schema(), {"event_id", "kind", "lot", "quantity"});
    const auto decoder = make_flatbuffers_decoder(event_schema(), layout, {});
    decode_mutants(**decoder, layout, flatbuffers_corpus(), mutations(),
                   Mutator(2, std::string("\0\1\4\x10 aZ\xff", 8)),
                   [&](const std::vector<std::string>& messages, const Decoded& decoded) {
                       std::vector<std::size_t> rows(messages.size() + 1);
                       for (std::size_t row = 0; row < decoded.rows(); ++row) {
                           const Origin& origin = decoded.origin(row);
                           ASSERT_EQ(origin.part, rows[origin.sequence]++);
                       }
                       for (std::size_t i = 0; i < messages.size(); ++i)
                           ASSERT_EQ(rows[i + 1] > 0, !messages[i].empty());
                   });
}

/// simdjson's verdict on the grammar; what only its own limits refuse counts as JSON.
bool is_json_object(simdjson::dom::parser& parser, const std::string& line) {
    simdjson::dom::element element;
    const simdjson::error_code error = parser.parse(line).get(element);
    if (error == simdjson::SUCCESS) return element.is_object();
    return error == simdjson::DEPTH_ERROR || error == simdjson::NUMBER_ERROR || error == simdjson::STRING_ERROR;
}

TEST(Mutations, EveryJsonLineIsOneRowThatSimdjsonAgreesWith) {
    const std::vector<std::string> corpus = {
        R"({"event_id":"a","kind":"produced","event_time":"2026-05-12T12:00:00Z","quantity":1.5,"lot":"L\u00fc1","value":-1e5})",
        R"( {"x":[1,{"y":null},[true,false,""]] , "event_id":"b","kind":"cycle","event_time":"2026-05-12T12:00:00.25+01:00"} )",
        "{\"event_id\":\"Zürich\",\"kind\":\"lot_status\",\"event_time\":\"2026-05-12T12:00:00Z\",\"status\":"
        "\"\\ud83d\\ude00\",\"q\":{}}"};
    const Layout layout = layout_of(*event_schema());
    const auto decoder = make_json_decoder(event_schema(), layout, {});
    simdjson::dom::parser parser;
    std::size_t malformed = 0, total = 0;
    decode_mutants(**decoder, layout, corpus, mutations(), Mutator(3, "{}[]\",:\\u019eE+-. \t\r\ntfn"),
                   [&](const std::vector<std::string>& messages, const Decoded& decoded) {
                       std::size_t row = 0;
                       for (std::size_t i = 0; i < messages.size(); ++i) {
                           if (messages[i].find_first_not_of(" \t\r\n") == std::string::npos) continue;
                           ASSERT_LT(row, decoded.rows());
                           ASSERT_EQ(decoded.origin(row).sequence, i + 1);
                           const std::string reason = decoded.reject_text(row);
                           ASSERT_EQ(decoded.malformed(row), !reason.empty());
                           if (reason.empty()) {
                               ASSERT_TRUE(is_json_object(parser, messages[i])) << messages[i];
                           } else if (reason.starts_with("byte ")) {
                               simdjson::dom::element element;
                               const bool accepts =
                                   parser.parse(messages[i]).get(element) == simdjson::SUCCESS && element.is_object();
                               ASSERT_FALSE(accepts) << reason << "\n" << messages[i];
                           }
                           malformed += reason.empty() ? 0u : 1u;
                           ++row;
                       }
                       ASSERT_EQ(row, decoded.rows());
                       total += row;
                   });
    EXPECT_GT(malformed, total / 4);
    EXPECT_LT(malformed, total - total / 50);
}

}  // namespace
}  // namespace takt
