#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/verbs.h"
#include "sinks/ledger_reader.h"

namespace takt {
namespace {

enum class Look : std::uint8_t {
    summary,
    postings,
    net,
    balances,
    dead_letters,
    outcomes,
    unbalanced,
    show,
    export_to
};

struct LedgerOptions {
    std::string path;
    Look look = Look::summary;
    LedgerFilter filter;
    std::string reason;
    std::string key;
    std::string folder;
    std::string format = "table";
};

int print(const Result<ReportTable>& table, const std::string& format) {
    if (!table) return fail(table.error());
    fmt::print("{}", table->in(format));
    return kExitOk;
}

/// What a controller asks first: where every event went, what was posted, what waits for somebody.
int print_summary(LedgerReader& reader, const LedgerOptions& options) {
    const std::pair<const char*, Result<ReportTable>> parts[] = {
        {"events by outcome", reader.outcomes(options.filter)},
        {"postings", reader.totals(options.filter)},
        {"dead letters", reader.dead_letter_counts(options.filter)}};
    for (const auto& [title, table] : parts) {
        if (!table) return fail(table.error());
        fmt::print("{}\n{}\n", title, table->in(options.format));
    }
    return kExitOk;
}

int look_into(const LedgerOptions& options) {
    auto opened = LedgerReader::open(options.path);
    if (!opened) return fail(opened.error());
    LedgerReader reader = std::move(opened).value();
    switch (options.look) {
        case Look::summary:
            return print_summary(reader, options);
        case Look::postings:
            return print(reader.postings(options.filter), options.format);
        case Look::net:
            return print(reader.net(options.filter), options.format);
        case Look::balances:
            return print(reader.balances(options.filter), options.format);
        case Look::dead_letters:
            return print(reader.dead_letters(options.filter, options.reason), options.format);
        case Look::outcomes:
            return print(reader.outcomes(options.filter), options.format);
        case Look::unbalanced:
            return print(reader.unbalanced(), options.format);
        case Look::show: {
            const auto text = reader.posting(options.key);
            if (!text) return fail(text.error());
            fmt::print("{}", *text);
            return kExitOk;
        }
        case Look::export_to: {
            const Status done = reader.export_to(options.folder, options.filter);
            return done ? static_cast<int>(kExitOk) : fail(done.error());
        }
    }
    return kExitLimit;
}

void add_filter(CLI::App& verb, LedgerOptions& options) {
    verb.add_option("--pipeline", options.filter.pipeline, "only this pipeline's");
    verb.add_option("--type", options.filter.type, "only postings of this type");
    verb.add_option("--order", options.filter.order, "only this order's (or correlation id's)");
    verb.add_option("--from", options.filter.from_date, "posting date from, such as 2026-05-12");
    verb.add_option("--to", options.filter.to_date, "posting date to, inclusive");
    verb.add_option("--limit", options.filter.limit, "rows at most");
}

}  // namespace

void add_ledger(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("ledger", "look into a ledger that a sqlite sink writes");
    auto options = std::make_shared<LedgerOptions>();  // shared: by the callbacks of the verb
    verb->add_option("LEDGER", options->path, "file of the ledger")->required();
    verb->add_option("--format", options->format, "table, csv or json")->check(CLI::IsMember({"table", "csv", "json"}));
    add_filter(*verb, *options);
    verb->require_subcommand(0, 1);
    const auto add = [&](const char* name, const char* help, Look look) {
        CLI::App* one = verb->add_subcommand(name, help);
        one->fallthrough();
        one->callback([options, look] { options->look = look; });
        return one;
    };
    add("summary", "events by outcome, postings by type, dead letters by owner (the default)", Look::summary);
    add("totals", "the same", Look::summary);
    add("postings", "each posting, every revision", Look::postings);
    add("net", "the net of all revisions, one row a pane", Look::net);
    add("balances", "debit and credit by account", Look::balances);
    add("dead-letters", "each dead letter", Look::dead_letters)
        ->add_option("--reason", options->reason, "only of this reason");
    add("outcomes", "events by outcome and rule", Look::outcomes);
    add("unbalanced", "documents whose lines do not add up; none, unless somebody wrote into the file",
        Look::unbalanced);
    add("show", "one posting in full, with lines, lineage and revisions", Look::show)
        ->add_option("KEY", options->key, "idempotency key, or its first digits")
        ->required();
    add("export", "postings.csv, dead_letters.csv and outcomes.csv", Look::export_to)
        ->add_option("FOLDER", options->folder, "made where it is missing")
        ->required();
    verb->final_callback([options, &invocation] { invocation.exit_code = look_into(*options); });
}

}  // namespace takt
