#include "cli/test_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "cli/test_source.h"
#include "pipeline/base/decimal.h"
#include "pipeline/config/json.h"
#include "pipeline/state/calendar.h"
#include "pipeline/state/csv.h"

namespace takt {
namespace {

const std::vector<std::string> kFileKeys = {"pipeline", "date", "zone", "source", "headers", "tables", "cases"};
const std::vector<std::string> kCaseKeys = {"name", "events", "close", "postings", "dead_letters", "outcomes"};
const std::vector<std::string> kOutcomes = {"accepted", "duplicate", "filtered", "dead_letter"};

class TestReader {
  public:
    explicit TestReader(Mistakes& mistakes) : mistakes_(mistakes) {}

    /// What the file says besides its cases. `config` is the pipeline's.
    PlanOverrides read_tables(const ConfigNode& root, const ConfigNode& config) {
        PlanOverrides overrides;
        const ConfigNode* tables = root.find("tables");
        if (tables == nullptr) return overrides;
        if (!expect(*tables, ConfigNode::Kind::mapping, "'tables' maps the names of tables to their rows"))
            return overrides;
        for (const ConfigNode::Entry& entry : tables->entries) {
            const auto columns = columns_of(config, entry);
            if (columns) overrides.tables[entry.key] = rows_as_csv(entry, *columns);
        }
        return overrides;
    }

    /// The first lines of files, by source. `config` is the pipeline's.
    TestHeaders read_headers(const ConfigNode& root, const ConfigNode& config) {
        TestHeaders headers;
        const ConfigNode* node = root.find("headers");
        if (node == nullptr) return headers;
        if (!expect(*node, ConfigNode::Kind::mapping, "'headers' maps sources to the first line of their files"))
            return headers;
        std::vector<std::string> known;
        if (const ConfigNode* sources = config.find("sources")) {
            for (const ConfigNode::Entry& source : sources->entries) known.push_back(source.key);
        }
        for (const ConfigNode::Entry& entry : node->entries) {
            if (std::find(known.begin(), known.end(), entry.key) == known.end()) {
                add_unknown_source(entry.key_place, entry.key, known);
            } else if (expect(entry.value, ConfigNode::Kind::scalar, "a header is one line of text")) {
                headers[entry.key] = entry.value.scalar;
            }
        }
        return headers;
    }

    void check_keys(const ConfigNode& node, const std::vector<std::string>& known, std::string_view what) {
        for (const ConfigNode::Entry& entry : node.entries) {
            if (std::find(known.begin(), known.end(), entry.key) != known.end()) continue;
            mistakes_.add(entry.key_place, "C341", fmt::format("unknown '{}' in {}", entry.key, what),
                          did_you_mean(entry.key, known));
        }
    }

    std::vector<TestCase> read_cases(const ConfigNode& root, const LoadedPipeline& pipeline,
                                     const TestSources& sources) {
        pipeline_ = &pipeline;
        sources_ = &sources;
        read_clock(root);
        if (const ConfigNode* source = root.find("source")) source_ = find_source(*source);
        std::vector<TestCase> cases;
        const ConfigNode* list = root.find("cases");
        if (list == nullptr || !list->is_sequence() || list->items.empty()) {
            mistakes_.add(list ? list->place : root.place, "C340", "'cases' must be a list of at least one case");
            return cases;
        }
        for (const ConfigNode& item : list->items) cases.push_back(read_case(item));
        return cases;
    }

    bool expect(const ConfigNode& node, ConfigNode::Kind kind, const std::string& message) {
        if (node.kind == kind) return true;
        mistakes_.add(node.place, "C340", message);
        return false;
    }

  private:
    // ---- tables

    /// The columns of a table as its section of the config names them; the instant from which a row holds is marked.
    struct TableColumns {
        std::vector<std::string> names;
        std::string valid_from;
    };

    std::optional<TableColumns> columns_of(const ConfigNode& config, const ConfigNode::Entry& entry) {
        std::vector<std::string> known;
        for (const char* section : {"tables", "calendars"}) {
            const ConfigNode* tables = config.find(section);
            if (tables == nullptr) continue;
            for (const ConfigNode::Entry& table : tables->entries) known.push_back(table.key);
            const ConfigNode* table = tables->find(entry.key);
            if (table == nullptr) continue;
            TableColumns columns;
            if (const ConfigNode* key = table->find("key")) {
                if (key->is_scalar()) columns.names.push_back(key->scalar);
                for (const ConfigNode& one : key->items) columns.names.push_back(one.scalar);
            }
            if (const ConfigNode* from = table->find("valid_from")) {
                columns.valid_from = from->scalar;
                columns.names.push_back(from->scalar);
            }
            if (const ConfigNode* others = table->find("columns")) {
                for (const ConfigNode::Entry& column : others->entries) columns.names.push_back(column.key);
            }
            if (section == std::string_view("calendars")) {
                for (const char* column : {"shift", "start", "end"}) columns.names.push_back(column);
            }
            return columns;
        }
        mistakes_.add(entry.key_place, "C343", fmt::format("the pipeline has no table or calendar '{}'", entry.key),
                      did_you_mean(entry.key, known));
        return std::nullopt;
    }

