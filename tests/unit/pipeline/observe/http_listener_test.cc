#include "pipeline/observe/http_listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>

namespace takt {
namespace {

using testing::HasSubstr;

TEST(HttpListener, ServesMetricsAndHealthOnLoopback) {
    std::atomic<bool> failed = false;
    auto started = HttpListener::start({}, [&] {
        EngineStatus status;
        status.pipeline = std::string("p");
        status.epoch = 42;
        status.phase = failed ? EngineStatus::Phase::failed : EngineStatus::Phase::running;
        status.error = std::string("F100: broken");
        return status;
    });
    ASSERT_TRUE(started.ok());
    httplib::Client client("127.0.0.1", (*started)->port());
    const auto metrics = client.Get("/metrics");
    ASSERT_TRUE(metrics);
    EXPECT_EQ(metrics->status, 200);
    EXPECT_THAT(metrics->body, HasSubstr("takt_epoch 42\n"));
    EXPECT_THAT(metrics->get_header_value("Content-Type"), HasSubstr("version=0.0.4"));
    const auto healthy = client.Get("/healthz");
    ASSERT_TRUE(healthy);
    EXPECT_EQ(healthy->status, 200);
    failed = true;
    const auto unhealthy = client.Get("/healthz");
    ASSERT_TRUE(unhealthy);
    EXPECT_EQ(unhealthy->status, 503);
    EXPECT_EQ(unhealthy->body, "unhealthy: F100: broken\n");
}

TEST(HttpListener, SaysThatItsPortIsTaken) {
    const auto status = [] { return EngineStatus{}; };
    auto first = HttpListener::start({}, status);
    ASSERT_TRUE(first.ok());
    HttpListener::Options same;
    same.port = (*first)->port();
    auto second = HttpListener::start(same, status);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, "E601");
}

}  // namespace
}  // namespace takt
