#include "pipeline/journal/outbox.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>
#include <unordered_set>

#include "cli/arguments.h"
#include "cli/reread.h"
#include "cli/verbs.h"
#include "pipeline/base/clock.h"
#include "pipeline/journal/hold_orders.h"
#include "pipeline/journal/state_directory.h"
#include "sinks/report_table.h"

namespace takt {
namespace {

struct OutboxOptions {
    std::string state;
    std::string sink;
    std::string only;  ///< "held", "waiting" or "closed"; empty: the first two
    std::string format = "table";
    std::vector<std::string> keys;
    std::string reason;
    bool all = false;
    std::string reference;
    std::string who;
    std::string why;
};

/// A posting that one sink has not accepted, or that was closed.
struct OpenPosting {
    const SinkOutbox* sink = nullptr;
    const SinkOutbox::Entry* entry = nullptr;
    bool held = false;

    const Posting& posting() const { return *entry->posting; }
    bool only_waits_behind() const { return held && entry->last.reason == kEarlierRevision; }
};

/// Of the state directory. C704: it is none.
Result<std::vector<SinkOutbox>> read_sinks(const OutboxOptions& options) {
    if (const auto pipeline = read_state_pipeline(real_disk(), options.state); !pipeline) return pipeline.error();
    return read_outbox(real_disk(), options.state);
}

/// Of the sinks that were named, or of all, with the closed ones only where they are asked for; C665 where one is not
/// there.
Result<std::vector<OpenPosting>> open_postings(const std::vector<SinkOutbox>& sinks, const OutboxOptions& options) {
    std::vector<OpenPosting> open;
    bool named = options.sink.empty();
    std::string names;
    for (const SinkOutbox& sink : sinks) {
        names += (names.empty() ? "" : ", ") + sink.sink;
        if (!options.sink.empty() && sink.sink != options.sink) continue;
        named = true;
        const auto add = [&](const std::list<SinkOutbox::Entry>& entries, bool held) {
            for (const SinkOutbox::Entry& entry : entries) open.push_back({&sink, &entry, held});
        };
        if (options.only == "closed") {
            add(sink.closed, false);
            continue;
        }
        if (options.only != "waiting") add(sink.held, true);
        if (options.only != "held") add(sink.waiting, false);
    }
    if (!named)
        return Error{"C665", fmt::format("the state directory knows no sink '{}'; it has: {}", options.sink, names)};
    std::stable_sort(open.begin(), open.end(),
                     [](const OpenPosting& a, const OpenPosting& b) { return a.posting().epoch < b.posting().epoch; });
    return open;
}

std::string amount_of(const Posting& posting) {
    if (posting.has_amount) return format_decimal(posting.amount, posting.amount_scale);
    return posting.has_quantity ? format_decimal(posting.quantity, posting.quantity_scale) : std::string();
}

int list_outbox(const OutboxOptions& options) {
    const auto sinks = read_sinks(options);
    if (!sinks) return fail(sinks.error());
    const auto open = open_postings(*sinks, options);
    if (!open) return fail(open.error());
    ReportTable table;
    table.columns = {{"sink"},
                     {"state"},
                     {"type"},
                     {"revision", Align::right},
                     {"value", Align::decimal},
                     {"currency"},
                     {"unit"},
                     {"fields"},
                     {"reason"},
                     {"owner"},
                     {"reference"},
                     {"tries", Align::right},
                     {"epoch", Align::right},
                     {"time"},
                     {"key"}};
    for (const OpenPosting& one : *open) {
        const Posting& posting = one.posting();
        const SinkConfirmation& last = one.entry->last;
        table.rows.push_back(
            {one.sink->sink, std::string(to_string(last.state)), posting.type, std::to_string(posting.revision),
             amount_of(posting), posting.currency, posting.has_amount ? "" : posting.unit, key_text(posting.key_fields),
             last.reason, last.owner, last.reference, last.attempt > 0 ? std::to_string(last.attempt) : "",
             std::to_string(posting.epoch), last.time > 0 ? format_timestamp(last.time) : "", posting.key});
    }
    fmt::print("{}", table.in(options.format));
    return kExitOk;
}

/// What was chosen of the postings that are held. C666: nothing says which. C664: a key that is not held, or one that
/// waits for an earlier revision, which must be settled first.
Result<std::vector<OpenPosting>> choose_held(const std::vector<OpenPosting>& open, const OutboxOptions& options) {
    if (options.keys.empty() && options.reason.empty() && !options.all)
        return Error{"C666", "say which ones: --key, --reason or --all"};
    std::vector<OpenPosting> chosen;
    std::unordered_set<std::string> keys;  ///< of the chosen ones, by sink
    const auto id = [](const OpenPosting& one, const std::string& key) { return one.sink->sink + '\n' + key; };
    for (const OpenPosting& one : open) {
        if (!one.held) continue;
        const std::string& key = one.posting().key;
        const bool by_key = std::find(options.keys.begin(), options.keys.end(), key) != options.keys.end();
        const bool by_reason = !options.reason.empty() && !one.only_waits_behind() &&
                               one.entry->last.reason.find(options.reason) != std::string::npos;
        if (!by_key && !by_reason && !options.all) continue;
        chosen.push_back(one);
        keys.insert(id(one, key));
    }
    for (const std::string& key : options.keys) {
        const bool found =
            std::any_of(chosen.begin(), chosen.end(), [&](const OpenPosting& one) { return one.posting().key == key; });
        if (!found)
            return Error{"C664", fmt::format("posting {} is neither refused nor parked; takt outbox list {} shows "
                                             "those that are",
                                             key, options.state)};
    }
    for (const OpenPosting& one : chosen) {
        const std::string& before = one.posting().previous_key;
        const bool held_before = std::any_of(open.begin(), open.end(), [&](const OpenPosting& other) {
            return other.held && other.sink == one.sink && other.posting().key == before;
        });
        if (held_before && !keys.contains(id(one, before)))
            return Error{"C664", fmt::format("posting {} waits for the earlier revision {}: order something about "
                                             "that one, and this one goes with it",
                                             one.posting().key, before)};
    }
    return chosen;
}

/// How many wait behind what was chosen: they are sent when it is settled.
std::size_t count_behind(const std::vector<OpenPosting>& chosen, const std::vector<OpenPosting>& open) {
    std::set<std::pair<const SinkOutbox*, std::string>> released;
    for (const OpenPosting& one : chosen) released.emplace(one.sink, one.posting().key);
    std::size_t behind = 0;
    for (const OpenPosting& one : open) {
        if (!one.only_waits_behind()) continue;
        const bool follows = released.contains({one.sink, one.posting().previous_key}) ||
                             released.contains({one.sink, one.posting().key});
        if (!follows) continue;
        released.emplace(one.sink, one.posting().key);
        ++behind;
    }
    return behind;
}

int order_about_held(const OutboxOptions& options, HoldOrder::Action action) {
    const auto sinks = read_sinks(options);
    if (!sinks) return fail(sinks.error());
    const auto open = open_postings(*sinks, options);
    if (!open) return fail(open.error());
    const auto chosen = choose_held(*open, options);
    if (!chosen) return fail(chosen.error());
    if (chosen->empty()) {
        fmt::print("nothing is held\n");
        return kExitOk;
    }
    const std::size_t behind = count_behind(*chosen, *open);
    std::vector<HoldOrder> orders;
    for (const OpenPosting& one : *chosen) {
        // One that waits behind another one goes with it.
        if (one.only_waits_behind()) continue;
        HoldOrder& order = orders.emplace_back();
        order.action = action;
        order.sink = one.sink->sink;
        order.key = one.posting().key;
        if (action == HoldOrder::Action::close) order.reference = options.reference;
        order.who = options.who.empty() ? user_name() : options.who;
        order.why = options.why;
        order.time = system_clock().wall();
    }
    if (Status written = write_hold_orders(real_disk(), options.state, orders); !written) return fail(written.error());
    const bool resend = action == HoldOrder::Action::resend;
    fmt::print("{} ordered to be {}", orders.size(), resend ? "sent again" : "closed");
    if (behind > 0) fmt::print(", and {} that wait behind to be sent", behind);
    fmt::print(". The running pipeline takes them at once, otherwise the next `takt run --state {}` does.\n",
               options.state);
    return kExitOk;
}

void add_choice(CLI::App& verb, OutboxOptions& options) {
    verb.add_option("--key", options.keys, "this posting; may be repeated")->allow_extra_args(false)->type_name("KEY");
    verb.add_option("--reason", options.reason, "those whose refusal has this text");
    verb.add_flag("--all", options.all, "everything that is refused or parked");
    verb.add_option("--by", options.who, "who orders it, for the audit; the user's name by default");
    verb.add_option("--why", options.why, "why, for the audit")->required();
}

}  // namespace

void add_outbox(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("outbox", "look at postings that no sink has accepted, and end holds");
    verb->footer(
        "STATE is the folder that the pipeline is run with (takt run --state STATE), also while it runs.\n"
        "docs/outbox.md goes through it step by step.");
    verb->require_subcommand(1);
    auto options = std::make_shared<OutboxOptions>();  // shared: by the callbacks of the verb
    const auto add = [&](const char* name, const char* help) {
        CLI::App* sub = verb->add_subcommand(name, help);
        sub->add_option("STATE", options->state, "the folder of `takt run --state`")->required();
        sub->add_option("--sink", options->sink, "only this sink's");
        return sub;
    };
    CLI::App* list = add("list", "what is refused, parked, on its way, or was closed");
    list->add_option("--only", options->only,
                     "held: refused and parked; waiting: on their way; closed: given up, with who and why")
        ->check(CLI::IsMember({"held", "waiting", "closed"}));
    list->add_option("--format", options->format, "table, csv or json")->check(CLI::IsMember({"table", "csv", "json"}));
    list->callback([options, &invocation] { invocation.exit_code = list_outbox(*options); });
    CLI::App* resend = add("resend", "send again what was refused or parked, under the same key");
    add_choice(*resend, *options);
    resend->callback(
        [options, &invocation] { invocation.exit_code = order_about_held(*options, HoldOrder::Action::resend); });
    CLI::App* close = add("close", "give up what was refused or parked: somebody has booked it by hand, or it is void");
    add_choice(*close, *options);
    close->add_option("--reference", options->reference, "number of the document that was booked instead");
    close->callback(
        [options, &invocation] { invocation.exit_code = order_about_held(*options, HoldOrder::Action::close); });
}

}  // namespace takt
