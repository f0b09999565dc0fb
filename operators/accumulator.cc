#include "operators/accumulator.h"

#include <algorithm>
#include <cmath>

#include "pipeline/base/decimal.h"

namespace takt {

/// The value of min, max, first or last, and where it comes from.
struct Accumulator::EdgeState {
    Int128 value;  // exact, or the bits of a double
    Timestamp time;
    std::uint64_t sequence;
    std::uint64_t seen;
    std::uint64_t unused;
};

namespace {

constexpr int kAverageDigits = 6;
constexpr int kSecondDigits = 9;  // time is counted in nanoseconds

const std::pair<std::string_view, Function> kFunctions[] = {
    {"count", Function::count},       {"sum", Function::sum},
    {"min", Function::minimum},       {"max", Function::maximum},
    {"avg", Function::average},       {"first", Function::first},
    {"last", Function::last},         {"distinct", Function::distinct_count},
    {"integral", Function::integral}, {"time_avg", Function::time_average}};

struct SumState {
    Int128 sum;
    std::uint64_t count;
    std::uint64_t unused;
};
struct RealSumState {
    double sum;
    std::uint64_t count;
};
bool is_text(const Type& type) {
    return type.is(TypeKind::string) || type.is(TypeKind::bytes);
}
bool is_exact(const Type& type) {
    return type.is(TypeKind::int64) || type.is(TypeKind::uint64) || type.is(TypeKind::decimal);
}
bool is_ordered(const Type& type) {
    return is_exact(type) || type.is(TypeKind::float64) || type.is(TypeKind::timestamp) || type.is(TypeKind::duration);
}
bool is_sampled(Function function) {
    return function == Function::integral || function == Function::time_average;
}

Int128 exact_at(const Column& column, Row row) {
    switch (column.type().kind) {
        case TypeKind::decimal:
            return column.values<Int128>()[row];
        case TypeKind::uint64:
            return column.values<std::uint64_t>()[row];
        case TypeKind::boolean:
            return column.values<std::uint8_t>()[row];
        case TypeKind::float64: {
            std::int64_t bits;
            std::memcpy(&bits, &column.values<double>()[row], sizeof bits);
            return bits;
        }
        default:
            return column.values<std::int64_t>()[row];
    }
}

double real_of(Int128 bits) {
    const auto narrow = static_cast<std::int64_t>(bits);
    double value;
    std::memcpy(&value, &narrow, sizeof value);
    return value;
}

template <typename State>
State& at(std::byte* block, std::uint32_t offset) {
    return *reinterpret_cast<State*>(block + offset);
}
template <typename State>
const State& at(const std::byte* block, std::uint32_t offset) {
    return *reinterpret_cast<const State*>(block + offset);
}

void add_exact(Int128& sum, Int128 value) {
    // 128 bits hold 10^20 values of the largest decimal that an event can carry.
    CHECK(!__builtin_add_overflow(sum, value, &sum));
}

Scalar to_scalar(Int128 value, const Type& type) {
    switch (type.kind) {
        case TypeKind::decimal:
            return value;
        case TypeKind::uint64:
            return static_cast<std::uint64_t>(value);
        case TypeKind::float64:
            return real_of(value);
        case TypeKind::boolean:
            return value != 0;
        default:
            return static_cast<std::int64_t>(value);
    }
}

/// Twice the integral, exactly: sum of (a + b) * dt, in units of 10^-(scale + 9).
Int128 twice_integral(const std::vector<Sample>& samples) {
    Int128 twice = 0;
    for (std::size_t i = 1; i < samples.size(); ++i) {
        Int128 pair = 0;
        Int128 area = 0;
        CHECK(!__builtin_add_overflow(samples[i - 1].exact, samples[i].exact, &pair));
        CHECK(!__builtin_mul_overflow(pair, static_cast<Int128>(samples[i].time - samples[i - 1].time), &area));
        add_exact(twice, area);
    }
    return twice;
}

double real_integral(const std::vector<Sample>& samples) {
    double sum = 0;
    for (std::size_t i = 1; i < samples.size(); ++i) {
        sum += (samples[i - 1].real + samples[i].real) / 2 *
               static_cast<double>(samples[i].time - samples[i - 1].time) / 1e9;
    }
    return sum;
}

void insert_sample(std::vector<Sample>& samples, const Sample& sample) {
    if (samples.empty() || samples.back() < sample) {
        samples.push_back(sample);
        return;
    }
    samples.insert(std::upper_bound(samples.begin(), samples.end(), sample), sample);
}

}  // namespace

std::optional<Function> find_function(std::string_view name) {
    for (const auto& [known, function] : kFunctions) {
        if (known == name) return function;
    }
    return std::nullopt;
}

std::vector<std::string> function_names() {
    std::vector<std::string> names;
    for (const auto& [name, function] : kFunctions) names.emplace_back(name);
    return names;
}

std::uint32_t Accumulator::size_bytes(Function function) {
    switch (function) {
        case Function::count:
            return 16;
        case Function::sum:
        case Function::average:
            return sizeof(SumState);
        case Function::minimum:
        case Function::maximum:
        case Function::first:
        case Function::last:
            return sizeof(EdgeState);
        case Function::distinct_count:
        case Function::integral:
        case Function::time_average:
            return 0;
    }
    return 0;
}

std::optional<Type> Accumulator::result_type(Function function, const Type& argument) {
    switch (function) {
        case Function::count:
            return Type::of(TypeKind::int64);
        case Function::distinct_count:
            if (is_text(argument) || is_exact(argument) || argument.is(TypeKind::enumeration))
                return Type::of(TypeKind::int64);
            return std::nullopt;
        case Function::sum:
            if (argument.is(TypeKind::int64) || argument.is(TypeKind::uint64)) return Type::decimal(0);
            if (argument.is(TypeKind::decimal) || argument.is(TypeKind::float64)) return argument;
            return std::nullopt;
        case Function::average:
            if (argument.is(TypeKind::float64)) return argument;
            if (is_exact(argument)) return Type::decimal(std::min(argument.scale + kAverageDigits, kMaxDecimalScale));
            return std::nullopt;
        case Function::minimum:
        case Function::maximum:
            return is_ordered(argument) ? std::optional(argument) : std::nullopt;
        case Function::first:
        case Function::last:
            if (is_text(argument) || is_ordered(argument) || argument.is(TypeKind::boolean) ||
                argument.is(TypeKind::enumeration)) {
                return argument;
            }
            return std::nullopt;
        case Function::integral:
            if (argument.is(TypeKind::float64)) return argument;
            if (is_exact(argument) && argument.scale + kSecondDigits + 1 <= kMaxDecimalScale) {
                return Type::decimal(argument.scale + kSecondDigits + 1);
            }
            return std::nullopt;
        case Function::time_average:
            if (argument.is(TypeKind::float64)) return argument;
            if (is_exact(argument)) return Type::decimal(std::min(argument.scale + kAverageDigits, kMaxDecimalScale));
            return std::nullopt;
    }
    return std::nullopt;
}

bool Accumulator::needs_attachment() const {
    return function_ == Function::distinct_count || is_sampled(function_) ||
           ((function_ == Function::first || function_ == Function::last) && is_text(type_));
}

void Accumulator::prepare(Attachment& attachment) const {
    if (function_ == Function::distinct_count && attachment.distinct.size() <= index_)
        attachment.distinct.resize(index_ + 1);
    if (is_sampled(function_) && attachment.samples.size() <= index_) attachment.samples.resize(index_ + 1);
    if (is_text(type_) && attachment.text_values.size() <= index_) attachment.text_values.resize(index_ + 1);
}

void Accumulator::add(const Batch& batch, std::span<const Row> rows, std::span<std::byte* const> blocks) const {
    if (function_ == Function::count) {
        for (std::size_t i = 0; i < rows.size(); ++i) ++at<std::uint64_t>(blocks[i], offset_);
        return;
    }
    const Column& column = batch.column(argument_);
    if (function_ == Function::sum || function_ == Function::average) {
        if (type_.is(TypeKind::float64)) {
            for (std::size_t i = 0; i < rows.size(); ++i) {
                if (!column.valid().test(rows[i])) continue;
                RealSumState& state = at<RealSumState>(blocks[i], offset_);
                state.sum += column.values<double>()[rows[i]];
                ++state.count;
            }
        } else if (type_.is(TypeKind::decimal)) {
            const Int128* values = column.values<Int128>();
            for (std::size_t i = 0; i < rows.size(); ++i) {
                if (!column.valid().test(rows[i])) continue;
                SumState& state = at<SumState>(blocks[i], offset_);
                add_exact(state.sum, values[rows[i]]);
                ++state.count;
            }
        } else {
            for (std::size_t i = 0; i < rows.size(); ++i) {
                if (!column.valid().test(rows[i])) continue;
                SumState& state = at<SumState>(blocks[i], offset_);
                add_exact(state.sum, exact_at(column, rows[i]));
                ++state.count;
            }
        }
        return;
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const Row row = rows[i];
        if (!column.valid().test(row)) continue;
        Attachment* attachment = pane_header(blocks[i]).attachment;
        if (function_ == Function::distinct_count) {
            std::string value;
            if (is_text(type_)) {
                value = column.values<std::string_view>()[row];
            } else {
                const Int128 exact = exact_at(column, row);
                value.assign(reinterpret_cast<const char*>(&exact), sizeof exact);
            }
            attachment->distinct[index_].insert(std::move(value));
            continue;
        }
        if (is_sampled(function_)) {
            Sample sample{batch.event_time[row], batch.origin[row].sequence, 0, 0};
            if (type_.is(TypeKind::float64)) {
                sample.real = column.values<double>()[row];
            } else {
                sample.exact = exact_at(column, row);
            }
            insert_sample(attachment->samples[index_], sample);
            continue;
        }
        EdgeState& state = at<EdgeState>(blocks[i], offset_);
        const Timestamp time = batch.event_time[row];
        const std::uint64_t sequence = batch.origin[row].sequence;
        const Int128 value = is_text(type_) ? 0 : exact_at(column, row);
        if (state.seen != 0 && !replaces(value, time, sequence, state)) continue;
        state.seen = 1;
        state.time = time;
        state.sequence = sequence;
        if (is_text(type_)) {
            attachment->text_values[index_] = column.values<std::string_view>()[row];
        } else {
            state.value = value;
        }
    }
}

bool Accumulator::replaces(Int128 value, Timestamp time, std::uint64_t sequence, const EdgeState& state) const {
    const bool real = type_.is(TypeKind::float64);
    switch (function_) {
        case Function::first:
            return std::tie(time, sequence) < std::tie(state.time, state.sequence);
        // Of several events of one message the later part counts.
        case Function::last:
            return std::tie(state.time, state.sequence) <= std::tie(time, sequence);
        case Function::minimum:
            return real ? real_of(value) < real_of(state.value) : value < state.value;
        default:
            return real ? real_of(value) > real_of(state.value) : value > state.value;
    }
}

void Accumulator::merge(std::byte* into, std::byte* from) const {
    Attachment* own = pane_header(into).attachment;
    Attachment* other = pane_header(from).attachment;
    switch (function_) {
        case Function::count:
            at<std::uint64_t>(into, offset_) += at<std::uint64_t>(from, offset_);
            return;
        case Function::sum:
        case Function::average:
            if (type_.is(TypeKind::float64)) {
                at<RealSumState>(into, offset_).sum += at<RealSumState>(from, offset_).sum;
                at<RealSumState>(into, offset_).count += at<RealSumState>(from, offset_).count;
            } else {
                add_exact(at<SumState>(into, offset_).sum, at<SumState>(from, offset_).sum);
                at<SumState>(into, offset_).count += at<SumState>(from, offset_).count;
            }
            return;
        case Function::distinct_count:
            own->distinct[index_].merge(other->distinct[index_]);
            return;
        case Function::integral:
        case Function::time_average: {
            std::vector<Sample>& samples = own->samples[index_];
            const auto middle = static_cast<std::ptrdiff_t>(samples.size());
            samples.insert(samples.end(), other->samples[index_].begin(), other->samples[index_].end());
            std::inplace_merge(samples.begin(), samples.begin() + middle, samples.end());
            return;
        }
        case Function::minimum:
        case Function::maximum:
        case Function::first:
        case Function::last:
            break;
    }
    EdgeState& state = at<EdgeState>(into, offset_);
    const EdgeState& more = at<EdgeState>(from, offset_);
    if (more.seen == 0 || (state.seen != 0 && !replaces(more.value, more.time, more.sequence, state))) return;
    state = more;
    if (is_text(type_)) own->text_values[index_] = std::move(other->text_values[index_]);
}

bool Accumulator::adds_up() const {
    return function_ == Function::count || (function_ == Function::sum && is_exact(type_));
}

Int128 Accumulator::contribution(const Batch& batch, std::span<const Row> rows) const {
    if (function_ == Function::count) return static_cast<Int128>(rows.size());
    const Column& column = batch.column(argument_);
    UInt128 sum = 0;
    if (type_.is(TypeKind::decimal)) {
        const Int128* values = column.values<Int128>();
        for (const Row row : rows) sum += column.valid().test(row) ? static_cast<UInt128>(values[row]) : 0;
    } else {
        for (const Row row : rows) sum += column.valid().test(row) ? static_cast<UInt128>(exact_at(column, row)) : 0;
    }
    return static_cast<Int128>(sum);
}

Int128 Accumulator::exact_result(const std::byte* block) const {
    switch (function_) {
        case Function::count:
            return at<std::uint64_t>(block, offset_);
        case Function::sum:
            return at<SumState>(block, offset_).sum;
        case Function::average: {
            const SumState& state = at<SumState>(block, offset_);
            if (state.count == 0) return 0;
            const int digits = type().scale - type_.scale;
            const auto scaled = checked_multiply(state.sum, power_of_ten(digits));
            CHECK(scaled.has_value());
            return divide_half_even(*scaled, state.count);
        }
        case Function::distinct_count:
            return pane_header(block).attachment->distinct[index_].size();
        case Function::integral: {
            // Half of a number, exactly: five times as much with one digit more.
            const Int128 twice = twice_integral(pane_header(block).attachment->samples[index_]);
            Int128 result = 0;
            CHECK(!__builtin_mul_overflow(twice, static_cast<Int128>(5), &result));
            return result;
        }
        case Function::time_average: {
            const std::vector<Sample>& samples = pane_header(block).attachment->samples[index_];
            if (samples.empty()) return 0;
            const int digits = type().scale - type_.scale;
            const Int128 span = samples.back().time - samples.front().time;
            if (span == 0) return *checked_multiply(samples.front().exact, power_of_ten(digits));
            const auto result = multiply_divide_half_even(twice_integral(samples), power_of_ten(digits), 2 * span);
            CHECK(result.has_value());
            return *result;
        }
        case Function::minimum:
        case Function::maximum:
        case Function::first:
        case Function::last:
            return at<EdgeState>(block, offset_).value;
    }
    return 0;
}

Scalar Accumulator::result(const std::byte* block) const {
    const bool real = type_.is(TypeKind::float64);
    switch (function_) {
        case Function::count:
        case Function::distinct_count:
            return static_cast<std::int64_t>(exact_result(block));
        case Function::sum:
            if (real) return at<RealSumState>(block, offset_).sum;
            return exact_result(block);
        case Function::average:
            if (real) {
                const RealSumState& state = at<RealSumState>(block, offset_);
                if (state.count == 0) return std::monostate{};
                return state.sum / static_cast<double>(state.count);
            }
            if (at<SumState>(block, offset_).count == 0) return std::monostate{};
            return exact_result(block);
        case Function::integral:
        case Function::time_average: {
            const std::vector<Sample>& samples = pane_header(block).attachment->samples[index_];
            if (samples.empty()) return std::monostate{};
            if (!real) return exact_result(block);
            if (function_ == Function::integral) return real_integral(samples);
            const double span = static_cast<double>(samples.back().time - samples.front().time) / 1e9;
            return span == 0 ? samples.front().real : real_integral(samples) / span;
        }
        case Function::minimum:
        case Function::maximum:
        case Function::first:
        case Function::last: {
            const EdgeState& state = at<EdgeState>(block, offset_);
            if (state.seen == 0) return std::monostate{};
            if (is_text(type_)) {
                return pane_header(block).attachment->text_values[index_];
            }
            return to_scalar(state.value, type_);
        }
    }
    return std::monostate{};
}

}  // namespace takt
