#include "cli/audit_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace takt {
namespace {

std::string amount_text(const OutboxTotal& total) {
    std::string text = std::to_string(total.count);
    for (const auto& [currency, units] : total.amounts)
        text += fmt::format(", {} {}", format_decimal(units, currency.second), currency.first);
    return text;
}

OutboxTotal sum_of(const SinkOutbox& sink, std::initializer_list<DeliveryState> states) {
    OutboxTotal sum;
    for (const DeliveryState state : states) {
        const OutboxTotal& total = sink.total(state);
        sum.count += total.count;
        sum.postings += total.postings;
        for (const auto& [currency, units] : total.amounts) sum.amounts[currency] += units;
    }
    std::erase_if(sum.amounts, [](const auto& amount) { return amount.second == 0; });
    return sum;
}

OutboxTotal total_of(const std::vector<PostingSum>& sums) {
    AuditTotals totals;
    totals.postings = sums;
    return generated_for(SinkOutbox{}, totals);
}

OutboxTotal plus(const OutboxTotal& a, const OutboxTotal& b) {
    OutboxTotal sum = a;
    sum.count += b.count;
    sum.postings += b.postings;
    for (const auto& [currency, units] : b.amounts) sum.amounts[currency] += units;
    std::erase_if(sum.amounts, [](const auto& amount) { return amount.second == 0; });
    return sum;
}

OutboxTotal confirmed_of(const SinkOutbox& sink) {
    return sum_of(sink, {DeliveryState::accepted, DeliveryState::reversed});
}
OutboxTotal waiting_of(const SinkOutbox& sink) {
    return sum_of(sink, {DeliveryState::ready, DeliveryState::sent, DeliveryState::unknown});
}
OutboxTotal parked_of(const SinkOutbox& sink) {
    return sum_of(sink, {DeliveryState::refused, DeliveryState::parked});
}

class ReportMaker {
  public:
    ReportMaker(const StateAudit& state, const std::optional<AuditedLedger>& ledger)
        : state_(state), totals_(state.totals), ledger_(ledger) {
        report_.equations.columns = {{"equation"}, {"of"}, {"left"}, {"right"}, {"hash"}, {"balances"}, {"imbalance"}};
        report_.events.columns = {
            {"outcome", Align::left}, {"rule", Align::left}, {"events", Align::right}, {"hash", Align::left}};
    }

    AuditReport make() {
        add_sequences();
        add_classes();
        add_values();
        add_deliveries();
        std::vector<Imbalance> of_ledger;
        if (ledger_) of_ledger = add_ledger();
        add_double_entry();
        add_imbalances("journal", state_.imbalances);
        if (ledger_) add_imbalances(fmt::format("ledger {}", ledger_->path), of_ledger);
        return std::move(report_);
    }

  private:
    /// `balances`: what stands on its left and right, nothing else.
    void row(Equation equation, std::string of, std::string left, std::string right, std::string hash, bool balances) {
        report_.equations.rows.push_back({fmt::format("{} {}", static_cast<int>(equation), to_string(equation)),
                                          std::move(of), std::move(left), std::move(right), std::move(hash),
                                          balances ? "yes" : "NO", std::string()});
    }

    /// A row each, in words: what is wrong with one document or one epoch need not show in any sum.
    void add_imbalances(const std::string& book, const std::vector<Imbalance>& imbalances) {
        for (const Imbalance& one : imbalances) {
            row(one.equation, book, {}, {}, {}, false);
            report_.equations.rows.back().back() = one.text;
            report_.imbalances.push_back(one);
        }
    }

    void add_sequences() {
        for (std::size_t i = 0; i < totals_.sources.size() && i < state_.cuts.size(); ++i) {
            const SourceSum& sum = totals_.sources[i];
            const auto holes = [&](HoleKind kind) { return sum.holes[static_cast<std::size_t>(kind)]; };
            const std::uint64_t start = holes(HoleKind::before_start);
            const std::uint64_t cut = state_.cuts[i].last_sequence;
            const Int128 unknown = unknown_sequences(state_.cuts[i], sum);
            row(Equation::sequence, fmt::format("source {}", state_.sources[i]),
                fmt::format("cut {} - start {}", cut, start),
                fmt::format("received {} + filtered {} + deleted {} + lost {} + unknown {}", sum.received,
                            holes(HoleKind::filtered), holes(HoleKind::deleted), holes(HoleKind::lost),
                            format_decimal(unknown, 0)),
                {}, unknown == 0);
        }
    }

