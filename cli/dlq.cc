#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/arguments.h"
#include "cli/verbs.h"
#include "pipeline/base/clock.h"
#include "pipeline/dead_letters/dead_letter_desk.h"
#include "pipeline/expression/utf8.h"
#include "pipeline/journal/disk.h"
#include "sinks/atomic_file.h"
#include "sinks/posting_json.h"
#include "sinks/report_table.h"

namespace takt {
namespace {

struct DlqOptions {
    std::string state;
    DeadLetterFilter filter;
    std::string format = "table";
    std::string folder;
    std::string edit;
    std::string who;
    std::string why;
    bool all = false;
};

/// What a terminal can show and an editor can hold.
bool is_text(std::string_view bytes) {
    const auto shown = [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte >= 0x20 ? byte != 0x7F : byte == '\t' || byte == '\n' || byte == '\r';
    };
    return std::all_of(bytes.begin(), bytes.end(), shown) && expression::is_valid_utf8(bytes);
}

/// As `xxd` shows bytes: place, hex, text.
std::string hex_dump(std::string_view bytes) {
    constexpr std::size_t kWidth = 16;
    std::string out;
    for (std::size_t at = 0; at < bytes.size(); at += kWidth) {
        const std::string_view line = bytes.substr(at, kWidth);
        std::string hex;
        std::string text;
        for (const char c : line) {
            hex += fmt::format("{:02x} ", static_cast<unsigned char>(c));
            text += c >= 0x20 && c < 0x7F ? c : '.';
        }
        out += fmt::format("  {:06x}  {:<{}} {}\n", at, hex, 3 * kWidth, text);
    }
    return out;
}

DeadLetterOrder order_of(const DlqOptions& options) {
    return {options.who.empty() ? user_name() : options.who, options.why, system_clock().wall()};
}

std::string place_of(const DeadLetter& letter) {
    std::string place = fmt::format("{}:{}", letter.source, letter.sequence);
    if (letter.part > 0) place += fmt::format(".{}", letter.part);
    return place;
}

ReportTable table_of(const std::vector<DeadLetterEntry>& entries) {
    ReportTable table;
    table.columns = {{"id", Align::right},
                     {"state"},
                     {"reason"},
                     {"owner"},
                     {"step"},
                     {"place"},
                     {"event_id"},
                     {"text"},
                     {"epoch", Align::right},
                     {"ingest_time"},
                     {"correlation_id"}};
    for (const DeadLetterEntry& entry : entries) {
        const DeadLetter& letter = entry.letter;
        table.rows.push_back({std::to_string(entry.id), std::string(to_string(entry.state)), letter.reason,
                              letter.owner, letter.step, place_of(letter), letter.event_id, letter.text,
                              std::to_string(letter.epoch), format_timestamp(letter.ingest_time),
                              letter.correlation_id});
    }
    return table;
}

int list(DeadLetterDesk& desk, const DlqOptions& options) {
    const auto entries = desk.list(options.filter);
    if (!entries) return fail(entries.error());
    const ReportTable table = table_of(*entries);
    fmt::print("{}", table.in(options.format));
    return kExitOk;
}

void print_field(std::string_view name, std::string_view value) {
    if (!value.empty()) fmt::print("{:<15}  {}\n", name, value);
}

/// "15 bytes as received", then these.
void print_bytes(std::string_view bytes, std::string_view which) {
    if (bytes.empty()) return;
    fmt::print("\n{} bytes {}\n", bytes.size(), which);
    fmt::print("{}", is_text(bytes) ? fmt::format("{}\n", bytes) : hex_dump(bytes));
}

void print_entry(const DeadLetterEntry& entry) {
    const DeadLetter& letter = entry.letter;
    print_field("id", std::to_string(entry.id));
    print_field("state", to_string(entry.state));
    print_field("reason", letter.reason);
    print_field("text", letter.text);
    print_field("owner", letter.owner);
    print_field("step", letter.step);
    print_field("source", letter.source);
    print_field("sequence", std::to_string(letter.sequence));
    print_field("part", std::to_string(letter.part));
    print_field("subject", letter.subject);
    print_field("ingest_time", format_timestamp(letter.ingest_time));
    print_field("event_id", letter.event_id);
    print_field("correlation_id", letter.correlation_id);
    print_field("epoch", std::to_string(letter.epoch));
    print_field("incarnation", std::to_string(entry.incarnation));
    print_field("config_hash", entry.config_hash);
    print_field("engine_version", entry.engine_version);
}

/// All that were ever sent: a retry that is not edited sends what was refused last, which is one of these.
void print_all_bytes(const DeadLetterHistory& history) {
    print_bytes(history.refusals.front().letter.bytes, "as received");
    for (const DeadLetterHistory::Retry& retry : history.retries)
        print_bytes(retry.data, fmt::format("as edited for retry {}", retry.replay));
}

void print_history(const DeadLetterHistory& history) {
    ReportTable refusals;
    refusals.columns = {{"retry", Align::right}, {"epoch", Align::right}, {"reason"}, {"step"}, {"text"}};
    for (const DeadLetterEntry& entry : history.refusals) {
        const DeadLetter& letter = entry.letter;
        refusals.rows.push_back({letter.replay > 0 ? std::to_string(letter.replay) : "", std::to_string(letter.epoch),
                                 letter.reason, letter.step, letter.text});
    }
    fmt::print("\nrefused\n{}", refusals.text());
    if (!history.retries.empty()) {
        ReportTable retries;
        retries.columns = {{"retry", Align::right}, {"ordered"}, {"by"},   {"event"},
                           {"epoch", Align::right}, {"ended"},   {"rule"}, {"why"}};
        for (const DeadLetterHistory::Retry& retry : history.retries) {
            retries.rows.push_back({std::to_string(retry.replay), retry.time, retry.who,
                                    retry.edited ? "edited" : "as refused",
                                    retry.epoch > 0 ? std::to_string(retry.epoch) : "",
                                    retry.epoch > 0 ? retry.outcome : "waits", retry.rule, retry.why});
        }
        fmt::print("\nretries\n{}", retries.text());
    }
    if (history.audit.empty()) return;
    ReportTable audit;
    audit.columns = {{"time"}, {"who"}, {"what"}, {"why"}};
    for (const DeadLetterHistory::Line& line : history.audit)
        audit.rows.push_back({line.time, line.who, line.what, line.why});
    fmt::print("\naudit\n{}", audit.text());
}

int show(DeadLetterDesk& desk, const DlqOptions& options) {
    const auto entries = desk.list(options.filter);
    if (!entries) return fail(entries.error());
    const auto history = desk.history(entries->front().id);
    if (!history) return fail(history.error());
    print_entry(entries->front());
    print_all_bytes(*history);
    print_history(*history);
    return kExitOk;
}

/// {"id":…,"state":…, and what a sink writes of a dead letter}.
std::string json_line(const DeadLetterEntry& entry) {
    std::string line = fmt::format("{{\"id\":{},\"state\":\"{}\",", entry.id, to_string(entry.state));
    line += fmt::format("\"incarnation\":{},\"config_hash\":", entry.incarnation);
    append_json_string(line, entry.config_hash);
    line += ",\"engine_version\":";
    append_json_string(line, entry.engine_version);
    return line + ',' + dead_letter_json(entry.letter).substr(1);
}

int export_to(DeadLetterDesk& desk, const DlqOptions& options) {
    const auto entries = desk.list(options.filter);
    if (!entries) return fail(entries.error());
    for (const DeadLetterEntry& entry : *entries) {
        if (options.folder.empty()) {
            fmt::print("{}\n", json_line(entry));
            continue;
        }
        const std::string path = fmt::format("{}/{}.event", options.folder, entry.id);
        if (const Status written = write_atomically(path, entry.letter.bytes); !written) return fail(written.error());
    }
    if (!options.folder.empty()) fmt::print("{} events in {}\n", entries->size(), options.folder);
    return kExitOk;
}

/// The file as the event's new bytes. An editor ends a text with a line end that the event did not have.
Result<std::string> read_edited(const std::string& path, std::string_view before) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (!file.is_open() || file.bad()) return Error{"C654", fmt::format("cannot read {}", path)};
    if (bytes.ends_with('\n') && !before.ends_with('\n') && is_text(bytes)) bytes.pop_back();
    if (bytes.ends_with('\r') && !before.ends_with('\r') && is_text(bytes)) bytes.pop_back();
    if (bytes.empty()) return Error{"C654", fmt::format("{} is empty: it must hold one event", path)};
    return bytes;
}

/// C655 unless it is said which ones are meant.
Status check_chosen(const DlqOptions& options, std::string_view verb) {
    const DeadLetterFilter& filter = options.filter;
    if (!filter.ids.empty() || !filter.reason.empty() || !filter.owner.empty() || options.all) return {};
    return Error{"C655", fmt::format("say which ones to {}: --id, --reason, --owner or --all", verb)};
}

int retry(DeadLetterDesk& desk, const DlqOptions& options) {
    if (const Status chosen = check_chosen(options, "retry"); !chosen) return fail(chosen.error());
    std::optional<std::string> edited;
    if (!options.edit.empty()) {
        if (options.filter.ids.size() != 1)
            return fail({"C655", "--edit is one event's new bytes: name the one with --id"});
        const auto entries = desk.list(options.filter);
        if (!entries) return fail(entries.error());
        auto read = read_edited(options.edit, entries->front().letter.bytes);
        if (!read) return fail(read.error());
        edited = std::move(*read);
    }
    const auto count = desk.retry(options.filter, edited, order_of(options));
    if (!count) return fail(count.error());
    fmt::print("{} ordered. The running pipeline takes them at once, otherwise the next `takt run --state {}` does.\n",
               *count == 1 ? "1 retry" : fmt::format("{} retries", *count), options.state);
    return kExitOk;
}

int discard(DeadLetterDesk& desk, const DlqOptions& options) {
    if (const Status chosen = check_chosen(options, "discard"); !chosen) return fail(chosen.error());
    auto count = desk.discard(options.filter, order_of(options));
    std::unique_ptr<File> lock;
    if (!count && count.error().code == "C653" &&
        !real_disk().open(options.state + "/LOCK", Disk::Open::existing, lock) && !lock->lock())
        count = desk.discard(options.filter, order_of(options), true);
    if (!count) return fail(count.error());
    fmt::print("{} discarded\n", *count);
    return kExitOk;
}

void add_state_filter(CLI::App& verb, DlqOptions& options) {
    verb.add_option_function<std::string>(
            "--state",
            [&options](const std::string& text) {
                options.filter.state = parse_entry_state(text);
                if (!options.filter.state) throw CLI::ValidationError("--state", "no state '" + text + "'");
            },
            "only in this state")
        ->type_name("open|replayed|accepted|duplicate|filtered|rejected|discarded");
}

void add_filter(CLI::App& verb, DlqOptions& options) {
    verb.add_option("--id", options.filter.ids, "only this one; may be repeated")->allow_extra_args(false);
    verb.add_option("--reason", options.filter.reason, "only with this reason, such as DECODE");
    verb.add_option("--owner", options.filter.owner, "only those of this owner");
    verb.add_option("--limit", options.filter.limit, "so many at most, the oldest first")
        ->check(CLI::NonNegativeNumber);
}

void add_order(CLI::App& verb, DlqOptions& options) {
    verb.add_flag("--all", options.all, "every one that is open or rejected");
    verb.add_option("--by", options.who, "who orders it, for the audit; the user's name by default");
    verb.add_option("--why", options.why, "why, for the audit")->required();
}

}  // namespace

