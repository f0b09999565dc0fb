#include <fmt/format.h>
#include <nats/nats.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <csignal>
#include <thread>

#include "cli/arguments.h"
#include "cli/isolate.h"
#include "cli/load.h"
#include "cli/progress.h"
#include "cli/verbs.h"
#include "pipeline/base/clock.h"
#include "pipeline/dead_letters/dead_letter_log.h"
#include "pipeline/dead_letters/dead_letter_schema.h"
#include "pipeline/journal/state_log.h"
#include "pipeline/observe/http_listener.h"
#include "pipeline/observe/log.h"
#include "pipeline/runtime/engine.h"
#include "pipeline/state/calendar.h"

namespace takt {
namespace {

/// After so many starts in a row that were killed before they had made an epoch, a message is thought to kill them.
constexpr std::uint64_t kKilledStarts = 2;

enum class Progress : std::uint8_t { automatic, live, plain, none };

struct RunOptions {
    std::string config;
    std::optional<Duration> limit;
    std::string state;
    std::vector<std::string> drop_state;
    std::optional<Duration> snapshot_interval;
    std::uint32_t lanes = 0;
    std::uint32_t threads = 0;
    Progress progress = Progress::automatic;
    std::string listen;
    std::optional<Duration> health_limit;
    LogFormat log_format = LogFormat::logfmt;
    std::optional<LogLevel> log_level;
};

/// SIGINT and SIGTERM as something to wait for; blocked in every thread that is started later.
class StopSignals {
  public:
    StopSignals() {
        std::signal(SIGPIPE, SIG_IGN);
        sigset_t signals;
        sigemptyset(&signals);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &signals, nullptr);
        descriptor_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        CHECK(descriptor_ >= 0);
    }
    ~StopSignals() { close(descriptor_); }
    int descriptor() const { return descriptor_; }
    /// How many came since the last call.
    int take() {
        signalfd_siginfo info{};
        int count = 0;
        while (read(descriptor_, &info, sizeof info) == sizeof info) ++count;
        return count;
    }

  private:
    int descriptor_ = -1;
};

/// Runs the engine on a thread of its own and says on a descriptor when it is done.
class EngineThread {
  public:
    explicit EngineThread(Engine& engine) : done_(eventfd(0, EFD_CLOEXEC)) {
        CHECK(done_ >= 0);
        thread_ = std::thread([this, &engine] {
            status_ = engine.run();
            const std::uint64_t one = 1;
            CHECK(write(done_, &one, sizeof one) == sizeof one);
        });
    }
    ~EngineThread() {
        if (thread_.joinable()) thread_.join();
        close(done_);
    }
    int descriptor() const { return done_; }
    Status join() {
        thread_.join();
        return status_;
    }

  private:
    int done_ = -1;
    Status status_;
    std::thread thread_;
};

/// Shows progress on stderr: stdout belongs to sinks.
class ProgressView {
  public:
    explicit ProgressView(Progress mode) : mode_(mode) {}

    void show(const EngineStatus& now) {
        if (mode_ == Progress::live) draw(render_live(now, before_, system_clock().wall(), width()));
        if (mode_ == Progress::plain) fmt::print(stderr, "{}\n", render_plain(now, before_));
        std::fflush(stderr);
        before_ = now;
    }

  private:
    static std::size_t width() {
        winsize size{};
        return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 120;
    }
    void draw(const std::vector<std::string>& lines) {
        std::string text = drawn_ == 0 ? "" : fmt::format("\x1b[{}A\r\x1b[J", drawn_);
        for (const std::string& line : lines) text += line + "\n";
        drawn_ = lines.size();
        fmt::print(stderr, "{}", text);
    }

    Progress mode_;
    std::size_t drawn_ = 0;  // lines that the next ones replace
    EngineStatus before_;
};

/// "127.0.0.1:9090", ":9090" and "9090" are on loopback unless a host is said.
std::optional<HttpListener::Options> parse_listen(const std::string& text) {
    HttpListener::Options options;
    const std::size_t colon = text.rfind(':');
    std::string_view port = text;
    if (colon != std::string::npos) {
        port.remove_prefix(colon + 1);
        if (colon > 0) options.host = text.substr(0, colon);
    }
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), options.port);
    if (port.empty() || error != std::errc{} || end != port.data() + port.size()) return std::nullopt;
    return options;
}

