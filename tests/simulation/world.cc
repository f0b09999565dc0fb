#include "tests/simulation/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "pipeline/base/hash.h"

namespace takt::simulation {
namespace {

std::error_code error_of(std::errc error) {
    return std::make_error_code(error);
}

std::error_code dead() {
    return error_of(std::errc::io_error);
}

class FaultyFile final : public File {
  public:
    FaultyFile(World& world, std::unique_ptr<File> file) : world_(world), file_(std::move(file)) {}

    std::error_code read_at(std::uint64_t offset, std::span<char> bytes, std::size_t& count) override {
        if (world_.fault(world_.faults().read_fails)) {
            world_.read_has_failed();
            return error_of(std::errc::io_error);
        }
        return file_->read_at(offset, bytes, count);
    }
    std::error_code write_at(std::uint64_t offset, std::string_view bytes) override {
        if (!world_.step()) return dead();
        const bool no_room = world_.fault(world_.faults().write_has_no_room);
        const bool fails = !no_room && world_.fault(world_.faults().write_fails);
        if (!no_room && !fails) return note(file_->write_at(offset, bytes));
        world_.disk_has_failed();
        const std::size_t sectors = bytes.size() / kSectorBytes;
        (void)file_->write_at(offset, bytes.substr(0, world_.chance.below(sectors + 1) * kSectorBytes));
        return error_of(no_room ? std::errc::no_space_on_device : std::errc::io_error);
    }
    std::error_code preallocate(std::uint64_t size_bytes) override {
        return world_.step() ? note(file_->preallocate(size_bytes)) : dead();
    }
    std::error_code size(std::uint64_t& size_bytes) override { return file_->size(size_bytes); }
    std::error_code fdatasync() override {
        if (!world_.step()) return dead();
        if (world_.fault(world_.faults().sync_fails)) {
            world_.disk_has_failed();
            world_.disk.fail_at(world_.disk.operations() + 1, std::errc::io_error);
        }
        return file_->fdatasync();
    }
    std::error_code lock() override { return file_->lock(); }

  private:
    std::error_code note(std::error_code error) {
        if (error) world_.disk_has_failed();
        return error;
    }
    World& world_;
    std::unique_ptr<File> file_;
};

/// A server's stream. It verifies where it is opened as sources/jetstream.cc does, with its codes.
class SimulatedSource final : public Source {
  public:
    SimulatedSource(World& world, std::uint32_t index)
        : world_(world), index_(index), stream_(world.served(index)), lost_(world.lost[index]) {}

    Status open(const SourcePosition& position) override {
        if (!world_.step(50 * kMillisecond) || world_.fault(world_.faults().source_does_not_open))
            return Error{"E000", "the server does not answer"};
        at_ = place_after(position.next_sequence - 1);
        if (const char* code = verify(position)) {
            if (!lost_)
                world_.violation(
                    fmt::format("source {} is opened at {} without its anchor", index_, position.next_sequence));
            world_.halt = code;
            return Error{code, "the stream is not the one that was read"};
        }
        if (lost_ && lost_->shows)
            world_.violation(
                fmt::format("source {} is opened, though its server has lost messages that were read", index_));
        // What is told before the place of the anchor must be passed over.
        if (at_ > 0 && world_.chance.one_in(3)) at_ -= std::min<std::size_t>(at_, world_.chance.below(20));
        return {};
    }

    Result<State> read(const Limits& limits, MessageBlock& block) override {
        const bool alive = world_.step();
        if (!alive || connection_.lost()) {
            world_.scheduler.sleep(limits.wait);
            return say(State::quiet);
        }
        if (at_ == stream_.size() && lost_) world_.scheduler.sleep(limits.wait);
        if (at_ < stream_.size() && stream_[at_].published > world_.scheduler.now()) {
            world_.scheduler.sleep(std::min(limits.wait, stream_[at_].published - world_.scheduler.now()));
            if (!world_.alive()) return say(State::quiet);
        }
        const std::size_t most = std::min<std::size_t>(limits.messages, 1 + world_.chance.below(30));
        while (block.messages.size() < most && at_ < stream_.size() &&
               stream_[at_].published <= world_.scheduler.now()) {
            const Stored& stored = stream_[at_++];
            const std::uint64_t before = at_ < 2 ? before_first() : stream_[at_ - 2].sequence;
            if (stored.sequence > before + 1)
                block.holes.push_back({before + 1, stored.sequence - 1, HoleKind::deleted});
            block.own_clock = world_.own_clock[index_];
            block.messages.push_back({stored.bytes, "plant.events", stored.sequence,
                                      block.own_clock ? world_.clock->wall() : stored.published});
            block.size_bytes += stored.bytes.size();
        }
        if (at_ == stream_.size() && !lost_) return say(State::end);
        return say(block.messages.empty() ? State::idle : State::more);
    }

