#include "sources/key_value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/nats_server.h"

namespace takt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

/// A bucket on a server of its own, written to by another connection.
class KeyValueBucketTest : public testing::Test {
  protected:
    void SetUp() override {
        server_ = NatsServer::start();
        if (!server_) GTEST_SKIP() << "no nats-server on this machine";
        connect();
    }
    void connect() {
        writer_.reset();
        NatsConnectionOptions options;
        options.server = {server_->url()};
        writer_ = std::move(NatsConnection::connect(options, NatsConnection::Use::publish)).value();
        jetstream_ = writer_->jetstream(std::chrono::seconds(5)).value();
    }
    void make_bucket(std::uint8_t history = 1, std::int64_t ttl = 0) {
        kvConfig config;
        kvConfig_Init(&config);
        config.Bucket = "MASTER";
        config.History = history;
        config.TTL = ttl;
        kvStore* bucket = nullptr;
        ASSERT_EQ(js_CreateKeyValue(&bucket, jetstream_.get(), &config), NATS_OK);
        bucket_.reset(bucket);
    }
    void put(const std::string& key, const std::string& value) {
        ASSERT_EQ(kvStore_PutString(nullptr, bucket_.get(), key.c_str(), value.c_str()), NATS_OK);
    }
    KeyValueBucket::Options options() const {
        KeyValueBucket::Options options;
        options.server = {server_->url()};
        options.bucket = "MASTER";
        options.prefix = "prices.";
        options.check = std::chrono::milliseconds(100);
        return options;
    }
    static TableSpec spec() {
        TableSpec spec;
        spec.name = "prices";
        spec.key = {"material"};
        spec.fields = {{"price", Type::decimal(2)}};
        return spec;
    }
    static std::vector<std::string> texts(const std::vector<TableChange>& changes) {
        std::vector<std::string> texts;
        for (const TableChange& change : changes) {
            const char* operation = change.operation == TableChange::Operation::put      ? "="
                                    : change.operation == TableChange::Operation::remove ? " removed"
                                                                                         : " gone";
            texts.push_back(fmt::format("{}@{}{}{}", change.key, change.revision, operation, change.value));
        }
        return texts;
    }
    /// What open gives; a failure is a text too.
    static std::vector<std::string> open(KeyValueBucket& bucket) {
        std::vector<TableChange> content;
        const Status opened = bucket.open(content);
        return opened.ok() ? texts(content) : std::vector<std::string>{opened.error().text()};
    }
    /// Reads until so many changes are there.
    static std::vector<std::string> read(KeyValueBucket& bucket, std::size_t count) {
        std::vector<TableChange> changes;
        const Timestamp deadline = system_clock().monotonic() + 20 * kSecond;
        while (changes.size() < count && system_clock().monotonic() < deadline)
            static_cast<void>(bucket.read(20 * kMillisecond, changes));
        return texts(changes);
    }
    /// Reads until an error of this code, or success where it is empty; what came meanwhile goes to `changes`.
    static std::string read_until(KeyValueBucket& bucket, const std::string& code, std::vector<TableChange>& changes) {
        const Timestamp deadline = system_clock().monotonic() + 20 * kSecond;
        std::string last;
        while (system_clock().monotonic() < deadline) {
            const Status status = bucket.read(20 * kMillisecond, changes);
            last = status.ok() ? "" : status.error().text();
            if (code.empty() ? last.empty() : last.starts_with(code)) return last;
        }
        return "never: " + last;
    }

    std::unique_ptr<NatsServer> server_;
    std::unique_ptr<NatsConnection> writer_;
    JetStreamHandle jetstream_;
    KeyValueHandle bucket_;
};

