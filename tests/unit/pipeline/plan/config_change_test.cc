#include "pipeline/plan/config_change.h"

#include <gmock/gmock.h>

#include "tests/unit/operators/operator_harness.h"

namespace takt::harness {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kSteps =
    "steps:\n"
    "  - filter: wanted\n    drop: { small: quantity < decimal(\"1\") }\n"
    "  - dedup: once\n    by: id\n    horizon: 48h\n";
const std::string kHourly =
    "  - aggregate: hourly\n    by: [key]\n    window: { tumbling: 1h }\n    lateness: 1h\n"
    "    values: { total: sum(quantity) }\n";
const std::string kDaily =
    "postings:\n"
    "  daily: { by: [key], window: { tumbling: 24h }, lateness: 2h, quantity: sum(total), quantity_digits: 2, unit: "
    "'\"pcs\"' }\n";

std::unique_ptr<Plan> plan_of(const std::string& parts, std::vector<Outcome> outcomes = {}) {
    Mistakes mistakes;
    const std::string config = parts.rfind("pipeline:", 0) == 0 ? parts : around(parts);
    const ConfigNode node = parse_config("test.yaml", config, mistakes);
    auto plan = plan_pipeline(node, catalog(), {.outcomes = std::move(outcomes)}, mistakes).plan;
    EXPECT_TRUE(mistakes.empty()) << mistakes.render();
    return plan;
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
    const std::size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return text.replace(at, what.size(), with);
}

/// "free: ..." of each edit from the first config to the second.
std::vector<std::string> edits_between(const std::string& before, const std::string& now) {
    std::vector<std::string> texts;
    for (const ConfigEdit& edit : compare_state(kept_by(*plan_of(before)), *plan_of(now)))
        texts.push_back(text_of(edit));
    return texts;
}

const std::string kAll = kSteps + kHourly + kDaily;

/// The edits that turning `what` into `with` makes.
std::vector<std::string> edits_of(const std::string& what, const std::string& with) {
    return edits_between(kAll, replaced(kAll, what, with));
}

TEST(ConfigChange, WhatNoStateDependsOnIsNoEdit) {
    EXPECT_THAT(edits_between(kAll, kAll), IsEmpty());
    EXPECT_THAT(edits_of("  - filter: wanted", "  - filter: renamed"), IsEmpty());
    EXPECT_THAT(edits_of("horizon: 48h", "horizon: 48h\n    max_ids: 7\n    owner: me"), IsEmpty());
    EXPECT_THAT(edits_of("unit: '\"pcs\"'", "unit: '\"pcs\"', correlation: key"), IsEmpty());
    EXPECT_THAT(edits_of("lateness: 1h\n", "lateness: 60m\n"), IsEmpty());
}

TEST(ConfigChange, WhoMustActOnDeadLettersIsNoEdit) {
    const std::string checked =
        "tables: { prices: { key: item, columns: { price: int }, rows: [[a, 1]] } }\n" +
        replaced(kAll, "  - dedup: once",
                 "  - require: valid\n    rules: { owner: { that: quantity > decimal(\"0\"), owner: me } }\n"
                 "  - lookup: priced\n    with: { found: 'prices[key]' }\n    missing: { owner: me }\n"
                 "  - dedup: once");
    for (const auto& [what, with] : {std::pair("\"), owner: me", "\"), owner: you"),
                                     {"\"), owner: me", "\")"},
                                     {"missing: { owner: me }", "missing: { owner: you }"},
                                     {"    missing: { owner: me }\n", ""}}) {
        const std::string other = replaced(checked, what, with);
        EXPECT_THAT(edits_between(checked, other), IsEmpty()) << with;
        EXPECT_NE(plan_of(checked)->config_hash, plan_of(other)->config_hash);
    }
    EXPECT_THAT(edits_between(checked, replaced(checked, "> decimal", ">= decimal")),
                ElementsAre(AllOf(HasSubstr("new uid: aggregate hourly (uid hourly): rows: require "),
                                  EndsWith(" -> require valid")),
                            HasSubstr("daily")));
}

TEST(ConfigChange, AnotherNameOfOneStateIsMapped) {
    EXPECT_THAT(edits_of("dedup: once", "dedup: ids\n    uid_was: once"),
                ElementsAre("mapped: dedup ids: uid once -> ids"));
    EXPECT_THAT(edits_of("dedup: once", "dedup: ids\n    uid: once"),
                ElementsAre("mapped: dedup ids: name once -> ids"));
    // The posting reads its panes, whatever they are called.
    EXPECT_THAT(edits_of("aggregate: hourly", "aggregate: by_hour\n    uid_was: hourly"),
                ElementsAre("mapped: aggregate by_hour: uid hourly -> by_hour"));
}

TEST(ConfigChange, WhatTheStateWasMadeWithNeedsANewUid) {
    // And what sums up its panes, with it.
    const std::string daily = "new uid: posting daily (uid daily): panes_of: hourly makes other panes";
    EXPECT_THAT(edits_of("tumbling: 1h", "tumbling: 30m"),
                ElementsAre("new uid: aggregate hourly (uid hourly): window: tumbling 1h -> tumbling 30m", daily));
    EXPECT_THAT(edits_of("tumbling: 1h", "tumbling: 1h, offset: 5m"),
                ElementsAre(HasSubstr("tumbling 1h from 5m"), daily));
    EXPECT_THAT(edits_of("lateness: 1h\n", "lateness: 2h\n"), ElementsAre(HasSubstr("lateness: 1h -> 2h"), daily));
    EXPECT_THAT(
        edits_of("sum(quantity)", "max(quantity)"),
        ElementsAre(HasSubstr("total = sum(quantity) of decimal(6) -> total = max(quantity) of decimal(6)"), daily));
    EXPECT_THAT(edits_of("values:", "where: flag\n    values:"), ElementsAre(HasSubstr("where: none -> flag"), daily));
}

TEST(ConfigChange, KeysHorizonsDigitsAndUnitsNeedANewUid) {
    EXPECT_THAT(edits_of("by: id", "by: key"),
                ElementsAre(AllOf(HasSubstr("new uid: dedup once (uid once): key: id "), HasSubstr("-> key string"))));
    EXPECT_THAT(edits_of("horizon: 48h", "horizon: 72h"), ElementsAre(HasSubstr("horizon: 2d -> 3d")));
    EXPECT_THAT(edits_of("quantity_digits: 2", "quantity_digits: 3"), ElementsAre(HasSubstr("new uid: posting daily")));
    EXPECT_THAT(edits_of("\"pcs\"", "\"kg\""), ElementsAre(HasSubstr("unit: \"pcs\" -> \"kg\"")));
}

TEST(ConfigChange, StatelessStepsBeforeAWindowDecideWhatItHolds) {
    EXPECT_THAT(
        edits_of("quantity < decimal(\"1\")", "quantity < decimal(\"2\")"),
        ElementsAre(AllOf(HasSubstr("new uid: aggregate hourly"), HasSubstr("rows: filter ")), HasSubstr("daily")));
    const std::string with_column = replaced(kAll, "  - dedup: once",
                                             "  - project: more\n    set: { twice: quantity }\n"
                                             "  - dedup: once");
    EXPECT_THAT(
        edits_between(with_column, replaced(with_column, "twice: quantity", "twice: quantity + quantity")),
        ElementsAre(AllOf(HasSubstr("new uid: dedup once (uid once): columns: project "), EndsWith(" -> project more")),
                    HasSubstr("new uid: aggregate hourly"), HasSubstr("new uid: posting daily")));
    EXPECT_THAT(edits_between(kAll, with_column),
                ElementsAre("new uid: dedup once (uid once): columns: none -> project more", HasSubstr("hourly"),
                            HasSubstr("daily")));
}

TEST(ConfigChange, AUidThatIsGoneDropsItsState) {
    EXPECT_THAT(edits_of("aggregate: hourly", "aggregate: by_hour"),
                ElementsAre("free: aggregate by_hour: new",
                            HasSubstr("new uid: posting daily (uid daily): panes_of: "
                                      "hourly -> by_hour"),
                            "drops state: aggregate hourly (uid hourly): gone"));
    EXPECT_THAT(edits_of("  daily: {", "  per_day: {"),
                ElementsAre("free: posting per_day: new", "drops state: posting daily (uid daily): gone"));
}

TEST(ConfigChange, APostingKeepsItsDocumentsUnderItsNameAndUid) {
    EXPECT_THAT(edits_of("  daily: {", "  per_day: { uid: daily,"), ElementsAre(HasSubstr("type: daily -> per_day")));
    EXPECT_THAT(edits_of("  daily: {", "  daily: { uid: second, uid_was: daily,"),
                ElementsAre(HasSubstr("documents: daily -> second")));
    const auto second = plan_of(replaced(kAll, "  daily: {", "  daily: { uid: second, uid_was: daily,"));
    EXPECT_THAT(compare_state(kept_by(*plan_of(kAll)), *second).at(0).why, HasSubstr("Take both back"));
}

TEST(ConfigChange, PostingsOfSingleEventsKeepNothing) {
    const std::string each = kSteps + "postings: { each: { by: [key], quantity: quantity } }\n";
    EXPECT_THAT(edits_between(each, replaced(each, "quantity: quantity", "quantity: quantity, quantity_digits: 2")),
                ElementsAre(HasSubstr("digits: ")));
    EXPECT_THAT(edits_between(each, replaced(each, "by: [key]", "by: [other]")), IsEmpty());
    EXPECT_THAT(edits_between(each, replaced(each, "each:", "every:")),
                ElementsAre("free: posting every: new", "free: posting each: gone"));
}

std::string with_sources(const std::string& names) {
    return "pipeline: test\nsources: {" + names + "}\nsinks: { out: { memory: {} } }\n" + kAll;
}
std::string source(const std::string& name) {
    return name + ": { memory: {}, id: id, time: { event: at, out_of_order: 3650d } }";
}

TEST(ConfigChange, SourcesAreComparedByName) {
    const std::string both = with_sources(source("a") + ", " + source("b"));
    EXPECT_THAT(edits_between(both, with_sources(source("b") + ", " + source("a"))),
                ElementsAre("mapped: sources: another order"));
    EXPECT_THAT(edits_between(both, with_sources(source("b"))),
                ElementsAre("drops state: source a (uid sources.a): gone"));
    EXPECT_THAT(edits_between(both, with_sources(source("a") + ", " + source("c") + ", " + source("b"))),
                ElementsAre("free: source c: new"));
}

TEST(ConfigChange, AUidHasOneOwner) {
    EXPECT_THAT(mistakes_of(around(replaced(kAll, "aggregate: hourly", "aggregate: hourly\n    uid: once"))),
                HasSubstr("test.yaml:11:10: error C197: 'once' and 'hourly' both have the uid 'once'"));
    EXPECT_THAT(mistakes_of(around(replaced(kAll, "aggregate: hourly", "aggregate: hourly\n    uid_was: once"))),
                HasSubstr("error C198: 'uid_was' of 'hourly' is 'once', and 'once' still has that uid"));
}

/// The engine over a plan that goes on with a state.
class Continued {
  public:
    Continued(const std::string& parts, const EngineState& state) : plan_(plan_of(parts, state.outcomes)) {
        EXPECT_TRUE(outcomes_fit(state, *plan_));
        edits_ = compare_state(kept_by(state), *plan_);
        carried_ = carry_over(state, *plan_, edits_);
        for (const Imbalance& one : find_imbalances(carrying_epoch(carried_, *plan_), carried_.sources))
            ADD_FAILURE() << one.text;
        core_ = std::make_unique<Core>(*plan_, Core::Options{.lanes = 3}, [this](EpochResult&& epoch) {
            for (const Imbalance& one : find_imbalances(epoch, carried_.sources)) ADD_FAILURE() << one.text;
            for (Posting& posting : epoch.postings) postings.push_back(std::move(posting));
        });
        const Status loaded = core_->load(carried_);
        EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.error().text());
    }
    void finish() {
        core_->cut({.flush = true});
        core_->drain();
    }
    std::vector<std::string> edits() const {
        std::vector<std::string> texts;
        for (const ConfigEdit& edit : edits_) texts.push_back(text_of(edit));
        return texts;
    }
    const EngineState& state() const { return carried_; }
    const Core& core() const { return *core_; }

