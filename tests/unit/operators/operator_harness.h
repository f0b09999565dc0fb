#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "operators/catalog.h"
#include "pipeline/base/decimal.h"
#include "pipeline/base/time.h"
#include "pipeline/plan/planner.h"
#include "pipeline/runtime/core.h"
#include "tests/support/planned_connectors.h"

namespace takt::harness {

/// The record of the source type "memory". An event is text: "id=a at=06:10 kind=make quantity=1.5"; what is not named
/// is absent.
inline RecordSchema event_schema() {
    RecordSchema schema = make_schema({{"id", Type::of(TypeKind::string)},
                                       {"at", Type::of(TypeKind::timestamp)},
                                       {"kind", Type::of(TypeKind::string)},
                                       {"key", Type::of(TypeKind::string)},
                                       {"other", Type::of(TypeKind::string)},
                                       {"quantity", Type::decimal(6)},
                                       {"number", Type::of(TypeKind::int64)},
                                       {"value", Type::of(TypeKind::float64)},
                                       {"flag", Type::of(TypeKind::boolean)}},
                                      "event");
    return schema;
}

/// An instant in RFC 3339, or a time of 2026-03-10 UTC: "06:10", "06:10:30.000000001".
inline Timestamp instant(std::string_view text) {
    std::string full(text);
    if (text.find('T') == std::string_view::npos) {
        full = fmt::format("2026-03-10T{}{}Z", text, text.size() == 5 ? ":00" : "");
    }
    const auto parsed = parse_timestamp(full);
    CHECK(parsed.has_value());
    return *parsed;
}

/// Reads the fields that the layout has; text without "=" is malformed.
class EventDecoder final : public MessageDecoder {
  public:
    explicit EventDecoder(const Layout& layout) {
        for (std::size_t slot = 0; slot < layout.size(); ++slot) {
            if (event_schema().find(layout.fields()[slot].name) != nullptr) fields_.push_back(layout.fields()[slot]);
        }
    }

  private:
    void read(std::string_view event, Batch& batch, Row row) const override {
        if (event.find('=') == std::string_view::npos) {
            batch.outcome[row] = kMalformed;
            batch.reject_texts.push_back({row, "no event"});
        }
        for (std::size_t slot = 0; slot < fields_.size(); ++slot)
            set(batch.columns[slot], row, text_of(event, fields_[slot].name));
    }
    static std::string_view text_of(std::string_view event, std::string_view field) {
        for (std::size_t at = 0; at < event.size();) {
            const std::size_t end = std::min(event.find(' ', at), event.size());
            const std::string_view pair = event.substr(at, end - at);
            const std::size_t equals = pair.find('=');
            if (equals != std::string_view::npos && pair.substr(0, equals) == field) return pair.substr(equals + 1);
            at = end + 1;
        }
        return {};
    }

    static void set(Column& column, Row row, std::string_view text) {
        column.valid().assign(row, !text.empty());
        const std::string owned(text.empty() ? "0" : text);
        switch (column.type().kind) {
            case TypeKind::string:
                column.values<std::string_view>()[row] = text;
                return;
            case TypeKind::timestamp:
                column.values<Timestamp>()[row] = text.empty() ? 0 : instant(text);
                return;
            case TypeKind::decimal:
                column.values<Int128>()[row] = *parse_decimal_int64(owned, column.type().scale);
                return;
            case TypeKind::int64:
                column.values<std::int64_t>()[row] = std::stoll(owned);
                return;
            case TypeKind::float64:
                column.values<double>()[row] = std::stod(owned);
                return;
            case TypeKind::boolean:
                column.values<std::uint8_t>()[row] = text == "true" ? 1 : 0;
                return;
            default:
                CHECK(!"a type that the harness does not have");
        }
    }