    std::string rows_as_csv(const ConfigNode::Entry& entry, const TableColumns& columns) {
        std::string text;
        const auto add_row = [&](const std::vector<std::string>& cells) {
            for (std::size_t i = 0; i < cells.size(); ++i) {
                if (i > 0) text += ',';
                append_csv_field(text, cells[i]);
            }
            text += '\n';
        };
        add_row(columns.names);
        if (!expect(entry.value, ConfigNode::Kind::sequence, "the rows of a table are a list of mappings")) return text;
        for (const ConfigNode& row : entry.value.items) {
            if (!expect(row, ConfigNode::Kind::mapping, "a row maps columns to values")) continue;
            check_keys(row, columns.names, fmt::format("a row of table '{}'", entry.key));
            std::vector<std::string> cells;
            for (const std::string& name : columns.names) {
                const ConfigNode* cell = row.find(name);
                const bool since_ever = cell == nullptr && name == columns.valid_from;
                cells.push_back(since_ever ? "1970-01-01T00:00:00Z" : cell ? cell->scalar : "");
            }
            add_row(cells);
        }
        return text;
    }

    // ---- clock

    void read_clock(const ConfigNode& root) {
        if (const ConfigNode* date = root.find("date")) {
            const auto midnight = parse_timestamp(date->scalar + "T00:00:00Z");
            if (midnight) {
                date_ = static_cast<std::int32_t>(*midnight / kDay);
            } else {
                mistakes_.add(date->place, "C342",
                              fmt::format("'{}' is no date; expected one such as 2026-05-12", date->scalar));
            }
        }
        const ConfigNode* zone = root.find("zone");
        auto found = TimeZone::find(zone ? zone->scalar : "Etc/UTC");
        if (found) {
            zone_ = std::move(*found);
        } else {
            mistakes_.add(zone ? zone->place : root.place, found.error().code, found.error().message);
        }
    }

    std::optional<Timestamp> read_time(const ConfigNode& node) {
        if (const auto instant = parse_timestamp(node.scalar)) return instant;
        const std::string seconds = node.scalar.size() <= 5 ? ":00" : "";
        const std::string padded = (node.scalar.find(':') == 1 ? "0" : "") + node.scalar;
        const auto of_day = parse_timestamp("1970-01-01T" + padded + seconds + "Z");
        if (of_day && zone_ != nullptr) return zone_->instant(date_, *of_day);
        if (!of_day) {
            mistakes_.add(
                node.place, "C342",
                fmt::format("{} is no time; expected one such as 06:10 or 2026-05-12T06:10:00Z", node.written()));
        }
        return std::nullopt;
    }

    // ---- events

    std::optional<std::uint32_t> find_source(const ConfigNode& node) {
        std::vector<std::string> names;
        for (const SourcePlan& source : pipeline_->planned.plan->sources) {
            if (source.name == node.scalar) return source.index;
            names.push_back(source.name);
        }
        add_unknown_source(node.place, node.scalar, names);
        return std::nullopt;
    }

    void add_unknown_source(const Place& place, const std::string& written, const std::vector<std::string>& known) {
        mistakes_.add(place, "C344", fmt::format("the pipeline has no source '{}'", written),
                      did_you_mean(written, known));
    }

    /// The field that says when an event happened; empty where the ingest time does.
    std::string time_field(const std::string& source) const {
        const ConfigNode* section = pipeline_->config.find("sources")->find(source);
        const ConfigNode* time = section->find("time");
        const ConfigNode* event = time ? time->find("event") : nullptr;
        return event ? event->scalar : "";
    }

