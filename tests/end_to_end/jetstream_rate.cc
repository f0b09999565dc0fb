// How fast the daemon reads a stream, from messages to postings of the reference pipeline, and how fast its source
// alone does; beside both a bare drain of the same stream by the client library's own natsSubscription_Fetch, in turns.
//
//     jetstream_rate [EVENTS [MESSAGE_BYTES [ROUNDS]]]
//
// Prints one line per round and the median ratios. Exit status 1 when one did not see every message.
#include <fmt/format.h>
#include <nats/nats.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <vector>

#include "cli/load.h"
#include "pipeline/observe/engine_status.h"
#include "pipeline/runtime/engine.h"
#include "sources/jetstream.h"
#include "sources/plant_publisher.h"
#include "tests/support/nats_server.h"

namespace takt {
namespace {

constexpr int kBatch = 1024;

constexpr const char* kConfig = R"(
pipeline: plant_to_ledger
include: {root}/configs/reference_rules.yaml
sources:
  floor:
    jetstream: {{ server: "{server}", stream: PLANT }}
    schema: {root}/schemas/event.bfbs
    id: event_id
    correlation: order_id
    time: {{ event: event_time, recorded: recorded_time, out_of_order: 5m, future: 10m,
             not_before: "2000-01-01T00:00:00Z", idle: 1m }}
sinks:
  ledger: {{ discard: {{}} }}
)";

double seconds_since(Timestamp start) {
    return static_cast<double>(system_clock().monotonic() - start) / static_cast<double>(kSecond);
}

/// CPU seconds of this process so far: what a busy machine cannot hide.
double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Seconds to read `messages`; negative when they did not come.
double drain_by_source(const std::string& url, std::uint64_t messages) {
    JetStreamSource::Options options;
    options.server = {url};
    options.stream = "PLANT";
    const Timestamp start = system_clock().monotonic();
    JetStreamSource source(options);
    if (!source.open({}).ok()) return -1;
    std::uint64_t seen = 0;
    while (seen < messages) {
        MessageBlock block;
        const Result<Source::State> state = source.read({}, block);
        if (!state.ok() || seconds_since(start) > 120) return -1;
        seen += block.messages.size();
    }
    return seconds_since(start);
}

double drain_by_fetch(const std::string& url, std::uint64_t messages) {
    NatsConnectionOptions options;
    options.server = {url};
    const Timestamp start = system_clock().monotonic();
    auto connection = NatsConnection::connect(options, NatsConnection::Use::consume);
    if (!connection.ok()) return -1;
    auto jetstream = (*connection)->jetstream(std::chrono::seconds(5));
    jsSubOptions subscribe;
    jsSubOptions_Init(&subscribe);
    subscribe.Stream = "PLANT";
    subscribe.Config.AckPolicy = js_AckNone;
    natsSubscription* made = nullptr;
    if (js_PullSubscribe(&made, jetstream->get(), "plant.>", nullptr, nullptr, &subscribe, nullptr) != NATS_OK)
        return -1;
    const NatsSubscriptionHandle subscription(made);
    std::uint64_t seen = 0;
    while (seen < messages) {
        natsMsgList list;
        if (natsSubscription_Fetch(&list, made, kBatch, 5000, nullptr) != NATS_OK) return -1;
        seen += static_cast<std::uint64_t>(list.Count);
        natsMsgList_Destroy(&list);
    }
    return seconds_since(start);
}

double drain_by_daemon(const std::string& config, std::uint64_t messages) {
    const Timestamp start = system_clock().monotonic();
    const auto loaded = load_pipeline(config);
    if (!loaded) return -1;
    Engine engine(*loaded->planned.plan, {});
    Status ended;
    std::thread thread([&] { ended = engine.run(); });
    // A look each millisecond: without a pause it would take one of the daemon's cores.
    while (engine.status().messages < messages && seconds_since(start) < 120)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const double seconds = seconds_since(start);
    const bool whole = engine.status().messages == messages;
    engine.request_stop();
    thread.join();
    return whole && ended.ok() ? seconds : -1;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

int run(std::int64_t events, std::uint64_t message_bytes, int rounds) {
    const auto server = NatsServer::start();
    if (!server) return 2;
    PlantPublishOptions options;
    options.server = {server->url()};
    options.events = events;
    options.rate = 1e9;
    options.acceleration = 3.6e7;
    options.message_bytes = SizeBytes{message_bytes};
    options.master_data = server->folder() + "/master";
    ::setenv("TAKT_MASTER", options.master_data.c_str(), 1);
    const std::string config = server->folder() + "/plant_to_ledger.yaml";
    std::ofstream(config) << fmt::format(kConfig, fmt::arg("root", TAKT_SOURCE_DIR), fmt::arg("server", server->url()));
    const std::atomic<bool> stop = false;
    const auto published = publish_plant(options, stop);
    if (!published.ok()) {
        fmt::print(stderr, "{}\n", published.error().text());
        return 2;
    }
    const double count = static_cast<double>(published->messages);
    fmt::print("published {} events in {} messages, {:.0f} MB, {:.0f} events/s\n", published->events,
               published->messages, static_cast<double>(published->bytes) / 1e6,
               static_cast<double>(published->events) * 1e9 / static_cast<double>(published->elapsed));
    std::vector<double> of_source;
    std::vector<double> of_daemon;
    for (int round = 0; round < rounds; ++round) {
        const double before = cpu_seconds();
        const double fetch = drain_by_fetch(server->url(), published->messages);
        const double between = cpu_seconds();
        const double source = drain_by_source(server->url(), published->messages);
        const double after = cpu_seconds();
        const double daemon = drain_by_daemon(config, published->messages);
        if (fetch < 0 || source < 0 || daemon < 0) return 1;
        of_source.push_back(fetch / source);
        of_daemon.push_back(fetch / daemon);
        fmt::print(
            "round {}: Fetch {:.0f} messages/s ({:.2f} us CPU a message), source {:.0f} ({:.2f} us), ratio {:.2f}, "
            "daemon {:.0f} ({:.2f} M events/s), ratio {:.2f}\n",
            round + 1, count / fetch, (between - before) / count * 1e6, count / source, (after - between) / count * 1e6,
            of_source.back(), count / daemon, static_cast<double>(published->events) / daemon / 1e6, of_daemon.back());
    }
    fmt::print("median ratio to Fetch: source {:.2f}, daemon {:.2f}\n", median(of_source), median(of_daemon));
    return 0;
}

}  // namespace
}  // namespace takt

int main(int argc, char** argv) {
    const auto number = [&](int i, std::int64_t otherwise) { return argc > i ? std::atoll(argv[i]) : otherwise; };
    return takt::run(number(1, 500'000), static_cast<std::uint64_t>(number(2, 0)), static_cast<int>(number(3, 3)));
}
