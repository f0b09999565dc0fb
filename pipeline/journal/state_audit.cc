#include "pipeline/journal/state_audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>

#include "pipeline/journal/journal.h"
#include "pipeline/journal/state_directory.h"

namespace takt {
namespace {

/// One mistake is often seen in every frame after it.
constexpr std::ptrdiff_t kMostOfAnEquation = 5;

void note(StateAudit& audit, Imbalance one) {
    const auto of_it = std::count_if(audit.imbalances.begin(), audit.imbalances.end(),
                                     [&](const Imbalance& other) { return other.equation == one.equation; });
    if (of_it < kMostOfAnEquation) audit.imbalances.push_back(std::move(one));
}

using RetriedPlace = std::tuple<std::string, std::uint64_t, std::uint32_t>;  ///< source, sequence, part

/// A dead letter has one accepted outcome at most. `accepted`: in the frames before.
void check_retries(StateAudit& audit, const StoredFrame& stored, std::set<RetriedPlace>& accepted) {
    const EpochResult& epoch = stored.frame.result;
    // The sequences of a source whose state was dropped begin again.
    for (auto place = accepted.begin(); place != accepted.end();) {
        const std::string name = std::get<0>(*place);
        const auto source = std::find(stored.sources.begin(), stored.sources.end(), name);
        const std::uint64_t cut =
            source == stored.sources.end()
                ? 0
                : epoch.cuts[static_cast<std::size_t>(source - stored.sources.begin())].last_sequence;
        const auto beyond = accepted.upper_bound({name, cut, UINT32_MAX});
        place = accepted.erase(beyond, accepted.upper_bound({name, UINT64_MAX, UINT32_MAX}));
    }
    for (std::size_t i = 0; i < epoch.cut.replays.size(); ++i) {
        const DeadLetterReplay& order = epoch.cut.replays[i];
        if (epoch.replay_outcomes[i] != kAccepted) continue;
        const std::string& source = stored.sources[order.source];
        if (!accepted.emplace(source, order.sequence, order.part).second) {
            note(audit, {Equation::classification, fmt::format("epoch {}: the dead letter {} {} {} was accepted twice",
                                                               epoch.epoch, source, order.sequence, order.part)});
        }
    }
}

/// Takes the next frame in; `chains` begin with the first one.
void take(StateAudit& audit, StoredFrame&& stored, std::optional<RevisionChains>& chains) {
    const EpochResult& epoch = stored.frame.result;
    if (!chains) {
        chains.emplace(epoch.epoch == 1);
        audit.first_epoch = epoch.epoch;
    }
    for (Imbalance& one : find_imbalances(epoch, stored.sources)) note(audit, std::move(one));
    if (epoch.epoch == 1 || audit.last_epoch > 0) {
        std::vector<bool> is_dead_letter;
        for (const auto& outcome : stored.outcomes) is_dead_letter.push_back(outcome.outcome == "dead_letter");
        for (Imbalance& one : find_gaps(audit.totals, epoch, stored.sources, is_dead_letter))
            note(audit, std::move(one));
    }
    for (const Posting& posting : epoch.postings) {
        if (std::string mistake = chains->follow(posting); !mistake.empty())
            note(audit, {Equation::posting, std::move(mistake)});
    }
    audit.last_epoch = epoch.epoch;
    audit.incarnation = stored.incarnation;
    audit.sources = std::move(stored.sources);
    audit.outcomes = std::move(stored.outcomes);
    audit.cuts = epoch.cuts;
    audit.totals = epoch.audit;
}

Result<StateAudit> audit_once(Disk& disk, const std::string& state_directory) {
    StateAudit audit;
    // What FIRST does not name any more is in OUTBOX, which is therefore read after it.
    Result<std::optional<JournalReader>> reader = Journal::look(disk, state_directory + "/journal");
    if (!reader) return reader.error();
    Result<Outbox> outbox = Outbox::load(disk, outbox_path(state_directory));
    if (!outbox) return outbox.error();
    std::optional<RevisionChains> chains;
    std::set<RetriedPlace> accepted;
    while (*reader) {
        Result<std::optional<StoredFrame>> frame = (*reader)->next();
        if (!frame) return frame.error();
        if (!*frame) break;
        outbox->add(**frame);
        check_retries(audit, **frame, accepted);
        take(audit, std::move(**frame), chains);
    }
    // Without a frame there are no totals that the outbox could be compared with.
    if (audit.last_epoch == 0) return audit;
    audit.sinks = outbox->sinks();
    for (const SinkOutbox& sink : audit.sinks) {
        const OutboxTotal generated = generated_for(sink, audit.totals);
        const OutboxTotal known = delivered_or_not(sink);
        if (sink.gone || generated == known) continue;
        note(audit, {Equation::posting, fmt::format("sink {}: generated are {}, but those of all its states are {}",
                                                    sink.sink, text_of(generated), text_of(known))});
    }
    return audit;
}

/// Amounts that are 0 are as good as none.
void tidy(OutboxTotal& total) {
    std::erase_if(total.amounts, [](const auto& amount) { return amount.second == 0; });
}

}  // namespace

OutboxTotal generated_for(const SinkOutbox& sink, const AuditTotals& totals) {
    OutboxTotal generated;
    for (const PostingSum& sum : totals.postings) {
        if (!sink.postings.empty() &&
            std::find(sink.postings.begin(), sink.postings.end(), sum.type) == sink.postings.end())
            continue;
        generated.count += sum.count;
        generated.postings += sum.hash;
        Int128& amount = generated.amounts[{sum.currency, sum.amount_scale}];
        amount = wrapping_add(amount, sum.amount);
    }
    tidy(generated);
    return generated;
}

OutboxTotal delivered_or_not(const SinkOutbox& sink) {
    OutboxTotal all;
    for (const OutboxTotal& total : sink.totals) {
        all.count += total.count;
        all.postings += total.postings;
        for (const auto& [currency, units] : total.amounts) {
            Int128& amount = all.amounts[currency];
            amount = wrapping_add(amount, units);
        }
    }
    tidy(all);
    return all;
}

std::string text_of(const OutboxTotal& total) {
    std::string text = fmt::format("{} postings", total.count);
    for (const auto& [currency, units] : total.amounts)
        text += fmt::format(", {} {}", format_decimal(units, currency.second), currency.first);
    return text + fmt::format(", hash {}", to_hex(total.postings));
}

Result<StateAudit> audit_state(Disk& disk, const std::string& state_directory) {
    const Result<std::string> pipeline = read_state_pipeline(disk, state_directory);
    if (!pipeline) return pipeline.error();
    for (int attempt = 1;; ++attempt) {
        Result<StateAudit> audit = audit_once(disk, state_directory);
        if (!audit && attempt < kLookAttempts) continue;
        if (audit) audit->pipeline = *pipeline;
        return audit;
    }
}

}  // namespace takt
