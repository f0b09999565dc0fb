#pragma once

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/plan.h"
#include "tests/support/planned_connectors.h"

namespace takt::synthetic {

/// An event as bytes: what the tests feed. Any other size is malformed.
struct Event {
    enum Kind : std::uint64_t { sale, noise, incomplete, both_branches, rejected_and_taken, nowhere, too_early };
    std::uint64_t id = 0;
    std::uint64_t key = 0;
    std::int64_t time = 0;
    std::int64_t amount = 0;
    std::uint64_t kind = sale;
    std::uint64_t partition = 0;
};

inline Event sale(std::uint64_t id, std::int64_t time, std::uint64_t key = 7, std::int64_t amount = 10) {
    return {.id = id, .key = key, .time = time, .amount = amount};
}

constexpr Duration kWindow = 1000;
constexpr Duration kLateness = 2000;
constexpr Duration kHorizon = 20'000;

/// Everything of the plan that a test needs to know.
struct Slots {
    Slot id = 0, key = 0, amount = 0, kind = 0, key_hash = 0, id_hash = 0, late_after = 0, id_text = 0, partition = 0;
};
struct Codes {
    OutcomeCode clock = 0, noise = 0, incomplete = 0, branch = 0, duplicate = 0, too_late = 0;
};

inline std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

class EventDecoder final : public MessageDecoder {
  public:
    explicit EventDecoder(Slots slots) : slots_(slots) {}

  private:
    void read(std::string_view bytes, Batch& batch, Row row) const override {
        Event event;
        if (bytes.size() == sizeof(Event)) {
            std::memcpy(&event, bytes.data(), sizeof(Event));
        } else {
            batch.outcome[row] = kMalformed;
            batch.reject_texts.push_back({row, "another size"});
        }
        batch.column(slots_.id).values<std::uint64_t>()[row] = event.id;
        batch.column(slots_.key).values<std::uint64_t>()[row] = event.key;
        batch.column(slots_.amount).values<std::int64_t>()[row] = event.amount;
        batch.column(slots_.kind).values<std::uint64_t>()[row] = event.kind;
        batch.event_time[row] = event.time;
        batch.column(slots_.id_text).values<std::string_view>()[row] = batch.arena.copy(fmt::format("id-{}", event.id));
        batch.column(slots_.id_text).valid().set(row);
        batch.column(slots_.partition).values<std::string_view>()[row] =
            batch.arena.copy(fmt::format("p{}", event.partition));
        batch.column(slots_.partition).valid().set(row);
    }

    Slots slots_;
};

/// Row operators as lambdas: (batch, row, outputs).
class EachRow final : public RowOperator {
  public:
    using Body = std::function<void(Batch&, Row, std::span<Selection* const>)>;
    explicit EachRow(Body body) : body_(std::move(body)) {}
    void process(Batch& batch, std::span<const Selection* const> in, std::span<Selection* const> out,
                 Scratch&) const override {
        for (Selection* selection : out) selection->clear();
        for (const Row row : *in[0]) body_(batch, row, out);
    }

  private:
    Body body_;
};

/// First come by id within the horizon.
class Dedup final : public KeyedOperator {
  public:
    Dedup(Slots slots, const OutcomeTable* outcomes, OutcomeCode duplicate)
        : slots_(slots), outcomes_(outcomes), duplicate_(duplicate) {}
    std::unique_ptr<KeyedState> make_state() const override { return std::make_unique<State>(*this); }

  private:
    struct State final : KeyedState {
        explicit State(const Dedup& op) : op_(op) {}
        void process(Batch& batch, std::span<const Row> rows, Timestamp) override {
            for (const Row row : rows) {
                const std::uint64_t id = batch.column(op_.slots_.id).values<std::uint64_t>()[row];
                if (seen_.contains(id)) {
                    batch.outcome[row] = op_.duplicate_;
                } else if (batch.outcome[row] == kUndecided || batch.outcome[row] == kUnroutedAfterDedup) {
                    seen_[id] = batch.event_time[row];
                }
            }
        }
        void end_epoch(Timestamp, Timestamp after, std::uint64_t, LaneOutput&) override {
            std::erase_if(seen_,
                          [&](const auto& entry) { return entry.second < saturating_subtract(after, kHorizon); });
        }
        void save(StateGroups&) const override {}
        bool load(std::string_view) override { return false; }
        std::uint64_t entries() const override { return seen_.size(); }
        std::uint64_t size_bytes() const override { return seen_.size() * 16; }
        const Dedup& op_;
        std::map<std::uint64_t, Timestamp> seen_;
    };
    Slots slots_;
    const OutcomeTable* outcomes_;
    OutcomeCode duplicate_;
};

/// Sums by key and window; a window posts at its end and again when late rows came.
class Sum final : public KeyedOperator {
  public:
    Sum(std::uint32_t node, std::string type, Slots slots, bool panes)
        : node_(node), type_(std::move(type)), slots_(slots), panes_(panes) {}
    std::unique_ptr<KeyedState> make_state() const override { return std::make_unique<State>(*this); }