    void add_classes() {
        std::map<std::string, std::uint64_t> by_kind;
        EventSum classified;
        for (std::size_t code = 0; code < totals_.outcomes.size(); ++code) {
            const EventSum& sum = totals_.outcomes[code];
            if (sum == EventSum{}) continue;
            const auto& [outcome, rule] = state_.outcomes[code];
            by_kind[outcome] += sum.count;
            classified += sum;
            report_.events.rows.push_back({outcome, rule, std::to_string(sum.count), to_hex(sum.hash)});
        }
        row(Equation::classification, "events", fmt::format("received {}", totals_.received.count),
            fmt::format("accepted {} + duplicate {} + filtered {} + dead letters {}", by_kind["accepted"],
                        by_kind["duplicate"], by_kind["filtered"], by_kind["dead_letter"]),
            to_hex(totals_.received.hash), classified == totals_.received);
        report_.summary.push_back(fmt::format(
            "messages in: {} events = {} accepted + {} duplicates + {} filtered + {} dead-lettered + {} waiting",
            totals_.received.count, by_kind["accepted"], by_kind["duplicate"], by_kind["filtered"],
            by_kind["dead_letter"], totals_.received.count - classified.count));
        if (totals_.replayed.count > 0) add_replays();
    }

    /// Dead letters that were sent again: beside the events, among which they were counted when they came.
    void add_replays() {
        std::map<std::string, std::uint64_t> by_kind;
        EventSum ended;
        for (std::size_t code = 0; code < totals_.replays.size(); ++code) {
            by_kind[code == kUndecided ? "no event" : state_.outcomes[code].outcome] += totals_.replays[code].count;
            ended += totals_.replays[code];
        }
        const std::string again =
            fmt::format("accepted {} + duplicate {} + filtered {} + dead letters {} + no event {}", by_kind["accepted"],
                        by_kind["duplicate"], by_kind["filtered"], by_kind["dead_letter"], by_kind["no event"]);
        row(Equation::classification, "sent again", fmt::format("replayed {}", totals_.replayed.count), again,
            to_hex(totals_.replayed.hash), ended == totals_.replayed);
        report_.summary.push_back(
            fmt::format("dead letters sent again: {} = {} accepted + {} duplicates + {} filtered + {} dead-lettered "
                        "again + {} that hold no event",
                        totals_.replayed.count, by_kind["accepted"], by_kind["duplicate"], by_kind["filtered"],
                        by_kind["dead_letter"], by_kind["no event"]));
    }

    void add_values() {
        for (const ValueSum& value : totals_.values) {
            const auto text = [&](Int128 units) { return format_decimal_shortest(units, value.scale); };
            const Int128 posted = wrapping_subtract(value.settled, value.rounding);
            const std::string brought = value.adds_up ? fmt::format("events brought {}", text(value.contributed))
                                                      : fmt::format("panes told {}", text(value.settled));
            std::string told = value.posts ? fmt::format("posted {}", text(posted_of(totals_, value)))
                                           : fmt::format("sent on {}", text(value.settled));
            if (value.adds_up) told += fmt::format(" + open {}", text(open_of(value)));
            if (value.dropped != 0) told += fmt::format(" + dropped {}", text(value.dropped));
            if (value.posts) told += fmt::format(" + rounding {}", text(value.rounding));
            row(Equation::value,
                fmt::format("{} {}{}{}", value.step, value.measure, value.unit.empty() ? "" : " ", value.unit), brought,
                told, {}, !value.posts || posted == posted_of(totals_, value));
        }
    }

    void add_deliveries() {
        for (const SinkOutbox& sink : state_.sinks) {
            if (sink.gone) continue;
            const OutboxTotal generated = generated_for(sink, totals_);
            const OutboxTotal known = delivered_or_not(sink);
            row(Equation::posting, fmt::format("sink {}", sink.sink),
                fmt::format("generated {}", amount_text(generated)),
                fmt::format("confirmed {} + outbox {} + parked {} + closed {}", amount_text(confirmed_of(sink)),
                            amount_text(waiting_of(sink)), amount_text(parked_of(sink)),
                            amount_text(sum_of(sink, {DeliveryState::closed}))),
                to_hex(generated.postings), generated == known);
            add_front_values(sink);
        }
    }

