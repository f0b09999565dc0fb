#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/plan/planner.h"

namespace takt {

/// Decodes messages that are one event each.
class MessageDecoder : public Decoder {
  public:
    std::unique_ptr<Scratch> make_scratch() const final { return std::make_unique<Scratch>(); }

    void decode(const std::shared_ptr<const MessageBlock>& block, std::size_t first, std::size_t count, Scratch&,
                BatchAllocator& batches, std::vector<std::unique_ptr<Batch>>& out) const final {
        for (std::size_t i = first; i < first + count; ++i) {
            if (i == first || out.back()->rows == kBatchRows) out.push_back(batches.allocate());
            Batch& batch = *out.back();
            batch.block = block;
            const Message& message = block->messages[i];
            const auto row = static_cast<Row>(batch.rows++);
            batch.origin[row] = {message.sequence, 0, static_cast<std::uint32_t>(message.data.size()),
                                 message.data.data()};
            batch.ingest_time[row] = message.ingest_time;
            batch.event_time[row] = 0;
            read(message.data, batch, row);
        }
    }

  protected:
    /// Sets the columns of the row, and says where it is malformed.
    virtual void read(std::string_view event, Batch& batch, Row row) const = 0;
};

/// A source type for plans whose test brings the events, or the source, itself. EventDecoder is made of a Layout.
template <typename EventDecoder>
class PlannedSource final : public SourceType {
  public:
    PlannedSource(std::string name, RecordSchema schema) : name_(std::move(name)), schema_(std::move(schema)) {}
    std::string_view name() const override { return name_; }
    std::string_view help() const override { return "Events of a test."; }
    OptionDocs docs() const override { return {}; }
    bool can_read_again() const override { return true; }
    std::optional<SourceDraft> plan(const std::string&, const ConfigNode&, const ConfigNode&,
                                    Mistakes&) const override {
        SourceDraft draft;
        draft.schema = std::make_shared<RecordSchema>(schema_);
        draft.make_decoder = [](const Layout& layout, std::uint32_t) { return std::make_shared<EventDecoder>(layout); };
        draft.make = []() -> Result<std::unique_ptr<Source>> { return Error{"F000", "the test brings it"}; };
        return draft;
    }

  private:
    const std::string name_;
    const RecordSchema schema_;
};

/// And a sink type.
class PlannedSink final : public SinkType {
  public:
    explicit PlannedSink(std::string name) : name_(std::move(name)) {}
    std::string_view name() const override { return name_; }
    std::string_view help() const override { return "Postings that a test looks at."; }
    OptionDocs docs() const override { return {}; }
    bool keeps_after_crash() const override { return true; }
    std::optional<Make> plan(const std::string&, const ConfigNode&, const std::string&, Mistakes&) const override {
        return []() -> Result<std::unique_ptr<Sink>> { return Error{"F000", "the test brings it"}; };
    }

  private:
    const std::string name_;
};

}  // namespace takt
