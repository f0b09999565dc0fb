#pragma once

#include <array>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "pipeline/expression/expression.h"

namespace takt {

namespace expression {

/// What an evaluation works on: a batch, or the elements that a comprehension walks over.
struct Frame {
    const Batch* batch = nullptr;
    std::uint32_t rows = 0;
    Program::Scratch* scratch = nullptr;
    Arena* strings = nullptr;

    const Frame* outer = nullptr;                    ///< of a comprehension: the frame around it
    const std::vector<Row>* outer_row = nullptr;     ///< its row for each row of this frame
    const Column* variable[2] = {nullptr, nullptr};  ///< element, index; by row of this frame
};

using Errors = std::vector<std::pair<Row, const char*>>;

/// The values of an expression: a column by row, or one value at index 0.
struct Values {
    const Column* column = nullptr;
    bool constant = false;
    const Errors* errors = nullptr;  ///< ascending by row; null: none. Values of rows in error are defaults
    bool always_valid = true;        ///< the column's valid bits do not matter: every value is there

    template <typename T>
    const T* data() const {
        return column->values<T>();
    }
};

}  // namespace expression

/// A compiled subexpression. Immutable.
class Program::Node {
  public:
    explicit Node(Type type) : type_(std::move(type)) {}
    virtual ~Node() = default;

    const Type& type() const { return type_; }
    std::uint32_t number = 0;  ///< place of its scratch

    /// Values for the selected rows. `target`, where not null, is a column that the node may write its values to
    /// instead of its own.
    virtual expression::Values evaluate(const expression::Frame& frame, const Selection& rows,
                                        Column* target) const = 0;
    /// For a bool: the selected rows where it is true go to `yes`, which is not `rows`; gives the rows in error, null
    /// when there are none.
    virtual const expression::Errors* select(const expression::Frame& frame, const Selection& rows,
                                             Selection& yes) const;
    /// Its value when it is a constant; else null.
    virtual const Column* constant() const { return nullptr; }

  protected:
    NodeScratch& scratch(const expression::Frame& frame) const { return frame.scratch->nodes[number]; }
    Column& result_column(const expression::Frame& frame, Column* target) const {
        Column& column = target != nullptr ? *target : scratch(frame).column;
        if (!(column.type() == type_)) column.set_type(type_);
        column.reset(frame.rows);
        return column;
    }

  private:
    Type type_;
};

namespace expression {

using NodePointer = std::unique_ptr<Program::Node>;

/// Adds the errors of `more` to `errors`, both ascending; the first message of a row stays.
void merge_errors(Errors& errors, const Errors* more);
/// Takes the rows in error out of a selection.
void remove_rows(Selection& rows, const Errors& errors);

/// Reads value `row` of what may be one constant.
template <typename T>
struct Reader {
    explicit Reader(const Values& values) : data(values.data<T>()), constant(values.constant) {}
    const T& operator[](Row row) const { return data[constant ? 0 : row]; }
    const T* data;
    bool constant;
};

/// Calls `each(row)` for the selected rows. A run of rows without a gap, as an unfiltered batch is, gets a loop that
/// can be vectorised.
template <typename F>
inline void for_each_row(const Selection& rows, F&& each) {
    const std::uint32_t size = rows.size();
    if (size == 0) return;
    const Row* const selected = rows.data();
    const std::uint32_t first = selected[0];
    if (selected[size - 1] - first + 1 == size) {
        for (std::uint32_t row = first; row < first + size; ++row) each(static_cast<Row>(row));
    } else {
        for (std::uint32_t i = 0; i < size; ++i) each(selected[i]);
    }
}

/// Applies `function` to each row's arguments and hands (row, result) to `put`; which arguments are constants is
/// decided outside the loop.
template <typename... A, typename F, typename Put>
inline void apply_rows(const Selection& rows, const Values* values, const F& function, const Put& put) {
    if constexpr (sizeof...(A) == 1) {
        using A0 = std::tuple_element_t<0, std::tuple<A...>>;
        const A0* const a = values[0].template data<A0>();
        if (!values[0].constant) return for_each_row(rows, [&](Row row) { put(row, function(a[row])); });
    }
    if constexpr (sizeof...(A) == 2) {
        using A0 = std::tuple_element_t<0, std::tuple<A...>>;
        using A1 = std::tuple_element_t<1, std::tuple<A...>>;
        const A0* const a = values[0].template data<A0>();
        const A1* const b = values[1].template data<A1>();
        if (!values[0].constant) {
            if (values[1].constant) {
                const A1 fixed = b[0];
                return for_each_row(rows, [&](Row row) { put(row, function(a[row], fixed)); });
            }
            return for_each_row(rows, [&](Row row) { put(row, function(a[row], b[row])); });
        }
    }
    const auto general = [&]<std::size_t... I>(std::index_sequence<I...>) {
        const std::tuple<Reader<A>...> readers{Reader<A>(values[I])...};
        for (const Row row : rows) put(row, function(std::get<I>(readers)[row]...));
    };
    general(std::index_sequence_for<A...>());
}

/// What a loop calls: a copy where that is free, since a byte written by the loop might else lie inside the function.
template <typename F>
using InLoop = std::conditional_t<std::is_trivially_copyable_v<F> && sizeof(F) <= 64, const F, const F&>;

/// A function of values that cannot fail, row by row. `function(args...)` returns R.
template <typename R, typename F, typename... A>
class PureNode final : public Program::Node {
  public:
    PureNode(Type type, F function, std::vector<NodePointer> arguments)
        : Node(std::move(type)), function_(std::move(function)), arguments_(std::move(arguments)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        return run(frame, rows, target, std::index_sequence_for<A...>());
    }

