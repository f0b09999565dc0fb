#include "sources/plant_simulator.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include "schemas/event_generated.h"
#include "sources/event_writer.h"
#include "sources/mes_log.h"
#include "sources/random.h"

namespace takt {
namespace {

constexpr std::int64_t kMillionths = 1'000'000;
/// How many events may be repeated or corrected: the latest of those that are no telemetry.
constexpr std::size_t kRemembered = 512;
constexpr std::size_t kWorkCenters = 12;
constexpr std::size_t kFinished = 8;
constexpr std::size_t kSemi = 6;
constexpr std::size_t kRaw = 16;
constexpr std::size_t kOperators = 40;

struct PlantFacts {
    const char* name;
    const char* zone;
    const char* currency;
    const char* price_per_kwh;
    std::vector<std::array<const char*, 3>> shifts;
};

const std::vector<PlantFacts>& plant_facts() {
    static const std::vector<PlantFacts> facts = {
        {"P100",
         "Europe/Berlin",
         "EUR",
         "0.2431",
         {{"early", "06:00", "14:00"}, {"late", "14:00", "22:00"}, {"night", "22:00", "06:00"}}},
        {"P200", "America/Chicago", "USD", "0.1187", {{"day", "07:30", "19:30"}, {"night", "19:30", "07:30"}}},
        {"P300",
         "Asia/Kolkata",
         "INR",
         "7.85",
         {{"A", "06:00", "14:00"}, {"B", "14:00", "22:00"}, {"C", "22:00", "06:00"}}},
    };
    return facts;
}

}  // namespace

ShortText& ShortText::append(std::uint64_t number) {
    std::array<char, 20> digits;
    std::size_t at = digits.size();
    do {
        digits[--at] = static_cast<char>('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return append(std::string_view(digits.data() + at, digits.size() - at));
}

class PlantSimulator::State {
  public:
    State(const PlantOptions& options, Timestamp start, std::vector<MesActivity> log);

    const PlantEvent& next(EventEncoding encoding, bool whole, std::string& bytes);
    Status write_master_data(const std::string& folder) const;
    std::string_view subject(const PlantEvent& event) const {
        return (*subjects_)[event.plant_index * kKinds + static_cast<std::size_t>(event.kind)];
    }

    std::shared_ptr<const std::vector<std::string>> subjects_;  // shared with blocks of messages
    std::uint64_t events_ = 0;

  private:
    static constexpr std::size_t kKinds = static_cast<std::size_t>(EventKind::MAX) + 1;
    enum Special : std::size_t {
        kDuplicate,
        kCorrection,
        kMalformed,
        kInvalid,
        kFiltered,
        kLate,
        kTooLate,
        kOutOfOrder,
        kPlain
    };

    struct Order {
        ShortText id;
        ShortText lot;
        std::uint8_t material = 0;
        std::uint8_t revision = 0;
        std::uint8_t work_center = 0;
        std::int32_t left = 0;  ///< events until it closes
    };
    struct Plant {
        std::string_view name;
        std::vector<std::string> areas;
        std::vector<std::string> work_centers;
        std::vector<Order> orders;
    };

    void plain(PlantEvent& event, bool telemetry);
    void telemetry(PlantEvent& event, const Plant& plant);
    void business(PlantEvent& event, Plant& plant);
    void material_event(PlantEvent& event, const Order& order, std::uint32_t choice);
    void name(PlantEvent& event);
    void open_order(Order& order, std::size_t plant);
    void invalidate(PlantEvent& event);
    bool tell_log(PlantEvent& event);
    void correct(PlantEvent& event);
    void damage(EventEncoding encoding, std::size_t from, std::string& bytes);
    void remember(const PlantEvent& event);

    PlantOptions options_;
    Timestamp start_;
    Random random_;
    Random damage_random_;  // of its own: where damage falls must not change the events
    Shares shares_;
    std::uint64_t telemetry_bound_ = 0;
    double step_ns_ = 0;
    std::vector<Plant> plants_;
    std::vector<std::string> materials_;  // finished, semi, raw
    std::vector<std::string> operators_;
    std::uint64_t orders_made_ = 0;
    std::vector<MesActivity> log_;
    std::size_t log_next_ = 0;
    double log_scale_ = 0;
    std::string log_area_ = "MES";
    std::vector<PlantEvent> remembered_;
    std::size_t remember_next_ = 0;
    std::uint64_t damage_due_ = 0;
    PlantEvent event_;
    EventWriter writer_;
};

PlantSimulator::State::State(const PlantOptions& options, Timestamp start, std::vector<MesActivity> log)
    : options_(options),
      start_(start),
      random_(static_cast<std::uint64_t>(options.seed)),
      damage_random_(~static_cast<std::uint64_t>(options.seed)),
      log_(std::move(log)) {
    for (const double share : {options.duplicates, options.corrections, options.malformed, options.invalid,
                               options.filtered, options.late, options.too_late, options.out_of_order})
        shares_.add(share);
    telemetry_bound_ = static_cast<std::uint64_t>(std::llround(options.telemetry * 4294967296.0));
    step_ns_ = options.acceleration / options.rate * static_cast<double>(kSecond);
    if (!log_.empty())
        log_scale_ = static_cast<double>(options.mes_span.count()) /
                     static_cast<double>(std::max<std::int64_t>(log_.back().end_seconds, 1));
    for (std::size_t i = 0; i < kFinished; ++i) materials_.push_back(fmt::format("FG-PUMP-{:02}", i));
    for (std::size_t i = 0; i < kSemi; ++i) materials_.push_back(fmt::format("SF-SHAFT-{:02}", i));
    for (std::size_t i = 0; i < kRaw; ++i) materials_.push_back(fmt::format("RM-STEEL-{:02}", i));
    for (std::size_t i = 0; i < kOperators; ++i) operators_.push_back(fmt::format("op{:02}", i));
    remembered_.reserve(kRemembered);

    auto subjects = std::make_shared<std::vector<std::string>>();
    const auto count = static_cast<std::size_t>(options.plants);
    plants_.resize(count);
    for (std::size_t p = 0; p < count; ++p) {
        Plant& plant = plants_[p];
        plant.name = plant_facts()[p].name;
        for (std::size_t a = 0; a < 3; ++a) plant.areas.push_back(fmt::format("{}-A{}", plant.name, a + 1));
        for (std::size_t w = 0; w < kWorkCenters; ++w)
            plant.work_centers.push_back(fmt::format("WC-{}-{:02}", p + 1, w + 1));
        plant.orders.resize((static_cast<std::size_t>(options.orders) + count - 1 - p) / count);
        for (Order& order : plant.orders) open_order(order, p);
        for (std::size_t k = 0; k < kKinds; ++k)
            subjects->push_back(fmt::format("plant.{}.{}", plant.name, EnumNameEventKind(static_cast<EventKind>(k))));
    }
    subjects_ = std::move(subjects);
}

void PlantSimulator::State::open_order(Order& order, std::size_t plant) {
    const std::uint64_t number = orders_made_++;
    order.id = ShortText("PO").append(static_cast<std::uint64_t>(options_.seed)).append("-").append(1'000'000 + number);
    order.lot = ShortText("L").append(static_cast<std::uint64_t>(plant + 1)).append("-").append(number);
    order.material = static_cast<std::uint8_t>(random_.below(kFinished + kSemi));
    order.revision = static_cast<std::uint8_t>(random_.below(3));
    order.work_center = static_cast<std::uint8_t>(random_.below(kWorkCenters));
    order.left = static_cast<std::int32_t>(random_.between(150, 450));
}

void PlantSimulator::State::name(PlantEvent& event) {
    event.event_id = ShortText("e").append(static_cast<std::uint64_t>(options_.seed)).append("-").append(events_);
}

void PlantSimulator::State::telemetry(PlantEvent& event, const Plant& plant) {
    const std::uint32_t choice = random_.below(10);
    const Order& order = plant.orders[random_.below(plant.orders.size())];
    const std::size_t work_center = random_.below(kWorkCenters);
    event.area = plant.areas[work_center % plant.areas.size()];
    event.work_center = plant.work_centers[work_center];
    if (choice < 8) {
        event.kind = EventKind::reading;
        event.value = static_cast<double>(random_.below(1'000'000)) / 1024.0;
        event.unit = "kW";
    } else if (choice < 9) {
        event.kind = EventKind::machine_state;
        event.order_id = order.id;
        event.status = random_.below(4) == 0 ? "stopped" : "running";
    } else {
        event.kind = EventKind::cycle;
        event.order_id = order.id;
        event.operation = "0030";
        event.value = static_cast<double>(random_.below(60'000)) / 1000.0;
        event.unit = "s";
    }
}

void PlantSimulator::State::material_event(PlantEvent& event, const Order& order, std::uint32_t choice) {
    constexpr std::array<std::string_view, 3> kRevisions = {"A", "B", "C"};
    constexpr std::array<std::string_view, 3> kScrap = {"dimension", "surface", "setup"};
    event.lot = order.lot;
    if (choice < 22) {
        event.kind = choice < 20 ? EventKind::consumed : EventKind::returned;
        event.material = materials_[kFinished + kSemi + random_.below(kRaw)];
        event.operation = "0010";
        // Weighed parts have all digits, counted bags do not.
        if (random_.below(4) == 0) {
            event.unit = "g";
            event.quantity = random_.between(1, 900) * kMillionths;
        } else {
            event.unit = "kg";
            event.quantity = random_.between(1, 80 * kMillionths);
        }
        return;
    }
    event.kind = choice < 36 ? EventKind::produced : EventKind::scrapped;
    event.material = materials_[order.material];
    event.revision = kRevisions[order.revision];
    event.operation = "0090";
    const bool box = event.kind == EventKind::produced && random_.below(5) == 0;
    event.unit = box ? "box" : "pc";
    event.quantity = random_.between(1, box ? 6 : 40) * kMillionths;
    if (event.kind == EventKind::scrapped) event.reason = kScrap[random_.below(kScrap.size())];
}

void PlantSimulator::State::business(PlantEvent& event, Plant& plant) {
    Order& order = plant.orders[random_.below(plant.orders.size())];
    event.order_id = order.id;
    event.area = plant.areas[order.work_center % plant.areas.size()];
    event.operator_id = operators_[random_.below(kOperators)];
    if (--order.left <= 0) {
        event.kind = EventKind::order_closed;
        open_order(order, static_cast<std::size_t>(event.plant_index));
        return;
    }
    const std::uint32_t choice = random_.below(64);
    if (choice < 40) return material_event(event, order, choice);
    event.work_center = plant.work_centers[order.work_center];
    if (choice < 48) {
        event.kind = EventKind::machine_time;
        event.operation = "0030";
        event.unit = choice % 2 == 0 ? "min" : "s";
        event.quantity = random_.between(1, 3000) * (kMillionths / 100) * (choice % 2 == 0 ? 1 : 60);
    } else if (choice < 53) {
        event.kind = EventKind::labor_time;
        event.operation = "0030";
        event.unit = "min";
        event.quantity = random_.between(1, 600) * (kMillionths / 10);
    } else if (choice < 57) {
        event.kind = EventKind::energy;
        event.order_id = {};
        event.operator_id = {};
        event.unit = choice % 2 == 0 ? "Wh" : "kWh";
        event.quantity = random_.between(1, 9 * kMillionths) * (choice % 2 == 0 ? 100 : 1);
    } else if (choice < 59) {
        constexpr std::array<std::string_view, 3> kStatus = {"released", "blocked", "rejected"};
        event.kind = EventKind::lot_status;
        event.material = materials_[order.material];
        event.lot = order.lot;
        event.status = kStatus[random_.below(8) < 6 ? 0 : 1 + random_.below(2)];
    } else if (choice < 61) {
        event.kind = choice == 59 ? EventKind::quality_result : EventKind::nonconformance;
        event.material = materials_[order.material];
        event.lot = order.lot;
        event.quantity = kMillionths;
        event.unit = "pc";
        event.reason = "inspection";
    } else {
        event.kind = choice == 61   ? EventKind::order_released
                     : choice == 62 ? EventKind::shipment_ready
                                    : EventKind::revision_released;
        event.material = materials_[order.material];
    }
}

void PlantSimulator::State::plain(PlantEvent& event, bool is_telemetry) {
    event.plant_index = random_.below(plants_.size());
    Plant& plant = plants_[event.plant_index];
    event.plant = plant.name;
    if (is_telemetry) {
        telemetry(event, plant);
    } else {
        business(event, plant);
    }
}

bool PlantSimulator::State::tell_log(PlantEvent& event) {
    if (log_next_ >= log_.size()) return false;
    const MesActivity& activity = log_[log_next_];
    const Timestamp time = start_ + std::llround(static_cast<double>(activity.end_seconds) * log_scale_);
    if (time > event.event_time) return false;
    ++log_next_;
    event.event_time = time;
    event.kind = EventKind::machine_time;
    event.plant_index = 0;
    event.plant = plants_[0].name;
    event.area = log_area_;
    event.order_id = ShortText(activity.order);
    event.work_center = activity.resource;
    event.operation = activity.activity;
    event.quantity = activity.worked_seconds * kMillionths;
    event.unit = "s";
    return true;
}

void PlantSimulator::State::remember(const PlantEvent& event) {
    if (remembered_.size() < kRemembered) {
        remembered_.push_back(event);
    } else {
        remembered_[remember_next_++ % kRemembered] = event;
    }
}

void PlantSimulator::State::correct(PlantEvent& event) {
    const PlantEvent& original = remembered_[random_.below(remembered_.size())];
    if (!original.quantity || *original.quantity <= 0 || !original.corrects.empty()) return plain(event, true);
    const Timestamp recorded = event.recorded_time;
    const ShortText id = event.event_id;
    event = original;
    event.event_id = id;
    event.recorded_time = recorded;
    event.corrects = original.event_id;
    event.quantity = random_.below(2) == 0 ? -*original.quantity : -((*original.quantity + 1) / 2);
}

void PlantSimulator::State::invalidate(PlantEvent& event) {
    event.kind = EventKind::produced;
    event.plant_index = 0;
    event.plant = plants_[0].name;
    const Order& order = plants_[0].orders.front();
    event.order_id = order.id;
    event.lot = order.lot;
    event.material = materials_[order.material];
    event.unit = "pc";
    event.quantity = kMillionths;
    switch (random_.below(5)) {
        case 0:
            event.material = "FG-UNKNOWN";
            break;
        case 1:
            event.unit = {};
            break;
        case 2:
            event.event_time = event.recorded_time + kHour;
            break;
        case 3:
            event.quantity = -kMillionths;
            break;
        default:
            event.plant = "P999";
            break;
    }
}

void PlantSimulator::State::damage(EventEncoding encoding, std::size_t from, std::string& bytes) {
    constexpr std::size_t kPrefix = sizeof(std::uint32_t);
    const std::size_t prefix = encoding == EventEncoding::flatbuffers_prefixed ? kPrefix : 0;
    const std::size_t body = from + prefix;
    const std::size_t size = bytes.size() - body;
    switch (damage_random_.below(3)) {
        case 0:
            bytes.resize(body + 1 + damage_random_.below(size / 2));
            break;
        case 1:
            for (std::size_t i = body; i < bytes.size(); ++i)
                bytes[i] = static_cast<char>(128 + damage_random_.below(64));
            break;
        default:
            bytes.replace(body, std::min<std::size_t>(size, 8), "damaged!");
            break;
    }
    if (prefix > 0) {
        const auto fresh = static_cast<std::uint32_t>(bytes.size() - body);
        std::memcpy(bytes.data() + from, &fresh, kPrefix);
    }
}

const PlantEvent& PlantSimulator::State::next(EventEncoding encoding, bool whole, std::string& bytes) {
    PlantEvent& event = event_;
    event = {};
    const Timestamp now = start_ + static_cast<Timestamp>(static_cast<double>(events_) * step_ns_);
    event.event_time = now;
    event.recorded_time = now + random_.between(50 * kMillisecond, 3 * kSecond);
    name(event);
    ++events_;
    const std::size_t from = bytes.size();
    std::size_t special = shares_.find(random_.next() >> 32);
    if (special == kMalformed) {
        ++damage_due_;
        special = kPlain;
    }
    const bool is_telemetry = (random_.next() >> 32) < telemetry_bound_;
    if (special == kDuplicate && !remembered_.empty()) {
        event = remembered_[random_.below(remembered_.size())];
    } else if (special == kCorrection && !remembered_.empty()) {
        correct(event);
    } else if (special == kInvalid) {
        invalidate(event);
    } else if (!tell_log(event)) {
        plain(event, is_telemetry && special != kFiltered);
        if (special == kLate) event.event_time -= random_.between(30 * kMinute, 4 * kHour);
        if (special == kTooLate) event.event_time -= 40 * kHour;
        if (special == kOutOfOrder) event.event_time -= random_.between(0, 4 * kMinute);
        if (special == kFiltered) {
            if (random_.below(2) == 0) {
                event.order_id = ShortText("TEST-").append(random_.below(100));
            } else {
                event.quantity = 0;
            }
        }
    }
    writer_.append(event, encoding, bytes);
    if (event.kind >= EventKind::produced && special != kDuplicate && special != kInvalid) remember(event);
    if (damage_due_ > 0 && !whole) {
        --damage_due_;
        damage(encoding, from, bytes);
    }
    return event;
}

namespace {

std::string instant(Timestamp time) {
    return format_timestamp(time / kSecond * kSecond);
}

Status write_table(const std::string& folder, const std::string& name, const std::string& text) {
    std::ofstream file(folder + "/" + name, std::ios::binary);
    file << text;
    file.close();
    if (!file) return Error{"E530", fmt::format("cannot write {}/{}", folder, name)};
    return {};
}

constexpr std::string_view kAlways = "2000-01-01T00:00:00Z";

}  // namespace

Status PlantSimulator::State::write_master_data(const std::string& folder) const {
    std::error_code failed;
    std::filesystem::create_directories(folder, failed);
    if (failed) return Error{"E530", fmt::format("cannot make {}: {}", folder, failed.message())};
    // Prices of their own, so that the plant's events stay the same whether or not its tables are written.
    Random random(static_cast<std::uint64_t>(options_.seed) ^ 0x6D617374u);
    const auto price = [&](std::int64_t least, std::int64_t greatest, int digits) {
        const std::int64_t cents = random.between(least * 1000, greatest * 1000);
        return fmt::format("{}.{:0{}}", cents / 1000, cents % 1000, digits);
    };

    std::string plants = "plant,time_zone,currency\n";
    std::string shifts = "plant,shift,start,end\n";
    std::string tariffs = "plant,valid_from,price_per_kwh\n";
    std::string work_centers = "work_center,valid_from,plant,cost_center,machine_rate,labor_rate\n";
    for (std::size_t p = 0; p < plants_.size(); ++p) {
        const PlantFacts& facts = plant_facts()[p];
        plants += fmt::format("{},{},{}\n", facts.name, facts.zone, facts.currency);
        for (const auto& [shift, begin, end] : facts.shifts)
            shifts += fmt::format("{},{},{},{}\n", facts.name, shift, begin, end);
        tariffs += fmt::format("{},{},{}\n{},{},{}5\n", facts.name, kAlways, facts.price_per_kwh, facts.name,
                               instant(start_ + 30 * kHour), facts.price_per_kwh);
        for (const std::string& work_center : plants_[p].work_centers) {
            const int cost_center = 4000 + 100 * static_cast<int>(p);
            work_centers += fmt::format("{},{},{},{},{},{}\n", work_center, kAlways, facts.name, cost_center,
                                        price(40, 160, 3), price(25, 60, 3));
            if (random.below(3) == 0)
                work_centers +=
                    fmt::format("{},{},{},{},{},{}\n", work_center, instant(start_ + random.between(4, 44) * kHour),
                                facts.name, cost_center, price(40, 160, 3), price(25, 60, 3));
        }
    }
    std::vector<std::string> resources;
    for (const MesActivity& activity : log_) resources.push_back(activity.resource);
    std::sort(resources.begin(), resources.end());
    resources.erase(std::unique(resources.begin(), resources.end()), resources.end());
    for (const std::string& resource : resources)
        work_centers += fmt::format("{},{},{},4900,{},{}\n", resource, kAlways, plants_[0].name, price(40, 160, 3),
                                    price(25, 60, 3));

    std::string materials = "material,valid_from,category,base_unit,standard_cost\n";
    std::string units =
        "material,unit,numerator,denominator\n*,g,1,1000\n*,t,1000,1\n*,lb,45359237,100000000\n*,dozen,12,1\n";
    for (std::size_t i = 0; i < materials_.size(); ++i) {
        const bool raw = i >= kFinished + kSemi;
        const std::string_view category = raw ? "raw" : i < kFinished ? "finished" : "semi";
        const std::string_view unit = raw ? "kg" : "pc";
        materials += fmt::format("{},{},{},{},{}\n", materials_[i], kAlways, category, unit, price(1, 90, 3));
        if (random.below(2) == 0)
            materials += fmt::format("{},{},{},{},{}\n", materials_[i], instant(start_ + random.between(2, 46) * kHour),
                                     category, unit, price(1, 90, 3));
        if (!raw) units += fmt::format("{},box,{},1\n", materials_[i], random.between(4, 24));
    }

    std::string accounts = "type,category,debit,credit\n";
    constexpr std::array<std::string_view, 3> kCategories = {"raw", "semi", "finished"};
    for (std::size_t c = 0; c < kCategories.size(); ++c) {
        accounts += fmt::format("goods_receipt,{},130{}00,890{}00\n", kCategories[c], c, c);
        accounts += fmt::format("goods_issue,{},400{}00,130{}00\n", kCategories[c], c, c);
        accounts += fmt::format("scrap,{},895{}00,130{}00\n", kCategories[c], c, c);
    }
    accounts += "machine_cost,*,620000,943000\nlabor_cost,*,621000,943100\nenergy_cost,*,605000,943200\n";

    for (const auto& [name, text] :
         {std::pair{"plants.csv", &plants}, std::pair{"shifts.csv", &shifts}, std::pair{"tariffs.csv", &tariffs},
          std::pair{"work_centers.csv", &work_centers}, std::pair{"materials.csv", &materials},
          std::pair{"units.csv", &units}, std::pair{"accounts.csv", &accounts}}) {
        if (Status written = write_table(folder, name, *text); !written.ok()) return written;
    }
    return {};
}

Result<std::unique_ptr<PlantSimulator>> PlantSimulator::make(const PlantOptions& options) {
    const std::optional<Timestamp> start = parse_timestamp(options.start);
    if (!start)
        return Error{"C530", fmt::format("start '{}' is no RFC 3339 time such as 2026-05-11T04:00:00Z", options.start)};
    const double shares = options.duplicates + options.corrections + options.malformed + options.invalid +
                          options.filtered + options.late + options.too_late + options.out_of_order;
    if (shares > 1) return Error{"C530", fmt::format("the shares of the plant add up to {}, more than 1", shares)};
    if (options.plants < 1 || options.plants > static_cast<std::int64_t>(plant_facts().size()) ||
        options.orders < options.plants)
        return Error{"C530",
                     fmt::format("there are 1 to {} plants, and at least one order for each", plant_facts().size())};
    if (options.seed < 0 || !(options.rate > 0) || !(options.acceleration > 0))
        return Error{"C530", "seed, rate and acceleration of the plant must not be negative"};
    std::vector<MesActivity> log;
    if (!options.mes_log.empty()) {
        Result<std::vector<MesActivity>> read = read_mes_log(options.mes_log);
        if (!read.ok()) return read.error();
        log = std::move(read).value();
    }
    return std::unique_ptr<PlantSimulator>(
        new PlantSimulator(std::make_unique<State>(options, *start, std::move(log))));
}

PlantSimulator::PlantSimulator(std::unique_ptr<State> state) : state_(std::move(state)) {}
PlantSimulator::~PlantSimulator() = default;

const PlantEvent& PlantSimulator::next(EventEncoding encoding, bool whole, std::string& bytes) {
    return state_->next(encoding, whole, bytes);
}
Status PlantSimulator::write_master_data(const std::string& folder) const {
    return state_->write_master_data(folder);
}
std::string_view PlantSimulator::subject(const PlantEvent& event) const {
    return state_->subject(event);
}
std::shared_ptr<const void> PlantSimulator::names() const {
    return state_->subjects_;
}
std::uint64_t PlantSimulator::events() const {
    return state_->events_;
}

}  // namespace takt
