#pragma once

#include <array>
#include <memory>
#include <tuple>
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

    const Frame* outer = nullptr;             ///< of a comprehension: the frame around it
    const std::vector<Row>* outer_row = nullptr;  ///< its row for each row of this frame
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

    /// Values for the selected rows. `target`, where not null, is a column that the node may write its values to instead of its own.
    virtual expression::Values evaluate(const expression::Frame& frame, const Selection& rows, Column* target) const = 0;
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

/// Reads value `row` of what may be one constant.
template <typename T>
struct Reader {
    explicit Reader(const Values& values) : data(values.data<T>()), constant(values.constant) {}
    const T& operator[](Row row) const { return data[constant ? 0 : row]; }
    const T* data;
    bool constant;
};

/// A function of values that cannot fail, row by row. `function(args...)` returns R.
template <typename R, typename F, typename... A>
class PureNode final : public Program::Node {
  public:
    PureNode(Type type, F function, std::vector<NodePointer> arguments)
        : Node(std::move(type)), function_(std::move(function)), arguments_(std::move(arguments)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        return run(frame, rows, target, std::index_sequence_for<A...>());
    }

  private:
    template <std::size_t... I>
    Values run(const Frame& frame, const Selection& rows, Column* target, std::index_sequence<I...>) const {
        const Values values[] = {arguments_[I]->evaluate(frame, rows, nullptr)...};
        Errors& errors = scratch(frame).errors;
        errors.clear();
        (merge_errors(errors, values[I].errors), ...);
        R* out = result_column(frame, target).template values<R>();
        if constexpr (sizeof...(A) == 2) {
            using A0 = std::tuple_element_t<0, std::tuple<A...>>;
            using A1 = std::tuple_element_t<1, std::tuple<A...>>;
            const A0* a = values[0].template data<A0>();
            const A1* b = values[1].template data<A1>();
            if (values[1].constant && !values[0].constant) {
                const A1 fixed = b[0];
                for (const Row row : rows) out[row] = function_(a[row], fixed);
            } else if (!values[1].constant && !values[0].constant) {
                for (const Row row : rows) out[row] = function_(a[row], b[row]);
            } else {
                const Reader<A0> left(values[0]);
                const Reader<A1> right(values[1]);
                for (const Row row : rows) out[row] = function_(left[row], right[row]);
            }
        } else {
            const std::tuple<Reader<A>...> readers{Reader<A>(values[I])...};
            for (const Row row : rows) out[row] = function_(std::get<I>(readers)[row]...);
        }
        return {target != nullptr ? target : &scratch(frame).column, false, errors.empty() ? nullptr : &errors, true};
    }

    F function_;
    std::vector<NodePointer> arguments_;
};

/// A function that may fail: `function(R& out, Arena& strings, args...)` returns null or a static message, and leaves `out` alone then.
template <typename R, typename F, typename... A>
class FallibleNode final : public Program::Node {
  public:
    FallibleNode(Type type, F function, std::vector<NodePointer> arguments)
        : Node(std::move(type)), function_(std::move(function)), arguments_(std::move(arguments)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        return run(frame, rows, target, std::index_sequence_for<A...>());
    }

  private:
    template <std::size_t... I>
    Values run(const Frame& frame, const Selection& rows, Column* target, std::index_sequence<I...>) const {
        const std::array<Values, sizeof...(A)> values = {arguments_[I]->evaluate(frame, rows, nullptr)...};
        Errors& errors = scratch(frame).errors;
        errors.clear();
        Errors before;
        (merge_errors(before, values[I].errors), ...);
        R* out = result_column(frame, target).template values<R>();
        const std::tuple<Reader<A>...> readers{Reader<A>(values[I])...};
        for (const Row row : rows) {
            R value{};
            const char* message = function_(value, *frame.strings, std::get<I>(readers)[row]...);
            if (message != nullptr) {
                errors.push_back({row, message});
                value = R{};
            }
            out[row] = value;
        }
        if (!before.empty()) {
            // What an argument says of its failure is nearer to the cause.
            std::swap(errors, before);
            merge_errors(errors, &before);
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
