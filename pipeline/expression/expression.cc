#include "pipeline/expression/expression.h"

#include "pipeline/expression/builder.h"
#include "pipeline/expression/values.h"

namespace takt {

struct Program::Body {
    std::unique_ptr<Node> root;
    std::uint32_t nodes = 0;
    std::vector<Slot> slots;
    std::shared_ptr<Arena> texts;  ///< shared with nobody but the builder that filled it
};

Program::Program() = default;
Program::~Program() = default;
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;

const Type& Program::type() const { return body_->root->type(); }
const std::vector<Slot>& Program::slots() const { return body_->slots; }

std::unique_ptr<Program::Scratch> Program::make_scratch() const {
    auto scratch = std::make_unique<Scratch>();
    scratch->nodes.resize(body_->nodes);
    return scratch;
}

void Program::evaluate(const Batch& batch, const Selection& rows, Scratch& scratch, Column& out, Arena& strings,
                       ExpressionErrors& errors) const {
    expression::Frame frame;
    frame.batch = &batch;
    // A column has room for every row that a selection of this batch can name.
    frame.rows = static_cast<std::uint32_t>(batch.outcome.size());
    frame.scratch = &scratch;
    frame.strings = &strings;
    const expression::Values values = body_->root->evaluate(frame, rows, &out);
    if (values.column != &out) {
        if (!(out.type() == type())) out.set_type(type());
        out.reset(frame.rows);
        if (type().is(TypeKind::list)) {
            std::size_t total = 0;
            for (const Row row : rows) total += expression::Reader<ListSpan>(values)[row].size;
            expression::ListWriter writer(out, type().element_type(), total);
            for (const Row row : rows) {
                writer.begin_row(row);
                const ListSpan span = expression::Reader<ListSpan>(values)[row];
                for (std::uint32_t i = 0; i < span.size; ++i) writer.append(*values.column->elements(), span.begin + i);
            }
        } else {
            for (const Row row : rows) expression::copy_value(*values.column, values.constant ? 0 : row, out, row);
        }
    }
    for (const Row row : rows) {
        if (values.always_valid || values.column->valid().test(row)) out.valid().set(row);
    }
    if (values.errors != nullptr) {
        errors.rows = *values.errors;
        for (const auto& [row, message] : errors.rows) out.valid().clear(row);
    } else {
        errors.rows.clear();
    }
}

void Program::split(const Batch& batch, const Selection& rows, Scratch& scratch, Selection* yes, Selection* no,
                    ExpressionErrors& errors) const {
    CHECK(type().is(TypeKind::boolean));
    Arena strings;
    expression::Frame frame;
    frame.batch = &batch;
    frame.rows = static_cast<std::uint32_t>(batch.outcome.size());
    frame.scratch = &scratch;
    frame.strings = &strings;
    const expression::Values values = body_->root->evaluate(frame, rows, nullptr);
    const expression::Reader<std::uint8_t> verdict(values);
    if (values.errors != nullptr) {
        errors.rows = *values.errors;
    } else {
        errors.rows.clear();
    }
    const std::uint32_t size = rows.size();
    if (yes != nullptr) yes->resize(size);
    if (no != nullptr) no->resize(size);
    std::size_t yes_rows = 0;
    std::size_t no_rows = 0;
    std::size_t error = 0;
    Row unwanted = 0;
    Row* const yes_to = yes != nullptr ? yes->data() : nullptr;
    Row* const no_to = no != nullptr ? no->data() : nullptr;
    const auto put = [&](Row row) {
        const bool is = verdict[row] != 0;
        *(yes_to != nullptr ? yes_to + yes_rows : &unwanted) = row;
        *(no_to != nullptr ? no_to + no_rows : &unwanted) = row;
        yes_rows += is ? 1 : 0;
        no_rows += is ? 0 : 1;
    };
    if (errors.rows.empty() && no == nullptr && yes != nullptr && !verdict.constant) {
        // What a filter asks for.
        const std::uint8_t* const verdicts = verdict.data;
        const Row* const from = rows.data();
        for (std::uint32_t i = 0; i < size; ++i) {
            const Row row = from[i];
            yes_to[yes_rows] = row;
            yes_rows += verdicts[row];
        }
    } else {
        for (const Row row : rows) {
            if (error < errors.rows.size() && errors.rows[error].first == row) {
                ++error;
            } else {
                put(row);
            }
        }
    }
    if (yes != nullptr) yes->resize(yes_rows);
    if (no != nullptr) no->resize(no_rows);
}

std::variant<Program, std::vector<ExpressionMistake>> compile_expression(std::string_view text, const Scope& scope) {
    std::vector<ExpressionMistake> mistakes;
    const auto syntax = expression::parse(text, mistakes);
    if (!mistakes.empty()) return mistakes;
    expression::Builder builder(scope, mistakes);
    expression::Typed typed = builder.build(*syntax);
    if (!mistakes.empty()) return mistakes;
    CHECK(typed.node != nullptr);
    auto body = std::make_unique<Program::Body>();
    body->root = std::move(typed.node);
    body->nodes = builder.nodes();
    body->slots = builder.slots();
    body->texts = builder.arena();
    Program program;
    program.body_ = std::move(body);
    return program;
}

}  // namespace takt
