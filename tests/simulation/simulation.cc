// The real engine, journal, snapshots and recovery on a virtual clock in one thread, with sources, sinks and a disk
// that fail in every way that a seed can think of. See tests/simulation/run.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "pipeline/journal/hold_orders.h"
#include "pipeline/journal/outbox.h"
#include "pipeline/journal/state_log.h"
#include "pipeline/observe/log.h"
#include "pipeline/runtime/engine.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/world.h"

namespace takt::simulation {
namespace {

constexpr Timestamp kStart = 1'770'000'000 * kSecond;
constexpr const char* kState = "state";

/// The machine's clocks in one life: nobody may rely on what they said in another one, or on a wall clock that somebody
/// sets, forth and back, every few minutes.
class LifeClock final : public Clock {
  public:
    explicit LifeClock(Chance& chance)
        : skew_(chance.one_in(4) ? chance.between(-kDay, kDay) : 0),
          booted_(chance.between(0, 30 * kDay)),
          steps_(chance.one_in(4) ? chance.of({kSecond, kMinute, kHour, kDay}) : 0) {}
    Timestamp wall() const override { return scheduler().now() + skew_ + step(); }
    Timestamp monotonic() const override { return scheduler().now() - kStart + booted_; }

  private:
    static constexpr Duration kSteady = 97 * kSecond;

    Duration step() const {
        if (steps_ == 0) return 0;
        const std::uint64_t drawn = hash64(fmt::format("{}", scheduler().now() / kSteady)) % 3;
        return (static_cast<Duration>(drawn) - 1) * steps_;
    }

    Duration skew_;
    Duration booted_;
    Duration steps_;  ///< how far it is set
};

class Simulation {
  public:
    Simulation(std::uint64_t seed, Plan& plan, Tally& tally, bool verbose)
        : chance_(seed),
          scheduler_(chance_(), kStart),
          world_(chance_(), scheduler_, tally),
          plan_(plan),
          verbose_(verbose) {
        world_.streams = make_streams(chance_, kStart);
        for (bool& own : world_.own_clock) own = chance_.one_in(3);
        for (std::uint32_t i = 0; i < plan_.sources.size(); ++i)
            plan_.sources[i].make = [this, i]() -> Result<std::unique_ptr<Source>> { return world_.make_source(i); };
        for (std::size_t i = 0; i < plan_.sinks.size(); ++i) {
            world_.ledgers[i].sink = plan_.sinks[i].name;
            world_.ledgers[i].objections = draw_objections();
            plan_.sinks[i].make = [this, i]() -> Result<std::unique_ptr<Sink>> { return world_.make_sink(i); };
            Timestamp end = kStart;
            for (const Stream& stream : world_.streams) {
                if (!stream.empty()) end = std::max(end, stream.back().published);
            }
            world_.prices = make_prices(chance_, kStart, end - kStart + kSecond);
            plan_.tables[0].make = [this]() -> Result<std::unique_ptr<TableFeed>> { return make_price_feed(world_); };
            plan_.tables[0].handle->current = TableBuilder(plan_.tables[0].handle->current->spec()).build().value();
        }
    }

    /// What is wrong; nothing where all is well.
    std::string run() {
        std::string wrong = scheduler_.run([this] { live(); });
        if (wrong.empty()) wrong = world_.broken();
        world_.tally.simulated += scheduler_.now() - kStart;
        return wrong;
    }

  private:
    void live() {
        bool finished = false;
        world_.people_retry = true;
        for (std::uint64_t lives = chance_.below(7); lives > 0 && !finished && good(); --lives) {
            const Faults faults = draw_faults();
            const Timestamp latest = faults.sink_stays_unknown > 0 ? scheduler_.now() + 10 * kMinute : kEndOfTime;
            finished = live_once(faults, std::min(draw_stop(), latest));
            if (chance_.one_in(3)) damage_snapshot();
            scheduler_.sleep(chance_.between(0, chance_.one_in(4) ? 20 * kMinute : 20 * kSecond));
            if (chance_.one_in(6)) lose_unread();
            if (!finished && chance_.one_in(4)) end_holds();
            if (good() && !finished && chance_.one_in(5)) live_with_loss();
        }
        world_.people_retry = false;
        // The world is healed: now all must come to its end, and another start must change nothing.
        for (int lives = 0; lives < 2 && !finished && good(); ++lives) finished = live_once({}, kEndOfTime);
        if (good() && !finished) world_.violation("nothing fails any more, and it does not come to its end");
        if (good() && (orders_wait() || retries_wait())) live_once({}, kEndOfTime);
        if (good() && retries_wait()) world_.violation("a retry was ordered, and no epoch has it");
        check();
        if (good() && chance_.one_in(4)) {
            if (chance_.one_in(2)) end_holds();
            live_once({}, kEndOfTime);
            check();
        }
        if (good() && chance_.one_in(4) && damage_journal()) {
            damaged_journal_ = true;
            live_once({}, kEndOfTime);
            check();
        }
    }

