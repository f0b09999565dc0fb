#include "pipeline/journal/snapshot_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "pipeline/base/bytes.h"
#include "pipeline/base/mutant.h"
#include "pipeline/journal/crc32c.h"
#include "pipeline/journal/durable_text.h"

namespace takt {
namespace {

constexpr std::string_view kManifestKind = "takt-snapshot";
constexpr std::string_view kManifestEnd = ".manifest";
constexpr std::string_view kStateEnd = ".state";
constexpr std::string_view kSnapshotMagic = "TAKTSNAP";
constexpr std::uint32_t kSnapshotFormatVersion = 5;
constexpr std::size_t kWriteBytes = 4u << 20;
constexpr DurableFilePoints kManifestPoints = {CrashPoint::manifest_written, CrashPoint::manifest_synchronized,
                                               CrashPoint::manifest_named, CrashPoint::manifest_durable};

/// The epoch of "00000000000000000042.manifest"; nothing for other names.
std::optional<std::uint64_t> epoch_of(std::string_view name, std::string_view end) {
    if (name.size() != 20 + end.size() || name.substr(20) != end) return std::nullopt;
    std::uint64_t epoch = 0;
    const auto [stop, error] = std::from_chars(name.data(), name.data() + 20, epoch);
    if (error != std::errc() || stop != name.data() + 20) return std::nullopt;
    return epoch;
}

void put_cut(const SourceCut& cut, ByteWriter& out) {
    out.put(cut.last_sequence);
    out.put(cut.highest_event_time);
    out.put(cut.last_ingest_time);
    out.put(cut.anchor_sequence);
    out.put_text(cut.anchor);
}

SourceCut get_cut(ByteReader& in) {
    SourceCut cut;
    cut.last_sequence = in.get<std::uint64_t>();
    cut.highest_event_time = in.get<Timestamp>();
    cut.last_ingest_time = in.get<Timestamp>();
    cut.anchor_sequence = in.get<std::uint64_t>();
    cut.anchor = in.get_text();
    return cut;
}

void put_outcome(const Outcome& outcome, ByteWriter& out) {
    out.put(static_cast<std::uint8_t>(outcome.kind));
    out.put_text(outcome.rule);
    out.put_text(outcome.owner);
    out.put_text(outcome.step);
    out.put<std::uint8_t>(outcome.after_dedup ? 1 : 0);
}

Outcome get_outcome(ByteReader& in) {
    Outcome outcome;
    outcome.kind = static_cast<OutcomeKind>(in.get<std::uint8_t>());
    outcome.rule = in.get_text();
    outcome.owner = in.get_text();
    outcome.step = in.get_text();
    outcome.after_dedup = in.get<std::uint8_t>() != 0;
    return outcome;
}

void put_identity(const StepIdentity& identity, ByteWriter& out) {
    out.put_text(identity.step);
    out.put_text(identity.kind);
    out.put_text(identity.uid);
    out.put<std::uint8_t>(identity.keeps_state ? 1 : 0);
    out.put<std::uint64_t>(identity.parameters.size());
    for (const StepParameter& parameter : identity.parameters) {
        out.put_text(parameter.name);
        out.put_text(parameter.value);
    }
}

StepIdentity get_identity(ByteReader& in) {
    StepIdentity identity;
    identity.step = in.get_text();
    identity.kind = in.get_text();
    identity.uid = in.get_text();
    identity.keeps_state = in.get<std::uint8_t>() != 0;
    identity.parameters.resize(in.get_count(2 * sizeof(std::uint32_t)));
    for (StepParameter& parameter : identity.parameters) {
        parameter.name = in.get_text();
        parameter.value = in.get_text();
    }
    return identity;
}

void put_table(const EngineState::Table& table, ByteWriter& out) {
    out.put_text(table.name);
    out.put<std::uint64_t>(table.entries->size());
    for (const auto& [key, change] : *table.entries) {
        CHECK(change.operation == TableChange::Operation::put);
        out.put_text(key);
        out.put(change.revision);
        out.put_text(change.value);
    }
}

EngineState::Table get_table(ByteReader& in) {
    std::string name(in.get_text());
    auto entries = std::make_shared<TableEntries>();  // shared with the engine
    for (std::size_t count = in.get_count(2 * sizeof(std::uint32_t) + sizeof(std::uint64_t)); count > 0; --count) {
        TableChange change;
        change.key = in.get_text();
        change.revision = in.get<std::uint64_t>();
        change.value = in.get_text();
        std::string key = change.key;
        entries->insert_or_assign(std::move(key), std::move(change));
    }
    return {std::move(name), std::move(entries)};
}

/// Calls `take` with the state's bytes piece by piece, in order; the pieces are valid during the call only. Its first
/// error ends it.
template <typename Take>
std::error_code encode_in_pieces(const EngineState& state, Take&& take) {
    std::string bytes(kSnapshotMagic);
    ByteWriter out(bytes);
    out.put(kSnapshotFormatVersion);
    out.put(state.epoch);
    out.put<std::uint8_t>(state.carried_over ? 1 : 0);
    CHECK(state.sources.size() == state.cuts.size());
    out.put<std::uint64_t>(state.cuts.size());
    for (std::size_t source = 0; source < state.cuts.size(); ++source) {
        out.put_text(state.sources[source]);
        put_cut(state.cuts[source], out);
    }
    out.put<std::uint64_t>(state.outcomes.size());
    for (const Outcome& outcome : state.outcomes) put_outcome(outcome, out);
    out.put<std::uint64_t>(state.total_outcomes.size());
    for (const std::uint64_t total : state.total_outcomes) out.put(total);
    save_totals(state.audit, out);
    out.put(state.watermark);
    out.put<std::uint64_t>(state.source_times.size());
    for (const std::string& time : state.source_times) out.put_text(time);
    out.put<std::uint64_t>(state.tables.size());
    for (const EngineState::Table& table : state.tables) put_table(table, out);
    out.put<std::uint64_t>(state.steps.size());
    for (const EngineState::Step& step : state.steps) {
        put_identity(step.identity, out);
        out.put(step.entries);
        out.put(step.told);
        save_values(step.open, out);
        for (const std::string& group : step.groups) {
            out.put(crc32c(group));
            out.put_text(group);
            if (bytes.size() < kWriteBytes) continue;
            if (const auto error = take(std::string_view(bytes))) return error;
            bytes.clear();
        }
    }
    return take(std::string_view(bytes));
}

}  // namespace

std::string snapshot_folder(const std::string& state_directory) {
    return state_directory + "/snapshots";
}

std::string encode_state(const EngineState& state) {
    std::string bytes;
    (void)encode_in_pieces(state, [&](std::string_view piece) {
        bytes.append(piece);
        return std::error_code();
    });
    return bytes;
}

std::optional<EngineState> decode_state(std::string_view bytes) {
    if (bytes.substr(0, kSnapshotMagic.size()) != kSnapshotMagic) return std::nullopt;
    ByteReader in(bytes.substr(kSnapshotMagic.size()));
    if (in.get<std::uint32_t>() != kSnapshotFormatVersion) return std::nullopt;
    EngineState state;
    state.epoch = in.get<std::uint64_t>();
    state.carried_over = in.get<std::uint8_t>() != 0;
    state.cuts.resize(in.get_count(4 * sizeof(std::uint64_t)));
    for (SourceCut& cut : state.cuts) {
        state.sources.emplace_back(in.get_text());
        cut = get_cut(in);
    }
    state.outcomes.resize(in.get_count(3 * sizeof(std::uint32_t) + 2));
    for (Outcome& outcome : state.outcomes) outcome = get_outcome(in);
    state.total_outcomes.resize(in.get_count(sizeof(std::uint64_t)));
    for (std::uint64_t& total : state.total_outcomes) total = in.get<std::uint64_t>();
    if (!load_totals(state.audit, in)) return std::nullopt;
    state.watermark = in.get<Timestamp>();
    state.source_times.resize(in.get_count(sizeof(std::uint32_t)));
    for (std::string& time : state.source_times) time = in.get_text();
    for (std::size_t count = in.get_count(sizeof(std::uint32_t) + sizeof(std::uint64_t)); count > 0; --count)
        state.tables.push_back(get_table(in));
    state.steps.resize(in.get_count(kKeyGroups * 2 * sizeof(std::uint32_t)));
    for (EngineState::Step& step : state.steps) {
        step.identity = get_identity(in);
        step.entries = in.get<std::uint64_t>();
        step.told = in.get<std::uint64_t>();
        load_values(step.open, in);
        for (std::string& group : step.groups) {
            const auto checksum = in.get<std::uint32_t>();
            group = in.get_text();
            if (crc32c(group) != checksum && !mutant("snapshot_checksum_skipped")) return std::nullopt;
        }
    }
    if (!in.ok() || !in.at_end()) return std::nullopt;
    return state;
}

Result<SnapshotStore> SnapshotStore::open(Disk& disk, const std::string& folder, const Options& options) {
    SnapshotStore store(disk, folder, options);
    if (const auto error = disk.make_directory(folder)) return disk_error("cannot make", folder, error);
    if (const auto error = disk.sync_directory(folder_of(folder))) return sync_error(folder_of(folder), error);
    if (const auto error = store.find_epochs()) return disk_error("cannot list", folder, error);
    return store;
}

std::error_code SnapshotStore::find_epochs() {
    std::vector<std::string> names;
    const std::error_code error = disk_->list(folder_, names);
    for (const std::string& name : names) {
        if (const auto epoch = epoch_of(name, kManifestEnd)) epochs_.push_back(*epoch);
    }
    return error;
}

std::string SnapshotStore::state_path(std::uint64_t epoch) const {
    return fmt::format("{}/{:020}{}", folder_, epoch, kStateEnd);
}

std::string SnapshotStore::manifest_path(std::uint64_t epoch) const {
    return fmt::format("{}/{:020}{}", folder_, epoch, kManifestEnd);
}

Result<SnapshotStore::Snapshot> SnapshotStore::read(std::uint64_t epoch) const {
    const auto manifest = read_durable_text(*disk_, manifest_path(epoch), kManifestKind);
    if (!manifest) return manifest.error();
    const auto damaged = [&](std::string_view what) {
        return Error{"F720", fmt::format("{} is damaged: {}", state_path(epoch), what)};
    };
    if (!*manifest) return damaged("its manifest is gone");
    const auto size = (*manifest)->number("bytes");
    const auto checksum = (*manifest)->number("state_crc32c");
    const auto incarnation = (*manifest)->number("incarnation");
    const auto version = (*manifest)->find("engine_version");
    const auto config = (*manifest)->find("config_hash");
    if (!size || !checksum || !incarnation || !version || !config) return damaged("its manifest lacks a line");
    std::string bytes;
    if (const auto error = read_file(*disk_, state_path(epoch), *size + 1, bytes))
        return disk_error("cannot read", state_path(epoch), error);
    if (bytes.size() != *size) return damaged(fmt::format("it has {} bytes, not {}", bytes.size(), *size));
    if (crc32c(bytes) != *checksum && !mutant("snapshot_checksum_skipped"))
        return damaged("its checksum is another one");
    std::optional<EngineState> state = decode_state(bytes);
    if (!state || state->epoch != epoch) return damaged("it is no state of that epoch");
    return Snapshot{std::move(*state), Origin{*incarnation, *version, *config}};
}

Result<std::optional<SnapshotStore::Snapshot>> SnapshotStore::look(Disk& disk, const std::string& folder) {
    SnapshotStore store(disk, folder, Options{});
    const auto error = store.find_epochs();
    if (error == std::errc::no_such_file_or_directory) return std::optional<Snapshot>();
    if (error) return disk_error("cannot list", folder, error);
    Result<Found> found = store.load();
    if (!found) return found.error();
    return std::move(found->newest);
}

Result<SnapshotStore::Found> SnapshotStore::load() {
    Found found;
    std::optional<Error> unread;
    while (!epochs_.empty()) {
        Result<Snapshot> snapshot = read(epochs_.back());
        if (snapshot) {
            found.newest = std::move(*snapshot);
            break;
        }
        if (snapshot.error().code == "E700") unread = snapshot.error();
        unusable_.push_back(epochs_.back());
        found.unusable.push_back({epochs_.back(), snapshot.error().text()});
        epochs_.pop_back();
    }
    // The next start may read what this one cannot.
    if (!found.newest && unread) return *unread;
    return found;
}

std::error_code SnapshotStore::measure(const std::string& path, std::uint64_t bytes, Extent& extent) const {
    std::unique_ptr<File> file;
    if (const auto error = disk_->open(path, Disk::Open::existing, file)) return error;
    std::string piece(std::min<std::size_t>(kWriteBytes, bytes + 1), '\0');  // one more shows that it has no more
    std::size_t count = 0;
    do {
        if (const auto error = file->read_at(extent.bytes, piece, count)) return error;
        extent.add(std::string_view(piece).substr(0, count));
    } while (count == piece.size());
    return {};
}

Status SnapshotStore::write(const EngineState& state, const Origin& origin) {
    const std::string path = state_path(state.epoch);
    Extent written;
    {
        std::unique_ptr<File> file;
        if (const auto error = disk_->open(path, Disk::Open::empty, file))
            return disk_error("cannot make", path, error);
        const auto error = encode_in_pieces(state, [&](std::string_view piece) {
            const std::error_code failed = file->write_at(written.bytes, piece);
            written.add(piece);
            return failed;
        });
        if (error) return disk_error("cannot write", path, error);
        reach(CrashPoint::snapshot_written);
        if (const auto failed = file->fdatasync()) return sync_error(path, failed);
        reach(CrashPoint::snapshot_synchronized);
    }
    Extent read_back;
    if (const auto error = measure(path, written.bytes, read_back)) return disk_error("cannot read back", path, error);
    if (read_back != written) return Error{"F720", fmt::format("{} reads back other than it was written", path)};
    if (const auto error = disk_->sync_directory(folder_)) return sync_error(folder_, error);
    reach(CrashPoint::snapshot_durable);
    const DurableText manifest{std::string(kManifestKind),
                               1,
                               {{"epoch", std::to_string(state.epoch)},
                                {"bytes", std::to_string(written.bytes)},
                                {"state_crc32c", std::to_string(written.checksum)},
                                {"incarnation", std::to_string(origin.incarnation)},
                                {"engine_version", origin.engine_version},
                                {"config_hash", origin.config_hash}}};
    if (Status named = write_durable_text(*disk_, manifest_path(state.epoch), manifest, kManifestPoints); !named)
        return named;
    std::erase_if(epochs_, [&](std::uint64_t epoch) { return epoch >= state.epoch; });
    std::erase(unusable_, state.epoch);
    epochs_.push_back(state.epoch);
    return remove_old();
}

Status SnapshotStore::remove_old() {
    for (; !unusable_.empty(); unusable_.pop_back()) {
        if (Status removed = remove(unusable_.back()); !removed) return removed;
    }
    for (; epochs_.size() > options_.kept; epochs_.erase(epochs_.begin())) {
        if (Status removed = remove(epochs_.front()); !removed) return removed;
    }
    return {};
}

/// A manifest goes first, so that what is left of a snapshot never counts.
Status SnapshotStore::remove(std::uint64_t epoch) {
    if (const auto error = disk_->unlink(manifest_path(epoch)); error && error != std::errc::no_such_file_or_directory)
        return disk_error("cannot remove", manifest_path(epoch), error);
    reach(CrashPoint::manifest_unlinked);
    if (const auto error = disk_->sync_directory(folder_)) return sync_error(folder_, error);
    reach(CrashPoint::manifest_gone);
    if (const auto error = disk_->unlink(state_path(epoch)); error && error != std::errc::no_such_file_or_directory)
        return disk_error("cannot remove", state_path(epoch), error);
    reach(CrashPoint::snapshot_unlinked);
    return {};
}

}  // namespace takt
