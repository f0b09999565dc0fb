#include "sinks/file.h"

#include "pipeline/base/decimal.h"
#include "pipeline/state/csv.h"
#include "sinks/posting_flatbuffers.h"
#include "sinks/posting_json.h"

namespace takt {
namespace {

const char* const kPostingHeader =
    "key,payload_hash,type,pipeline,revision,previous_key,window_start,window_end,posting_date,correlation_id,key_"
    "fields,quantity,"
    "quantity_cumulative,unit,amount,amount_cumulative,currency,debit,credit,events,event_ids_hash,config_hash,epoch";
const char* const kDeadLetterHeader =
    "source,sequence,part,subject,ingest_time,event_id,reason,text,owner,step,correlation_id,bytes_base64,epoch";

/// What the CSV reader refuses, NUL and what is no UTF-8, becomes U+FFFD: the folder must read back.
std::string readable(std::string text) {
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t size = utf8_sequence_size(std::string_view(text).substr(i));
        if (size == 0 || text[i] == '\0') {
            text.replace(i, 1, "\xEF\xBF\xBD");
            i += 3;
        } else {
            i += size;
        }
    }
    return text;
}

std::string csv_record(std::initializer_list<std::string> fields) {
    std::string record;
    for (const std::string& field : fields) {
        append_csv_field(record, readable(field));
        record += ',';
    }
    record.back() = '\n';
    return record;
}

std::string posting_csv(const Posting& posting) {
    const auto time = [](const std::optional<Timestamp>& at) { return at ? format_timestamp(*at) : std::string(); };
    const auto decimal = [](bool present, Int128 units, int scale) {
        return present ? format_decimal(units, scale) : std::string();
    };
    std::string key_fields;
    for (const Posting::KeyField& field : posting.key_fields) {
        if (field.value.empty()) continue;
        key_fields += key_fields.empty() ? '{' : ',';
        append_json_string(key_fields, field.name);
        key_fields += ':';
        append_json_string(key_fields, field.value);
    }
    key_fields += key_fields.empty() ? "{}" : "}";
    return csv_record({posting.key,
                       posting.payload_hash,
                       posting.type,
                       posting.pipeline,
                       std::to_string(posting.revision),
                       posting.previous_key,
                       time(posting.window_start),
                       time(posting.window_end),
                       format_date(posting.posting_date),
                       posting.correlation_id,
                       key_fields,
                       decimal(posting.has_quantity, posting.quantity, posting.quantity_scale),
                       decimal(posting.has_quantity, posting.quantity_cumulative, posting.quantity_scale),
                       posting.unit,
                       decimal(posting.has_amount, posting.amount, posting.amount_scale),
                       decimal(posting.has_amount, posting.amount_cumulative, posting.amount_scale),
                       posting.currency,
                       posting.debit,
                       posting.credit,
                       std::to_string(posting.lineage.events),
                       to_hex(posting.lineage.ids),
                       posting.config_hash,
                       std::to_string(posting.epoch)});
}

std::string dead_letter_csv(const DeadLetter& letter) {
    return csv_record({letter.source, std::to_string(letter.sequence), std::to_string(letter.part), letter.subject,
                       format_timestamp(letter.ingest_time), letter.event_id, letter.reason, letter.text, letter.owner,
                       letter.step, letter.correlation_id, base64(letter.bytes), std::to_string(letter.epoch)});
}

/// Nothing where the format has no exact place for a number.
std::optional<std::string> record_of(const Posting& posting, FileSink::Format format) {
    switch (format) {
        case FileSink::Format::json:
            return posting_json(posting) + '\n';
        case FileSink::Format::csv:
            return posting_csv(posting);
        case FileSink::Format::flatbuffers:
            break;
    }
    const std::optional<std::string> table = posting_flatbuffer(posting);
    if (!table) return std::nullopt;
    return size_prefixed(*table);
}

std::string record_of(const DeadLetter& letter, FileSink::Format format) {
    switch (format) {
        case FileSink::Format::json:
            return dead_letter_json(letter) + '\n';
        case FileSink::Format::csv:
            return dead_letter_csv(letter);
        case FileSink::Format::flatbuffers:
            break;
    }
    return size_prefixed(dead_letter_flatbuffer(letter));
}

std::string dead_letter_key(std::string_view source, std::string_view sequence, std::string_view part) {
    return fmt::format("{}\n{}\n{}", sequence, part, source);
}

/// The string or number member `name` of a line that posting_json.h wrote, as it stands there. In a JSON text a quote
/// inside a string has a backslash before it, so that the name in its quotes is found nowhere else.
std::optional<std::string_view> member(std::string_view line, std::string_view name) {
    const std::string start = fmt::format("\"{}\":", name);
    std::size_t begin = line.find(start);
    if (begin == std::string_view::npos) return std::nullopt;
    begin += start.size();
    const bool text = line.substr(begin).starts_with('"');
    if (text) ++begin;
    std::size_t end = begin;
    while (end < line.size() && line[end] != (text ? '"' : ',')) end += text && line[end] == '\\' ? 2 : 1;
    if (end >= line.size()) return std::nullopt;
    return line.substr(begin, end - begin);
}

Error foreign_file(const std::string& path, std::string_view what) {
    return {"F630", fmt::format("{} is no file of this sink: {}", path, what)};
}

/// Calls `take` with the members or columns `names` of each record of a text file.
template <typename Take>
Status for_each_record(const std::string& path, std::string text, FileSink::Format format,
                       std::span<const char* const> names, Take&& take) {
    const auto foreign = [&](std::string_view what) { return foreign_file(path, what); };
    std::vector<std::string> values(names.size());
    if (format == FileSink::Format::csv) {
        const Result<CsvTable> csv = parse_csv(path, std::move(text));
        if (!csv.ok()) return foreign(csv.error().message);
        for (std::size_t row = 0; row < csv->rows(); ++row) {
            for (std::size_t i = 0; i < names.size(); ++i) {
                const int column = csv->find(names[i]);
                if (column < 0) return foreign(fmt::format("no column '{}'", names[i]));
                values[i] = csv->row(row)[static_cast<std::size_t>(column)].text;
            }
            take(values);
        }
        return {};
    }
    std::string_view left = text;
    while (!left.empty()) {
        const std::string_view line = left.substr(0, left.find('\n'));
        left.remove_prefix(std::min(left.size(), line.size() + 1));
        for (std::size_t i = 0; i < names.size(); ++i) {
            const auto value = member(line, names[i]);
            if (!value) return foreign(fmt::format("a line without '{}'", names[i]));
            values[i] = *value;
        }
        take(values);
    }
    return {};
}

/// Calls `take` with each table of a file of FlatBuffers, as `read` reads them.
template <typename Read, typename Take>
Status for_each_table(const std::string& path, std::string_view bytes, Read&& read, Take&& take) {
    while (!bytes.empty()) {
        const std::string_view record = next_size_prefixed(bytes);
        const auto table = read(record);
        if (record.empty() || !table) return foreign_file(path, "a record that is no table of the schema");
        take(*table);
        bytes.remove_prefix(kSizePrefixBytes + record.size());
    }
    return {};
}

RecordFile::Form form_of(FileSink::Format format) {
    switch (format) {
        case FileSink::Format::json:
            return RecordFile::Form::json;
        case FileSink::Format::csv:
            return RecordFile::Form::csv;
        case FileSink::Format::flatbuffers:
            break;
    }
    return RecordFile::Form::size_prefixed;
}

RecordFile::Options file_options(const FileSink::Options& options, std::string name, std::string header) {
    return {.folder = options.path,
            .name = std::move(name),
            .form = form_of(options.format),
            .header = std::move(header),
            .records_per_file = static_cast<std::uint64_t>(options.records_per_file),
            .synchronous = options.synchronous};
}

}  // namespace

