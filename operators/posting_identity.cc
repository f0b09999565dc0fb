#include "operators/posting_identity.h"

#include <fmt/format.h>

#include "pipeline/base/hash.h"

namespace takt {
namespace {

/// Length before text: no two lists of fields have one form.
void add(std::string& form, std::string_view text) {
    const fmt::format_int size(text.size());
    form.append(size.data(), size.size());
    form += ':';
    form += text;
    form += ';';
}
void add(std::string& form, std::int64_t number) {
    const fmt::format_int digits(number);
    form.append(digits.data(), digits.size());
    form += ';';
}

}  // namespace

std::string posting_key(const Posting& posting, std::string_view uid, std::string_view encoded_key,
                        std::uint32_t revision) {
    std::string form;
    add(form, posting.pipeline);
    add(form, uid);
    add(form, encoded_key);
    add(form, posting.window_start.value_or(0));
    add(form, posting.window_end.value_or(0));
    add(form, revision);
    return to_hex(hash128(form));
}

std::string posting_payload_hash(const Posting& posting) {
    std::string form;
    add(form, posting.type);
    add(form, posting.revision);
    add(form, posting.window_start.value_or(0));
    add(form, posting.window_end.value_or(0));
    add(form, posting.posting_date);
    for (const Posting::KeyField& field : posting.key_fields) {
        add(form, field.name);
        add(form, field.value);
    }
    if (posting.has_quantity) {
        add(form, format_decimal(posting.quantity, posting.quantity_scale));
        add(form, format_decimal(posting.quantity_cumulative, posting.quantity_scale));
    }
    add(form, posting.unit);
    if (posting.has_amount) {
        add(form, format_decimal(posting.amount, posting.amount_scale));
        add(form, format_decimal(posting.amount_cumulative, posting.amount_scale));
    }
    add(form, posting.currency);
    for (const PostingLine& line : posting.lines) {
        add(form, line.account);
        add(form, line.cost_center);
        add(form, line.side == Side::debit ? "debit" : "credit");
        add(form, format_decimal(line.amount, posting.amount_scale));
    }
    return to_hex(hash128(form));
}

}  // namespace takt
