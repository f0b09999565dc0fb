#include "pipeline/journal/state_log.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/observe/log.h"

namespace takt {

Result<std::unique_ptr<StateLog>> StateLog::open(Disk& disk, const std::string& path, const Plan& plan,
                                                 const Options& options) {
    Result<StateDirectory> directory = StateDirectory::open(disk, path, StateIdentity{.pipeline = plan.pipeline});
    if (!directory) return directory.error();
    Result<SnapshotStore> snapshots = SnapshotStore::open(disk, path + "/snapshots", options.snapshots);
    if (!snapshots) return snapshots.error();
    FrameContext context = frame_context(plan, directory->incarnation(), options.engine_version, options.tzdb_version);
    std::vector<std::string> sources = context.sources;
    Result<std::unique_ptr<Journal>> journal =
        Journal::open(disk, directory->journal_folder(), std::move(context), options.journal);
    if (!journal) return journal.error();
    SnapshotStore::Origin origin{directory->incarnation(), options.engine_version, plan.config_hash};
    return std::unique_ptr<StateLog>(new StateLog(std::move(directory).value(), std::move(journal).value(),
                                                  std::move(snapshots).value(), std::move(origin), std::move(sources)));
}

Status StateLog::check_origin(const std::string& what, const std::string& engine_version,
                              const std::string& config_hash, const std::vector<std::string>& sources) const {
    if (config_hash != origin_.config_hash) {
        return Error{"C632", fmt::format("{} of {} was written under another config ({}, this one is {})", what,
                                         directory_.path(), config_hash, origin_.config_hash)};
    }
    if (engine_version != origin_.engine_version) {
        return Error{"F722", fmt::format("{} of {} was written by takt {}, this is {}", what, directory_.path(),
                                         engine_version, origin_.engine_version)};
    }
    if (sources != sources_) {
        return Error{"C632", fmt::format("{} of {} was written with the sources {}, and this config has {}: their "
                                         "names and their order are a part of the state",
                                         what, directory_.path(), fmt::join(sources, ", "), fmt::join(sources_, ", "))};
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
        const SnapshotStore::Origin& origin = found->newest->origin;
        if (Status fits =
                check_origin("the state", origin.engine_version, origin.config_hash, found->newest->state.sources);
            !fits)
            return fits.error();
        state_epoch = found->newest->state.epoch;
        past.state = std::move(found->newest->state);
    }
    if (journal_->first_epoch() > state_epoch + 1 || journal_->last_epoch() < state_epoch) {
        return Error{"F721", fmt::format("the journal of {} holds epochs {} to {}, and no snapshot that can be used "
                                         "stands between or before them",
                                         directory_.path(), journal_->first_epoch(), journal_->last_epoch())};
    }
    Result<JournalReader> reader = journal_->read(journal_->first_epoch());
    if (!reader) return reader.error();
    while (true) {
        Result<std::optional<StoredFrame>> frame = reader->next();
        if (!frame) return frame.error();
        if (!*frame) return past;
        StoredFrame& stored = **frame;
        if (Status fits = check_origin("the journal", stored.engine_version, stored.config_hash, stored.sources); !fits)
            return fits.error();
        past.epochs.push_back(std::move(stored.frame.result));
    }
}

Status StateLog::append(const EpochResult& epoch) {
    std::lock_guard lock(mutex_);
    return journal_->append(FrameView(epoch));
}

Status StateLog::snapshot(const EngineState& state, std::uint64_t delivered) {
    if (Status written = snapshots_.write(state, origin_); !written) return written;
    std::lock_guard lock(mutex_);
    return journal_->drop_before(std::min(delivered, snapshots_.oldest()) + 1);
}

}  // namespace takt
