#include "pipeline/expression/expression.h"

#include <algorithm>

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

const expression::Errors* Program::Node::select(const expression::Frame& frame, const Selection& rows,
                                                Selection& yes) const {
    const expression::Values values = evaluate(frame, rows, nullptr);
    const expression::Reader<std::uint8_t> verdict(values);
    const std::uint32_t size = rows.size();
    yes.resize(size);
    Row* const to = yes.data();
    const Row* const from = rows.data();
    std::size_t chosen = 0;
    if (values.constant) {
        if (verdict[0] != 0) {
            std::copy(from, from + size, to);
            chosen = size;
        }
    } else {
        const std::uint8_t* const verdicts = verdict.data;
        for (std::uint32_t i = 0; i < size; ++i) {
            const Row row = from[i];
            to[chosen] = row;
            chosen += verdicts[row];
        }
    }
    yes.resize(chosen);
    if (values.errors == nullptr || values.errors->empty()) return nullptr;
    expression::remove_rows(yes, *values.errors);
    return values.errors;
}

const Type& Program::type() const {
    return body_->root->type();
}
const std::vector<Slot>& Program::slots() const {
    return body_->slots;
}

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
    Selection own;
    Selection& chosen = yes != nullptr && yes != &rows ? *yes : own;
    const expression::Errors* found = body_->root->select(frame, rows, chosen);
    if (no != nullptr) {
        no->resize(rows.size());
        Row* const to = no->data();
        std::size_t left = 0;
        std::size_t at = 0;
        for (const Row row : rows) {
            const bool is = at < chosen.size() && chosen[at] == row;
            to[left] = row;
            left += is ? 0 : 1;
            at += is ? 1 : 0;
        }
        no->resize(left);
        if (found != nullptr) expression::remove_rows(*no, *found);
    }
    if (found != nullptr) {
        errors.rows = *found;
    } else {
        errors.rows.clear();
    }
    if (yes != nullptr && &chosen != yes) *yes = std::move(own);
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
