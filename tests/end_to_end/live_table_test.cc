// A pipeline whose prices lie in a key-value bucket of a real server and change while it runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "cli/load.h"
#include "pipeline/observe/health.h"
#include "pipeline/observe/metrics.h"
#include "pipeline/runtime/engine.h"
#include "sources/connection/nats_connection.h"
#include "tests/support/nats_server.h"

namespace takt {
namespace {

using testing::HasSubstr;

constexpr const char* kConfig = R"(
pipeline: priced
sources:
  floor:
    jetstream: {{ server: "{server}", stream: PLANT, heartbeat: 200ms }}
    schema: {root}/schemas/event.bfbs
    format: json
    id: event_id
    time: {{ event: event_time }}
tables:
  prices:
    kv: {{ server: "{server}", bucket: MASTER, prefix: prices., check: 100ms }}
    key: material
    valid_from: valid_from
    columns: {{ price: decimal(2) }}
steps:
  - lookup: priced
    with: {{ item: "prices[material]" }}
postings:
  receipt:
    by: [material]
    quantity: quantity
    amount: quantity * item.price
    currency: '"EUR"'
sinks:
  out: {{ discard: {{}} }}
engine: {{ epoch: 10ms }}
)";

class LiveTable : public testing::Test {
  protected:
    void SetUp() override {
        server_ = NatsServer::start();
        if (!server_) GTEST_SKIP() << "no nats-server on this machine";
        path_ = server_->folder() + "/priced.yaml";
        std::ofstream(path_) << fmt::format(kConfig, fmt::arg("server", server_->url()),
                                            fmt::arg("root", TAKT_SOURCE_DIR));
        connect();
        jsStreamConfig stream;
        jsStreamConfig_Init(&stream);
        const char* subjects[] = {"plant.>"};
        stream.Name = "PLANT";
        stream.Subjects = subjects;
        stream.SubjectsLen = 1;
        ASSERT_EQ(js_AddStream(nullptr, jetstream_.get(), &stream, nullptr, nullptr), NATS_OK);
    }
    void TearDown() override {
        if (!thread_.joinable()) return;
        engine_->request_stop();
        thread_.join();
    }

    void connect() {
        writer_.reset();
        NatsConnectionOptions options;
        options.server = {server_->url()};
        writer_ = std::move(NatsConnection::connect(options, NatsConnection::Use::publish)).value();
        jetstream_ = writer_->jetstream(std::chrono::seconds(5)).value();
    }
    void make_bucket(std::uint8_t history = 1) {
        kvConfig config;
        kvConfig_Init(&config);
        config.Bucket = "MASTER";
        config.History = history;
        kvStore* bucket = nullptr;
        ASSERT_EQ(js_CreateKeyValue(&bucket, jetstream_.get(), &config), NATS_OK);
        bucket_.reset(bucket);
    }
    /// The revision.
    std::uint64_t put(const std::string& material, const std::string& value) {
        std::uint64_t revision = 0;
        EXPECT_EQ(kvStore_PutString(&revision, bucket_.get(), ("prices." + material).c_str(), value.c_str()), NATS_OK);
        return revision;
    }
    static std::string since(const char* date, const char* price) {
        return fmt::format(R"({{"valid_from":"{}T00:00:00Z","price":{}}})", date, price);
    }
    /// An event of quantity 1, and waits until it is counted.
    void produce(const std::string& material, const char* date = "2026-05-12") {
        const std::string event = fmt::format(
            R"({{"event_id":"e{}","kind":"produced","event_time":"{}T06:00:00Z","material":"{}","quantity":1}})",
            ++produced_, date, material);
        ASSERT_EQ(js_Publish(nullptr, jetstream_.get(), "plant.a", event.data(), static_cast<int>(event.size()),
                             nullptr, nullptr),
                  NATS_OK);
        wait_until("the event to be counted", [&](const EngineStatus& status) { return status.events == produced_; });
    }

    void start() {
        loaded_ = load_pipeline(path_);
        ASSERT_TRUE(loaded_);
        engine_ = std::make_unique<Engine>(*loaded_->planned.plan, Engine::Options{});
        thread_ = std::thread([this] { result_ = engine_->run(); });
    }
    template <typename Condition>
    void wait_until(const char* what, Condition condition) {
        const Timestamp deadline = system_clock().monotonic() + 30 * kSecond;
        while (system_clock().monotonic() < deadline) {
            if (condition(engine_->status())) return;
            std::this_thread::yield();
        }
        FAIL() << "waited for " << what;
    }
    void wait_for_revision(std::uint64_t revision) {
        wait_until("the revision", [&](const EngineStatus& status) { return status.tables[0].revision == revision; });
    }
    /// What was posted so far, in cents, and how many events had no price.
    std::pair<std::int64_t, std::uint64_t> posted() const {
        const EngineStatus status = engine_->status();
        std::uint64_t missing = 0;
        for (const OutcomeStatus& outcome : status.outcomes) {
            if (outcome.rule == "MISSING_MASTER_DATA") missing = outcome.count;
        }
        return {status.postings.empty() ? 0 : static_cast<std::int64_t>(status.postings[0].amount), missing};
    }

