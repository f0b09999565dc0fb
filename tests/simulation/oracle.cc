#include "tests/simulation/oracle.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "pipeline/journal/outbox.h"
#include "pipeline/journal/state_audit.h"

namespace takt::simulation {
namespace {

using MessageId = std::pair<std::string, std::uint64_t>;  // source, sequence

std::string posted_as(const Event& event) {
    if (event.kind == Event::make) return "made";
    return event.kind == Event::run ? "ran" : "single";
}

std::int64_t quantity_of(const Posting& posting) {
    Int128 thousandths = posting.quantity;
    for (int digits = posting.quantity_scale; digits > 3; --digits) thousandths /= 10;
    return static_cast<std::int64_t>(thousandths);
}

std::string key_of(const Posting& posting) {
    return posting.key_fields.empty() ? "" : posting.key_fields[0].value;
}

/// Everything that was made for this sink: in effect, waiting or closed, revisions of a pane in their order.
std::vector<const Posting*> made_for(const Ledger& ledger) {
    std::vector<const Posting*> made;
    for (const auto* part : {&ledger.postings, &ledger.waits}) {
        for (const Posting& posting : *part) made.push_back(&posting);
    }
    for (const auto& [key, posting] : ledger.closed) made.push_back(&posting);
    std::stable_sort(made.begin(), made.end(), [](const Posting* a, const Posting* b) { return a->epoch < b->epoch; });
    return made;
}

std::string check_revisions(const Ledger& ledger) {
    struct Pane {
        std::uint32_t revision = 0;
        Int128 total = 0;
        bool waits = false;
    };
    std::map<std::tuple<std::string, std::string, Timestamp>, Pane> panes;
    for (const Posting* posting : made_for(ledger)) {
        if (posting->type != "made") continue;
        Pane& pane = panes[{posting->type, key_of(*posting), posting->window_start.value_or(0)}];
        pane.total += posting->quantity;
        const bool in_effect = ledger.by_key.contains(posting->key);
        if (in_effect && pane.waits)
            return fmt::format("made {} {}: revision {} took effect, and one before it did not", key_of(*posting),
                               format_timestamp(posting->window_start.value_or(0)), posting->revision);
        pane.waits = !in_effect && !ledger.closed.contains(posting->key);
        if (posting->revision != ++pane.revision || posting->quantity_cumulative != pane.total)
            return fmt::format("made {} {}: revision {} after {}, or its total is another one", key_of(*posting),
                               format_timestamp(posting->window_start.value_or(0)), posting->revision,
                               pane.revision - 1);
    }
    return {};
}

std::string check_audit(const World& world) {
    const auto keys = [](const Ledger& ledger) {
        std::vector<std::string> made;
        for (const Posting* posting : made_for(ledger)) {
            if (posting->type == "made") made.push_back(posting->key);
        }
        std::sort(made.begin(), made.end());
        return made;
    };
    const std::vector<std::string> made = keys(world.ledgers[0]);
    const std::vector<std::string> audited = keys(world.ledgers[1]);
    return made == audited
               ? ""
               : fmt::format("the ledger was sent {} of made, the audit {}, or others", made.size(), audited.size());
}

/// What waits for a person, as the outbox has it and as the ledger told it.
std::string check_held(const SinkOutbox& sink, Ledger& ledger) {
    std::set<std::string> held;
    for (const SinkOutbox::Entry& entry : sink.held) {
        if (!held.insert(entry.posting->key).second)
            return fmt::format("{}: key {} is held twice", sink.sink, entry.posting->key);
        ledger.waits.push_back(*entry.posting);
    }
    for (const SinkOutbox::Entry& entry : sink.held) {
        const auto denied = ledger.denied.find(entry.posting->key);
        const bool told = denied != ledger.denied.end();
        const auto state =
            told && denied->second.second == Sink::State::refused ? DeliveryState::refused : DeliveryState::parked;
        const bool follows =
            !told && entry.last.reason == kEarlierRevision && held.contains(entry.posting->previous_key);
        if ((!told && !follows) || entry.last.state != state)
            return fmt::format("{}: key {} is held as {}, and nobody said so", sink.sink, entry.posting->key,
                               entry.last.reason);
    }
    for (const auto& [key, denied] : ledger.denied) {
        if (!held.contains(key)) return fmt::format("{}: key {} was refused or parked, and is lost", sink.sink, key);
    }
    return {};
}

/// What was given up, as the outbox lists and counts it and as people ordered it.
std::string check_closed(const SinkOutbox& sink, const Ledger& ledger) {
    std::set<std::string> listed;
    for (const SinkOutbox::Entry& entry : sink.closed) {
        if (!ledger.closed.contains(entry.posting->key) || !listed.insert(entry.posting->key).second)
            return fmt::format("{}: key {} is listed as closed, and nobody ordered it, or twice", sink.sink,
                               entry.posting->key);
    }
    Hash128 ordered;
    for (const auto& [key, posting] : ledger.closed) ordered += delivery_hash(posting);
    const OutboxTotal& total = sink.total(DeliveryState::closed);
    if (total.count != ledger.closed.size() || total.postings != ordered || listed.size() != ledger.closed.size())
        return fmt::format("{}: {} postings are closed, {} of them listed, {} were ordered to be, or others", sink.sink,
                           total.count, listed.size(), ledger.closed.size());
    return {};
}

/// The rules by hand.
class Rules {
  public:
    explicit Rules(const World& world) : world_(world) {}