    SourcePosition position() const override {
        if (at_ == 0) return {};
        return {stream_[at_ - 1].sequence + 1, anchor_of(stream_[at_ - 1])};
    }
    std::uint64_t pending() const override { return stream_.size() - at_; }
    std::string describe() const override { return "a stream of the simulator"; }

  private:
    bool made_new() const { return lost_ && lost_->kind == Lost::made_new; }
    std::string made() const { return made_new() ? "another" : "first"; }
    std::string anchor_of(const Stored& stored) const {
        return fmt::format("{} {} {}", made(), stored.sequence, stored.bytes);
    }
    static std::uint64_t sequence_of(const std::string& anchor) {
        const std::size_t blank = anchor.find(' ');
        return blank == std::string::npos ? 0 : std::strtoull(anchor.c_str() + blank, nullptr, 10);
    }
    std::uint64_t before_first() const { return lost_ && lost_->kind == Lost::head ? stream_.front().sequence - 1 : 0; }

    /// Null: all that can be seen is right.
    const char* verify(const SourcePosition& position) const {
        const std::uint64_t cut = position.next_sequence - 1;
        for (const std::string& anchor : {position.anchor, position.newest_anchor}) {
            if (!anchor.empty() && !anchor.starts_with(made())) return "F530";
        }
        std::uint64_t last = before_first();
        for (const Stored& stored : stream_) {
            if (stored.published <= world_.scheduler.now()) last = stored.sequence;
        }
        if (last < std::max(cut, sequence_of(position.newest_anchor))) return "F531";
        if (!position.newest_anchor.empty()) {
            const std::size_t newest = place_after(sequence_of(position.newest_anchor));
            if (newest > 0 && position.newest_anchor != anchor_of(stream_[newest - 1])) return "F532";
        }
        const bool kept = at_ > 0 && stream_[at_ - 1].sequence == cut;
        if (kept && position.anchor != anchor_of(stream_[at_ - 1])) return "F532";
        if (!kept && cut > before_first()) return "F532";
        return before_first() > cut ? "F533" : nullptr;
    }

    std::size_t place_after(std::uint64_t sequence) const {
        const auto after = std::upper_bound(stream_.begin(), stream_.end(), sequence,
                                            [](std::uint64_t wanted, const Stored& s) { return wanted < s.sequence; });
        return static_cast<std::size_t>(after - stream_.begin());
    }
    State say(State state) {
        world_.tell(index_, state == State::idle, at_ == 0 ? 0 : stream_[at_ - 1].sequence);
        return state;
    }

    World& world_;
    const std::uint32_t index_;
    const Stream& stream_;
    const std::optional<Lost>& lost_;
    std::size_t at_ = 0;
    Connection connection_{world_};
};

/// An ERP that takes a key once. Its answers get lost before and after the effect, for all postings or for some; some
/// it refuses or leaves to a person, for good.
class SimulatedSink final : public Sink {
  public:
    SimulatedSink(World& world, std::size_t index) : world_(world), ledger_(world.ledgers[index]) {}

    Status open() override {
        if (!world_.step(50 * kMillisecond) || world_.fault(world_.faults().sink_does_not_open))
            return Error{"E000", "the ledger does not answer"};
        return {};
    }

    Result<std::vector<Delivery>> deliver(std::span<const Posting> postings) override {
        const Error lost{"E000", "no answer"};
        if (!world_.step(20 * kMillisecond)) return lost;
        if (world_.faults().slow_sink > 0) {
            world_.scheduler.sleep(world_.chance.between(0, world_.faults().slow_sink));
            if (!world_.alive()) return lost;
        }
        const bool fails = world_.fault(world_.faults().sink_fails);
        std::size_t effects = fails ? world_.chance.below(postings.size() + 1) : postings.size();
        std::vector<Delivery> answers(postings.size());
        for (std::size_t i = 0; i < effects; ++i) {
            check(postings[i]);
            const bool unknown = does_not_know(postings[i]) || world_.fault(world_.faults().sink_unknown);
            if (unknown && world_.chance.one_in(2)) continue;
            const Delivery answer = judge(postings[i]);
            if (!unknown) answers[i] = answer;
        }
        if (fails || !world_.step(5 * kMillisecond)) return lost;
        return answers;
    }

