#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "pipeline/base/clock.h"
#include "pipeline/journal/crash_point.h"
#include "pipeline/journal/disk.h"
#include "pipeline/plan/delivery.h"
#include "pipeline/plan/epoch_log.h"
#include "pipeline/plan/sink.h"
#include "pipeline/plan/source.h"
#include "tests/simulation/prices.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/workload.h"
#include "tests/support/simulated_disk.h"

namespace takt::simulation {

/// How a life of the daemon ends before its input does.
enum class Death : std::uint8_t {
    none,
    kill,       ///< the process is gone, the machine goes on
    power_cut,  ///< what was not synchronized may be lost
};

/// What may go wrong in one life. Chances are 1 in N, 0: never.
struct Faults {
    Death death = Death::none;
    std::uint64_t dies_at = 0;  ///< in place of this step of the world, from 1
    std::uint64_t sync_fails = 0;
    std::uint64_t write_has_no_room = 0;
    std::uint64_t write_fails = 0;
    std::uint64_t name_fails = 0;  ///< create, rename, unlink, synchronize a folder
    std::uint64_t read_fails = 0;  ///< read or open what is there, list a folder
    std::uint64_t sink_fails = 0;
    std::uint64_t sink_unknown = 0;
    std::uint64_t sink_stays_unknown = 0;  ///< postings that have no answer in this life, however often they are sent
    std::uint64_t sink_does_not_open = 0;
    std::uint64_t source_disconnects = 0;
    std::uint64_t source_does_not_open = 0;
    Duration slow_sink = 0;  ///< a delivery takes up to so long
    bool small_disk = false;
};

/// What a server holds in place of a stream, until its operator restores that.
struct Lost {
    enum Kind : std::uint8_t {
        tail,       ///< its last messages are gone
        replaced,   ///< and others have their sequences
        head,       ///< its first messages are gone
        made_new,   ///< it is another stream with the same messages
        rewritten,  ///< one message is another one; nobody sees it who does not read it again
    } kind = tail;
    Stream stream;
    bool shows = true;  ///< a message with an anchor is not there any more, or another one
};

/// What happened in all lives of all seeds, for the closing line.
struct Tally {
    std::uint64_t seeds = 0;
    std::uint64_t lives = 0;
    std::uint64_t crashes = 0;
    std::uint64_t faults = 0;
    std::uint64_t violations = 0;
    Duration simulated = 0;
    std::set<CrashPoint> points;
};

/// What a sink has against postings, for good: their keys decide. Chances are 1 in N, 0: never.
struct Objections {
    std::uint64_t seed = 0;
    std::uint64_t refuses = 0;
    std::uint64_t parks = 0;
    std::uint64_t hesitates = 0;  ///< says some times that it does not know, before it says anything else
};

constexpr std::uint64_t kNotDurable = UINT64_MAX;

/// One of the world's ledgers: keeps what took effect, whatever becomes of the daemon.
struct Ledger {
    std::string sink;  ///< its name in the config
    Objections objections;
    std::vector<Posting> postings;  ///< in the order of their effect
    std::map<std::string, std::size_t> by_key;
    std::map<std::string, std::pair<Posting, Sink::State>> denied;  ///< by key: was told to be refused or parked
    std::map<std::string, std::uint64_t> hesitations;               ///< by key: how often it did not know
    /// By key: what a durable frame says to be refused or parked. None of them may be sent again without an order.
    std::map<std::string, DeliveryState> held;
    /// Keys that orders let go, and what was made before and waited behind them; with the epoch that has the order,
    /// kNotDurable as long as none has it.
    std::map<std::string, std::uint64_t> ordered;
    std::set<std::string> pardoned;         ///< keys that it takes now, whatever it has against them
    std::map<std::string, Posting> closed;  ///< by key: was ordered to be closed
    std::vector<Posting> waits;  ///< at the end, as the journal has it: refused, parked, and what corrects that
    std::map<std::tuple<std::string, std::uint64_t, std::uint32_t>, DeadLetter> dead_letters;
    std::map<std::tuple<std::string, std::uint64_t, std::uint32_t>, DeadLetter>
        refused_again;                                                    ///< the last: which retry
    std::map<std::pair<std::string, std::string>, std::uint64_t> totals;  ///< by outcome and rule
    std::uint64_t repeats = 0;
};

/// A dead letter that a person sends through the pipeline once more.
struct Retry {
    DeadLetterReplay order;
    Event event;  ///< as it is sent
    bool malformed = false;
    std::uint64_t epoch = 0;  ///< the durable one that took it; 0: none yet
    bool accepted = false;    ///< as that one says
};
/// Source, sequence, which retry.
using RetryPlace = std::tuple<std::uint32_t, std::uint64_t, std::uint32_t>;

/// What an epoch was made of, as the log was given it or gave it back: input of the oracle.
struct Cut {
    std::uint64_t last_sequence[kSources] = {};
    std::uint64_t anchor_sequence[kSources] = {};
    std::vector<std::pair<std::uint64_t, Timestamp>> ingest_times[kSources];
    std::vector<std::uint32_t> idle;
    std::vector<std::uint32_t> ended;
    bool flush = false;
    std::vector<TableVersion> tables;  ///< without their content
    std::vector<RetryPlace> retries;
    bool operator==(const Cut&) const = default;
};

/// Everything outside the daemon: disk, streams, ledgers, and who is alive. Each thing that the daemon does to it is a
/// step: time passes, other threads go on, and the daemon may die in place of it. A dead daemon changes nothing.
class World {
  public:
    World(std::uint64_t seed, Scheduler& scheduler, Tally& tally);

