#include "pipeline/journal/state_directory.h"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "pipeline/journal/durable_text.h"

namespace takt {
namespace {

constexpr std::string_view kIdentityKind = "takt-state";
constexpr std::string_view kIncarnationKind = "takt-incarnation";
constexpr std::size_t kOwnerBytes = 256;
constexpr DurableFilePoints kIncarnationPoints = {CrashPoint::incarnation_written, CrashPoint::incarnation_synchronized,
                                                  CrashPoint::incarnation_named, CrashPoint::incarnation_durable};
constexpr DurableFilePoints kIdentityPoints = {CrashPoint::identity_written, CrashPoint::identity_synchronized,
                                               CrashPoint::identity_named, CrashPoint::identity_durable};

std::string owner_text(const StateOwner& owner, std::uint64_t incarnation) {
    // Always of one size, so that nothing of a longer one stays behind it.
    const std::string text = fmt::format("process {}\nincarnation {}\nboot {}\n", owner.process, incarnation,
                                         std::string_view(owner.boot).substr(0, 64));
    return fmt::format("{:<{}}\n", text, kOwnerBytes - 1);
}

/// "process 17, incarnation 3, boot 6f...", as the lock's holder wrote it.
std::string holder(File& lock) {
    std::string text(kOwnerBytes, '\0');
    std::size_t count = 0;
    if (lock.read_at(0, text, count) || count == 0) return "a process that has not yet said which";
    text.resize(count);
    text.erase(text.find_last_not_of(" \n") + 1);
    std::string line;
    for (const char c : text) {
        if (c == '\n') {
            line += ", ";
        } else if (c >= ' ' && c <= '~') {
            line += c;
        }
    }
    return line;
}

DurableText identity_text(const StateIdentity& identity) {
    return {std::string(kIdentityKind),
            1,
            {{"pipeline", identity.pipeline},
             {"key_groups", std::to_string(identity.key_groups)},
             {"hash", identity.hash}}};
}

/// Makes the folder and those above it that are missing; each is durable before the next one is made in it.
Status make_folders(Disk& disk, std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    const std::string above = folder_of(path);
    auto error = disk.make_directory(path);
    if (error == std::errc::no_such_file_or_directory && above != path) {
        if (Status made = make_folders(disk, above); !made) return made;
        error = disk.make_directory(path);
    }
    if (error) return disk_error("cannot make the folder", path, error);
    if (const auto failed = disk.sync_directory(above)) return sync_error(above, failed);
    return {};
}

Status same_identity(const std::string& path, const DurableText& found, const StateIdentity& wanted) {
    std::string differences;
    for (const auto& [name, value] : identity_text(wanted).values) {
        const std::optional<std::string> is = found.find(name);
        if (!is) return Error{"F705", fmt::format("{}/IDENTITY is damaged: it has no {}", path, name)};
        if (*is != value) differences += fmt::format("; its {} is '{}', not '{}'", name, *is, value);
    }
    if (differences.empty()) return {};
    return Error{"C703", fmt::format("the state directory {} belongs to something else{}", path, differences)};
}

}  // namespace

StateOwner this_process() {
    std::string boot;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
    std::random_device chance;
    std::string seed;
    for (int i = 0; i < 8; ++i) seed += std::to_string(chance()) + ' ';
    return {::getpid(), boot, to_hex(hash128(fmt::format("{}{} {}", seed, boot, ::getpid())))};
}

Result<std::string> read_state_pipeline(Disk& disk, const std::string& path) {
    const auto identity = read_durable_text(disk, path + "/IDENTITY", kIdentityKind);
    if (!identity) return identity.error();
    if (!*identity) return Error{"C704", fmt::format("{} is no state directory: it has no IDENTITY", path)};
    const std::optional<std::string> pipeline = (*identity)->find("pipeline");
    if (!pipeline) return Error{"F705", fmt::format("{}/IDENTITY is damaged: it has no pipeline", path)};
    return *pipeline;
}

Result<StateDirectory> StateDirectory::open(Disk& disk, const std::string& path, const StateIdentity& identity,
                                            const StateOwner& owner) {
    StateDirectory state;
    state.path_ = path;
    if (Status made = make_folders(disk, path); !made) return made.error();

    const std::string lock = path + "/LOCK";
    if (const auto error = disk.open(lock, Disk::Open::existing_or_new, state.lock_))
        return disk_error("cannot open", lock, error);
    if (const auto error = state.lock_->lock()) {
        if (error != std::errc::resource_unavailable_try_again) return disk_error("cannot lock", lock, error);
        return Error{"E702", fmt::format("the state directory {} is in use: {}", path, holder(*state.lock_))};
    }
    reach(CrashPoint::state_locked);

    const std::string identity_path = path + "/IDENTITY";
    const auto found = read_durable_text(disk, identity_path, kIdentityKind);
    if (!found) return found.error();
    if (*found) {
        if (Status same = same_identity(path, **found, identity); !same) return same.error();
    }
    state.name_ = *found ? (*found)->find("name").value_or("") : owner.name;
    std::vector<std::string> journal;
    if (!*found && !disk.list(state.journal_folder(), journal) && !journal.empty())
        return Error{"F705", fmt::format("{} is lost, and there is a journal", identity_path)};
    const std::string incarnation_path = path + "/INCARNATION";
    const auto last = read_durable_text(disk, incarnation_path, kIncarnationKind);
    if (!last) return last.error();
    const std::uint64_t before = *last ? (*last)->number("incarnation").value_or(0) : 0;
    if ((*last || *found) && before == 0) {
        return Error{"F705", fmt::format("{} is {}: nobody knows how often the pipeline was started", incarnation_path,
                                         *last ? "damaged" : "lost")};
    }
    state.incarnation_ = before + 1;

    // For people only: the lock is the open file, and the number that counts is in a file of its own.
    if (const auto error = state.lock_->write_at(0, owner_text(owner, state.incarnation_)))
        return disk_error("cannot write", lock, error);
    reach(CrashPoint::owner_written);
    const DurableText next = {std::string(kIncarnationKind), 1, {{"incarnation", std::to_string(state.incarnation_)}}};
    if (Status status = write_durable_text(disk, incarnation_path, next, kIncarnationPoints); !status)
        return status.error();

    if (const auto error = disk.make_directory(state.journal_folder()))
        return disk_error("cannot make the folder", state.journal_folder(), error);
    if (const auto error = disk.sync_directory(path)) return sync_error(path, error);
    if (!*found) {
        DurableText made = identity_text(identity);
        made.values.emplace_back("name", state.name_);
        if (Status status = write_durable_text(disk, identity_path, made, kIdentityPoints); !status)
            return status.error();
    }
    return state;
}

}  // namespace takt
