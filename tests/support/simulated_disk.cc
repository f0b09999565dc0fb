#include "tests/support/simulated_disk.h"

#include <algorithm>
#include <cstring>

#include "pipeline/base/check.h"

namespace takt {
namespace {

std::error_code error_of(std::errc error) {
    return std::make_error_code(error);
}

}  // namespace

class SimulatedDisk::OpenFile final : public File {
  public:
    OpenFile(SimulatedDisk& disk, std::shared_ptr<Inode> inode)
        : disk_(disk), inode_(std::move(inode)), start_(disk.start_) {}
    ~OpenFile() override {
        if (holds_lock_ && alive()) inode_->locked = false;
    }

    std::error_code read_at(std::uint64_t offset, std::span<char> bytes, std::size_t& count) override {
        count = 0;
        if (!alive()) return error_of(std::errc::io_error);
        if (offset >= inode_->now.size()) return {};
        count = std::min<std::size_t>(bytes.size(), inode_->now.size() - offset);
        std::memcpy(bytes.data(), inode_->now.data() + offset, count);
        return {};
    }

    std::error_code write_at(std::uint64_t offset, std::string_view bytes) override {
        if (!alive()) return error_of(std::errc::io_error);
        const std::error_code error = operation();
        if (error) bytes = bytes.substr(0, bytes.size() / 2 / kSectorBytes * kSectorBytes);
        if (std::error_code full = grow(offset + bytes.size())) return full;
        std::memcpy(inode_->now.data() + offset, bytes.data(), bytes.size());
        for (std::size_t sector = offset / kSectorBytes; sector * kSectorBytes < offset + bytes.size(); ++sector)
            inode_->dirty.insert(sector);
        return error;
    }

    std::error_code preallocate(std::uint64_t size_bytes) override {
        if (const std::error_code error = operation()) return error;
        return grow(size_bytes);
    }

    std::error_code size(std::uint64_t& size_bytes) override {
        size_bytes = inode_->now.size();
        return alive() ? std::error_code() : error_of(std::errc::io_error);
    }

    std::error_code fdatasync() override {
        const std::error_code error = operation();
        if (!error) {
            ++disk_.synchronizations_;
            inode_->durable.resize(inode_->now.size(), '\0');
            for (const std::size_t sector : inode_->dirty) copy_sector(*inode_, sector);
        }
        if (alive()) inode_->dirty.clear();
        return error;
    }

    std::error_code lock() override {
        if (!alive()) return error_of(std::errc::io_error);
        if (inode_->locked && !holds_lock_) return error_of(std::errc::resource_unavailable_try_again);
        inode_->locked = holds_lock_ = true;
        return {};
    }

    static void copy_sector(Inode& inode, std::size_t sector) {
        const std::size_t begin = sector * kSectorBytes;
        const std::size_t end = std::min({begin + kSectorBytes, inode.now.size(), inode.durable.size()});
        if (begin < end) std::memcpy(inode.durable.data() + begin, inode.now.data() + begin, end - begin);
    }

  private:
    bool alive() const { return start_ == disk_.start_ && !disk_.stopped_; }
    std::error_code operation() { return alive() ? disk_.operation() : error_of(std::errc::io_error); }
    std::error_code grow(std::uint64_t size_bytes) {
        if (size_bytes <= inode_->now.size()) return {};
        if (size_bytes - inode_->now.size() > disk_.capacity_ - std::min(disk_.capacity_, disk_.used()))
            return error_of(std::errc::no_space_on_device);
        inode_->now.resize(size_bytes, '\0');
        return {};
    }

