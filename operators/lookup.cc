#include "operators/lookup.h"

#include <fmt/format.h>

#include "operators/rules_step.h"

namespace takt {
namespace {

struct LookupOptions {
    ConfigNode with;
    ConfigNode missing;

    static OptionTable<LookupOptions> options() {
        OptionTable<LookupOptions> table;
        table.required("with", &LookupOptions::with,
                       "rows by name: NAME: TABLE[COLUMN, ...], or NAME: { in: TABLE[...], when: CONDITION, that: "
                       "CONDITION }; their columns are NAME.COLUMN");
        table.optional("missing", &LookupOptions::missing,
                       "{ reason: ..., owner: ... } of the dead letters where a row is not found; default "
                       "MISSING_MASTER_DATA, master_data");
        return table;
    }
};

struct RowOptions {
    ExpressionText in;
    ExpressionText when;
    ExpressionText that;

    static OptionTable<RowOptions> options() {
        OptionTable<RowOptions> table;
        table.required("in", &RowOptions::in, "TABLE[EXPRESSION, ...]");
        table.optional("when", &RowOptions::when,
                       "only these rows are looked up; has(NAME.COLUMN) is false for the others");
        table.optional("that", &RowOptions::that, "what must hold of the row found; else it counts as not found");
        table.short_form("in");
        return table;
    }
};

struct MissingOptions {
    std::string reason = "MISSING_MASTER_DATA";
    std::string owner = "master_data";

    static OptionTable<MissingOptions> options() {
        OptionTable<MissingOptions> table;
        table.optional("reason", &MissingOptions::reason, "reason of the dead letters");
        table.optional("owner", &MissingOptions::owner, "who must act on them");
        return table;
    }
};

/// One row that is looked up for each event.
struct Found {
    std::string name;
    std::shared_ptr<const TableHandle> table;  ///< shared with the plan
    std::vector<ExpressionColumn> key_columns;
    std::vector<Slot> key;
    std::optional<Program> when;
    std::optional<Program> that;
    struct Gathered {
        std::size_t table_column;
        Slot slot;
    };
    std::vector<Gathered> columns;
};

class LookupStep final : public RowOperator {
  public:
    LookupStep(std::vector<Found> rows, OutcomeCode missing, OutcomeCode on_error)
        : found_(std::move(rows)), missing_(missing), on_error_(on_error) {}

    class StepScratch final : public Scratch {
      public:
        struct One {
            std::vector<ExpressionColumn::Scratch> keys;
            std::unique_ptr<Program::Scratch> when;
            std::unique_ptr<Program::Scratch> that;
        };
        std::vector<One> each;
        ExpressionErrors errors;
        Selection wanted;
        Selection unwanted;
        Selection good;
        std::vector<std::int32_t> table_rows;
        std::vector<KeyPart> parts;
    };

    std::unique_ptr<Scratch> make_scratch() const override {
        auto scratch = std::make_unique<StepScratch>();
        for (const Found& one : found_) {
            StepScratch::One& own = scratch->each.emplace_back();
            for (const ExpressionColumn& column : one.key_columns) own.keys.push_back(column.make_scratch());
            if (one.when) own.when = one.when->make_scratch();
            if (one.that) own.that = one.that->make_scratch();
        }
        return scratch;
    }

    void process(Batch& batch, std::span<const Selection* const> in, std::span<Selection* const> out,
                 Scratch& base) const override {
        auto& scratch = static_cast<StepScratch&>(base);
        Selection& rows = *out[0];
        rows = *in[0];
        scratch.table_rows.resize(batch.outcome.size());
        for (std::size_t i = 0; i < found_.size(); ++i) look_up(batch, found_[i], scratch.each[i], scratch, rows);
    }

  private:
    void look_up(Batch& batch, const Found& one, StepScratch::One& own, StepScratch& scratch, Selection& rows) const {
        Selection* wanted = &rows;
        scratch.unwanted.clear();
        if (one.when) {
            scratch.errors.clear();
            one.when->split(batch, rows, *own.when, &scratch.wanted, &scratch.unwanted, scratch.errors);
            reject_errors(batch, scratch.errors, on_error_);
            wanted = &scratch.wanted;
        }
        for (std::size_t k = 0; k < one.key_columns.size(); ++k)
            one.key_columns[k].fill(batch, *wanted, own.keys[k], on_error_);
        scratch.parts.clear();
        for (const Slot slot : one.key) scratch.parts.push_back({batch.column(slot).values<std::string_view>(), 1});
        const TemporalTable& table = *one.table->current;
        table.find(scratch.parts, batch.event_time.data(), *wanted, scratch.table_rows.data());
        std::int32_t* table_rows = scratch.table_rows.data();
        for (const Row row : scratch.unwanted) table_rows[row] = TemporalTable::kNoRow;
        drop_missing(batch, one, table_rows, *wanted);
        merge(rows, *wanted, scratch);
        for (const Found::Gathered& column : one.columns)
            table.gather(column.table_column, table_rows, rows, batch.column(column.slot));
        if (one.that) check(batch, one, own, scratch, rows);
    }

