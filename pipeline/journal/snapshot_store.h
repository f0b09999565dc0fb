#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/journal/crc32c.h"
#include "pipeline/journal/disk.h"
#include "pipeline/plan/engine_state.h"

namespace takt {

/// The engine's state at some epochs, so that a start need not replay the whole journal (docs/formats/snapshot.md).
///
/// A snapshot is a file with the state and a manifest with the state's size and checksum, which is written when the
/// state is durable and was read back: what has no manifest does not count. Damage is seen, never loaded. One thread.
class SnapshotStore {
  public:
    struct Options {
        std::size_t kept = 3;  ///< snapshots, the newest ones
    };
    /// What a snapshot was made under; `load` gives it back.
    struct Origin {
        std::uint64_t incarnation = 0;
        std::string engine_version;
        std::string config_hash;
    };
    struct Snapshot {
        EngineState state;
        Origin origin;
    };
    /// A snapshot that counts by its manifest but cannot be used, for people.
    struct Unusable {
        std::uint64_t epoch = 0;
        std::string reason;
    };
    struct Found {
        std::optional<Snapshot> newest;  ///< of those that can be used
        std::vector<Unusable> unusable;  ///< newer ones, newest first
    };

    /// The folder is made where it is missing. E700.
    static Result<SnapshotStore> open(Disk& disk, const std::string& folder, const Options& options);
    static Result<SnapshotStore> open(Disk& disk, const std::string& folder) { return open(disk, folder, Options{}); }

    /// The newest snapshot of a folder that another process may own, that is whole; nothing is changed. Nothing where
    /// there is none. E700.
    static Result<std::optional<Snapshot>> look(Disk& disk, const std::string& folder);

    /// The newest snapshot that is whole. Newer ones do not count any more, and go when the next one is written. E700:
    /// none is whole, and one could not be read.
    Result<Found> load();
    /// Returns when the snapshot is durable and verified; then removes those beyond `kept`. E700, E701: it could not be
    /// written, those before stand. F709: a synchronization failed; end the process.
    Status write(const EngineState& state, const Origin& origin);
    /// The epoch of the oldest snapshot that is kept: the journal must reach back to the one after. 0: none.
    std::uint64_t oldest() const { return epochs_.empty() ? 0 : epochs_.front(); }
    /// Epochs of the snapshots that count, ascending.
    const std::vector<std::uint64_t>& epochs() const { return epochs_; }

  private:
    SnapshotStore(Disk& disk, std::string folder, const Options& options)
        : disk_(&disk), folder_(std::move(folder)), options_(options) {}
    std::string state_path(std::uint64_t epoch) const;
    std::string manifest_path(std::uint64_t epoch) const;
    /// How long bytes are, and their checksum.
    struct Extent {
        std::uint64_t bytes = 0;
        std::uint32_t checksum = 0;
        bool operator==(const Extent&) const = default;

        void add(std::string_view more) {
            checksum = crc32c(more, checksum);
            bytes += more.size();
        }
    };

    /// Those that have a manifest.
    std::error_code find_epochs();
    /// Of the whole file, which should have so many bytes.
    std::error_code measure(const std::string& path, std::uint64_t bytes, Extent& extent) const;
    Result<Snapshot> read(std::uint64_t epoch) const;
    Status remove_old();
    Status remove(std::uint64_t epoch);

    Disk* disk_;
    std::string folder_;
    Options options_;
    std::vector<std::uint64_t> epochs_;
    std::vector<std::uint64_t> unusable_;  ///< found by `load`; their files are there
};

/// Where the snapshots lie in a state directory.
std::string snapshot_folder(const std::string& state_directory);

/// The bytes of a state, and back; nothing where they are none.
std::string encode_state(const EngineState& state);
std::optional<EngineState> decode_state(std::string_view bytes);

}  // namespace takt
