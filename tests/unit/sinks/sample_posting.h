#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "pipeline/base/hash.h"
#include "pipeline/plan/posting.h"
#include "pipeline/plan/sink.h"

namespace takt::sample {

/// A folder of its own for each test, gone afterwards.
class Folder {
  public:
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "takt-sink-XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

inline std::string text_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// Goods received for an order: `quantity_units` millionths, `amount_units` cents, one debit and one credit line.
inline Posting goods_receipt(const std::string& name, std::int64_t quantity_units, std::int64_t amount_units) {
    Posting posting;
    posting.key = to_hex(hash128(name));
    posting.payload_hash = to_hex(hash128(fmt::format("{} {} {}", name, quantity_units, amount_units)));
    posting.type = "goods_receipt";
    posting.pipeline = "plant_to_ledger";
    posting.window_start = parse_timestamp("2026-05-12T04:00:00Z");
    posting.window_end = parse_timestamp("2026-05-12T12:00:00Z");
    posting.posting_date = days_from_civil(2026, 5, 12);
    posting.correlation_id = "PO-1";
    posting.key_fields = {{"plant", "P100"}, {"order_id", "PO-1"}, {"material", "FG-PUMP"}, {"lot", ""}};
    posting.quantity = posting.quantity_cumulative = quantity_units;
    posting.unit = "pcs";
    posting.amount = posting.amount_cumulative = amount_units;
    posting.currency = "EUR";
    posting.debit = "130000";
    posting.credit = "895000";
    posting.lines = {{"130000", "", Side::debit, amount_units}, {"895000", "CC-1", Side::credit, amount_units}};
    posting.lineage = {{{"floor", 1, 9}}, 3, hash128("ids")};
    posting.config_hash = "c0ffee";
    posting.epoch = 7;
    return posting;
}

inline DeadLetter dead_letter(std::uint64_t sequence, const std::string& reason, const std::string& bytes = "{}") {
    DeadLetter letter;
    letter.source = "floor";
    letter.sequence = sequence;
    letter.ingest_time = parse_timestamp("2026-05-12T06:00:00Z").value();
    letter.event_id = reason == "DECODE" ? "" : fmt::format("e-{}", sequence);
    letter.reason = reason;
    letter.text = "what, exactly: \"this\"";
    letter.owner = "plant_it";
    letter.step = "complete";
    letter.bytes = bytes;
    return letter;
}

inline Sink::Delivery deliver_one(Sink& sink, const Posting& posting) {
    auto deliveries = sink.deliver(std::span(&posting, 1));
    if (!deliveries.ok()) return {Sink::State::unknown, {}, deliveries.error().text()};
    return deliveries->at(0);
}

}  // namespace takt::sample