    Status keep(std::span<const DeadLetter> dead_letters) override {
        const Error lost{"E000", "no answer"};
        if (!world_.step(20 * kMillisecond)) return lost;
        const bool fails = world_.fault(world_.faults().sink_fails);
        const std::size_t effects = fails ? world_.chance.below(dead_letters.size() + 1) : dead_letters.size();
        for (std::size_t i = 0; i < effects; ++i) keep(dead_letters[i]);
        if (fails || !world_.step(5 * kMillisecond)) return lost;
        return {};
    }

    Status summarize(std::span<const OutcomeCount> counts) override {
        if (!world_.step(5 * kMillisecond) || world_.fault(world_.faults().sink_fails))
            return Error{"E000", "no answer"};
        ledger_.totals.clear();
        for (const OutcomeCount& count : counts) ledger_.totals[{count.outcome, count.rule}] = count.count;
        return {};
    }
    Status finish() override {
        return world_.step(5 * kMillisecond) ? Status() : Error{"E000", "the ledger does not answer"};
    }
    std::string describe() const override { return "a ledger of the simulator"; }

  private:
    void check(const Posting& posting) {
        check_durable(posting.epoch, "a posting");
        if (ledger_.closed.contains(posting.key))
            world_.violation(
                fmt::format("key {} is sent to {}, and was ordered to be closed", posting.key, ledger_.sink));
        // What waits behind something goes with it.
        const auto before = ledger_.ordered.find(posting.previous_key);
        if (before != ledger_.ordered.end() && posting.epoch < before->second)
            ledger_.ordered.emplace(posting.key, before->second);
        if (ledger_.held.contains(posting.key) && !ledger_.ordered.contains(posting.key))
            world_.violation(fmt::format("key {} comes again, and the journal says that {} refused or parked it",
                                         posting.key, ledger_.sink));
        if (posting.revision > 1 && !ledger_.by_key.contains(posting.previous_key) &&
            !ledger_.closed.contains(posting.previous_key))
            world_.violation(fmt::format("revision {} is sent to {}, which has not taken the one before",
                                         posting.revision, ledger_.sink));
    }

    bool objects(const Posting& posting, const char* how, std::uint64_t n) const {
        return n > 0 && hash64(posting.key, ledger_.objections.seed ^ hash64(how)) % n == 0;
    }

    bool does_not_know(const Posting& posting) {
        if (objects(posting, "this life", world_.faults().sink_stays_unknown)) return true;
        if (!objects(posting, "hesitates", ledger_.objections.hesitates)) return false;
        return ledger_.hesitations[posting.key]++ < hash64(posting.key) % 6;
    }

    Delivery judge(const Posting& posting) {
        if (ledger_.pardoned.contains(posting.key)) {
            ledger_.denied.erase(posting.key);
            take(posting);
            return {State::accepted, "document", ""};
        }
        if (objects(posting, "refuses", ledger_.objections.refuses)) return deny(posting, State::refused);
        if (objects(posting, "parks", ledger_.objections.parks)) return deny(posting, State::parked);
        take(posting);
        return {State::accepted, "document", ""};
    }

    Delivery deny(const Posting& posting, State state) {
        const auto [known, fresh] = ledger_.denied.emplace(posting.key, std::pair(posting, state));
        check_same(known->second.first, posting);
        if (fresh) ++world_.tally.faults;
        return {state, "", "NOT_OPEN"};
    }

    void take(const Posting& posting) {
        const auto [known, fresh] = ledger_.by_key.emplace(posting.key, ledger_.postings.size());
        if (!fresh) {
            ++ledger_.repeats;
            return check_same(ledger_.postings[known->second], posting);
        }
        // What comes later by order is behind the others.
        const bool ordered = ledger_.ordered.contains(posting.key);
        if (!ordered && posting.epoch < newest_epoch())
            world_.violation(
                fmt::format("a posting of epoch {} takes effect after one of epoch {}", posting.epoch, newest_epoch()));
        ledger_.postings.push_back(posting);
    }

