#include "pipeline/plan/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <tuple>
#include <utility>

#include "pipeline/plan/epoch_result.h"

namespace takt {
namespace {

bool comes_before(const ValueSum& a, const ValueSum& b) {
    return std::tie(a.step, a.measure, a.unit) < std::tie(b.step, b.measure, b.unit);
}

bool comes_before(const PostingSum& a, const PostingSum& b) {
    return std::tie(a.type, a.unit, a.currency) < std::tie(b.type, b.unit, b.currency);
}

/// The sum that is like this one, made where it is missing.
template <typename Sum>
Sum& place_of(std::vector<Sum>& sums, const Sum& like) {
    const auto at =
        std::lower_bound(sums.begin(), sums.end(), like, [](const Sum& a, const Sum& b) { return comes_before(a, b); });
    if (at != sums.end() && !comes_before(like, *at)) return *at;
    return *sums.insert(at, like);
}

std::string name_of(std::span<const std::string> names, std::size_t source) {
    return source < names.size() ? names[source] : std::to_string(source + 1);
}

std::string text_of(const EventSum& sum) {
    return fmt::format("{} events, hash {}", sum.count, to_hex(sum.hash));
}

void check_sequences(const EpochResult& epoch, std::span<const std::string> names, std::vector<Imbalance>& found) {
    const AuditTotals& totals = epoch.audit;
    for (std::size_t i = 0; i < epoch.cuts.size() && i < totals.sources.size(); ++i) {
        const Int128 unknown = unknown_sequences(epoch.cuts[i], totals.sources[i]);
        if (unknown == 0) continue;
        const SourceSum& sums = totals.sources[i];
        std::uint64_t holes = 0;
        for (std::size_t kind = 1; kind < kHoleKinds; ++kind) holes += sums.holes[kind];
        found.push_back(
            {Equation::sequence, fmt::format("source {}: cut {} - start {} is not {} received + {} holes; unknown: {}",
                                             name_of(names, i), epoch.cuts[i].last_sequence, sums.holes[0],
                                             sums.received, holes, format_decimal(unknown, 0))});
    }
    if (epoch.cuts.size() != totals.sources.size() && !totals.empty())
        found.push_back({Equation::sequence, "there are other sources than cuts"});
}

void check_classes(const EpochResult& epoch, std::vector<Imbalance>& found) {
    const AuditTotals& totals = epoch.audit;
    EventSum classified;
    for (const EventSum& outcome : totals.outcomes) classified += outcome;
    if (classified != totals.received) {
        found.push_back({Equation::classification, fmt::format("received are {}; by outcome they are {}",
                                                               text_of(totals.received), text_of(classified))});
    }
    const auto number_of = [](const std::vector<std::uint64_t>& outcomes) {
        return std::accumulate(outcomes.begin(), outcomes.end(), std::uint64_t{0});
    };
    if (epoch.rows != number_of(epoch.outcomes) || epoch.pane_rows != number_of(epoch.pane_outcomes)) {
        found.push_back(
            {Equation::classification,
             fmt::format("the epoch has {} events and {} rows of panes; by outcome they are {} and {}", epoch.rows,
                         epoch.pane_rows, number_of(epoch.outcomes), number_of(epoch.pane_outcomes))});
    }
    if (!totals.outcomes.empty() && totals.outcomes[kUndecided].count > 0) {
        found.push_back(
            {Equation::classification, fmt::format("{} events have no outcome", totals.outcomes[kUndecided].count)});
    }
    EventSum ended;
    for (const EventSum& outcome : totals.replays) ended += outcome;
    if (ended != totals.replayed) {
        found.push_back({Equation::classification, fmt::format("sent again are {}; by outcome they are {}",
                                                               text_of(totals.replayed), text_of(ended))});
    }
}

std::string label(const ValueSum& value) {
    return fmt::format("{} {}{}{}", value.step, value.measure, value.unit.empty() ? "" : " in ", value.unit);
}

void check_values(const EpochResult& epoch, std::vector<Imbalance>& found) {
    for (const ValueSum& value : epoch.audit.values) {
        const auto text = [&](Int128 units) { return format_decimal(units, value.scale); };
        if (value.posts) {
            const Int128 posted = posted_of(epoch.audit, value);
            if (wrapping_add(posted, value.rounding) != value.settled) {
                found.push_back({Equation::value,
                                 fmt::format("{}: panes held {} when they were posted, but posted "
                                             "are {} and rounding left out {}",
                                             label(value), text(value.settled), text(posted), text(value.rounding))});
            }
        }
        if (epoch.cut.flush && open_of(value) != 0) {
            found.push_back({Equation::value, fmt::format("{}: events brought {}, and at the end, with no window open, "
                                                          "panes have told {}, and {} were dropped",
                                                          label(value), text(value.contributed), text(value.settled),
                                                          text(value.dropped))});
        }
    }
}

std::string wrong_revision(const Posting& posting, std::string_view what) {
    return fmt::format("posting {} ({}, revision {}): {}", posting.key, posting.type, posting.revision, what);
}

/// Whether a difference takes a pane from what it was to what it is now.
std::string sum_mistake(const Posting& posting, Int128 quantity_before, Int128 amount_before) {
    if (posting.has_quantity && wrapping_add(quantity_before, posting.quantity) != posting.quantity_cumulative)
        return wrong_revision(posting, "its quantity and those before it are not the cumulative one");
    if (posting.has_amount && wrapping_add(amount_before, posting.amount) != posting.amount_cumulative)
        return wrong_revision(posting, "its amount and those before it are not the cumulative one");
    return {};
}

void check_documents(const EpochResult& epoch, std::vector<Imbalance>& found) {
    for (const Posting& posting : epoch.postings) {
        Int128 debit = 0;
        Int128 credit = 0;
        for (const PostingLine& line : posting.lines) {
            Int128& side = line.side == Side::debit ? debit : credit;
            side = wrapping_add(side, line.amount);
        }
        if (debit != credit) {
            found.push_back(
                {Equation::double_entry, fmt::format("posting {} ({}): debit {} is not credit {}", posting.key,
                                                     posting.type, format_decimal(debit, posting.amount_scale),
                                                     format_decimal(credit, posting.amount_scale))});
        }
        if (const std::string mistake = revision_mistake(posting); !mistake.empty())
            found.push_back({Equation::posting, mistake});
    }
    for (const PostingSum& sum : epoch.audit.postings) {
        if (sum.debit == sum.credit) continue;
        found.push_back({Equation::double_entry, fmt::format("{} in {}: debit {} is not credit {}", sum.type,
                                                             sum.currency, format_decimal(sum.debit, sum.amount_scale),
                                                             format_decimal(sum.credit, sum.amount_scale))});
    }
}

Hash128 minus(const Hash128& a, const Hash128& b) {
    return {a.low - b.low, a.high - b.high - (a.low < b.low ? 1 : 0)};
}

std::string text_of(const PostingSum& sum) {
    return fmt::format("{} postings, quantity {}, amount {}, hash {}", sum.count,
                       format_decimal(sum.quantity, sum.quantity_scale), format_decimal(sum.amount, sum.amount_scale),
                       to_hex(sum.hash));
}

/// Postings of the epoch against what its totals have grown by.
void compare_postings(const AuditTotals& before, const EpochResult& epoch, std::vector<Imbalance>& found) {
    AuditTotals expected;
    expected.postings = before.postings;
    for (const Posting& posting : epoch.postings) expected.add(posting);
    const std::vector<PostingSum>& told = epoch.audit.postings;
    for (const PostingSum& sum : told) {
        PostingSum& from_frames = place_of(expected.postings, PostingSum{.type = sum.type,
                                                                         .unit = sum.unit,
                                                                         .currency = sum.currency,
                                                                         .quantity_scale = sum.quantity_scale,
                                                                         .amount_scale = sum.amount_scale});
        if (from_frames == sum) continue;
        found.push_back(
            {Equation::posting, fmt::format("epoch {}: generated are {}, but with its postings they are {} ({})",
                                            epoch.epoch, text_of(sum), text_of(from_frames), sum.type)});
    }
    if (found.empty() && expected.postings != told)
        found.push_back(
            {Equation::posting, fmt::format("epoch {} has postings that its totals do not know", epoch.epoch)});
}

}  // namespace

Hash128 posting_hash(std::string_view key, std::string_view payload_hash) {
    std::array<char, 64> both;  // what both take, unless somebody else made them
    if (key.size() + payload_hash.size() > both.size()) return hash128(std::string(key).append(payload_hash));
    key.copy(both.data(), key.size());
    payload_hash.copy(both.data() + key.size(), payload_hash.size());
    return hash128({both.data(), key.size() + payload_hash.size()});
}

Int128 wrapping_rescale(Int128 units, int from_scale, int to_scale) {
    CHECK(to_scale >= from_scale);
    return static_cast<Int128>(static_cast<UInt128>(units) * static_cast<UInt128>(power_of_ten(to_scale - from_scale)));
}

void PostingSum::add(const Posting& posting) {
    ++count;
    if (posting.has_quantity) quantity = wrapping_add(quantity, posting.quantity);
    if (posting.has_amount) amount = wrapping_add(amount, posting.amount);
    for (const PostingLine& line : posting.lines) {
        Int128& side = line.side == Side::debit ? debit : credit;
        side = wrapping_add(side, line.amount);
    }
    hash += posting_hash(posting.key, posting.payload_hash);
}

PostingSum& PostingSum::operator+=(const PostingSum& more) {
    count += more.count;
    quantity = wrapping_add(quantity, more.quantity);
    amount = wrapping_add(amount, more.amount);
    debit = wrapping_add(debit, more.debit);
    credit = wrapping_add(credit, more.credit);
    hash += more.hash;
    return *this;
}

void AuditTotals::add(const ValueSum& more) {
    ValueSum like = more;
    like.contributed = like.settled = like.rounding = like.dropped = 0;
    ValueSum& sum = place_of(values, like);
    sum.contributed = wrapping_add(sum.contributed, more.contributed);
    sum.settled = wrapping_add(sum.settled, more.settled);
    sum.rounding = wrapping_add(sum.rounding, more.rounding);
    sum.dropped = wrapping_add(sum.dropped, more.dropped);
}

void AuditTotals::add(const Posting& posting) {
    // A posting without a quantity has no unit that counts, and the same of amounts.
    const std::tuple<std::string_view, std::string_view, std::string_view> wanted = {
        posting.type, posting.has_quantity ? posting.unit : std::string_view(),
        posting.has_amount ? posting.currency : std::string_view()};
    const auto place = [](const PostingSum& sum) {
        return std::tuple<std::string_view, std::string_view, std::string_view>(sum.type, sum.unit, sum.currency);
    };
    auto at = std::lower_bound(postings.begin(), postings.end(), wanted,
                               [&](const PostingSum& sum, const auto& other) { return place(sum) < other; });
    if (at == postings.end() || place(*at) != wanted) {
        at = postings.insert(at, PostingSum{});
        at->type = posting.type;
        at->unit = std::get<1>(wanted);
        at->currency = std::get<2>(wanted);
        at->quantity_scale = posting.quantity_scale;
        at->amount_scale = posting.amount_scale;
    }
    at->add(posting);
}

bool AuditTotals::empty() const {
    return *this == AuditTotals{};
}

Int128 posted_of(const AuditTotals& totals, const ValueSum& value) {
    Int128 posted = 0;
    for (const PostingSum& postings : totals.postings) {
        if (postings.type != value.step) continue;
        if (value.measure == "quantity" && postings.unit == value.unit) {
            posted = wrapping_add(posted, wrapping_rescale(postings.quantity, postings.quantity_scale, value.scale));
        } else if (value.measure == "amount" && postings.currency == value.unit) {
            posted = wrapping_add(posted, wrapping_rescale(postings.amount, postings.amount_scale, value.scale));
        }
    }
    return posted;
}

std::string_view to_string(HoleKind kind) {
    switch (kind) {
        case HoleKind::before_start:
            return "before_start";
        case HoleKind::filtered:
            return "filtered";
        case HoleKind::deleted:
            return "deleted";
        case HoleKind::lost:
            return "lost";
    }
    return "";
}

std::string_view to_string(Equation equation) {
    switch (equation) {
        case Equation::sequence:
            return "sequence";
        case Equation::classification:
            return "classification";
        case Equation::value:
            return "value";
        case Equation::posting:
            return "posting";
        case Equation::sink:
            return "sink";
        case Equation::double_entry:
            return "double entry";
    }
    return "";
}

Int128 unknown_sequences(const SourceCut& cut, const SourceSum& sums) {
    Int128 known = sums.received;
    for (const std::uint64_t holes : sums.holes) known += holes;
    return static_cast<Int128>(cut.last_sequence) - known;
}

std::string revision_mistake(const Posting& posting) {
    if ((posting.revision == 1) != posting.previous_key.empty())
        return wrong_revision(posting, "only a first revision has none before it");
    return posting.revision == 1 ? sum_mistake(posting, 0, 0) : std::string();
}

std::string RevisionChains::follow(const Posting& posting) {
    std::string mistake = revision_mistake(posting);
    const auto before = posting.revision > 1 ? last_.find(hash128(posting.previous_key)) : last_.end();
    if (before != last_.end()) {
        if (mistake.empty() && before->second.revision + 1 != posting.revision)
            mistake = wrong_revision(posting, fmt::format("it follows revision {}", before->second.revision));
        if (mistake.empty())
            mistake = sum_mistake(posting, before->second.quantity_cumulative, before->second.amount_cumulative);
        last_.erase(before);
    } else if (mistake.empty() && posting.revision > 1 && from_the_first_) {
        mistake = wrong_revision(posting, fmt::format("the one before it, {}, is not there, or another one follows it",
                                                      posting.previous_key));
    }
    const Last now = {posting.revision, posting.quantity_cumulative, posting.amount_cumulative};
    if (!last_.emplace(hash128(posting.key), now).second && mistake.empty())
        mistake = wrong_revision(posting, "it is there twice");
    return mistake;
}

std::vector<Imbalance> find_imbalances(const EpochResult& epoch, std::span<const std::string> source_names) {
    std::vector<Imbalance> found;
    check_sequences(epoch, source_names, found);
    check_classes(epoch, found);
    check_values(epoch, found);
    check_documents(epoch, found);
    return found;
}

Int128 open_of(const ValueSum& value) {
    if (!value.adds_up) return 0;
    return wrapping_subtract(value.contributed, wrapping_add(value.settled, value.dropped));
}

std::vector<Imbalance> find_open_imbalances(const AuditTotals& totals, std::span<const ValueSum> open) {
    AuditTotals told;
    told.values = totals.values;
    for (ValueSum& value : told.values) {
        value.contributed = value.rounding = 0;
        value.settled = wrapping_add(value.settled, std::exchange(value.dropped, 0));
    }
    for (const ValueSum& value : open) {
        ValueSum held = value;
        held.settled = std::exchange(held.contributed, 0);
        told.add(held);
    }
    std::vector<Imbalance> found;
    for (const ValueSum& value : told.values) {
        if (!value.adds_up) continue;
        // `told` has more values than `totals` where a pane holds what no row has brought.
        const auto brought = std::find_if(totals.values.begin(), totals.values.end(), [&](const ValueSum& one) {
            return !comes_before(one, value) && !comes_before(value, one);
        });
        const Int128 contributed = brought == totals.values.end() ? 0 : brought->contributed;
        if (contributed == value.settled) continue;
        found.push_back({Equation::value, fmt::format("{}: events brought {}, panes hold or have told {}", label(value),
                                                      format_decimal(contributed, value.scale),
                                                      format_decimal(value.settled, value.scale))});
    }
    return found;
}

std::vector<Imbalance> find_gaps(const AuditTotals& before, const EpochResult& epoch,
                                 std::span<const std::string> source_names, const std::vector<bool>& is_dead_letter) {
    std::vector<Imbalance> found;
    const AuditTotals& after = epoch.audit;
    EventSum dead;
    for (std::size_t code = 0; code < after.outcomes.size(); ++code) {
        const EventSum earlier = code < before.outcomes.size() ? before.outcomes[code] : EventSum{};
        const std::uint64_t grown = after.outcomes[code].count - earlier.count;
        const std::uint64_t told = code < epoch.outcomes.size() ? epoch.outcomes[code] : 0;
        if (grown != told) {
            found.push_back(
                {Equation::classification, fmt::format("epoch {}: outcome {} grew by {}, but it has {} such events",
                                                       epoch.epoch, code, grown, told)});
        }
        if (code < is_dead_letter.size() && is_dead_letter[code]) {
            dead.count += grown;
            dead.hash += minus(after.outcomes[code].hash, earlier.hash);
        }
    }
    EventSum refused_again;
    for (std::size_t code = 0; code < after.replays.size(); ++code) {
        const EventSum earlier = code < before.replays.size() ? before.replays[code] : EventSum{};
        const std::uint64_t grown = after.replays[code].count - earlier.count;
        const auto told = static_cast<std::uint64_t>(
            std::count(epoch.replay_outcomes.begin(), epoch.replay_outcomes.end(), static_cast<OutcomeCode>(code)));
        if (grown != told) {
            found.push_back({Equation::classification,
                             fmt::format("epoch {}: of those that were sent again outcome {} grew by {}, but it has {}",
                                         epoch.epoch, code, grown, told)});
        }
        if (code < is_dead_letter.size() && is_dead_letter[code]) {
            refused_again.count += grown;
            refused_again.hash += minus(after.replays[code].hash, earlier.hash);
        }
    }
    EventSum letters;
    EventSum letters_again;
    for (const DeadLetter& letter : epoch.dead_letters) {
        // Rows of panes have letters too, and are no events of a source.
        if (std::find(source_names.begin(), source_names.end(), letter.source) == source_names.end()) continue;
        (letter.replay == 0 ? letters : letters_again)
            .add(event_hash(source_seed(letter.source), letter.sequence, letter.part));
    }
    for (const auto& [what, counted, kept] : {std::tuple{"dead-lettered", &dead, &letters},
                                              std::tuple{"dead-lettered again", &refused_again, &letters_again}}) {
        if (*counted == *kept) continue;
        found.push_back({Equation::classification, fmt::format("epoch {}: {} were {}, its dead letters are {}",
                                                               epoch.epoch, what, text_of(*counted), text_of(*kept))});
    }
    compare_postings(before, epoch, found);
    return found;
}

void save_values(std::span<const ValueSum> values, ByteWriter& out) {
    out.put<std::uint64_t>(values.size());
    for (const ValueSum& value : values) {
        out.put_text(value.step);
        out.put_text(value.measure);
        out.put_text(value.unit);
        out.put(value.scale);
        out.put<std::uint8_t>(value.posts ? 1 : 0);
        out.put<std::uint8_t>(value.adds_up ? 1 : 0);
        out.put(value.contributed);
        out.put(value.settled);
        out.put(value.rounding);
        out.put(value.dropped);
    }
}

void load_values(std::vector<ValueSum>& values, ByteReader& in) {
    values.resize(in.get_count(4 * sizeof(Int128)));
    for (ValueSum& value : values) {
        value.step = in.get_text();
        value.measure = in.get_text();
        value.unit = in.get_text();
        value.scale = in.get<std::int32_t>();
        value.posts = in.get<std::uint8_t>() != 0;
        value.adds_up = in.get<std::uint8_t>() != 0;
        value.contributed = in.get<Int128>();
        value.settled = in.get<Int128>();
        value.rounding = in.get<Int128>();
        value.dropped = in.get<Int128>();
    }
}

void save_totals(const AuditTotals& totals, ByteWriter& out) {
    const auto put_events = [&](const EventSum& sum) {
        out.put(sum.count);
        out.put(sum.hash.low);
        out.put(sum.hash.high);
    };
    put_events(totals.received);
    out.put<std::uint64_t>(totals.outcomes.size());
    for (const EventSum& outcome : totals.outcomes) put_events(outcome);
    put_events(totals.replayed);
    out.put<std::uint64_t>(totals.replays.size());
    for (const EventSum& outcome : totals.replays) put_events(outcome);
    out.put<std::uint64_t>(totals.sources.size());
    for (const SourceSum& source : totals.sources) {
        out.put(source.received);
        for (const std::uint64_t holes : source.holes) out.put(holes);
    }
    save_values(totals.values, out);
    out.put<std::uint64_t>(totals.postings.size());
    for (const PostingSum& sum : totals.postings) {
        out.put_text(sum.type);
        out.put_text(sum.unit);
        out.put_text(sum.currency);
        out.put(sum.quantity_scale);
        out.put(sum.amount_scale);
        out.put(sum.count);
        for (const Int128 units : {sum.quantity, sum.amount, sum.debit, sum.credit}) out.put(units);
        out.put(sum.hash.low);
        out.put(sum.hash.high);
    }
}

bool load_totals(AuditTotals& totals, ByteReader& in) {
    const auto get_hash = [&](Hash128& hash) {
        hash.low = in.get<std::uint64_t>();
        hash.high = in.get<std::uint64_t>();
    };
    const auto get_events = [&](EventSum& sum) {
        sum.count = in.get<std::uint64_t>();
        get_hash(sum.hash);
    };
    get_events(totals.received);
    totals.outcomes.resize(in.get_count(3 * sizeof(std::uint64_t)));
    for (EventSum& outcome : totals.outcomes) get_events(outcome);
    get_events(totals.replayed);
    totals.replays.resize(in.get_count(3 * sizeof(std::uint64_t)));
    for (EventSum& outcome : totals.replays) get_events(outcome);
    totals.sources.resize(in.get_count((1 + kHoleKinds) * sizeof(std::uint64_t)));
    for (SourceSum& source : totals.sources) {
        source.received = in.get<std::uint64_t>();
        for (std::uint64_t& holes : source.holes) holes = in.get<std::uint64_t>();
    }
    load_values(totals.values, in);
    totals.postings.resize(in.get_count(4 * sizeof(Int128)));
    for (PostingSum& sum : totals.postings) {
        sum.type = in.get_text();
        sum.unit = in.get_text();
        sum.currency = in.get_text();
        sum.quantity_scale = in.get<std::int32_t>();
        sum.amount_scale = in.get<std::int32_t>();
        sum.count = in.get<std::uint64_t>();
        for (Int128* units : {&sum.quantity, &sum.amount, &sum.debit, &sum.credit}) *units = in.get<Int128>();
        get_hash(sum.hash);
    }
    return in.ok();
}

}  // namespace takt
