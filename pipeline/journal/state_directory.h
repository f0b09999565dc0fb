#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "pipeline/base/hash.h"
#include "pipeline/base/result.h"
#include "pipeline/journal/disk.h"

namespace takt {

/// What a state directory belongs to; written once, never changed. A state cannot be read with another one.
struct StateIdentity {
    std::string pipeline;                   ///< its name in the config; without control characters
    std::uint32_t key_groups = kKeyGroups;  ///< state is cut by them
    std::string hash = "xxh3-128 seed 0";   ///< of keys
};

/// Who holds a state directory, for whoever is refused.
struct StateOwner {
    std::int64_t process = 0;
    std::string boot;       ///< the machine's boot id
    std::string name = {};  ///< what nobody else is called; a directory that it makes has it for its own name
};
StateOwner this_process();

/// Whose state a directory holds, also while another process has it: the pipeline's name. C704: there is no state
/// directory. F704, F705, E700.
Result<std::string> read_state_pipeline(Disk& disk, const std::string& path);

/// The folder that holds everything that a pipeline keeps between two runs (docs/formats/state.md): LOCK, IDENTITY,
/// INCARNATION, journal/. Held by one process at a time, until the object goes. One thread.
class StateDirectory {
  public:
    /// Makes what is missing, folders above it too, takes the lock and begins a new incarnation: when this returns, its
    /// number is durable and higher than any before.
    ///
    /// C703: the folder belongs to another pipeline, or was made with other key groups or another hash. E702: another
    /// process holds it. F704: a later version of takt made it. F705: a file of it is damaged or lost. E700, E701: the
    /// system refused an operation. F709: a synchronization failed; end the process.
    static Result<StateDirectory> open(Disk& disk, const std::string& path, const StateIdentity& identity,
                                       const StateOwner& owner = this_process());

    /// Counts the opens, from 1; also those that failed afterwards. Rises for good.
    std::uint64_t incarnation() const { return incarnation_; }
    /// Unlike any other directory's, and the same for its whole life; see RunIdentity.
    const std::string& name() const { return name_; }
    const std::string& path() const { return path_; }
    /// An existing folder.
    std::string journal_folder() const { return path_ + "/journal"; }

  private:
    StateDirectory() = default;

    std::string path_;
    std::string name_;
    std::unique_ptr<File> lock_;
    std::uint64_t incarnation_ = 0;
};

}  // namespace takt
