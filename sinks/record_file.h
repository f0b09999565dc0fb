#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "pipeline/base/result.h"
#include "sinks/atomic_file.h"

namespace takt {

/// A series of files FOLDER/NAME-000001.EXTENSION, -000002, … of records of one kind, each under its name when it holds
/// `records_per_file` records or the series is closed. The one that grows survives a crash with all whole records. One
/// thread.
class RecordFile {
  public:
    enum class Form : std::uint8_t {
        json,           ///< a line each
        csv,            ///< RFC 4180, after a header
        size_prefixed,  ///< bytes, each record after its length (u32, little endian)
    };
    struct Options {
        std::string folder;
        std::string name;
        Form form = Form::json;
        std::string header;  ///< first line of every CSV file, without line end
        std::uint64_t records_per_file = 0;
        bool synchronous = true;  ///< appended records survive a power cut
    };
    /// Called for what is there already: a file's whole text.
    using Read = std::function<Status(const std::string& path, std::string text)>;

    explicit RecordFile(Options options) : options_(std::move(options)) {}

    /// Finds the series' end, after a crash too, and hands all that it holds to `read`.
    Status open(const Read& read);
    /// Adds a record (with its line end or length) to those that `flush` writes.
    Status add(std::string_view record);
    /// Writes and synchronizes. After an error `open` must be called: then it shows what has been written.
    Status flush();
    /// Gives the file that grows its name.
    Status close();

  private:
    std::string path(std::uint64_t number) const;
    Status recover(const std::string& path, const Read& read);
    Status write_pending();

    Options options_;
    std::uint64_t number_ = 1;
    std::uint64_t records_ = 0;  ///< in the file that grows, with pending ones
    AtomicFile file_;
    std::string pending_;
};

}  // namespace takt