    std::vector<Posting> postings;

  private:
    std::unique_ptr<Plan> plan_;
    std::vector<ConfigEdit> edits_;
    EngineState carried_;
    std::unique_ptr<Core> core_;
};

/// Three events, in two hours; the first hour has told its pane.
EngineState state_of_three(const std::string& parts) {
    OperatorHarness harness(parts);
    harness.push("id=a at=06:10 key=x quantity=1.25");
    harness.push("id=b at=06:20 key=x quantity=2");
    harness.push("id=c at=07:10 key=y quantity=4.5");
    harness.push("id=d at=07:11 key=y quantity=0.5");
    harness.watermark("07:00");
    return harness.save();
}

TEST(ConfigChange, ARenamedStepGoesOnWithEqualResults) {
    const EngineState state = state_of_three(kAll);
    Continued same(kAll, state);
    same.finish();
    std::string renamed = replaced(kAll, "aggregate: hourly", "aggregate: by_hour\n    uid_was: hourly");
    renamed = replaced(renamed, "dedup: once", "dedup: ids\n    uid_was: once");
    Continued other(renamed, state);
    EXPECT_THAT(other.edits(), ElementsAre(HasSubstr("mapped"), HasSubstr("mapped")));
    EXPECT_THAT(other.core().find_open_imbalances(), IsEmpty());
    other.finish();
    ASSERT_EQ(same.postings.size(), 2u);
    ASSERT_EQ(other.postings.size(), 2u);
    for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(other.postings[i].key, same.postings[i].key);
        EXPECT_EQ(other.postings[i].payload_hash, same.postings[i].payload_hash);
    }
    // A code means the same to all configs of a state.
    EXPECT_EQ(other.state().total_outcomes.size(), other.state().outcomes.size());
    EXPECT_GT(other.state().outcomes.size(), state.outcomes.size());
    EXPECT_EQ(other.state().audit.outcomes[kAccepted].count, 3u);
}

