#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/audit_report.h"
#include "cli/verbs.h"

namespace takt {
namespace {

struct AuditOptions {
    std::string state;
    std::string ledger;
    std::string sink;
    std::string format = "table";
};

/// The sink that wrote the ledger: the one that was named, or the only one.
Result<const SinkOutbox*> ledger_sink(const StateAudit& state, const std::string& name) {
    const SinkOutbox* found = nullptr;
    std::string names;
    std::size_t fitting = 0;
    for (const SinkOutbox& sink : state.sinks) {
        if (sink.gone) continue;
        names += (names.empty() ? "" : ", ") + sink.sink;
        if (sink.sink != name && !name.empty()) continue;
        found = &sink;
        ++fitting;
    }
    if (fitting > 1) return Error{"C635", fmt::format("which sink writes that ledger? Name it with --sink: {}", names)};
    if (found == nullptr && !name.empty())
        return Error{"C635", fmt::format("the state directory knows no sink '{}'; it has: {}", name, names)};
    return found;
}

/// Reads the state, then the ledger up to the same epoch: what was confirmed in the one is in the other.
Result<AuditReport> audit(const AuditOptions& options) {
    const Result<StateAudit> state = audit_state(real_disk(), options.state);
    if (!state) return state.error();
    if (options.ledger.empty()) return make_audit_report(*state, std::nullopt);
    const Result<const SinkOutbox*> sink = ledger_sink(*state, options.sink);
    if (!sink) return sink.error();
    std::vector<const Posting*> unconfirmed;
    if (*sink != nullptr) {
        for (const auto* list : {&(*sink)->waiting, &(*sink)->held}) {
            for (const SinkOutbox::Entry& entry : *list) unconfirmed.push_back(entry.posting.get());
        }
    }
    Result<LedgerAudit> ledger = audit_ledger(options.ledger, state->pipeline, state->last_epoch, unconfirmed);
    if (!ledger) return ledger.error();
    if (ledger->last_epoch > state->last_epoch) {
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
        *state, AuditedLedger{options.ledger, *sink != nullptr ? (*sink)->sink : options.sink, std::move(*ledger)});
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
