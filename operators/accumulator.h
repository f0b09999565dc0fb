#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "operators/pane_block.h"
#include "pipeline/plan/keyed_operator.h"

namespace takt {

/// What an aggregate computes of the rows of a pane.
enum class Function : std::uint8_t {
    count,
    sum,
    minimum,
    maximum,
    average,  ///< sum / count: a decimal with 6 digits more than its argument, half-even; or a double
    first,    ///< by event time, then sequence
    last,
    distinct_count,
    integral,      ///< over time, in value x seconds, by the trapezoid between neighbouring samples
    time_average,  ///< the integral divided by the time from the first to the last sample
};

std::optional<Function> find_function(std::string_view name);
std::vector<std::string> function_names();

/// One function over one column, with its place in the pane's block. Immutable.
class Accumulator {
  public:
    Accumulator(Function function, Slot argument, Type argument_type, std::uint32_t offset, std::uint32_t index)
        : function_(function), argument_(argument), type_(std::move(argument_type)), offset_(offset), index_(index) {}

    /// Bytes of the block that this function takes: a multiple of 16.
    static std::uint32_t size_bytes(Function function);
    /// The type of the result; nothing when the function does not take such an argument.
    static std::optional<Type> result_type(Function function, const Type& argument);

    Function function() const { return function_; }
    /// Whether a pane needs an Attachment for it.
    bool needs_attachment() const;
    Type type() const { return *result_type(function_, type_); }

    /// Adds rows[i] to the block blocks[i], for all i: one pass over one column.
    void add(const Batch& batch, std::span<const Row> rows, std::span<std::byte* const> blocks) const;

    /// The result as it stands: monostate where it has none (the first of nothing).
    Scalar result(const std::byte* block) const;
    /// The result as an exact number at the result type's scale; for sum, count, integral... of integers and decimals.
    Int128 exact_result(const std::byte* block) const;

    /// Whether results are exact and add up: a sum, or a number of rows. Then the results of all panes are what all
    /// rows have contributed.
    bool adds_up() const;
    /// What these rows contribute to the results of the panes that take them.
    Int128 contribution(const Batch& batch, std::span<const Row> rows) const;

    /// Adds what `from` holds to `into`; `from` must not be used afterwards but to be freed.
    void merge(std::byte* into, std::byte* from) const;

    /// Makes the attachment ready for this function.
    void prepare(Attachment& attachment) const;

  private:
    struct EdgeState;
    /// Whether a value takes the place of the one that is there.
    bool replaces(Int128 value, Timestamp time, std::uint64_t sequence, const EdgeState& state) const;

    Function function_;
    Slot argument_;
    Type type_;
    std::uint32_t offset_;
    std::uint32_t index_;
};

}  // namespace takt