/// The commands that look into the ledgers that were written.
std::string ledger_commands(const LoadedPipeline& loaded, const std::string& program) {
    std::string text;
    for (const PlannedLedger& ledger : ledgers_of(loaded))
        text += fmt::format("\nlook into the ledger:\n  {} ledger {} totals\n", program, ledger.path);
    return text;
}

/// Waits for the engine's end; meanwhile shows progress and passes on what stops it.
Status watch(Engine& engine, StopSignals& signals, const RunOptions& options, ProgressView& view) {
    EngineThread thread(engine);
    const Timestamp started = system_clock().monotonic();
    Timestamp deadline = options.limit ? saturating_add(started, *options.limit) : kEndOfTime;
    Timestamp next_show = started + kSecond;
    pollfd waited[2] = {{thread.descriptor(), POLLIN, 0}, {signals.descriptor(), POLLIN, 0}};
    while (true) {
        const Timestamp wake = std::min(deadline, next_show);
        const Duration wait = std::max<Duration>(0, wake - system_clock().monotonic());
        poll(waited, 2, static_cast<int>(wait / kMillisecond) + 1);
        if (waited[0].revents != 0) return thread.join();
        for (int count = signals.take(); count > 0; --count) engine.request_stop();
        const Timestamp now = system_clock().monotonic();
        if (now >= deadline) {
            engine.request_stop();
            deadline = kEndOfTime;
        }
        if (now >= next_show) {
            view.show(engine.status());
            next_show = now + kSecond;
        }
    }
}

/// The state directory as the engine's log. Sinks must take a posting that comes again for the same one, and keep what
/// they took: a file that is complete only at the end of a run does not, nor do subjects of core NATS.
Result<std::unique_ptr<StateLog>> open_state(const RunOptions& run, const Plan& plan, const Invocation& invocation) {
    for (const SinkPlan& sink : plan.sinks) {
        if (sink.keeps_after_crash) continue;
        return Error{"C633", fmt::format("sink '{}' ({}) does not know after a crash what it took; with --state use "
                                         "one that does, such as sqlite or jetstream",
                                         sink.name, sink.connector)};
    }
    StateLog::Options options;
    options.engine_version = invocation.version;
    options.tzdb_version = TimeZone::rules_version();
    options.drop_state = {run.drop_state.begin(), run.drop_state.end()};
    return StateLog::open(real_disk(), run.state, plan, options);
}

Result<std::unique_ptr<DeadLetterLog>> open_dead_letters(StateLog& log, const std::string& path, const Plan& plan,
                                                         const Invocation& invocation) {
    DeadLetterLog::Options options;
    options.incarnation = log.incarnation();
    options.origin = {invocation.version, plan.config_hash};
    return DeadLetterLog::open(log, dead_letter_path(path), plan, options);
}

int run(RunOptions options, const Invocation& invocation) {
    if (options.progress == Progress::automatic) {
        options.progress = isatty(STDERR_FILENO) != 0 ? Progress::live : Progress::plain;
    }
    // Log lines would tear a live view apart, unless something is wrong.
    const LogLevel usual = options.progress == Progress::live ? LogLevel::error : LogLevel::warning;
    configure_log(options.log_format, options.log_level.value_or(usual));
    std::optional<HttpListener::Options> listen;
    if (!options.listen.empty() && !(listen = parse_listen(options.listen))) {
        fmt::print(stderr, "takt: --listen wants HOST:PORT, not '{}'\n", options.listen);
        return kExitMistake;
    }
    if (listen && options.health_limit) listen->health_limit = *options.health_limit;
    StopSignals signals;
    PlanOverrides overrides;
    std::string config_before;  ///< hash, of the newest snapshot
    if (!options.state.empty()) {
        auto kept = SnapshotStore::look(real_disk(), snapshot_folder(options.state));
        if (!kept) return fail(kept.error());
        if (*kept) {
            overrides.outcomes = std::move((*kept)->state.outcomes);
            config_before = std::move((*kept)->origin.config_hash);
        }
    }
    const auto loaded = load_pipeline(options.config, whole_catalog(), overrides);
    if (!loaded) return kExitMistake;

    Engine::Options engine_options;
    engine_options.lanes = options.lanes;
    engine_options.threads = options.threads;
    std::unique_ptr<StateLog> state;
    std::unique_ptr<DeadLetterLog> dead_letters;
    if (!options.state.empty()) {
        auto opened = open_state(options, *loaded->planned.plan, invocation);
        if (!opened) return fail(opened.error());
        state = std::move(*opened);
        // Before any thread: it forks. Another config may be the remedy; and to take over the state under it writes.
        const bool same_config = config_before.empty() || config_before == loaded->planned.plan->config_hash;
        if (state->killed_starts() >= kKilledStarts && same_config) {
            (void)isolate(*loaded->planned.plan,
                          {[&] { return state->recover(); },
                           [&](const QuarantinedMessage& message) { return state->quarantine(message); }});
        }
        auto with_letters = open_dead_letters(*state, options.state, *loaded->planned.plan, invocation);
        if (!with_letters) return fail(with_letters.error());
        dead_letters = std::move(*with_letters);
        engine_options.log = dead_letters.get();
    }
    nats_Open(-1);  // before any thread that makes a message
    if (options.snapshot_interval) engine_options.snapshot_interval = *options.snapshot_interval;
    Engine engine(*loaded->planned.plan, engine_options);
    std::unique_ptr<HttpListener> listener;
    if (listen) {
        auto made = HttpListener::start(*listen, [&engine] { return engine.status(); });
        if (!made) return fail(made.error());
        listener = std::move(*made);
        fmt::print(stderr, "metrics at http://{}:{}/metrics, health at /healthz\n", listen->host, listener->port());
    }
    ProgressView view(options.progress);
    const Status ended = watch(engine, signals, options, view);
    const EngineStatus last = engine.status();
    if (options.progress == Progress::live) view.show(last);
    if (options.progress != Progress::none) {
        fmt::print(stderr, "\n{}{}", render_summary(last), ledger_commands(*loaded, invocation.program));
    }
    return ended ? kExitOk : fail(ended.error());
}

}  // namespace

