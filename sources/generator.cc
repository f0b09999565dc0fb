#include "sources/generator.h"

#include <cmath>
#include <ctime>
#include <thread>

#include "pipeline/base/hash.h"

namespace takt {
namespace {

/// The bytes of a block's messages, and the names that their subjects point into.
struct Generated {
    std::string bytes;
    std::shared_ptr<const void> names;
};

}  // namespace

OptionTable<GeneratorSource::Options> GeneratorSource::options() {
    OptionTable<Options> table;
    add_plant_options(table);
    table.optional("events", &Options::events, "end after this many; 0: never").from(0);
    table
        .optional("message_bytes", &Options::message_bytes,
                  "fill messages with events up to this size; 0: one event each")
        .to(SizeBytes{1 << 20});
    table.optional("paced", &Options::paced, "no faster than rate");
    return table;
}

GeneratorSource::GeneratorSource(Options options, Clock& clock) : options_(std::move(options)), clock_(clock) {}
GeneratorSource::~GeneratorSource() = default;

std::string GeneratorSource::identity() const {
    const PlantOptions& o = options_;
    return to_hex(
        hash128(fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", o.seed, o.start, o.rate,
                            o.acceleration, o.telemetry, o.duplicates, o.out_of_order, o.late, o.too_late,
                            o.corrections, o.malformed, o.invalid, o.filtered, o.plants, o.orders, o.mes_log,
                            o.mes_span.count(), options_.json, options_.events, options_.message_bytes.value)));
}

Status GeneratorSource::open(const SourcePosition& position) {
    if (!position.anchor.empty() && position.anchor != identity())
        return Error{"F512", fmt::format("SOURCE_IDENTITY: the position belongs to a plant with other options than {}",
                                         describe())};
    Result<std::unique_ptr<PlantSimulator>> plant = PlantSimulator::make(options_);
    if (!plant.ok()) return plant.error();
    plant_ = std::move(plant).value();
    next_sequence_ = 1;
    const bool paced = std::exchange(options_.paced, false);
    while (next_sequence_ < position.next_sequence) {
        MessageBlock block;
        const Limits limits{.messages = static_cast<std::size_t>(
                                std::min<std::uint64_t>(position.next_sequence - next_sequence_, 4096))};
        if (const Result<State> state = read(limits, block); !state.ok() || *state == State::end) break;
    }
    options_.paced = paced;
    started_ = clock_.monotonic();
    events_before_ = plant_->events();
    return {};
}

void GeneratorSource::fill(std::size_t events, std::size_t messages, std::size_t bytes_max, MessageBlock& block) {
    struct Part {
        std::size_t begin;
        std::string_view subject;
        Timestamp recorded;
    };
    const auto generated = std::make_shared<Generated>();  // shared: becomes the block's keep
    generated->names = plant_->names();
    std::string& bytes = generated->bytes;
    std::vector<Part> parts;
    const std::size_t message_bytes = options_.json ? 0 : options_.message_bytes.value;
    const EventEncoding encoding = options_.json        ? EventEncoding::json
                                   : message_bytes == 0 ? EventEncoding::flatbuffers
                                                        : EventEncoding::flatbuffers_prefixed;
    bytes.reserve(std::min(bytes_max, events * 320) + message_bytes + 1024);
    for (std::size_t made = 0; made < events; ++made) {
        // The next event may be as large as any: a message is full before it could pass its size.
        constexpr std::size_t kLargestEvent = 640;
        const bool opens = parts.empty() || bytes.size() - parts.back().begin + kLargestEvent > message_bytes;
        if (opens && (parts.size() >= messages || bytes.size() >= bytes_max)) break;
        const std::size_t begin = bytes.size();
        // A decoder that guesses the framing looks at the first event.
        const PlantEvent& event = plant_->next(encoding, opens && message_bytes > 0, bytes);
        if (opens) parts.push_back({begin, plant_->subject(event), event.recorded_time});
    }
    block.messages.reserve(parts.size());
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const std::size_t end = i + 1 < parts.size() ? parts[i + 1].begin : bytes.size();
        block.messages.push_back({.data = std::string_view(bytes).substr(parts[i].begin, end - parts[i].begin),
                                  .subject = parts[i].subject,
                                  .sequence = next_sequence_++,
                                  .ingest_time = parts[i].recorded});
    }
    block.size_bytes = bytes.size();
    block.keep = generated;
}

void GeneratorSource::fill(std::size_t events, MessageBlock& block) {
    fill(events, SIZE_MAX, SIZE_MAX, block);
}

Result<Source::State> GeneratorSource::read(const Limits& limits, MessageBlock& block) {
    std::uint64_t events = UINT64_MAX;
    if (options_.events > 0) {
        const auto total = static_cast<std::uint64_t>(options_.events);
        if (plant_->events() >= total) return State::end;
        events = total - plant_->events();
    }
    if (options_.paced) {
        const auto due = [&] {
            const double seconds = static_cast<double>(clock_.monotonic() - started_) / static_cast<double>(kSecond);
            const auto wanted = static_cast<std::uint64_t>(std::max(seconds, 0.0) * options_.rate);
            const std::uint64_t made = plant_->events() - events_before_;
            return wanted > made ? wanted - made : 0;
        };
        // A tick's worth at a time, so that a slow plant still speaks in small messages.
        if (due() == 0)
            std::this_thread::sleep_for(std::chrono::nanoseconds(std::min<Duration>(limits.wait, 10 * kMillisecond)));
        events = std::min(events, due());
        if (events == 0) return State::quiet;
    }
    // Messages of one read are alike whatever the limits: only whole ones count, but the last of a paced or ended
    // plant.
    fill(static_cast<std::size_t>(std::min<std::uint64_t>(events, 1u << 24)), limits.messages, limits.bytes, block);
    return State::more;
}

SourcePosition GeneratorSource::position() const {
    return {.next_sequence = next_sequence_, .anchor = identity()};
}

std::string GeneratorSource::describe() const {
    return fmt::format("generator (seed {}, {} plants, {} orders)", options_.seed, options_.plants, options_.orders);
}

}  // namespace takt
