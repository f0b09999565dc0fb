#include "cli/test_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "cli/test_source.h"
#include "pipeline/base/decimal.h"
#include "pipeline/config/json.h"
#include "pipeline/runtime/core.h"

namespace takt {
namespace {

/// The messages of an epoch, each source's in its own order.
class EpochInput {
  public:
    explicit EpochInput(std::size_t sources) : next_sequence_(sources, 1), waiting_(sources) {}

    void add(const TestEvent& event) { waiting_[event.source].push_back(&event); }

    void feed(Core& core) {
        for (std::size_t source = 0; source < waiting_.size(); ++source) {
            if (waiting_[source].empty()) continue;
            auto block = std::make_shared<MessageBlock>();  // shared with the batches that point into it
            auto texts = std::make_shared<std::vector<std::string>>();
            texts->reserve(waiting_[source].size());
            for (const TestEvent* event : waiting_[source]) {
                texts->push_back(event->message);
                const std::string_view subject = event->is_bytes ? kBytesSubject : std::string_view();
                block->messages.push_back({texts->back(), subject, next_sequence_[source]++, event->time});
                block->size_bytes += event->message.size();
            }
            block->keep = texts;
            core.feed(static_cast<std::uint32_t>(source), block);
            waiting_[source].clear();
        }
    }

  private:
    std::vector<std::uint64_t> next_sequence_;
    std::vector<std::vector<const TestEvent*>> waiting_;
};

std::string or_none(const std::string& text) {
    return text.empty() ? "nothing" : "'" + text + "'";
}

/// Equal as text, as number ("3" and "3.000000"), or as instant.
bool same_value(const std::string& expected, const std::string& actual) {
    if (expected == actual) return true;
    const auto a = parse_decimal(expected), b = parse_decimal(actual);
    if (a && b) return compare(*a, *b) == 0;
    const auto s = parse_timestamp(expected), t = parse_timestamp(actual);
    return s && t && *s == *t;
}

const std::string* find_value(const NamedValues& values, const std::string& name) {
    for (const auto& [known, value] : values) {
        if (known == name) return &value;
    }
    return nullptr;
}

/// What of the expectation does not hold, in one line; empty when all does.
std::string difference(const TestExpectation& expected, const NamedValues& actual) {
    std::string text;
    for (const auto& [name, value] : expected.fields) {
        const std::string* found = find_value(actual, name);
        if (found != nullptr && same_value(value, *found)) continue;
        if (!text.empty()) text += ", ";
        text += found == nullptr ? fmt::format("it has no '{}'", name)
                                 : fmt::format("{} is {}, expected {}", name, or_none(*found), or_none(value));
    }
    return text;
}

std::size_t count_differences(const TestExpectation& expected, const NamedValues& actual) {
    std::size_t count = 0;
    for (const auto& [name, value] : expected.fields) {
        const std::string* found = find_value(actual, name);
        if (found == nullptr || !same_value(value, *found)) ++count;
    }
    return count;
}

std::string show(const NamedValues& values) {
    std::string text;
    for (const auto& [name, value] : values) {
        if (!value.empty()) text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", name, value);
    }
    return "{ " + text + " }";
}

/// Finds for as many expectations as possible an output of its own (augmenting paths), so that a loose expectation
/// never takes the only output of a strict one.
class Matching {
  public:
    Matching(const std::vector<TestExpectation>& expected, const std::vector<NamedValues>& actual)
        : expected_(expected), actual_(actual), taken_by(actual.size(), kNone) {
        for (std::size_t e = 0; e < expected.size(); ++e) {
            std::vector<bool> seen(actual.size(), false);
            if (!place(e, seen)) unmet.push_back(e);
        }
    }

    static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  private:
    bool place(std::size_t e, std::vector<bool>& seen) {
        for (std::size_t a = 0; a < actual_.size(); ++a) {
            if (seen[a] || count_differences(expected_[e], actual_[a]) > 0) continue;
            seen[a] = true;
            if (taken_by[a] == kNone || place(taken_by[a], seen)) {
                taken_by[a] = e;
                return true;
            }
        }
        return false;
    }

    const std::vector<TestExpectation>& expected_;
    const std::vector<NamedValues>& actual_;

