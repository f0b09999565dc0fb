#include "pipeline/state/temporal_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>

#include "pipeline/base/decimal.h"
#include "pipeline/base/hash.h"
#include "pipeline/base/prefetch.h"

namespace takt {
namespace {

/// Keys of a batch that are hashed, and their slots fetched, before the first is looked up.
constexpr std::uint32_t kLookAhead = 32;
/// Larger tables are worth fetching ahead.
constexpr std::uint32_t kRowsInCache = 4096;

std::string expectation(const Field& field) {
    switch (field.type.kind) {
        case TypeKind::boolean:
            return "true or false";
        case TypeKind::int64:
            return "an integer such as 24";
        case TypeKind::decimal:
            return field.type.scale == 0
                       ? "a number without digits after the point"
                       : fmt::format("a number such as 12.5, with up to {} digits after the point", field.type.scale);
        case TypeKind::timestamp:
            return "a time with zone such as 2026-05-12T06:00:00Z";
        case TypeKind::duration:
            return "a duration such as 1h30m";
        default:
            return to_string(field.type);
    }
}

bool is_supported(TypeKind kind) {
    switch (kind) {
        case TypeKind::boolean:
        case TypeKind::int64:
        case TypeKind::decimal:
        case TypeKind::timestamp:
        case TypeKind::duration:
        case TypeKind::string:
            return true;
        default:
            return false;
    }
}

std::optional<Int128> parse_number(const Type& type, std::string_view text) {
    switch (type.kind) {
        case TypeKind::boolean:
            if (text == "true") return 1;
            if (text == "false") return 0;
            return std::nullopt;
        case TypeKind::int64: {
            std::int64_t value = 0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
            if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
            return value;
        }
        case TypeKind::decimal: {
            const auto value = parse_decimal(text);
            if (!value) return std::nullopt;
            return rescale_exact(value->units, value->scale, type.scale);
        }
        case TypeKind::timestamp: {
            const auto value = parse_timestamp(text);
            return value ? std::optional<Int128>(*value) : std::nullopt;
        }
        case TypeKind::duration: {
            const auto value = parse_duration(text);
            return value ? std::optional<Int128>(*value) : std::nullopt;
        }
        default:
            return std::nullopt;
    }
}

/// Calls `f` with a null pointer of the storage type of a supported kind.
template <typename F>
void with_storage(TypeKind kind, F&& f) {
    switch (kind) {
        case TypeKind::boolean:
            return f(static_cast<std::uint8_t*>(nullptr));
        case TypeKind::decimal:
            return f(static_cast<Int128*>(nullptr));
        case TypeKind::string:
            return f(static_cast<std::string_view*>(nullptr));
        default:
            return f(static_cast<std::int64_t*>(nullptr));
    }
}

std::vector<Field> all_columns(const TableSpec& spec) {
    CHECK(!spec.key.empty() && spec.key.size() <= kMaxKeyParts);
    std::vector<Field> columns;
    for (const std::string& name : spec.key) columns.push_back({name, Type::of(TypeKind::string), true});
    if (!spec.valid_from.empty()) columns.push_back({spec.valid_from, Type::of(TypeKind::timestamp), true});
    for (const Field& field : spec.fields) {
        CHECK(is_supported(field.type.kind));
        columns.push_back(field);
    }
    for (const TableSpec::Fallback& fallback : spec.fallbacks) CHECK(fallback.part < spec.key.size());
    return columns;
}

}  // namespace

// --- TemporalTable

int TemporalTable::find_column(std::string_view name) const {
    for (std::size_t i = 0; i < columns_.size(); ++i)
        if (columns_[i].name == name) return static_cast<int>(i);
    return -1;
}

std::uint64_t TemporalTable::hash_of(const std::string_view* key) const {
    std::uint64_t hash = 0;
    for (std::size_t part = 0; part < key_parts_; ++part) hash = hash64(key[part], hash);
    return hash;
}

void TemporalTable::index() {
    for (std::size_t part = 0; part < key_parts_; ++part) keys_[part] = values_[part].values<std::string_view>();
    const auto begins_key = [&](std::uint32_t row) {
        if (row == 0) return true;
        for (std::size_t part = 0; part < key_parts_; ++part)
            if (keys_[part][row] != keys_[part][row - 1]) return true;
        return false;
    };
    std::size_t keys = 1;  // one slot at least stays free, so that a search ends
    for (std::uint32_t row = 0; row < rows_; ++row) keys += begins_key(row);
    slots_.assign(std::bit_ceil(2 * keys), Slot{});
    mask_ = slots_.size() - 1;
    std::array<std::string_view, kMaxKeyParts> key;
    for (std::uint32_t row = 0; row < rows_;) {
        for (std::size_t part = 0; part < key_parts_; ++part) key[part] = keys_[part][row];
        std::uint32_t end = row + 1;
        while (end < rows_ && !begins_key(end)) ++end;
        const std::uint64_t hash = hash_of(key.data());
        std::uint64_t at = hash & mask_;
        while (slots_[at].count != 0) at = (at + 1) & mask_;
        slots_[at] = {hash, row, end - row};
        row = end;
    }
}

std::int32_t TemporalTable::find_exact(std::uint64_t hash, const std::string_view* key, Timestamp at) const {
    for (std::uint64_t place = hash & mask_;; place = (place + 1) & mask_) {
        const Slot& slot = slots_[place];
        if (slot.count == 0) return kNoRow;
        if (slot.hash != hash || !has_key(slot.first, key)) continue;
        if (valid_from_.empty()) return static_cast<std::int32_t>(slot.first);
        // The last row with valid_from <= at, without a branch that depends on the times.
        const Timestamp* from = &valid_from_[slot.first];
        std::uint32_t row = 0;
        for (std::uint32_t left = slot.count; left > 1;) {
            const std::uint32_t half = left / 2;
            row += from[row + half] <= at ? half : 0;
            left -= half;
        }
        return from[row] <= at ? static_cast<std::int32_t>(slot.first + row) : kNoRow;
    }
}

const TemporalTable::Slot& TemporalTable::first_candidate(std::uint64_t hash) const {
    std::uint64_t place = hash & mask_;
    while (slots_[place].count != 0 && slots_[place].hash != hash) place = (place + 1) & mask_;
    return slots_[place];
}

std::int32_t TemporalTable::find_instead(const std::string_view* key, Timestamp at) const {
    std::array<std::string_view, kMaxKeyParts> instead;
    std::copy_n(key, key_parts_, instead.begin());
    for (const TableSpec::Fallback& fallback : spec_.fallbacks) {
        instead[fallback.part] = fallback.instead;
        const std::int32_t row = find_exact(hash_of(instead.data()), instead.data(), at);
        if (row != kNoRow) return row;
    }
    return kNoRow;
}

std::int32_t TemporalTable::find(std::span<const std::string_view> key, Timestamp at) const {
    CHECK(key.size() == key_parts_);
    const std::int32_t row = find_exact(hash_of(key.data()), key.data(), at);
    return row != kNoRow || spec_.fallbacks.empty() ? row : find_instead(key.data(), at);
}

/// The keys' texts and times, in rounds, so that one waits for memory once and not once for each.
void TemporalTable::fetch_ahead(std::span<const std::uint64_t> hashes) const {
    for (const std::uint64_t hash : hashes) {
        const Slot& slot = first_candidate(hash);
        if (slot.count == 0) continue;
        for (std::size_t part = 0; part < key_parts_; ++part) prefetch(&keys_[part][slot.first]);
        if (!valid_from_.empty()) prefetch(&valid_from_[slot.first]);
    }
    for (const std::uint64_t hash : hashes) {
        const Slot& slot = first_candidate(hash);
        if (slot.count == 0) continue;
        for (std::size_t part = 0; part < key_parts_; ++part) prefetch(keys_[part][slot.first].data());
    }
}

void TemporalTable::find(std::span<const KeyPart> key, const Timestamp* at, const Selection& selection,
                         std::int32_t* rows) const {
    CHECK(key.size() == key_parts_);
    CHECK(at != nullptr || valid_from_.empty());
    const auto part_of = [&](std::size_t part, Row row) {
        return key[part].values[std::size_t{row} * key[part].stride];
    };
    std::array<std::uint64_t, kLookAhead> hashes;
    std::array<std::string_view, kMaxKeyParts> parts;
    for (std::uint32_t begin = 0; begin < selection.size(); begin += kLookAhead) {
        const std::uint32_t count = std::min(kLookAhead, selection.size() - begin);
        for (std::uint32_t i = 0; i < count; ++i) {
            std::uint64_t hash = 0;
            for (std::size_t part = 0; part < key_parts_; ++part)
                hash = hash64(part_of(part, selection[begin + i]), hash);
            hashes[i] = hash;
            prefetch(&slots_[hash & mask_]);
        }
        if (rows_ > kRowsInCache) fetch_ahead(std::span(hashes).first(count));
        for (std::uint32_t i = 0; i < count; ++i) {
            const Row row = selection[begin + i];
            for (std::size_t part = 0; part < key_parts_; ++part) parts[part] = part_of(part, row);
            const Timestamp time = at == nullptr ? 0 : at[row];
            std::int32_t found = find_exact(hashes[i], parts.data(), time);
            if (found == kNoRow && !spec_.fallbacks.empty()) found = find_instead(parts.data(), time);
            rows[row] = found;
        }
    }
}

void TemporalTable::gather(std::size_t index, const std::int32_t* rows, const Selection& selection, Column& out) const {
    const Column& from = values_[index];
    CHECK(out.type() == from.type());
    with_storage(from.type().kind, [&](auto* storage) {
        using T = std::remove_pointer_t<decltype(storage)>;
        const T* values = from.values<T>();
        T* to = out.values<T>();
        for (const Row row : selection) {
            const std::int32_t found = rows[row];
            const bool present = found != kNoRow && from.valid().test(static_cast<std::uint32_t>(found));
            to[row] = found == kNoRow ? T{} : values[found];
            out.valid().assign(row, present);
        }
    });
}

std::size_t TemporalTable::size_bytes() const {
    std::size_t size = slots_.size() * sizeof(Slot) + valid_from_.size() * sizeof(Timestamp) + text_.size_bytes();
    for (const Column& column : values_) size += rows_ * value_size_bytes(column.type().kind) + rows_ / 8;
    return size;
}

// --- TableBuilder

TableBuilder::TableBuilder(TableSpec spec)
    : spec_(std::move(spec)),
      columns_(all_columns(spec_)),
      key_parts_(spec_.key.size()),
      timed_(!spec_.valid_from.empty()) {}

TableBuilder::TableBuilder(const TemporalTable& base) : TableBuilder(base.spec()) {
    cells_.resize(std::size_t{base.rows()} * columns_.size());
    entries_.resize(base.rows());
    for (std::size_t column = 0; column < columns_.size(); ++column) {
        const Column& from = base.column(column);
        with_storage(from.type().kind, [&](auto* storage) {
            using T = std::remove_pointer_t<decltype(storage)>;
            for (std::uint32_t row = 0; row < base.rows(); ++row) {
                Cell& cell = cells_[row * columns_.size() + column];
                cell.present = from.valid().test(row);
                if constexpr (std::is_same_v<T, std::string_view>) {
                    cell.text = text_.copy(from.values<T>()[row]);
                } else {
                    cell.number = from.values<T>()[row];
                }
            }
        });
    }
    for (std::uint32_t row = 0; row < base.rows(); ++row) {
        Entry& entry = entries_[row];
        entry.first_cell = row * columns_.size();
        entry.valid_from = timed_ ? base.valid_from_[row] : 0;
        entry.order = row;
    }
}

std::string TableBuilder::read(std::size_t column, std::string_view text, Cell& cell) {
    const Field& field = columns_[column];
    if (text.empty()) {
        if (!field.required) return {};
        return fmt::format("'{}' is empty: expected {}", field.name, expectation(field));
    }
    cell.present = true;
    if (field.type.is(TypeKind::string)) {
        cell.text = text_.copy(text);
        return {};
    }
    const auto number = parse_number(field.type, text);
    if (!number) return fmt::format("'{}' is '{}': expected {}", field.name, text, expectation(field));
    cell.number = *number;
    return {};
}

Status TableBuilder::add(const CsvTable& csv) {
    std::vector<std::string> mistakes;
    std::vector<int> from(columns_.size());
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        from[i] = csv.find(columns_[i].name);
        if (from[i] < 0)
            mistakes.push_back(fmt::format("{}:1:1: column '{}' of table '{}' is missing: the header has {}",
                                           csv.path(), columns_[i].name, spec_.name, fmt::join(csv.header(), ", ")));
    }
    for (const std::string& name : csv.header()) {
        const bool known =
            std::any_of(columns_.begin(), columns_.end(), [&](const Field& field) { return field.name == name; });
        if (known || spec_.other_columns) continue;
        std::vector<std::string_view> names;
        for (const Field& field : columns_) names.push_back(field.name);
        mistakes.push_back(fmt::format("{}:1:1: column '{}' is not known in table '{}': expected {}", csv.path(), name,
                                       spec_.name, fmt::join(names, ", ")));
    }
    if (!mistakes.empty()) return Error{"C403", fmt::format("{}", fmt::join(mistakes, "\n"))};