    void drop_missing(Batch& batch, const Found& one, const std::int32_t* table_rows, Selection& wanted) const {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            const Row row = wanted[i];
            wanted.data()[kept] = row;
            if (table_rows[row] != TemporalTable::kNoRow) {
                ++kept;
                continue;
            }
            reject(batch, row, missing_, batch.arena.copy(describe(batch, one, row)));
        }
        wanted.resize(kept);
    }

    std::string describe(const Batch& batch, const Found& one, Row row) const {
        std::string key;
        for (const Slot slot : one.key) {
            if (!key.empty()) key += ", ";
            key += batch.column(slot).values<std::string_view>()[row];
        }
        return fmt::format("table '{}' has no row for [{}] at {}", one.table->name, key,
                           format_timestamp(batch.event_time[row]));
    }

    /// The rows that were found and those that nobody looked up, in order.
    static void merge(Selection& rows, const Selection& wanted, StepScratch& scratch) {
        if (&rows == &wanted) return;
        scratch.good.resize(wanted.size() + scratch.unwanted.size());
        std::merge(wanted.begin(), wanted.end(), scratch.unwanted.begin(), scratch.unwanted.end(), scratch.good.data());
        std::swap(rows, scratch.good);
    }

    void check(Batch& batch, const Found& one, StepScratch::One& own, StepScratch& scratch, Selection& rows) const {
        // Rows that were not looked up have nothing to check.
        Selection subject;
        for (const Row row : rows) {
            if (scratch.table_rows[row] != TemporalTable::kNoRow) subject.push_back(row);
        }
        scratch.errors.clear();
        Selection failed;
        one.that->split(batch, subject, *own.that, nullptr, &failed, scratch.errors);
        reject_errors(batch, scratch.errors, on_error_);
        for (const Row row : failed) {
            reject(batch, row, missing_,
                   batch.arena.copy(fmt::format("{}: the row found is not the one meant", describe(batch, one, row))));
        }
        for (const Row row : failed) scratch.errors.rows.emplace_back(row, "");
        std::sort(scratch.errors.rows.begin(), scratch.errors.rows.end());
        // Not by outcome: another branch may have refused a row that this one takes.
        remove_errors(rows, scratch.errors);
    }

    std::vector<Found> found_;
    OutcomeCode missing_;
    OutcomeCode on_error_;
};

class LookupPlanner {
  public:
    LookupPlanner(const StepSpec& step, PlanContext& context)
        : step_(step),
          context_(context),
          stream_(context.stream(step.from[0])),
          what_(fmt::format("step '{}' (lookup)", step.name)) {}

    void run() {
        LookupOptions options;
        LookupOptions::options().read(*step_.node, what_, options, context_.mistakes(), {"lookup", "from"});
        MissingOptions missing;
        if (options.missing.kind != ConfigNode::Kind::null) {
            MissingOptions::options().read(options.missing, fmt::format("'missing' of {}", what_), missing,
                                           context_.mistakes());
        }
        std::vector<Found> rows;
        std::vector<std::string> names;
        for (const ConfigNode::Entry& entry : options.with.entries) {
            auto one = plan_row(entry);
            if (!one) continue;
            names.push_back(fmt::format("{} in {}", one->name, one->table->name));
            rows.push_back(std::move(*one));
        }
        const OutcomeCode code = context_.outcomes().add(
            {OutcomeKind::dead_letter, missing.reason, missing.owner, step_.name, stream_.after_dedup});
        const OutcomeCode on_error = expression_outcome(step_, stream_, context_);
        publish_row_step(step_, std::move(stream_), std::make_unique<LookupStep>(std::move(rows), code, on_error),
                         "lookup", fmt::format("{}", fmt::join(names, ", ")), context_);
    }

  private:
    std::optional<Found> plan_row(const ConfigNode::Entry& entry) {
        const std::string what = fmt::format("'{}' of {}", entry.key, what_);
        RowOptions options;
        if (!RowOptions::options().read(entry.value, what, options, context_.mistakes())) return std::nullopt;
        Found found;
        found.name = entry.key;
        if (!options.when.empty())
            found.when = plan_condition(options.when, fmt::format("'when' of {}", what), stream_, context_);
        if (!plan_reference(options.in, found)) return std::nullopt;
        const TemporalTable& table = *found.table->current;
        for (std::size_t i = found.key.size(); i < table.columns().size(); ++i) {
            const Field& field = table.columns()[i];
            const std::string name = fmt::format("{}.{}", entry.key, field.name);
            if (stream_.scope.find(name) != nullptr) {
                context_.mistakes().add(entry.key_place, "C172",
                                        fmt::format("'{}' is a column already: give the row another name", name));
                return std::nullopt;
            }
            const Slot slot = context_.add_column(stream_.segment, fmt::format("#{}.{}", step_.name, name), field.type);
            stream_.scope.add(name, field.type, slot);
            found.columns.push_back({i, slot});
        }
        if (!options.that.empty())
            found.that = plan_condition(options.that, fmt::format("'that' of {}", what), stream_, context_);
        return found;
    }

