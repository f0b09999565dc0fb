// batch_oracle MASTER_DIR WINDOWS EVENTS OUT_DIR [EPOCH_ROWS]
//
// The reference pipeline for large inputs, without any code of takt, without hash tables and windows that open and
// close: judges each record by itself, sorts what is left by (id, place) to find retries, sorts what was accepted by
// its pane, and sums runs of equal panes in 128 bits. EVENTS is a file of FlatBuffers records, WINDOWS what windows.py
// printed. Writes postings.csv (sorted, the net of a pane), dead_letters.csv and outcomes.csv.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <tuple>

#include "tests/oracle/event_record.h"
#include "tests/oracle/master_tables.h"

namespace oracle {
namespace {

__extension__ using Int128 = __int128;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kHour = 3600 * kSecond;
constexpr std::int64_t kYear2000 = 946'684'800 * kSecond;
constexpr std::int64_t kNoWatermark = INT64_MIN / 2;

/// What a posting's pane is named by. Empty texts are no part of its key.
struct Pane {
    std::string_view type, plant, order_id, material, lot, work_center, reason, status, event_id;
    std::int64_t start = 0, end = 0;
    auto key() const {
        return std::tie(type, plant, order_id, material, lot, work_center, reason, status, event_id, start, end);
    }
};

/// A record that the filter kept: which place it had, and what the steps after the deduplication say of it.
struct Candidate {
    std::size_t line = 0;
    std::string_view event_id, kind, order_id, event_unit;
    std::int64_t event_time = 0;
    std::optional<std::int64_t> quantity;
    std::int64_t forgotten_before = 0;
    const char* refusal = nullptr;
    Pane pane;
    Int128 base = 0, amount = 0;  // millionths, 10^-12
    const std::string *posting_date = nullptr, *currency = nullptr;
    std::string_view unit;
    const std::pair<std::string, std::string>* accounts = nullptr;
};

Int128 divide_half_even(Int128 numerator, Int128 denominator) {
    Int128 quotient = numerator / denominator, rest = numerator % denominator;
    if (rest < 0) {
        --quotient;
        rest += denominator;
    }
    return quotient + (2 * rest > denominator || (2 * rest == denominator && quotient % 2 != 0) ? 1 : 0);
}

std::string plain(Int128 value, unsigned decimals) {
    std::string digits;
    for (Int128 rest = value < 0 ? -value : value; rest != 0 || digits.size() <= decimals; rest /= 10) {
        digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(rest % 10)));
    }
    digits.insert(digits.size() - decimals, ".");
    return (value < 0 ? "-" : "") + digits;
}

