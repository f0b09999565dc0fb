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
#include "tests/simulation/prices.h"
#include "tests/support/planned_connectors.h"

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

class EventDecoder final : public MessageDecoder {
  public:
    explicit EventDecoder(const Layout& layout) {
        for (std::size_t i = 0; i < kFields; ++i) slots_[i] = layout.find(event_schema().fields[i].field.name);
    }

  private:
    static constexpr std::size_t kFields = 5;

    void read(std::string_view event, Batch& batch, Row row) const override {
        std::string_view fields[kFields];
        const bool good = split(event, fields);
        if (!good) {
            batch.outcome[row] = kMalformed;
            batch.reject_texts.push_back({row, "not five fields"});
        }
        for (std::size_t field = 0; field < kFields; ++field) {
            if (slots_[field] == kNoSlot) continue;
            set(batch.column(slots_[field]), row, good ? fields[field] : std::string_view(), good);
        }
    }

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
    static const PlannedSource<EventDecoder> source("simulated", event_schema());
    static const PlannedSink sink("simulated");
    const Catalog catalog{operator_catalog(), {&source}, {&sink}, {&price_table()}};
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

Stored stranger(std::uint64_t sequence, Timestamp published, Chance& chance) {
    constexpr std::uint64_t kFirstId = 1'000'000;
    Event event = make_event(chance, kFirstId + sequence, published);
    event.kind = Event::single;
    event.time = published;
    return {event, false, to_text(event), sequence, published};
}

void continue_stream(Stream& stream, std::uint64_t count, Chance& chance, Timestamp now) {
    for (std::uint64_t i = 0; i < count; ++i) {
        stream.push_back(stranger(stream.empty() ? 1 : stream.back().sequence + 1, now, chance));
        now += chance.between(0, 2 * kSecond);
    }
}

}  // namespace takt::simulation