void add_dlq(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("dlq", "look at dead letters, retry or discard them");
    verb->footer(
        "STATE is the folder that the pipeline is run with (takt run --state STATE), also while it runs.\n"
        "docs/dead-letters.md goes through it step by step.");
    verb->require_subcommand(1);
    auto options = std::make_shared<DlqOptions>();  // shared: by the callbacks of the verb
    const auto add = [&](const char* name, const char* help, int (*act)(DeadLetterDesk&, const DlqOptions&)) {
        CLI::App* one = verb->add_subcommand(name, help);
        one->add_option("STATE", options->state, "the pipeline's state directory")->required();
        one->callback([options, act, &invocation] {
            auto desk = DeadLetterDesk::open(options->state);
            invocation.exit_code = desk ? act(*desk, *options) : fail(desk.error());
        });
        return one;
    };
    CLI::App* one = add("list", "which there are, the oldest first", list);
    add_filter(*one, *options);
    add_state_filter(*one, *options);
    one->add_option("--format", options->format, "table, csv or json")->check(CLI::IsMember({"table", "csv", "json"}));
    add("show", "one in full: its bytes, every refusal and retry, and who did what", show)
        ->add_option("ID", options->filter.ids, "as `takt dlq list` shows it")
        ->required()
        ->expected(1);
    one = add("export", "as JSON lines, or with --to the bytes of each in a file of its own", export_to);
    add_filter(*one, *options);
    add_state_filter(*one, *options);
    one->add_option("--to", options->folder, "folder for files ID.event; made where it is missing");
    one = add("retry", "send events through the pipeline again, under their own ids", retry);
    add_filter(*one, *options);
    add_order(*one, *options);
    one->add_option("--edit", options->edit, "file with the event as it should be; with one --id")->type_name("FILE");
    one = add("discard", "close them for good", discard);
    add_filter(*one, *options);
    add_order(*one, *options);
}

}  // namespace takt
