#include "sources/formats.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "pipeline/plan/catalog.h"
#include "sources/decode/flatbuffers_decoder.h"
#include "sources/decode/flatbuffers_schema.h"
#include "sources/decode/json_decoder.h"

namespace takt {
namespace {

const std::vector<std::string> kFormats = {"flatbuffers", "json", "csv", "tsv", "delimited"};
const std::vector<std::string> kTypes = {"string", "int",       "uint",     "double",    "bool",
                                         "bytes",  "timestamp", "duration", "decimal(6)"};

struct FlatBuffersSection {
    DecoderOptions::Framing framing = DecoderOptions::Framing::automatic;

    static OptionTable<FlatBuffersSection> options() {
        using Framing = DecoderOptions::Framing;
        OptionTable<FlatBuffersSection> table;
        table.optional("framing", &FlatBuffersSection::framing, "how events lie in one message")
            .one_of({{"automatic", Framing::automatic},
                     {"single", Framing::single},
                     {"size_prefixed", Framing::size_prefixed}});
        return table;
    }
};

struct DelimitedSection {
    std::string delimiter = "comma";
    bool header = true;
    bool quotes = true;
    ConfigNode fields;

    static OptionTable<DelimitedSection> options() {
        OptionTable<DelimitedSection> table;
        table.optional("delimiter", &DelimitedSection::delimiter, "comma, tab, semicolon, pipe, or one character");
        table.optional("header", &DelimitedSection::header, "the first record of each file names the columns");
        table.optional("quotes", &DelimitedSection::quotes, "RFC 4180; false: a quote is text like any other");
        table.optional(
            "fields", &DelimitedSection::fields,
            "field: { type, column, constant, format, zone, required }; a field that is not here comes from the "
            "column of its own name");
        return table;
    }
};

struct FieldSection {
    std::string type;
    ConfigNode column;
    std::optional<std::string> constant;
    std::string format = "rfc3339";
    std::string zone;
    bool required = false;

    static OptionTable<FieldSection> options(bool with_schema) {
        OptionTable<FieldSection> table;
        table.optional(
            "type", &FieldSection::type,
            "string, int, uint, double, bool, bytes, timestamp, duration or decimal(n); where there is no schema");
        table.optional("column", &FieldSection::column,
                       "name in the header, or place from 1; without it the field's name");
        table.optional("constant", &FieldSection::constant, "the same text in every row, in place of a column");
        table.optional("format", &FieldSection::format,
                       "of a timestamp: rfc3339, epoch_s, epoch_ms, epoch_us, epoch_ns, or a pattern such as "
                       "\"%Y/%m/%d %H:%M:%S\"");
        table.optional("zone", &FieldSection::zone, "time zone of a pattern without %z, such as Europe/Berlin");
        table.optional("required", &FieldSection::required, "a row without it is malformed; where there is no schema");
        table.short_form(with_schema ? "column" : "type");
        return table;
    }
};

std::optional<char> parse_delimiter(std::string_view text) {
    if (text == "comma") return ',';
    if (text == "tab" || text == "\\t") return '\t';
    if (text == "semicolon") return ';';
    if (text == "pipe") return '|';
    if (text.size() == 1 && text != "\"" && text != "\n" && text != "\r") return text[0];
    return std::nullopt;
}

/// Reads the section of one source.
class FormatReader {
  public:
    FormatReader(const std::string& what, const ConfigNode& section, Mistakes& mistakes)
        : what_(what), section_(section), mistakes_(mistakes) {}