    bool good() const { return world_.broken().empty(); }

    /// The last life could not read them, or did not come so far.
    bool orders_wait() {
        std::vector<std::string> names;
        if (world_.disk.list(fmt::format("{}/orders", kState), names)) return false;
        return std::any_of(names.begin(), names.end(),
                           [](const std::string& name) { return name.ends_with(".order"); });
    }

    bool retries_wait() const {
        return std::any_of(world_.retries.begin(), world_.retries.end(),
                           [](const auto& retry) { return retry.second.epoch == 0; });
    }

    /// A person looks at what the sinks have refused and parked, has them take some of it after all, and orders
    /// all of it to be sent again, but for something that is closed. Not while an earlier order waits.
    void end_holds() {
        if (orders_wait()) return;
        const Result<std::vector<SinkOutbox>> sinks = read_outbox(world_.disk, kState);
        if (!sinks) return;  // the disk has not got so far, or lost it
        // What a frame says that nobody has called durable may be gone at the next start, and so may what people go by.
        for (const Ledger& ledger : world_.ledgers) {
            for (const SinkOutbox& sink : *sinks) {
                if (sink.sink == ledger.sink &&
                    std::any_of(sink.held.begin(), sink.held.end(), [&](const SinkOutbox::Entry& entry) {
                        return !ledger.held.contains(entry.posting->key);
                    }))
                    return;
            }
        }
        std::vector<HoldOrder> orders;
        for (Ledger& ledger : world_.ledgers) {
            for (const SinkOutbox& sink : *sinks) {
                if (sink.sink != ledger.sink) continue;
                for (const SinkOutbox::Entry& entry : sink.held) {
                    ledger.ordered[entry.posting->key] = kNotDurable;
                    if (chance_.one_in(2)) ledger.pardoned.insert(entry.posting->key);
                    if (entry.last.reason != kEarlierRevision) orders.push_back(order_about(ledger, entry));
                }
            }
        }
        if (orders.empty()) return;
        world_.disk.set_capacity(UINT64_MAX);
        if (Status written = write_hold_orders(world_.disk, kState, orders); !written)
            world_.violation(fmt::format("orders cannot be written: {}", written.error().text()));
        ++world_.tally.faults;
    }

    HoldOrder order_about(Ledger& ledger, const SinkOutbox::Entry& entry) {
        HoldOrder order;
        order.sink = ledger.sink;
        order.key = entry.posting->key;
        order.who = "anna";
        order.why = "it is time";
        if (!chance_.one_in(3)) return order;
        order.action = HoldOrder::Action::close;
        ledger.closed.emplace(order.key, *entry.posting);
        ledger.denied.erase(order.key);
        return order;
    }

    void check() {
        if (!good()) return;
        if (std::string wrong = check_books(world_, kState, damaged_journal_); !wrong.empty())
            return world_.violation(wrong);
        if (std::string wrong = check_sums(world_); !wrong.empty()) return world_.violation(wrong);
        if (std::string wrong = check_rules(world_); !wrong.empty()) return world_.violation(wrong);
    }

    Faults draw_faults() {
        const auto chance_of = [this](std::uint64_t n) { return chance_.one_in(3) ? n : 0; };
        Faults faults;
        faults.death = chance_.of({Death::none, Death::kill, Death::kill, Death::power_cut, Death::power_cut});
        faults.dies_at = 1 + chance_.below(chance_.of({40, 300, 3000}));
        faults.sync_fails = chance_.one_in(6) ? 100 : 0;
        faults.write_has_no_room = chance_.one_in(4) ? 20 : 0;
        faults.write_fails = chance_.one_in(8) ? 100 : 0;
        faults.name_fails = chance_.one_in(8) ? 100 : 0;
        faults.read_fails = chance_.one_in(6) ? chance_.of({30, 60, 120}) : 0;
        faults.sink_fails = chance_of(3);
        faults.sink_unknown = chance_of(4);
        faults.sink_stays_unknown = chance_.one_in(8) ? 10 : 0;
        faults.sink_does_not_open = chance_of(2);
        faults.source_disconnects = chance_of(30);
        faults.source_does_not_open = chance_of(2);
        faults.slow_sink = chance_.one_in(4) ? 20 * kSecond : 0;
        faults.small_disk = chance_.one_in(8);
        if (faults.death == Death::none) faults.dies_at = 0;
        return faults;
    }

