#include "sinks/catalog.h"

#include "sinks/discard.h"
#include "sinks/file.h"
#include "sinks/jetstream.h"
#include "sinks/nats.h"
#include "sinks/sqlite.h"
#include "sinks/standard_output.h"

namespace takt {
namespace {

// Paths of a config start at the folder of the file that names them.
void resolve_paths(const ConfigNode& node, NatsConnectionOptions& options) {
    for (std::string* path :
         {&options.nkey_seed, &options.credentials, &options.tls_ca, &options.tls_certificate, &options.tls_key})
        if (!path->empty()) *path = resolve_path(node, *path);
}
void resolve_paths(const ConfigNode& node, SqliteSink::Options& options) {
    options.path = resolve_path(node, options.path);
}
void resolve_paths(const ConfigNode& node, FileSink::Options& options) {
    options.path = resolve_path(node, options.path);
}
void resolve_paths(const ConfigNode&, StandardOutputSink::Options&) {}
void resolve_paths(const ConfigNode&, DiscardSink::Options&) {}

template <typename SinkKind>
std::unique_ptr<Sink> make_sink(const typename SinkKind::Options& options, const std::string& pipeline) {
    if constexpr (std::is_constructible_v<SinkKind, typename SinkKind::Options, std::string>) {
        return std::make_unique<SinkKind>(options, pipeline);
    } else {
        return std::make_unique<SinkKind>(options);
    }
}

/// What was accepted, when the daemon crashes before it has finished.
enum class AfterCrash : std::uint8_t { kept, lost };

template <typename SinkKind>
class Connector final : public SinkType {
  public:
    Connector(std::string_view name, AfterCrash after_crash, std::string_view help)
        : name_(name), after_crash_(after_crash), help_(help) {}

    std::string_view name() const override { return name_; }
    std::string_view help() const override { return help_; }
    OptionDocs docs() const override { return SinkKind::options().describe(); }
    bool keeps_after_crash() const override { return after_crash_ == AfterCrash::kept; }
    std::optional<Make> plan(const std::string& sink_name, const ConfigNode& options, const std::string& pipeline,
                             Mistakes& mistakes) const override {
        const std::string what = fmt::format("sink '{}' ({})", sink_name, name_);
        typename SinkKind::Options read;
        if (!SinkKind::options().read(options, what, read, mistakes)) return std::nullopt;
        resolve_paths(options, read);
        if constexpr (std::is_base_of_v<NatsConnectionOptions, typename SinkKind::Options>) {
            if (!report_nats_options(read, what, options, mistakes)) return std::nullopt;
        }
        return [read, pipeline]() -> Result<std::unique_ptr<Sink>> { return make_sink<SinkKind>(read, pipeline); };
    }

  private:
    std::string_view name_;
    AfterCrash after_crash_;
    std::string_view help_;
};

}  // namespace

const std::vector<const SinkType*>& sink_catalog() {
    using enum AfterCrash;
    static const Connector<SqliteSink> sqlite(
        "sqlite", kept, "the embedded ledger: an SQLite file with tables for SQL and `takt ledger`");
    static const Connector<JetStreamSink> jetstream("jetstream", kept,
                                                    "publishes to a JetStream stream, each posting once");
    static const Connector<NatsSink> nats("nats", lost,
                                          "publishes to core NATS subjects; nothing remembers what was sent");
    static const Connector<FileSink> file("file", lost,
                                          "JSON lines, CSV or FlatBuffers in a folder; each file appears whole");
    static const Connector<StandardOutputSink> standard_output("stdout", lost, "prints JSON lines or a table");
    static const Connector<DiscardSink> discard("discard", kept, "keeps counts and a digest only: for benchmarks");
    static const std::vector<const SinkType*> all{&sqlite, &jetstream, &nats, &file, &standard_output, &discard};
    return all;
}

}  // namespace takt
