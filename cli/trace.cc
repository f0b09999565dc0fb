#include <fmt/format.h>
#include <nats/nats.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <deque>
#include <map>
#include <unordered_map>

#include "cli/ledger_sink.h"
#include "cli/load.h"
#include "cli/reread.h"
#include "cli/verbs.h"
#include "operators/key_columns.h"
#include "pipeline/journal/kept_input.h"
#include "pipeline/plan/pane_finder.h"
#include "sinks/ledger_lineage.h"
#include "sinks/report_table.h"

namespace takt {
namespace {

struct TraceOptions {
    std::string config;
    std::string key;
    std::string event;
    std::string ledger;
    std::string state;
    std::string sink;
    std::string source;
    std::uint64_t from_sequence = 1;
};

/// The step of a posting. C662: the config does not make such postings.
Result<const KeyedNode*> find_step(const Plan& plan, const Posting& posting) {
    if (posting.pipeline != plan.pipeline) {
        return Error{"C662", fmt::format("posting {} is of the pipeline '{}', the config is of '{}'", posting.key,
                                         posting.pipeline, plan.pipeline)};
    }
    for (const auto& segment : plan.segments) {
        for (const KeyedNode& node : segment->terminals) {
            if (node.step == posting.type && node.output_segment < 0) return &node;
        }
    }
    return Error{"C662", fmt::format("the config has no posting '{}', of which {} is", posting.type, posting.key)};
}

std::string window_text(const std::optional<Timestamp>& start, const std::optional<Timestamp>& end) {
    return start && end ? fmt::format(", window {} to {}", format_timestamp(*start), format_timestamp(*end)) : "";
}

std::string text_of(const Batch& batch, Row row, Slot slot) {
    if (slot == kNoSlot || !batch.column(slot).valid().test(row)) return {};
    return std::string(batch.column(slot).values<std::string_view>()[row]);
}

// ---- a posting

/// What the events of a posting come to: its lineage and its numbers.
struct Sum {
    std::uint64_t events = 0;
    Hash128 ids;
    Int128 quantity = 0;
    Int128 amount = 0;
    bool operator==(const Sum&) const = default;
};

/// What is wrong where `before` and the posting's own value are not the value after it; empty: nothing.
std::string difference_mistake(std::string_view name, const std::string& unit, const Decimal& before,
                               const Decimal& own, const Decimal& after) {
    const auto sum = exact_sum(before, own);
    if (sum && compare(*sum, after) == 0) return {};
    const auto text = [](const Decimal& value) { return format_decimal(value.units, value.scale); };
    return fmt::format("it posts {} {} {}, and the pane had {} before it, which does not make the {} after it", name,
                       text(own), unit, text(before), text(after));
}

/// The same of its numbers and the revision before it.
Result<std::string> chain_mistake(LedgerLineage& ledger, const TracedPosting& traced) {
    const Posting& posting = traced.posting;
    Posting before;
    if (posting.revision > 1) {
        Result<TracedPosting> found = ledger.posting(posting.previous_key);
        if (!found && found.error().code != kNoPosting) return found.error();
        if (!found || found->posting.key != posting.previous_key || found->posting.revision + 1 != posting.revision) {
            return fmt::format(
                "the ledger lacks the revision before it, '{}', and no state directory that was named "
                "(--state) says where it is",
                posting.previous_key);
        }
        if (traced.booked && !found->booked && !found->closed)
            return fmt::format("the ledger lacks the revision before it, '{}', which nobody has closed",
                               posting.previous_key);
        before = std::move(found->posting);
    }
    std::string mistake;
    if (posting.has_quantity) {
        mistake = difference_mistake("quantity", posting.unit, {before.quantity_cumulative, before.quantity_scale},
                                     {posting.quantity, posting.quantity_scale},
                                     {posting.quantity_cumulative, posting.quantity_scale});
    }
    if (mistake.empty() && posting.has_amount) {
        mistake = difference_mistake("amount", posting.currency, {before.amount_cumulative, before.amount_scale},
                                     {posting.amount, posting.amount_scale},
                                     {posting.amount_cumulative, posting.amount_scale});
    }
    return mistake;
}

std::string text_of(const Sum& sum, const Posting& posting) {
    std::string text = fmt::format("{} event{}, hash {}", sum.events, sum.events == 1 ? "" : "s", to_hex(sum.ids));
    if (posting.has_quantity)
        text += fmt::format(", quantity {} {}", format_decimal_shortest(sum.quantity, posting.quantity_scale),
                            posting.unit);
    if (posting.has_amount)
        text += fmt::format(", amount {} {}", format_decimal(sum.amount, posting.amount_scale), posting.currency);
    return text;
}

/// Finds the events of one posting while its sources are read again: those that reach its pane, or panes of aggregates
/// whose rows do.
class PostingTrace {
  public:
    PostingTrace(const Plan& plan, const Posting& posting, const KeyedNode& step)
        : plan_(plan), posting_(posting), step_(step) {
        for (const auto& segment : plan.segments) {
            for (const KeyedNode& node : segment->terminals) {
                if (node.output_segment >= 0)
                    made_by_[plan.segments[static_cast<std::size_t>(node.output_segment)].get()] = &node;
                if (&node == &step_) of_panes_ = made_by_.contains(segment.get());
            }
        }
    }

