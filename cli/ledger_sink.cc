#include "cli/ledger_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "cli/reread.h"

namespace takt {

Result<const SinkOutbox*> ledger_sink(const std::vector<const SinkOutbox*>& sinks, const std::string& name) {
    const SinkOutbox* found = nullptr;
    std::string names;
    std::size_t fitting = 0;
    for (const SinkOutbox* sink : sinks) {
        names += (names.empty() ? "" : ", ") + sink->sink;
        if (sink->sink != name && !name.empty()) continue;
        found = sink;
        ++fitting;
    }
    if (fitting > 1) return Error{"C635", fmt::format("which sink writes that ledger? Name it with --sink: {}", names)};
    if (found == nullptr && !name.empty())
        return Error{"C635", fmt::format("the state directory knows no sink '{}'; it has: {}", name, names)};
    return found;
}

Result<Unbooked> Unbooked::find(const LoadedPipeline& loaded, const std::string& ledger,
                                const std::string& state_folder, const std::string& sink) {
    Unbooked unbooked;
    if (state_folder.empty()) return unbooked;
    if (Status belongs = check_state_of(*loaded.planned.plan, state_folder); !belongs) return belongs.error();
    const Result<std::vector<SinkOutbox>> sinks = read_outbox(real_disk(), state_folder);
    if (!sinks) return sinks.error();
    std::vector<const SinkOutbox*> writers;
    std::vector<const SinkOutbox*> writers_of_it;
    for (const PlannedLedger& planned : ledgers_of(loaded)) {
        const auto known =
            std::find_if(sinks->begin(), sinks->end(), [&](const SinkOutbox& one) { return one.sink == planned.sink; });
        if (known == sinks->end()) continue;
        writers.push_back(&*known);
        std::error_code error;
        if (std::filesystem::equivalent(planned.path, ledger, error)) writers_of_it.push_back(&*known);
    }
    const bool is_planned = sink.empty() && !writers_of_it.empty();
    const Result<const SinkOutbox*> writer = ledger_sink(is_planned ? writers_of_it : writers, sink);
    if (!writer) return writer.error();
    if (*writer != nullptr) {
        unbooked.add((*writer)->waiting);
        unbooked.add((*writer)->held);
        unbooked.add((*writer)->closed);
    }
    for (const SinkOutbox& known : *sinks) {
        if (known.gone) unbooked.add(known.closed);
    }
    return unbooked;
}

void Unbooked::add(const std::list<SinkOutbox::Entry>& entries) {
    for (const SinkOutbox::Entry& entry : entries) entries_.emplace(entry.posting->key, entry);
}

std::vector<UnbookedPosting> Unbooked::postings() const {
    std::vector<UnbookedPosting> postings;
    for (const auto& [key, entry] : entries_)
        postings.push_back({entry.posting, entry.last.state == DeliveryState::closed});
    return postings;
}

std::string Unbooked::text_of(const std::string& key) const {
    const SinkConfirmation& last = entries_.at(key).last;
    const std::string state(to_string(last.state));
    if (last.state == DeliveryState::closed) {
        return fmt::format("{} by {}: {}{}", state, last.owner, last.reason,
                           last.reference.empty() ? "" : fmt::format(" ({})", last.reference));
    }
    return last.reason.empty() ? state : fmt::format("{}: {}", state, last.reason);
}

}  // namespace takt
