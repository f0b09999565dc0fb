#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/audit_report.h"
#include "cli/ledger_sink.h"
#include "cli/verbs.h"

namespace takt {
namespace {

struct AuditOptions {
    std::string state;
    std::string ledger;
    std::string sink;
    std::string format = "table";
};

/// Reads the ledger up to the epoch of the state, which was read before: what was confirmed in the one is in the other.
Result<AuditReport> audit_with_ledger(const AuditOptions& options, const StateAudit& state) {
    std::vector<const SinkOutbox*> sinks;
    for (const SinkOutbox& sink : state.sinks) {
        if (!sink.gone) sinks.push_back(&sink);
    }
    const Result<const SinkOutbox*> sink = ledger_sink(sinks, options.sink);
    if (!sink) return sink.error();
    UnacceptedPostings unaccepted;
    if (*sink != nullptr) {
        const auto add = [](const std::list<SinkOutbox::Entry>& entries, std::vector<const Posting*>& postings) {
            for (const SinkOutbox::Entry& entry : entries) postings.push_back(entry.posting.get());
        };
        add((*sink)->waiting, unaccepted.asked);
        add((*sink)->held, unaccepted.asked);
        add((*sink)->closed, unaccepted.closed);
    }
    Result<LedgerAudit> ledger = audit_ledger(options.ledger, state.pipeline, state.last_epoch, unaccepted);
    if (!ledger) return ledger.error();
    if (ledger->last_epoch > state.last_epoch) {
        // A daemon at work has made them meanwhile, or the state is older than the ledger.
        const Result<StateAudit> now = audit_state(real_disk(), options.state);
        if (!now) return now.error();
        if (ledger->last_epoch > now->last_epoch) {
            ledger->imbalances.push_back(
                {Equation::sink, fmt::format("{} has postings of epoch {}, and the journal ends with epoch {}",
                                             options.ledger, ledger->last_epoch, now->last_epoch)});
        }
    }
    return make_audit_report(
        state, AuditedLedger{options.ledger, *sink != nullptr ? (*sink)->sink : options.sink, std::move(*ledger)});
}

std::size_t closed_in(const StateAudit& state) {
    std::size_t closed = 0;
    for (const SinkOutbox& sink : state.sinks) closed += sink.closed.size();
    return closed;
}

Result<AuditReport> audit(const AuditOptions& options) {
    Result<StateAudit> state = audit_state(real_disk(), options.state);
    if (!state) return state.error();
    if (options.ledger.empty()) return make_audit_report(*state, std::nullopt);
    while (true) {
        Result<AuditReport> report = audit_with_ledger(options, *state);
        if (!report || report->balances()) return report;
        // A revision may have been closed, and the next one sent, between the two: then the state says so now.
        Result<StateAudit> now = audit_state(real_disk(), options.state);
        if (!now || closed_in(*now) == closed_in(*state)) return report;
        state = std::move(now);
    }
}

int run(const AuditOptions& options) {
    const Result<AuditReport> report = audit(options);
    if (!report) return fail(report.error());
    if (options.format == "json") {
        fmt::print("{}", report->equations.json());
    } else if (options.format == "csv") {
        fmt::print("{}", report->equations.csv());
    } else {
        if (report->equations.rows.empty()) fmt::print("the journal has no epoch yet\n");
        for (const std::string& line : report->summary) fmt::print("{}\n", line);
        fmt::print("\n{}\nevents by outcome\n{}\n", report->equations.text(), report->events.text());
        fmt::print("{}\n", report->balances() ? "every equation balances" : "the books do not balance");
    }
    for (const Imbalance& one : report->imbalances) {
        fmt::print(stderr, "takt: equation {} ({}) does not balance: {}\n", static_cast<int>(one.equation),
                   to_string(one.equation), one.text);
    }
    return report->balances() ? kExitOk : kExitDifference;
}

}  // namespace

void add_audit(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("audit", "proves that nothing was lost, doubled or changed: the equations");
    auto options = std::make_shared<AuditOptions>();  // shared: by the callback of the verb
    verb->add_option("STATE", options->state, "the folder of `takt run --state`, in use or not")->required();
    verb->add_option("--ledger", options->ledger,
                     "file that a sqlite sink of the pipeline writes: compare with it, too")
        ->type_name("FILE");
    verb->add_option("--sink", options->sink, "which sink writes the ledger, where there are several");
    verb->add_option("--format", options->format, "table, csv or json")->check(CLI::IsMember({"table", "csv", "json"}));
    verb->callback([options, &invocation] { invocation.exit_code = run(*options); });
}

}  // namespace takt