    /// Of what took effect without an order.
    std::uint64_t newest_epoch() const {
        const auto newest =
            std::find_if(ledger_.postings.rbegin(), ledger_.postings.rend(),
                         [&](const Posting& posting) { return !ledger_.ordered.contains(posting.key); });
        return newest == ledger_.postings.rend() ? 0 : newest->epoch;
    }

    void check_same(const Posting& before, const Posting& posting) {
        if (before.payload_hash != posting.payload_hash || before.epoch != posting.epoch ||
            before.lineage.ids != posting.lineage.ids)
            world_.violation(fmt::format("key {} of epoch {} comes again in epoch {} with another content", posting.key,
                                         before.epoch, posting.epoch));
    }

    void keep(const DeadLetter& letter) {
        check_durable(letter.epoch, "a dead letter");
        const bool again = letter.replay > 0;
        const auto [known, fresh] =
            (again ? ledger_.refused_again : ledger_.dead_letters)
                .emplace(std::tuple(letter.source, letter.sequence, again ? letter.replay : letter.part), letter);
        if (!fresh && (known->second.reason != letter.reason || known->second.epoch != letter.epoch ||
                       known->second.ingest_time != letter.ingest_time))
            world_.violation(
                fmt::format("dead letter {} {} comes again with another content", letter.source, letter.sequence));
    }

    void check_durable(std::uint64_t epoch, const char* what) {
        if (epoch > world_.durable)
            world_.violation(fmt::format("{} of epoch {} is released, durable is {}", what, epoch, world_.durable));
    }