TEST_F(KeyValueBucketTest, GivesTheContentAndThenEveryChange) {
    make_bucket();
    put("prices.PUMP", "1");
    put("other.PUMP", "9");
    put("prices.VALVE", "2");
    put("prices.PUMP", "3");
    put("prices.RING", "4");
    ASSERT_EQ(kvStore_Delete(bucket_.get(), "prices.RING"), NATS_OK);
    KeyValueBucket bucket(options(), spec());
    EXPECT_THAT(open(bucket), ElementsAre("prices.VALVE@3=2", "prices.PUMP@4=3"));
    put("prices.RING", "5");
    put("other.RING", "5");
    put("prices.RING", "6");
    ASSERT_EQ(kvStore_Delete(bucket_.get(), "prices.PUMP"), NATS_OK);
    ASSERT_EQ(kvStore_Purge(bucket_.get(), "prices.VALVE", nullptr), NATS_OK);
    ASSERT_EQ(kvStore_Delete(bucket_.get(), "prices.NONE"), NATS_OK);
    EXPECT_THAT(read(bucket, 4),
                ElementsAre("prices.RING@7=5", "prices.RING@9=6", "prices.PUMP@10 removed", "prices.VALVE@11 removed"));
    std::vector<TableChange> more;
    EXPECT_EQ(read_until(bucket, "", more), "");
    EXPECT_THAT(more, IsEmpty()) << "what was not there cannot go";
    EXPECT_EQ(bucket.reloads(), 0u);
    EXPECT_EQ(bucket.describe(), "key-value bucket MASTER, prefix prices. at " + server_->url());
}

TEST_F(KeyValueBucketTest, TakesTheWholeBucketWithoutAPrefix) {
    make_bucket();
    KeyValueBucket::Options whole = options();
    whole.prefix = "";
    KeyValueBucket bucket(whole, spec());
    EXPECT_THAT(open(bucket), IsEmpty());
    put("PUMP", "1");
    put("a.b", "1");
    EXPECT_THAT(read(bucket, 2), ElementsAre("PUMP@1=1", "a.b@2=1"));
}

TEST_F(KeyValueBucketTest, RefusesABucketThatIsNotThereOrLosesItsValues) {
    KeyValueBucket bucket(options(), spec());
    EXPECT_THAT(open(bucket), ElementsAre(HasSubstr("C526: there is no key-value bucket MASTER")));
    make_bucket(1, 3600 * kSecond);
    EXPECT_THAT(open(bucket),
                ElementsAre(HasSubstr("C527: values in key-value bucket MASTER, prefix prices. at nats:")));
    server_ = NatsServer::start({.extra_config = "", .jetstream = false});
    KeyValueBucket without(options(), spec());
    EXPECT_THAT(open(without), ElementsAre(HasSubstr("E526")));
    server_->stop();
    EXPECT_THAT(open(without), ElementsAre(HasSubstr("E520")));
}

TEST_F(KeyValueBucketTest, AfterAKilledServerItTellsWhatDiffers) {
    make_bucket();
    for (const char* key : {"prices.PUMP", "prices.VALVE", "prices.RING"}) put(key, "1");
    KeyValueBucket bucket(options(), spec());
    EXPECT_THAT(open(bucket), testing::SizeIs(3));
    std::vector<TableChange> changes;
    server_->kill();
    EXPECT_THAT(read_until(bucket, "E5", changes), HasSubstr("E520: the connection to nats://127.0.0.1"));
    EXPECT_THAT(changes, IsEmpty()) << "the last content stands";
    ASSERT_TRUE(server_->restart());
    EXPECT_EQ(read_until(bucket, "", changes), "");
    EXPECT_EQ(bucket.reloads(), 1u);
    EXPECT_THAT(changes, IsEmpty()) << "nothing differs";
    connect();
    kvStore* found = nullptr;
    ASSERT_EQ(js_KeyValue(&found, jetstream_.get(), "MASTER"), NATS_OK);
    bucket_.reset(found);
    put("prices.PUMP", "2");
    EXPECT_THAT(read(bucket, 1), ElementsAre("prices.PUMP@4=2"));
}

