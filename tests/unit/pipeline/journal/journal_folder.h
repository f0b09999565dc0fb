#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

namespace takt {

/// A folder of its own for each test, gone afterwards.
class JournalFolder {
  public:
    JournalFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "takt-journal-XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    ~JournalFolder() { std::filesystem::remove_all(path_); }
    JournalFolder(const JournalFolder&) = delete;
    JournalFolder& operator=(const JournalFolder&) = delete;
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

}  // namespace takt