    std::string check() {
        std::uint64_t next = 1;
        for (const auto& [epoch, cut] : world_.history) {
            if (epoch != next++) return fmt::format("epoch {} was never seen", next - 1);
            run_epoch(epoch, cut);
            if (!wrong_.empty()) return wrong_;
        }
        for (std::size_t i = 0; i < kSources; ++i) {
            if (place_[i] < world_.streams[i].size())
                return fmt::format("source {} was read up to {} of {} messages", kSourceNames[i], place_[i],
                                   world_.streams[i].size());
        }
        if (std::string wrong = check_letters(); !wrong.empty()) return wrong;
        if (std::string wrong = check_counts(); !wrong.empty()) return wrong;
        if (std::string wrong = check_prices(); !wrong.empty()) return wrong;
        return check_made();
    }

  private:
    struct Seen {
        Timestamp time = 0;
        std::int64_t quantity = 0;
    };
    struct Pane {
        std::int64_t total = 0;
        std::int64_t posted = 0;
        std::int64_t value = 0;  ///< in thousandths, each event at the price of its epoch
        std::uint64_t events = 0;
        std::uint32_t revision = 0;
    };

    /// Thousandths as hundredths, half to even.
    static std::int64_t rounded(std::int64_t value) {
        const std::int64_t down = value / 10;
        const std::int64_t rest = value % 10;
        return down + (rest > 5 || (rest == 5 && down % 2 != 0) ? 1 : 0);
    }

    void run_epoch(std::uint64_t epoch, const Cut& cut) {
        const Timestamp watermark = watermark_;
        for (std::size_t i = 0; i < kSources; ++i) {
            const Stream& stream = world_.streams[i];
            for (; place_[i] < stream.size() && stream[place_[i]].sequence <= cut.last_sequence[i]; ++place_[i])
                judge(i, stream[place_[i]], watermark, ingest_time(cut, i, stream[place_[i]]));
        }
        for (const RetryPlace& place : cut.retries) judge_again(place, watermark);
        for (const std::uint32_t source : cut.ended) ended_[source] = true;
        std::optional<Timestamp> lowest;
        for (std::uint32_t i = 0; i < kSources; ++i) {
            if (ended_[i] || std::count(cut.idle.begin(), cut.idle.end(), i) > 0) continue;
            const Timestamp own = highest_[i] == kBeginningOfTime ? kBeginningOfTime : highest_[i] - kOutOfOrder;
            lowest = std::min(lowest.value_or(kEndOfTime), own);
        }
        if (cut.flush) lowest = kEndOfTime;
        if (lowest) watermark_ = std::max(watermark_, *lowest);
        for (auto& [place, pane] : panes_) {
            if (place.second + kWindow > watermark_ || pane.total == pane.posted) continue;
            expected_.push_back(fmt::format("{} {} r{} {} {} at {} of {} events, epoch {}", place.first, place.second,
                                            ++pane.revision, pane.total - pane.posted, pane.total, rounded(pane.value),
                                            pane.events, epoch));
            pane.posted = pane.total;
        }
        for (const TableVersion& version : cut.tables) follow(version, prices_);
        check_order_of_clocks(cut);
    }