    TestEvent read_event(const ConfigNode& node, Timestamp& clock) {
        TestEvent event;
        if (!expect(node, ConfigNode::Kind::mapping, "an event maps fields to values, beside `at` and `source`"))
            return event;
        if (const ConfigNode* watermark = node.find("watermark"); watermark != nullptr && node.entries.size() == 1) {
            event.watermark = read_time(*watermark);
            event.ends_epoch = true;
            return event;
        }
        if (const ConfigNode* epoch = node.find("epoch"); epoch != nullptr && node.entries.size() == 1) {
            if (epoch->scalar != "end") {
                mistakes_.add(epoch->place, "C345", fmt::format("expected 'epoch: end', found {}", epoch->written()));
            }
            event.ends_epoch = true;
            return event;
        }
        event.source = source_.value_or(0);
        if (const ConfigNode* source = node.find("source"); source != nullptr && !has_field(event.source, "source")) {
            event.source = find_source(*source).value_or(0);
        }
        const std::string& source_name = pipeline_->planned.plan->sources[event.source].name;
        const std::string time_name = time_field(source_name);
        if (const ConfigNode* at = node.find("at")) {
            clock = read_time(*at).value_or(clock);
        } else if (const ConfigNode* own = node.find(time_name)) {
            clock = parse_timestamp(own->scalar).value_or(clock);
        }
        event.time = clock;
        if (const ConfigNode* bytes = node.find("bytes"); bytes != nullptr && !has_field(event.source, "bytes")) {
            event.message = bytes->scalar;
            event.is_bytes = true;
            if (!sources_->reads_bytes(source_name)) {
                mistakes_.add(bytes->place, "C346",
                              fmt::format("the first line of the files of '{}' names the columns of these bytes, and "
                                          "the test does not say it",
                                          source_name),
                              "write it under 'headers'");
            }
            return event;
        }
        event.message = write_json(node, event, time_name);
        return event;
    }

    bool has_field(std::uint32_t source, std::string_view field) const {
        return schema_of(source).find(field) != nullptr;
    }

    const RecordSchema& schema_of(std::uint32_t source) const {
        return *pipeline_->schemas.at(pipeline_->planned.plan->sources[source].name);
    }

    std::string write_json(const ConfigNode& node, const TestEvent& event, const std::string& time_name) {
        const RecordSchema& schema = schema_of(event.source);
        Json json = Json::object();
        if (node.find("at") != nullptr && !time_name.empty()) json.set(time_name, format_timestamp(event.time));
        for (const DelimitedColumn& column : sources_->constants(pipeline_->planned.plan->sources[event.source].name)) {
            const RecordField* field = schema.find(column.field);
            if (field == nullptr || node.find(column.field) != nullptr) continue;
            ConfigNode constant;
            constant.kind = ConfigNode::Kind::scalar;
            constant.scalar = *column.constant;
            json.set(column.field, value_as_json(constant, field->field.type));
        }
        std::vector<std::string> known = {"at", "source", "bytes"};
        for (const RecordField& field : schema.fields) known.push_back(field.field.name);
        for (const ConfigNode::Entry& entry : node.entries) {
            const RecordField* field = schema.find(entry.key);
            if (field != nullptr) {
                json.set(entry.key, value_as_json(entry.value, field->field.type));
            } else if (entry.key != "at" && entry.key != "source") {
                mistakes_.add(entry.key_place, "C341", fmt::format("{} has no field '{}'", schema.name, entry.key),
                              did_you_mean(entry.key, known));
            }
        }
        return json.dump();
    }

    /// As the schema's type is written in JSON; what does not fit it stays a text, which the decoder refuses.
    static Json value_as_json(const ConfigNode& node, const Type& type) {
        if (node.is_null()) return {};
        if (node.is_sequence()) {
            Json list = Json::array();
            for (const ConfigNode& item : node.items) list.push(value_as_json(item, type.element_type()));
            return list;
        }
        switch (type.kind) {
            case TypeKind::boolean:
                if (node.scalar == "true" || node.scalar == "false") return node.scalar == "true";
                break;
            case TypeKind::int64:
            case TypeKind::uint64:
            case TypeKind::float64:
            case TypeKind::decimal:
                if (parse_decimal(node.scalar)) return Json::number(node.scalar);
                break;
            default:
                break;
        }
        return node.scalar;
    }

    // ---- cases

    TestCase read_case(const ConfigNode& node) {
        TestCase one;
        one.place = node.place;
        if (!expect(node, ConfigNode::Kind::mapping, "a case has 'name', 'events' and what is expected of them"))
            return one;
        check_keys(node, kCaseKeys, "a case");
        const ConfigNode* name = node.find("name");
        if (name == nullptr || !name->is_scalar() || name->scalar.empty()) {
            mistakes_.add(name ? name->place : node.place, "C340", "a case needs a 'name'");
        } else {
            one.name = name->scalar;
        }
        if (const ConfigNode* close = node.find("close")) one.close = read_flag(*close);
        Timestamp clock = zone_ ? zone_->instant(date_, 0) : 0;
        const ConfigNode* events = node.find("events");
        if (events == nullptr) {
            mistakes_.add(node.place, "C340", "a case needs 'events'");
        } else if (expect(*events, ConfigNode::Kind::sequence, "'events' is a list")) {
            for (const ConfigNode& event : events->items) one.events.push_back(read_event(event, clock));
        }
        one.postings = read_expectations(node, "postings");
        one.dead_letters = read_expectations(node, "dead_letters");
        read_outcomes(node, one);
        return one;
    }

