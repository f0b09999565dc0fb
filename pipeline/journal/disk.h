#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace takt {

// The few operations on files that the journal is made of, behind one interface: real_disk() in the daemon, a simulated
// one in tests, which loses what was not synchronized. All results are the system's error numbers; no error is {}.

/// An open file. One thread. The destructor closes it and gives back the lock; nothing is written by that.
class File {
  public:
    virtual ~File() = default;

    /// Reads as much as there is; `count` is less than asked for only at the end of the file.
    virtual std::error_code read_at(std::uint64_t offset, std::span<char> bytes, std::size_t& count) = 0;
    /// Writes all of it, or fails after any part of it.
    virtual std::error_code write_at(std::uint64_t offset, std::string_view bytes) = 0;
    /// Gives the file this size, all of it zeros where nothing was written, with the space for it reserved.
    virtual std::error_code preallocate(std::uint64_t size_bytes) = 0;
    virtual std::error_code size(std::uint64_t& size_bytes) = 0;
    /// Returns when the bytes, and the size that they need, survive a power cut. After an error nobody knows what is on
    /// the disk, and another attempt would report success for bytes that the system has dropped.
    virtual std::error_code fdatasync() = 0;
    /// Locks the file for this process until it is closed; std::errc::resource_unavailable_try_again where another one
    /// has it and does not give it up within a second.
    virtual std::error_code lock() = 0;
};

/// Names of files. A new, renamed or removed name survives a power cut only after `sync_directory` of its folder, and
/// until then any of these changes may, in any order. Thread-safe where its paths differ.
class Disk {
  public:
    enum class Open : std::uint8_t {
        existing,         ///< reads and writes; std::errc::no_such_file_or_directory
        existing_or_new,  ///< the same, made empty where it is not there
        empty,            ///< made empty, also where it is there
    };

    virtual ~Disk() = default;

    virtual std::error_code open(const std::string& path, Open how, std::unique_ptr<File>& file) = 0;
    /// Replaces `to` at once: whoever looks sees one of the two.
    virtual std::error_code rename(const std::string& from, const std::string& to) = 0;
    virtual std::error_code unlink(const std::string& path) = 0;
    /// No error where the folder is there already.
    virtual std::error_code make_directory(const std::string& path) = 0;
    virtual std::error_code sync_directory(const std::string& path) = 0;
    /// Names in a folder, in the order of their bytes.
    virtual std::error_code list(const std::string& path, std::vector<std::string>& names) = 0;
    /// What may still be written on the file system that holds the folder.
    virtual std::error_code free_bytes(const std::string& path, std::uint64_t& free) = 0;
};

/// The machine's disks.
Disk& real_disk();

/// What a disk writes whole or not at all. Frames begin at multiples of it.
constexpr std::size_t kSectorBytes = 512;

/// The folder that holds the path: "a" of "a/b", "." of "b".
std::string folder_of(const std::string& path);

/// The whole file, at most `limit_bytes` of it.
std::error_code read_file(Disk& disk, const std::string& path, std::size_t limit_bytes, std::string& bytes);

}  // namespace takt
