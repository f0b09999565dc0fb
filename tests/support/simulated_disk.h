#pragma once

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "pipeline/journal/disk.h"

namespace takt {

/// A disk in memory that is as unkind as real ones may be: until they are synchronized, sectors of 512 bytes, sizes and
/// names are lost or kept each by itself. One seed, one behaviour. For tests; one thread.
class SimulatedDisk final : public Disk {
  public:
    /// Thrown in place of the operation that the power cut prevents; every later one on the same files fails.
    struct PowerCut {};
    /// What of the changes that were not synchronized is there after a power cut.
    enum class Kept : std::uint8_t { nothing, everything, some };

    explicit SimulatedDisk(std::uint64_t seed) : chance_(seed) { directories_.now = directories_.durable = {"."}; }

    std::error_code open(const std::string& path, Open how, std::unique_ptr<File>& file) override;
    std::error_code rename(const std::string& from, const std::string& to) override;
    std::error_code unlink(const std::string& path) override;
    std::error_code make_directory(const std::string& path) override;
    std::error_code sync_directory(const std::string& path) override;
    std::error_code list(const std::string& path, std::vector<std::string>& names) override;
    std::error_code free_bytes(const std::string& path, std::uint64_t& free) override;

    /// Operations that change something or make it durable, so far.
    std::uint64_t operations() const { return operations_; }
    std::uint64_t synchronizations() const { return synchronizations_; }  ///< fdatasync alone
    void set_capacity(std::uint64_t bytes) { capacity_ = bytes; }

    /// The power is cut instead of operation N (from 1, counted as `operations`).
    void cut_power_at(std::uint64_t operation) { power_cut_at_ = operation; }
    /// Operation N fails. A write has done its first half then, in whole sectors; after a failed fdatasync the system
    /// holds the bytes for written, though they are not.
    void fail_at(std::uint64_t operation, std::errc error) {
        fail_at_ = operation;
        failure_ = std::make_error_code(error);
    }
    /// What the machine finds when it starts again. Locks and planned faults are gone.
    void start_again(Kept kept);
    /// Every operation fails from now on and changes nothing, until start_again or end_process.
    void stop() { stopped_ = true; }
    /// The process is gone and the machine goes on: nothing is lost, nothing more is durable; locks and planned faults
    /// are gone.
    void end_process();

    bool exists(const std::string& path) const { return files_.now.contains(path); }
    /// Whether name and bytes as they are now outlive a power cut.
    bool is_durable(const std::string& path) const;
    /// A file's bytes as they are now, to look at or to damage; durable with that.
    std::string content(const std::string& path) const;
    void set_content(const std::string& path, const std::string& bytes);

  private:
    class OpenFile;
    struct Inode {
        std::string now;
        std::string durable;
        std::set<std::size_t> dirty;  ///< sectors
        bool locked = false;
    };
    struct NameChange {
        std::string folder;
        std::string from;              ///< loses its inode; empty: none
        std::string to;                ///< gets it; empty: none
        std::shared_ptr<Inode> inode;  ///< shared with names and open files; null: `to` is a folder
    };
    template <typename Names>
    struct Both {
        Names now;
        Names durable;
    };

    std::error_code operation();
    bool keep(Kept kept) { return kept == Kept::everything || (kept == Kept::some && (chance_() & 1) != 0); }
    void make_durable(const NameChange& change);
    std::uint64_t used() const;

    Both<std::map<std::string, std::shared_ptr<Inode>>> files_;  // shared: open files outlive their names
    Both<std::set<std::string>> directories_;
    std::vector<NameChange> changes_;  // not synchronized
    std::mt19937_64 chance_;
    std::uint64_t capacity_ = UINT64_MAX;
    std::uint64_t operations_ = 0;
    std::uint64_t synchronizations_ = 0;
    std::uint64_t power_cut_at_ = 0;
    std::uint64_t fail_at_ = 0;
    std::error_code failure_;
    std::uint64_t start_ = 0;  // files opened before the last start are dead
    bool stopped_ = false;
};

}  // namespace takt
