#include "sinks/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace takt {
namespace {

Error file_error(std::string_view what, const std::string& path) {
    return {"E630", fmt::format("{} {}: {}", what, path, std::strerror(errno))};
}

}  // namespace

AtomicFile::~AtomicFile() {
    close();
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_bytes_(other.size_bytes_) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
    if (this == &other) return *this;
    close();
    path_ = std::move(other.path_);
    descriptor_ = std::exchange(other.descriptor_, -1);
    size_bytes_ = other.size_bytes_;
    return *this;
}

void AtomicFile::close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
}

std::string AtomicFile::partial_path(const std::string& path) {
    const std::filesystem::path whole(path);
    return (whole.parent_path() / fmt::format(".{}.partial", whole.filename().string())).string();
}

Result<AtomicFile> AtomicFile::create(const std::string& path) {
    return resume(path, 0);
}

Result<AtomicFile> AtomicFile::resume(const std::string& path, std::uint64_t keep_bytes) {
    std::error_code ignored;  // opening says it better
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
    AtomicFile file;
    file.path_ = path;
    const std::string partial = partial_path(path);
    file.descriptor_ = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (file.descriptor_ < 0) return file_error("cannot open", partial);
    if (::ftruncate(file.descriptor_, static_cast<off_t>(keep_bytes)) != 0) return file_error("cannot cut", partial);
    if (::lseek(file.descriptor_, 0, SEEK_END) < 0) return file_error("cannot move in", partial);
    file.size_bytes_ = keep_bytes;
    return file;
}

Status AtomicFile::append(std::string_view bytes) {
    CHECK(is_open());
    const std::uint64_t before = size_bytes_;
    while (!bytes.empty()) {
        const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            const Error error = file_error("cannot write to", partial_path(path_));
            // Takes back what was written of it, so that it can be tried again.
            if (::ftruncate(descriptor_, static_cast<off_t>(before)) == 0) {
                ::lseek(descriptor_, 0, SEEK_END);
                size_bytes_ = before;
            }
            return error;
        }
        bytes.remove_prefix(static_cast<std::size_t>(written));
        size_bytes_ += static_cast<std::uint64_t>(written);
    }
    return {};
}

Status AtomicFile::synchronize() {
    CHECK(is_open());
    if (::fdatasync(descriptor_) != 0) return file_error("cannot synchronize", partial_path(path_));
    return {};
}

Status AtomicFile::commit(bool durable) {
    if (durable)
        if (Status status = synchronize(); !status.ok()) return status;
    const std::string partial = partial_path(path_);
    if (::rename(partial.c_str(), path_.c_str()) != 0) return file_error("cannot rename to", path_);
    close();
    if (!durable) return {};
    // The new name itself must survive too.
    const std::filesystem::path parent = std::filesystem::path(path_).parent_path();
    const std::string folder = parent.empty() ? std::string(1, '.') : parent.string();
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return file_error("cannot open", folder);
    const bool synchronized = ::fsync(descriptor) == 0;
    const Error error = file_error("cannot synchronize", folder);
    ::close(descriptor);
    return synchronized ? Status() : Status(error);
}

Status write_atomically(const std::string& path, std::string_view bytes, bool durable) {
    Result<AtomicFile> file = AtomicFile::create(path);
    if (!file.ok()) return file.error();
    if (Status status = file->append(bytes); !status.ok()) return status;
    return file->commit(durable);
}

}  // namespace takt
