#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/base/time.h"
#include "pipeline/config/option_table.h"

namespace takt {

/// What a simulated plant is like; part of the options of whatever shows one. Shares are of all events, from 0 to 1.
struct PlantOptions {
    std::int64_t seed = 1;
    std::string start = "2026-05-11T04:00:00Z";
    double rate = 100'000;        ///< events per second of the wall clock that the plant would send
    double acceleration = 3'600;  ///< seconds of event time that pass in one of them
    double telemetry = 0.75;
    double duplicates = 0.01;    ///< retries with the same content, of events that are not telemetry
    double out_of_order = 0.05;  ///< up to 4 minutes behind the newest event time
    double late = 0.005;         ///< half an hour to 4 hours behind: within the lateness of every window
    double too_late = 0.0002;    ///< 40 hours behind: beyond the lateness, within the horizon of the deduplication
    double corrections = 0.002;  ///< take a part of an earlier event back
    double malformed = 0.001;    ///< truncated, mutated and random bytes
    double invalid =
        0.0005;  ///< readable, but for the dead letters: unknown material, no unit, from the future, negative
    double filtered = 0.004;  ///< test orders and zero quantities
    std::int64_t plants = 3;
    std::int64_t orders = 300;  ///< open at the same time, in all plants
    std::string mes_log;        ///< a MES log (CSV: case_id,activity,resource,start_timestamp,timestamp) to mix in
    std::chrono::nanoseconds mes_span = std::chrono::hours(60);  ///< of event time, over which the whole log is told
};

/// Adds the options above to the table of an Options that derives from PlantOptions.
template <typename Options>
void add_plant_options(OptionTable<Options>& table) {
    using Base = PlantOptions;
    using namespace std::chrono_literals;
    const auto member = []<typename Value>(Value Base::*of_base) { return static_cast<Value Options::*>(of_base); };
    const auto share = [&](const char* name, double Base::*of_base, const char* help) {
        table.optional(name, member(of_base), help).from(0.0).to(0.99);
    };
    table.optional("seed", member(&Base::seed), "the same seed and options give the same events");
    table.optional("start", member(&Base::start), "event time of the first event, RFC 3339");
    table.optional("rate", member(&Base::rate), "events per second").above(0.0);
    table.optional("acceleration", member(&Base::acceleration), "seconds of event time in one second").above(0.0);
    share("telemetry", &Base::telemetry, "share of readings, machine states and cycles");
    share("duplicates", &Base::duplicates, "share of retries with the same content");
    share("out_of_order", &Base::out_of_order, "share of events up to 4 minutes behind");
    share("late", &Base::late, "share of events up to 4 hours behind");
    share("too_late", &Base::too_late, "share of events 40 hours behind");
    share("corrections", &Base::corrections, "share of events that take back a part of another one");
    share("malformed", &Base::malformed, "share of events that no decoder can read");
    share("invalid", &Base::invalid, "share of readable events that belong to the dead letters");
    share("filtered", &Base::filtered, "share of test orders and zero quantities");
    table.optional("plants", member(&Base::plants), "number of plants, each in its own time zone and currency")
        .from(1)
        .to(3);
    table.optional("orders", member(&Base::orders), "production orders open at the same time").from(3).to(1'000'000);
    table.optional("mes_log", member(&Base::mes_log), "MES log to mix in as machine_time events");
    table.optional("mes_span", member(&Base::mes_span), "event time over which the whole log is told").above(0s);
}

enum class EventKind : std::uint8_t;  // schemas/event.fbs

/// Text of at most 31 bytes, in place.
class ShortText {
  public:
    ShortText() = default;
    explicit ShortText(std::string_view text) { append(text); }
    ShortText& append(std::string_view text) {
        const std::size_t count = std::min(text.size(), bytes_.size() - size_);
        std::memcpy(bytes_.data() + size_, text.data(), count);
        size_ = static_cast<std::uint8_t>(size_ + count);
        return *this;
    }
    ShortText& append(std::uint64_t number);
    operator std::string_view() const { return {bytes_.data(), size_}; }
    bool empty() const { return size_ == 0; }

  private:
    std::array<char, 31> bytes_;
    std::uint8_t size_ = 0;
};

/// One event of DOMAIN.md section 2. Views point into the simulator that made it.
struct PlantEvent {
    EventKind kind{};
    Timestamp event_time = 0;
    Timestamp recorded_time = 0;
    std::optional<std::int64_t> quantity;  ///< millionths
    std::optional<double> value;
    ShortText event_id;
    ShortText order_id;
    ShortText lot;
    ShortText corrects;
    std::uint32_t plant_index = 0;
    std::string_view plant, area, work_center, operation, material, revision, unit, status, reason, operator_id;
};

/// How an event is written.
enum class EventEncoding : std::uint8_t {
    flatbuffers,           ///< one event, as Finish leaves it
    flatbuffers_prefixed,  ///< after its length: several in one message or file
    json,                  ///< one object without a line end
};

/// A plant that sends events: orders that open, consume, produce and close, meters, machines and people; retries, late
/// news, corrections and damage in the shares of its options. The n-th event is a function of the options alone,
/// whatever the machine and the encoding.
///
/// Times:   the newest event time moves by acceleration / rate with each event; `recorded_time` follows it by up to 3
/// seconds. Ids:     unique for seed and event; two plants of different seeds never share one. Master:
/// `write_master_data` writes tables in which everything is found that is not meant to be missing. Errors:  C530 a
/// start that is no time, shares that add up to more than 1; C531 the MES log cannot be read.
class PlantSimulator {
  public:
    static Result<std::unique_ptr<PlantSimulator>> make(const PlantOptions& options);
    ~PlantSimulator();

    /// Appends the next event. Damage that no decoder can read is put off by one event when `whole` is set.
    /// Returns the event; valid until the next call. What is damaged shows its event as it was before.
    const PlantEvent& next(EventEncoding encoding, bool whole, std::string& bytes);

    /// plants.csv, materials.csv, units.csv, work_centers.csv, tariffs.csv, shifts.csv and accounts.csv of DOMAIN.md
    /// section 4.1, into a folder that is made when it is missing. Prices change within the first two days. Error E530:
    /// cannot write.
    Status write_master_data(const std::string& folder) const;

    /// "plant.P100.reading"; lives as long as the pointer that `names` returns.
    std::string_view subject(const PlantEvent& event) const;
    std::shared_ptr<const void> names() const;

    std::uint64_t events() const;

  private:
    class State;
    explicit PlantSimulator(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace takt