    std::vector<Field> fields_;
};

class MemoryTable final : public TableType {
  public:
    std::string_view name() const override { return "memory"; }
    std::string_view help() const override { return "Rows that a test brings."; }
    OptionDocs docs() const override { return {}; }
    std::optional<Make> plan(const ConfigNode&, const TableSpec&, Mistakes&) const override {
        return []() -> Result<std::unique_ptr<TableFeed>> { return Error{"F000", "the test brings rows itself"}; };
    }
};

inline const Catalog& catalog() {
    static const PlannedSource<EventDecoder> source("memory", event_schema());
    static const PlannedSink sink("memory");
    static const MemoryTable table;
    static const Catalog known{operator_catalog(), {&source}, {&sink}, {&table}};
    return known;
}

/// What a whole config's mistakes look like, as `takt check` shows them; empty when there are none.
inline std::string mistakes_of(const std::string& config) {
    Mistakes mistakes;
    const ConfigNode node = parse_config("test.yaml", config, mistakes);
    if (mistakes.empty()) plan_pipeline(node, catalog(), {}, mistakes);
    return mistakes.render();
}

/// Head and foot of a config around the parts that a test is about: events have ids, nothing is late before the test
/// says so.
inline std::string around(const std::string& parts) {
    std::string text =
        "pipeline: test\nsources: { in: { memory: {}, id: id, correlation: other, time: { event: at, out_of_order: "
        "3650d } } }\n";
    if (parts.find("sinks:") == std::string::npos) text += "sinks: { out: { memory: {} } }\n";
    return text + parts;
}

struct HarnessOptions {
    std::uint32_t lanes = 1;
    std::uint32_t chunk_messages = kBatchRows;
};

/// Runs steps and postings of a config on the real engine, one thread, in memory.
class OperatorHarness {
  public:
    using Options = HarnessOptions;

    /// `parts`: tables, steps and postings; a text that begins with "pipeline:" is a whole config.
    explicit OperatorHarness(const std::string& parts, const Options& options = {}) {
        Mistakes mistakes;
        const std::string config = parts.rfind("pipeline:", 0) == 0 ? parts : around(parts);
        const ConfigNode node = parse_config("test.yaml", config, mistakes);
        if (mistakes.empty()) plan_ = plan_pipeline(node, catalog(), {}, mistakes).plan;
        if (plan_ == nullptr) {
            ADD_FAILURE() << mistakes.render();
            std::abort();
        }
        sequences_.resize(plan_->sources.size());
        pending_.resize(plan_->sources.size());
        Core::Options core;
        core.lanes = options.lanes;
        core.chunk_messages = options.chunk_messages;
        core_ = std::make_unique<Core>(*plan_, core, [this](EpochResult&& result) { take(std::move(result)); });
    }

    void push(const std::string& event, std::uint32_t source = 0) {
        pending_[source].push_back(event);
        ++pushed_;
    }
    /// Ends the epoch; the watermark goes to `time`.
    void watermark(std::string_view time) { cut({.watermark = instant(time)}); }
    void watermark(Timestamp time) { cut({.watermark = time}); }
    /// Ends the epoch; the watermark goes where the sources' own rule says.
    void end_epoch() { cut({}); }
    /// Input is at its end: every window closes.
    void finish() { cut({.flush = true}); }

    EngineState save() const {
        for (const Imbalance& one : core_->find_open_imbalances()) ADD_FAILURE() << one.text;
        return core_->save();
    }
    /// Goes on where the harness of another state stood.
    Status load(const EngineState& state) {
        for (std::size_t i = 0; i < sequences_.size(); ++i) sequences_[i] = state.cuts[i].last_sequence;
        return core_->load(state);
    }

    const Plan& plan() const { return *plan_; }
    const std::vector<Posting>& postings() const { return postings_; }
    const std::vector<DeadLetter>& dead_letters() const { return dead_letters_; }
    std::uint64_t pushed() const { return pushed_; }
    const std::vector<StateSize>& states() const { return states_; }
    const AuditTotals& audit() const { return audit_; }
    /// A number of a step as "CONTRIBUTED = SETTLED + OPEN, ROUNDING of it"; the units of several, in their order,
    /// after each other.
    std::string value(std::string_view step, std::string_view measure) const {
        std::string text;
        for (const ValueSum& sum : audit_.values) {
            if (sum.step != step || sum.measure != measure) continue;
            const auto shown = [&](Int128 units) { return format_decimal_shortest(units, sum.scale); };
            text += fmt::format("{}{}{} = {} + {}, {}", text.empty() ? "" : "; ", shown(sum.contributed),
                                sum.unit.empty() ? "" : " " + sum.unit, shown(sum.settled),
                                shown(sum.contributed - sum.settled), shown(sum.rounding));
        }
        return text;
    }