    void see(const Segment& segment, const Part& part) {
        for (std::size_t i = 0; i < segment.terminals.size(); ++i) {
            const KeyedNode& node = segment.terminals[i];
            if (&node != &step_ && !(of_panes_ && node.output_segment >= 0)) continue;
            const auto* finder = dynamic_cast<const PaneFinder*>(node.op.get());
            CHECK(finder != nullptr);
            for (const Row row : part.rows_of[i + 1]) {
                if (part.batch->outcome[row] != kUndecided) continue;
                for (PaneOfRow& pane : finder->panes_of(*part.batch, row)) {
                    if (&node == &step_ && !is_it(*finder, pane)) continue;
                    note(segment, *part.batch, row, node, std::move(pane));
                }
            }
        }
    }

    /// When all is read: lineage and numbers, from the postings that come out of it.
    Sum sum(const std::vector<Posting>& postings) {
        Sum sum;
        std::map<Pane, std::vector<Window>> wanted;
        for (auto reached = reached_.rbegin(); reached != reached_.rend(); ++reached) {
            if (reached->into.first != &step_ && !contains(wanted, *reached)) continue;
            if (reached->from.first != nullptr) {
                wanted[reached->from].push_back(reached->from_window);
                continue;
            }
            ++sum.events;
            sum.ids += reached->id;
            events_.push_back(&*reached);
        }
        std::reverse(events_.begin(), events_.end());
        for (const Posting& made : postings) {
            if (made.key != first_key_) continue;
            sum.quantity = made.quantity_cumulative;
            sum.amount = made.amount_cumulative;
        }
        return sum;
    }

    /// The events that `sum` has found, in the order in which they were read.
    ReportTable events() const {
        ReportTable table;
        table.columns = {{"source"}, {"sequence", Align::right}, {"part", Align::right}, {"event_id"}, {"event_time"}};
        const std::size_t fixed = table.columns.size();
        for (const Reached* event : events_) {
            std::vector<std::string>& row = table.rows.emplace_back(event->cells);
            for (const PaneOfRow::Value& value : event->values) {
                const auto column =
                    std::find_if(table.columns.begin() + static_cast<std::ptrdiff_t>(fixed), table.columns.end(),
                                 [&](const ReportTable::ColumnHead& head) { return head.name == value.name; });
                const auto place = static_cast<std::size_t>(column - table.columns.begin());
                if (column == table.columns.end()) table.columns.push_back({value.name, Align::decimal});
                row.resize(std::max(row.size(), place + 1));
                row[place] = value.text;
            }
        }
        for (std::vector<std::string>& row : table.rows) row.resize(table.columns.size());
        return table;
    }

  private:
    using Pane = std::pair<const KeyedNode*, std::string>;  ///< of any window: step and encoded key

    /// A row that reached a pane: an event, or what a pane of an aggregate has sent on.
    struct Reached {
        Pane into;
        Window into_window;
        Pane from;  ///< of a pane's row; else null
        Window from_window;
        Hash128 id;  ///< of an event, as is what follows
        std::vector<std::string> cells;
        std::vector<PaneOfRow::Value> values;
    };

