#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "pipeline/base/decimal.h"

namespace takt {
namespace {

constexpr std::size_t kLabelWidth = 11;

/// The counts of one outcome over its rules.
struct OutcomeSum {
    std::uint64_t count = 0;
    std::vector<OutcomeStatus> rules;  ///< most frequent first
};

OutcomeSum sum_of(const EngineStatus& status, std::string_view outcome) {
    OutcomeSum sum;
    for (const OutcomeStatus& one : status.outcomes) {
        if (one.outcome != outcome || one.count == 0) continue;
        sum.count += one.count;
        if (!one.rule.empty()) sum.rules.push_back(one);
    }
    std::stable_sort(sum.rules.begin(), sum.rules.end(),
                     [](const OutcomeStatus& a, const OutcomeStatus& b) { return a.count > b.count; });
    return sum;
}

double percent(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

double rate_between(std::uint64_t now, std::uint64_t before, Duration elapsed) {
    if (elapsed <= 0 || now < before) return 0.0;
    return static_cast<double>(now - before) * 1e9 / static_cast<double>(elapsed);
}

std::string show_rate(double rate) {
    return group_digits(static_cast<std::uint64_t>(rate + 0.5)) + " ev/s";
}

std::string show_bytes(std::uint64_t bytes) {
    const char* units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1000 && unit + 1 < std::size(units); ++unit) value /= 1000;
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string show_clock(Timestamp wall) {
    const std::time_t seconds = wall / kSecond;
    std::tm local{};
    localtime_r(&seconds, &local);
    return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

/// Cuts after `width` characters; all of ours are one column wide.
std::string cut_to(std::string line, std::size_t width) {
    std::size_t characters = 0;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if ((line[i] & 0xC0) == 0x80) continue;
        if (++characters <= width) continue;
        line.resize(i);
        break;
    }
    return line;
}

std::string label(std::string_view name) {
    return fmt::format(" {:<{}}", name, kLabelWidth - 1);
}

std::string filtered_rules(const OutcomeSum& filtered, std::uint64_t events) {
    std::string text;
    for (std::size_t i = 0; i < filtered.rules.size(); ++i) {
        if (i == 4) return text + ", …";
        text += fmt::format("{}{} {:.1f}", i == 0 ? "" : ", ", filtered.rules[i].rule,
                            percent(filtered.rules[i].count, events));
    }
    return text;
}

std::string dead_letter_rules(const OutcomeSum& dead) {
    std::string text;
    for (std::size_t i = 0; i < dead.rules.size(); ++i) {
        if (i == 4) return text + ", …";
        const OutcomeStatus& one = dead.rules[i];
        text += fmt::format("{}{} {}", i == 0 ? "" : ", ", one.rule, group_digits(one.count));
        if (!one.owner.empty()) text += " → " + one.owner;
    }
    return text;
}

struct PostingCounts {
    std::uint64_t count = 0;
    std::uint64_t revisions = 0;
    std::vector<std::pair<std::string, std::uint64_t>> types;  ///< over all currencies, most frequent first
};

PostingCounts postings_of(const EngineStatus& status) {
    PostingCounts sum;
    for (const PostingStatus& posting : status.postings) {
        sum.count += posting.count;
        sum.revisions += posting.revisions;
        const auto known = std::find_if(sum.types.begin(), sum.types.end(),
                                        [&](const auto& type) { return type.first == posting.type; });
        if (known == sum.types.end()) {
            sum.types.emplace_back(posting.type, posting.count);
        } else {
            known->second += posting.count;
        }
    }
    std::stable_sort(sum.types.begin(), sum.types.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    return sum;
}

std::string describe_sink(const EngineStatus& status, const SinkStatus& sink) {
    std::string text = group_digits(sink.accepted) + " accepted";
    if (sink.refused > 0) text += fmt::format(", {} refused", group_digits(sink.refused));
    if (sink.blocked > 0) text += fmt::format(", {} behind a refused or parked one", group_digits(sink.blocked));
    if (sink.waiting > 0) {
        text += fmt::format(", {} waiting", group_digits(sink.waiting));
        if (sink.waiting_since > 0) {
            text += fmt::format(" (oldest {:.1f} s)", static_cast<double>(status.now - sink.waiting_since) / 1e9);
        }
    }
    if (sink.dead_letters > 0) text += fmt::format(", {} dead letters kept", group_digits(sink.dead_letters));
    if (!sink.last_refusal.empty()) text += "; refused: " + sink.last_refusal;
    if (!sink.last_error.empty()) text += "; " + sink.last_error;
    return text;
}

/// Only what is wrong with it; empty: nothing.
std::string describe_table(const TableStatus& table) {
    std::string text;
    if (table.state != TableStatus::State::current) text = std::string(to_string(table.state));
    if (table.refused > 0) {
        text += fmt::format("{}{} refused, the last one: {}", text.empty() ? "" : ", ", group_digits(table.refused),
                            table.last_refusal);
    }
    if (!table.last_error.empty()) text += (text.empty() ? "" : "; ") + table.last_error;
    return text;
}

std::string audit_of(const EngineStatus& status) {
    std::uint64_t total = 0;
    std::string terms;
    for (const auto& [outcome, name] : {std::pair{"accepted", "accepted"},
                                        {"duplicate", "duplicate"},
                                        {"filtered", "filtered"},
                                        {"dead_letter", "dead"}}) {
        const std::uint64_t count = sum_of(status, outcome).count;
        total += count;
        terms += fmt::format("{}{} {}", terms.empty() ? "" : " + ", name, group_digits(count));
    }
    return fmt::format("in {} = {}   {}", group_digits(status.events), terms,
                       total == status.events ? "balanced" : "NOT BALANCED");
}

}  // namespace

std::string group_digits(std::uint64_t number) {
    const std::string digits = std::to_string(number);
    std::string text;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        if (i > 0 && (digits.size() - i) % 3 == 0) text += ' ';
        text += digits[i];
    }
    return text;
}

std::string show_elapsed(Duration duration) {
    if (duration < kSecond) return fmt::format("{} ms", duration / kMillisecond);
    const std::int64_t seconds = duration / kSecond;
    if (seconds < 60) return fmt::format("{:.1f} s", static_cast<double>(duration) / 1e9);
    if (seconds < 3600) return fmt::format("{} m {} s", seconds / 60, seconds % 60);
    return fmt::format("{} h {} m", seconds / 3600, seconds % 3600 / 60);
}

std::vector<std::string> render_live(const EngineStatus& now, const EngineStatus& before, Timestamp wall,
                                     std::size_t width) {
    const OutcomeSum accepted = sum_of(now, "accepted"), duplicate = sum_of(now, "duplicate"),
                     filtered = sum_of(now, "filtered"), dead = sum_of(now, "dead_letter");
    std::vector<std::string> lines;
    lines.push_back(fmt::format("{}   {}   {} {}   epoch {}   lag {:.2f} s", now.pipeline, show_clock(wall),
                                to_string(now.phase), show_elapsed(now.now - now.started), group_digits(now.epoch),
                                static_cast<double>(now.lag) / 1e9));
    std::string in = fmt::format("{}{:<18}accepted {:.1f} %   filtered {:.1f} %", label("in"),
                                 show_rate(rate_between(now.events, before.events, now.now - before.now)),
                                 percent(accepted.count, now.events), percent(filtered.count, now.events));
    if (!filtered.rules.empty()) in += fmt::format(" ({})", filtered_rules(filtered, now.events));
    lines.push_back(std::move(in));
    std::string rejected = fmt::format("{}{:<18}duplicate {:.1f} %   dead letters {:.1f} %", label(""), "",
                                       percent(duplicate.count, now.events), percent(dead.count, now.events));
    if (!dead.rules.empty()) rejected += fmt::format(" ({})", dead_letter_rules(dead));
    lines.push_back(std::move(rejected));
    const PostingCounts sum = postings_of(now);
    std::string postings =
        fmt::format("{}{} (revisions {})", label("postings"), group_digits(sum.count), group_digits(sum.revisions));
    for (const auto& [type, count] : sum.types) postings += fmt::format("   {} {}", type, group_digits(count));
    lines.push_back(std::move(postings));
    for (const SourceStatus& source : now.sources) {
        if (source.last_error.empty() && source.dropped == 0) continue;
        lines.push_back(fmt::format("{}{}, {} dropped; {}", label(source.name), to_string(source.state),
                                    group_digits(source.dropped), source.last_error));
    }
    for (const TableStatus& table : now.tables) {
        if (const std::string says = describe_table(table); !says.empty()) lines.push_back(label(table.name) + says);
    }
    for (const SinkStatus& sink : now.sinks) lines.push_back(label(sink.name) + describe_sink(now, sink));
    lines.push_back(label("audit") + audit_of(now));
    for (std::string& line : lines) line = cut_to(std::move(line), width);
    return lines;
}

std::string render_plain(const EngineStatus& now, const EngineStatus& before) {
    const PostingCounts postings = postings_of(now);
    std::string line = fmt::format(
        "{} {}: {}, in {}, accepted {}, duplicate {}, filtered {}, dead letters {}, postings {} (revisions {}), lag "
        "{:.2f} s",
        now.pipeline, show_elapsed(now.now - now.started),
        show_rate(rate_between(now.events, before.events, now.now - before.now)), group_digits(now.events),
        group_digits(sum_of(now, "accepted").count), group_digits(sum_of(now, "duplicate").count),
        group_digits(sum_of(now, "filtered").count), group_digits(sum_of(now, "dead_letter").count),
        group_digits(postings.count), group_digits(postings.revisions), static_cast<double>(now.lag) / 1e9);
    for (const SourceStatus& source : now.sources) {
        if (!source.last_error.empty()) line += fmt::format("; {}: {}", source.name, source.last_error);
    }
    for (const TableStatus& table : now.tables) {
        if (const std::string says = describe_table(table); !says.empty())
            line += fmt::format("; {}: {}", table.name, says);
    }
    for (const SinkStatus& sink : now.sinks) {
        if (!sink.last_error.empty()) line += fmt::format("; {}: {}", sink.name, sink.last_error);
    }
    return line;
}

std::string render_summary(const EngineStatus& status) {
    const Duration elapsed = status.now - status.started;
    std::string text =
        fmt::format("{}: {} after {}; {} events in {} messages ({}), {}\n", status.pipeline, to_string(status.phase),
                    show_elapsed(elapsed), group_digits(status.events), group_digits(status.messages),
                    show_bytes(status.message_bytes), show_rate(rate_between(status.events, 0, elapsed)));

    text += fmt::format("\n{:<40}{:>16}{:>10}\n", "events by outcome", "count", "share");
    const auto row = [&](const std::string& name, std::uint64_t count) {
        text += fmt::format("  {:<38}{:>16}{:>8.2f} %\n", name, group_digits(count), percent(count, status.events));
    };
    std::uint64_t total = 0;
    for (const char* outcome : {"accepted", "duplicate", "filtered", "dead_letter"}) {
        const OutcomeSum sum = sum_of(status, outcome);
        total += sum.count;
        if (sum.rules.empty()) row(outcome, sum.count);
        for (const OutcomeStatus& one : sum.rules) {
            row(fmt::format("{}: {}{}", outcome, one.rule, one.owner.empty() ? "" : " → " + one.owner), one.count);
        }
    }
    row("sum", total);
    text += total == status.events
                ? fmt::format("  equal to the {} events that came in\n", group_digits(status.events))
                : fmt::format("  NOT EQUAL to the {} events that came in\n", group_digits(status.events));

    text += fmt::format("\n{:<40}{:>16}{:>12}{:>24}\n", "postings by type", "count", "revisions", "total");
    for (const PostingStatus& posting : status.postings) {
        text += fmt::format("  {:<38}{:>16}{:>12}{:>20} {}\n", posting.type, group_digits(posting.count),
                            group_digits(posting.revisions),
                            posting.currency.empty() ? "" : format_decimal(posting.amount, posting.amount_scale),
                            posting.currency);
    }
    if (status.postings.empty()) text += "  none\n";

    text += "\nsinks\n";
    for (const SinkStatus& sink : status.sinks) {
        text += fmt::format("  {:<12}{} ({})\n", sink.name, describe_sink(status, sink), sink.description);
    }
    if (!status.tables.empty()) text += "\ntables\n";
    for (const TableStatus& table : status.tables) {
        const std::string wrong = describe_table(table);
        text += fmt::format("  {:<12}{} rows, revision {}{}{} ({})\n", table.name, group_digits(table.rows),
                            table.revision, wrong.empty() ? "" : "; ", wrong, table.description);
    }
    for (const SourceStatus& source : status.sources) {
        if (source.dropped > 0) {
            text += fmt::format("source '{}' lost {} messages before takt could read them\n", source.name,
                                group_digits(source.dropped));
        }
    }
    return text;
}

}  // namespace takt