    /// Whatever somebody does to a clock of ours.
    void check_order_of_clocks(const Cut& cut) {
        for (std::size_t source = 0; source < kSources; ++source) {
            for (const auto& [sequence, time] : cut.ingest_times[source]) {
                if (time < newest_ingest_[source])
                    wrong_ = fmt::format("{} {} came before the message before it", kSourceNames[source], sequence);
                newest_ingest_[source] = time;
            }
        }
    }

    /// By the server, or by the clock of whoever read it first.
    Timestamp ingest_time(const Cut& cut, std::size_t source, const Stored& stored) const {
        if (!world_.own_clock[source]) return stored.published;
        Timestamp time = 0;
        for (const auto& [sequence, read] : cut.ingest_times[source]) time = sequence <= stored.sequence ? read : time;
        return time;
    }

    void judge(std::size_t source, const Stored& stored, Timestamp watermark, Timestamp ingested) {
        const std::string reason = fate(source, stored, watermark, ingested);
        ++counts_[reason];
        if (reason != "accepted" && reason != "duplicate" && reason != "noise")
            letters_[{kSourceNames[source], stored.sequence}] = reason;
    }

    /// The event as it is sent again, as a message of its source that says nothing about the time.
    void judge_again(const RetryPlace& place, Timestamp watermark) {
        const Retry& retry = world_.retries.at(place);
        const std::uint32_t source = retry.order.source;
        const Timestamp highest = highest_[source];
        const std::string reason =
            fate(source, {retry.event, retry.malformed, {}, {}, {}}, watermark, retry.order.ingest_time);
        highest_[source] = highest;
        if ((reason == "accepted") != retry.accepted)
            wrong_ = fmt::format("retry {} of {} {} must be {}, is {}", retry.order.replay, kSourceNames[source],
                                 retry.order.sequence, reason, retry.accepted ? "accepted" : "not accepted");
        if (reason != "accepted" && reason != "duplicate" && reason != "noise") refused_again_[place] = reason;
    }

    std::string fate(std::size_t source, const Stored& stored, Timestamp watermark, Timestamp ingested) {
        const Event& event = stored.event;
        if (stored.malformed) return "DECODE";
        if (event.time > ingested + kFuture) return "FUTURE_TIME";
        highest_[source] = std::max(highest_[source], event.time);
        if (event.kind == Event::noise) return "noise";
        const Timestamp oldest = watermark == kBeginningOfTime ? watermark : watermark - kHorizon;
        if (event.time < oldest) return "BEYOND_DEDUP_HORIZON";
        const auto seen = seen_.find(event.id);
        if (seen != seen_.end() && seen->second.time >= oldest)
            return seen->second.quantity == event.quantity && seen->second.time == event.time ? "duplicate"
                                                                                              : "ID_CONFLICT";
        if (event.quantity < 0) return "NEGATIVE";
        const Timestamp minute = event.time / kWindow * kWindow;
        if (event.kind == Event::make && minute + kWindow + kLateness < watermark) return "TOO_LATE";
        if (event.kind == Event::run && event.time + kSessionGap + kSessionLateness < watermark) return "TOO_LATE";
        seen_[event.id] = {event.time, event.quantity};
        if (event.kind == Event::make) {
            Pane& pane = panes_[{event.key, minute}];
            pane.total += event.quantity;
            pane.value += event.quantity * price_of(prices_, std::to_string(event.key));
            ++pane.events;
        }
        return "accepted";
    }