TEST(ConfigChange, WhatAPostingOfSingleEventsHasPostedStaysUnderItsName) {
    const std::string each = kSteps + "postings:\n  each: { uid: e, by: [key], quantity: quantity, unit: '\"pcs\"' }\n";
    OperatorHarness harness(each);
    harness.push("id=a at=06:10 key=x quantity=1.25");
    harness.end_epoch();
    Continued other(replaced(each, "each:", "every:"), harness.save());
    EXPECT_THAT(other.edits(), ElementsAre(HasSubstr("mapped")));
    const AuditTotals& books = other.state().audit;
    ASSERT_EQ(books.values.size(), 1u);
    EXPECT_EQ(books.values[0].settled, wrapping_add(posted_of(books, books.values[0]), books.values[0].rounding));
}

TEST(ConfigChange, WhatIsDroppedIsCountedAndTheBooksBalance) {
    const EngineState state = state_of_three(kAll);
    Continued other(replaced(kAll, "tumbling: 24h", "tumbling: 12h"), state);
    EXPECT_THAT(other.edits(), ElementsAre(HasSubstr("window: tumbling 1d -> tumbling 12h; 1 entries; not yet told: "
                                                     "quantity 3.250000 pcs")));
    EXPECT_THAT(other.core().find_open_imbalances(), IsEmpty());
    const auto value = [&](const char* step) {
        const auto& values = other.state().audit.values;
        return *std::find_if(values.begin(), values.end(), [&](const ValueSum& one) { return one.step == step; });
    };
    EXPECT_EQ(format_decimal_shortest(value("daily").dropped, value("daily").scale), "3.25");
    EXPECT_EQ(open_of(value("daily")), 0);
    other.finish();
    ASSERT_EQ(other.postings.size(), 1u) << "the pane of 07:00 was not told yet";
    EXPECT_EQ(other.postings[0].quantity, 450);
}