    World& world_;
    Ledger& ledger_;
};

Cut cut_of(const EpochResult& epoch) {
    Cut cut;
    for (std::size_t i = 0; i < kSources; ++i) {
        cut.last_sequence[i] = epoch.cuts[i].last_sequence;
        cut.anchor_sequence[i] = epoch.cuts[i].anchor_sequence;
        cut.ingest_times[i] = epoch.cuts[i].ingest_times;
    }
    cut.idle = epoch.cut.idle;
    cut.ended = epoch.cut.ended;
    cut.flush = epoch.cut.flush;
    cut.tables = epoch.cut.tables;
    for (TableVersion& version : cut.tables) version.content = nullptr;
    for (const DeadLetterReplay& replay : epoch.cut.replays)
        cut.retries.emplace_back(replay.source, replay.sequence, replay.replay);
    return cut;
}

}  // namespace

World*& world() {
    static World* the_world = nullptr;
    return the_world;
}

World::World(std::uint64_t seed, Scheduler& of_scheduler, Tally& of_tally)
    : scheduler(of_scheduler),
      tally(of_tally),
      chance(seed),
      disk(chance()),
      people_(hash64("people", seed)),
      retries_one_in_(people_.one_in(2) ? people_.of({10u, 50u, 200u}) : 0) {
    world() = this;
}

void World::die(Death death) {
    if (!alive_) return;
    alive_ = false;
    died_by_ = death;
    ++tally.crashes;
    disk.stop();
    changed.notify_all();
}

bool World::step(Duration longest) {
    if (!alive_) return false;
    scheduler.sleep(chance.between(0, longest));
    if (alive_ && ++steps_ == faults_.dies_at) die(faults_.death);
    return alive_;
}

bool World::fault(std::uint64_t n) {
    if (n == 0 || !alive_ || !chance.one_in(n)) return false;
    ++tally.faults;
    return true;
}

void World::violation(const std::string& what) {
    if (broken_.empty()) broken_ = what;
}

void World::begin_life(const Faults& of_this_life) {
    faults_ = of_this_life;
    alive_ = true;
    died_by_ = Death::none;
    disk_failed_ = read_failed_ = false;
    steps_ = 0;
    halt.clear();
    ++tally.lives;
    disk.set_capacity(faults_.small_disk ? chance.below(300'000) : UINT64_MAX);
    for (auto& told : told_) told.clear();
    for (auto& periods : idle_periods_) periods.clear();
}

void World::tell(std::uint32_t source, bool idle, std::uint64_t last_sequence) {
    told_[source].insert(last_sequence);
    std::vector<IdlePeriod>& periods = idle_periods_[source];
    const bool was = !periods.empty() && !periods.back().until;
    if (idle && !was) periods.push_back({scheduler.now(), std::nullopt, last_sequence});
    if (!idle && was) periods.back().until = scheduler.now();
}

bool World::was_idle(std::uint32_t source, std::uint64_t cut, Duration least) const {
    const auto later = told_[source].upper_bound(cut);
    if (later == told_[source].begin()) return false;
    const std::uint64_t newest = *std::prev(later);
    return std::any_of(idle_periods_[source].begin(), idle_periods_[source].end(), [&](const IdlePeriod& period) {
        return period.last_sequence == newest && period.until.value_or(scheduler.now()) - period.since >= least;
    });
}

void World::end_life() {
    if (died_by_ == Death::power_cut) {
        disk.start_again(chance.of({SimulatedDisk::Kept::nothing, SimulatedDisk::Kept::everything,
                                    SimulatedDisk::Kept::some, SimulatedDisk::Kept::some}));
    } else {
        disk.end_process();
    }
}

void World::order_retries() {
    const auto& letters = ledgers[0].dead_letters;
    if (!people_retry || retries_one_in_ == 0 || !people_.one_in(retries_one_in_) || letters.empty()) return;
    const DeadLetter& letter =
        std::next(letters.begin(), static_cast<std::ptrdiff_t>(people_.below(letters.size())))->second;
    const std::uint32_t source = letter.source == kSourceNames[0] ? 0 : 1;
    const auto stored = std::find_if(streams[source].begin(), streams[source].end(),
                                     [&](const Stored& message) { return message.sequence == letter.sequence; });
    if (stored == streams[source].end())
        return violation(fmt::format("dead letter {} {} is of no message", letter.source, letter.sequence));
    Retry retry;
    retry.event = stored->event;
    retry.malformed = stored->malformed;
    retry.order = {source, letter.sequence, 0, 1, letter.subject, letter.ingest_time, letter.bytes, "anna", ""};
    std::uint32_t& number = retry.order.replay;
    for (auto last = retries.find({source, letter.sequence, number}); last != retries.end();
         last = retries.find({source, letter.sequence, number})) {
        if (last->second.epoch == 0 || last->second.accepted) return;
        retry = {.order = last->second.order, .event = last->second.event, .malformed = last->second.malformed};
        ++number;
    }
    const auto again = ledgers[0].refused_again.find({letter.source, letter.sequence, number - 1});
    if (!people_.one_in(3))
        correct(retry, again == ledgers[0].refused_again.end() ? letter.reason : again->second.reason);
    retries.emplace(RetryPlace{source, letter.sequence, number}, std::move(retry));
    ++tally.faults;
}

/// So that it may be accepted. Another time only where no message with its id can have been: ids are remembered by it.
void World::correct(Retry& retry, const std::string& reason) {
    constexpr std::uint64_t kNewId = 2'000'000;
    retry.malformed = false;
    retry.event.quantity = std::abs(retry.event.quantity);
    if (reason == "ID_CONFLICT" && retry.event.id < kNewId) retry.event.id += kNewId;
    if (reason == "TOO_LATE") retry.event.time = scheduler.now() - people_.between(0, kMinute);
    retry.order.data = to_text(retry.event);
}

bool Connection::lost() {
    const Timestamp now = world_.scheduler.now();
    if (now >= back_at_ && world_.fault(world_.faults().source_disconnects))
        back_at_ = now + world_.chance.between(kSecond, 3 * kMinute);
    return now < back_at_;
}

std::unique_ptr<Source> World::make_source(std::uint32_t index) {
    return std::make_unique<SimulatedSource>(*this, index);
}

std::unique_ptr<Sink> World::make_sink(std::size_t index) {
    return std::make_unique<SimulatedSink>(*this, index);
}

// ---- disk

bool FaultyDisk::name_fails() {
    if (!world_.fault(world_.faults().name_fails)) return false;
    world_.disk_has_failed();
    return true;
}

bool FaultyDisk::read_fails() {
    if (!world_.fault(world_.faults().read_fails)) return false;
    world_.read_has_failed();
    return true;
}

std::error_code FaultyDisk::open(const std::string& path, Open how, std::unique_ptr<File>& file) {
    if (how != Open::existing && !world_.step()) return dead();
    if (how == Open::existing ? read_fails() : name_fails()) return error_of(std::errc::io_error);
    std::unique_ptr<File> opened;
    if (const std::error_code error = world_.disk.open(path, how, opened)) return error;
    file = std::make_unique<FaultyFile>(world_, std::move(opened));
    return {};
}

std::error_code FaultyDisk::rename(const std::string& from, const std::string& to) {
    if (!world_.step()) return dead();
    return name_fails() ? error_of(std::errc::io_error) : world_.disk.rename(from, to);
}

std::error_code FaultyDisk::unlink(const std::string& path) {
    if (!world_.step()) return dead();
    return name_fails() ? error_of(std::errc::io_error) : world_.disk.unlink(path);
}

std::error_code FaultyDisk::make_directory(const std::string& path) {
    if (!world_.step()) return dead();
    return name_fails() ? error_of(std::errc::io_error) : world_.disk.make_directory(path);
}

std::error_code FaultyDisk::sync_directory(const std::string& path) {
    if (!world_.step()) return dead();
    return name_fails() ? error_of(std::errc::io_error) : world_.disk.sync_directory(path);
}

std::error_code FaultyDisk::list(const std::string& path, std::vector<std::string>& names) {
    return read_fails() ? error_of(std::errc::io_error) : world_.disk.list(path, names);
}

std::error_code FaultyDisk::free_bytes(const std::string& path, std::uint64_t& free) {
    return world_.disk.free_bytes(path, free);
}

// ---- log

Result<EpochLog::Past> WatchedLog::recover() {
    Result<Past> past = log_.recover();
    if (!past) return past;
    std::uint64_t last = past->state ? past->state->epoch : 0;
    for (const EpochResult& epoch : past->epochs) {
        last = std::max(last, epoch.epoch);
        const auto [known, fresh] = world_.history.emplace(epoch.epoch, cut_of(epoch));
        if (fresh || known->second == cut_of(epoch)) continue;
        // What was not durable may have come to nothing and been made otherwise.
        if (epoch.epoch <= world_.durable)
            world_.violation(fmt::format("durable epoch {} is another one after a restart", epoch.epoch));
        known->second = cut_of(epoch);
    }
    for (const EpochResult& epoch : past->epochs) {
        note_retries(epoch);
        if (epoch.epoch > world_.durable) note_orders(epoch);  // nobody has said yet that it is durable
    }
    if (last < world_.durable)
        world_.violation(fmt::format("epoch {} was durable, after a restart the last one is {}", world_.durable, last));
    world_.durable = last;
    world_.history.erase(world_.history.upper_bound(last), world_.history.end());
    check_held(past->sinks);
    return past;
}

/// Whether something was ordered about it, or about what it waits behind, after it was made.
bool WatchedLog::let_go(const Ledger& ledger, const std::string& key) const {
    const std::uint64_t epoch = world_.made.at(key).epoch;
    for (std::string earlier = key; !earlier.empty(); earlier = world_.made.at(earlier).previous_key) {
        const auto order = ledger.ordered.find(earlier);
        if (order != ledger.ordered.end() && epoch < order->second) return true;
    }
    return false;
}

/// What a sink will never take, and a durable frame says so, is remembered.
void WatchedLog::check_held(const std::vector<SinkPast>& sinks) {
    for (Ledger& ledger : world_.ledgers) {
        std::map<std::string, DeliveryState> held;
        for (const SinkPast& sink : sinks) {
            if (sink.position.sink != ledger.sink) continue;
            for (const HeldPosting& one : sink.held) held[one.said.key] = one.said.state;
        }
        for (const auto& [key, state] : ledger.held) {
            // An epoch with an order may be durable, and nobody was told.
            if (let_go(ledger, key)) continue;
            const auto found = held.find(key);
            if (found == held.end() || found->second != state)
                world_.violation(
                    fmt::format("{} refused or parked key {}, and a restart does not know it", ledger.sink, key));
        }
        ledger.held = std::move(held);
    }
}

void WatchedLog::note(const SinkAnswers& answers) {
    for (const SinkConfirmation& said : answers.confirmations) {
        if (said.state != DeliveryState::refused && said.state != DeliveryState::parked) continue;
        for (Ledger& ledger : world_.ledgers) {
            if (ledger.sink == said.sink) ledger.held[said.key] = said.state;
        }
    }
}

void WatchedLog::note_orders(const EpochResult& durable) {
    for (const HoldOrder& order : durable.cut.orders) {
        const auto [followed, fresh] = world_.followed.emplace(order.file, durable.epoch);
        if (!fresh && followed->second != durable.epoch)
            world_.violation(
                fmt::format("order {} is in epoch {} and in epoch {}", order.file, followed->second, durable.epoch));
        for (Ledger& ledger : world_.ledgers) {
            if (ledger.sink != order.sink) continue;
            ledger.held.erase(order.key);
            // They are ordered together, and one batch after the other.
            for (auto& [key, epoch] : ledger.ordered) epoch = std::min(epoch, durable.epoch);
        }
    }
}

void WatchedLog::note_retries(const EpochResult& durable) {
    for (std::size_t i = 0; i < durable.cut.replays.size(); ++i) {
        const DeadLetterReplay& order = durable.cut.replays[i];
        const auto ordered = world_.retries.find({order.source, order.sequence, order.replay});
        if (ordered == world_.retries.end())
            return world_.violation(fmt::format("epoch {} has a retry that nobody ordered", durable.epoch));
        Retry& retry = ordered->second;
        if (retry.epoch != 0 && retry.epoch != durable.epoch)
            world_.violation(fmt::format("a retry of {} {} is in epoch {} and in epoch {}", kSourceNames[order.source],
                                         order.sequence, retry.epoch, durable.epoch));
        retry.epoch = durable.epoch;
        retry.accepted = durable.replay_outcomes[i] == kAccepted;
    }
}

/// Those that no durable epoch has, once in a life.
std::vector<DeadLetterReplay> WatchedLog::take_replays() {
    std::vector<DeadLetterReplay> taken;
    if (!world_.alive()) return taken;
    world_.order_retries();
    for (const auto& [place, retry] : world_.retries) {
        if (retry.epoch == 0 && taken_.insert(place).second) taken.push_back(retry.order);
    }
    return taken;
}

/// Only a source that has said so for long enough, and whose every message is in an epoch, may be idle.
void WatchedLog::check_idle(const EpochResult& epoch) {
    for (const std::uint32_t source : epoch.cut.idle) {
        if (!world_.was_idle(source, epoch.cuts[source].last_sequence, kIdle))
            world_.violation(
                fmt::format("source {} is idle in epoch {}, and did not say so for long enough when it had "
                            "told only up to {}",
                            source, epoch.epoch, epoch.cuts[source].last_sequence));
    }
}

/// Of a stream that lacks something that was read, or has something else there, nothing more is taken.
void WatchedLog::check_lost(const EpochResult& epoch) {
    for (std::uint32_t source = 0; source < kSources; ++source) {
        const std::optional<Lost>& lost = world_.lost[source];
        if (!lost || (lost->kind != Lost::tail && lost->kind != Lost::replaced)) continue;
        const auto before = world_.history.find(world_.durable);
        const std::uint64_t cut = before == world_.history.end() ? 0 : before->second.last_sequence[source];
        if (epoch.cuts[source].last_sequence > cut)
            world_.violation(
                fmt::format("source {} goes on behind {}, though its server has lost what was before", source, cut));
    }
}

Status WatchedLog::append(const EpochResult& epoch, const SinkAnswers& answers) {
    if (!world_.alive()) return Error{"F999", "dead"};
    if (epoch.epoch != world_.durable + 1)
        world_.violation(fmt::format("epoch {} is made after epoch {}", epoch.epoch, world_.durable));
    check_lost(epoch);
    // Without room it comes again later.
    if (!world_.history.contains(epoch.epoch)) check_idle(epoch);
    world_.history[epoch.epoch] = cut_of(epoch);
    for (const Posting& posting : epoch.postings) world_.made[posting.key] = {posting.previous_key, posting.epoch};
    const Status appended = log_.append(epoch, answers);
    if (!appended.ok()) return appended;
    world_.durable = epoch.epoch;
    note(answers);
    note_retries(epoch);
    note_orders(epoch);
    return appended;
}

Status WatchedLog::snapshot(const EngineState& state, std::uint64_t delivered) {
    if (!world_.alive()) return Error{"F999", "dead"};
    if (state.epoch > world_.durable)
        world_.violation(fmt::format("a snapshot of epoch {}, durable is {}", state.epoch, world_.durable));
    return log_.snapshot(state, delivered);
}

Status WatchedLog::end() {
    return world_.alive() ? log_.end() : Status(Error{"F999", "dead"});
}

}  // namespace takt::simulation

namespace takt {

/// In place of the process's end by SIGKILL: see pipeline/journal/crash_point.h.
void reach(CrashPoint point) {
    simulation::World* const world = simulation::world();
    if (world == nullptr) return;
    world->tally.points.insert(point);
    (void)world->step(0);
}

}  // namespace takt
