#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace takt {

struct Chunk;

/// A piece of work for any thread.
struct Job {
    enum class Kind : std::uint8_t { stateless, sequencer, lane, committer };
    Kind kind = Kind::stateless;
    std::uint32_t lane = 0;
    Chunk* chunk = nullptr;
};

/// Runs jobs on a TBB arena of its own, in about the order of posting. Thread-safe.
class Workers {
  public:
    Workers(std::uint32_t threads, std::function<void(Job)> run);
    /// Waits until every job that was posted has run.
    ~Workers();
    void post(Job job);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace takt