    const std::size_t cells_before = cells_.size();
    const std::size_t entries_before = entries_.size();
    const auto file = static_cast<std::uint32_t>(files_.size());
    for (std::size_t row = 0; row < csv.rows() && mistakes.size() < kMaxCsvMistakes; ++row) {
        const std::span<const CsvCell> texts = csv.row(row);
        Entry entry{.first_cell = cells_.size(), .order = entries_.size(), .file = file, .line = texts[0].line};
        cells_.resize(cells_.size() + columns_.size());
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            const CsvCell& text = texts[static_cast<std::size_t>(from[i])];
            const std::string wrong = read(i, text.text, cells_[entry.first_cell + i]);
            if (!wrong.empty()) mistakes.push_back(fmt::format("{}: {}", csv.place(text), wrong));
        }
        if (timed_) entry.valid_from = static_cast<Timestamp>(cells_[entry.first_cell + key_parts_].number);
        entries_.push_back(entry);
    }
    if (!mistakes.empty()) {
        cells_.resize(cells_before);
        entries_.resize(entries_before);
        return Error{"D404", fmt::format("{}", fmt::join(mistakes, "\n"))};
    }
    files_.push_back(csv.path());
    return {};
}

Status TableBuilder::apply(const TableUpdate& update) {
    const std::size_t cells_before = cells_.size();
    const auto wrong = [&](std::string code, std::string_view what) {
        cells_.resize(cells_before);
        return Error{std::move(code), fmt::format("{}: {}", update.place, what)};
    };
    if (update.key.size() != key_parts_)
        return wrong("D404", fmt::format("a key of {} parts: expected {}", update.key.size(), key_parts_));
    Entry entry{.first_cell = cells_before, .order = entries_.size()};
    cells_.resize(cells_before + (update.erase ? key_parts_ : columns_.size()));
    for (std::size_t part = 0; part < key_parts_; ++part) {
        const std::string mistake = read(part, update.key[part], cells_[cells_before + part]);
        if (!mistake.empty()) return wrong("D404", mistake);
    }
    entry.kind = !update.erase                  ? Kind::replacement
                 : timed_ && !update.valid_from ? Kind::erasure_of_all
                                                : Kind::erasure;
    if (timed_ && update.valid_from) entry.valid_from = *update.valid_from;
    if (entry.kind == Kind::erasure_of_all) entry.valid_from = kBeginningOfTime;
    if (!update.erase) {
        if (timed_ && !update.valid_from)
            return wrong("D404",
                         fmt::format("no '{}': expected the instant from which the row holds", spec_.valid_from));
        if (timed_) {
            Cell& cell = cells_[cells_before + key_parts_];
            cell.present = true;
            cell.number = *update.valid_from;
        }
        const std::size_t first = key_parts_ + (timed_ ? 1 : 0);
        for (const auto& [name, text] : update.values) {
            const auto known = std::find_if(columns_.begin() + static_cast<std::ptrdiff_t>(first), columns_.end(),
                                            [&wanted = name](const Field& field) { return field.name == wanted; });
            if (known == columns_.end()) {
                if (spec_.other_columns) continue;
                return wrong("C403", fmt::format("column '{}' is not known in table '{}'", name, spec_.name));
            }
            const auto column = static_cast<std::size_t>(known - columns_.begin());
            const std::string mistake = read(column, text, cells_[cells_before + column]);
            if (!mistake.empty()) return wrong("D404", mistake);
        }
        for (std::size_t column = first; column < columns_.size(); ++column) {
            if (columns_[column].required && !cells_[cells_before + column].present)
                return wrong("D404", fmt::format("'{}' is missing: expected {}", columns_[column].name,
                                                 expectation(columns_[column])));
        }
    }
    entries_.push_back(entry);
    return {};
}