    bool is_it(const PaneFinder& finder, const PaneOfRow& pane) {
        if (pane.window_start != posting_.window_start || pane.window_end != posting_.window_end ||
            finder.posting_key(pane, posting_.revision) != posting_.key)
            return false;
        first_key_ = finder.posting_key(pane, 1);
        return true;
    }

    /// A session is as long as its events make it.
    static bool contains(const std::map<Pane, std::vector<Window>>& wanted, const Reached& reached) {
        const auto windows = wanted.find(reached.into);
        return windows != wanted.end() &&
               std::any_of(windows->second.begin(), windows->second.end(), [&](const Window& window) {
                   return window.start <= reached.into_window.start && reached.into_window.end <= window.end;
               });
    }

    void note(const Segment& segment, const Batch& batch, Row row, const KeyedNode& node, PaneOfRow&& pane) {
        Reached& reached = reached_.emplace_back();
        reached.into = {&node, std::move(pane.key)};
        reached.into_window = {pane.window_start.value_or(0), pane.window_end.value_or(0)};
        const auto made_by = made_by_.find(&segment);
        if (made_by != made_by_.end()) {
            // A pane's row begins with its key and window.
            const Slot start = segment.layout.find("window_start");
            std::vector<KeyColumn> by;
            for (Slot slot = 0; slot < start; ++slot)
                by.push_back({segment.layout.field(slot).name, slot, segment.layout.field(slot).type});
            reached.from = {made_by->second, encode_key(batch, row, by)};
            reached.from_window = {batch.column(start).values<Timestamp>()[row],
                                   batch.column(start + 1).values<Timestamp>()[row]};
            return;
        }
        const Origin& origin = batch.origin[row];
        if (segment.id_hash != kNoSlot) reached.id = batch.column(segment.id_hash).values<Hash128>()[row];
        reached.cells = {plan_.sources[batch.source].name, fmt::format("{}", origin.sequence),
                         fmt::format("{}", origin.part), text_of(batch, row, segment.id),
                         format_timestamp(batch.event_time[row])};
        reached.values = std::move(pane.values);
    }