    std::string check_letters() const {
        std::map<MessageId, std::string> kept;
        for (const auto& [place, letter] : world_.ledgers[0].dead_letters)
            kept[{letter.source, letter.sequence}] = letter.reason;
        for (const auto& [place, reason] : letters_) {
            const auto found = kept.find(place);
            if (found == kept.end() || found->second != reason)
                return fmt::format("message {} {} must be a dead letter {}, is {}", place.first, place.second, reason,
                                   found == kept.end() ? "none" : found->second);
        }
        for (const auto& [place, reason] : kept) {
            if (!letters_.contains(place))
                return fmt::format("message {} {} is a dead letter {} and must be none", place.first, place.second,
                                   reason);
        }
        return check_refused_again();
    }

    std::string check_refused_again() const {
        std::map<RetryPlace, std::string> kept;
        for (const auto& [place, letter] : world_.ledgers[0].refused_again) {
            const std::uint32_t source = letter.source == kSourceNames[0] ? 0 : 1;
            kept[{source, letter.sequence, letter.replay}] = letter.reason;
            const auto ordered = world_.retries.find({source, letter.sequence, letter.replay});
            if (ordered == world_.retries.end() || letter.bytes != ordered->second.order.data)
                return fmt::format("retry {} of {} {} is refused with other bytes", letter.replay, letter.source,
                                   letter.sequence);
        }
        if (kept == refused_again_) return {};
        return fmt::format("{} retries are refused, {} must be, or others", kept.size(), refused_again_.size());
    }

    std::string check_counts() const {
        std::map<std::string, std::uint64_t> told;
        for (const auto& [outcome, count] : world_.ledgers[0].totals)
            told[outcome.second.empty() ? outcome.first : outcome.second] += count;
        if (told == counts_) return {};
        std::string text = "the counts are";
        for (const auto& [name, count] : told) text += fmt::format(" {}={}", name, count);
        text += " and must be";
        for (const auto& [name, count] : counts_) text += fmt::format(" {}={}", name, count);
        return text;
    }

    /// A start that came after the last change has seen all of them.
    std::string check_prices() const {
        if (world_.prices.back().time > world_.whole_life_began) return {};
        Prices said;
        for (const PriceChange& change : world_.prices) {
            if (!change.value) said.erase(change.key);
            if (change.value && change.value->size() == 1) said[change.key] = std::stoll(*change.value);
        }
        return said == prices_ ? "" : "the table does not hold what its bucket says";
    }

    std::string check_made() const {
        std::vector<std::string> made;
        for (const Posting* posting : made_for(world_.ledgers[0])) {
            if (posting->type != "made") continue;
            const auto total = static_cast<std::int64_t>(posting->quantity_cumulative / 1000);
            made.push_back(fmt::format("{} {} r{} {} {} at {} of {} events, epoch {}", key_of(*posting),
                                       posting->window_start.value_or(0), posting->revision, quantity_of(*posting),
                                       total, static_cast<std::int64_t>(posting->amount_cumulative),
                                       posting->lineage.events, posting->epoch));
        }
        std::vector<std::string> expected = expected_;
        std::sort(made.begin(), made.end());
        std::sort(expected.begin(), expected.end());
        if (made == expected) return {};
        const auto [is, must] = std::mismatch(made.begin(), made.end(), expected.begin(), expected.end());
        return fmt::format("made: it is '{}', must be '{}'", is == made.end() ? "nothing" : *is,
                           must == expected.end() ? "nothing" : *must);
    }