bool TableBuilder::same_key(const Entry& a, const Entry& b) const {
    for (std::size_t part = 0; part < key_parts_; ++part)
        if (cells_[a.first_cell + part].text != cells_[b.first_cell + part].text) return false;
    return true;
}

bool TableBuilder::less(const Entry& a, const Entry& b) const {
    for (std::size_t part = 0; part < key_parts_; ++part) {
        const int order = cells_[a.first_cell + part].text.compare(cells_[b.first_cell + part].text);
        if (order != 0) return order < 0;
    }
    // An erasure of all stands first of its key, whatever comes before it in time.
    const bool a_all = a.kind == Kind::erasure_of_all;
    const bool b_all = b.kind == Kind::erasure_of_all;
    if (a_all != b_all) return a_all;
    return a.valid_from != b.valid_from ? a.valid_from < b.valid_from : a.order < b.order;
}

std::string TableBuilder::key_text(const Entry& entry) const {
    std::vector<std::string> parts;
    for (std::size_t part = 0; part < key_parts_; ++part)
        parts.push_back(fmt::format("{} '{}'", columns_[part].name, cells_[entry.first_cell + part].text));
    if (timed_) parts.push_back(fmt::format("{} {}", spec_.valid_from, format_timestamp(entry.valid_from)));
    return fmt::format("{}", fmt::join(parts, ", "));
}