void add_run(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("run", "Run a pipeline until its input ends or Ctrl-C.");
    verb->footer(
        "Progress and the closing summary go to stderr: stdout belongs to sinks. SIGINT or SIGTERM ends the input; "
        "what\n"
        "was read is posted and the exit code is 0. Windows stay open then; they close when bounded input (files) is "
        "at\n"
        "its end. A second signal ends at once.");
    const auto options = std::make_shared<RunOptions>();  // shared by the verb's callbacks, which CLI11 copies
    verb->add_option("config", options->config, "the pipeline")->required()->type_name("CONFIG");
    add_duration(*verb, "--for", options->limit, "end after this time, as on SIGTERM");
    verb->add_option("--state", options->state,
                     "keep what survives a crash here, and go on from there: each epoch is durable before it is posted")
        ->type_name("FOLDER");
    verb->add_option("--drop-state", options->drop_state,
                     "with --state and a changed config: the state of this uid may go; see `takt plan`")
        ->type_name("UID");
    add_duration(
        *verb, "--snapshot-interval", options->snapshot_interval,
        "between two snapshots of the state, with --state; 30s; longer where one takes more than a tenth of it");
    verb->add_option("--lanes", options->lanes,
                     "owners of keys side by side; 0: as the config says, else as many as cores")
        ->check(CLI::Range(0, 128));
    verb->add_option("--threads", options->threads, "threads that work; 0: as many as cores")
        ->check(CLI::Range(0, 256));
    verb->add_option("--progress", options->progress, "auto: live on a terminal, else plain (a line each second)")
        ->transform(CLI::CheckedTransformer(std::map<std::string, Progress>{{"auto", Progress::automatic},
                                                                            {"live", Progress::live},
                                                                            {"plain", Progress::plain},
                                                                            {"none", Progress::none}})
                        .description(""))
        ->type_name("auto|live|plain|none");
    verb->add_option("--listen", options->listen, "serve /metrics and /healthz here; port 0: any free one")
        ->type_name("HOST:PORT");
    add_duration(*verb, "--health-limit", options->health_limit,
                 "how long anything may wait without progress before /healthz says no; 1m");
    verb->add_option("--log-format", options->log_format, "of the log on stderr")
        ->transform(CLI::CheckedTransformer(
                        std::map<std::string, LogFormat>{{"logfmt", LogFormat::logfmt}, {"json", LogFormat::json}})
                        .description(""))
        ->type_name("logfmt|json");
    verb->add_option_function<std::string>(
            "--log-level",
            [options](const std::string& text) {
                options->log_level = parse_log_level(text);
                if (!options->log_level) throw CLI::ValidationError("--log-level", "no level '" + text + "'");
            },
            "warning by default, error where progress is live")
        ->type_name("debug|info|warning|error");
    verb->callback([options, &invocation] { invocation.exit_code = run(*options, invocation); });
}

}  // namespace takt
