#include "cli/isolate.h"

#include <fmt/format.h>
#include <nats/nats.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <string>
#include <utility>

#include "cli/reread.h"
#include "pipeline/observe/log.h"
#include "pipeline/runtime/core.h"

namespace takt {
namespace {

using Blocks = std::vector<std::shared_ptr<const MessageBlock>>;

/// So many sequences of a source are looked at; an epoch rarely has more.
constexpr std::uint64_t kMostSequences = 65'536;
/// So many are taken out in one search: a program that dies of more has another fault.
constexpr std::size_t kMostFound = 16;
/// A process that takes longer is not dying.
constexpr unsigned kPatienceSeconds = 120;

enum class Fate : std::uint8_t {
    well,
    died,
    unknown,  ///< it could not do what it should
};

struct Trial {
    Fate fate = Fate::unknown;
    std::uint64_t begin = 0;  ///< the source's cut in the log's last epoch
    std::uint64_t last = 0;   ///< sequence of the last message that it was given; `begin` where it was none
};

/// The messages of the range that are not quarantined.
Result<Blocks> messages_of(const SourcePlan& source, const SequenceRange& range,
                           const std::vector<QuarantinedMessage>& quarantined) {
    Blocks blocks;
    if (range.first > range.last) return blocks;
    const auto read = reread(source, range, quarantined, [&](auto block) { blocks.push_back(std::move(block)); });
    if (!read) return read.error();
    return blocks;
}

/// In a process of its own: the log's state with its newest tables, what its last epochs read, and then the next
/// `sequences` of one source. Ends with 0 where all went well.
[[noreturn]] void try_messages(const Plan& plan, const IsolationLog& log, std::uint32_t source, std::uint64_t sequences,
                               int report, pid_t parent) {
    // Not a moment longer than the parent: it shares the lock of the state directory.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    const rlimit none{0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    alarm(kPatienceSeconds);
    nats_Open(-1);
    const auto give_up = [](const Error& error) {
        takt::log(LogLevel::warning, "a trial could not read", {{"error", error.text()}});
        _exit(1);
    };
    Result<EpochLog::Past> past = log.recover();
    if (!past) give_up(past.error());
    Core core(plan, Core::Options{}, [](EpochResult&&) {});
    std::vector<SourceCut> begin(plan.sources.size());
    if (past->state) {
        begin = past->state->cuts;
        if (Status loaded = core.load(*past->state); !loaded) give_up(loaded.error());
    }
    for (const EpochResult& epoch : past->epochs) {
        CutOptions tables{.tables = epoch.cut.tables};
        const bool is_before = past->state && epoch.epoch <= past->state->epoch;
        if (is_before || tables.tables.empty()) continue;
        if (Status completed = core.complete_tables(tables); !completed) give_up(completed.error());
        core.cut(std::move(tables));
    }
    const std::vector<SourceCut>& end = past->epochs.empty() ? begin : past->epochs.back().cuts;
    std::vector<std::pair<std::uint32_t, Blocks>> known;
    for (const SourcePlan& other : plan.sources) {
        if (!other.can_read_again) continue;
        const SequenceRange range{begin[other.index].last_sequence + 1, end[other.index].last_sequence};
        Result<Blocks> blocks = messages_of(other, range, past->quarantine);
        if (!blocks) give_up(blocks.error());
        known.emplace_back(other.index, std::move(*blocks));
    }
    const std::uint64_t cut = end[source].last_sequence;
    Result<Blocks> more = messages_of(plan.sources[source], {cut + 1, cut + sequences}, past->quarantine);
    if (!more) give_up(more.error());
    const Trial trial{Fate::unknown, cut, more->empty() ? cut : more->back()->messages.back().sequence};
    if (write(report, &trial, sizeof trial) != sizeof trial) _exit(1);
    for (auto& [index, blocks] : known) {
        for (auto& block : blocks) core.feed(index, std::move(block));
    }
    for (auto& block : *more) core.feed(source, std::move(block));
    core.cut({});
    core.drain();
    _exit(0);
}

bool is_own_fault(int signal) {
    constexpr int kFaults[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    return std::find(std::begin(kFaults), std::end(kFaults), signal) != std::end(kFaults);
}

Trial run_trial(const Plan& plan, const IsolationLog& log, std::uint32_t source, std::uint64_t sequences) {
    int ends[2];
    if (pipe(ends) != 0) return {};
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        try_messages(plan, log, source, sequences, ends[1], parent);
    }
    close(ends[1]);
    Trial trial;
    const bool reported = child > 0 && read(ends[0], &trial, sizeof trial) == sizeof trial;
    close(ends[0]);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !reported) return {};
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) trial.fate = Fate::well;
    if (WIFSIGNALED(status) && is_own_fault(WTERMSIG(status))) trial.fate = Fate::died;
    return trial;
}

/// The first message of a source that kills; nothing where none does, or where it cannot be found.
std::optional<QuarantinedMessage> find_killer(const Plan& plan, const IsolationLog& log, std::uint32_t source) {
    Trial died = run_trial(plan, log, source, kMostSequences);
    if (died.fate != Fate::died) return std::nullopt;
    if (run_trial(plan, log, source, 0).fate != Fate::well) {
        takt::log(LogLevel::error, "the process dies without a new message: no message can be taken out",
                  {{"pipeline", plan.pipeline}});
        return std::nullopt;
    }
    std::uint64_t well = died.begin;
    while (died.last > well + 1) {
        const std::uint64_t middle = well + (died.last - well) / 2;
        const Trial half = run_trial(plan, log, source, middle - died.begin);
        if (half.fate == Fate::unknown) return std::nullopt;
        if (half.fate == Fate::died) {
            died = half;
        } else {
            well = middle;
        }
    }
    const Trial again = run_trial(plan, log, source, died.last - died.begin);
    if (again.fate != Fate::died || again.last != died.last) return std::nullopt;
    return QuarantinedMessage{source, died.last};
}

}  // namespace

std::vector<QuarantinedMessage> isolate(const Plan& plan, const IsolationLog& log) {
    std::vector<QuarantinedMessage> found;
    for (const SourcePlan& source : plan.sources) {
        if (!source.can_read_again) continue;
        while (found.size() < kMostFound) {
            const auto killer = find_killer(plan, log, source.index);
            if (!killer) break;
            takt::log(LogLevel::error,
                      "a message kills the process that reads it: from now on it is a dead letter CRASH",
                      {{"source", source.name}, {"sequence", std::to_string(killer->sequence)}});
            if (const Status kept = log.quarantine(*killer); !kept) {
                takt::log(LogLevel::error, "it could not be kept", {{"error", kept.error().text()}});
                return found;
            }
            found.push_back(*killer);
        }
    }
    return found;
}

}  // namespace takt