Result<std::vector<TableBuilder::Entry>> TableBuilder::surviving_rows() {
    std::sort(entries_.begin(), entries_.end(), [this](const Entry& a, const Entry& b) { return less(a, b); });
    std::vector<Entry> rows;
    std::vector<std::string> mistakes;
    std::size_t erased_before = 0;  // entries of the key at hand that are older are gone
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        const Entry& entry = entries_[i];
        const bool new_key = i == 0 || !same_key(entries_[i - 1], entry);
        if (new_key) erased_before = 0;
        if (entry.kind == Kind::erasure_of_all) {
            erased_before = std::max(erased_before, entry.order);
            continue;
        }
        const Entry* next = i + 1 < entries_.size() ? &entries_[i + 1] : nullptr;
        const bool overruled = next != nullptr && next->kind != Kind::erasure_of_all && same_key(entry, *next) &&
                               next->valid_from == entry.valid_from;
        if (overruled) {
            if (next->kind == Kind::row && mistakes.size() < kMaxCsvMistakes)
                mistakes.push_back(fmt::format("{}:{}:1: a second row for {}: the first is in {}:{}",
                                               files_[next->file], next->line, key_text(*next), files_[entry.file],
                                               entry.line));
            continue;
        }
        if (entry.kind != Kind::erasure && entry.order >= erased_before) rows.push_back(entry);
    }
    if (!mistakes.empty()) return Error{"D405", fmt::format("{}", fmt::join(mistakes, "\n"))};
    if (rows.size() > kMaxTableRows)
        return Error{"F402", fmt::format("table '{}' has {} rows, more than the limit of {}", spec_.name, rows.size(),
                                         kMaxTableRows)};
    return rows;
}

