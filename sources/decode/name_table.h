#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace takt {

/// Finds a name's index among a few dozen names. Points into the names given: they outlive it.
class NameTable {
  public:
    static constexpr std::int32_t kNone = -1;

    void add(std::string_view name, std::int32_t index) {
        if (by_size_.size() <= name.size()) by_size_.resize(name.size() + 1);
        by_size_[name.size()].push_back({name, index});
    }
    std::int32_t find(std::string_view name) const {
        if (name.size() >= by_size_.size()) return kNone;
        for (const Entry& entry : by_size_[name.size()]) {
            if (entry.name == name) return entry.index;
        }
        return kNone;
    }

  private:
    struct Entry {
        std::string_view name;
        std::int32_t index;
    };
    std::vector<std::vector<Entry>> by_size_;
};

}  // namespace takt
