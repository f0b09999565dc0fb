#pragma once

#include <unistd.h>

namespace takt {

/// Closes what it holds.
class FileDescriptor {
  public:
    FileDescriptor() = default;
    explicit FileDescriptor(int number) : number_(number) {}
    FileDescriptor(const FileDescriptor&) = delete;
    FileDescriptor& operator=(const FileDescriptor&) = delete;
    ~FileDescriptor() {
        if (number_ >= 0) ::close(number_);
    }
    void reset(int number) {
        if (number_ >= 0) ::close(number_);
        number_ = number;
    }
    int number() const { return number_; }

  private:
    int number_ = -1;
};

}  // namespace takt