    /// In currencies, of the amounts that add up.
    void add_front_values(const SinkOutbox& sink) {
        std::map<std::string, ValueSum> by_currency;
        for (const ValueSum& value : totals_.values) {
            const bool taken = sink.postings.empty() ||
                               std::find(sink.postings.begin(), sink.postings.end(), value.step) != sink.postings.end();
            if (!value.posts || value.measure != "amount" || !taken) continue;
            ValueSum& sum = by_currency[value.unit];
            const int scale = std::max(sum.scale, value.scale);
            const auto add = [&](Int128& to, Int128 units) {
                to = wrapping_add(wrapping_rescale(to, sum.scale, scale), wrapping_rescale(units, value.scale, scale));
            };
            // Of numbers that do not add up, such as a maximum, nothing but what was told is known.
            add(sum.contributed, value.adds_up ? value.contributed : value.settled);
            add(sum.settled, value.settled);
            add(sum.rounding, value.rounding);
            add(sum.dropped, value.dropped);
            sum.scale = scale;
        }
        for (const auto& of_currency : by_currency) {
            const std::string& currency = of_currency.first;
            const ValueSum& sum = of_currency.second;
            const auto of_state = [&](const OutboxTotal& total) {
                Int128 units = 0;
                int digits = 0;
                for (const auto& [known, amount] : total.amounts) {
                    if (known.first != currency) continue;
                    const int scale = std::max(digits, known.second);
                    units = wrapping_add(wrapping_rescale(units, digits, scale),
                                         wrapping_rescale(amount, known.second, scale));
                    digits = scale;
                }
                return format_decimal_shortest(units, digits);
            };
            std::string& line = report_.summary.emplace_back(fmt::format(
                "value accepted for {}: {} {} = {} confirmed + {} in outbox + {} parked + {} in open windows + {} "
                "rounding",
                sink.sink, format_decimal_shortest(sum.contributed, sum.scale), currency, of_state(confirmed_of(sink)),
                of_state(waiting_of(sink)), of_state(parked_of(sink)),
                format_decimal_shortest(wrapping_subtract(sum.contributed, wrapping_add(sum.settled, sum.dropped)),
                                        sum.scale),
                format_decimal_shortest(sum.rounding, sum.scale)));
            const OutboxTotal& closed = sink.total(DeliveryState::closed);
            if (closed.count > 0) line += fmt::format(" + {} closed", of_state(closed));
            if (sum.dropped != 0) line += fmt::format(" + {} dropped", format_decimal_shortest(sum.dropped, sum.scale));
        }
    }

    /// What is wrong with it.
    std::vector<Imbalance> add_ledger() {
        const auto sink = std::find_if(state_.sinks.begin(), state_.sinks.end(),
                                       [&](const SinkOutbox& one) { return one.sink == ledger_->sink; });
        const OutboxTotal confirmed = sink == state_.sinks.end() ? OutboxTotal{} : confirmed_of(*sink);
        const OutboxTotal taken = total_of(ledger_->audit.asked);
        const OutboxTotal expected = plus(confirmed, taken);
        const OutboxTotal rows = total_of(ledger_->audit.postings);
        row(Equation::sink, fmt::format("ledger {}", ledger_->path),
            fmt::format("confirmed {} + taken meanwhile {}", amount_text(confirmed), amount_text(taken)),
            fmt::format("rows {}", amount_text(rows)), to_hex(rows.postings), rows == expected);
        std::vector<Imbalance> imbalances = ledger_->audit.imbalances;
        if (rows != expected) {
            imbalances.push_back(
                {Equation::sink, fmt::format("sink {}: confirmed, or taken before it could be confirmed, are {}; "
                                             "{} holds {}",
                                             ledger_->sink, text_of(expected), ledger_->path, text_of(rows))});
        }
        return imbalances;
    }

    void add_double_entry() {
        std::map<std::pair<std::string, int>, std::pair<Int128, Int128>> by_currency;
        for (const PostingSum& sum : totals_.postings) {
            auto& [debit, credit] = by_currency[{sum.currency, sum.amount_scale}];
            debit = wrapping_add(debit, sum.debit);
            credit = wrapping_add(credit, sum.credit);
        }
        for (const auto& [currency, sides] : by_currency) {
            if (currency.first.empty() && sides.first == 0 && sides.second == 0) continue;
            row(Equation::double_entry, currency.first,
                fmt::format("debit {}", format_decimal(sides.first, currency.second)),
                fmt::format("credit {}", format_decimal(sides.second, currency.second)), {},
                sides.first == sides.second);
        }
    }

    const StateAudit& state_;
    const AuditTotals& totals_;
    const std::optional<AuditedLedger>& ledger_;
    AuditReport report_;
};

}  // namespace

AuditReport make_audit_report(const StateAudit& state, const std::optional<AuditedLedger>& ledger) {
    return ReportMaker(state, ledger).make();
}

}  // namespace takt