TEST(ConfigChange, PanesThatHaveToldSomethingCannotBeDroppedUnderTheirUid) {
    const EngineState state = state_of_three(kAll);
    const auto plan = plan_of(replaced(kAll, "tumbling: 1h", "tumbling: 30m"), state.outcomes);
    const auto edits = compare_state(kept_by(state), *plan);
    ASSERT_EQ(edits.size(), 2u);
    EXPECT_EQ(edits[0].change, ChangeClass::new_uid);
    EXPECT_EQ(edits[0].entries, 2u);
    EXPECT_THAT(edits[0].blocked, HasSubstr("1 of its panes have told something already"));
}

TEST(ConfigChange, AMaximumCannotFollowASumUnderItsName) {
    const EngineState state = state_of_three(kAll);
    const std::string greatest = replaced(kAll, "quantity: sum(total)", "uid: other, quantity: max(total)");
    const auto edits = compare_state(kept_by(state), *plan_of(greatest, state.outcomes));
    ASSERT_EQ(edits.size(), 2u);
    EXPECT_THAT(edits[0].blocked, HasSubstr("give this one another name"));
}

TEST(ConfigChange, ALongerLatenessCannotHaveTheSameUid) {
    const EngineState state = state_of_three(kAll);
    const auto longer = plan_of(replaced(kAll, "lateness: 2h", "lateness: 3h"), state.outcomes);
    const auto edits = compare_state(kept_by(state), *longer);
    ASSERT_EQ(edits.size(), 1u);
    EXPECT_THAT(edits[0].blocked, HasSubstr("windows that are closed would open again"));
    const auto shorter = plan_of(replaced(kAll, "lateness: 2h", "lateness: 90m"), state.outcomes);
    EXPECT_THAT(compare_state(kept_by(state), *shorter).at(0).blocked, IsEmpty());
}