    std::optional<EventFormat> read(EventFormat::Kind fallback) {
        const std::size_t before = mistakes_.list().size();
        format_.kind = fallback;
        if (const ConfigNode* schema = section_.find("schema")) read_schema(*schema);
        const ConfigNode* node = section_.find("format");
        if (node == nullptr) {
            if (fallback == EventFormat::Kind::delimited) read_delimited(ConfigNode{}, ',');
        } else if (node->is_scalar()) {
            read_word(*node);
        } else {
            read_mapping(*node);
        }
        if (mistakes_.list().size() == before && format_.schema == nullptr) {
            mistakes_.add(section_.place, "C330", fmt::format("{} has no schema", what_),
                          "write 'schema: PATH' of a binary FlatBuffers schema (.bfbs)");
        }
        if (mistakes_.list().size() > before) return std::nullopt;
        return std::move(format_);
    }

  private:
    void read_schema(const ConfigNode& node) {
        if (!node.is_scalar() || node.scalar.empty()) {
            if (!node.unresolved) {
                mistakes_.add(node.place, "C330",
                              fmt::format("'schema' of {} must be the path of a .bfbs file", what_));
            }
            return;
        }
        Result<std::shared_ptr<const RecordSchema>> loaded = load_bfbs(resolve_path(node, node.scalar));
        if (!loaded) {
            mistakes_.add(node.place, loaded.error().code, loaded.error().message,
                          "'flatc --binary --schema event.fbs' makes one");
            return;
        }
        format_.schema = std::move(*loaded);
    }

    void read_word(const ConfigNode& node) {
        if (node.scalar == "flatbuffers") {
            format_.kind = EventFormat::Kind::flatbuffers;
        } else if (node.scalar == "json") {
            format_.kind = EventFormat::Kind::json;
        } else if (node.scalar == "csv" || node.scalar == "delimited") {
            read_delimited(ConfigNode{}, ',');
        } else if (node.scalar == "tsv") {
            read_delimited(ConfigNode{}, '\t');
        } else if (!node.unresolved) {
            unknown(node.place, node.scalar);
        }
    }

    void read_mapping(const ConfigNode& node) {
        if (!node.is_mapping() || node.entries.size() != 1) {
            mistakes_.add(node.place, "C331",
                          fmt::format("'format' of {} is one of {}, or one of them with its options", what_,
                                      fmt::join(kFormats, ", ")));
            return;
        }
        const ConfigNode::Entry& entry = node.entries[0];
        if (entry.key == "flatbuffers") {
            FlatBuffersSection section;
            FlatBuffersSection::options().read(entry.value, "format 'flatbuffers' of " + what_, section, mistakes_);
            format_.kind = EventFormat::Kind::flatbuffers;
            format_.framing = section.framing;
        } else if (entry.key == "delimited" || entry.key == "csv") {
            read_delimited(entry.value, ',');
        } else if (entry.key == "tsv") {
            read_delimited(entry.value, '\t');
        } else {
            unknown(entry.key_place, entry.key);
        }
    }

    void unknown(const Place& place, const std::string& written) {
        mistakes_.add(place, "C331",
                      fmt::format("unknown format '{}' in {}; there are {}", written, what_, fmt::join(kFormats, ", ")),
                      did_you_mean(written, kFormats));
    }

    void read_delimited(const ConfigNode& node, char fallback) {
        format_.kind = EventFormat::Kind::delimited;
        DelimitedSection section;
        DelimitedSection::options().read(node, "format 'delimited' of " + what_, section, mistakes_);
        format_.header = section.header;
        format_.delimited.quotes = section.quotes;
        format_.delimited.delimiter = fallback;
        if (const ConfigNode* written = node.find("delimiter")) {
            const auto delimiter = parse_delimiter(section.delimiter);
            if (delimiter) {
                format_.delimited.delimiter = *delimiter;
            } else {
                mistakes_.add(written->place, "C334",
                              fmt::format("'{}' is no delimiter: expected comma, tab, semicolon, pipe or one character",
                                          section.delimiter));
            }
        }
        if (section.fields.is_null()) return;
        if (!section.fields.is_mapping()) {
            mistakes_.add(section.fields.place, "C332",
                          fmt::format("'fields' of {} maps each field to its column", what_));
            return;
        }
        declares_ = section_.find("schema") == nullptr;
        for (const ConfigNode::Entry& entry : section.fields.entries) read_field(entry);
        if (declares_) format_.schema = std::make_shared<RecordSchema>(make_schema(std::move(declared_)));
    }

