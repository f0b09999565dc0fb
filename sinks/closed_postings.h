#pragma once

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipeline/plan/posting.h"

namespace takt {

/// Postings that people have closed: a ledger lacks them, and has later revisions of their panes. For one pass over a
/// ledger, which takes each once; they must outlive it.
class ClosedPostings {
  public:
    explicit ClosedPostings(std::span<const Posting* const> postings);

    /// Taken or not. Null: nobody has closed it.
    const Posting* find(const std::string& key) const;
    /// That posting, after those before it, as far as they are closed and were not taken; now they are.
    std::vector<const Posting*> take(const std::string& key);
    /// Takes this one only, where it is one.
    void drop(const std::string& key);

  private:
    struct Closed {
        const Posting* posting = nullptr;
        bool taken = false;
    };
    std::unordered_map<std::string_view, Closed> by_key_;
};

}  // namespace takt