std::string utc(std::int64_t seconds) {
    const std::time_t time = seconds;
    std::tm parts{};
    gmtime_r(&time, &parts);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

const char* filter_rule(const Event& event) {
    const std::string_view kind = event.kind;
    if (kind == "reading" || kind == "machine_state" || kind == "cycle") return "telemetry";
    if (kind == "order_released" || kind == "order_closed" || kind == "shipment_ready" || kind == "revision_released") {
        return "business_state";
    }
    if (kind == "quality_result" || kind == "nonconformance") return "quality_detail";
    if (event.text[kOrderId].starts_with("TEST-")) return "test_order";
    return event.quantity.value_or(0) == 0 && kind != "lot_status" ? "zero_quantity" : nullptr;
}

/// Steps 5 to 7 for one event; the reason why it is refused, or null with the candidate's pane and sums filled in.
class Judge {
  public:
    explicit Judge(const MasterTables& master) : master_(master) {}

    const char* operator()(const Event& event, std::int64_t watermark, Candidate& candidate) const {
        const auto& text = event.text;
        Pane& pane = candidate.pane;
        const std::string_view kind = event.kind;
        const bool disposal = kind == "lot_status", energy = kind == "energy";
        const bool work = kind == "machine_time" || kind == "labor_time";
        pane.plant = text[kPlant];
        bool complete = !pane.plant.empty();
        const auto take = [&](std::string_view& key, Field field) {
            key = text[field];
            complete = complete && !key.empty();
        };
        if (disposal) {
            pane.type = "lot_status";
            take(pane.material, kMaterial);
            take(pane.lot, kLot);
            take(pane.status, kStatus);
            take(pane.event_id, kEventId);
            complete = complete && (pane.status == "released" || pane.status == "blocked" || pane.status == "rejected");
        } else {
            complete = complete && !text[kUnit].empty();
            if (energy || work) {
                pane.type = energy ? "energy_cost" : kind == "machine_time" ? "machine_cost" : "labor_cost";
                take(pane.work_center, kWorkCenter);
            } else {
                pane.type = kind == "produced" ? "goods_receipt" : kind == "scrapped" ? "scrap" : "goods_issue";
                take(pane.material, kMaterial);
                if (kind == "scrapped") {
                    take(pane.reason, kReason);
                } else {
                    take(pane.lot, kLot);
                }
            }
            if (!energy) take(pane.order_id, kOrderId);
        }
        if (!complete) return "MISSING_FIELD";
        const std::int64_t quantity = event.quantity.value_or(0);
        if (quantity < 0 && text[kCorrects].empty()) return "NEGATIVE_QUANTITY";

        constexpr const char* kMissing = "MISSING_MASTER_DATA";
        const auto plant = master_.plants.find(pane.plant);
        if (plant == master_.plants.end()) return kMissing;
        candidate.currency = &plant->second[2];
        const std::int64_t second = event.event_time / kSecond;
        candidate.unit = text[kUnit];
        if (disposal) {
            if (!master_.materials.at(pane.material, event.event_time)) return kMissing;
            candidate.posting_date = &master_.window(pane.plant, "day", second).posting_date;
            return nullptr;
        }
        std::pair<std::int64_t, std::int64_t> factor = {0, 0};
        std::int64_t price = 0;
        std::string category = "*";
        if (energy || work) {
            const Row* center = master_.work_centers.at(pane.work_center, event.event_time);
            if (!center || (*center)[2] != pane.plant) return kMissing;
            if (energy) {
                const Row* tariff = master_.tariffs.at(pane.plant, event.event_time);
                if (!tariff) return kMissing;
                price = millionths((*tariff)[2]);
                factor = one_of(candidate.unit, {{"kWh", {1, 1}}, {"Wh", {1, 1000}}, {"MJ", {10, 36}}});
                candidate.unit = "kWh";
            } else {
                price = millionths((*center)[kind == "machine_time" ? 4 : 5]);
                factor = one_of(candidate.unit, {{"h", {1, 1}}, {"min", {1, 60}}, {"s", {1, 3600}}});
                candidate.unit = "h";
            }
        } else {
            const Row* item = master_.materials.at(pane.material, event.event_time);
            if (!item) return kMissing;
            category = (*item)[2];
            price = millionths((*item)[4]);
            factor = conversion(std::string(pane.material), std::string(candidate.unit), (*item)[3]);
            candidate.unit = (*item)[3];
        }
        const auto accounts = master_.accounts.find({std::string(pane.type), category});
        if (factor.second == 0 || accounts == master_.accounts.end()) return kMissing;
        candidate.accounts = &accounts->second;

        if (pane.type == "goods_issue") {
            pane.start = second - second % 3600;
            pane.end = pane.start + 3600;
            candidate.posting_date = &master_.window(pane.plant, "day", pane.start).posting_date;
        } else {
            const Window& window = master_.window(pane.plant, energy ? "day" : "shift", second);
            pane.start = window.start;
            pane.end = window.end;
            candidate.posting_date = &window.posting_date;
        }
        if (watermark > pane.end * kSecond + 8 * kHour) return "TOO_LATE";
        candidate.base =
            divide_half_even(Int128{quantity} * factor.first, factor.second) * (kind == "returned" ? -1 : 1);
        candidate.amount = candidate.base * price;
        return nullptr;
    }

  private:
    using Factor = std::pair<std::int64_t, std::int64_t>;

    static Factor one_of(std::string_view unit, std::initializer_list<std::pair<std::string_view, Factor>> units) {
        for (const auto& [name, factor] : units) {
            if (name == unit) return factor;
        }
        return {0, 0};
    }

    Factor conversion(const std::string& material, const std::string& unit, const std::string& base_unit) const {
        if (unit == base_unit) return {1, 1};
        auto found = master_.units.find({material, unit});
        if (found == master_.units.end()) found = master_.units.find({"*", unit});
        return found == master_.units.end() ? Factor{0, 0} : found->second;
    }

    const MasterTables& master_;
};

/// A field of CSV, quoted where it must be.
std::string field(std::string_view text) {
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
    std::string quoted = "\"";
    for (const char c : text) quoted += c == '"' ? std::string(2, c) : std::string(1, c);
    return quoted + '"';
}

class Oracle {
  public:
    Oracle(const MasterTables& master, std::string_view records, std::size_t epoch_rows) : master_(master) {
        judge_all(records, epoch_rows);
        remove_retries();
    }

    void write(const std::string& folder) {
        std::filesystem::create_directories(folder);
        write_postings(folder + "/postings.csv");
        std::sort(dead_letters_.begin(), dead_letters_.end());
        std::ofstream letters(folder + "/dead_letters.csv", std::ios::binary);
        letters << "event_id,line,reason\n";
        for (const auto& [line, id, reason] : dead_letters_)
            letters << field(id) << ',' << line << ',' << reason << '\n';
        std::ofstream outcomes(folder + "/outcomes.csv", std::ios::binary);
        outcomes << "outcome,rule,count\n";
        for (const auto& [outcome, count] : outcomes_)
            outcomes << outcome.first << ',' << outcome.second << ',' << count << '\n';
    }

  private:
    void refuse(std::size_t line, std::string_view id, const char* reason) {
        dead_letters_.emplace_back(line, id, reason);
        ++outcomes_[{"dead_letter", reason}];
    }

    /// Everything that a record and the watermark decide.
    void judge_all(std::string_view records, std::size_t epoch_rows) {
        const Judge judge(master_);
        std::int64_t watermark = kNoWatermark, highest = kNoWatermark;
        std::size_t line = 0, rows = 0;
        while (records.size() >= 4) {
            std::uint32_t size = 0;
            std::memcpy(&size, records.data(), 4);
            if (size > records.size() - 4) fail("the last record is cut off");
            const std::string_view record = records.substr(4, size);
            records.remove_prefix(4 + size);
            ++line;
            if (record.empty()) continue;
            judge_record(judge, record, line, watermark, highest);
            if (++rows % epoch_rows == 0 && highest != kNoWatermark) watermark = highest - 300 * kSecond;
        }
    }

    void judge_record(const Judge& judge, std::string_view record, std::size_t line, std::int64_t watermark,
                      std::int64_t& highest) {
        const std::optional<Event> event = read_event(record);
        if (!event) return refuse(line, "", "DECODE");
        const std::string_view id = event->text[kEventId];
        if (event->recorded_time && Int128{event->event_time} > Int128{*event->recorded_time} + 600 * kSecond) {
            return refuse(line, id, "FUTURE_TIME");
        }
        if (event->event_time < kYear2000) return refuse(line, id, "CLOCK_INVALID");
        highest = std::max(highest, event->event_time);
        if (const char* rule = filter_rule(*event)) {
            ++outcomes_[{"filtered", rule}];
            return;
        }
        const std::int64_t forgotten_before = watermark - 48 * kHour;
        if (event->event_time < forgotten_before) return refuse(line, id, "BEYOND_DEDUP_HORIZON");
        Candidate candidate;
        candidate.line = line;
        candidate.event_id = id;
        candidate.kind = event->kind;
        candidate.order_id = event->text[kOrderId];
        candidate.event_unit = event->text[kUnit];
        candidate.event_time = event->event_time;
        candidate.quantity = event->quantity;
        candidate.forgotten_before = forgotten_before;
        candidate.refusal = judge(*event, watermark, candidate);
        candidates_.push_back(candidate);
    }

    /// Among the candidates of one id, in their order, each is compared with the last that was accepted.
    void remove_retries() {
        std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
            return std::tie(a.event_id, a.line) < std::tie(b.event_id, b.line);
        });
        const auto content = [](const Candidate& candidate) {
            return std::tie(candidate.kind, candidate.event_time, candidate.order_id, candidate.quantity,
                            candidate.event_unit);
        };
        const Candidate* remembered = nullptr;
        for (Candidate& candidate : candidates_) {
            const bool known = remembered && remembered->event_id == candidate.event_id &&
                               remembered->event_time >= candidate.forgotten_before;
            if (known && content(*remembered) == content(candidate)) {
                ++outcomes_[{"duplicate", ""}];
            } else if (known) {
                refuse(candidate.line, candidate.event_id, "ID_CONFLICT");
            } else if (candidate.refusal) {
                refuse(candidate.line, candidate.event_id, candidate.refusal);
            } else {
                remembered = &candidate;
                accepted_.push_back(&candidate);
            }
        }
        if (!accepted_.empty()) outcomes_[{"accepted", ""}] = accepted_.size();
    }

    void write_postings(const std::string& path) {
        std::sort(accepted_.begin(), accepted_.end(), [](const Candidate* a, const Candidate* b) {
            return std::make_tuple(a->pane.key(), a->line) < std::make_tuple(b->pane.key(), b->line);
        });
        std::ofstream file(path, std::ios::binary);
        file << "type,plant,order_id,material,lot,work_center,reason,status,event_id,window_start,window_end,posting_"
                "date,quantity,unit,"
                "amount,currency,debit,credit\n";
        for (std::size_t i = 0; i < accepted_.size();) {
            const Candidate& first = *accepted_[i];
            const Pane& pane = first.pane;
            if (pane.type == "lot_status") {
                const std::string quantity = first.quantity ? plain(*first.quantity, 6) : "";
                write_row(file, first, "", "", quantity, "", "", "", "");
                ++i;
                continue;
            }
            Int128 quantity = 0, amount = 0;
            for (; i < accepted_.size() && accepted_[i]->pane.key() == pane.key(); ++i) {
                quantity += accepted_[i]->base;
                amount += accepted_[i]->amount;
            }
            const Int128 cents = divide_half_even(amount, 10'000'000'000);
            if (quantity == 0 && cents == 0) continue;
            write_row(file, first, utc(pane.start), utc(pane.end), plain(quantity, 6), plain(cents, 2), *first.currency,
                      first.accounts->first, first.accounts->second);
        }
    }

    static void write_row(std::ofstream& file, const Candidate& first, const std::string& start, const std::string& end,
                          const std::string& quantity, const std::string& amount, const std::string& currency,
                          const std::string& debit, const std::string& credit) {
        const Pane& pane = first.pane;
        file << pane.type;
        for (const std::string_view text : {pane.plant, pane.order_id, pane.material, pane.lot, pane.work_center,
                                            pane.reason, pane.status, pane.event_id}) {
            file << ',' << field(text);
        }
        file << ',' << start << ',' << end << ',' << *first.posting_date << ',' << quantity << ',' << field(first.unit)
             << ',' << amount << ',' << field(currency) << ',' << field(debit) << ',' << field(credit) << '\n';
    }

    const MasterTables& master_;
    std::vector<Candidate> candidates_;
    std::vector<const Candidate*> accepted_;
    std::vector<std::tuple<std::size_t, std::string_view, const char*>> dead_letters_;
    std::map<std::pair<std::string, std::string>, std::size_t> outcomes_;
};

std::string_view map_file(const char* path) {
    const int file = open(path, O_RDONLY);
    struct stat status {};
    if (file < 0 || fstat(file, &status) != 0) fail(std::string("cannot read ") + path);
    if (status.st_size == 0) return {};
    const auto size = static_cast<std::size_t>(status.st_size);
    void* bytes = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED) fail(std::string("cannot map ") + path);
    close(file);
    return {static_cast<const char*>(bytes), size};
}

}  // namespace
}  // namespace oracle

int main(int argc, char** argv) {
    if (argc < 5) oracle::fail("usage: batch_oracle MASTER_DIR WINDOWS EVENTS OUT_DIR [EPOCH_ROWS]");
    const oracle::MasterTables master(argv[1], argv[2]);
    const std::size_t epoch_rows = argc > 5 ? static_cast<std::size_t>(oracle::integer(argv[5])) : 1000;
    oracle::Oracle oracle(master, oracle::map_file(argv[3]), epoch_rows);
    oracle.write(argv[4]);
    return 0;
}