OptionTable<FileSink::Options> FileSink::options() {
    OptionTable<Options> table;
    table.required("path", &Options::path, "folder of the files; made where it is missing");
    table
        .optional("format", &Options::format,
                  "JSON lines, CSV with a header, or the tables of schemas/posting.fbs, each after its length")
        .one_of({{"json", Format::json}, {"csv", Format::csv}, {"flatbuffers", Format::flatbuffers}});
    table
        .optional("records_per_file", &Options::records_per_file,
                  "a file is complete with so many records; 0: only at the end")
        .from(0);
    table.optional("synchronous", &Options::synchronous,
                   "accepted postings survive a power cut, not only a crash of the daemon");
    table
        .optional("max_keys", &Options::max_keys,
                  "postings that the folder may hold; each costs about 60 bytes of memory")
        .from(1);
    table.short_form("path");
    return table;
}

FileSink::FileSink(Options options)
    : options_(std::move(options)),
      postings_(file_options(options_, "postings", kPostingHeader)),
      dead_letters_(file_options(options_, "dead_letters", kDeadLetterHeader)),
      delivered_(static_cast<std::size_t>(options_.max_keys)),
      kept_(static_cast<std::size_t>(options_.max_keys)) {}

Status FileSink::open() {
    delivered_.clear();
    kept_.clear();
    is_open_ = false;
    Status status = postings_.open(
        [this](const std::string& path, std::string text) { return read_postings(path, std::move(text)); });
    if (!status.ok()) return status;
    status = dead_letters_.open(
        [this](const std::string& path, std::string text) { return read_dead_letters(path, std::move(text)); });
    if (!status.ok()) return status;
    is_open_ = true;
    return {};
}