    const Errors* select(const Frame& frame, const Selection& rows, Selection& yes) const override {
        if constexpr (std::is_same_v<R, std::uint8_t>) {
            return choose(frame, rows, yes, std::index_sequence_for<A...>());
        } else {
            return Node::select(frame, rows, yes);
        }
    }

  private:
    template <std::size_t... I>
    Values run(const Frame& frame, const Selection& rows, Column* target, std::index_sequence<I...>) const {
        const std::array<Values, sizeof...(A)> values = {arguments_[I]->evaluate(frame, rows, nullptr)...};
        Errors& errors = scratch(frame).errors;
        errors.clear();
        (merge_errors(errors, values[I].errors), ...);
        R* const out = result_column(frame, target).template values<R>();
        InLoop<F> function = function_;
        apply_rows<A...>(rows, values.data(), function, [out](Row row, const R& value) { out[row] = value; });
        return {target != nullptr ? target : &scratch(frame).column, false, errors.empty() ? nullptr : &errors, true};
    }

    /// As run, but keeps the rows instead of the values.
    template <std::size_t... I>
    const Errors* choose(const Frame& frame, const Selection& rows, Selection& yes, std::index_sequence<I...>) const {
        const std::array<Values, sizeof...(A)> values = {arguments_[I]->evaluate(frame, rows, nullptr)...};
        Errors& errors = scratch(frame).errors;
        errors.clear();
        (merge_errors(errors, values[I].errors), ...);
        InLoop<F> function = function_;
        yes.resize(rows.size());
        Row* const to = yes.data();
        std::size_t chosen = 0;
        apply_rows<A...>(rows, values.data(), function, [to, &chosen](Row row, std::uint8_t is) {
            to[chosen] = row;
            chosen += is;
        });
        yes.resize(chosen);
        if (errors.empty()) return nullptr;
        remove_rows(yes, errors);
        return &errors;
    }

    F function_;
    std::vector<NodePointer> arguments_;
};

/// A function that may fail: `function(R& out, Arena& strings, args...)` returns null or a static message. It may be
/// called twice for a row.
template <typename R, typename F, typename... A>
class FallibleNode final : public Program::Node {
  public:
    FallibleNode(Type type, F function, std::vector<NodePointer> arguments)
        : Node(std::move(type)), function_(std::move(function)), arguments_(std::move(arguments)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        return run(frame, rows, target, std::index_sequence_for<A...>());
    }

  private:
    struct Outcome {
        R value;
        const char* message;
    };

    template <std::size_t... I>
    Values run(const Frame& frame, const Selection& rows, Column* target, std::index_sequence<I...>) const {
        const std::array<Values, sizeof...(A)> values = {arguments_[I]->evaluate(frame, rows, nullptr)...};
        Errors& errors = scratch(frame).errors;
        errors.clear();
        (merge_errors(errors, values[I].errors), ...);
        R* const out = result_column(frame, target).template values<R>();
        InLoop<F> function = function_;
        Arena& strings = *frame.strings;
        const auto attempt = [&](const A&... arguments) {
            Outcome outcome{R{}, nullptr};
            outcome.message = function(outcome.value, strings, arguments...);
            return outcome;
        };
        bool failed = false;
        apply_rows<A...>(rows, values.data(), attempt, [out, &failed](Row row, const Outcome& outcome) {
            failed |= outcome.message != nullptr;
            out[row] = outcome.message != nullptr ? R{} : outcome.value;
        });
        if (failed) {
            // Errors are rare: a second walk finds them, so that the first needs no branch.
            Errors mine;
            apply_rows<A...>(rows, values.data(), attempt, [&mine](Row row, const Outcome& outcome) {
                if (outcome.message != nullptr) mine.push_back({row, outcome.message});
            });
            // What an argument says of its failure is nearer to the cause.
            merge_errors(errors, &mine);
        }
        return {target != nullptr ? target : &scratch(frame).column, false, errors.empty() ? nullptr : &errors, true};
    }

    F function_;
    std::vector<NodePointer> arguments_;
};

template <typename R, typename... A, typename F>
NodePointer pure(Type type, std::vector<NodePointer> arguments, F function) {
    return std::make_unique<PureNode<R, F, A...>>(std::move(type), std::move(function), std::move(arguments));
}
template <typename R, typename... A, typename F>
NodePointer fallible(Type type, std::vector<NodePointer> arguments, F function) {
    return std::make_unique<FallibleNode<R, F, A...>>(std::move(type), std::move(function), std::move(arguments));
}

}  // namespace expression
}  // namespace takt
