#include "pipeline/plan/audit.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "pipeline/plan/epoch_result.h"

namespace takt {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const std::vector<std::string> kSources = {"floor"};

Posting posting_of(const std::string& pane, std::uint32_t revision, Int128 amount, Int128 cumulative) {
    Posting posting;
    posting.type = "costs";
    posting.key = fmt::format("{}-{}", pane, revision);
    if (revision > 1) posting.previous_key = fmt::format("{}-{}", pane, revision - 1);
    posting.payload_hash = fmt::format("payload of {}", posting.key);
    posting.revision = revision;
    posting.has_quantity = false;
    posting.amount = amount;
    posting.amount_cumulative = cumulative;
    posting.currency = "EUR";
    posting.lines = {{"1", "", Side::debit, amount}, {"2", "", Side::credit, amount}};
    return posting;
}

DeadLetter dead_letter(const std::string& source, std::uint64_t sequence) {
    DeadLetter letter;
    letter.source = source;
    letter.sequence = sequence;
    letter.reason = "DECODE";
    return letter;
}

/// Three events of which two were accepted and one was dead-lettered; they cost 12.505, of which 12.50 is posted.
EpochResult good_epoch() {
    EpochResult epoch;
    epoch.epoch = 1;
    epoch.cuts = {{.last_sequence = 5}};
    epoch.rows = 3;
    epoch.outcomes = {0, 1, 2};
    AuditTotals& totals = epoch.audit;
    totals.sources.resize(1);
    totals.sources[0].received = 3;
    totals.sources[0].holes = {1, 0, 1, 0};
    totals.outcomes.resize(3);
    for (const std::uint64_t sequence : {2, 4, 5}) {
        const Hash128 event = event_hash(source_seed("floor"), sequence, 0);
        totals.received.add(event);
        totals.outcomes[sequence == 4 ? kMalformed : 2].add(event);
    }
    epoch.dead_letters = {dead_letter("floor", 4)};
    for (const Posting& posting : {posting_of("a", 1, 1000, 1000), posting_of("b", 1, 250, 250)}) {
        epoch.postings.push_back(posting);
        totals.add(posting);
    }
    totals.add({.step = "costs",
                .measure = "amount",
                .unit = "EUR",
                .scale = 3,
                .posts = true,
                .adds_up = true,
                .contributed = 12505,
                .settled = 12505,
                .rounding = 5});
    return epoch;
}

std::string broken(const EpochResult& epoch) {
    std::string text;
    for (const Imbalance& one : find_imbalances(epoch, kSources))
        text += fmt::format("{} ", static_cast<int>(one.equation));
    return text;
}

std::string gaps(const AuditTotals& before, const EpochResult& epoch) {
    std::string text;
    for (const Imbalance& one : find_gaps(before, epoch, kSources, {false, true, false}))
        text += fmt::format("{} ", static_cast<int>(one.equation));
    return text;
}

TEST(Audit, AGoodEpochBalances) {
    EpochResult epoch = good_epoch();
    EXPECT_EQ(broken(epoch), "");
    EXPECT_EQ(gaps({}, epoch), "");
    epoch.cut.flush = true;
    EXPECT_EQ(broken(epoch), "") << "with no window open, nothing is held back";
}

TEST(Audit, EachMistakeBreaksItsEquation) {
    const std::vector<std::pair<std::string, std::function<void(EpochResult&)>>> mistakes = {
        {"1 ", [](EpochResult& e) { ++e.cuts[0].last_sequence; }},
        {"1 ", [](EpochResult& e) { --e.audit.sources[0].received; }},
        {"1 ", [](EpochResult& e) { ++e.audit.sources[0].holes[3]; }},
        {"2 ", [](EpochResult& e) { --e.audit.outcomes[2].count; }},
        {"2 ", [](EpochResult& e) { ++e.audit.outcomes[2].hash.high; }},
        {"2 ", [](EpochResult& e) { ++e.rows; }},
        {"2 ", [](EpochResult& e) { ++e.pane_rows; }},
        {"2 ",
         [](EpochResult& e) {
             e.audit.outcomes[0].add({1, 2});
             e.audit.received.add({1, 2});
         }},
        {"2 ",
         [](EpochResult& e) {
             e.audit.replayed.add({1, 2});
         }},
        {"2 ",
         [](EpochResult& e) {
             e.audit.replays = {{1, {1, 2}}};
         }},
        {"3 ", [](EpochResult& e) { ++e.audit.values[0].rounding; }},
        {"3 ",
         [](EpochResult& e) {
             ++e.audit.values[0].dropped;
             e.cut.flush = true;
         }},
        {"3 ", [](EpochResult& e) { ++e.audit.values[0].settled; }},
        {"3 ",
         [](EpochResult& e) {
             ++e.audit.values[0].contributed;
             e.cut.flush = true;
         }},
        {"3 ", [](EpochResult& e) { ++e.audit.postings[0].amount; }},
        {"4 ", [](EpochResult& e) { e.postings[1].previous_key = "x"; }},
        {"4 ", [](EpochResult& e) { e.postings[1].revision = 2; }},
        {"4 ", [](EpochResult& e) { ++e.postings[1].amount_cumulative; }},
        {"6 ", [](EpochResult& e) { ++e.postings[0].lines[1].amount; }},
        {"6 ", [](EpochResult& e) { e.postings[0].lines.pop_back(); }},
        {"6 ", [](EpochResult& e) { ++e.audit.postings[0].debit; }}};
    for (std::size_t i = 0; i < mistakes.size(); ++i) {
        EpochResult epoch = good_epoch();
        mistakes[i].second(epoch);
        EXPECT_EQ(broken(epoch), mistakes[i].first) << "mistake " << i;
    }
}

TEST(Audit, WhatStandsInAnEpochIsWhatItsTotalsGrewBy) {
    const AuditTotals before = good_epoch().audit;
    EpochResult next = good_epoch();
    next.epoch = 2;
    next.postings = {posting_of("a", 2, 7, 1007)};
    next.audit.add(next.postings[0]);
    next.dead_letters.clear();
    next.outcomes = {0, 0, 1};
    next.audit.outcomes[2].add({1, 1});
    EXPECT_EQ(gaps(before, next), "");
    EpochResult lost = next;
    lost.postings.clear();
    EXPECT_EQ(gaps(before, lost), "4 ");
    // Another one with the same amount in its place: only the hash tells.
    EpochResult swapped = next;
    swapped.postings = {posting_of("b", 2, 7, 257)};
    EXPECT_EQ(gaps(before, swapped), "4 ");
    EpochResult more = next;
    more.postings.push_back(posting_of("c", 1, 0, 0));
    more.postings.back().type = "scrap";
    EXPECT_EQ(gaps(before, more), "4 ");
    EpochResult counted = next;
    ++counted.outcomes[2];
    EXPECT_EQ(gaps(before, counted), "2 ");
    EpochResult letter = good_epoch();
    letter.dead_letters[0].sequence = 2;
    EXPECT_EQ(gaps({}, letter), "2 ") << "as many dead letters, and another one";
    letter.dead_letters[0] = good_epoch().dead_letters[0];
    letter.dead_letters.push_back(dead_letter("shifts", 1));
    EXPECT_EQ(gaps({}, letter), "") << "a row of a pane is no event";
}

TEST(Audit, WhatIsSentAgainHasItsOwnSums) {
    EpochResult again;
    again.epoch = 2;
    again.audit = good_epoch().audit;
    again.cut.replays.resize(2);
    again.replay_outcomes = {kMalformed, 2};
    again.audit.replays.resize(3);
    for (const std::uint64_t sequence : {4, 7}) {
        const Hash128 event = event_hash(source_seed("floor"), sequence, 0);
        again.audit.replayed.add(event);
        again.audit.replays[sequence == 4 ? kMalformed : 2].add(event);
    }
    again.dead_letters = {dead_letter("floor", 4)};
    again.dead_letters[0].replay = 1;
    const AuditTotals before = good_epoch().audit;
    EXPECT_EQ(gaps(before, again), "");
    EpochResult other = again;
    other.dead_letters[0].sequence = 7;
    EXPECT_EQ(gaps(before, other), "2 ");
    other = again;
    other.replay_outcomes.pop_back();
    EXPECT_EQ(gaps(before, other), "2 ");
}

TEST(Audit, PanesAreLookedAtOneByOne) {
    AuditTotals totals = good_epoch().audit;
    totals.values[0].contributed += 100;
    ValueSum open = totals.values[0];
    open.settled = open.rounding = 0;
    open.contributed = 60;
    EXPECT_EQ(find_open_imbalances(totals, std::vector<ValueSum>{open}).size(), 1u);
    std::vector<ValueSum> whole = {open, open};
    whole[1].contributed = 40;
    EXPECT_THAT(find_open_imbalances(totals, whole), IsEmpty());
    ValueSum stranger = open;
    stranger.unit = "USD";
    AuditTotals dropped = totals;
    dropped.values[0].dropped = 100;
    EXPECT_EQ(open_of(dropped.values[0]), 0);
    EXPECT_THAT(find_open_imbalances(dropped, {}), IsEmpty());
    EXPECT_EQ(find_open_imbalances(dropped, whole).size(), 1u);
    whole.push_back(stranger);
    const auto found = find_open_imbalances(totals, whole);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_THAT(found[0].text, HasSubstr("in USD: events brought 0.000, panes hold or have told 0.060"));
}

TEST(Audit, RevisionsFollowEachOther) {
    const auto follow = [](std::vector<Posting> postings, bool from_the_first = true) {
        RevisionChains chains(from_the_first);
        std::string mistakes;
        for (const Posting& posting : postings) mistakes += chains.follow(posting);
        return mistakes;
    };
    const Posting a1 = posting_of("a", 1, 10, 10);
    const Posting a2 = posting_of("a", 2, -3, 7);
    const Posting a3 = posting_of("a", 3, 5, 12);
    EXPECT_EQ(follow({a1, posting_of("b", 1, 1, 1), a2, a3}), "");
    EXPECT_THAT(follow({a1, a3}), HasSubstr("the one before it, a-2, is not there"));
    EXPECT_EQ(follow({a2, a3}, false), "") << "older ones are not kept";
    EXPECT_THAT(follow({a2, a3}), HasSubstr("is not there"));
    EXPECT_THAT(follow({a1, a2, a2}), HasSubstr("another one follows it"));
    EXPECT_THAT(follow({a1, a1}), HasSubstr("twice"));
    EXPECT_THAT(follow({a1, posting_of("a", 2, -3, 8)}), HasSubstr("not the cumulative one"));
    Posting skipped = posting_of("a", 2, 0, 10);
    skipped.revision = 3;
    EXPECT_THAT(follow({a1, skipped}), HasSubstr("it follows revision 1"));
}

TEST(Audit, TwoEventsForTwoOthersChangeTheSum) {
    // No two pairs of places that lie together, as those of a lost batch and a doubled one do, have one sum in either
    // half. A cheaper mix, such as one product folded, has hundreds.
    for (const std::uint64_t base : {std::uint64_t{0}, std::uint64_t{1} << 40}) {
        const Hash128 seed = source_seed("floor");
        std::vector<Hash128> hashes;
        for (std::uint64_t place = 0; place < 1200; ++place)
            hashes.push_back(event_hash(seed, base + place / 2, static_cast<std::uint32_t>(place % 2)));
        std::vector<std::uint64_t> low;
        std::vector<std::uint64_t> high;
        for (std::size_t a = 0; a < hashes.size(); ++a) {
            for (std::size_t b = a; b < hashes.size(); ++b) {
                low.push_back(hashes[a].low + hashes[b].low);
                high.push_back(hashes[a].high + hashes[b].high);
            }
        }
        for (std::vector<std::uint64_t>* sums : {&low, &high}) {
            std::sort(sums->begin(), sums->end());
            EXPECT_EQ(std::adjacent_find(sums->begin(), sums->end()), sums->end()) << "from " << base;
        }
    }
    EXPECT_NE(event_hash(source_seed("floor"), 1, 0), event_hash(source_seed("lab"), 1, 0));
}

TEST(Audit, TotalsAreSavedWhole) {
    AuditTotals totals = good_epoch().audit;
    totals.add(posting_of("c", 1, (Int128{1} << 100), (Int128{1} << 100)));
    totals.values[0].dropped = -3;
    totals.replayed.add({5, 6});
    totals.replays = {{}, {1, {5, 6}}};
    std::string bytes;
    ByteWriter out(bytes);
    save_totals(totals, out);
    ByteReader in(bytes);
    AuditTotals read;
    EXPECT_TRUE(load_totals(read, in));
    EXPECT_TRUE(in.at_end());
    EXPECT_EQ(read, totals);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        ByteReader shorter(std::string_view(bytes).substr(0, size));
        AuditTotals part;
        EXPECT_FALSE(load_totals(part, shorter)) << size;
    }
}

}  // namespace
}  // namespace takt