    const Plan& plan_;
    const Posting& posting_;
    const KeyedNode& step_;
    bool of_panes_ = false;
    std::map<const Segment*, const KeyedNode*> made_by_;  ///< of segments of panes
    std::deque<Reached> reached_;                         ///< panes' rows after what reached the panes
    std::vector<const Reached*> events_;
    std::string first_key_;
};

/// Reads the ranges of the posting, or all before them, too: an id that counts there may have come earlier.
Status read_lineage(const Plan& plan, const Posting& posting, const Arrivals& arrivals, bool from_the_beginning,
                    Rerun& rerun) {
    for (const SourcePlan& source : plan.sources) {
        for (const Lineage::Range& range : posting.lineage.ranges) {
            if (range.source != source.name) continue;
            const SequenceRange wanted{from_the_beginning ? 1 : range.first_sequence, range.last_sequence};
            // What came later is in a later revision.
            if (const auto read = rerun_source(source, wanted, arrivals, rerun, posting.epoch); !read)
                return read.error();
        }
    }
    return {};
}

void print_head(const Posting& posting, const Plan& plan) {
    fmt::print("posting {}: {} {}, revision {}{}\n", posting.key, posting.type, key_text(posting.key_fields),
               posting.revision, window_text(posting.window_start, posting.window_end));
    for (const Lineage::Range& range : posting.lineage.ranges)
        fmt::print("lineage: {} {} to {}\n", range.source, range.first_sequence, range.last_sequence);
    if (posting.config_hash != plan.config_hash) {
        fmt::print("the config is not the one that made it: hash {}, then {}\n", plan.config_hash, posting.config_hash);
    }
}

/// The posting, and what the state directory says, where one is named.
Result<TracedPosting> find_posting(const TraceOptions& options, const LoadedPipeline& loaded, LedgerLineage& ledger,
                                   Unbooked& unbooked) {
    while (true) {
        const Result<TracedPosting> before = ledger.posting(options.key);
        Result<Unbooked> found = Unbooked::find(loaded, options.ledger, options.state, options.sink);
        if (!found) return found.error();
        unbooked = std::move(*found);
        ledger.set_unbooked(unbooked.postings());
        Result<TracedPosting> traced = ledger.posting(options.key);
        // The state knows what was closed before one that the ledger had when the state was read.
        if (!traced || !traced->booked || (before && before->booked)) return traced;
    }
}

int trace_posting(const TraceOptions& options, const LoadedPipeline& loaded, LedgerLineage& ledger) {
    const Plan& plan = *loaded.planned.plan;
    Unbooked unbooked;
    const Result<TracedPosting> traced = find_posting(options, loaded, ledger, unbooked);
    if (!traced) return fail(traced.error());
    const Posting* const posting = &traced->posting;
    const Result<const KeyedNode*> step = find_step(plan, *posting);
    if (!step) return fail(step.error());
    bool whole = true;
    for (const Lineage::Range& range : posting->lineage.ranges) {
        if (const auto source = find_source(plan, range.source); !source) return fail(source.error());
        whole = whole && range.first_sequence <= 1;
    }
    const Result<std::string> mistake = chain_mistake(ledger, *traced);
    if (!mistake) return fail(mistake.error());
    const Result<Arrivals> arrivals = find_arrivals(plan, ledger, options.state);
    if (!arrivals) return fail(arrivals.error());

    print_head(*posting, plan);
    if (!traced->booked) fmt::print("not in the ledger: {}\n", unbooked.text_of(posting->key));
    const Sum told{posting->lineage.events, posting->lineage.ids, posting->quantity_cumulative,
                   posting->amount_cumulative};
    Sum found;
    ReportTable events;
    std::string gone;
    for (const bool from_the_beginning : {false, true}) {
        if (from_the_beginning && (whole || found == told)) break;
        PostingTrace trace(plan, *posting, **step);
        Rerun rerun(plan, {.panes = true, .refused = arrivals->refused},
                    [&](const Segment& segment, const Part& part) { trace.see(segment, part); });
        if (Status read = read_lineage(plan, *posting, *arrivals, from_the_beginning, rerun); !read) {
            if (!from_the_beginning || read.error().code != kInputGone) return fail(read.error());
            gone = read.error().text();
            break;
        }
        found = trace.sum(rerun.finish());
        events = trace.events();
    }
    fmt::print("\n{}\n", events.text());
    if (found == told && !mistake->empty()) {
        fmt::print("NOT proved: {}\n", *mistake);
        return kExitDifference;
    }
    if (found == told) {
        fmt::print("proved: {}\n", text_of(told, *posting));
        return kExitOk;
    }
    fmt::print("NOT proved: the {} has {}; the sources have {}\n", traced->booked ? "ledger" : "outbox",
               text_of(told, *posting), text_of(found, *posting));
    if (!gone.empty()) fmt::print("an id may have come before, and what came then cannot be read: {}\n", gone);
    return kExitDifference;
}

// ---- an event

/// Tells where the events of one id went while sources are read again.
class EventTrace {
  public:
    EventTrace(const Plan& plan, const TraceOptions& options, LedgerLineage& ledger, const Unbooked& unbooked,
               const Arrivals& arrivals)
        : plan_(plan),
          id_(options.event),
          knows_state_(!options.state.empty()),
          ledger_(ledger),
          unbooked_(unbooked),
          arrivals_(arrivals) {}

    void see(const Segment& segment, const Part& part, bool again) {
        const Batch& batch = *part.batch;
        if (segment.dedup) {
            const auto* hashes = batch.column(segment.dedup->key_hash).values<std::uint64_t>();
            for (const Row row : part.rows_of[0]) {
                if (batch.outcome[row] == kUndecided) firsts_.try_emplace(hashes[row], place_of(batch, row));
            }
        }
        if (segment.id == kNoSlot) return;
        const Column& ids = batch.column(segment.id);
        const auto* texts = ids.values<std::string_view>();
        for (std::uint32_t row = 0; row < batch.rows; ++row) {
            if (texts[row] == id_ && ids.valid().test(row)) tell(segment, part, static_cast<Row>(row), again);
        }
    }

    std::uint64_t found() const { return found_; }
    /// The first failure of the ledger.
    const Status& status() const { return status_; }

