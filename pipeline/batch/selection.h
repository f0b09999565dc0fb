#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

namespace takt {

/// Rows per batch at most: so few that the columns of a batch and the messages that it was read from stay in a core's
/// second-level cache, from the decoding to the last step.
constexpr std::uint32_t kBatchRows = 512;

using Row = std::uint16_t;

/// Which rows of a batch a stream holds, ascending, each once. A filter narrows it and moves no data.
class Selection {
  public:
    void clear() { rows_.clear(); }
    void reserve(std::size_t rows) { rows_.reserve(rows); }
    void assign_all(std::uint32_t rows) {
        rows_.resize(rows);
        std::iota(rows_.begin(), rows_.end(), Row{0});
    }
    void push_back(Row row) { rows_.push_back(row); }
    /// For kernels that write rows and then say how many: resize, write through data(), resize again.
    void resize(std::size_t rows) { rows_.resize(rows); }
    Row* data() { return rows_.data(); }
    const Row* data() const { return rows_.data(); }
    std::uint32_t size() const { return static_cast<std::uint32_t>(rows_.size()); }
    bool empty() const { return rows_.empty(); }
    Row operator[](std::size_t i) const { return rows_[i]; }
    auto begin() const { return rows_.begin(); }
    auto end() const { return rows_.end(); }

  private:
    std::vector<Row> rows_;
};

}  // namespace takt
