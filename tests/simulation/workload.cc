#include "tests/simulation/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "operators/catalog.h"
#include "pipeline/plan/planner.h"

namespace takt::simulation {
namespace {

constexpr const char* kConfig = TAKT_SOURCE_DIR "/tests/simulation/pipeline.yaml";

RecordSchema event_schema() {
    return make_schema({{"id", Type::of(TypeKind::string)},
                        {"key", Type::of(TypeKind::string)},
                        {"kind", Type::of(TypeKind::string)},
                        {"at", Type::of(TypeKind::timestamp)},
                        {"quantity", Type::decimal(3)}},
                       "event");
}

class EventDecoder final : public Decoder {
  public:
    explicit EventDecoder(const Layout& layout) {
        for (std::size_t i = 0; i < kFields; ++i) slots_[i] = layout.find(event_schema().fields[i].field.name);
    }
    std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<Scratch>(); }

    void decode(const std::shared_ptr<const MessageBlock>& block, std::size_t first, std::size_t count, Scratch&,
                BatchAllocator& batches, std::vector<std::unique_ptr<Batch>>& out) const override {
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
            std::string_view fields[kFields];
            const bool good = split(message.data, fields);
            if (!good) {
                batch.outcome[row] = kMalformed;
                batch.reject_texts.push_back({row, "not five fields"});
            }
            for (std::size_t field = 0; field < kFields; ++field) {
                if (slots_[field] == kNoSlot) continue;
                set(batch.column(slots_[field]), row, good ? fields[field] : std::string_view(), good);
            }
        }
    }

  private:
    static constexpr std::size_t kFields = 5;

    static bool split(std::string_view text, std::string_view (&fields)[kFields]) {
        for (std::size_t i = 0; i < kFields; ++i) {
            const std::size_t end = text.find(' ');
            if ((end == std::string_view::npos) != (i + 1 == kFields)) return false;
            fields[i] = text.substr(0, end);
            text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        }
        return true;
    }

    static void set(Column& column, Row row, std::string_view text, bool present) {
        column.valid().assign(row, present);
        std::int64_t number = 0;
        if (present) std::from_chars(text.data(), text.data() + text.size(), number);
        switch (column.type().kind) {
            case TypeKind::string:
                column.values<std::string_view>()[row] = text;
                return;
            case TypeKind::timestamp:
                column.values<Timestamp>()[row] = number;
                return;
            default:
                column.values<Int128>()[row] = number;
        }
    }

    Slot slots_[kFields] = {};
};

class SimulatedSourceType final : public SourceType {
  public:
    std::string_view name() const override { return "simulated"; }
    std::string_view help() const override { return "A stream of the simulator."; }
    OptionDocs docs() const override { return {}; }
    bool can_read_again() const override { return true; }
    std::optional<SourceDraft> plan(const std::string&, const ConfigNode&, const ConfigNode&,
                                    Mistakes&) const override {
        SourceDraft draft;
        draft.schema = std::make_shared<RecordSchema>(event_schema());
        draft.make_decoder = [](const Layout& layout, std::uint32_t) { return std::make_shared<EventDecoder>(layout); };
        draft.make = []() -> Result<std::unique_ptr<Source>> { return Error{"F000", "set by the simulator"}; };
        return draft;
    }
};

class SimulatedSinkType final : public SinkType {
  public:
    std::string_view name() const override { return "simulated"; }
    std::string_view help() const override { return "A ledger of the simulator."; }
    OptionDocs docs() const override { return {}; }
    bool keeps_after_crash() const override { return true; }
    std::optional<Make> plan(const std::string&, const ConfigNode&, const std::string&, Mistakes&) const override {
        return []() -> Result<std::unique_ptr<Sink>> { return Error{"F000", "set by the simulator"}; };
    }
};

Event make_event(Chance& chance, std::uint64_t id, Timestamp now) {
    Event event;
    event.id = id;
    event.key = chance.below(5);
    event.kind = chance.one_in(12) ? Event::noise : chance.of({Event::make, Event::make, Event::run, Event::single});
    event.quantity = chance.one_in(40) ? -chance.between(1, 5000) : chance.between(0, 5000);
    Duration age = chance.between(0, 12 * kSecond);
    if (chance.one_in(15)) age = chance.between(0, 4 * kMinute);
    if (chance.one_in(60)) age = chance.between(0, 40 * kMinute);
    if (chance.one_in(100)) age = -chance.between(8 * kMinute, 13 * kMinute);
    event.time = now - age;
    return event;
}

}  // namespace

std::string_view to_string(Event::Kind kind) {
    static constexpr std::string_view names[] = {"make", "run", "single", "noise"};
    return names[kind];
}

std::string to_text(const Event& event) {
    return fmt::format("{} {} {} {} {}", event.id, event.key, to_string(event.kind), event.time, event.quantity);
}

std::unique_ptr<Plan> make_plan() {
    static const SimulatedSourceType source;
    static const SimulatedSinkType sink;
    const Catalog catalog{operator_catalog(), {&source}, {&sink}, {}};
    Mistakes mistakes;
    std::ifstream file(kConfig);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const ConfigNode config = parse_config(kConfig, text, mistakes);
    std::unique_ptr<Plan> plan;
    if (mistakes.empty()) plan = plan_pipeline(config, catalog, {}, mistakes).plan;
    if (plan == nullptr) {
        std::fprintf(stderr, "%s", mistakes.render().c_str());
        std::abort();
    }
    return plan;
}

std::vector<Stream> make_streams(Chance& chance, Timestamp start) {
    std::vector<Stream> streams(kSources);
    std::vector<Event> said;
    const std::int64_t count = chance.between(60, 400);
    const Duration longest_gap = chance.of({kSecond, 3 * kSecond, 10 * kSecond});
    const std::uint64_t preferred = chance.below(kSources);
    Timestamp now = start;
    for (std::int64_t i = 0; i < count; ++i) {
        now += chance.one_in(3) ? 0 : chance.between(0, longest_gap);
        if (chance.one_in(150)) now += chance.between(kMinute, 30 * kMinute);
        Event event = make_event(chance, static_cast<std::uint64_t>(i) + 1, now);
        if (!said.empty() && chance.one_in(10)) {
            // Most retries come soon, some when their id is nearly forgotten.
            const std::size_t back = chance.one_in(3) ? said.size() : std::min<std::size_t>(said.size(), 30);
            event = said[said.size() - 1 - chance.below(back)];
            if (chance.one_in(8)) event.quantity += 1;
        }
        said.push_back(event);
        Stream& stream = streams[chance.one_in(4) ? chance.below(kSources) : preferred];
        const std::uint64_t last = stream.empty() ? 0 : stream.back().sequence;
        Stored stored{event, chance.one_in(60), to_text(event), last + 1 + (chance.one_in(20) ? chance.below(5) : 0),
                      now};
        if (stored.malformed) stored.bytes = chance.one_in(2) ? "broken" : "1 2 make 3 4 5";
        stream.push_back(std::move(stored));
    }
    return streams;
}

}  // namespace takt::simulation