    Objections draw_objections() {
        Objections objections;
        objections.seed = chance_();
        objections.refuses = chance_.one_in(4) ? chance_.of({4, 30, 100}) : 0;
        objections.parks = chance_.one_in(6) ? chance_.of({10, 50}) : 0;
        objections.hesitates = chance_.one_in(4) ? chance_.of({3, 30}) : 0;
        return objections;
    }

    Timestamp draw_stop() {
        return chance_.one_in(4) ? kEndOfTime : scheduler_.now() + chance_.between(0, 10 * kMinute);
    }

    Engine::Options draw_options(Clock& clock, EpochLog& log) {
        Engine::Options options;
        options.lanes = static_cast<std::uint32_t>(1 + chance_.below(5));
        options.threads = 1;
        options.read.wait = chance_.of({kSecond / 2, kSecond, 5 * kSecond});
        options.read.messages = 1 + chance_.below(40);
        options.source_queue_bytes = chance_.of({200u, 2'000u, 1u << 20});
        options.sink_queue_epochs = 1 + chance_.below(8);
        options.drain_limit = chance_.of({kSecond, 30 * kSecond});
        options.snapshot_interval = chance_.of({kSecond, 10 * kSecond, kMinute, kHour});
        options.clock = &clock;
        options.log = &log;
        plan_.epoch = chance_.of({200 * kMillisecond, kSecond, 5 * kSecond});
        plan_.epoch_messages = chance_.one_in(2) ? 0 : 1 + chance_.below(40);
        plan_.epoch_bytes = chance_.one_in(3) ? 500 : 64u << 20;
        return options;
    }

    std::size_t published(const Stream& stream) const {
        return static_cast<std::size_t>(std::count_if(stream.begin(), stream.end(), [this](const Stored& stored) {
            return stored.published <= scheduler_.now();
        }));
    }
    /// Messages up to this cut.
    static std::size_t place_after(const Stream& stream, std::uint64_t cut) {
        return static_cast<std::size_t>(std::count_if(stream.begin(), stream.end(),
                                                      [cut](const Stored& stored) { return stored.sequence <= cut; }));
    }

    /// A server loses the last messages that it acknowledged, and nobody knows: no epoch that may be durable has them.
    /// What comes later has their sequences.
    void lose_unread() {
        const std::uint32_t source = static_cast<std::uint32_t>(chance_.below(kSources));
        Stream& stream = world_.streams[source];
        const std::uint64_t cut = world_.history.empty() ? 0 : world_.history.rbegin()->second.last_sequence[source];
        const std::size_t known = place_after(stream, cut);
        const std::size_t end = published(stream);
        if (known >= end) return;
        const std::size_t begin = end - 1 - chance_.below(end - known);
        const std::uint64_t gone = stream[end - 1].sequence - (begin == 0 ? 0 : stream[begin - 1].sequence);
        for (std::size_t i = end; i < stream.size(); ++i) stream[i].sequence -= gone;
        stream.erase(stream.begin() + static_cast<std::ptrdiff_t>(begin),
                     stream.begin() + static_cast<std::ptrdiff_t>(end));
        ++world_.tally.faults;
    }

    /// A server has lost something that durable epochs have. The daemon must see it and halt, and go on when the
    /// operator has restored the stream.
    void live_with_loss() {
        const std::uint32_t source = static_cast<std::uint32_t>(chance_.below(kSources));
        const Stream& whole = world_.streams[source];
        const auto durable = world_.history.find(world_.durable);
        if (durable == world_.history.end()) return;
        // Only the last message of what a source has told at once has an anchor, so the last ones of all may lack it.
        std::uint64_t anchored = 0;
        for (auto epoch = world_.history.begin(); epoch != std::next(durable); ++epoch)
            anchored = std::max(anchored, epoch->second.anchor_sequence[source]);
        const std::size_t known = place_after(whole, anchored);
        if (known == 0) return;
        Lost lost;
        lost.kind = chance_.of({Lost::tail, Lost::tail, Lost::replaced, Lost::replaced, Lost::head, Lost::made_new,
                                Lost::rewritten, Lost::rewritten});
        lost.shows = lost.kind != Lost::head && lost.kind != Lost::rewritten;
        const std::size_t gone = 1 + chance_.below(chance_.one_in(2) ? std::min<std::size_t>(known, 5) : known);
        lost.stream = whole;
        Stream& stream = lost.stream;
        if (lost.kind == Lost::tail || lost.kind == Lost::replaced) stream.resize(known - gone);
        if (lost.kind == Lost::replaced)
            continue_stream(stream, 1 + chance_.below(2 * gone + 5), chance_, scheduler_.now());
        if (lost.kind == Lost::head) {
            const std::size_t trimmed = 1 + chance_.below(published(whole));
            stream.erase(stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(trimmed));
            if (stream.empty()) return;
        }
        if (lost.kind == Lost::rewritten) {
            Stored& other = stream[known - gone];
            other = stranger(other.sequence, other.published, chance_);
        }
        world_.lost[source] = std::move(lost);
        ++world_.tally.faults;
        const bool calm = chance_.one_in(2);
        const Faults faults = calm ? Faults() : draw_faults();
        const bool finished = live_once(faults, scheduler_.now() + (calm ? kHour : chance_.between(0, 10 * kMinute)));
        if (finished) world_.violation(fmt::format("the daemon ends well, and source {} has lost messages", source));
        world_.lost[source].reset();
    }

    /// From one start of the daemon to its end; whether it came to the end of its input.
    bool live_once(const Faults& faults, Timestamp stop_at) {
        world_.begin_life(faults);
        const Timestamp began = scheduler_.now();
        bool stopped = false;
        const Status ended = live_until(stop_at, stopped);
        if (verbose_) {
            fmt::print("life {}: {} steps, {}, {}; durable {}, posted {}, at {}\n", world_.tally.lives, world_.steps(),
                       world_.alive() ? (stopped ? "stopped" : "ended") : "died",
                       ended.ok() ? "well" : ended.error().text(), world_.durable, world_.ledgers[0].postings.size(),
                       format_timestamp(scheduler_.now()));
        }
        const bool finished = world_.alive() && ended.ok() && !stopped;
        if (finished) world_.whole_life_began = began;
        if (verbose_ && (world_.lost[0] || world_.lost[1]))
            fmt::print("a server has lost messages; its source refused to open with '{}'\n", world_.halt);
        if (world_.alive() && ended.ok() && !stopped && !world_.halt.empty())
            world_.violation(fmt::format("the daemon ends well, and a source said {}", world_.halt));
        if (!ended.ok() && world_.alive() && !may_end_with(ended.error().code, stopped))
            world_.violation(fmt::format("the daemon ends with {}", ended.error().text()));
        world_.end_life();
        return finished;
    }

    /// The errors that what has happened in this life explains.
    bool may_end_with(const std::string& code, bool stopped) const {
        if (code == "E611" || code == "E612") return stopped;
        if (code == world_.halt) return true;
        // What no anchor shows, what is made of it does.
        const auto rewritten = [](const std::optional<Lost>& lost) { return lost && lost->kind == Lost::rewritten; };
        if (code == "F621") return std::any_of(std::begin(world_.lost), std::end(world_.lost), rewritten);
        if (code == "E701") return world_.disk_failed() || world_.faults().small_disk;
        if (code == "E700" || code == "F709") return world_.disk_failed();
        // No snapshot could be read, and the journal has lost what they hold.
        if (code == "F721") return world_.read_failed();
        return damaged_journal_ && (code == "F704" || code == "F706" || code == "F707" || code == "F708");
    }

    Status live_until(Timestamp stop_at, bool& stopped) {
        FaultyDisk disk(world_);
        StateLog::Options options;
        options.engine_version = "simulated";
        options.journal.segment_bytes = chance_.of({4096u, 16384u, 65536u});
        options.journal.on_lost = [this](const Error&) { world_.abort_process(); };
        options.snapshots.kept = 1 + chance_.below(3);
        Result<std::unique_ptr<StateLog>> opened = StateLog::open(disk, kState, plan_, options);
        if (!opened) return opened.error();
        WatchedLog log(world_, **opened);
        LifeClock clock(chance_);
        world_.clock = &clock;
        Engine engine(plan_, draw_options(clock, log));
        Status ended;
        bool is_over = false;
        Thread thread([&] {
            ended = engine.run();
            is_over = true;
            world_.changed.notify_all();
        });
        const Timestamp room_at = scheduler_.now() + chance_.between(0, 5 * kMinute);
        await(is_over, std::min(stop_at, room_at));
        world_.disk.set_capacity(UINT64_MAX);
        await(is_over, stop_at);
        if (!is_over) {
            stopped = true;
            engine.request_stop();
            await(is_over, scheduler_.now() + (chance_.one_in(4) ? kSecond : 10 * kMinute));
            if (!is_over) engine.request_stop();
        }
        thread.join();
        return ended;
    }

    void await(const bool& is_over, Timestamp until) {
        while (!is_over && world_.alive() && scheduler_.now() < until) scheduler_.wait(&world_.changed, until);
    }

    /// Changes one bit of a snapshot, as long as there is another one that is whole, and will be after a power cut.
    void damage_snapshot() {
        const std::string folder = fmt::format("{}/snapshots", kState);
        std::vector<std::string> names;
        if (world_.disk.list(folder, names)) return;
        std::vector<std::string> whole;
        for (const std::string& name : names) {
            const std::string stem = name.substr(0, name.find('.'));
            const auto stays = [&](const char* end) {
                return world_.disk.is_durable(fmt::format("{}/{}{}", folder, stem, end));
            };
            if (name.ends_with(".manifest") && !damaged_.contains(stem) && stays(".manifest") && stays(".state"))
                whole.push_back(stem);
        }
        if (whole.size() < 2) return;
        const std::string& stem = whole[chance_.below(whole.size())];
        const std::string path = fmt::format("{}/{}{}", folder, stem, chance_.one_in(4) ? ".manifest" : ".state");
        std::string bytes = world_.disk.content(path);
        bytes[chance_.below(bytes.size())] ^= static_cast<char>(1 << chance_.below(8));
        world_.disk.set_content(path, bytes);
        damaged_.insert(stem);
        ++world_.tally.faults;
    }

    /// Changes one bit of what was written into the journal. It is to be found, or to change nothing.
    bool damage_journal() {
        std::vector<std::string> names;
        if (world_.disk.list(fmt::format("{}/journal", kState), names)) return false;
        std::erase_if(names, [](const std::string& name) { return !name.ends_with(".jnl"); });
        if (names.empty()) return false;
        const std::string path = fmt::format("{}/journal/{}", kState, names[chance_.below(names.size())]);
        std::string bytes = world_.disk.content(path);
        const std::size_t used = bytes.find_last_not_of('\0');
        if (used == std::string::npos) return false;
        const std::size_t window = chance_.one_in(2) ? std::min<std::size_t>(used, kSectorBytes) : used;
        bytes[used - chance_.below(window + 1)] ^= static_cast<char>(1 << chance_.below(8));
        world_.disk.set_content(path, bytes);
        ++world_.tally.faults;
        return true;
    }

    Chance chance_;
    Scheduler scheduler_;
    World world_;
    Plan& plan_;
    const bool verbose_;
    std::set<std::string> damaged_;  ///< snapshots
    bool damaged_journal_ = false;
};

bool read_number(std::string_view text, std::uint64_t& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

int run_seeds(int count, char** arguments) {
    std::uint64_t seeds = 1000;
    std::uint64_t first = 1;
    bool verbose = false;
    for (int i = 1; i < count; ++i) {
        const std::string_view name = arguments[i];
        bool good = true;
        if (name == "--verbose") {
            verbose = true;
        } else {
            std::uint64_t* const number = name == "--seeds" ? &seeds : name == "--seed" ? &first : nullptr;
            good = number != nullptr && ++i < count && read_number(arguments[i], *number);
        }
        if (!good) {
            std::fprintf(stderr, "usage: simulation [--seeds N] [--seed FIRST] [--verbose]\n");
            return 2;
        }
    }
    configure_log(LogFormat::logfmt, verbose ? LogLevel::warning : LogLevel::error);
    const std::unique_ptr<Plan> plan = make_plan();
    Tally tally;
    for (std::uint64_t seed = first; seed < first + seeds && tally.violations == 0; ++seed) {
        const std::string wrong = Simulation(seed, *plan, tally, verbose).run();
        ++tally.seeds;
        if (wrong.empty()) continue;
        ++tally.violations;
        fmt::print("seed {}: {}\n", seed, wrong);
    }
    fmt::print("seeds={} lives={} crashes={} faults={} hours={:.1f} points={}/{} violations={}\n", tally.seeds,
               tally.lives, tally.crashes, tally.faults,
               static_cast<double>(tally.simulated) / static_cast<double>(kHour), tally.points.size(), kCrashPoints,
               tally.violations);
    return tally.violations == 0 ? 0 : 1;
}

}  // namespace takt::simulation

int main(int count, char** arguments) {
    return takt::simulation::run_seeds(count, arguments);
}
