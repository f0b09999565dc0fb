#include <fmt/format.h>
#include <nats/nats.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <unordered_map>

#include "cli/arguments.h"
#include "cli/ledger_sink.h"
#include "cli/load.h"
#include "cli/reread.h"
#include "cli/verbs.h"
#include "sinks/ledger_lineage.h"
#include "sinks/report_table.h"

namespace takt {
namespace {

struct ReplayOptions {
    std::string config;
    std::string ledger;
    std::string state;
    std::string sink;
    std::optional<Timestamp> from;
    std::optional<Timestamp> to;
    std::uint64_t from_sequence = 1;
    std::string format = "table";
};

/// A pane in one of the two books, or in both.
struct ComparedPane {
    std::string type;
    std::string key_fields;
    std::optional<Timestamp> window_start;
    std::optional<Timestamp> window_end;
    std::int32_t posting_date = 0;
    std::string unit;
    std::string currency;
    std::string key;  ///< of its last posting, closed ones among them; of its first one, where the ledger has none

    struct Numbers {
        std::optional<Decimal> quantity;
        std::optional<Decimal> amount;
    };
    std::optional<Numbers> posted;  ///< by all of its postings
    std::optional<Numbers> recomputed;
    bool adds_up = true;     ///< that is what the last posting says of all
    std::size_t closed = 0;  ///< of its postings, settled by people and counted in `posted`
};

const Decimal kZero;

bool same(const std::optional<Decimal>& a, const std::optional<Decimal>& b) {
    return compare(a.value_or(kZero), b.value_or(kZero)) == 0;
}

/// "missing", "extra", "different" or, where the numbers are right and the ledger contradicts itself, "inconsistent";
/// empty: the books agree. A pane that comes to zero need not be there.
std::string_view judge(const ComparedPane& pane) {
    const ComparedPane::Numbers posted = pane.posted.value_or(ComparedPane::Numbers{});
    const ComparedPane::Numbers recomputed = pane.recomputed.value_or(ComparedPane::Numbers{});
    if (same(posted.quantity, recomputed.quantity) && same(posted.amount, recomputed.amount))
        return pane.adds_up ? "" : "inconsistent";
    if (!pane.posted) return "missing";
    return pane.recomputed ? "different" : "extra";
}

/// Whether the pane's window lies in [from, to). One without a window is as long as its posting date in UTC.
bool lies_in(const ComparedPane& pane, const ReplayOptions& options) {
    const Timestamp start = pane.window_start.value_or(pane.posting_date * kDay);
    const Timestamp end = pane.window_end.value_or(start + kDay);
    return (!options.from || start >= *options.from) && (!options.to || end <= *options.to);
}

std::vector<ComparedPane> compare_books(const std::vector<LedgerPane>& ledger, std::vector<Posting>&& postings) {
    std::vector<ComparedPane> panes;
    std::unordered_map<std::string, std::size_t> by_first_key;
    for (const LedgerPane& one : ledger) {
        by_first_key[one.first_key] = panes.size();
        panes.push_back({one.type, one.key_fields, one.window_start, one.window_end, one.posting_date, one.unit,
                         one.currency, one.last_key, ComparedPane::Numbers{one.posted_quantity, one.posted_amount},
                         std::nullopt, same(one.posted_quantity, one.quantity) && same(one.posted_amount, one.amount),
                         one.closed});
    }
    for (const Posting& one : postings) {
        ComparedPane::Numbers numbers;
        if (one.has_quantity) numbers.quantity = Decimal{one.quantity_cumulative, one.quantity_scale};
        if (one.has_amount) numbers.amount = Decimal{one.amount_cumulative, one.amount_scale};
        const auto known = by_first_key.find(one.key);
        if (known != by_first_key.end()) {
            panes[known->second].recomputed = numbers;
            continue;
        }
        panes.push_back({one.type, key_text(one.key_fields), one.window_start, one.window_end, one.posting_date,
                         one.unit, one.currency, one.key, std::nullopt, numbers});
    }
    std::sort(panes.begin(), panes.end(), [](const ComparedPane& a, const ComparedPane& b) {
        return std::tie(a.type, a.key_fields, a.window_start, a.key) <
               std::tie(b.type, b.key_fields, b.window_start, b.key);
    });
    return panes;
}

std::string text_of(const std::optional<ComparedPane::Numbers>& numbers,
                    std::optional<Decimal> ComparedPane::Numbers::*number) {
    if (!numbers || !((*numbers).*number)) return {};
    const Decimal& value = *((*numbers).*number);
    return format_decimal(value.units, value.scale);
}

/// recomputed - posted.
std::optional<Decimal> difference(const ComparedPane& pane, std::optional<Decimal> ComparedPane::Numbers::*number) {
    const auto value = [&](const std::optional<ComparedPane::Numbers>& numbers) {
        return numbers ? ((*numbers).*number).value_or(kZero) : kZero;
    };
    return exact_difference(value(pane.recomputed), value(pane.posted));
}

/// What differs, a row each, and how much by type, unit and currency.
struct Report {
    ReportTable differences;
    ReportTable totals;
    std::size_t compared = 0;
    std::size_t closed = 0;         ///< postings that people have settled
    std::size_t open = 0;           ///< not posted yet, as their windows are not closed
    std::size_t contradictory = 0;  ///< of those that differ: what was posted is not the cumulative value
    std::map<std::string_view, std::size_t> counts;
};

struct TotalOf {
    Decimal quantity;
    Decimal amount;
    std::size_t panes = 0;
};

void add(Decimal& sum, const std::optional<Decimal>& more) {
    if (!more) return;
    const auto total = exact_sum(sum, *more);
    CHECK(total.has_value());
    sum = *total;
}

Report make_report(const std::vector<ComparedPane>& panes, const ReplayOptions& options, Timestamp watermark) {
    Report report;
    report.differences.columns = {{"difference"},
                                  {"type"},
                                  {"for"},
                                  {"window_start"},
                                  {"window_end"},
                                  {"posted_quantity", Align::decimal},
                                  {"quantity", Align::decimal},
                                  {"unit"},
                                  {"posted_amount", Align::decimal},
                                  {"amount", Align::decimal},
                                  {"currency"},
                                  {"posting"}};
    report.totals.columns = {{"type"}, {"panes", Align::right},    {"quantity", Align::decimal},
                             {"unit"}, {"amount", Align::decimal}, {"currency"}};
    std::map<std::tuple<std::string, std::string, std::string>, TotalOf> totals;
    const auto time = [](const std::optional<Timestamp>& at) { return at ? format_timestamp(*at) : std::string(); };
    for (const ComparedPane& pane : panes) {
        if (!lies_in(pane, options)) continue;
        if (!pane.posted && pane.window_end && *pane.window_end > watermark) {
            ++report.open;
            continue;
        }
        ++report.compared;
        report.closed += pane.closed;
        const std::string_view found = judge(pane);
        if (found.empty()) continue;
        ++report.counts[found];
        if (!pane.adds_up) ++report.contradictory;
        using Numbers = ComparedPane::Numbers;
        report.differences.rows.push_back({std::string(found), pane.type, pane.key_fields, time(pane.window_start),
                                           time(pane.window_end), text_of(pane.posted, &Numbers::quantity),
                                           text_of(pane.recomputed, &Numbers::quantity), pane.unit,
                                           text_of(pane.posted, &Numbers::amount),
                                           text_of(pane.recomputed, &Numbers::amount), pane.currency, pane.key});
        TotalOf& total = totals[{pane.type, pane.unit, pane.currency}];
        ++total.panes;
        add(total.quantity, difference(pane, &Numbers::quantity));
        add(total.amount, difference(pane, &Numbers::amount));
    }
    for (const auto& [what, total] : totals) {
        const auto& [type, unit, currency] = what;
        report.totals.rows.push_back({type, fmt::format("{}", total.panes),
                                      format_decimal(total.quantity.units, total.quantity.scale), unit,
                                      format_decimal(total.amount.units, total.amount.scale), currency});
    }
    return report;
}

int print(Report& report, const std::string& format) {
    const std::size_t differences = report.differences.rows.size();
    if (format == "json" || format == "csv") {
        fmt::print("{}", report.differences.in(format));
    } else {
        if (differences > 0) {
            fmt::print("{}\nrecomputed less posted\n{}\n", report.differences.text(), report.totals.text());
        }
        if (report.contradictory > 0) {
            fmt::print("in the ledger the cumulative value of {} of these is not the sum of what was posted\n",
                       report.contradictory);
        }
        if (report.closed > 0) {
            fmt::print("{} posting{} that the ledger lacks count{} as posted: closed by people\n", report.closed,
                       report.closed == 1 ? "" : "s", report.closed == 1 ? "s" : "");
        }
        fmt::print("{} panes compared: {} missing, {} extra, {} different, {} inconsistent; {} open\n", report.compared,
                   report.counts["missing"], report.counts["extra"], report.counts["different"],
                   report.counts["inconsistent"], report.open);
    }
    return differences == 0 ? kExitOk : kExitDifference;
}

/// With what people have closed, where a state directory is named.
Result<std::vector<LedgerPane>> read_panes(const ReplayOptions& options, const LoadedPipeline& loaded,
                                           LedgerLineage& ledger) {
    for (bool again = false;; again = true) {
        const Result<Unbooked> unbooked = Unbooked::find(loaded, options.ledger, options.state, options.sink);
        if (!unbooked) return unbooked.error();
        ledger.set_unbooked(unbooked->postings());
        Result<std::vector<LedgerPane>> panes = ledger.panes(loaded.planned.plan->pipeline);
        // A revision may have been closed, and the next one sent, after the state was read: now it says so.
        if (panes || again || options.state.empty()) return panes;
    }
}

int run(const ReplayOptions& options) {
    if (options.from && options.to && *options.from >= *options.to) {
        return fail(
            {"C668", fmt::format("no window lies between --from {} and --to {}: --to is where the last one ends",
                                 format_timestamp(*options.from), format_timestamp(*options.to))});
    }
    nats_Open(-1);  // before any thread that makes a message
    const auto loaded = load_pipeline(options.config);
    if (!loaded) return kExitMistake;
    const Plan& plan = *loaded->planned.plan;
    auto ledger = LedgerLineage::open(options.ledger);
    if (!ledger) return fail(ledger.error());
    const Result<Arrivals> arrivals = find_arrivals(plan, *ledger, options.state);
    if (!arrivals) return fail(arrivals.error());
    if (Status tables = load_live_tables(plan); !tables) return fail(tables.error());

    Rerun rerun(plan, {.panes = true, .refused = arrivals->refused}, nullptr);
    CutOptions end;
    for (const SourcePlan& source : plan.sources) {
        const auto read = rerun_source(source, {.first = options.from_sequence}, *arrivals, rerun);
        if (!read) return fail(read.error());
        if (*read == Source::State::end) {
            end.ended.push_back(source.index);
        } else if (*read == Source::State::idle && source.time.idle > 0) {
            end.idle.push_back(source.index);
        }
    }
    end.flush = end.ended.size() == plan.sources.size();
    // By the time they are idle they have moved it.
    (void)rerun.watermark({.ended = end.ended});
    const Timestamp watermark = rerun.watermark(end);
    // After the sources: a pane that was posted meanwhile is in both.
    const auto panes = read_panes(options, *loaded, *ledger);
    if (!panes) return fail(panes.error());
    Report report = make_report(compare_books(*panes, rerun.finish()), options, watermark);
    return print(report, options.format);
}

}  // namespace

void add_replay(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("replay", "recomputes all panes from the sources and compares the ledger");
    verb->footer(
        "Shows what differs; posts nothing, neither documents nor corrections. Bounded sources are read to their end, "
        "others\n"
        "up to what they hold at present.");
    auto options = std::make_shared<ReplayOptions>();  // shared: by the callback of the verb
    verb->add_option("CONFIG", options->config, "the pipeline")->required();
    verb->add_option("--ledger", options->ledger, "file that a sqlite sink of the pipeline writes")
        ->required()
        ->type_name("FILE");
    verb->add_option("--state", options->state,
                     "state directory: what its dead letters became when they were sent again, and which postings "
                     "people have closed")
        ->type_name("FOLDER");
    verb->add_option("--sink", options->sink, "with --state: which sink writes the ledger, where there are several");
    add_time(*verb, "--from", options->from, "only panes whose window begins then or later");
    add_time(*verb, "--to", options->to, "only panes whose window ends then or earlier");
    verb->add_option("--from-sequence", options->from_sequence,
                     "read the sources from here on, not from where the config begins")
        ->check(CLI::PositiveNumber);
    verb->add_option("--format", options->format, "table, csv or json")->check(CLI::IsMember({"table", "csv", "json"}));
    verb->callback([options, &invocation] { invocation.exit_code = run(*options); });
}

}  // namespace takt
