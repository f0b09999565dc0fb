// jsonl_to_flatbuffers IN OUT: the events of a JSON lines file as a file of FlatBuffers records, each after its length
// (u32, little endian); one record a line, in order. What our JSON decoder calls malformed becomes a record with the
// line's bytes, malformed there too; a blank line becomes an empty record. Reads back what it wrote and compares. Exit
// status: 0, or 1 with a message.
#include <flatbuffers/flatbuffers.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "schemas/event_generated.h"
#include "sources/decode/flatbuffers_decoder.h"
#include "sources/decode/flatbuffers_schema.h"
#include "sources/decode/json_decoder.h"

namespace takt {
namespace {

class Allocator final : public BatchAllocator {
  public:
    explicit Allocator(const Layout& layout) : layout_(layout) {}
    std::unique_ptr<Batch> allocate() override {
        auto batch = std::make_unique<Batch>();
        batch->reset(layout_, kBatchRows);
        return batch;
    }

  private:
    const Layout& layout_;
};

std::vector<std::unique_ptr<Batch>> decode(const Decoder& decoder, const Layout& layout,
                                           const std::vector<std::string_view>& messages) {
    auto block = std::make_shared<MessageBlock>();
    for (const std::string_view message : messages) {
        block->messages.push_back({message, "", block->messages.size() + 1, 0});
    }
    Allocator allocator(layout);
    std::vector<std::unique_ptr<Batch>> batches;
    decoder.decode(block, 0, block->messages.size(), *decoder.make_scratch(), allocator, batches);
    return batches;
}

/// One decoded row and how to reach its fields by name.
struct RowView {
    const Layout& layout;
    const Batch& batch;
    std::uint32_t row;

    const Column& column(std::string_view field) const { return batch.column(layout.find(field)); }
    bool has(std::string_view field) const { return column(field).valid().test(row); }
    template <typename T>
    T value(std::string_view field) const {
        return column(field).values<T>()[row];
    }
    bool malformed() const { return batch.outcome[row] == kMalformed; }
};

std::string event_bytes(const RowView& row) {
    flatbuffers::FlatBufferBuilder builder;
    const auto text = [&](std::string_view field) {
        if (!row.has(field)) return flatbuffers::Offset<flatbuffers::String>();
        const auto value = row.value<std::string_view>(field);
        return builder.CreateString(value.data(), value.size());
    };
    const auto time = [&](std::string_view field) {
        return row.has(field) ? flatbuffers::Optional<std::int64_t>(row.value<std::int64_t>(field))
                              : flatbuffers::nullopt;
    };
    flatbuffers::Optional<std::int64_t> quantity;
    if (row.has("quantity")) quantity = static_cast<std::int64_t>(row.value<Int128>("quantity"));
    flatbuffers::Optional<double> value;
    if (row.has("value")) value = row.value<double>("value");
    const auto kind = static_cast<EventKind>(row.value<std::int64_t>("kind"));
    builder.Finish(CreateEvent(builder, text("event_id"), kind, time("event_time"), time("recorded_time"),
                               text("plant"), text("area"), text("work_center"), text("order_id"), text("operation"),
                               text("material"), text("revision"), text("lot"), quantity, text("unit"), value,
                               text("status"), text("reason"), text("operator_id"), text("corrects")));
    return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

bool same_field(const RowView& a, const RowView& b, const Field& field) {
    if (a.has(field.name) != b.has(field.name)) return false;
    switch (field.type.kind) {
        case TypeKind::string:
            return a.value<std::string_view>(field.name) == b.value<std::string_view>(field.name);
        case TypeKind::decimal:
            return a.value<Int128>(field.name) == b.value<Int128>(field.name);
        default:
            return a.value<std::int64_t>(field.name) == b.value<std::int64_t>(field.name);
    }
}

std::vector<RowView> rows_of(const Layout& layout, const std::vector<std::unique_ptr<Batch>>& batches) {
    std::vector<RowView> rows;
    for (const auto& batch : batches) {
        for (std::uint32_t row = 0; row < batch->rows; ++row) rows.push_back({layout, *batch, row});
    }
    return rows;
}

std::vector<std::string_view> lines_of(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        lines.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

int fail(const std::string& why) {
    fmt::print(stderr, "jsonl_to_flatbuffers: {}\n", why);
    return 1;
}

int convert(const char* from, const char* to) {
    const auto schema = load_bfbs(TAKT_SOURCE_DIR "/schemas/event.bfbs");
    if (!schema) return fail(schema.error().text());
    Layout layout;
    for (const RecordField& field : schema.value()->fields) layout.add(field.field);
    const auto json = make_json_decoder(*schema, layout, {});
    const auto binary = make_flatbuffers_decoder(*schema, layout, {});
    if (!json || !binary) return fail("the schema does not fit its own layout");

    std::ifstream input(from, std::ios::binary);
    if (!input) return fail(fmt::format("cannot read {}", from));
    const std::string text{std::istreambuf_iterator<char>(input), std::istreambuf_iterator<char>()};
    const std::vector<std::string_view> lines = lines_of(text);
    const auto batches = decode(**json, layout, lines);
    const std::vector<RowView> rows = rows_of(layout, batches);

    std::vector<std::string> records(lines.size());
    std::size_t malformed = 0;
    for (const RowView& row : rows) {
        std::string& record = records[row.batch.origin[row.row].sequence - 1];
        if (!row.malformed()) {
            record = event_bytes(row);
            continue;
        }
        ++malformed;
        record = lines[row.batch.origin[row.row].sequence - 1];
        const auto read = decode(**binary, layout, {record});
        // No table begins at an offset beyond the message.
        if (read.size() != 1 || read[0]->rows != 1 || read[0]->outcome[0] != kMalformed)
            record.insert(0, "\xff\xff\xff\xff");
    }

    const auto written = decode(**binary, layout, std::vector<std::string_view>(records.begin(), records.end()));
    const std::vector<RowView> written_rows = rows_of(layout, written);
    if (written_rows.size() != rows.size()) return fail("another number of rows comes back");
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::uint64_t line = rows[i].batch.origin[rows[i].row].sequence;
        if (written_rows[i].malformed() != rows[i].malformed())
            return fail(fmt::format("line {} comes back otherwise", line));
        for (const Field& field : layout.fields()) {
            if (!same_field(rows[i], written_rows[i], field))
                return fail(fmt::format("line {}: field {} differs", line, field.name));
        }
    }

    std::ofstream output(to, std::ios::binary | std::ios::trunc);
    for (const std::string& record : records) {
        const auto size = static_cast<std::uint32_t>(record.size());
        output.write(reinterpret_cast<const char*>(&size), sizeof size);
        output.write(record.data(), static_cast<std::streamsize>(record.size()));
    }
    output.close();
    if (!output) return fail(fmt::format("cannot write {}", to));
    fmt::print("{} records: {} events, {} malformed, {} blank\n", lines.size(), rows.size() - malformed, malformed,
               lines.size() - rows.size());
    return 0;
}

}  // namespace
}  // namespace takt

int main(int count, char** arguments) {
    if (count != 3) return takt::fail("usage: jsonl_to_flatbuffers IN.jsonl OUT");
    return takt::convert(arguments[1], arguments[2]);
}