    bool read_flag(const ConfigNode& node) {
        if (node.scalar != "true" && node.scalar != "false") {
            mistakes_.add(node.place, "C345", fmt::format("expected true or false, found {}", node.written()));
        }
        return node.scalar != "false";
    }

    std::vector<TestExpectation> read_expectations(const ConfigNode& node, std::string_view key) {
        std::vector<TestExpectation> expectations;
        const ConfigNode* list = node.find(key);
        if (list == nullptr) return expectations;
        if (!expect(*list, ConfigNode::Kind::sequence, fmt::format("'{}' is a list; [] where none is expected", key))) {
            return expectations;
        }
        for (const ConfigNode& item : list->items) {
            if (!expect(item, ConfigNode::Kind::mapping, "what is expected maps fields to values")) continue;
            TestExpectation one;
            one.place = item.place;
            for (const ConfigNode::Entry& entry : item.entries) {
                if (entry.value.is_scalar() || entry.value.is_null()) {
                    one.fields.emplace_back(entry.key, entry.value.scalar);
                } else {
                    mistakes_.add(entry.value.place, "C345", fmt::format("'{}' must be one value", entry.key));
                }
            }
            expectations.push_back(std::move(one));
        }
        return expectations;
    }

    void read_outcomes(const ConfigNode& node, TestCase& one) {
        const ConfigNode* outcomes = node.find("outcomes");
        if (outcomes == nullptr) return;
        one.counts_outcomes = true;
        if (!expect(*outcomes, ConfigNode::Kind::mapping, "'outcomes' maps outcomes to counts")) return;
        check_keys(*outcomes, kOutcomes, "'outcomes'");
        for (const ConfigNode::Entry& entry : outcomes->entries) {
            if (!entry.value.is_mapping()) {
                one.outcomes[{entry.key, ""}] = read_count(entry.value);
                continue;
            }
            for (const ConfigNode::Entry& rule : entry.value.entries) {
                one.outcomes[{entry.key, rule.key}] = read_count(rule.value);
            }
        }
    }

    std::uint64_t read_count(const ConfigNode& node) {
        std::uint64_t count = 0;
        const char* end = node.scalar.data() + node.scalar.size();
        const auto [stop, error] = std::from_chars(node.scalar.data(), end, count);
        if (!node.is_scalar() || error != std::errc{} || stop != end) {
            mistakes_.add(node.place, "C345", fmt::format("expected a count, found {}", node.written()));
        }
        return count;
    }

    Mistakes& mistakes_;
    const LoadedPipeline* pipeline_ = nullptr;
    const TestSources* sources_ = nullptr;
    std::shared_ptr<const TimeZone> zone_;             // shared with all users of the zone
    std::int32_t date_ = days_from_civil(2026, 1, 1);  // where the file says no date
    std::optional<std::uint32_t> source_;
};

bool show(const Mistakes& mistakes) {
    if (mistakes.empty()) return false;
    fmt::print(stderr, "{}", mistakes.render());
    return true;
}

}  // namespace

std::optional<TestFile> load_test(const std::string& path) {
    Mistakes mistakes;
    const ConfigNode root = read_config(path, mistakes);
    if (show(mistakes)) return std::nullopt;
    TestReader reader(mistakes);
    const ConfigNode* pipeline = root.find("pipeline");
    if (!root.is_mapping() || pipeline == nullptr || !pipeline->is_scalar()) {
        mistakes.add(pipeline ? pipeline->place : root.place, "C340",
                     "a test file names its 'pipeline', and has 'cases'");
        show(mistakes);
        return std::nullopt;
    }
    reader.check_keys(root, kFileKeys, "a test file");
    const std::string config_path = resolve_path(*pipeline, pipeline->scalar);
    Mistakes of_config;  // load_pipeline shows them
    const ConfigNode config = read_config(config_path, of_config);
    const PlanOverrides overrides = reader.read_tables(root, config);
    const TestHeaders headers = reader.read_headers(root, config);
    if (show(mistakes)) return std::nullopt;

    const Catalog catalog = whole_catalog();
    const TestSources sources(catalog, headers);
    TestFile file;
    file.pipeline = load_pipeline(config_path, sources.catalog(), overrides);
    if (!file.pipeline) return std::nullopt;
    file.cases = reader.read_cases(root, *file.pipeline, sources);
    if (show(mistakes)) return std::nullopt;
    return file;
}

}  // namespace takt
