#include "sinks/closed_postings.h"

#include <algorithm>

namespace takt {

ClosedPostings::ClosedPostings(std::span<const Posting* const> postings) {
    for (const Posting* posting : postings) by_key_.emplace(posting->key, Closed{posting});
}

const Posting* ClosedPostings::find(const std::string& key) const {
    const auto closed = by_key_.find(key);
    return closed == by_key_.end() ? nullptr : closed->second.posting;
}

std::vector<const Posting*> ClosedPostings::take(const std::string& key) {
    std::vector<const Posting*> chain;
    for (auto closed = by_key_.find(key); closed != by_key_.end() && !closed->second.taken;
         closed = by_key_.find(chain.back()->previous_key)) {
        closed->second.taken = true;
        chain.push_back(closed->second.posting);
    }
    std::reverse(chain.begin(), chain.end());
    return chain;
}

void ClosedPostings::drop(const std::string& key) {
    const auto closed = by_key_.find(key);
    if (closed != by_key_.end()) closed->second.taken = true;
}

}  // namespace takt