    void read_field(const ConfigNode::Entry& entry) {
        const std::string field_of = fmt::format("field '{}' of {}", entry.key, what_);
        FieldSection section;
        if (!FieldSection::options(!declares_).read(entry.value, field_of, section, mistakes_)) return;
        const auto type = declares_ ? declared_type(entry, section, field_of) : known_type(entry, field_of);
        if (!type) return;
        DelimitedColumn column;
        column.field = entry.key;
        if (!read_column(entry, section, column, field_of)) return;
        if (!read_time(entry, section, *type, column, field_of)) return;
        if (declares_) declared_.push_back({entry.key, *type, section.required});
        format_.delimited.columns.push_back(std::move(column));
    }

    std::optional<Type> declared_type(const ConfigNode::Entry& entry, const FieldSection& section,
                                      const std::string& field_of) {
        if (section.type.empty()) return Type::of(TypeKind::string);
        const auto type = parse_column_type(section.type);
        if (!type) {
            const ConfigNode* written = entry.value.find("type");
            mistakes_.add(
                written ? written->place : entry.value.place, "C332",
                fmt::format("{}: no type '{}'; there are {}", field_of, section.type, fmt::join(kTypes, ", ")),
                did_you_mean(section.type, kTypes));
        }
        return type;
    }

    /// The type that the schema says; the config cannot say another.
    std::optional<Type> known_type(const ConfigNode::Entry& entry, const std::string& field_of) {
        if (format_.schema == nullptr) return std::nullopt;
        for (const char* option : {"type", "required"}) {
            if (const auto* written = entry.value.find_entry(option)) {
                mistakes_.add(written->key_place, "C333", fmt::format("{}: the schema says its '{}'", field_of, option),
                              "leave it out");
            }
        }
        const RecordField* field = format_.schema->find(entry.key);
        if (field != nullptr) return field->field.type;
        std::vector<std::string> names;
        for (const RecordField& one : format_.schema->fields) names.push_back(one.field.name);
        mistakes_.add(entry.key_place, "C337", fmt::format("the schema has no field '{}'", entry.key),
                      did_you_mean(entry.key, names));
        return std::nullopt;
    }

    bool read_column(const ConfigNode::Entry& entry, const FieldSection& section, DelimitedColumn& column,
                     const std::string& field_of) {
        const ConfigNode& written = section.column;
        if (section.constant) {
            if (!written.is_null()) {
                mistakes_.add(written.place, "C333",
                              fmt::format("{} comes either from a column or is a constant", field_of));
                return false;
            }
            column.constant = section.constant;
            return true;
        }
        if (written.is_null()) {
            column.column = entry.key;
            return true;
        }
        if (!written.is_scalar() || written.scalar.empty()) {
            if (!written.unresolved) {
                mistakes_.add(written.place, "C333",
                              fmt::format("'column' of {} is a name of the header, or a place from 1", field_of));
            }
            return false;
        }
        std::size_t index = 0;
        const char* end = written.scalar.data() + written.scalar.size();
        const auto [stop, error] = std::from_chars(written.scalar.data(), end, index);
        if (!written.quoted && error == std::errc{} && stop == end && index > 0) {
            column.index = index;
        } else {
            column.column = written.scalar;
        }
        return true;
    }

