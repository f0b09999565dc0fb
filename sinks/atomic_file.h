#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pipeline/base/result.h"

namespace takt {

/// A file that grows under a temporary name in its folder and gets its own name when it is complete: whoever looks sees
/// all of it or nothing. After a crash the temporary file is still there; `resume` goes on with it. One thread. Errors:
/// E630 with the system's reason.
class AtomicFile {
  public:
    AtomicFile() = default;
    ~AtomicFile();
    AtomicFile(AtomicFile&& other) noexcept;
    AtomicFile& operator=(AtomicFile&& other) noexcept;

    /// Makes the folder and an empty temporary file. What was left of an earlier one is overwritten.
    static Result<AtomicFile> create(const std::string& path);
    /// Opens what a crash left, or an empty one; `keep_bytes` of its start are kept.
    static Result<AtomicFile> resume(const std::string& path, std::uint64_t keep_bytes);
    /// The name that it has until it is complete: ".NAME.partial" in the same folder.
    static std::string partial_path(const std::string& path);

    Status append(std::string_view bytes);
    /// What was appended survives a power cut.
    Status synchronize();
    /// Gives the file its name (a file of that name is replaced). Closed then. `durable`: it survives a power cut.
    Status commit(bool durable = true);
    bool is_open() const { return descriptor_ >= 0; }
    std::uint64_t size_bytes() const { return size_bytes_; }

  private:
    void close();

    std::string path_;
    int descriptor_ = -1;
    std::uint64_t size_bytes_ = 0;
};

/// A whole file at once.
Status write_atomically(const std::string& path, std::string_view bytes, bool durable = true);

}  // namespace takt
