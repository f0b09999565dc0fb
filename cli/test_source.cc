#include "cli/test_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "sources/catalog.h"

namespace takt {
namespace {

using Kind = EventFormat::Kind;

bool is_bytes(const Message& message) {
    return message.subject == kBytesSubject;
}

/// Events by one decoder, bytes by another one, in the order of the messages.
class TestDecoder final : public Decoder {
  public:
    TestDecoder(std::shared_ptr<const Decoder> events, std::shared_ptr<const Decoder> bytes)
        : events_(std::move(events)), bytes_(std::move(bytes)) {}

    std::unique_ptr<Scratch> make_scratch() const override {
        auto scratch = std::make_unique<TestScratch>();
        scratch->events = events_->make_scratch();
        scratch->bytes = bytes_->make_scratch();
        return scratch;
    }

    void decode(const std::shared_ptr<const MessageBlock>& block, std::size_t first, std::size_t count,
                Scratch& scratch, BatchAllocator& batches, std::vector<std::unique_ptr<Batch>>& out) const override {
        const auto& own = static_cast<const TestScratch&>(scratch);
        const std::size_t last = first + count;
        while (first < last) {
            const bool bytes = is_bytes(block->messages[first]);
            std::size_t end = first + 1;
            while (end < last && is_bytes(block->messages[end]) == bytes) ++end;
            const Decoder& decoder = bytes ? *bytes_ : *events_;
            decoder.decode(block, first, end - first, bytes ? *own.bytes : *own.events, batches, out);
            first = end;
        }
    }

  private:
    struct TestScratch final : Scratch {
        std::unique_ptr<Scratch> events;
        std::unique_ptr<Scratch> bytes;
    };

    // Shared as SourcePlan shares its decoder.
    std::shared_ptr<const Decoder> events_;
    std::shared_ptr<const Decoder> bytes_;
};

EventFormat as_json(const EventFormat& format) {
    EventFormat json;
    json.kind = Kind::json;
    json.schema = format.schema;
    return json;
}

}  // namespace

class TestSources::Type final : public SourceType {
  public:
    Type(const SourceType& type, const TestHeaders& headers, std::map<std::string, EventFormat>& formats)
        : type_(type), headers_(headers), formats_(formats) {}

    std::string_view name() const override { return type_.name(); }
    std::string_view help() const override { return type_.help(); }
    OptionDocs docs() const override { return type_.docs(); }
    bool can_read_again() const override { return type_.can_read_again(); }

    std::optional<SourceDraft> plan(const std::string& source_name, const ConfigNode& options,
                                    const ConfigNode& section, Mistakes& mistakes) const override {
        const std::string what = fmt::format("source '{}' ({})", source_name, name());
        auto format = read_format(what, section, usual_format(name(), options), mistakes);
        if (!format) return std::nullopt;
        const auto header = headers_.find(source_name);
        if (header != headers_.end() && format->header) format->delimited.header = header->second;
        if (lacks_header(*format)) {
            formats_[source_name] = *format;
            return draft(as_json(*format), as_json(*format));
        }
        if (Status good = check_format(*format); !good) {
            const ConfigNode* written = section.find("format");
            mistakes.add(written ? written->place : section.place, good.error().code,
                         fmt::format("{}: {}", what, good.error().message));
            return std::nullopt;
        }
        formats_[source_name] = *format;
        return draft(as_json(*format), format->kind == Kind::delimited ? *format : as_json(*format));
    }

    static bool lacks_header(const EventFormat& format) {
        return format.kind == Kind::delimited && format.header && !format.delimited.header;
    }

  private:
    static SourceDraft draft(const EventFormat& events, const EventFormat& bytes) {
        SourceDraft draft;
        draft.schema = events.schema;
        draft.make_decoder = [events, bytes](const Layout& layout,
                                             std::uint32_t source) -> std::shared_ptr<const Decoder> {
            return std::make_shared<TestDecoder>(make_decoder(events, layout, source).value(),
                                                 make_decoder(bytes, layout, source).value());
        };
        draft.make = []() -> Result<std::unique_ptr<Source>> { return Error{"F640", "a test opens no source"}; };
        return draft;
    }

    const SourceType& type_;
    const TestHeaders& headers_;
    std::map<std::string, EventFormat>& formats_;
};

TestSources::TestSources(const Catalog& catalog, const TestHeaders& headers) : catalog_(catalog) {
    for (const SourceType* type : catalog.sources) {
        types_.push_back(std::make_unique<Type>(*type, headers, formats_));
    }
}

TestSources::~TestSources() = default;

Catalog TestSources::catalog() const {
    Catalog catalog = catalog_;
    catalog.sources.clear();
    for (const std::unique_ptr<Type>& type : types_) catalog.sources.push_back(type.get());
    return catalog;
}

bool TestSources::reads_bytes(const std::string& source) const {
    const auto format = formats_.find(source);
    return format != formats_.end() && !Type::lacks_header(format->second);
}

std::vector<DelimitedColumn> TestSources::constants(const std::string& source) const {
    std::vector<DelimitedColumn> constants;
    const auto format = formats_.find(source);
    if (format == formats_.end() || format->second.kind != Kind::delimited) return constants;
    const std::vector<DelimitedColumn>& columns = format->second.delimited.columns;
    std::copy_if(columns.begin(), columns.end(), std::back_inserter(constants),
                 [](const DelimitedColumn& column) { return column.constant.has_value(); });
    return constants;
}

}  // namespace takt