    bool read_time(const ConfigNode::Entry& entry, const FieldSection& section, const Type& type,
                   DelimitedColumn& column, const std::string& field_of) {
        const ConfigNode* format = entry.value.find("format");
        const ConfigNode* zone = entry.value.find("zone");
        if (format == nullptr && zone == nullptr) return true;
        const Place& place = format ? format->place : zone->place;
        if (!type.is(TypeKind::timestamp)) {
            mistakes_.add(place, "C338",
                          fmt::format("{} is a {}: 'format' and 'zone' are for timestamps", field_of, to_string(type)));
            return false;
        }
        std::shared_ptr<const TimeZone> known;
        if (zone != nullptr) {
            Result<std::shared_ptr<const TimeZone>> found = TimeZone::find(section.zone);
            if (!found) {
                mistakes_.add(zone->place, found.error().code, found.error().message);
                return false;
            }
            known = std::move(*found);
        }
        Result<TimeForm> form = TimeForm::make(section.format, std::move(known));
        if (!form) {
            mistakes_.add(place, form.error().code, form.error().message);
            return false;
        }
        column.time = std::move(*form);
        return true;
    }

    const std::string& what_;
    const ConfigNode& section_;
    Mistakes& mistakes_;
    EventFormat format_;
    bool declares_ = false;
    std::vector<Field> declared_;
};

template <typename Made>
Result<std::shared_ptr<const Decoder>> shared(Result<Made> made) {
    if (!made) return made.error();
    return std::shared_ptr<const Decoder>(std::move(*made));
}

}  // namespace

std::optional<Type> parse_column_type(std::string_view text) {
    static const std::pair<std::string_view, TypeKind> kinds[] = {
        {"string", TypeKind::string},       {"int", TypeKind::int64},        {"uint", TypeKind::uint64},
        {"double", TypeKind::float64},      {"bool", TypeKind::boolean},     {"bytes", TypeKind::bytes},
        {"timestamp", TypeKind::timestamp}, {"duration", TypeKind::duration}};
    for (const auto& [name, kind] : kinds) {
        if (name == text) return Type::of(kind);
    }
    if (text.substr(0, 8) != "decimal(" || text.back() != ')') return std::nullopt;
    const std::string_view digits = text.substr(8, text.size() - 9);
    int scale = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), scale);
    if (error != std::errc{} || stop != digits.data() + digits.size() || scale < 0 || scale > 18) return std::nullopt;
    return Type::decimal(scale);
}

std::optional<EventFormat> read_format(const std::string& what, const ConfigNode& section, EventFormat::Kind fallback,
                                       Mistakes& mistakes) {
    return FormatReader(what, section, mistakes).read(fallback);
}

Result<std::shared_ptr<const Decoder>> make_decoder(const EventFormat& format, const Layout& layout,
                                                    std::uint32_t source) {
    DecoderOptions options;
    options.source = source;
    options.framing = format.framing;
    switch (format.kind) {
        case EventFormat::Kind::flatbuffers:
            return shared(make_flatbuffers_decoder(format.schema, layout, options));
        case EventFormat::Kind::json:
            return shared(make_json_decoder(format.schema, layout, options));
        case EventFormat::Kind::delimited:
            break;
    }
    return shared(make_delimited_decoder(format.schema, layout, format.delimited, options));
}

Status check_format(const EventFormat& format) {
    Layout everything;
    for (const RecordField& field : format.schema->fields) everything.add(field.field);
    const auto made = make_decoder(format, everything, 0);
    return made ? Status() : Status(made.error());
}

OptionDocs format_docs() {
    OptionDoc schema;
    schema.name = "schema";
    schema.kind = OptionKind::text;
    schema.help =
        "path of the binary FlatBuffers schema (.bfbs) that says the fields; not needed where `format` declares them";
    OptionDoc format;
    format.name = "format";
    format.kind = OptionKind::any;
    format.help =
        fmt::format("how events are written: {}, or `delimited: {{ ... }}` with options", fmt::join(kFormats, ", "));
    return {schema, format};
}

OptionDocs flatbuffers_docs() {
    return FlatBuffersSection::options().describe();
}

OptionDocs delimited_docs() {
    return DelimitedSection::options().describe();
}

OptionDocs delimited_field_docs() {
    return FieldSection::options(false).describe();
}

}  // namespace takt
