#include "sources/nats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/nats_server.h"

namespace takt {
namespace {

using testing::ElementsAre;

class NatsSourceTest : public testing::Test {
  protected:
    void SetUp() override {
        server_ = NatsServer::start({.extra_config = "", .jetstream = false});
        if (!server_) GTEST_SKIP() << "no nats-server on this machine";
        NatsConnectionOptions options;
        options.server = {server_->url()};
        plant_ = NatsConnection::connect(options, NatsConnection::Use::publish).value();
    }
    NatsSource::Options options() const {
        NatsSource::Options options;
        options.server = {server_->url()};
        options.subject = "plant.>";
        return options;
    }
    void publish(const std::string& text, const char* subject = "plant.a") {
        EXPECT_EQ(natsConnection_Publish(plant_->get(), subject, text.data(), static_cast<int>(text.size())), NATS_OK);
    }
    void flush() { EXPECT_EQ(natsConnection_FlushTimeout(plant_->get(), 10'000), NATS_OK); }
    /// Reads until `count` messages are there or 10 s are over.
    static std::vector<std::string> take(NatsSource& source, std::size_t count) {
        std::vector<std::string> texts;
        const Timestamp end = system_clock().monotonic() + 10 * kSecond;
        while (texts.size() < count && system_clock().monotonic() < end) {
            MessageBlock block;
            const Result<Source::State> state = source.read({}, block);
            EXPECT_TRUE(state.ok());
            for (const Message& message : block.messages) texts.emplace_back(message.data);
        }
        return texts;
    }

    std::unique_ptr<NatsServer> server_;
    std::unique_ptr<NatsConnection> plant_;
};

TEST_F(NatsSourceTest, TakesWhatIsPublishedAfterItOpened) {
    publish("before");
    flush();
    NatsSource source(options());
    ASSERT_TRUE(source.open({.next_sequence = 41, .anchor = {}}).ok());
    MessageBlock nothing;
    EXPECT_EQ(source.read({.wait = 0}, nothing).value(), Source::State::quiet);
    publish("one");
    publish("two", "plant.b");
    publish("other", "office.b");
    flush();
    EXPECT_THAT(take(source, 2), ElementsAre("one", "two"));
    EXPECT_EQ(source.position().next_sequence, 43u);
    EXPECT_TRUE(source.position().anchor.empty());
}

TEST_F(NatsSourceTest, MembersOfAQueueShareTheMessages) {
    NatsSource::Options shared = options();
    shared.queue = "takt";
    NatsSource first(shared), second(shared);
    ASSERT_TRUE(first.open({}).ok());
    ASSERT_TRUE(second.open({}).ok());
    for (int i = 0; i < 200; ++i) publish("x");
    flush();
    std::size_t a = 0, b = 0;
    const Timestamp end = system_clock().monotonic() + 10 * kSecond;
    while (a + b < 200 && system_clock().monotonic() < end) {
        MessageBlock one, two;
        ASSERT_TRUE(first.read({.wait = kMillisecond}, one).ok());
        ASSERT_TRUE(second.read({.wait = kMillisecond}, two).ok());
        a += one.messages.size();
        b += two.messages.size();
    }
    EXPECT_EQ(a + b, 200u);
    EXPECT_GT(a, 0u);
    EXPECT_GT(b, 0u);
}

TEST_F(NatsSourceTest, CountsWhatItHadToDrop) {
    NatsSource::Options small = options();
    small.pending_bytes = SizeBytes{100'000};
    NatsSource source(small);
    ASSERT_TRUE(source.open({}).ok());
    const std::string kilobyte(1000, 'x');
    for (int i = 0; i < 500; ++i) publish(kilobyte);
    flush();
    const Timestamp end = system_clock().monotonic() + 10 * kSecond;
    while (source.pending() + source.dropped() < 500 && system_clock().monotonic() < end) {
    }
    const std::size_t kept = take(source, source.pending()).size();
    EXPECT_GT(kept, 0u);
    EXPECT_LE(kept, 100u);
    EXPECT_EQ(kept + source.dropped(), 500u);
}

TEST_F(NatsSourceTest, ListensAgainAfterTheServerCameBack) {
    NatsSource source(options());
    ASSERT_TRUE(source.open({}).ok());
    server_->kill();
    MessageBlock nothing;
    EXPECT_EQ(source.read({}, nothing).value(), Source::State::quiet);
    ASSERT_TRUE(server_->restart());
    const Timestamp end = system_clock().monotonic() + 10 * kSecond;
    std::vector<std::string> got;
    while (got.empty() && system_clock().monotonic() < end) {
        natsConnection_PublishString(plant_->get(), "plant.a", "again");
        MessageBlock block;
        ASSERT_TRUE(source.read({}, block).ok());
        for (const Message& message : block.messages) got.emplace_back(message.data);
    }
    ASSERT_FALSE(got.empty());
    EXPECT_EQ(got.front(), "again");
}

TEST_F(NatsSourceTest, RefusesASubjectThatIsNone) {
    NatsSource::Options wrong = options();
    wrong.subject = "plant..a";
    NatsSource source(wrong);
    EXPECT_EQ(source.open({}).error().code, "C524");
}

/// Who may come in, and what is said to those who may not.
class NatsSecurity : public testing::Test {
  protected:
    void start(const std::string& config) {
        server_ = NatsServer::start({.extra_config = config, .jetstream = false});
        if (!server_) GTEST_SKIP() << "no nats-server on this machine";
        options_.server = {server_->url()};
    }
    Status connect() const {
        auto connected = NatsConnection::connect(options_, NatsConnection::Use::consume);
        return connected.ok() ? Status{} : Status{connected.error()};
    }
    std::unique_ptr<NatsServer> server_;
    NatsConnectionOptions options_;
};

TEST_F(NatsSecurity, UserAndPassword) {
    start("authorization { user: takt, password: s3cret }");
    EXPECT_EQ(connect().error().code, "C521");
    options_.user = "takt";
    options_.password = Secret("wrong");
    EXPECT_EQ(connect().error().code, "C521");
    options_.password = Secret("s3cret");
    EXPECT_TRUE(connect().ok());
}

TEST_F(NatsSecurity, Token) {
    start("authorization { token: t0ken }");
    options_.token = Secret("t0ken");
    EXPECT_TRUE(connect().ok());
    options_.token = Secret("other");
    const Status refused = connect();
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().message.find("other"), std::string::npos) << "a secret is never printed";
}

TEST_F(NatsSecurity, ContradictionsAndSecretsInUrlsAreMistakesOfTheConfig) {
    options_.server = {"nats://user:hidden@127.0.0.1:4222"};
    const Status in_url = connect();
    ASSERT_FALSE(in_url.ok());
    EXPECT_EQ(in_url.error().code, "C520");
    EXPECT_EQ(in_url.error().message.find("hidden"), std::string::npos);
    options_.server = {"nats://127.0.0.1:1"};
    EXPECT_EQ(connect().error().code, "E520");
    options_.credentials = "/nowhere/takt.creds";
    EXPECT_EQ(connect().error().code, "C520");
    options_.credentials.clear();
    options_.user = "takt";
    EXPECT_EQ(connect().error().code, "C520");
}

}  // namespace
}  // namespace takt