    /// "accepted", "duplicate", "filtered.RULE", "dead_letter.REASON"; those that are not 0.
    std::map<std::string, std::uint64_t> outcomes() const { return named(outcomes_); }
    /// The same of the rows of panes.
    std::map<std::string, std::uint64_t> pane_outcomes() const { return named(pane_outcomes_); }

    /// Every posting as "TYPE KEY,KEY rREVISION quantity/amount"; what a posting has not is "-".
    std::vector<std::string> posted() const {
        std::vector<std::string> texts;
        for (const Posting& posting : postings_) {
            std::string keys;
            for (const Posting::KeyField& field : posting.key_fields) keys += (keys.empty() ? "" : ",") + field.value;
            texts.push_back(fmt::format(
                "{} {} r{} {}/{}", posting.type, keys, posting.revision,
                posting.has_quantity ? format_decimal_shortest(posting.quantity, posting.quantity_scale) : "-",
                posting.has_amount ? format_decimal(posting.amount, posting.amount_scale) : "-"));
        }
        return texts;
    }

  private:
    struct Owned {
        std::vector<std::string> texts;
    };

    void cut(CutOptions options) {
        for (std::uint32_t source = 0; source < pending_.size(); ++source) {
            auto owned = std::make_shared<Owned>();
            owned->texts = std::move(pending_[source]);
            pending_[source].clear();
            auto block = std::make_shared<MessageBlock>();
            for (const std::string& text : owned->texts) {
                block->messages.push_back({text, {}, ++sequences_[source], instant("12:00")});
                block->size_bytes += text.size();
            }
            block->keep = owned;
            if (!block->messages.empty()) core_->feed(source, block);
        }
        core_->cut(std::move(options));
        core_->drain();
    }

    /// Every epoch of every test must balance.
    void take(EpochResult&& result) {
        std::vector<std::string> names;
        for (const SourcePlan& source : plan_->sources) names.push_back(source.name);
        for (const Imbalance& one : find_imbalances(result, names))
            ADD_FAILURE() << "equation " << static_cast<int>(one.equation) << ": " << one.text;
        audit_ = result.audit;
        std::move(result.postings.begin(), result.postings.end(), std::back_inserter(postings_));
        std::move(result.dead_letters.begin(), result.dead_letters.end(), std::back_inserter(dead_letters_));
        add(outcomes_, result.outcomes);
        add(pane_outcomes_, result.pane_outcomes);
        states_ = std::move(result.states);
    }

    static void add(std::vector<std::uint64_t>& sum, const std::vector<std::uint64_t>& more) {
        sum.resize(more.size());
        for (std::size_t i = 0; i < more.size(); ++i) sum[i] += more[i];
    }

    std::map<std::string, std::uint64_t> named(const std::vector<std::uint64_t>& counts) const {
        std::map<std::string, std::uint64_t> named;
        for (std::size_t code = 0; code < counts.size(); ++code) {
            if (counts[code] == 0) continue;
            const Outcome& outcome = plan_->outcomes.at(static_cast<OutcomeCode>(code));
            named[fmt::format("{}{}{}", to_string(outcome.kind), outcome.rule.empty() ? "" : ".", outcome.rule)] +=
                counts[code];
        }
        return named;
    }

    std::unique_ptr<Plan> plan_;
    std::vector<std::vector<std::string>> pending_;
    std::vector<std::uint64_t> sequences_;
    std::uint64_t pushed_ = 0;
    std::vector<Posting> postings_;
    std::vector<DeadLetter> dead_letters_;
    std::vector<std::uint64_t> outcomes_;
    std::vector<std::uint64_t> pane_outcomes_;
    std::vector<StateSize> states_;
    AuditTotals audit_;
    std::unique_ptr<Core> core_;  ///< last: its end uses what stands above
};

using Outcomes = std::map<std::string, std::uint64_t>;

/// Posts the rows of a stream one by one; what it is given goes into the key. Made for tests that look at rows.
inline std::string post_rows(const std::string& by, const std::string& from = "") {
    return "postings:\n  row:\n    by: [" + by + "]\n    quantity: decimal(\"1\")\n" +
           (from.empty() ? "" : "    from: " + from + "\n");
}

}  // namespace takt::harness