    /// False: the daemon is dead, nothing may happen.
    bool step(Duration longest = kMillisecond);
    /// The process ends itself.
    void abort_process() { die(Death::kill); }
    /// 1 in N; counted as a fault when it hits.
    bool fault(std::uint64_t n);
    /// A promise is broken; the first one is kept.
    void violation(const std::string& what);

    void begin_life(const Faults& of_this_life);
    /// What the disk holds when the next life begins.
    void end_life();

    bool alive() const { return alive_; }
    std::uint64_t steps() const { return steps_; }
    /// Whether an error that the disk gave explains that the daemon ended itself.
    bool disk_failed() const { return disk_failed_; }
    void disk_has_failed() { disk_failed_ = true; }
    bool read_failed() const { return read_failed_; }
    void read_has_failed() { disk_failed_ = read_failed_ = true; }
    const std::string& broken() const { return broken_; }
    const Faults& faults() const { return faults_; }

    std::unique_ptr<Source> make_source(std::uint32_t index);
    std::unique_ptr<Sink> make_sink(std::size_t index);

    Scheduler& scheduler;
    Clock* clock = nullptr;  ///< of the machine in this life
    Tally& tally;
    Chance chance;
    SimulatedDisk disk;
    std::vector<Stream> streams;
    std::vector<PriceChange> prices;
    std::optional<Lost> lost[kSources];
    const Stream& served(std::uint32_t source) const { return lost[source] ? lost[source]->stream : streams[source]; }
    /// The error with which a source has refused to open in this life because its stream is not what was read; empty:
    /// none.
    std::string halt;
    bool own_clock[kSources] = {};   ///< the source has no server that keeps the time
    Timestamp whole_life_began = 0;  ///< of the last one that came to the end of its input
    Ledger ledgers[2];
    std::map<std::string, std::uint64_t> followed;  ///< by an order's file: the durable epoch that has it
    std::map<RetryPlace, Retry> retries;
    bool people_retry = false;  ///< in this life
    /// People look at the dead letters that have reached their ledger, and send some again, corrected or as they are.
    void order_retries();
    struct Made {
        std::string previous_key;
        std::uint64_t epoch = 0;
    };
    std::map<std::string, Made> made;      ///< postings by key
    std::map<std::uint64_t, Cut> history;  ///< by epoch
    std::uint64_t durable = 0;             ///< the newest epoch that the log has said to be durable
    /// A source has told its reader: up to where it has read, and whether it said that nothing more is there.
    void tell(std::uint32_t source, bool idle, std::uint64_t last_sequence);
    /// Whether it said so without break for `least` in this life, when all that it had told was up to this cut.
    bool was_idle(std::uint32_t source, std::uint64_t cut, Duration least) const;
    Condition changed;  ///< somebody died

  private:
    void die(Death death);
    void correct(Retry& retry, const std::string& reason);

    Chance people_;
    std::uint64_t retries_one_in_ = 0;  ///< looks; 0: never
    Faults faults_;
    bool alive_ = true;
    Death died_by_ = Death::none;
    bool disk_failed_ = false;
    bool read_failed_ = false;
    std::uint64_t steps_ = 0;
    std::string broken_;
    struct IdlePeriod {
        Timestamp since = 0;
        std::optional<Timestamp> until = {};
        std::uint64_t last_sequence = 0;
    };
    std::vector<IdlePeriod> idle_periods_[kSources];  ///< of this life
    std::set<std::uint64_t> told_[kSources];          ///< sequences up to which it had read
};

/// To a server of the world. It is lost now and then, for some time.
class Connection {
  public:
    explicit Connection(World& world) : world_(world) {}
    bool lost();

  private:
    World& world_;
    Timestamp back_at_ = 0;
};

/// The world's disk as a daemon sees it: it fails, is full, or stops with its process.
class FaultyDisk final : public Disk {
  public:
    explicit FaultyDisk(World& world) : world_(world) {}
    std::error_code open(const std::string& path, Open how, std::unique_ptr<File>& file) override;
    std::error_code rename(const std::string& from, const std::string& to) override;
    std::error_code unlink(const std::string& path) override;
    std::error_code make_directory(const std::string& path) override;
    std::error_code sync_directory(const std::string& path) override;
    std::error_code list(const std::string& path, std::vector<std::string>& names) override;
    std::error_code free_bytes(const std::string& path, std::uint64_t& free) override;

  private:
    bool name_fails();
    bool read_fails();
    World& world_;
};

/// Looks at what the engine tells its log, and at what the log gives back.
class WatchedLog final : public EpochLog {
  public:
    WatchedLog(World& world, EpochLog& log) : world_(world), log_(log) {}
    Result<Past> recover() override;
    Status append(const EpochResult& epoch, const SinkAnswers& answers) override;
    Status snapshot(const EngineState& state, std::uint64_t delivered) override;
    Status end() override;
    std::vector<DeadLetterReplay> take_replays() override;
    std::vector<HoldOrder> take_orders() override {
        return world_.alive() ? log_.take_orders() : std::vector<HoldOrder>();
    }

  private:
    void check_idle(const EpochResult& epoch);
    bool let_go(const Ledger& ledger, const std::string& key) const;
    void note_orders(const EpochResult& durable);
    void check_held(const std::vector<SinkPast>& sinks);
    void check_lost(const EpochResult& epoch);
    void note(const SinkAnswers& answers);
    void note_retries(const EpochResult& durable);
    World& world_;
    EpochLog& log_;
    std::set<RetryPlace> taken_;  ///< retries, in this life
};

/// The world that the daemon lives in; for crash points.
World*& world();

}  // namespace takt::simulation