    /// "TABLE[EXPRESSION, ...]".
    bool plan_reference(const ExpressionText& reference, Found& found) {
        const std::string& text = reference.text;
        const std::size_t open = text.find('[');
        const std::size_t close = text.find_last_not_of(" \t\n");
        if (open == std::string::npos || close == std::string::npos || text[close] != ']') {
            context_.mistakes().add(reference.node.place, "C176",
                                    fmt::format("expected TABLE[COLUMN, ...], found '{}'", text));
            return false;
        }
        std::string name = text.substr(0, open);
        while (!name.empty() && name.back() == ' ') name.pop_back();
        found.table = context_.table(name);
        if (!found.table) {
            const std::vector<std::string> known = context_.table_names();
            if (std::find(known.begin(), known.end(), name) == known.end()) {
                context_.mistakes().add(reference.node.place_of(0, name.size()), "C177",
                                        fmt::format("no table '{}'", name), did_you_mean(name, known));
            }
            return false;
        }
        bool good = true;
        for (const auto& [begin, end] : arguments(text, open + 1, close))
            good = plan_key_part(reference, begin, end, found) && good;
        const std::size_t wanted = found.table->current->spec().key.size();
        if (good && found.key.size() != wanted) {
            context_.mistakes().add(reference.node.place, "C178",
                                    fmt::format("the key of table '{}' is [{}], not one of {} part{}", name,
                                                fmt::join(found.table->current->spec().key, ", "), found.key.size(),
                                                found.key.size() == 1 ? "" : "s"));
            return false;
        }
        return good;
    }

    bool plan_key_part(const ExpressionText& reference, std::size_t begin, std::size_t end, Found& found) {
        const std::string_view part = std::string_view(reference.text).substr(begin, end - begin);
        auto program = context_.compile_part(part, reference.node, begin, stream_);
        if (!program) return false;
        if (!program->type().is(TypeKind::string)) {
            context_.mistakes().add(reference.node.place_of(begin, end - begin), "C179",
                                    fmt::format("a table's key is a string, this is a {}", to_string(program->type())));
            return false;
        }
        if (const Scope::Entry* entry = stream_.scope.find(part)) {
            found.key.push_back(entry->slot);
            return true;
        }
        const Slot slot = context_.add_column(
            stream_.segment, fmt::format("#{}.{}.key{}", step_.name, found.name, found.key.size()), program->type());
        found.key_columns.emplace_back(std::move(*program), slot);
        found.key.push_back(slot);
        return true;
    }

    /// The places of comma-separated expressions, blanks cut off; commas inside brackets and strings do not separate.
    static std::vector<std::pair<std::size_t, std::size_t>> arguments(const std::string& text, std::size_t begin,
                                                                      std::size_t end) {
        std::vector<std::pair<std::size_t, std::size_t>> parts;
        int depth = 0;
        char quote = 0;
        std::size_t from = begin;
        const auto add = [&](std::size_t to) {
            std::size_t first = from;
            std::size_t last = to;
            while (first < last && text[first] == ' ') ++first;
            while (last > first && text[last - 1] == ' ') --last;
            parts.emplace_back(first, last);
            from = to + 1;
        };
        for (std::size_t at = begin; at < end; ++at) {
            const char c = text[at];
            if (quote != 0) {
                if (c == '\\') ++at;
                if (c == quote) quote = 0;
            } else if (c == '"' || c == '\'') {
                quote = c;
            } else if (c == '(' || c == '[' || c == '{') {
                ++depth;
            } else if (c == ')' || c == ']' || c == '}') {
                --depth;
            } else if (c == ',' && depth == 0) {
                add(at);
            }
        }
        add(end);
        return parts;
    }

    const StepSpec& step_;
    PlanContext& context_;
    Stream stream_;
    std::string what_;
};

class LookupType final : public OperatorType {
  public:
    std::string_view name() const override { return "lookup"; }
    std::string_view help() const override {
        return "Adds columns of master data that hold as of the event's time; what is not found is a dead letter.";
    }
    OptionDocs docs() const override { return LookupOptions::options().describe(); }
    void plan(const StepSpec& step, PlanContext& context) const override { LookupPlanner(step, context).run(); }
};

}  // namespace

const OperatorType& lookup_type() {
    static const LookupType type;
    return type;
}

}  // namespace takt