    SimulatedDisk& disk_;
    std::shared_ptr<Inode> inode_;
    const std::uint64_t start_;
    bool holds_lock_ = false;
};

std::error_code SimulatedDisk::operation() {
    if (stopped_) return error_of(std::errc::io_error);
    ++operations_;
    if (operations_ == power_cut_at_) throw PowerCut();
    return operations_ == fail_at_ ? failure_ : std::error_code();
}

std::uint64_t SimulatedDisk::used() const {
    std::uint64_t bytes = 0;
    for (const auto& [name, inode] : files_.now) bytes += inode->now.size();
    return bytes;
}

std::error_code SimulatedDisk::open(const std::string& path, Open how, std::unique_ptr<File>& file) {
    if (stopped_) return error_of(std::errc::io_error);
    if (!directories_.now.contains(folder_of(path))) return error_of(std::errc::no_such_file_or_directory);
    auto found = files_.now.find(path);
    if (found == files_.now.end() || how == Open::empty) {
        if (how == Open::existing) return error_of(std::errc::no_such_file_or_directory);
        if (const std::error_code error = operation()) return error;
        auto inode = std::make_shared<Inode>();
        found = files_.now.insert_or_assign(path, inode).first;
        changes_.push_back({folder_of(path), "", path, inode});
    }
    file = std::make_unique<OpenFile>(*this, found->second);
    return {};
}

std::error_code SimulatedDisk::rename(const std::string& from, const std::string& to) {
    CHECK(folder_of(from) == folder_of(to));
    if (const std::error_code error = operation()) return error;
    const auto found = files_.now.find(from);
    if (found == files_.now.end()) return error_of(std::errc::no_such_file_or_directory);
    const std::shared_ptr<Inode> inode = found->second;
    files_.now.erase(found);
    files_.now[to] = inode;
    changes_.push_back({folder_of(to), from, to, inode});
    return {};
}

std::error_code SimulatedDisk::unlink(const std::string& path) {
    if (const std::error_code error = operation()) return error;
    const auto found = files_.now.find(path);
    if (found == files_.now.end()) return error_of(std::errc::no_such_file_or_directory);
    changes_.push_back({folder_of(path), path, "", found->second});
    files_.now.erase(found);
    return {};
}

std::error_code SimulatedDisk::make_directory(const std::string& path) {
    if (directories_.now.contains(path)) return {};
    if (!directories_.now.contains(folder_of(path))) return error_of(std::errc::no_such_file_or_directory);
    if (const std::error_code error = operation()) return error;
    directories_.now.insert(path);
    changes_.push_back({folder_of(path), "", path, nullptr});
    return {};
}

void SimulatedDisk::make_durable(const NameChange& change) {
    if (change.inode == nullptr) {
        directories_.durable.insert(change.to);
        return;
    }
    if (!change.from.empty()) {
        // The name may have lost its inode to a later change that was kept while this one was not.
        const auto old = files_.durable.find(change.from);
        if (old != files_.durable.end() && old->second == change.inode) files_.durable.erase(old);
    }
    if (!change.to.empty()) files_.durable[change.to] = change.inode;
}

std::error_code SimulatedDisk::sync_directory(const std::string& path) {
    if (const std::error_code error = operation()) return error;
    std::vector<NameChange> rest;
    for (NameChange& change : changes_) {
        if (change.folder == path) {
            make_durable(change);
        } else {
            rest.push_back(std::move(change));
        }
    }
    changes_ = std::move(rest);
    return {};
}

std::error_code SimulatedDisk::list(const std::string& path, std::vector<std::string>& names) {
    if (stopped_) return error_of(std::errc::io_error);
    if (!directories_.now.contains(path)) return error_of(std::errc::no_such_file_or_directory);
    names.clear();
    for (const auto& [name, inode] : files_.now) {
        if (folder_of(name) == path) names.push_back(name.substr(path.size() + 1));
    }
    return {};
}

std::error_code SimulatedDisk::free_bytes(const std::string&, std::uint64_t& free) {
    free = capacity_ - std::min(capacity_, used());
    return {};
}

void SimulatedDisk::start_again(Kept kept) {
    for (const NameChange& change : changes_) {
        if (keep(kept)) make_durable(change);
    }
    changes_.clear();
    directories_.now = directories_.durable;
    std::erase_if(files_.durable,
                  [&](const auto& file) { return !directories_.durable.contains(folder_of(file.first)); });
    files_.now = files_.durable;
    for (const auto& [name, inode] : files_.now) {
        if (inode->now.size() != inode->durable.size() && keep(kept)) inode->durable.resize(inode->now.size(), '\0');
        for (const std::size_t sector : inode->dirty) {
            if (keep(kept)) OpenFile::copy_sector(*inode, sector);
        }
        inode->dirty.clear();
        inode->now = inode->durable;
    }
    end_process();
}

void SimulatedDisk::end_process() {
    for (const auto& [name, inode] : files_.now) inode->locked = false;
    power_cut_at_ = fail_at_ = 0;
    stopped_ = false;
    ++start_;
}

bool SimulatedDisk::is_durable(const std::string& path) const {
    const auto now = files_.now.find(path);
    const auto durable = files_.durable.find(path);
    return now != files_.now.end() && durable != files_.durable.end() && now->second == durable->second &&
           now->second->now == now->second->durable;
}

std::string SimulatedDisk::content(const std::string& path) const {
    const auto found = files_.now.find(path);
    CHECK(found != files_.now.end());
    return found->second->now;
}

void SimulatedDisk::set_content(const std::string& path, const std::string& bytes) {
    const auto found = files_.now.find(path);
    CHECK(found != files_.now.end());
    found->second->now = found->second->durable = bytes;
    found->second->dirty.clear();
}

}  // namespace takt
