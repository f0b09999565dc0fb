// Message bytes into columns: FlatBuffers and JSON, 8 of the wide event's
// fields. Every way must give the same answer before it is timed.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <simdjson.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "schemas/event_generated.h"
#include "sources/decode/flatbuffers_decoder.h"
#include "sources/decode/flatbuffers_schema.h"
#include "sources/decode/json_decoder.h"
#include "sources/decode/name_table.h"
#include "sources/decode/scalar_text.h"

namespace takt {
namespace {

constexpr std::size_t kMessages = 8192;
constexpr std::size_t kEventBytes = 288;

/// One batch, used again and again: what the engine's pool does.
class OneBatch final : public BatchAllocator {
  public:
    explicit OneBatch(const Layout& layout) : layout_(layout) {}
    std::unique_ptr<Batch> allocate() override {
        std::unique_ptr<Batch> batch = free_.empty() ? std::make_unique<Batch>() : std::move(free_.back());
        if (!free_.empty()) free_.pop_back();
        batch->reset(layout_, kBatchRows);
        return batch;
    }
    void give_back(std::unique_ptr<Batch> batch) { free_.push_back(std::move(batch)); }

  private:
    const Layout& layout_;
    std::vector<std::unique_ptr<Batch>> free_;
};

struct Sample {
    std::string event_id, plant, area, work_center, order_id, operation, material, revision, lot, unit;
    EventKind kind;
    std::int64_t event_time, recorded_time, quantity;
};

Sample event(std::size_t i) {
    return {.event_id = fmt::format("evt-{:012}", i * 7919),
            .plant = "P100",
            .area = "ASM",
            .work_center = fmt::format("WC-{:03}", i % 50),
            .order_id = fmt::format("10{:06}", i % 10'000),
            .operation = "0010",
            .material = fmt::format("FG-{:05}", i % 500),
            .revision = "B",
            .lot = fmt::format("L{:08}", i % 3000),
            .unit = "pcs",
            .kind = static_cast<EventKind>(1 + i % 8),
            .event_time = 1'780'000'000'000'000'000 + static_cast<std::int64_t>(i) * 1'000'003,
            .recorded_time = 1'780'000'001'000'000'000 + static_cast<std::int64_t>(i) * 1'000'003,
            .quantity = static_cast<std::int64_t>(i % 1000) * 250'000};
}

std::string flatbuffers_message(const Sample& event, std::size_t at_least) {
    for (std::size_t filler = 0;; ++filler) {
        flatbuffers::FlatBufferBuilder builder;
        const auto text = [&](const std::string& value) { return builder.CreateString(value); };
        const auto operator_id = filler == 0 ? text("op-1") : text("op-1" + std::string(filler * 4, 'x'));
        builder.Finish(CreateEvent(builder, text(event.event_id), event.kind, event.event_time, event.recorded_time,
                                   text(event.plant), text(event.area), text(event.work_center), text(event.order_id),
                                   text(event.operation), text(event.material), text(event.revision), text(event.lot),
                                   event.quantity, text(event.unit), flatbuffers::nullopt, 0, 0, operator_id, 0));
        if (builder.GetSize() >= at_least) {
            return std::string(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
        }
    }
}

std::string json_message(const Sample& event) {
    return fmt::format(
        R"({{"event_id":"{}","kind":"{}","event_time":"{}","recorded_time":"{}","plant":"{}","work_center":"{}","order_id":"{}","material":"{}","lot":"{}","quantity":{}.{:06},"unit":"{}"}})",
        event.event_id, EnumNameEventKind(event.kind), format_timestamp(event.event_time),
        format_timestamp(event.recorded_time), event.plant, event.work_center, event.order_id, event.material,
        event.lot, event.quantity / 1'000'000, event.quantity % 1'000'000, event.unit);
}

/// Messages back to back, as a block of a source holds them.
struct Input {
    std::shared_ptr<MessageBlock> block;
    std::size_t bytes = 0;

    template <typename Make>
    explicit Input(Make make) {
        auto storage = std::make_shared<std::string>();
        std::vector<std::size_t> sizes;
        for (std::size_t i = 0; i < kMessages; ++i) {
            const std::string message = make(event(i));
            sizes.push_back(message.size());
            *storage += message;
        }
        block = std::make_shared<MessageBlock>();
        std::string_view rest = *storage;
        for (std::size_t i = 0; i < kMessages; ++i) {
            block->messages.push_back({rest.substr(0, sizes[i]), "plant", i + 1, 0});
            rest.remove_prefix(sizes[i]);
        }
        bytes = storage->size();
        block->keep = storage;
    }
};

/// What every way must agree on.
struct Answer {
    std::int64_t times = 0, kinds = 0, quantities = 0;
    std::uint64_t letters = 0;
    bool operator==(const Answer&) const = default;
};

std::uint64_t letters(std::string_view text) {
    std::uint64_t hash = text.size();
    for (const char c : text) hash = hash * 31 + static_cast<unsigned char>(c);
    return hash;
}

Answer answer_of_events() {
    Answer answer;
    for (std::size_t i = 0; i < kMessages; ++i) {
        const Sample e = event(i);
        answer.times += e.event_time % 1'000'000'007;
        answer.kinds += static_cast<std::int64_t>(e.kind);
        answer.quantities += e.quantity;
        answer.letters +=
            letters(e.event_id) + letters(e.order_id) + letters(e.material) + letters(e.lot) + letters(e.unit);
    }
    return answer;
}

const std::vector<std::string> kUsed = {"event_id", "kind", "event_time", "order_id",
                                        "material", "lot",  "quantity",   "unit"};

std::shared_ptr<const RecordSchema> schema() {
    static const auto loaded =
        load_bfbs((std::filesystem::path(__FILE__).parent_path().parent_path() / "schemas/event.bfbs").string());
    if (!loaded) {
        std::fprintf(stderr, "%s\n", loaded.error().text().c_str());
        std::exit(1);
    }
    return loaded.value();
}

Layout layout() {
    Layout result;
    for (const std::string& name : kUsed) result.add(schema()->find(name)->field);
    return result;
}

Answer answer_of_batches(const std::vector<std::unique_ptr<Batch>>& batches) {
    Answer answer;
    for (const auto& batch : batches) {
        for (std::uint32_t row = 0; row < batch->rows; ++row) {
            answer.kinds += batch->columns[1].values<std::int64_t>()[row];
            answer.times += batch->columns[2].values<std::int64_t>()[row] % 1'000'000'007;
            answer.quantities += static_cast<std::int64_t>(batch->columns[6].values<Int128>()[row]);
            for (const std::size_t column : {0, 3, 4, 5, 7}) {
                answer.letters += letters(batch->columns[column].values<std::string_view>()[row]);
            }
        }
    }
    return answer;
}

void run_decoder(benchmark::State& state, const Decoder& decoder, const Layout& columns, const Input& input) {
    const auto scratch = decoder.make_scratch();
    OneBatch batches(columns);
    std::vector<std::unique_ptr<Batch>> out;
    decoder.decode(input.block, 0, kMessages, *scratch, batches, out);
    if (!(answer_of_batches(out) == answer_of_events())) {
        state.SkipWithError("the decoder's answer is wrong");
        return;
    }
    for (auto& batch : out) batches.give_back(std::move(batch));
    out.clear();
    for (auto _ : state) {
        // Batch by batch, as a task of the engine does: the columns stay near.
        for (std::size_t first = 0; first < kMessages; first += kBatchRows) {
            decoder.decode(input.block, first, kBatchRows, *scratch, batches, out);
            benchmark::DoNotOptimize(out.data());
            for (auto& batch : out) batches.give_back(std::move(batch));
            out.clear();
        }
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kMessages));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(input.bytes));
}

const Input& flatbuffers_input() {
    static const Input input([](const Sample& e) { return flatbuffers_message(e, kEventBytes); });
    return input;
}

void projection(benchmark::State& state) {
    const Layout columns = layout();
    const auto decoder = make_flatbuffers_decoder(schema(), columns, {.event_time = columns.find("event_time")});
    run_decoder(state, **decoder, columns, flatbuffers_input());
}

const Input& json_input() {
    static const Input input([](const Sample& e) { return json_message(e); });
    return input;
}

void json(benchmark::State& state) {
    const Layout columns = layout();
    const auto decoder = make_json_decoder(schema(), columns, {.event_time = columns.find("event_time")});
    run_decoder(state, **decoder, columns, json_input());
}

/// Columns as plain arrays: what the generated code fills.
struct Arrays {
    std::vector<std::string_view> event_id{kBatchRows}, order_id{kBatchRows}, material{kBatchRows}, lot{kBatchRows},
        unit{kBatchRows};
    std::vector<std::int64_t> kind = std::vector<std::int64_t>(kBatchRows), time = kind;
    std::vector<Int128> quantity = std::vector<Int128>(kBatchRows);

    Answer answer(std::size_t row) const {
        return {time[row] % 1'000'000'007, kind[row], static_cast<std::int64_t>(quantity[row]),
                letters(event_id[row]) + letters(order_id[row]) + letters(material[row]) + letters(lot[row]) +
                    letters(unit[row])};
    }

    // By the place of the field in the schema; what is not among those in use goes nowhere.
    void put(std::size_t field, std::size_t row, std::string_view value) {
        std::vector<std::string_view>* const texts[] = {&event_id, nullptr, nullptr,   nullptr, nullptr,
                                                        nullptr,   nullptr, &order_id, nullptr, &material,
                                                        nullptr,   &lot,    nullptr,   &unit};
        if (field < std::size(texts) && texts[field] != nullptr) (*texts[field])[row] = value;
    }
    void put(std::size_t field, std::size_t row, std::int64_t value) {
        if (field == 1) kind[row] = value;
        if (field == 2) time[row] = value;
    }
    void put(std::size_t, std::size_t row, Int128 value) { quantity[row] = value; }
    void put(std::size_t, std::size_t, double) {}
    void put(std::size_t, std::size_t, std::uint64_t) {}
    void put(std::size_t, std::size_t, std::uint8_t) {}
};

void add(Answer& to, const Answer& one) {
    to.times += one.times;
    to.kinds += one.kinds;
    to.quantities += one.quantities;
    to.letters += one.letters;
}

/// simdjson's On-Demand walk in the decoder's place: each line copied to where it has the padding that simdjson reads
/// behind it, members by the same table of names, values by the same readers from the raw token, so that a decimal
/// never passes through a double. It is less strict than the decoder (docs/decisions/json-walk.md says where).
class OnDemand {
  public:
    OnDemand() {
        for (const RecordField& field : schema()->fields) {
            names_.add(field.field.name, static_cast<std::int32_t>(readers_.size()));
            readers_.emplace_back(field.field.type, field.storage, field.zero_is_absent);
        }
    }

    bool read(std::string_view line, Arrays& to, std::size_t row) {
        std::memcpy(padded_.data(), line.data(), line.size());
        simdjson::ondemand::document document;
        if (parser_.iterate(padded_.data(), line.size(), padded_.size()).get(document)) return false;
        simdjson::ondemand::object object;
        if (document.get_object().get(object)) return false;
        std::uint64_t seen = 0;
        std::size_t place = 0;
        for (auto member : object) {
            simdjson::ondemand::field field;
            if (std::move(member).get(field)) return false;
            const std::int32_t index = find(field, place++);
            if (index == NameTable::kNone) return false;  // there are none here
            if ((seen >> index & 1) != 0) return false;
            seen |= std::uint64_t{1} << index;
            if (!put(index, field.value().raw_json_token(), to, row)) return false;
        }
        return document.current_location().error() == simdjson::OUT_OF_BOUNDS;
    }

  private:
    std::int32_t find(simdjson::ondemand::field& field, std::size_t place) {
        const simdjson::ondemand::raw_json_string key = field.key();
        if (place < order_.size() && key.is_equal(schema()->fields[order_[place]].field.name)) {
            return static_cast<std::int32_t>(order_[place]);
        }
        std::string_view name;
        if (field.unescaped_key().get(name)) return NameTable::kNone;
        const std::int32_t found = names_.find(name);
        if (found != NameTable::kNone && place < 64) {
            if (place >= order_.size()) order_.resize(place + 1);
            order_[place] = static_cast<std::uint32_t>(found);
        }
        return found;
    }

    bool put(std::int32_t index, std::string_view token, Arrays& to, std::size_t row) {
        while (!token.empty() && token.back() <= ' ') token.remove_suffix(1);  // up to the next token
        if (token.size() >= 2 && token[0] == '"') {
            if (std::memchr(token.data(), '\\', token.size()) != nullptr) return false;  // there is none here
            token = token.substr(1, token.size() - 2);
        }
        const auto store = [&](auto value) { to.put(static_cast<std::size_t>(index), row, value); };
        return readers_[static_cast<std::size_t>(index)].read(token, arena_, store).empty();
    }

    simdjson::ondemand::parser parser_;
    std::array<char, 4096> padded_{};
    NameTable names_;
    std::vector<ScalarReader> readers_;
    std::vector<std::uint32_t> order_;
    Arena arena_;
};

/// With and without simdjson's On-Demand walk, the same answer.
void json_ondemand(benchmark::State& state) {
    const Input& input = json_input();
    OnDemand reader;
    Arrays arrays;
    Answer answer;
    for (const Message& message : input.block->messages) {
        if (!reader.read(message.data, arrays, 0)) {
            state.SkipWithError("simdjson refuses a line");
            return;
        }
        add(answer, arrays.answer(0));
    }
    if (!(answer == answer_of_events())) {
        state.SkipWithError("simdjson's answer is wrong");
        return;
    }
    for (auto _ : state) {
        std::size_t row = 0;
        for (const Message& message : input.block->messages) {
            benchmark::DoNotOptimize(reader.read(message.data, arrays, row));
            row = (row + 1) % kBatchRows;
        }
        benchmark::ClobberMemory();
    }
    state.SetLabel("baseline=decode/json");
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kMessages));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(input.bytes));
}