    const World& world_;
    std::size_t place_[kSources] = {};
    Timestamp highest_[kSources] = {kBeginningOfTime, kBeginningOfTime};
    bool ended_[kSources] = {};
    Timestamp newest_ingest_[kSources] = {};
    Timestamp watermark_ = kBeginningOfTime;
    Prices prices_;
    std::map<std::uint64_t, Seen> seen_;
    std::map<std::pair<std::uint64_t, Timestamp>, Pane> panes_;
    std::vector<std::string> expected_;
    std::map<std::string, std::uint64_t> counts_;
    std::map<MessageId, std::string> letters_;
    std::map<RetryPlace, std::string> refused_again_;
    std::string wrong_;
};

}  // namespace

std::string check_books(World& world, const std::string& state, bool damaged) {
    const Result<StateAudit> audit = audit_state(world.disk, state);
    if (!audit) return damaged ? "" : fmt::format("no audit of the state: {}", audit.error().text());
    if (!audit->imbalances.empty())
        return fmt::format("equation {} does not balance: {}", static_cast<int>(audit->imbalances[0].equation),
                           audit->imbalances[0].text);
    // Without a frame in the journal the audit knows of no sinks.
    const Result<std::vector<SinkOutbox>> sinks = read_outbox(world.disk, state);
    if (!sinks) return fmt::format("no outbox of the state: {}", sinks.error().text());
    for (Ledger& ledger : world.ledgers) {
        const auto sink = std::find_if(sinks->begin(), sinks->end(),
                                       [&](const SinkOutbox& known) { return known.sink == ledger.sink; });
        if (sink == sinks->end()) return fmt::format("the journal has no sink {}", ledger.sink);
        if (!sink->waiting.empty())
            return fmt::format("{}: {} postings are still to be sent", ledger.sink, sink->waiting.size());
        Hash128 accepted;
        for (const Posting& posting : ledger.postings) accepted += delivery_hash(posting);
        const OutboxTotal& total = sink->total(DeliveryState::accepted);
        if (total.count != ledger.postings.size() || total.postings != accepted)
            return fmt::format("{}: {} postings count as accepted, the ledger has {}, or others", ledger.sink,
                               total.count, ledger.postings.size());
        if (std::string wrong = check_closed(*sink, ledger); !wrong.empty()) return wrong;
        ledger.waits.clear();
        if (std::string wrong = check_held(*sink, ledger); !wrong.empty()) return wrong;
    }
    return {};
}

std::string check_sums(const World& world) {
    const Ledger& ledger = world.ledgers[0];
    std::map<std::uint64_t, Event> counted;
    for (std::size_t i = 0; i < kSources; ++i) {
        for (const Stored& stored : world.streams[i]) {
            const auto letter = ledger.dead_letters.find({kSourceNames[i], stored.sequence, 0});
            if (letter != ledger.dead_letters.end() && letter->second.bytes != stored.bytes)
                return fmt::format("dead letter {} {} has other bytes", kSourceNames[i], stored.sequence);
            if (letter != ledger.dead_letters.end() || stored.event.kind == Event::noise) continue;
            if (stored.malformed)
                return fmt::format("broken message {} {} is no dead letter", kSourceNames[i], stored.sequence);
            const auto [known, fresh] = counted.emplace(stored.event.id, stored.event);
            if (!fresh && !(known->second == stored.event))
                return fmt::format("both contents of event {} were taken", stored.event.id);
        }
    }
    for (const auto& [place, retry] : world.retries) {
        if (!retry.accepted) continue;
        const auto [known, fresh] = counted.emplace(retry.event.id, retry.event);
        if (!fresh && !(known->second == retry.event))
            return fmt::format("event {} was taken already when it was sent again", retry.event.id);
    }
    std::map<std::pair<std::string, std::string>, std::int64_t> expected;
    std::map<std::pair<std::string, std::string>, std::int64_t> posted;
    std::size_t singles = 0;
    for (const auto& [id, event] : counted) {
        expected[{posted_as(event), fmt::format("{}", event.key)}] += event.quantity;
        singles += event.kind == Event::single ? 1 : 0;
    }
    for (const Posting* posting : made_for(ledger)) {
        posted[{posting->type, key_of(*posting)}] += quantity_of(*posting);
        if (posting->type == "single") --singles;
    }
    if (singles != 0) return "not every single event has its own posting";
    std::erase_if(expected, [](const auto& sum) { return sum.second == 0; });
    std::erase_if(posted, [](const auto& sum) { return sum.second == 0; });
    for (const auto& [place, sum] : expected) {
        const auto found = posted.find(place);
        if (found == posted.end() || found->second != sum)
            return fmt::format("{} {}: posted {}, must be {}", place.first, place.second,
                               found == posted.end() ? 0 : found->second, sum);
    }
    if (posted.size() != expected.size()) return "something is posted that nobody said";
    for (const Ledger& one : world.ledgers) {
        if (std::string wrong = check_revisions(one); !wrong.empty()) return wrong;
    }
    return check_audit(world);
}

std::string check_rules(const World& world) {
    return Rules(world).check();
}

}  // namespace takt::simulation
