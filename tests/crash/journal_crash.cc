// The journal and its snapshots on a real disk in a process that dies by SIGKILL at every crash point: what was said to
// be durable is there, and the next start goes on from it. Compiled with TAKT_FAULTS, unlike what is shipped.
//
//   journal_crash                all crash points, each at its first, second and fourth time
//   journal_crash points         their names
//   journal_crash run FOLDER     goes on with a journal for some epochs; prints each epoch when it is durable
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "pipeline/journal/crash_point.h"
#include "pipeline/journal/journal.h"
#include "pipeline/journal/outbox.h"
#include "pipeline/journal/snapshot_store.h"
#include "pipeline/journal/state_directory.h"
#include "tests/unit/pipeline/journal/journal_folder.h"
#include "tests/unit/pipeline/journal/sample_frame.h"

namespace takt {
namespace {

static_assert(kCrashPointsAreActive);
constexpr std::uint64_t kEpochs = 12;

Frame frame_of(std::uint64_t epoch) {
    return sample::frame_of_size(epoch, epoch * 1709 % 7000);
}

[[noreturn]] void fail(const std::string& why) {
    std::fprintf(stderr, "%s\n", why.c_str());
    std::exit(1);
}

struct Opened {
    StateDirectory state;
    std::unique_ptr<Journal> journal;
    SnapshotStore snapshots;
};

Opened open_state(const std::string& folder) {
    Result<StateDirectory> state = StateDirectory::open(real_disk(), folder, {.pipeline = "plant"});
    if (!state) fail(state.error().text());
    FrameContext context = sample::context();
    context.incarnation = state->incarnation();
    Journal::Options options;
    options.segment_bytes = 16384;
    Result<std::unique_ptr<Journal>> journal =
        Journal::open(real_disk(), state->journal_folder(), std::move(context), options);
    if (!journal) fail(journal.error().text());
    Result<SnapshotStore> snapshots = SnapshotStore::open(real_disk(), snapshot_folder(folder), {.kept = 1});
    if (!snapshots) fail(snapshots.error().text());
    return {std::move(state).value(), std::move(journal).value(), std::move(snapshots).value()};
}

/// What the daemon does from time to time: a snapshot, and what sinks have said is kept; then the frames may go.
void remove_before(Opened& opened, const std::string& folder, std::uint64_t epoch) {
    EngineState state;
    state.epoch = epoch;
    if (Status status = opened.snapshots.write(state, {opened.state.incarnation(), "0.1.0", "config"}); !status)
        fail(status.error().text());
    auto reader = opened.journal->read(opened.journal->first_epoch());
    if (!reader) fail(reader.error().text());
    Outbox outbox;
    while (auto stored = reader->next()) {
        if (!*stored) break;
        outbox.add(**stored);
    }
    if (Status status = outbox.save(real_disk(), outbox_path(folder), sample::context()); !status)
        fail(status.error().text());
    if (Status status = opened.journal->drop_before(epoch); !status) fail(status.error().text());
}

void run(const std::string& folder) {
    Opened opened = open_state(folder);
    Journal& journal = *opened.journal;
    for (std::uint64_t i = 1; i <= kEpochs; ++i) {
        const std::uint64_t epoch = journal.last_epoch() + 1;
        if (Status status = journal.append(frame_of(epoch)); !status) fail(status.error().text());
        std::printf("%llu\n", static_cast<unsigned long long>(epoch));
        std::fflush(stdout);
        if (i % 4 == 0) remove_before(opened, folder, epoch);
    }
}

struct Ended {
    std::uint64_t durable = 0;  // the last epoch that it printed
    bool killed = false;
};

/// `run` in a process of its own, which is to die there.
Ended run_until(const std::string& folder, const std::string& crash_at) {
    int output[2];
    if (::pipe2(output, O_CLOEXEC) != 0) fail("no pipe");
    const pid_t child = ::fork();
    if (child < 0) fail("no process");
    if (child == 0) {
        ::dup2(output[1], STDOUT_FILENO);
        ::setenv("TAKT_CRASH_AT", crash_at.c_str(), 1);
        ::execl("/proc/self/exe", "journal_crash", "run", folder.c_str(), nullptr);
        ::_exit(127);
    }
    ::close(output[1]);
    Ended ended;
    std::FILE* const lines = ::fdopen(output[0], "r");
    unsigned long long epoch = 0;
    while (std::fscanf(lines, "%llu", &epoch) == 1) ended.durable = epoch;
    std::fclose(lines);
    int status = 0;
    ::waitpid(child, &status, 0);
    ended.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!ended.killed && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) fail(crash_at + ": the run failed");
    return ended;
}

/// Reads everything that is there; the last epoch.
std::uint64_t verify(const std::string& folder, const std::string& crash_at, std::uint64_t durable) {
    Opened opened = open_state(folder);
    const Journal& journal = *opened.journal;
    if (journal.last_epoch() < durable || journal.last_epoch() > durable + 1) {
        fail(
            fmt::format("{}: epoch {} was durable, the journal ends with {}", crash_at, durable, journal.last_epoch()));
    }
    auto found = opened.snapshots.load();
    if (!found) fail(found.error().text());
    if (!found->unusable.empty()) fail(fmt::format("{}: {}", crash_at, found->unusable.front().reason));
    const std::uint64_t snapshot = found->newest ? found->newest->state.epoch : 0;
    if (snapshot > journal.last_epoch() || journal.first_epoch() > snapshot + 1) {
        fail(fmt::format("{}: the snapshot is of epoch {}, the journal has {} to {}", crash_at, snapshot,
                         journal.first_epoch(), journal.last_epoch()));
    }
    auto reader = journal.read(journal.first_epoch());
    if (!reader) fail(reader.error().text());
    for (std::uint64_t epoch = journal.first_epoch(); epoch <= journal.last_epoch(); ++epoch) {
        const auto stored = reader->next();
        if (!stored || !*stored) fail(fmt::format("{}: epoch {} cannot be read", crash_at, epoch));
        if (sample::text_of((*stored)->frame) != sample::text_of(frame_of(epoch)))
            fail(fmt::format("{}: epoch {} is another one", crash_at, epoch));
    }
    return journal.last_epoch();
}

void crash_at_every_point() {
    int kills = 0;
    for (int i = 0; i < kCrashPoints; ++i) {
        const auto point = static_cast<CrashPoint>(i);
        for (const int time : {1, 2, 4}) {
            const JournalFolder folder;
            const std::string state = folder / "state";
            std::uint64_t durable = 0;
            if (to_string(point).starts_with("tail_")) {
                // It takes a journal to get there, and a torn frame.
                durable = run_until(state, "frame_half:6").durable;
            }
            const std::string crash_at = fmt::format("{}:{}", to_string(point), time);
            const Ended ended = run_until(state, crash_at);
            durable = std::max(durable, ended.durable);
            if (time == 1 && !ended.killed) fail(crash_at + " was not reached");
            kills += ended.killed ? 1 : 0;
            durable = verify(state, crash_at, durable);
            const Ended next = run_until(state, "");
            if (next.killed || next.durable != durable + kEpochs) fail(crash_at + ": it does not go on");
            verify(state, crash_at, next.durable);
        }
    }
    std::printf("%d crash points, %d kills\n", kCrashPoints, kills);
}

}  // namespace
}  // namespace takt

int main(int count, char** arguments) {
    if (count == 3 && std::string(arguments[1]) == "run") {
        takt::run(arguments[2]);
    } else if (count == 2 && std::string(arguments[1]) == "points") {
        for (int i = 0; i < takt::kCrashPoints; ++i) fmt::print("{}\n", to_string(static_cast<takt::CrashPoint>(i)));
    } else if (count == 1) {
        takt::crash_at_every_point();
    } else {
        takt::fail("usage: journal_crash [points | run FOLDER]");
    }
    return 0;
}