  public:
    std::vector<std::size_t> taken_by;  ///< by output; kNone: nobody expected it
    std::vector<std::size_t> unmet;     ///< expectations without an output
};

/// Unmet expectations beside the output that comes nearest, then what nobody expected.
void compare_lists(std::string_view what, const std::vector<TestExpectation>& expected,
                   const std::vector<NamedValues>& actual, std::vector<std::string>& differences) {
    Matching matching(expected, actual);
    for (const std::size_t e : matching.unmet) {
        std::string text =
            fmt::format("line {}: no such {}: {}", expected[e].place.line, what, show(expected[e].fields));
        std::size_t nearest = Matching::kNone;
        for (std::size_t a = 0; a < actual.size(); ++a) {
            if (matching.taken_by[a] != Matching::kNone) continue;
            if (nearest == Matching::kNone ||
                count_differences(expected[e], actual[a]) < count_differences(expected[e], actual[nearest])) {
                nearest = a;
            }
        }
        if (nearest != Matching::kNone && count_differences(expected[e], actual[nearest]) < expected[e].fields.size()) {
            text += fmt::format("\n  nearest: {}\n  where {}", show(actual[nearest]),
                                difference(expected[e], actual[nearest]));
            matching.taken_by[nearest] = e;
        }
        differences.push_back(std::move(text));
    }
    for (std::size_t a = 0; a < actual.size(); ++a) {
        if (matching.taken_by[a] == Matching::kNone) {
            differences.push_back(fmt::format("unexpected {}: {}", what, show(actual[a])));
        }
    }
}

void compare_outcomes(const TestCase& one, const TestOutput& output, std::vector<std::string>& differences) {
    if (!one.counts_outcomes) return;
    // An outcome that the case counts as a whole is compared as a whole.
    std::map<std::pair<std::string, std::string>, std::uint64_t> counted;
    for (const auto& [key, count] : output.outcomes) {
        const bool as_whole = one.outcomes.count({key.first, ""}) != 0;
        counted[as_whole ? std::pair{key.first, std::string()} : key] += count;
    }
    for (const auto& [key, count] : one.outcomes) counted.try_emplace(key, 0);
    for (const auto& [key, count] : counted) {
        const auto expected = one.outcomes.find(key);
        const std::uint64_t wanted = expected == one.outcomes.end() ? 0 : expected->second;
        if (count == wanted) continue;
        differences.push_back(fmt::format("outcome {}{}{}: {}, expected {}", key.first, key.second.empty() ? "" : " ",
                                          key.second, count, wanted));
    }
}

/// As YAML reads it back.
std::string yaml_scalar(const std::string& text) {
    const auto is_plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
    };
    const auto is_inside = [&](char c) { return is_plain(c) || c == '-' || c == ':' || c == '+' || c == '/'; };
    const bool plain = !text.empty() && (is_plain(text.front()) || parse_decimal(text)) && is_plain(text.back()) &&
                       std::all_of(text.begin(), text.end(), is_inside);
    if (plain) return text;
    return Json(text).dump();
}

void append_expected(std::string& to, std::string_view key, const std::vector<NamedValues>& all) {
    if (all.empty()) return;
    to += fmt::format("    {}:\n", key);
    for (const NamedValues& values : all) {
        std::string item;
        for (const auto& [name, value] : values) {
            if (!value.empty()) item += fmt::format("{}{}: {}", item.empty() ? "" : ", ", name, yaml_scalar(value));
        }
        to += fmt::format("      - {{ {} }}\n", item);
    }
}

template <typename Item>
std::vector<NamedValues> all_values(const std::vector<Item>& items) {
    std::vector<NamedValues> values;
    for (const Item& item : items) values.push_back(values_of(item));
    return values;
}

}  // namespace