    std::unique_ptr<NatsServer> server_;
    std::string path_;
    std::unique_ptr<NatsConnection> writer_;
    JetStreamHandle jetstream_;
    KeyValueHandle bucket_;
    std::uint64_t produced_ = 0;
    std::optional<LoadedPipeline> loaded_;
    std::unique_ptr<Engine> engine_;
    Status result_;
    std::thread thread_;
};

using Posted = std::pair<std::int64_t, std::uint64_t>;

TEST_F(LiveTable, EventsSeeThePricesOfTheBucketAsTheyChange) {
    make_bucket();
    put("PUMP", "[" + since("2020-01-01", "3") + "," + since("2026-06-01", "30.5") + "]");
    put("VALVE", R"({"valid_from":"2020-01-01T00:00:00Z","price":"much"})");
    start();
    produce("PUMP");
    EXPECT_EQ(posted(), Posted(300, 0)) << "the first event finds the whole table";
    produce("PUMP", "2026-06-02");
    EXPECT_EQ(posted(), Posted(3350, 0)) << "as of the event's time";
    produce("VALVE");
    EXPECT_EQ(posted(), Posted(3350, 1)) << "its value is no price";
    EXPECT_EQ(engine_->status().tables[0].refused, 1u);
    EXPECT_THAT(engine_->status().tables[0].last_refusal,
                HasSubstr("D404: bucket MASTER, key prices.VALVE, revision 2: 'price' is 'much'"));

    wait_for_revision(put("PUMP", since("2020-01-01", "\"5.00\"")));
    produce("PUMP");
    EXPECT_EQ(posted(), Posted(3850, 1));
    wait_for_revision(put("VALVE", since("2020-01-01", "7")));
    produce("VALVE");
    EXPECT_EQ(posted(), Posted(4550, 1)) << "corrected";
    put("PUMP", "no JSON");
    wait_until("the bad value", [](const EngineStatus& status) { return status.tables[0].refused == 2; });
    produce("PUMP");
    EXPECT_EQ(posted(), Posted(5050, 1)) << "the old row holds";
    ASSERT_EQ(kvStore_Delete(bucket_.get(), "prices.PUMP"), NATS_OK);
    wait_until("the deletion", [](const EngineStatus& status) { return status.tables[0].rows == 1; });
    produce("PUMP");
    EXPECT_EQ(posted(), Posted(5050, 2));

    const std::string metrics = metrics_text(engine_->status());
    for (const char* line :
         {"takt_table_rows{table=\"prices\"} 1\n", "takt_table_revision{table=\"prices\"} 6\n",
          "takt_table_refused_total{table=\"prices\"} 2\n", "takt_table_stale_seconds{table=\"prices\"} 0\n"})
        EXPECT_THAT(metrics, HasSubstr(line));
    engine_->request_stop();
    thread_.join();
    EXPECT_TRUE(result_.ok());
}

TEST_F(LiveTable, AKilledServerLeavesTheLastTableAndItsChangesComeWithTheServer) {
    make_bucket();
    put("PUMP", since("2020-01-01", "3"));
    put("VALVE", since("2020-01-01", "7"));
    start();
    produce("PUMP");
    server_->kill();
    wait_until("the table to be stale",
               [](const EngineStatus& status) { return status.tables[0].state == TableStatus::State::stale; });
    EXPECT_EQ(engine_->status().tables[0].rows, 2u);
    EXPECT_THAT(engine_->status().tables[0].last_error, AnyOf(HasSubstr("E520"), HasSubstr("E526")));
    EngineStatus without_source = engine_->status();
    without_source.sources.clear();  // it complains first
    EXPECT_THAT(judge_health(without_source, 0).reason, HasSubstr("table prices has been stale"));

    ASSERT_TRUE(server_->restart());
    connect();
    kvStore* bucket = nullptr;
    ASSERT_EQ(js_KeyValue(&bucket, jetstream_.get(), "MASTER"), NATS_OK);
    bucket_.reset(bucket);
    ASSERT_EQ(kvStore_Delete(bucket_.get(), "prices.VALVE"), NATS_OK);
    const std::uint64_t revision = put("PUMP", since("2020-01-01", "4"));
    wait_until("the table to be current",
               [](const EngineStatus& status) { return status.tables[0].state == TableStatus::State::current; });
    wait_for_revision(revision);
    produce("PUMP");
    produce("VALVE");
    EXPECT_EQ(posted(), Posted(700, 1));
    EXPECT_EQ(engine_->status().tables[0].last_error, "");
}

TEST_F(LiveTable, ABucketThatIsGoneLeavesTheLastTable) {
    make_bucket();
    put("PUMP", since("2020-01-01", "3"));
    start();
    wait_until("the table",
               [](const EngineStatus& status) { return status.tables[0].state == TableStatus::State::current; });
    ASSERT_EQ(js_DeleteKeyValue(jetstream_.get(), "MASTER"), NATS_OK);
    wait_until("the table to be stale", [](const EngineStatus& status) {
        return status.tables[0].last_error.find("is gone") != std::string::npos;
    });
    produce("PUMP");
    EXPECT_EQ(posted(), Posted(300, 0));
    make_bucket();
    put("VALVE", since("2020-01-01", "7"));
    wait_for_revision(put("PUMP", since("2020-01-01", "9")));
    produce("PUMP");
    EXPECT_EQ(posted(), Posted(1200, 0));
}

TEST_F(LiveTable, AMissingBucketEndsTheRunAtItsStart) {
    start();
    thread_.join();
    ASSERT_FALSE(result_.ok());
    EXPECT_EQ(result_.error().code, "C526");
    EXPECT_THAT(result_.error().message, HasSubstr("there is no key-value bucket MASTER, prefix prices. at nats://"));
    EXPECT_EQ(engine_->status().events, 0u);
}

TEST_F(LiveTable, AConfigIsCheckedWithoutAServer) {
    server_->kill();
    const auto loaded = load_pipeline(path_);
    ASSERT_TRUE(loaded);
    ASSERT_EQ(loaded->planned.plan->tables.size(), 1u);
    EXPECT_EQ(loaded->planned.plan->tables[0].handle->current->rows(), 0u);
}

}  // namespace
}  // namespace takt
