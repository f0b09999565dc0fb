// How fast the jetstream source drains a stream, beside the client library's own natsSubscription_Fetch on the same
// stream, in turns.
//
//     jetstream_rate [EVENTS [MESSAGE_BYTES [ROUNDS]]]
//
// Prints one line per round and the median ratio. Exit status 1 when a drain did not see every message.
#include <fmt/format.h>
#include <nats/nats.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <vector>

#include "sources/jetstream.h"
#include "sources/plant_publisher.h"
#include "tests/support/nats_server.h"

namespace takt {
namespace {

constexpr int kBatch = 1024;

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

int run(std::int64_t events, std::uint64_t message_bytes, int rounds) {
    const auto server = NatsServer::start();
    if (!server) return 2;
    PlantPublishOptions options;
    options.server = {server->url()};
    options.events = events;
    options.rate = 1e9;
    options.acceleration = 3.6e7;
    options.message_bytes = SizeBytes{message_bytes};
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
    std::vector<double> ratios;
    for (int round = 0; round < rounds; ++round) {
        const double before = cpu_seconds();
        const double fetch = drain_by_fetch(server->url(), published->messages);
        const double between = cpu_seconds();
        const double source = drain_by_source(server->url(), published->messages);
        const double after = cpu_seconds();
        if (fetch < 0 || source < 0) return 1;
        ratios.push_back(fetch / source);
        fmt::print(
            "round {}: source {:.0f} messages/s ({:.2f} M events/s, {:.2f} us CPU a message), Fetch {:.0f} messages/s "
            "({:.2f} us), ratio {:.2f}\n",
            round + 1, count / source, static_cast<double>(events) / source / 1e6, (after - between) / count * 1e6,
            count / fetch, (between - before) / count * 1e6, ratios.back());
    }
    std::sort(ratios.begin(), ratios.end());
    fmt::print("median ratio {:.2f}\n", ratios[ratios.size() / 2]);
    return 0;
}

}  // namespace
}  // namespace takt

int main(int argc, char** argv) {
    const auto number = [&](int i, std::int64_t otherwise) { return argc > i ? std::atoll(argv[i]) : otherwise; };
    return takt::run(number(1, 500'000), static_cast<std::uint64_t>(number(2, 0)), static_cast<int>(number(3, 3)));
}
