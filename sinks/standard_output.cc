#include "sinks/standard_output.h"

#include <cerrno>
#include <cstring>

#include "pipeline/base/decimal.h"
#include "sinks/posting_json.h"

namespace takt {
namespace {

constexpr const char* kTableLine = "{:<10}  {:<14} {:>3}  {:<44} {:>16} {:<4} {:>14} {:<3}  {:>8} {:>8}\n";

std::string table_line(const Posting& posting) {
    std::string key;
    for (const Posting::KeyField& field : posting.key_fields) {
        if (field.value.empty()) continue;
        if (!key.empty()) key += ' ';
        key += field.value;
    }
    const std::string quantity = posting.has_quantity ? format_decimal(posting.quantity, posting.quantity_scale) : "";
    const std::string amount = posting.has_amount ? format_decimal(posting.amount, posting.amount_scale) : "";
    std::string line = fmt::format(kTableLine, format_date(posting.posting_date), posting.type, posting.revision, key,
                                   quantity, posting.unit, amount, posting.currency, posting.debit, posting.credit);
    // Texts of events may hold what moves a terminal's cursor.
    for (char& c : line)
        if ((static_cast<unsigned char>(c) < 0x20 && &c != &line.back()) || c == 0x7F) c = '?';
    line.erase(line.find_last_not_of(" \n") + 1);
    return line + '\n';
}

}  // namespace

OptionTable<StandardOutputSink::Options> StandardOutputSink::options() {
    OptionTable<Options> table;
    table.optional("format", &Options::format, "JSON lines, or a table for people")
        .one_of({{"json", Format::json}, {"table", Format::table}});
    table.optional("dead_letters", &Options::dead_letters, "print dead letters too, as JSON lines");
    table.optional("max_keys", &Options::max_keys, "postings that may be printed in a run; each costs about 60 bytes")
        .from(1);
    table.short_form("format");
    return table;
}

StandardOutputSink::StandardOutputSink(Options options, std::FILE* output)
    : options_(options), output_(output), delivered_(static_cast<std::size_t>(options.max_keys)) {}

Result<std::vector<Sink::Delivery>> StandardOutputSink::deliver(std::span<const Posting> postings) {
    if (Status status = delivered_.room_for(postings.size()); !status.ok()) return status.error();
    std::vector<Delivery> deliveries;
    std::vector<std::string_view> added;
    std::string text;
    if (options_.format == Format::table && !header_printed_)
        text =
            fmt::format(kTableLine, "date", "type", "rev", "for", "quantity", "unit", "amount", "", "debit", "credit");
    for (const Posting& posting : postings) {
        if (const auto answer = delivered_.answer(posting.key, posting.payload_hash)) {
            deliveries.push_back(*answer);
            continue;
        }
        text += options_.format == Format::json ? posting_json(posting) + '\n' : table_line(posting);
        delivered_.add(posting.key, posting.payload_hash);
        added.push_back(posting.key);
        deliveries.push_back({State::accepted, {}, {}});
    }
    if (Status status = write(text); !status.ok()) {
        for (const std::string_view key : added) delivered_.remove(key);
        return status.error();
    }
    header_printed_ = true;
    return deliveries;
}

Status StandardOutputSink::keep(std::span<const DeadLetter> dead_letters) {
    if (!options_.dead_letters) return {};
    std::string text;
    for (const DeadLetter& letter : dead_letters) text += dead_letter_json(letter) + '\n';
    return write(text);
}

Status StandardOutputSink::finish() {
    return write({});
}

Status StandardOutputSink::write(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), output_) == text.size() && std::fflush(output_) == 0) return {};
    const Error error{"E632", fmt::format("cannot write to standard output: {}", std::strerror(errno))};
    std::clearerr(output_);
    return error;
}

}  // namespace takt
