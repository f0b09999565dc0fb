#pragma once

#include <algorithm>

#include "pipeline/base/time.h"

namespace takt {

/// How long to wait before the next attempt: doubles from `first` to `longest`.
class Backoff {
  public:
    struct Options {
        Duration first = 100 * kMillisecond;
        Duration longest = 5 * kSecond;
    };
    explicit Backoff(const Options& options) : options_(options), next_(options.first) {}
    Duration next() {
        const Duration now = next_;
        next_ = std::min(options_.longest, 2 * next_);
        return now;
    }
    void reset() { next_ = options_.first; }

  private:
    Options options_;
    Duration next_;
};

/// E errors are from outside: they may be gone at the next attempt.
template <typename Failed>
bool may_retry(const Failed& failed) {
    return !failed.error().code.empty() && failed.error().code.front() == 'E';
}

}  // namespace takt
