#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/journal/crash_point.h"
#include "pipeline/journal/disk.h"

namespace takt {

/// A small file of the state directory: lines `NAME VALUE`, the first of them the file's kind and format version, the
/// last the checksum of those before: people can read it, and a damaged one is seen.
struct DurableText {
    std::string kind;  ///< first word of the file: "takt-state"
    std::uint32_t version = 1;
    std::vector<std::pair<std::string, std::string>> values = {};  ///< names without a blank, values without a line end

    /// The value; nothing where there is none of that name.
    std::optional<std::string> find(std::string_view name) const;
    /// The same as a number; nothing where it is none, or has more than 64 bits.
    std::optional<std::uint64_t> number(std::string_view name) const;
    std::string text() const;
};

/// The file's content; nothing where there is no such file. F704: another format version. F705: it is damaged. E700:
/// it cannot be read.
Result<std::optional<DurableText>> read_durable_text(Disk& disk, const std::string& path, std::string_view kind);

/// The steps of write_durable_file. Where a file has none of its own, there are none.
struct DurableFilePoints {
    CrashPoint written;
    CrashPoint synchronized;
    CrashPoint named;
    CrashPoint durable;
};

/// Writes a file under a temporary name (PATH.tmp), synchronizes, renames, synchronizes the folder: after a crash the
/// file is as before or as given. E700, E701, F709.
Status write_durable_file(Disk& disk, const std::string& path, std::string_view bytes,
                          const std::optional<DurableFilePoints>& points = {});

/// The same with a text.
Status write_durable_text(Disk& disk, const std::string& path, const DurableText& content,
                          const std::optional<DurableFilePoints>& points = {});

/// E701 where there was no room, else E700, with the system's reason.
Error disk_error(std::string_view what, const std::string& path, std::error_code error);
/// F709: a synchronization failed.
Error sync_error(const std::string& path, std::error_code error);

}  // namespace takt