Status FileSink::read_postings(const std::string& path, std::string text) {
    if (options_.format == Format::flatbuffers)
        return for_each_table(path, text, read_posting_flatbuffer,
                              [this](const Posting& one) { delivered_.add(one.key, one.payload_hash); });
    constexpr std::array<const char*, 2> kNames{"key", "payload_hash"};
    return for_each_record(path, std::move(text), options_.format, kNames,
                           [this](const std::vector<std::string>& values) { delivered_.add(values[0], values[1]); });
}

Status FileSink::read_dead_letters(const std::string& path, std::string text) {
    if (options_.format == Format::flatbuffers)
        return for_each_table(path, text, read_dead_letter_flatbuffer, [this](const DeadLetter& one) {
            kept_.add(dead_letter_key(one.source, std::to_string(one.sequence), std::to_string(one.part)), {});
        });
    constexpr std::array<const char*, 3> kNames{"source", "sequence", "part"};
    return for_each_record(path, std::move(text), options_.format, kNames,
                           [this](const std::vector<std::string>& values) {
                               kept_.add(dead_letter_key(values[0], values[1], values[2]), {});
                           });
}

Status FileSink::opened() {
    return is_open_ ? Status() : open();
}

Status FileSink::noted(Status status) {
    if (!status.ok()) is_open_ = false;
    return status;
}

Result<std::vector<Sink::Delivery>> FileSink::deliver(std::span<const Posting> postings) {
    if (Status status = opened(); !status.ok()) return status.error();
    if (Status status = delivered_.room_for(postings.size()); !status.ok()) return status.error();
    std::vector<Delivery> deliveries;
    deliveries.reserve(postings.size());
    for (const Posting& posting : postings) {
        if (const auto answer = delivered_.answer(posting.key, posting.payload_hash)) {
            deliveries.push_back(*answer);
            continue;
        }
        const std::optional<std::string> record = record_of(posting, options_.format);
        if (!record) {
            deliveries.push_back({State::refused, {}, "OUT_OF_RANGE"});
            continue;
        }
        if (Status status = noted(postings_.add(*record)); !status.ok()) return status.error();
        delivered_.add(posting.key, posting.payload_hash);
        deliveries.push_back({State::accepted, {}, {}});
    }
    if (Status status = noted(postings_.flush()); !status.ok()) return status.error();
    return deliveries;
}

Status FileSink::keep(std::span<const DeadLetter> dead_letters) {
    if (Status status = opened(); !status.ok()) return status;
    if (Status status = kept_.room_for(dead_letters.size()); !status.ok()) return status;
    for (const DeadLetter& letter : dead_letters) {
        std::string source;
        append_json_string(source, letter.source);  // as a JSON line has it, so that both read back the same
        const std::string_view written = options_.format == Format::json
                                             ? std::string_view(source).substr(1, source.size() - 2)
                                             : std::string_view(letter.source);
        const std::string key = dead_letter_key(written, std::to_string(letter.sequence), std::to_string(letter.part));
        if (kept_.answer(key, {})) continue;
        if (Status status = noted(dead_letters_.add(record_of(letter, options_.format))); !status.ok()) return status;
        kept_.add(key, {});
    }
    return noted(dead_letters_.flush());
}

Status FileSink::summarize(std::span<const OutcomeCount> counts) {
    outcomes_.assign(counts.begin(), counts.end());
    return {};
}

Status FileSink::finish() {
    if (Status status = opened(); !status.ok()) return status;
    if (Status status = noted(postings_.close()); !status.ok()) return status;
    if (Status status = noted(dead_letters_.close()); !status.ok()) return status;
    std::string outcomes = "outcome,rule,count\n";
    for (const OutcomeCount& count : outcomes_)
        outcomes += csv_record({count.outcome, count.rule, std::to_string(count.count)});
    return write_atomically(options_.path + "/outcomes.csv", outcomes, options_.synchronous);
}

}  // namespace takt