std::string_view view(const flatbuffers::String* text) {
    return text == nullptr ? std::string_view() : std::string_view(text->data(), text->size());
}

/// The generated accessors, after the generated verifier or with no check at
/// all.
template <bool verify>
bool read_generated(const Message& message, Arrays& to, std::size_t row) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(message.data.data());
    if constexpr (verify) {
        flatbuffers::Verifier verifier(bytes, message.data.size(), 64, 1'000'000, false);
        if (!VerifyEventBuffer(verifier)) return false;
    }
    const Event* read = GetEvent(bytes);
    to.event_id[row] = view(read->event_id());
    to.kind[row] = static_cast<std::int64_t>(read->kind());
    to.time[row] = read->event_time().value_or(0);
    to.order_id[row] = view(read->order_id());
    to.material[row] = view(read->material());
    to.lot[row] = view(read->lot());
    to.quantity[row] = read->quantity().value_or(0);
    to.unit[row] = view(read->unit());
    return true;
}

template <bool verify>
void generated(benchmark::State& state) {
    const Input& input = flatbuffers_input();
    Arrays arrays;
    Answer answer;
    for (const Message& message : input.block->messages) {
        read_generated<verify>(message, arrays, 0);
        add(answer, arrays.answer(0));
    }
    if (!(answer == answer_of_events())) {
        state.SkipWithError("the generated code's answer is wrong");
        return;
    }
    for (auto _ : state) {
        std::size_t row = 0;
        for (const Message& message : input.block->messages) {
            benchmark::DoNotOptimize(read_generated<verify>(message, arrays, row));
            row = (row + 1) % kBatchRows;
        }
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kMessages));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(input.bytes));
}

BENCHMARK(projection)->Name("decode/flatbuffers/projection");
BENCHMARK(generated<true>)->Name("decode/flatbuffers/verifier_and_accessors");
BENCHMARK(generated<false>)->Name("decode/flatbuffers/no_check");
BENCHMARK(json)->Name("decode/json");
BENCHMARK(json_ondemand)->Name("decode/json/simdjson_ondemand");

}  // namespace
}  // namespace takt

BENCHMARK_MAIN();
