#include "cli/reread.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "pipeline/base/clock.h"
#include "pipeline/dead_letters/dead_letter_desk.h"
#include "pipeline/journal/disk.h"
#include "pipeline/journal/kept_input.h"
#include "pipeline/journal/state_directory.h"
#include "pipeline/runtime/chunk.h"

namespace takt {
namespace {

/// How long a source may say nothing before we give up.
constexpr Duration kPatience = 30 * kSecond;

/// Reasons of dead letters that tell when an event came: lateness, clocks, memory.
constexpr std::string_view kReasonsOfArrival[] = {"TOO_LATE", "BEYOND_DEDUP_HORIZON", "FUTURE_TIME", "LIMIT"};

bool contains(const std::vector<QuarantinedMessage>& quarantined, const SourcePlan& source, std::uint64_t sequence) {
    return std::find(quarantined.begin(), quarantined.end(), QuarantinedMessage{source.index, sequence}) !=
           quarantined.end();
}

/// Reads what only the journal has.
Result<Source::State> read_journal(const SourcePlan& source, const SequenceRange& range, const Arrivals& arrivals,
                                   const std::function<void(std::shared_ptr<const MessageBlock>)>& take) {
    if (arrivals.state_folder.empty()) {
        return Error{"C660", fmt::format("source '{}' ({}) cannot be read again: only the journal of its pipeline has "
                                         "its messages; name the state directory with --state",
                                         source.name, source.connector)};
    }
    const auto take_records = [&](std::vector<InputRecord> records) {
        std::erase_if(records, [&](const InputRecord& record) {
            return contains(arrivals.quarantined, source, record.sequence);
        });
        if (!records.empty()) take(block_of(std::move(records)));
    };
    if (Status read =
            read_kept_input(real_disk(), arrivals.state_folder, source.name, range.first, range.last, take_records);
        !read)
        return read.error();
    return Source::State::quiet;
}

}  // namespace

Result<Source::State> reread(const SourcePlan& source, const SequenceRange& range,
                             const std::vector<QuarantinedMessage>& quarantined,
                             const std::function<void(std::shared_ptr<const MessageBlock>)>& take) {
    CHECK(source.can_read_again);
    Result<std::unique_ptr<Source>> made = source.make();
    if (!made) return made.error();
    Source& connector = **made;
    if (Status opened = connector.open({.next_sequence = range.first, .anchor = {}}); !opened) return opened.error();
    Timestamp heard = system_clock().monotonic();
    while (true) {
        auto block = std::make_shared<MessageBlock>();  // shared with the batches that point into it
        const Result<Source::State> state = connector.read({}, *block);
        if (!state) return state.error();
        std::vector<Message>& messages = block->messages;
        const bool any = !messages.empty();
        const bool through = any && messages.back().sequence >= range.last;
        std::erase_if(messages, [&](const Message& message) {
            return message.sequence < range.first || message.sequence > range.last ||
                   contains(quarantined, source, message.sequence);
        });
        if (!messages.empty()) take(std::move(block));
        if (through) return Source::State::more;
        if (*state == Source::State::end || *state == Source::State::idle) return *state;
        const Timestamp now = system_clock().monotonic();
        if (any) heard = now;
        if (*state != Source::State::quiet) continue;
        // A file that is followed has no other side that could say so.
        if (source.connector == "file") return Source::State::idle;
        if (now - heard > kPatience) {
            return Error{"E660", fmt::format("source '{}' ({}) has said nothing for {}; is its server well?",
                                             source.name, connector.describe(), format_duration(kPatience))};
        }
    }
}

Status load_live_tables(const Plan& plan) {
    for (const TablePlan& table : plan.tables) {
        Result<std::unique_ptr<TableFeed>> feed = table.make();
        if (!feed) return feed.error();
        std::vector<TableChange> content;
        if (Status opened = (*feed)->open(content); !opened) return opened;
        const TableSpec& spec = table.handle->current->spec();
        std::vector<TableUpdate> updates;
        for (const TableChange& change : content) {
            Result<std::vector<TableUpdate>> rows = updates_of(**feed, spec, change);
            if (!rows) continue;  // as in a run: what is no entry of the table changes nothing
            std::move(rows->begin(), rows->end(), std::back_inserter(updates));
        }
        const auto empty = TableBuilder(spec).build();
        Result<std::shared_ptr<const TemporalTable>> filled = updated(**empty, updates);
        if (!filled) return filled.error();
        table.handle->current = std::move(*filled);
    }
    return {};
}

Result<const SourcePlan*> find_source(const Plan& plan, const std::string& name) {
    const auto found = std::find_if(plan.sources.begin(), plan.sources.end(),
                                    [&](const SourcePlan& source) { return source.name == name; });
    if (found != plan.sources.end()) return &*found;
    std::vector<std::string> names;
    for (const SourcePlan& source : plan.sources) names.push_back(source.name);
    return Error{"C661", fmt::format("the config has no source '{}'; it has: {}", name, fmt::join(names, ", "))};
}

Result<Arrivals> find_arrivals(const Plan& plan, LedgerLineage& ledger, const std::string& state_folder) {
    Arrivals arrivals;
    const Result<std::vector<DeadLetter>> letters = ledger.dead_letters(plan.pipeline);
    if (!letters) return letters.error();
    for (const DeadLetter& letter : *letters) {
        const Result<const SourcePlan*> source = find_source(plan, letter.source);
        if (!source) continue;  // a row of panes, or of a source that is gone
        if (letter.reason == plan.outcomes.at(plan.crashed).rule)
            arrivals.quarantined.push_back({(*source)->index, letter.sequence});
        if (std::find(std::begin(kReasonsOfArrival), std::end(kReasonsOfArrival), letter.reason) ==
            std::end(kReasonsOfArrival))
            continue;
        for (std::size_t code = 0; code < plan.outcomes.size(); ++code) {
            const Outcome& outcome = plan.outcomes.at(static_cast<OutcomeCode>(code));
            if (outcome.kind != OutcomeKind::dead_letter || outcome.rule != letter.reason) continue;
            arrivals.refused[{(*source)->index, letter.sequence, letter.part}] = static_cast<OutcomeCode>(code);
            break;
        }
    }
    arrivals.state_folder = state_folder;
    if (state_folder.empty()) return arrivals;
    if (Status belongs = check_state_of(plan, state_folder); !belongs) return belongs.error();
    Result<std::vector<AcceptedRetry>> retries = DeadLetterDesk::accepted_retries(state_folder);
    if (!retries) return retries.error();
    for (AcceptedRetry& retry : *retries) {
        const Result<const SourcePlan*> source = find_source(plan, retry.source);
        if (!source) continue;
        retry.event.source = (*source)->index;
        const EventPlace place{retry.event.source, retry.event.sequence, retry.event.part};
        arrivals.retries[place] = {std::move(retry.event), retry.epoch};
    }
    return arrivals;
}

Result<Source::State> rerun_source(const SourcePlan& source, const SequenceRange& range, const Arrivals& arrivals,
                                   Rerun& rerun, std::uint64_t last_epoch) {
    for (auto next = arrivals.retries.lower_bound({source.index, range.first, 0});
         next != arrivals.retries.end() && next->first.source == source.index && next->first.sequence <= range.last;
         ++next) {
        if (next->second.epoch <= last_epoch) rerun.expect(next->second.event);
    }
    const auto take = [&](auto block) { rerun.read(source.index, std::move(block)); };
    Result<Source::State> read = source.can_read_again ? reread(source, range, arrivals.quarantined, take)
                                                       : read_journal(source, range, arrivals, take);
    if (read) rerun.end(source.index);
    return read;
}

Status check_state_of(const Plan& plan, const std::string& state_folder) {
    const Result<std::string> pipeline = read_state_pipeline(real_disk(), state_folder);
    if (!pipeline) return pipeline.error();
    if (*pipeline == plan.pipeline) return {};
    return Error{"C703", fmt::format("{} holds the state of pipeline '{}', not of '{}'", state_folder, *pipeline,
                                     plan.pipeline)};
}

}  // namespace takt
