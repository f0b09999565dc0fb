#include "pipeline/journal/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

namespace takt {
namespace {

/// A process that was killed is gone at once, but its children, which share its locks, a moment later.
constexpr std::chrono::seconds kLockPatience{5};
constexpr std::chrono::milliseconds kLockPause{10};

std::error_code last_error() {
    return {errno, std::generic_category()};
}

std::error_code error_of(int result) {
    return result == 0 ? std::error_code() : last_error();
}

class RealFile final : public File {
  public:
    explicit RealFile(int descriptor) : descriptor_(descriptor) {}
    ~RealFile() override { ::close(descriptor_); }
    RealFile(const RealFile&) = delete;
    RealFile& operator=(const RealFile&) = delete;

    std::error_code read_at(std::uint64_t offset, std::span<char> bytes, std::size_t& count) override {
        for (count = 0; count < bytes.size();) {
            const ssize_t got =
                ::pread(descriptor_, bytes.data() + count, bytes.size() - count, static_cast<off_t>(offset + count));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return last_error();
            if (got == 0) break;
            count += static_cast<std::size_t>(got);
        }
        return {};
    }

    std::error_code write_at(std::uint64_t offset, std::string_view bytes) override {
        while (!bytes.empty()) {
            const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) return last_error();
            offset += static_cast<std::uint64_t>(written);
            bytes.remove_prefix(static_cast<std::size_t>(written));
        }
        return {};
    }

    std::error_code preallocate(std::uint64_t size_bytes) override {
        int result = 0;
        do {
            result = ::fallocate(descriptor_, 0, 0, static_cast<off_t>(size_bytes));
        } while (result != 0 && errno == EINTR);
        if (result == 0 || errno != EOPNOTSUPP) return error_of(result);
        // File systems without fallocate: the C library writes zeros, and says so by its result.
        return {::posix_fallocate(descriptor_, 0, static_cast<off_t>(size_bytes)), std::generic_category()};
    }

    std::error_code size(std::uint64_t& size_bytes) override {
        struct stat found {};
        if (::fstat(descriptor_, &found) != 0) return last_error();
        size_bytes = static_cast<std::uint64_t>(found.st_size);
        return {};
    }

    std::error_code fdatasync() override { return error_of(::fdatasync(descriptor_)); }
    std::error_code lock() override {
        const auto until = std::chrono::steady_clock::now() + kLockPatience;
        while (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
            if (errno != EWOULDBLOCK || std::chrono::steady_clock::now() >= until) return last_error();
            std::this_thread::sleep_for(kLockPause);
        }
        return {};
    }

  private:
    const int descriptor_;
};

class RealDisk final : public Disk {
  public:
    std::error_code open(const std::string& path, Open how, std::unique_ptr<File>& file) override {
        int flags = O_RDWR | O_CLOEXEC;
        if (how != Open::existing) flags |= O_CREAT;
        if (how == Open::empty) flags |= O_TRUNC;
        const int descriptor = ::open(path.c_str(), flags, 0640);
        if (descriptor < 0) return last_error();
        file = std::make_unique<RealFile>(descriptor);
        return {};
    }

    std::error_code rename(const std::string& from, const std::string& to) override {
        return error_of(::rename(from.c_str(), to.c_str()));
    }

    std::error_code unlink(const std::string& path) override { return error_of(::unlink(path.c_str())); }

    std::error_code make_directory(const std::string& path) override {
        if (::mkdir(path.c_str(), 0750) == 0) return {};
        const std::error_code error = last_error();
        struct stat found {};
        const bool there = errno == EEXIST && ::stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
        return there ? std::error_code() : error;
    }

    std::error_code sync_directory(const std::string& path) override {
        const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (descriptor < 0) return last_error();
        const std::error_code error = error_of(::fsync(descriptor));
        ::close(descriptor);
        return error;
    }

    std::error_code list(const std::string& path, std::vector<std::string>& names) override {
        DIR* const folder = ::opendir(path.c_str());
        if (folder == nullptr) return last_error();
        names.clear();
        errno = 0;
        while (const dirent* entry = ::readdir(folder)) {
            const std::string_view name = entry->d_name;
            if (name != "." && name != "..") names.emplace_back(name);
            errno = 0;
        }
        const std::error_code error = last_error();
        ::closedir(folder);
        std::sort(names.begin(), names.end());
        return error;
    }

    std::error_code free_bytes(const std::string& path, std::uint64_t& free) override {
        struct statvfs found {};
        if (::statvfs(path.c_str(), &found) != 0) return last_error();
        free = std::uint64_t{found.f_bavail} * found.f_frsize;
        return {};
    }
};

}  // namespace

Disk& real_disk() {
    static RealDisk disk;
    return disk;
}

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.find_last_of('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

std::error_code read_file(Disk& disk, const std::string& path, std::size_t limit_bytes, std::string& bytes) {
    std::unique_ptr<File> file;
    if (const std::error_code error = disk.open(path, Disk::Open::existing, file)) return error;
    constexpr std::size_t kLeastBytes = 64u << 10;
    for (bytes.clear(); bytes.size() < limit_bytes;) {
        const std::size_t before = bytes.size();
        const std::size_t wanted = std::min(limit_bytes, std::max(kLeastBytes, 2 * before));
        bytes.resize(wanted);
        std::size_t count = 0;
        const std::error_code error = file->read_at(before, std::span<char>(bytes).subspan(before), count);
        bytes.resize(error ? 0 : before + count);
        if (error || bytes.size() < wanted) return error;
    }
    return {};
}

}  // namespace takt
