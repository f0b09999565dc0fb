#include "pipeline/journal/state_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "pipeline/base/mutant.h"
#include "pipeline/journal/durable_text.h"
#include "pipeline/observe/log.h"

namespace takt {
namespace {

constexpr std::string_view kEndKind = "takt-end";
constexpr std::string_view kQuarantineKind = "takt-quarantine";

std::string end_path(const StateDirectory& directory) {
    return directory.path() + "/END";
}
std::string quarantine_path(const StateDirectory& directory) {
    return directory.path() + "/QUARANTINE";
}

}  // namespace

Result<std::unique_ptr<StateLog>> StateLog::open(Disk& disk, const std::string& path, const Plan& plan,
                                                 const Options& options) {
    Result<StateDirectory> directory = StateDirectory::open(disk, path, StateIdentity{.pipeline = plan.pipeline});
    if (!directory) return directory.error();
    Result<SnapshotStore> snapshots = SnapshotStore::open(disk, snapshot_folder(path), options.snapshots);
    if (!snapshots) return snapshots.error();
    FrameContext context = frame_context(plan, directory->incarnation(), options.engine_version, options.tzdb_version);
    Result<std::unique_ptr<Journal>> journal =
        Journal::open(disk, directory->journal_folder(), context, options.journal);
    if (!journal) return journal.error();
    SnapshotStore::Origin origin{directory->incarnation(), options.engine_version, plan.config_hash};
    std::vector<SinkRoute> routes;
    for (const SinkPlan& sink : plan.sinks)
        routes.push_back({sink.name, sink.all_postings ? std::vector<std::string>() : sink.postings});
    std::unique_ptr<StateLog> state(new StateLog(disk, std::move(directory).value(), std::move(journal).value(),
                                                 std::move(snapshots).value(), std::move(origin), std::move(context),
                                                 std::move(routes), plan, options.drop_state));
    if (Status read = state->read_ends(); !read) return read.error();
    if (Status read = state->read_quarantine(); !read) return read.error();
    return state;
}

/// Starts since the last one that made an epoch or came to its end.
Status StateLog::read_ends() {
    const auto ended = read_durable_text(disk_, end_path(directory_), kEndKind);
    if (!ended) return ended.error();
    const std::uint64_t last_end = *ended ? (*ended)->number("incarnation").value_or(0) : 0;
    const std::uint64_t last_good = std::max(last_end, journal_->last_incarnation());
    if (last_good >= directory_.incarnation())
        return Error{"F705", fmt::format("{} is of a later start than this one", end_path(directory_))};
    killed_starts_ = directory_.incarnation() - 1 - last_good;
    return {};
}

Status StateLog::end() {
    return write_durable_text(disk_, end_path(directory_),
                              {std::string(kEndKind), 1, {{"incarnation", std::to_string(directory_.incarnation())}}});
}

Status StateLog::read_quarantine() {
    auto kept = read_durable_text(disk_, quarantine_path(directory_), kQuarantineKind);
    if (!kept) return kept.error();
    if (!*kept) return {};
    for (const auto& [name, value] : (*kept)->values) {
        // "message SEQUENCE SOURCE"
        std::uint64_t sequence = 0;
        const char* const end = value.data() + value.size();
        const auto read = std::from_chars(value.data(), end, sequence);
        if (name != "message" || read.ec != std::errc() || read.ptr == end || *read.ptr != ' ')
            return Error{"F705", fmt::format("{} is damaged: '{} {}'", quarantine_path(directory_), name, value)};
        quarantine_.emplace_back(sequence, std::string(read.ptr + 1, end));
    }
    return {};
}

std::vector<QuarantinedMessage> StateLog::quarantined() const {
    std::vector<QuarantinedMessage> messages;
    for (const auto& [sequence, name] : quarantine_) {
        const auto source = std::find(context_.sources.begin(), context_.sources.end(), name);
        if (source == context_.sources.end()) continue;
        messages.push_back({static_cast<std::uint32_t>(source - context_.sources.begin()), sequence});
    }
    return messages;
}

/// One that is not durable is not on the list: this start would make epochs without it, and the next one could not make
/// them again.
Status StateLog::quarantine(const QuarantinedMessage& message) {
    auto messages = quarantine_;
    messages.emplace_back(message.sequence, context_.sources[message.source]);
    DurableText text{std::string(kQuarantineKind), 1};
    for (const auto& [sequence, source] : messages)
        text.values.emplace_back("message", fmt::format("{} {}", sequence, source));
    Status written = write_durable_text(disk_, quarantine_path(directory_), text);
    if (written.ok()) quarantine_ = std::move(messages);
    return written;
}

Status StateLog::check_origin(const std::string& what, const std::string& engine_version,
                              const std::string& config_hash, const std::vector<std::string>& sources) const {
    if (config_hash != origin_.config_hash) {
        return Error{"C632", fmt::format("{} of {} was written under another config ({}, this one is {}): epochs are "
                                         "made again only by the config that made them. Start once with that config "
                                         "and stop it cleanly, then with this one",
                                         what, directory_.path(), config_hash, origin_.config_hash)};
    }
    if (engine_version != origin_.engine_version) {
        return Error{"F722", fmt::format("{} of {} was written by takt {}, this is {}", what, directory_.path(),
                                         engine_version, origin_.engine_version)};
    }
    if (sources != context_.sources) {
        return Error{"C632",
                     fmt::format("{} of {} was written with the sources {}, and this config has {}: their "
                                 "names and their order are a part of the state",
                                 what, directory_.path(), fmt::join(sources, ", "), fmt::join(context_.sources, ", "))};
    }
    return {};
}

Result<EpochLog::Past> StateLog::recover() {
    Result<SnapshotStore::Found> found = snapshots_.load();
    if (!found) return found.error();
    for (const SnapshotStore::Unusable& unusable : found->unusable) {
        log(LogLevel::warning, "a snapshot cannot be used, taking an older one",
            {{"epoch", std::to_string(unusable.epoch)}, {"reason", unusable.reason}});
    }
    Past past;
    std::uint64_t state_epoch = 0;
    if (found->newest) {
        Result<EngineState> state = take_over(std::move(*found->newest));
        if (!state) return state.error();
        state_epoch = state->epoch;
        past.state = std::move(*state);
    }
    if (journal_->first_epoch() > state_epoch + 1 || journal_->last_epoch() < state_epoch) {
        return Error{"F721", fmt::format("the journal of {} holds epochs {} to {}, and no snapshot that can be used "
                                         "stands between or before them",
                                         directory_.path(), journal_->first_epoch(), journal_->last_epoch())};
    }
    Result<Outbox> removed = Outbox::load(disk_, outbox_path(directory_.path()));
    Result<Outbox> outbox = Outbox::load(disk_, outbox_path(directory_.path()));
    if (!removed || !outbox) return (removed ? outbox : removed).error();
    if (outbox->epoch() + 1 < journal_->first_epoch()) {
        return Error{"F707", fmt::format("{} ends with epoch {}, and the journal begins with epoch {}",
                                         outbox_path(directory_.path()), outbox->epoch(), journal_->first_epoch())};
    }
    removed_ = std::move(*removed);
    Result<JournalReader> reader = journal_->read(journal_->first_epoch());
    if (!reader) return reader.error();
    while (true) {
        Result<std::optional<StoredFrame>> frame = reader->next();
        if (!frame) return frame.error();
        if (!*frame) break;
        StoredFrame& stored = **frame;
        // What the state holds is not made again: another config may have made it.
        const bool again = stored.frame.result.epoch > state_epoch;
        if (Status fits =
                check_origin("the journal", stored.engine_version, again ? stored.config_hash : origin_.config_hash,
                             again ? stored.sources : context_.sources);
            !fits)
            return fits.error();
        outbox->add(stored);
        if (!mutant("order_followed_again")) orders_.forget_followed(stored.frame.result.cut.orders);
        // An older config knew fewer outcomes; their codes are the same.
        stored.frame.result.outcomes.resize(context_.outcomes.size());
        stored.frame.result.pane_outcomes.resize(context_.outcomes.size());
        past.epochs.push_back(std::move(stored.frame.result));
        past.incarnations.push_back(stored.incarnation);
    }
    past.run = {directory_.name(), directory_.incarnation()};
    past.quarantine = quarantined();
    recall_sinks(*outbox, past);
    return past;
}

/// The newest snapshot's state; where the config has changed, what this one makes of it.
Result<EngineState> StateLog::take_over(SnapshotStore::Snapshot&& kept) {
    const std::string what = "the state";
    if (Status fits = check_origin(what, kept.origin.engine_version, origin_.config_hash, context_.sources); !fits)
        return fits.error();
    EngineState& state = kept.state;
    if (!outcomes_fit(state, plan_))
        return Error{"E703",
                     fmt::format("{} of {} has changed since it was looked at; start again", what, directory_.path())};
    const std::vector<ConfigEdit> edits = compare_state(kept_by(state), plan_);
    const bool same_config = kept.origin.config_hash == origin_.config_hash && edits.empty();
    if (!same_config) {
        if (journal_->last_epoch() == state.epoch) return change_config(std::move(state), edits);
        if (Status fits = check_origin(what, kept.origin.engine_version, kept.origin.config_hash, state.sources); !fits)
            return fits.error();
        return Error{"C632", fmt::format("{} of {} was written with the same steps, but what comes into them is "
                                         "another: start once with the config before and stop it cleanly, then with "
                                         "this one ({})",
                                         what, directory_.path(), text_of(edits.front()))};
    }
    for (const std::string& uid : drop_state_) {
        log(LogLevel::warning, "the config has not changed, so nothing was dropped: take --drop-state out again",
            {{"uid", uid}});
    }
    // A crash came between the first snapshot under this config and its frame.
    if (state.carried_over && journal_->last_epoch() + 1 == state.epoch) {
        if (Status appended = append(carrying_epoch(state, plan_), {}); !appended) return appended.error();
    }
    return std::move(state);
}

Result<EngineState> StateLog::change_config(EngineState&& before, const std::vector<ConfigEdit>& edits) {
    std::string refused;
    std::string blocked;
    for (const ConfigEdit& edit : edits) {
        if (!edit.refused_unless_dropped()) continue;
        if (!edit.blocked.empty()) blocked += "\n  " + text_of(edit);
        if (drop_state_.count(edit.uid) == 0) refused += "\n  " + text_of(edit);
    }
    if (!blocked.empty())
        return Error{"C637", fmt::format("the config was changed so that state of {} can neither go on nor be "
                                         "dropped:{}",
                                         directory_.path(), blocked)};
    if (!refused.empty()) {
        return Error{"C636", fmt::format("the config was changed so that state of {} cannot go on; say --drop-state "
                                         "UID for each that may go:{}",
                                         directory_.path(), refused)};
    }
    for (const ConfigEdit& edit : edits) {
        if (edit.refused_unless_dropped()) {
            log(LogLevel::warning, "state was dropped",
                {{"uid", edit.uid}, {"edit", edit.edit}, {"held", text_of_state(edit)}});
        } else {
            log(LogLevel::info, "the config was changed", {{"edit", text_of(edit)}});
        }
    }
    EngineState carried = carry_over(std::move(before), plan_, edits);
    // From the snapshot on the change is made, whatever happens; the frame follows from it.
    if (Status written = snapshots_.write(carried, origin_); !written) return written.error();
    if (Status appended = append(carrying_epoch(carried, plan_), {}); !appended) return appended.error();
    return carried;
}

void StateLog::recall_sinks(const Outbox& outbox, Past& past) const {
    for (const SinkRoute& route : routes_) {
        SinkPast& sink = past.sinks.emplace_back();
        sink.until = journal_->last_epoch();
        sink.position.sink = route.sink;
        sink.position.settled = sink.until;
        const SinkOutbox* known = outbox.find(route.sink);
        if (known == nullptr) {
            if (sink.until == 0) continue;
            log(LogLevel::warning, "a sink is new to this state: it gets what is made from now on",
                {{"sink", route.sink}, {"after_epoch", std::to_string(sink.until)}});
            continue;
        }
        sink.position = known->position;
        for (const SinkOutbox::Entry& entry : known->waiting) {
            sink.waiting.emplace(entry.posting->key, entry.last.attempt);
            if (past.epochs.empty() || entry.posting->epoch < past.epochs.front().epoch)
                sink.undelivered.push_back(*entry.posting);
        }
        // In the outbox one that an order has let go stands behind what was made after it.
        std::stable_sort(sink.undelivered.begin(), sink.undelivered.end(),
                         [](const Posting& a, const Posting& b) { return a.epoch < b.epoch; });
        if (mutant("refusal_forgotten")) continue;
        for (const SinkOutbox::Entry& entry : known->held) sink.held.push_back({entry.last, entry.posting});
    }
    for (const SinkOutbox& known : outbox.sinks()) {
        const bool gone = std::none_of(routes_.begin(), routes_.end(),
                                       [&](const SinkRoute& route) { return route.sink == known.sink; });
        if (!gone || known.waiting.empty()) continue;
        log(LogLevel::warning, "a sink that the config does not name any more has not got everything",
            {{"sink", known.sink}, {"postings", std::to_string(known.waiting.size())}});
    }
}

Status StateLog::append(const EpochResult& epoch, const SinkAnswers& answers) {
    std::lock_guard lock(mutex_);
    FrameView frame(epoch);
    frame.confirmations = answers.confirmations;
    frame.positions = answers.positions;
    if (!named_) frame.routes = routes_;
    Status appended = journal_->append(frame);
    named_ = named_ || appended.ok();
    if (appended.ok() && !epoch.cut.orders.empty()) orders_.forget(epoch.cut.orders);
    return appended;
}

Status StateLog::snapshot(const EngineState& state, std::uint64_t delivered) {
    if (Status written = snapshots_.write(state, origin_); !written) return written;
    return remove_before(mutant("journal_dropped_before_delivery") ? snapshots_.oldest()
                                                                   : std::min(delivered, snapshots_.oldest()) + 1);
}

/// Removes what it can of the journal. What sinks have said of it goes to OUTBOX first, and the files of orders that it
/// has are gone: without its frames they would be followed again.
Status StateLog::remove_before(std::uint64_t epoch) {
    std::uint64_t last = 0;
    Result<JournalReader> reader = [&] {
        std::lock_guard lock(mutex_);
        last = journal_->last_dropped_before(epoch);
        return journal_->read(journal_->first_epoch());
    }();
    if (last == 0) return {};
    if (!reader) return reader.error();
    while (removed_.epoch() < last) {
        Result<std::optional<StoredFrame>> frame = reader->next();
        if (!frame) return frame.error();
        CHECK(*frame);
        removed_.add(**frame);
    }
    if (Status saved = removed_.save(disk_, outbox_path(directory_.path()), context_); !saved) return saved;
    if (Status gone = orders_.make_durable(); !gone) {
        if (gone.error().code != "E700") return gone;
        // All else goes on meanwhile.
        log(LogLevel::warning, "the journal keeps its old frames: the file of an order that was followed stays",
            {{"reason", gone.error().text()}});
        return {};
    }
    std::lock_guard lock(mutex_);
    return journal_->drop_before(last + 1);
}

}  // namespace takt