  private:
    static EventPlace place_of(const Batch& batch, Row row) {
        return {batch.source, batch.origin[row].sequence, batch.origin[row].part};
    }
    std::string text_of_place(const EventPlace& place) const {
        return fmt::format("{} sequence {}{}", plan_.sources[place.source].name, place.sequence,
                           place.part == 0 ? "" : fmt::format(" part {}", place.part));
    }

    void tell(const Segment& segment, const Part& part, Row row, bool again) {
        const Batch& batch = *part.batch;
        ++found_;
        fmt::print("{}{}, event time {}: ", text_of_place(place_of(batch, row)), again ? ", sent again" : "",
                   batch.event_time[row] == 0 ? "none" : format_timestamp(batch.event_time[row]));
        const OutcomeCode code = batch.outcome[row];
        if (code == kUndecided) return tell_panes(segment, part, row, again);
        const Outcome& outcome = plan_.outcomes.at(code);
        switch (outcome.kind) {
            case OutcomeKind::duplicate:
                return tell_duplicate(segment, batch, row);
            case OutcomeKind::filtered:
                fmt::print("filtered by rule '{}' of '{}'\n", outcome.rule, outcome.step);
                return;
            default:
                break;
        }
        const auto text = std::find_if(batch.reject_texts.begin(), batch.reject_texts.end(),
                                       [&](const RejectText& one) { return one.row == row && one.outcome == code; });
        fmt::print("dead letter {} of '{}', owner {}{}{}\n", outcome.rule, outcome.step, outcome.owner,
                   text == batch.reject_texts.end() ? "" : ": ",
                   text == batch.reject_texts.end() ? std::string_view() : text->text);
    }

    void tell_duplicate(const Segment& segment, const Batch& batch, Row row) const {
        const auto first = firsts_.find(batch.column(segment.dedup->key_hash).values<std::uint64_t>()[row]);
        fmt::print("duplicate of {}\n", first == firsts_.end() ? "an event before" : text_of_place(first->second));
    }

    void tell_panes(const Segment& segment, const Part& part, Row row, bool again) {
        const Batch& batch = *part.batch;
        const EventPlace place = place_of(batch, row);
        const std::uint64_t first_epoch = again ? arrivals_.retries.at(place).epoch : 0;
        fmt::print("accepted\n");
        for (std::size_t i = 0; i < segment.terminals.size(); ++i) {
            const KeyedNode& node = segment.terminals[i];
            const auto* finder = dynamic_cast<const PaneFinder*>(node.op.get());
            const std::span<const Row> rows = part.rows_of[i + 1];
            if (finder == nullptr || !std::binary_search(rows.begin(), rows.end(), row)) continue;
            for (const PaneOfRow& pane : finder->panes_of(batch, row)) {
                fmt::print("  {} {}{}", node.step, key_text(pane.key_fields),
                           window_text(pane.window_start, pane.window_end));
                for (const PaneOfRow::Value& value : pane.values) fmt::print(", {} {}", value.name, value.text);
                fmt::print(": {}\n", node.output_segment >= 0 ? "a pane of an aggregate"
                                                              : posting_of(*finder, pane, place, first_epoch));
            }
        }
    }

    /// The first revision of the pane that the event is part of; it came in that epoch or later.
    std::string posting_of(const PaneFinder& finder, const PaneOfRow& pane, const EventPlace& place,
                           std::uint64_t first_epoch) {
        const std::string_view state_says = knows_state_ ? "" : " (--state says)";
        std::uint32_t known = 0;
        std::uint32_t lacking = 0;
        for (std::uint32_t revision = 1; lacking < 2; ++revision) {  // one that was closed may lie in between
            const Result<TracedPosting> traced = ledger_.posting(finder.posting_key(pane, revision));
            if (!traced) {
                if (traced.error().code != kNoPosting && status_) status_ = traced.error();
                ++lacking;
                continue;
            }
            ++known;
            lacking = 0;
            const Posting& posting = traced->posting;
            for (const Lineage::Range& range : posting.lineage.ranges) {
                if (posting.epoch < first_epoch || range.source != plan_.sources[place.source].name ||
                    place.sequence < range.first_sequence || range.last_sequence < place.sequence)
                    continue;
                std::string text = fmt::format("posting {} revision {}", posting.key, revision);
                if (!traced->booked) text += ", not in the ledger: " + unbooked_.text_of(posting.key);
                if (known < revision) text += fmt::format(", or an earlier one that the ledger lacks{}", state_says);
                return text;
            }
        }
        std::string text = known == 0 ? "not in the ledger: its window is open, or comes to zero"
                                      : fmt::format("in none of {} revisions: it came after them", known);
        if (!knows_state_) text += fmt::format(", or its posting is held or closed{}", state_says);
        return text;
    }