  private:
    struct Pane {
        std::int64_t sum = 0;
        std::uint64_t events = 0, first = UINT64_MAX, last = 0;
        std::uint32_t revision = 0;
        bool changed = false;
        bool operator==(const Pane&) const = default;
    };
    struct State final : KeyedState {
        explicit State(const Sum& op) : op_(op) {}
        void process(Batch& batch, std::span<const Row> rows, Timestamp) override {
            for (const Row row : rows) {
                if (batch.outcome[row] != kUndecided) continue;
                const Timestamp end = (batch.event_time[row] / kWindow + 1) * kWindow;
                Pane& pane = open_[{end, batch.column(op_.slots_.key).values<std::uint64_t>()[row]}];
                pane.sum += batch.column(op_.slots_.amount).values<std::int64_t>()[row];
                ++pane.events;
                pane.first = std::min(pane.first, batch.origin[row].sequence);
                pane.last = std::max(pane.last, batch.origin[row].sequence);
                pane.changed = true;
            }
        }
        void end_epoch(Timestamp, Timestamp after, std::uint64_t, LaneOutput& output) override {
            for (auto it = open_.begin(); it != open_.end();) {
                auto& [place, pane] = *it;
                if (place.first <= after && pane.changed) emit(place.first, place.second, pane, output);
                it = saturating_add(place.first, kLateness) < after ? open_.erase(it) : std::next(it);
            }
        }
        void emit(Timestamp end, std::uint64_t key, Pane& pane, LaneOutput& output) {
            pane.changed = false;
            ++pane.revision;
            const OutputOrder order{end, op_.node_, fmt::format("{:020}", key), pane.revision};
            const Lineage lineage{{{"a", pane.first, pane.last}}, pane.events, {}};
            if (op_.panes_) {
                output.rows.push_back({order, end, {Scalar(key % 3), Scalar(pane.sum)}, lineage});
                return;
            }
            Posting posting;
            posting.type = op_.type_;
            posting.key = fmt::format("{}/{}/{}/{}", op_.type_, end, key, pane.revision);
            posting.revision = pane.revision;
            posting.amount = posting.amount_cumulative = pane.sum;
            if (pane.revision > 1)
                posting.previous_key = fmt::format("{}/{}/{}/{}", op_.type_, end, key, pane.revision - 1);
            posting.lineage = lineage;
            output.postings.push_back({order, posting});
        }
        void save(StateGroups&) const override {}
        bool load(std::string_view) override { return false; }
        std::uint64_t entries() const override { return open_.size(); }
        std::uint64_t size_bytes() const override { return open_.size() * sizeof(Pane); }
        const Sum& op_;
        std::map<std::pair<Timestamp, std::uint64_t>, Pane> open_;
    };
    std::uint32_t node_;
    std::string type_;
    Slots slots_;
    bool panes_;
};

struct Options {
    std::size_t sources = 1;
    bool dedup = true;
    bool panes = false;  ///< the second terminal feeds a segment of panes
    bool partitions = false;
    TimePolicy time = {.out_of_order = 500, .idle = 0};
};

struct SyntheticPlan {
    Plan plan;
    Slots slots;
    Codes codes;
};

/// source → clock → filter (noise) → dedup → complete (incomplete is a dead letter after the deduplication) → two
/// branches, each with a terminal: sale and both_branches go to `left`; both_branches and rejected_and_taken to
/// `right`; rejected_and_taken is rejected in the left branch.
inline std::unique_ptr<SyntheticPlan> make_plan(const Options& options) {
    auto made = std::make_unique<SyntheticPlan>();
    Plan& plan = made->plan;
    Slots& s = made->slots;
    Codes& c = made->codes;
    plan.pipeline = "synthetic";
    c.clock = plan.outcomes.add({OutcomeKind::dead_letter, "CLOCK_INVALID", "plant_it", "clock", false});
    plan.crashed = plan.outcomes.add({OutcomeKind::dead_letter, "CRASH", "plant_it", "decode", false});
    c.noise = plan.outcomes.add({OutcomeKind::filtered, "noise", "", "keep", false});
    c.duplicate = plan.outcomes.add({OutcomeKind::duplicate, "", "", "once", false});
    c.incomplete =
        plan.outcomes.add({OutcomeKind::dead_letter, "MISSING_FIELD", "plant_it", "complete", options.dedup});
    c.branch = plan.outcomes.add({OutcomeKind::filtered, "left_only", "", "branch", options.dedup});
    c.too_late = plan.outcomes.add({OutcomeKind::dead_letter, "TOO_LATE", "plant_it", "window", options.dedup});

    auto segment = std::make_unique<Segment>();
    Segment& g = *segment;
    g.name = "events";
    const auto column = [&](const char* name, TypeKind kind) { return g.layout.add({name, Type::of(kind)}); };
    s.id = column("id", TypeKind::uint64);
    s.key = column("key", TypeKind::uint64);
    s.amount = column("amount", TypeKind::int64);
    s.kind = column("kind", TypeKind::uint64);
    s.key_hash = column("#key_hash", TypeKind::uint64);
    s.id_hash = column("#id_hash", TypeKind::uint64);
    s.late_after = column("#late_after", TypeKind::timestamp);
    s.id_text = column("id_text", TypeKind::string);
    s.partition = column("partition", TypeKind::string);
    g.late_after = s.late_after;
    g.too_late = c.too_late;
    g.id = s.id_text;
    if (options.partitions) g.partition = s.partition;

    // Streams: one entry a source, then what the steps make.
    const auto entry_count = static_cast<StreamId>(options.sources);
    StreamId next = entry_count;
    const auto add_node = [&](const char* step, StreamId in, int outs, EachRow::Body body) {
        RowNode node{step, std::make_unique<EachRow>(std::move(body)), {in}, {}};
        for (int i = 0; i < outs; ++i) node.out.push_back(next++);
        g.nodes.push_back(std::move(node));
        return next - outs;
    };
    const auto kind_of = [s](const Batch& batch, Row row) { return batch.column(s.kind).values<std::uint64_t>()[row]; };
    std::vector<StreamId> clocked;
    for (StreamId entry = 0; entry < entry_count; ++entry) {
        clocked.push_back(add_node("clock", entry, 1, [=](Batch& batch, Row row, std::span<Selection* const> out) {
            if (kind_of(batch, row) == Event::too_early) return reject(batch, row, c.clock, "before its time");
            out[0]->push_back(row);
        }));
    }
    const StreamId all = next++;
    struct Union final : RowOperator {
        void process(Batch& batch, std::span<const Selection* const> in, std::span<Selection* const> out,
                     Scratch&) const override {
            out[0]->clear();
            for (const Selection* selection : in) {
                for (const Row row : *selection) {
                    if (batch.outcome[row] == kUndecided) out[0]->push_back(row);
                }
            }
        }
    };
    g.nodes.push_back({"all", std::make_unique<Union>(), clocked, {all}});
    const StreamId kept = add_node("keep", all, 1, [=](Batch& batch, Row row, std::span<Selection* const> out) {
        if (kind_of(batch, row) == Event::noise) return reject(batch, row, c.noise);
        batch.column(s.key_hash).values<std::uint64_t>()[row] = mix(batch.column(s.key).values<std::uint64_t>()[row]);
        batch.column(s.id_hash).values<std::uint64_t>()[row] = mix(~batch.column(s.id).values<std::uint64_t>()[row]);
        out[0]->push_back(row);
    });
    const StreamId complete =
        add_node("complete", kept, 1, [=](Batch& batch, Row row, std::span<Selection* const> out) {
            if (kind_of(batch, row) == Event::incomplete) return reject(batch, row, c.incomplete, "no field");
            batch.column(s.late_after).values<Timestamp>()[row] =
                (batch.event_time[row] / kWindow + 1) * kWindow + kLateness;
            out[0]->push_back(row);
        });
    const StreamId left = add_node("branch", complete, 1, [=](Batch& batch, Row row, std::span<Selection* const> out) {
        const std::uint64_t kind = kind_of(batch, row);
        if (kind == Event::rejected_and_taken) return reject(batch, row, c.branch, "not for the left");
        if (kind != Event::nowhere) out[0]->push_back(row);
    });
    const StreamId right = add_node("right", complete, 1, [=](Batch& batch, Row row, std::span<Selection* const> out) {
        const std::uint64_t kind = kind_of(batch, row);
        if (kind == Event::both_branches || kind == Event::rejected_and_taken) out[0]->push_back(row);
    });
    g.streams = next;
    if (options.dedup) {
        g.dedup = KeyedNode{"once", std::make_unique<Dedup>(s, &plan.outcomes, c.duplicate), kept, s.id_hash, -1};
    }
    g.terminals.push_back({"left", std::make_unique<Sum>(1, "left", s, false), left, s.key_hash, -1});
    g.terminals.push_back(
        {"right", std::make_unique<Sum>(2, "right", s, options.panes), right, s.key_hash, options.panes ? 1 : -1});
    plan.segments.push_back(std::move(segment));

    if (options.panes) {
        auto panes = std::make_unique<Segment>();
        Slots p;
        p.key = panes->layout.add({"group", Type::of(TypeKind::uint64)});
        p.amount = panes->layout.add({"sum", Type::of(TypeKind::int64)});
        panes->events = panes->layout.add({"#events", Type::of(TypeKind::uint64)});
        panes->streams = 1;
        panes->name = "right_panes";
        panes->terminals.push_back({"grouped", std::make_unique<Sum>(3, "grouped", p, false), 0, kNoSlot, -1});
        plan.segments.push_back(std::move(panes));
    }
    const auto decoder = std::make_shared<EventDecoder>(s);
    for (std::uint32_t i = 0; i < options.sources; ++i) {
        plan.sources.push_back({.name = std::string(1, static_cast<char>('a' + i)),
                                .connector = "test",
                                .index = i,
                                .segment = 0,
                                .stream = static_cast<StreamId>(i),
                                .decoder = decoder,
                                .time = options.time,
                                .make = {}});
    }
    return made;
}

/// Messages of a source with sequences from `first_sequence`; an event with id 0 becomes malformed bytes.
inline std::shared_ptr<const MessageBlock> make_block(const std::vector<Event>& events,
                                                      std::uint64_t first_sequence = 1, Timestamp ingest_time = 0) {
    auto block = std::make_shared<MessageBlock>();
    auto bytes = std::make_shared<std::vector<Event>>(events);
    for (std::size_t i = 0; i < events.size(); ++i) {
        const char* data = reinterpret_cast<const char*>(&(*bytes)[i]);
        const std::size_t size = events[i].id == 0 ? 5 : sizeof(Event);
        block->messages.push_back(
            {{data, size}, "plant.a", first_sequence + i, ingest_time != 0 ? ingest_time : events[i].time});
        block->size_bytes += size;
    }
    block->keep = bytes;
    return block;
}

/// A mixed stream: time runs on with disorder, ids repeat, every kind occurs.
inline std::vector<Event> random_events(std::size_t count, unsigned seed) {
    std::mt19937_64 random(seed);
    std::vector<Event> events;
    for (std::size_t i = 0; i < count; ++i) {
        Event event;
        event.id = random() % 100 == 0 ? 0 : 1 + i - std::min<std::uint64_t>(i, random() % 10 == 0 ? random() % 50 : 0);
        event.key = random() % 97;
        event.time = static_cast<std::int64_t>(
            10'000 + i - std::min<std::uint64_t>(9'000, random() % 50 == 0 ? random() % 6000 : random() % 300));
        event.amount = static_cast<std::int64_t>(random() % 1000);
        event.kind = random() % 2 == 0 ? Event::sale : random() % 7;
        event.partition = random() % 2;
        events.push_back(event);
    }
    return events;
}

/// Everything of a result but the measurements, as text.
inline std::string to_text(const EpochResult& result) {
    std::string text =
        fmt::format("epoch {} [{}, {}] messages {} rows {} panes {}\n", result.epoch, result.watermark_before,
                    result.watermark_after, result.messages, result.rows, result.pane_rows);
    for (const SourceCut& cut : result.cuts) {
        text += fmt::format("cut {} {} {}\n", cut.last_sequence, cut.highest_event_time, cut.last_ingest_time);
    }
    text += fmt::format("outcomes {}\n", fmt::join(result.outcomes, " "));
    text += fmt::format("pane outcomes {}\n", fmt::join(result.pane_outcomes, " "));
    for (const Posting& posting : result.postings) {
        text += fmt::format("posting {} {} {} {}\n", posting.key, static_cast<std::int64_t>(posting.amount),
                            posting.lineage.events, posting.epoch);
    }
    for (const DeadLetter& letter : result.dead_letters) {
        text +=
            fmt::format("dead {} {} {} {} {} {} {} {} {}\n", letter.source, letter.sequence, letter.subject,
                        letter.event_id, letter.reason, letter.text, letter.step, letter.bytes.size(), letter.epoch);
    }
    return text;
}

}  // namespace takt::synthetic
