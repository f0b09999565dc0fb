#include <fmt/format.h>
#include <nats/nats.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>

#include "cli/arguments.h"
#include "cli/progress.h"
#include "cli/verbs.h"
#include "pipeline/base/clock.h"
#include "sources/plant_publisher.h"

namespace takt {
namespace {

std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

struct SimOptions {
    PlantPublishOptions plant;
    std::optional<Duration> duration;
    std::optional<Duration> mes_span;
};

int write_master_data(const PlantPublishOptions& options) {
    const auto plant = PlantSimulator::make(options);
    if (!plant) return fail(plant.error());
    if (const Status written = (*plant)->write_master_data(options.master_data); !written) return fail(written.error());
    fmt::print("master data in {}\n", options.master_data);
    return kExitOk;
}

std::string show_published(const PlantPublished& published) {
    const double seconds = static_cast<double>(std::max<Duration>(published.elapsed, 1)) / 1e9;
    return fmt::format("{} events in {} messages, {:.1f} MB, {} events/s", group_digits(published.events),
                       group_digits(published.messages), static_cast<double>(published.bytes) / 1e6,
                       group_digits(static_cast<std::uint64_t>(static_cast<double>(published.events) / seconds)));
}

int publish(SimOptions& options) {
    struct sigaction action {};
    action.sa_handler = [](int) { stop_requested.store(true); };
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    nats_Open(-1);  // before any thread that makes a message
    const auto published = publish_plant(options.plant, stop_requested, [](const PlantPublished& now) {
        fmt::print(stderr, "{}\n", show_published(now));
    });
    if (!published) return fail(published.error());
    fmt::print("{} in {}", show_published(*published), show_elapsed(published->elapsed));
    if (options.plant.file.empty()) {
        fmt::print("; {} messages confirmed, {} unknown", group_digits(published->confirmed),
                   group_digits(published->unknown));
    }
    fmt::print("\n");
    return kExitOk;
}

int simulate(SimOptions& options, const CLI::App& verb) {
    if (options.duration) options.plant.duration = std::chrono::nanoseconds(*options.duration);
    if (options.mes_span) options.plant.mes_span = std::chrono::nanoseconds(*options.mes_span);
    const bool only_tables = !options.plant.master_data.empty() && options.plant.file.empty() &&
                             verb.count("--server") == 0 && !options.duration && options.plant.events == 0;
    return only_tables ? write_master_data(options.plant) : publish(options);
}

void add_share(CLI::App& verb, const std::string& name, double& share, const std::string& help) {
    verb.add_option(name, share, help)->check(CLI::Range(0.0, 0.99))->type_name("SHARE")->capture_default_str();
}

}  // namespace

void add_sim(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("sim", "Let a simulated plant publish events, or write them to a file.");
    verb->footer(
        "The same seed and options give the same events. Shares are of all events, from 0 to 1.\n"
        "  takt sim --write-master master                              only the plant's tables\n"
        "  takt sim --rate 100000 --for 60s --mes-log mes_log.csv      into the stream PLANT\n"
        "  takt sim --events 1000000 --file events.jsonl --format jsonl");
    const auto options = std::make_shared<SimOptions>();  // shared by the verb's callbacks, which CLI11 copies
    PlantPublishOptions& plant = options->plant;
    verb->add_option("--server", plant.server, "NATS server")->type_name("URL")->capture_default_str();
    verb->add_option("--credentials", plant.credentials, "credentials file of the server")->type_name("FILE");
    verb->add_option("--stream", plant.stream, "stream to publish to; made when it is missing")->capture_default_str();
    verb->add_option("--rate", plant.rate, "events per second")->check(CLI::PositiveNumber)->capture_default_str();
    add_duration(*verb, "--for", options->duration, "how long; without --events too, until Ctrl-C");
    verb->add_option("--events", plant.events, "how many events")->check(CLI::NonNegativeNumber);
    verb->add_option("--seed", plant.seed, "another plant")->capture_default_str();
    verb->add_option("--start", plant.start, "event time of the first event")
        ->type_name("RFC3339")
        ->capture_default_str();
    verb->add_option("--acceleration", plant.acceleration, "seconds of event time in one second")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    add_share(*verb, "--telemetry", plant.telemetry, "readings, machine states and cycles");
    add_share(*verb, "--duplicates", plant.duplicates, "sent again with the same content");
    add_share(*verb, "--out-of-order", plant.out_of_order, "up to 4 minutes behind");
    add_share(*verb, "--late", plant.late, "up to 4 hours behind");
    add_share(*verb, "--too-late", plant.too_late, "40 hours behind");
    add_share(*verb, "--corrections", plant.corrections, "take back a part of another event");
    add_share(*verb, "--malformed", plant.malformed, "that no decoder can read");
    add_share(*verb, "--invalid", plant.invalid, "readable, but for the dead letters");
    add_share(*verb, "--filtered", plant.filtered, "test orders and zero quantities");
    verb->add_option("--plants", plant.plants, "each in its own time zone")
        ->check(CLI::Range(1, 3))
        ->capture_default_str();
    verb->add_option("--orders", plant.orders, "open at the same time")
        ->check(CLI::Range(3, 1'000'000))
        ->capture_default_str();
    verb->add_option("--mes-log", plant.mes_log, "MES log (CSV) to mix in as machine times")->type_name("FILE");
    add_duration(*verb, "--mes-span", options->mes_span, "event time over which the whole log is told (default 60h)");
    verb->add_option("--write-master", plant.master_data, "write the plant's tables here; alone: do nothing else")
        ->type_name("FOLDER");
    verb->add_option("--file", plant.file, "write a file instead of publishing; wants --events or --for")
        ->type_name("OUT");
    verb->add_option("--format", plant.json, "flatbuffers by default; one event a message or line in jsonl")
        ->transform(CLI::CheckedTransformer(std::map<std::string, bool>{{"jsonl", true}, {"flatbuffers", false}})
                        .description(""))
        ->type_name("jsonl|flatbuffers");
    verb->callback([options, verb, &invocation] { invocation.exit_code = simulate(*options, *verb); });
}

}  // namespace takt