    const Plan& plan_;
    const std::string& id_;
    bool knows_state_;
    LedgerLineage& ledger_;
    const Unbooked& unbooked_;
    const Arrivals& arrivals_;
    std::unordered_map<std::uint64_t, EventPlace> firsts_;  ///< by hash of what the deduplication goes by
    std::uint64_t found_ = 0;
    Status status_;
};

int trace_event(const TraceOptions& options, const LoadedPipeline& loaded, LedgerLineage& ledger) {
    const Plan& plan = *loaded.planned.plan;
    if (!options.source.empty()) {
        if (const auto source = find_source(plan, options.source); !source) return fail(source.error());
    }
    const Result<Arrivals> arrivals = find_arrivals(plan, ledger, options.state);
    if (!arrivals) return fail(arrivals.error());
    const Result<Unbooked> unbooked = Unbooked::find(loaded, options.ledger, options.state, options.sink);
    if (!unbooked) return fail(unbooked.error());
    ledger.set_unbooked(unbooked->postings());
    EventTrace trace(plan, options, ledger, *unbooked, *arrivals);
    Rerun rerun(plan, {.panes = false, .refused = arrivals->refused},
                [&](const Segment& segment, const Part& part) { trace.see(segment, part, rerun.of_retry()); });
    for (const SourcePlan& source : plan.sources) {
        if (!options.source.empty() && source.name != options.source) continue;
        const auto read = rerun_source(source, {.first = options.from_sequence}, *arrivals, rerun);
        if (!read) return fail(read.error());
    }
    if (!trace.status()) return fail(trace.status().error());
    if (trace.found() > 0) return kExitOk;
    fmt::print("no event has the id '{}'\n", options.event);
    return kExitDifference;
}

int run(const TraceOptions& options) {
    nats_Open(-1);  // before any thread that makes a message
    if (options.key.empty() == options.event.empty()) {
        return fail({"C663", "what is to be traced? Name a posting by its key, or an event with --event"});
    }
    const auto loaded = load_pipeline(options.config);
    if (!loaded) return kExitMistake;
    const Plan& plan = *loaded->planned.plan;
    auto ledger = LedgerLineage::open(options.ledger);
    if (!ledger) return fail(ledger.error());
    if (Status tables = load_live_tables(plan); !tables) return fail(tables.error());
    return options.event.empty() ? trace_posting(options, *loaded, *ledger) : trace_event(options, *loaded, *ledger);
}

}  // namespace

void add_trace(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("trace", "proves from the sources which events made a posting");
    verb->footer("With --event: where an event went. Posts, acknowledges and moves nothing.");
    auto options = std::make_shared<TraceOptions>();  // shared: by the callback of the verb
    verb->add_option("CONFIG", options->config, "the pipeline")->required();
    verb->add_option("KEY", options->key, "idempotency key of a posting, or its first digits");
    verb->add_option("--event", options->event, "where the events of this id went")->type_name("ID");
    verb->add_option("--ledger", options->ledger, "file that a sqlite sink of the pipeline writes")
        ->required()
        ->type_name("FILE");
    verb->add_option("--state", options->state,
                     "state directory: what its dead letters became when they were sent again, and which postings the "
                     "ledger lacks")
        ->type_name("FOLDER");
    verb->add_option("--sink", options->sink, "with --state: which sink writes the ledger, where there are several");
    verb->add_option("--source", options->source, "with --event: read this source only")->type_name("NAME");
    verb->add_option("--from-sequence", options->from_sequence,
                     "with --event: read from here on; what an id met before is not seen then")
        ->check(CLI::PositiveNumber);
    verb->callback([options, &invocation] { invocation.exit_code = run(*options); });
}

}  // namespace takt