TestOutput run_case(const Plan& plan, const TestCase& one, std::uint32_t lanes) {
    TestOutput output;
    const auto keep = [&](EpochResult&& result) {
        std::move(result.postings.begin(), result.postings.end(), std::back_inserter(output.postings));
        std::move(result.dead_letters.begin(), result.dead_letters.end(), std::back_inserter(output.dead_letters));
        for (std::size_t code = 0; code < result.outcomes.size(); ++code) {
            if (result.outcomes[code] == 0) continue;
            const Outcome& outcome = plan.outcomes.at(static_cast<OutcomeCode>(code));
            output.outcomes[{std::string(to_string(outcome.kind)), outcome.rule}] += result.outcomes[code];
        }
    };
    Core::Options options;
    options.lanes = lanes;
    Core core(plan, options, keep);
    EpochInput input(plan.sources.size());
    for (const TestEvent& event : one.events) {
        if (!event.ends_epoch) {
            input.add(event);
            continue;
        }
        input.feed(core);
        CutOptions cut;
        cut.watermark = event.watermark;
        core.cut(std::move(cut));
    }
    input.feed(core);
    CutOptions last;
    last.flush = one.close;
    core.cut(std::move(last));
    core.drain();
    return output;
}

NamedValues values_of(const Posting& posting) {
    NamedValues values = {{"type", posting.type}, {"revision", std::to_string(posting.revision)}};
    for (const Posting::KeyField& field : posting.key_fields) values.emplace_back(field.name, field.value);
    const auto add_time = [&](const char* name, const std::optional<Timestamp>& time) {
        values.emplace_back(name, time ? format_timestamp(*time) : "");
    };
    add_time("window_start", posting.window_start);
    add_time("window_end", posting.window_end);
    values.emplace_back("posting_date", format_date(posting.posting_date));
    if (posting.has_quantity) {
        values.emplace_back("quantity", format_decimal_shortest(posting.quantity, posting.quantity_scale));
        values.emplace_back("quantity_cumulative",
                            format_decimal_shortest(posting.quantity_cumulative, posting.quantity_scale));
        values.emplace_back("unit", posting.unit);
    }
    if (posting.has_amount) {
        values.emplace_back("amount", format_decimal(posting.amount, posting.amount_scale));
        values.emplace_back("amount_cumulative", format_decimal(posting.amount_cumulative, posting.amount_scale));
        values.emplace_back("currency", posting.currency);
        values.emplace_back("debit", posting.debit);
        values.emplace_back("credit", posting.credit);
    }
    const auto center = std::find_if(posting.lines.begin(), posting.lines.end(),
                                     [](const PostingLine& line) { return !line.cost_center.empty(); });
    values.emplace_back("cost_center", center == posting.lines.end() ? "" : center->cost_center);
    values.emplace_back("correlation", posting.correlation_id);
    values.emplace_back("events", std::to_string(posting.lineage.events));
    return values;
}

NamedValues values_of(const DeadLetter& letter) {
    return {{"reason", letter.reason},
            {"event_id", letter.event_id},
            {"owner", letter.owner},
            {"step", letter.step},
            {"text", letter.text},
            {"source", letter.source},
            {"sequence", std::to_string(letter.sequence)},
            {"correlation", letter.correlation_id}};
}

std::string as_expectations(const TestOutput& output) {
    std::string text;
    append_expected(text, "postings", all_values(output.postings));
    append_expected(text, "dead_letters", all_values(output.dead_letters));
    text += "    outcomes:\n";
    for (auto one = output.outcomes.begin(); one != output.outcomes.end();) {
        const std::string& outcome = one->first.first;
        std::string rules;
        for (; one != output.outcomes.end() && one->first.first == outcome; ++one) {
            const std::string& rule = one->first.second;
            if (rule.empty()) {
                text += fmt::format("      {}: {}\n", outcome, one->second);
            } else {
                rules += fmt::format("{}{}: {}", rules.empty() ? "" : ", ", yaml_scalar(rule), one->second);
            }
        }
        if (!rules.empty()) text += fmt::format("      {}: {{ {} }}\n", outcome, rules);
    }
    if (output.outcomes.empty()) text.replace(text.size() - 1, 1, " {}\n");
    return text;
}

std::vector<std::string> compare_case(const TestCase& one, const TestOutput& output) {
    std::vector<std::string> differences;
    compare_lists("posting", one.postings, all_values(output.postings), differences);
    compare_lists("dead letter", one.dead_letters, all_values(output.dead_letters), differences);
    compare_outcomes(one, output, differences);
    return differences;
}

}  // namespace takt
