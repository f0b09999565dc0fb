#include "sources/catalog.h"

#include <fmt/format.h>

#include <algorithm>

#include "sources/file.h"
#include "sources/formats.h"
#include "sources/generator.h"
#include "sources/jetstream.h"
#include "sources/key_value.h"
#include "sources/nats.h"

namespace takt {
namespace {

using Kind = EventFormat::Kind;

bool ends_with(const std::string& text, std::string_view end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

void resolve(const ConfigNode& node, std::string& path) {
    path = resolve_path(node, path);
}

// What a connector makes of its options besides the format. Each says the format that is meant when none is written,
// and takes from the format what it must know itself; false after a mistake.

template <typename Options>
void resolve_nats_files(const ConfigNode& node, Options& options) {
    for (std::string* path :
         {&options.nkey_seed, &options.credentials, &options.tls_ca, &options.tls_certificate, &options.tls_key}) {
        resolve(node, *path);
    }
}

Kind fallback_format(const JetStreamSource::Options&) {
    return Kind::flatbuffers;
}
Kind fallback_format(const NatsSource::Options&) {
    return Kind::flatbuffers;
}
Kind fallback_format(const GeneratorSource::Options&) {
    return Kind::flatbuffers;
}
Kind fallback_format(const FileSource::Options& options) {
    const auto all = [&](std::string_view end) {
        return !options.path.empty() && std::all_of(options.path.begin(), options.path.end(),
                                                    [&](const std::string& path) { return ends_with(path, end); });
    };
    if (all(".jsonl") || all(".json")) return Kind::json;
    return all(".csv") ? Kind::delimited : Kind::flatbuffers;
}

/// Messages have no header of their own.
bool refuse_header(const std::string& what, const EventFormat& format, const ConfigNode& section, Mistakes& mistakes) {
    if (format.kind != Kind::delimited || !format.header) return true;
    mistakes.add(section.find("format")->place, "C335",
                 fmt::format("{}: a message holds no header that names the columns", what),
                 "write 'header: false', and each 'column' by its place");
    return false;
}

bool prepare(const std::string& what, const ConfigNode& node, const ConfigNode& section, EventFormat& format,
             JetStreamSource::Options& options, Mistakes& mistakes) {
    resolve_nats_files(node, options);
    return report_nats_options(options, what, node, mistakes) && refuse_header(what, format, section, mistakes);
}

bool prepare(const std::string& what, const ConfigNode& node, const ConfigNode& section, EventFormat& format,
             NatsSource::Options& options, Mistakes& mistakes) {
    resolve_nats_files(node, options);
    return report_nats_options(options, what, node, mistakes) && refuse_header(what, format, section, mistakes);
}

bool prepare(const std::string& what, const ConfigNode& node, const ConfigNode& section, EventFormat& format,
             GeneratorSource::Options& options, Mistakes& mistakes) {
    resolve(node, options.mes_log);
    options.json = format.kind == Kind::json;
    if (format.kind != Kind::delimited) return true;
    mistakes.add(section.find("format")->place, "C335",
                 fmt::format("{}: a generator writes flatbuffers or json", what));
    return false;
}

bool prepare(const std::string& what, const ConfigNode& node, const ConfigNode&, EventFormat& format,
             FileSource::Options& options, Mistakes& mistakes) {
    for (std::string& path : options.path) resolve(node, path);
    switch (format.kind) {
        case Kind::flatbuffers:
            options.framing = RecordFraming::size_prefixed;
            format.framing = DecoderOptions::Framing::single;  // the file's framing is off when a record arrives
            return true;
        case Kind::json:
            options.framing = RecordFraming::lines;
            return true;
        case Kind::delimited:
            break;
    }
    options.framing = format.delimited.quotes ? RecordFraming::delimited : RecordFraming::lines;
    options.delimiter = std::string(1, format.delimited.delimiter);
    options.header = format.header;
    if (!format.header) return true;
    Result<std::string> header = FileSource::read_header(options);
    if (!header) {
        mistakes.add(
            node.place, "C336",
            fmt::format("{}: the header that names the columns cannot be read: {}", what, header.error().message));
        return false;
    }
    format.delimited.header = std::move(*header);
    return true;
}

/// What was read, when the daemon crashes before all of it has taken effect.
enum class AfterCrash : std::uint8_t { read_again, lost };

template <typename Connector>
class ConnectorType final : public SourceType {
  public:
    ConnectorType(std::string_view name, AfterCrash after_crash, std::string_view help)
        : name_(name), after_crash_(after_crash), help_(help) {}

    std::string_view name() const override { return name_; }
    std::string_view help() const override { return help_; }
    OptionDocs docs() const override { return Connector::options().describe(); }
    bool can_read_again() const override { return after_crash_ == AfterCrash::read_again; }

    std::optional<SourceDraft> plan(const std::string& source_name, const ConfigNode& node, const ConfigNode& section,
                                    Mistakes& mistakes) const override {
        const std::string what = fmt::format("source '{}' ({})", source_name, name_);
        typename Connector::Options options;
        const bool readable = Connector::options().read(node, what, options, mistakes);
        auto format = read_format(what, section, fallback_format(options), mistakes);
        if (!readable || !format || !prepare(what, node, section, *format, options, mistakes)) return std::nullopt;
        if (Status good = check_format(*format); !good) {
            const ConfigNode* written = section.find("format");
            mistakes.add(written ? written->place : section.place, good.error().code,
                         fmt::format("{}: {}", what, good.error().message));
            return std::nullopt;
        }
        SourceDraft draft;
        draft.schema = format->schema;
        draft.make_decoder = [format = *format](const Layout& layout, std::uint32_t source) {
            // The layout is a part of the schema, for all of which check_format made a decoder.
            return make_decoder(format, layout, source).value();
        };
        draft.make = [options]() -> Result<std::unique_ptr<Source>> {
            return std::unique_ptr<Source>(std::make_unique<Connector>(options));
        };
        return draft;
    }

  private:
    std::string_view name_;
    AfterCrash after_crash_;
    std::string_view help_;
};

/// Letters, digits, - and _, and what else is said.
bool is_name(std::string_view text, std::string_view others) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' ||
               others.find(c) != std::string_view::npos;
    });
}

