#include "sources/plant_publisher.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "sources/file.h"
#include "sources/generator.h"
#include "sources/jetstream.h"
#include "tests/support/nats_server.h"

namespace takt {
namespace {

std::string read_all(Source& source, std::uint64_t messages) {
    std::string all;
    const Timestamp end = system_clock().monotonic() + 20 * kSecond;
    while (messages > 0 && system_clock().monotonic() < end) {
        MessageBlock block;
        const Result<Source::State> state = source.read({}, block);
        if (!state.ok() || *state == Source::State::end) break;
        for (const Message& message : block.messages) all += std::string(message.data);
        messages -= std::min<std::uint64_t>(messages, block.messages.size());
    }
    return all;
}

/// The first events of the default plant, as size-prefixed FlatBuffers or JSON lines.
std::string expected(int events, EventEncoding encoding) {
    auto plant = PlantSimulator::make({}).value();
    std::string bytes;
    for (int i = 0; i < events; ++i) plant->next(encoding, false, bytes);
    return bytes;
}

TEST(PlantPublisher, TheStreamHoldsExactlyThePlantsEvents) {
    const auto server = NatsServer::start();
    if (!server) GTEST_SKIP() << "no nats-server on this machine";
    PlantPublishOptions options;
    options.server = {server->url()};
    options.events = 20'000;
    options.rate = 1e6;
    options.acceleration = 3.6e4;  // as far apart as with the default rate
    options.malformed = 0;
    const std::atomic<bool> stop = false;
    int told = 0;
    const auto published = publish_plant(options, stop, [&](const PlantPublished&) { ++told; });
    ASSERT_TRUE(published.ok()) << published.error().text();
    EXPECT_EQ(published->events, 20'000u);
    EXPECT_EQ(published->confirmed, published->messages);
    EXPECT_EQ(published->unknown, 0u);

    JetStreamSource::Options read;
    read.server = {server->url()};
    read.stream = "PLANT";
    JetStreamSource source(read);
    ASSERT_TRUE(source.open({}).ok());
    EXPECT_EQ(source.pending(), published->messages);
    PlantOptions plant_options = options;
    auto plant = PlantSimulator::make(plant_options).value();
    std::string bytes;
    for (int i = 0; i < 20'000; ++i) plant->next(EventEncoding::flatbuffers_prefixed, false, bytes);
    EXPECT_TRUE(read_all(source, published->messages) == bytes);
}

TEST(PlantPublisher, WritesFilesThatTheFileSourceReads) {
    std::string folder = (std::filesystem::temp_directory_path() / "takt_sim_XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    const std::atomic<bool> stop = false;
    for (const bool json : {true, false}) {
        PlantPublishOptions options;
        options.file = folder + "/events";
        options.master_data = folder + "/master";
        options.events = 5'000;
        options.json = json;
        const auto written = publish_plant(options, stop);
        ASSERT_TRUE(written.ok()) << written.error().text();
        EXPECT_EQ(written->events, 5'000u);
        FileSource::Options read;
        read.path = {options.file};
        read.framing = json ? RecordFraming::lines : RecordFraming::size_prefixed;
        FileSource source(read);
        ASSERT_TRUE(source.open({}).ok());
        const std::string all = read_all(source, UINT64_MAX);
        EXPECT_EQ(source.position().next_sequence, 5'001u);
        if (json) {
            EXPECT_TRUE(all == expected(5'000, EventEncoding::json));
        }
    }
    EXPECT_TRUE(std::filesystem::exists(folder + "/master/accounts.csv"));
    PlantPublishOptions endless;
    endless.file = folder + "/events";
    EXPECT_EQ(publish_plant(endless, stop).error().code, "C532");
    std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace takt