TEST(ConfigChange, ADroppedAggregateTakesItsValueOutOfTheBooks) {
    const EngineState state = state_of_three(kAll);
    std::string other = replaced(kAll, "aggregate: hourly", "aggregate: by_hour");
    Continued changed(replaced(other, "  daily: {", "  per_day: {"), state);
    EXPECT_THAT(changed.edits(),
                ElementsAre("free: aggregate by_hour: new", "free: posting per_day: new",
                            HasSubstr("drops state: aggregate hourly (uid hourly): gone; 2 entries, 1 of them told; "
                                      "not yet told: total 4.500000"),
                            HasSubstr("drops state: posting daily (uid daily): gone; 1 entries; not yet told: quantity "
                                      "3.250000 pcs")));
    EXPECT_THAT(changed.core().find_open_imbalances(), IsEmpty());
    changed.finish();
    EXPECT_THAT(changed.postings, IsEmpty());
}

TEST(ConfigChange, SourcesKeepTheirPlacesInAnyOrder) {
    OperatorHarness harness(with_sources(source("a") + ", " + source("b")));
    harness.push("id=a at=06:10 key=x quantity=1", 0);
    harness.push("id=b at=06:11 key=x quantity=1", 1);
    harness.push("id=c at=06:12 key=x quantity=1", 1);
    harness.end_epoch();
    Continued changed(with_sources(source("new") + ", " + source("b") + ", " + source("a")), harness.save());
    EXPECT_THAT(changed.state().sources, ElementsAre("new", "b", "a"));
    EXPECT_EQ(changed.state().cuts[0].last_sequence, 0u);
    EXPECT_EQ(changed.state().cuts[1].last_sequence, 2u);
    EXPECT_EQ(changed.state().cuts[2].last_sequence, 1u);
    EXPECT_EQ(changed.state().audit.sources[1].received, 2u);
    EXPECT_THAT(changed.state().source_times[0], IsEmpty());
    EXPECT_THAT(changed.core().find_open_imbalances(), IsEmpty());
}

}  // namespace
}  // namespace takt::harness