class KeyValueType final : public TableType {
  public:
    std::string_view name() const override { return "kv"; }
    std::string_view help() const override { return "a NATS key-value bucket, followed while the pipeline runs"; }
    OptionDocs docs() const override { return KeyValueBucket::options().describe(); }

    std::optional<Make> plan(const ConfigNode& node, const TableSpec& spec, Mistakes& mistakes) const override {
        const std::string what = fmt::format("table '{}' (kv)", spec.name);
        KeyValueBucket::Options options;
        if (!KeyValueBucket::options().read(node, what, options, mistakes)) return std::nullopt;
        resolve_nats_files(node, options);
        if (!report_nats_options(options, what, node, mistakes)) return std::nullopt;
        const auto place_of = [&](std::string_view option) {
            const ConfigNode* written = node.find(option);
            return written != nullptr ? written->place : node.place;
        };
        if (!is_name(options.bucket, "")) {
            mistakes.add(place_of("bucket"), "C138",
                         fmt::format("'{}' cannot be the name of a bucket: letters, digits, - and _", options.bucket));
            return std::nullopt;
        }
        const std::string& prefix = options.prefix;
        if (!prefix.empty() && (!is_name(prefix, "/=.") || prefix.front() == '.' || prefix.back() != '.' ||
                                prefix.find("..") != std::string::npos)) {
            mistakes.add(place_of("prefix"), "C138",
                         fmt::format("'{}' is no prefix: one or more words, a dot after each", prefix));
            return std::nullopt;
        }
        return [options, spec]() -> Result<std::unique_ptr<TableFeed>> {
            return std::unique_ptr<TableFeed>(std::make_unique<KeyValueBucket>(options, spec));
        };
    }
};

}  // namespace

EventFormat::Kind usual_format(std::string_view connector, const ConfigNode& options) {
    if (connector != "file") return Kind::flatbuffers;
    FileSource::Options read;
    Mistakes ignored;  // who plans the source reports them
    FileSource::options().read(options, "", read, ignored);
    return fallback_format(read);
}

const std::vector<const SourceType*>& source_catalog() {
    using enum AfterCrash;
    static const ConnectorType<JetStreamSource> jetstream("jetstream", read_again,
                                                          "a NATS JetStream stream, from the first or any message on");
    static const ConnectorType<NatsSource> nats("nats", lost,
                                                "a core NATS subject, alone or in a queue group; at most once");
    static const ConnectorType<FileSource> file("file", read_again,
                                                "recorded events: JSON lines, CSV and TSV, FlatBuffers");
    static const ConnectorType<GeneratorSource> generator("generator", read_again,
                                                          "a simulated plant in the same process");
    static const std::vector<const SourceType*> all = {&jetstream, &nats, &file, &generator};
    return all;
}

const std::vector<const TableType*>& table_catalog() {
    static const KeyValueType key_value;
    static const std::vector<const TableType*> all = {&key_value};
    return all;
}

}  // namespace takt