TEST_F(KeyValueBucketTest, WhatWasMissedIsToldAtOnce) {
    make_bucket();
    for (const char* key : {"prices.PUMP", "prices.VALVE", "prices.RING"}) put(key, "1");
    KeyValueBucket bucket(options(), spec());
    EXPECT_THAT(open(bucket), testing::SizeIs(3));
    server_->stop();
    ASSERT_TRUE(server_->restart());
    // Nobody reads while the connection comes back and these changes are made.
    connect();
    kvStore* found = nullptr;
    ASSERT_EQ(js_KeyValue(&found, jetstream_.get(), "MASTER"), NATS_OK);
    bucket_.reset(found);
    put("prices.PUMP", "2");
    ASSERT_EQ(kvStore_Delete(bucket_.get(), "prices.VALVE"), NATS_OK);
    put("prices.GASKET", "7");
    const Timestamp deadline = system_clock().monotonic() + 20 * kSecond;
    while (server_->monitor("/connz").find("\"num_connections\": 2") == std::string::npos)
        ASSERT_LT(system_clock().monotonic(), deadline) << "the bucket's connection does not come back";
    std::vector<TableChange> changes;
    EXPECT_EQ(read_until(bucket, "", changes), "");
    // The connection may also be back before the changes are made: then they are told as they come.
    EXPECT_LE(bucket.reloads(), 1u);
    EXPECT_THAT(texts(changes), ElementsAre("prices.PUMP@4=2", "prices.VALVE@5 removed", "prices.GASKET@6=7"));
    for (const TableChange& change : changes) EXPECT_EQ(change.in_content, bucket.reloads() == 1);
}

TEST_F(KeyValueBucketTest, NoticesABucketThatIsGoneAndOneThatWasMadeAnew) {
    make_bucket();
    put("prices.PUMP", "1");
    put("prices.VALVE", "1");
    KeyValueBucket bucket(options(), spec());
    EXPECT_THAT(open(bucket), testing::SizeIs(2));
    std::vector<TableChange> changes;
    ASSERT_EQ(js_DeleteKeyValue(jetstream_.get(), "MASTER"), NATS_OK);
    EXPECT_THAT(read_until(bucket, "E526", changes), HasSubstr("is gone"));
    EXPECT_THAT(changes, IsEmpty()) << "the last content stands";
    make_bucket();
    put("prices.PUMP", "5");  // revision 1 again
    EXPECT_EQ(read_until(bucket, "", changes), "");
    EXPECT_THAT(texts(changes), UnorderedElementsAre("prices.VALVE@1 gone", "prices.PUMP@1=5"));
    // At once, so that no check finds it gone.
    ASSERT_EQ(js_DeleteKeyValue(jetstream_.get(), "MASTER"), NATS_OK);
    make_bucket();
    put("prices.RING", "6");
    EXPECT_THAT(read(bucket, 2), ElementsAre("prices.PUMP@1 gone", "prices.RING@1=6"));
}

TEST_F(KeyValueBucketTest, KnowsTheValuesBefore) {
    make_bucket(5);
    for (const char* value : {"1", "2"}) put("prices.PUMP", value);
    ASSERT_EQ(kvStore_Delete(bucket_.get(), "prices.PUMP"), NATS_OK);
    for (const char* value : {"4", "5", "6"}) put("prices.PUMP", value);
    KeyValueBucket bucket(options(), spec());
    std::vector<TableChange> content;
    ASSERT_TRUE(bucket.open(content).ok());
    EXPECT_THAT(texts(content), ElementsAre("prices.PUMP@6=6"));
    EXPECT_THAT(texts(bucket.earlier(content[0])), ElementsAre("prices.PUMP@5=5", "prices.PUMP@4=4"))
        << "newest first, not beyond its deletion";
}

TEST_F(KeyValueBucketTest, AContentLargerThanOneReadingArrivesWhole) {
    make_bucket();
    KeyValueBucket bucket(options(), spec());
    EXPECT_THAT(open(bucket), IsEmpty());
    for (int i = 0; i < 6000; ++i) put(fmt::format("prices.P{}", i), "1");
    EXPECT_THAT(read(bucket, 6000), testing::SizeIs(6000));
    KeyValueBucket later(options(), spec());
    EXPECT_THAT(open(later), testing::SizeIs(6000));
}

}  // namespace
}  // namespace takt
