#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "pipeline/base/hash.h"
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

/// A sample of a signal; samples of a pane are kept in order of (time, sequence).
struct Sample {
    Timestamp time = 0;
    std::uint64_t sequence = 0;
    Int128 exact = 0;  ///< decimal and integer arguments
    double real = 0;   ///< double arguments
    bool operator<(const Sample& other) const {
        return std::tie(time, sequence) < std::tie(other.time, other.sequence);
    }
};

/// What does not fit the fixed block of a pane: owned by the pane, allocated only where a function needs it.
struct Attachment {
    std::vector<std::string> texts;        ///< of the pane's first row: what a posting says beside its sums
    std::vector<std::string> text_values;  ///< first and last of strings, by function
    std::vector<std::unordered_set<std::string>> distinct;  ///< by function
    std::vector<std::vector<Sample>> samples;               ///< by function
    std::vector<std::pair<std::uint32_t, std::pair<std::uint64_t, std::uint64_t>>>
        more_ranges;  ///< sources beside the first
};

/// One function over one column, with its place in the pane's block. Immutable.
class Accumulator {
  public:
    Accumulator(Function function, Slot argument, Type argument_type, std::uint32_t offset, std::uint32_t index)
        : function_(function), argument_(argument), type_(std::move(argument_type)), offset_(offset), index_(index) {}

    /// Bytes of the block that this function takes: a multiple of 16.
    static std::uint32_t size_bytes(Function function);
    /// The type of the result; nothing when the function does not take such an argument.
    static std::optional<Type> result_type(Function function, const Type& argument);
    /// Whether the pane needs an Attachment for it.
    static bool needs_attachment(Function function, const Type& argument);

    Function function() const { return function_; }
    Type type() const { return *result_type(function_, type_); }

    /// Adds rows[i] to the block blocks[i], for all i: one pass over one column.
    void add(const Batch& batch, std::span<const Row> rows, std::span<std::byte* const> blocks) const;

    /// The result as it stands: monostate where it has none (the first of nothing).
    Scalar result(const std::byte* block) const;
    /// The result as an exact number at the result type's scale; for sum, count, integral... of integers and decimals.
    Int128 exact_result(const std::byte* block) const;

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

/// At the start of every pane's block.
struct PaneHeader {
    Attachment* attachment;  ///< owned: freed when the pane is purged
    std::uint64_t events;
    Hash128 ids;
    std::uint64_t first_sequence;
    std::uint64_t last_sequence;
    std::uint32_t source;
    std::uint32_t reserved;
    std::uint64_t unused;
};
static_assert(sizeof(PaneHeader) % 16 == 0);

}  // namespace takt
