#include "sources/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "schemas/event_generated.h"
#include "sources/event_writer.h"

namespace takt {
namespace {

struct Counts {
    std::map<EventKind, int> kinds;
    int events = 0;
    int malformed = 0;
    int repeated = 0;
    int behind = 0;
    int late = 0;
    int corrections = 0;
};

/// Reads the size-prefixed events of the block with the generated verifier.
Counts count(const MessageBlock& block) {
    Counts counts;
    std::set<std::string> ids;
    Timestamp newest = 0;
    for (const Message& message : block.messages) {
        std::string_view rest = message.data;
        while (!rest.empty()) {
            std::uint32_t size = 0;
            std::memcpy(&size, rest.data(), sizeof size);
            const std::string one(rest.substr(0, sizeof size + size));
            rest.remove_prefix(sizeof size + size);
            ++counts.events;
            flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(one.data()), one.size());
            if (!VerifySizePrefixedEventBuffer(verifier) || GetSizePrefixedEvent(one.data())->event_id() == nullptr) {
                ++counts.malformed;
                continue;
            }
            const Event* event = GetSizePrefixedEvent(one.data());
            ++counts.kinds[event->kind()];
            if (!ids.insert(event->event_id()->str()).second) ++counts.repeated;
            const Timestamp time = *event->event_time();
            if (time < newest) ++counts.behind;
            if (time < newest - 10 * kMinute) ++counts.late;
            newest = std::max(newest, *event->recorded_time() >= time ? time : 0);
            if (event->corrects() != nullptr) ++counts.corrections;
        }
    }
    return counts;
}

std::unique_ptr<GeneratorSource> opened(GeneratorSource::Options options) {
    auto source = std::make_unique<GeneratorSource>(std::move(options));
    const Status status = source->open({});
    EXPECT_TRUE(status.ok()) << status.error().text();
    return source;
}

std::string bytes_of(const MessageBlock& block) {
    std::string all;
    for (const Message& message : block.messages)
        all += fmt::format("{} {} {}\n", message.sequence, message.subject, message.data);
    return all;
}

TEST(Generator, TheSameSeedMakesTheSameMessagesAndAnotherOneOthers) {
    MessageBlock first, second, other;
    opened({})->fill(20'000, first);
    opened({})->fill(20'000, second);
    GeneratorSource::Options seed;
    seed.seed = 2;
    opened(seed)->fill(20'000, other);
    EXPECT_TRUE(bytes_of(first) == bytes_of(second));
    EXPECT_FALSE(bytes_of(first) == bytes_of(other));
}

TEST(Generator, KeepsTheSharesOfItsOptions) {
    GeneratorSource::Options options;
    options.malformed = 0.02;
    options.duplicates = 0.03;
    options.late = 0.01;
    options.corrections = 0.01;
    MessageBlock block;
    opened(options)->fill(200'000, block);
    Counts counts = count(block);
    EXPECT_EQ(counts.events, 200'000);
    EXPECT_NEAR(counts.malformed, 4'000, 300);
    EXPECT_NEAR(counts.repeated, 6'000, 500);
    EXPECT_NEAR(counts.corrections, 2'000, 700);
    EXPECT_GT(counts.late, 1'500);
    EXPECT_GT(counts.behind, 10'000);
    const int telemetry = counts.kinds.at(EventKind::reading) + counts.kinds.at(EventKind::machine_state) +
                          counts.kinds.at(EventKind::cycle);
    EXPECT_NEAR(telemetry, 150'000, 12'000);
    for (int kind = 1; kind <= static_cast<int>(EventKind::MAX); ++kind)
        EXPECT_GT(counts.kinds[static_cast<EventKind>(kind)], 0) << kind;
}

TEST(Generator, MessagesHoldManyEventsOrOne) {
    MessageBlock many, one;
    GeneratorSource::Options options;
    opened(options)->fill(10'000, many);
    for (const Message& message : many.messages) EXPECT_LE(message.data.size(), options.message_bytes.value);
    EXPECT_LT(many.messages.size(), 100u);
    options.message_bytes = SizeBytes{0};
    opened(options)->fill(1'000, one);
    EXPECT_EQ(one.messages.size(), 1'000u);
    EXPECT_EQ(one.messages[999].sequence, 1'000u);
    EXPECT_TRUE(one.messages[0].subject.starts_with("plant.P"));
}

TEST(Generator, TellsTheSameStoryInEveryEncoding) {
    PlantOptions options;
    options.malformed = 0.05;
    auto single = PlantSimulator::make(options).value();
    auto prefixed = PlantSimulator::make(options).value();
    auto json = PlantSimulator::make(options).value();
    std::string bytes;
    for (int i = 0; i < 20'000; ++i) {
        const PlantEvent& a = single->next(EventEncoding::flatbuffers, false, bytes);
        const PlantEvent& b = prefixed->next(EventEncoding::flatbuffers_prefixed, i % 7 == 0, bytes);
        const PlantEvent& c = json->next(EventEncoding::json, false, bytes);
        ASSERT_EQ(std::string_view(a.event_id), std::string_view(b.event_id));
        ASSERT_EQ(std::string_view(a.event_id), std::string_view(c.event_id));
        ASSERT_EQ(a.quantity, b.quantity);
        ASSERT_EQ(a.event_time, c.event_time);
        bytes.clear();
    }
}

TEST(Generator, GoesOnAtAPositionAndRefusesThoseOfOthers) {
    GeneratorSource::Options options;
    options.events = 50'000;
    const std::unique_ptr<GeneratorSource> owner = opened(options);
    GeneratorSource& source = *owner;
    MessageBlock first, rest, again;
    ASSERT_EQ(source.read({.messages = 7}, first).value(), Source::State::more);
    EXPECT_EQ(first.messages.size(), 7u);
    const SourcePosition position = source.position();
    EXPECT_EQ(position.next_sequence, 8u);
    GeneratorSource other(options);
    ASSERT_TRUE(other.open(position).ok());
    ASSERT_TRUE(source.read({}, rest).ok());
    ASSERT_TRUE(other.read({}, again).ok());
    EXPECT_TRUE(bytes_of(rest) == bytes_of(again));

    options.seed = 9;
    GeneratorSource stranger(options);
    EXPECT_EQ(stranger.open(position).error().code, "F512");
}

TEST(Generator, EndsAfterItsEvents) {
    GeneratorSource::Options options;
    options.events = 12'345;
    options.malformed = 0;
    const std::unique_ptr<GeneratorSource> owner = opened(options);
    GeneratorSource& source = *owner;
    int events = 0;
    while (true) {
        MessageBlock block;
        const Source::State state = source.read({}, block).value();
        if (state == Source::State::end) break;
        events += count(block).events;
    }
    EXPECT_EQ(events, 12'345);
}

TEST(Generator, PacedItKeepsToItsRate) {
    ManualClock clock;
    GeneratorSource::Options options;
    options.paced = true;
    options.rate = 1'000;
    GeneratorSource source(options, clock);
    ASSERT_TRUE(source.open({}).ok());
    MessageBlock nothing, block;
    EXPECT_EQ(source.read({.wait = 0}, nothing).value(), Source::State::quiet);
    clock.advance(2 * kSecond);
    EXPECT_EQ(source.read({.wait = 0}, block).value(), Source::State::more);
    EXPECT_EQ(count(block).events, 2'000);
}

class MasterData : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = (std::filesystem::temp_directory_path() / "takt_master_XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    std::string read(const std::string& name) const {
        std::ifstream file(folder_ + "/" + name);
        std::stringstream text;
        text << file.rdbuf();
        return text.str();
    }
    std::set<std::string> first_column(const std::string& name) const {
        std::set<std::string> keys;
        std::istringstream text(read(name));
        for (std::string line; std::getline(text, line);) keys.insert(line.substr(0, line.find(',')));
        return keys;
    }
    std::string folder_;
};

TEST_F(MasterData, HoldsEverythingThatTheEventsName) {
    PlantOptions options;
    options.invalid = 0;
    auto plant = PlantSimulator::make(options).value();
    ASSERT_TRUE(plant->write_master_data(folder_).ok());
    const auto materials = first_column("materials.csv");
    const auto work_centers = first_column("work_centers.csv");
    const auto plants = first_column("plants.csv");
    std::string bytes;
    for (int i = 0; i < 100'000; ++i) {
        bytes.clear();
        const PlantEvent& event = plant->next(EventEncoding::flatbuffers, false, bytes);
        ASSERT_TRUE(plants.contains(std::string(event.plant)));
        ASSERT_TRUE(event.material.empty() || materials.contains(std::string(event.material))) << event.material;
        ASSERT_TRUE(event.work_center.empty() || work_centers.contains(std::string(event.work_center)))
            << event.work_center;
    }
    EXPECT_TRUE(read("accounts.csv").starts_with("type,category,debit,credit\n"));
    EXPECT_TRUE(read("shifts.csv").starts_with("plant,shift,start,end\n"));
    EXPECT_TRUE(read("units.csv").starts_with("material,unit,numerator,denominator\n"));
    EXPECT_TRUE(read("tariffs.csv").starts_with("plant,valid_from,price_per_kwh\n"));
}

TEST_F(MasterData, TheMesLogIsToldWholeWithinItsSpan) {
    const std::string log = folder_ + "/mes.csv";
    std::ofstream(log) << "case_id,activity,resource,start_timestamp,timestamp\r\n"
                          "Case1,Turning & Milling,ID1,2012/01/30 06:24:00,2012/01/30 12:43:00\r\n"
                          "Case2,Lapping,ID2,2012/01/30 06:00:00,2012/01/31 12:00:00\r\n";
    PlantOptions options;
    options.mes_log = log;
    options.mes_span = std::chrono::hours(1);
    auto plant = PlantSimulator::make(options).value();
    std::vector<PlantEvent> told;
    std::string bytes;
    for (int i = 0; i < 110'000; ++i) {
        bytes.clear();
        const PlantEvent& event = plant->next(EventEncoding::flatbuffers, false, bytes);
        if (event.area == "MES" && event.corrects.empty() &&
            (told.empty() || std::string_view(told.back().event_id) != std::string_view(event.event_id)))
            told.push_back(event);
    }
    ASSERT_GE(told.size(), 2u);
    EXPECT_EQ(told[0].work_center, "ID1");
    EXPECT_EQ(told[0].operation, "Turning & Milling");
    EXPECT_EQ(std::string_view(told[0].order_id), "Case1");
    EXPECT_EQ(told[0].quantity, std::int64_t{6 * 3600 + 19 * 60} * 1'000'000);
    EXPECT_EQ(told.back().event_time - told.front().event_time, kHour);
    ASSERT_TRUE(plant->write_master_data(folder_ + "/master").ok());
    EXPECT_TRUE(first_column("master/work_centers.csv").contains("ID2"));

    options.mes_log = folder_ + "/none.csv";
    EXPECT_EQ(PlantSimulator::make(options).error().code, "C531");
}

TEST_F(MasterData, TheRealMesLogCanBeTold) {
    const std::string log = std::string(TAKT_SOURCE_DIR) + "/../shared/data/mes_log.csv";
    if (!std::filesystem::exists(log)) GTEST_SKIP() << log << " is not there";
    PlantOptions options;
    options.mes_log = log;
    EXPECT_TRUE(PlantSimulator::make(options).ok());
}

TEST(Generator, RefusesOptionsThatMakeNoSense) {
    PlantOptions options;
    options.start = "yesterday";
    EXPECT_EQ(PlantSimulator::make(options).error().code, "C530");
    options = {};
    options.late = 0.9;
    options.duplicates = 0.5;
    EXPECT_EQ(PlantSimulator::make(options).error().code, "C530");
}

}  // namespace
}  // namespace takt