Result<std::shared_ptr<const TemporalTable>> TableBuilder::build() {
    Result<std::vector<Entry>> survivors = surviving_rows();
    if (!survivors.ok()) return survivors.error();
    const std::vector<Entry>& rows = *survivors;
    std::shared_ptr<TemporalTable> table(
        new TemporalTable());  // shared: by every thread that looks up in this snapshot
    table->spec_ = spec_;
    table->columns_ = columns_;
    table->key_parts_ = key_parts_;
    table->rows_ = static_cast<std::uint32_t>(rows.size());
    for (std::size_t column = 0; column < columns_.size(); ++column) {
        Column& values = table->values_.emplace_back(columns_[column].type);
        values.reset(table->rows_);
        with_storage(values.type().kind, [&](auto* storage) {
            using T = std::remove_pointer_t<decltype(storage)>;
            T* to = values.values<T>();
            for (std::uint32_t row = 0; row < table->rows_; ++row) {
                const Cell& cell = cells_[rows[row].first_cell + column];
                if constexpr (std::is_same_v<T, std::string_view>) {
                    to[row] = cell.text;
                } else {
                    to[row] = static_cast<T>(cell.number);
                }
                if (cell.present) values.valid().set(row);
            }
        });
    }
    if (timed_)
        for (const Entry& row : rows) table->valid_from_.push_back(row.valid_from);
    table->text_ = std::exchange(text_, Arena{});
    table->index();
    cells_.clear();
    entries_.clear();
    files_.resize(1);
    return std::shared_ptr<const TemporalTable>(std::move(table));
}

Result<std::shared_ptr<const TemporalTable>> read_table(TableSpec spec, const std::string& path) {
    Result<CsvTable> csv = read_csv(path);
    if (!csv.ok()) return csv.error();
    TableBuilder builder(std::move(spec));
    if (Status status = builder.add(*csv); !status.ok()) return status.error();
    return builder.build();
}

Result<std::shared_ptr<const TemporalTable>> updated(const TemporalTable& base, std::span<const TableUpdate> updates) {
    TableBuilder builder(base);
    for (const TableUpdate& update : updates)
        if (Status status = builder.apply(update); !status.ok()) return status.error();
    return builder.build();
}

}  // namespace takt
