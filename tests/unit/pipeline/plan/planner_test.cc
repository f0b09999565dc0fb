#include <gmock/gmock.h>

#include <fstream>

#include "tests/unit/operators/operator_harness.h"

namespace takt::harness {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

const std::string kGoodPosting =
    "postings:\n  hourly: { by: [key], window: { tumbling: 1h }, quantity: sum(quantity) }\n";

std::size_t count_of(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
    return count;
}

/// The lines of `around` come first: what a test writes begins in line 4.
TEST(Planner, AnUnknownOperatorIsRefusedWithAProposalAndOnlyIt) {
    const std::string mistakes = mistakes_of(
        around("steps:\n  - filtr: policy\n    drop: { a: flag }\n  - project: more\n    set: { a: number }\n" +
               kGoodPosting));
    EXPECT_THAT(mistakes, HasSubstr("test.yaml:5:5: error C109: unknown operator 'filtr'; there are filter, require, "
                                    "project, route, union, dedup, lookup, aggregate\n"
                                    "    5 |   - filtr: policy\n"
                                    "      |     ^^^^^ did you mean 'filter'?\n"));
    EXPECT_EQ(count_of(mistakes, "error C"), 1u) << mistakes;
}

TEST(Planner, NamesThatAreNotThereHavePlaceAndProposal) {
    EXPECT_THAT(mistakes_of(around("steps:\n  - filter: policy\n    drop: { a: flag }\n" +
                                   std::string("postings:\n  p: { from: polcy, by: [key], quantity: quantity }\n"))),
                AllOf(HasSubstr("test.yaml:8:14: error C135: no step or source 'polcy' before 'p'"),
                      HasSubstr("did you mean 'policy'?")));
    EXPECT_THAT(mistakes_of(around("postings:\n  p: { by: [kez], quantity: quantity }\n")),
                AllOf(HasSubstr("test.yaml:5:13: error C132: no column 'kez' here"), HasSubstr("did you mean 'key'?")));
    EXPECT_THAT(mistakes_of(around("sinks: { out: { memory: {}, postings: [hurly] } }\n" + kGoodPosting)),
                AllOf(HasSubstr("error C115: sink 'out' wants posting 'hurly', which is not there"),
                      HasSubstr("did you mean 'hourly'?")));
    EXPECT_THAT(mistakes_of(around("sinks: { out: { memory: {}, postings: [] } }\n" + kGoodPosting)),
                AllOf(HasSubstr("test.yaml:3:39: error C121: 'postings' of sink 'out' is an empty list"),
                      HasSubstr("leave it out for all postings")));
    EXPECT_THAT(
        mistakes_of(around("sinks: { out: { memry: {} } }\n" + kGoodPosting)),
        AllOf(HasSubstr("error C106: unknown connector 'memry' in sink 'out'"), HasSubstr("did you mean 'memory'?")));
    EXPECT_THAT(mistakes_of(around("postngs: {}\n" + kGoodPosting)),
                AllOf(HasSubstr("test.yaml:4:1: error C102: unknown section 'postngs'"),
                      HasSubstr("did you mean 'postings'?")));
    EXPECT_THAT(mistakes_of(around("steps:\n  - filter: policy\n    drp: { a: flag }\n" + kGoodPosting)),
                AllOf(HasSubstr("test.yaml:6:5: error C104: unknown option 'drp' in step 'policy' (filter)"),
                      HasSubstr("did you mean 'drop'?")));
}

TEST(Planner, AStepThatNobodyReadsIsAMistake) {
    EXPECT_THAT(
        mistakes_of(around(
            "steps:\n  - filter: policy\n    drop: { a: flag }\n  - project: spare\n    set: { a: number }\npostings:\n"
            "  hourly: { from: policy, by: [key], window: { tumbling: 1h }, quantity: sum(quantity) }\n")),
        HasSubstr("test.yaml:7:14: error C116: nothing uses 'spare': its rows would go nowhere"));
    EXPECT_THAT(mistakes_of(around("steps:\n  - route: ways\n    to: { a: flag, b: number > 1 }\npostings:\n  p: { "
                                   "from: ways.a, by: [key], quantity: quantity }\n")),
                HasSubstr("error C116: nothing uses 'ways.b'"));
}

TEST(Planner, AllMistakesAreToldAtOnceEachOnce) {
    const std::string mistakes = mistakes_of(around(R"(engine: { lanes: 65 }
steps:
  - filter: policy
    drop: { a: flg, b: number }
  - project: more
    set: { twice: number * 2, thrice: nmber * 3 }
postings:
  p: { by: [twice, kez], window: { tumbling: 1x }, quantity: sum(thrce) }
  q: { by: [key] }
)"));
    for (const char* part : {"test.yaml:4:18: error C192", "test.yaml:7:16: error C20", "test.yaml:7:24: error C162",
                             "test.yaml:9:39: error C20", "test.yaml:11:20: error C132", "test.yaml:11:46: error C140",
                             "test.yaml:12:3: error C169"}) {
        EXPECT_EQ(count_of(mistakes, part), 1u) << part << "\n" << mistakes;
    }
}

TEST(Planner, AStepAfterARouteMustSayWhichWayItReads) {
    const std::string config = around(
        "steps:\n  - route: ways\n    to: { a: flag }\n    otherwise: b\n  - project: more\n    set: { twice: number * "
        "2 }\n" +
        kGoodPosting);
    EXPECT_THAT(mistakes_of(config),
                HasSubstr("error C136: 'ways' has several outputs; say 'from: ways.OUTPUT' in 'more'"));
    EXPECT_THAT(mistakes_of("engine: { lanes: 65 }\n" + config), HasSubstr("error C136"))
        << "also beside other mistakes";
}

TEST(Planner, AStepThatReadsABrokenOneIsNoMistakeOfItsOwn) {
    const std::string mistakes = mistakes_of(
        around("steps:\n  - dedupe: once\n    by: id\n  - filter: policy\n    from: once\n    drop: { a: flag }\n"
               "postings:\n  p: { from: policy, by: [key], quantity: quantity }\n"));
    EXPECT_THAT(mistakes, HasSubstr("error C109"));
    EXPECT_EQ(count_of(mistakes, "error C"), 1u) << mistakes;
}

TEST(Planner, TwoStepsOfOneNameAreAMistake) {
    EXPECT_THAT(mistakes_of(around(
                    "steps:\n  - filter: policy\n    drop: { a: flag }\n  - filter: policy\n    drop: { b: flag }\n" +
                    kGoodPosting)),
                HasSubstr("test.yaml:7:13: error C131: the name 'policy' is taken"));
}

constexpr const char* kDedup = "steps:\n  - dedup: once\n    by: id\n    horizon: 1h\n";

TEST(Planner, RowsAreDeduplicatedOnceAndNothingGoesPastIt) {
    EXPECT_THAT(
        mistakes_of(around(std::string(kDedup) + "  - dedup: twice\n    by: key\n    horizon: 1h\n" + kGoodPosting)),
        HasSubstr("test.yaml:8:12: error C160: 'twice' is a second dedup over the same rows; 'once' is the first"));
    EXPECT_THAT(mistakes_of(around(std::string(kDedup) + "postings:\n  past: { from: in, by: [key], quantity: quantity "
                                                         "}\n  good: { from: once, by: [key], quantity: quantity }\n")),
                HasSubstr("test.yaml:9:3: error C163: posting 'past' takes rows that did not pass 'once'"));
    EXPECT_THAT(mistakes_of(around(std::string(kDedup) +
                                   "  - aggregate: past\n    from: in\n    by: [key]\n    window: { tumbling: 1h }\n   "
                                   " values: { n: count() }\n"
                                   "postings:\n  good: { from: once, by: [key], quantity: quantity }\n  other: { from: "
                                   "past, by: [key], quantity: sum(n), window: { tumbling: 1h } }\n")),
                HasSubstr("error C163: step 'past' (aggregate) takes rows that did not pass 'once'"));
}

TEST(Planner, OnlyExactNumbersArePosted) {
    EXPECT_THAT(mistakes_of(around("postings:\n  p: { by: [key], window: { tumbling: 1h }, quantity: sum(value) }\n")),
                HasSubstr("error C170: the quantity of posting 'p' is a double"));
    EXPECT_THAT(
        mistakes_of(around("postings:\n  p: { by: [key], window: { tumbling: 1h }, amount: sum(quantity * value) }\n")),
        HasSubstr("error C207"));
    EXPECT_THAT(mistakes_of(around("postings:\n  p: { by: [key], amount: value }\n")), HasSubstr("error C154"));
}

TEST(Planner, ADocumentMustBeAbleToBalance) {
    const auto posting = [](const std::string& options) {
        return mistakes_of(around("postings:\n  p: { by: [key], window: { tumbling: 1h }, " + options + " }\n"));
    };
    EXPECT_THAT(posting("amount: sum(quantity), currency: '\"EUR\"', debit: '\"1\"'"), HasSubstr("error C167"));
    EXPECT_THAT(posting("quantity: sum(quantity), debit: '\"1\"', credit: '\"2\"'"), HasSubstr("error C168"));
    EXPECT_THAT(posting("unit: '\"pcs\"'"), HasSubstr("error C169"));
}

TEST(Planner, WindowMistakes) {
    const auto window = [](const std::string& options) {
        return mistakes_of(around("postings:\n  p: { by: [key], quantity: sum(quantity), " + options + " }\n"));
    };
    EXPECT_THAT(window("window: { tumbling: soon }"), HasSubstr("error C140"));
    EXPECT_THAT(window("window: { tumbling: 1h, ofset: 5m }"),
                AllOf(HasSubstr("error C141"), HasSubstr("did you mean 'offset'?")));
    EXPECT_THAT(window("window: { hopping: 1h }"), HasSubstr("error C142"));
    EXPECT_THAT(window("window: { hopping: 1h, every: 7m }"), HasSubstr("error C143"));
    EXPECT_THAT(window("window: { shift: shifts, of: key }, zone: key"), HasSubstr("error C144: no calendar 'shifts'"));
    EXPECT_THAT(window("window: { day: utc }, zone: key"), HasSubstr("error C147"));
    EXPECT_THAT(window("window: { daily: 1h }"), HasSubstr("error C148"));
    EXPECT_THAT(window("window: { session: 1h }"), HasSubstr("error C161"));
    EXPECT_THAT(window("window: { day: local }"), HasSubstr("error C166"));
    EXPECT_THAT(mistakes_of(around("postings:\n  p: { by: [key], quantity: quantity, lateness: 1h }\n")),
                HasSubstr("error C165"));
}

TEST(Planner, TableMistakes) {
    const auto table = [](const std::string& options) {
        return mistakes_of(around("tables:\n  t: { " + options +
                                  " }\nsteps:\n  - lookup: found\n    with: { row: 't[key]' }\n" + kGoodPosting));
    };
    EXPECT_THAT(table("key: item, columns: { price: money }, rows: []"),
                HasSubstr("error C125: 'money' is no type of a table's column"));
    EXPECT_THAT(table("key: item, columns: { price: int }, rows: [[a, 1, 2]]"),
                HasSubstr("error C118: a row of table 't' has 2 values, this one 3"));
    EXPECT_THAT(table("key: [a, b, c, d], columns: { price: int }, rows: []"), HasSubstr("error C119"));
    EXPECT_THAT(table("key: item, or: { itm: '*' }, columns: { price: int }, rows: []"),
                AllOf(HasSubstr("error C126"), HasSubstr("did you mean 'item'?")));
    EXPECT_THAT(table("key: item, columns: { price: int }"), HasSubstr("error C127"));
    EXPECT_THAT(table("key: item, columns: { price: int }, rows: [[a, 1]], memory: {}"), HasSubstr("error C127"));
    const std::string broken = table("key: item, columns: { price: int }");
    EXPECT_EQ(count_of(broken, "error C"), 1u) << "that its table is broken is no mistake of the step:\n" << broken;
}

TEST(Planner, ALiveTableIsEmptyUntilItRuns) {
    const std::string parts =
        "tables:\n  t: { key: item, columns: { price: int }, memory: {} }\n"
        "steps:\n  - lookup: found\n    with: { row: 't[key]' }\n" +
        kGoodPosting;
    OperatorHarness planned(parts);
    ASSERT_EQ(planned.plan().tables.size(), 1u);
    EXPECT_EQ(planned.plan().tables[0].name, "t");
    EXPECT_EQ(planned.plan().tables[0].connector, "memory");
    EXPECT_EQ(planned.plan().tables[0].handle->current->rows(), 0u);
    EXPECT_EQ(planned.plan().tables[0].make().error().code, "F000") << "only a run makes its connector";
    // A test's own rows take its place.
    Mistakes mistakes;
    PlanOverrides overrides;
    overrides.tables["t"] = "item,price\na,1\n";
    const ConfigNode config = parse_config("test.yaml", around(parts), mistakes);
    const auto with_rows = plan_pipeline(config, catalog(), overrides, mistakes);
    ASSERT_NE(with_rows.plan, nullptr) << mistakes.render();
    EXPECT_TRUE(with_rows.plan->tables.empty());
}

TEST(Planner, OnlyFieldsThatSomethingReadsAreDecoded) {
    OperatorHarness planned("steps:\n  - filter: policy\n    drop: { a: number > 3 }\n" + kGoodPosting);
    std::vector<std::string> decoded;
    for (const Field& field : planned.plan().segments[0]->layout.fields()) {
        if (field.name.front() != '#') decoded.push_back(field.name);
    }
    // id and correlation (other) go with postings and dead letters, at is the event time.
    EXPECT_THAT(decoded, UnorderedElementsAre("id", "at", "other", "number", "key", "quantity"));
}

TEST(Planner, SourcesOfOneRecordShareASegmentAndOthersMustBeNamed) {
    const std::string same =
        "pipeline: test\nsources:\n  a: { memory: {}, id: id, time: { event: at } }\n  b: { memory: {}, id: id, time: "
        "{ event: at } }\nsinks: { out: { memory: {} } }\n";
    OperatorHarness planned(same + "steps:\n  - filter: policy\n    drop: { a: flag }\n" + kGoodPosting);
    EXPECT_EQ(planned.plan().segments.size(), 1u);
    const std::string different =
        "pipeline: test\nsources:\n  a: { memory: {}, id: id, time: { event: at } }\n  b: { memory: {}, id: key, time: "
        "{ event: at } }\nsinks: { out: { memory: {} } }\n";
    EXPECT_THAT(mistakes_of(different + "steps:\n  - filter: policy\n    drop: { a: flag }\n" + kGoodPosting),
                HasSubstr("error C137: sources 'a' and 'b' have different records"));
}

TEST(Planner, TheConfigHashIsOfWhatDecidesTheAnswer) {
    const auto hash = [](const char* sink, const char* window) {
        const std::string posting = fmt::format(
            "postings:\n  hourly: {{ by: [key], window: {{ tumbling: {} }}, quantity: sum(quantity) }}\n", window);
        return OperatorHarness(around(fmt::format("sinks: {{ {}: {{ memory: {{}} }} }}\n", sink) + posting))
            .plan()
            .config_hash;
    };
    EXPECT_EQ(hash("new", "1h"), hash("out", "1h"));
    EXPECT_NE(hash("out", "2h"), hash("out", "1h"));
}

TEST(Planner, TheConfigHashKnowsTheShiftsNotTheirFile) {
    const auto hash = [](const char* file, const char* rows) {
        const std::string path = testing::TempDir() + "takt_planner_test_" + file + ".csv";
        std::ofstream(path) << "plant,shift,start,end\n" << rows;
        return OperatorHarness(
                   fmt::format(
                       "calendars: {{ shifts: {{ csv: \"{}\", key: plant }} }}\npostings:\n  made: {{ by: [key], "
                       "window: {{ shift: shifts, of: key }}, zone: '\"UTC\"', quantity: sum(quantity) }}\n",
                       path))
            .plan()
            .config_hash;
    };
    const std::string known = hash("one", "P1,day,06:00,22:00\nP1,night,22:00,06:00\n");
    EXPECT_EQ(hash("two", "P1,night,22:00,06:00\nP1,day,06:00,22:00\n"), known);
    EXPECT_NE(hash("one", "P1,day,06:00,21:00\nP1,night,21:00,06:00\n"), known);
    EXPECT_NE(hash("one", "P2,day,06:00,22:00\nP2,night,22:00,06:00\n"), known);
}

TEST(Planner, TheEngineSectionIsRead) {
    OperatorHarness planned(
        around("engine: { lanes: 3, epoch: 250ms, epoch_messages: 1000, epoch_bytes: 1MiB }\n" + kGoodPosting));
    EXPECT_EQ(planned.plan().lanes, 3u);
    EXPECT_EQ(planned.plan().epoch, 250 * kMillisecond);
    EXPECT_EQ(planned.plan().epoch_messages, 1000u);
    EXPECT_EQ(planned.plan().epoch_bytes, 1u << 20);
}

TEST(Planner, TheLimitsOfDeadLettersAreReadAndAreNoPartOfTheAnswer) {
    OperatorHarness planned(around("dead_letters: { most: 100, share: 0.25, within: 5m }\n" + kGoodPosting));
    EXPECT_EQ(planned.plan().dead_letters.most, 100u);
    EXPECT_EQ(planned.plan().dead_letters.share, 0.25);
    EXPECT_EQ(planned.plan().dead_letters.least_events, 1000u);
    EXPECT_EQ(planned.plan().dead_letters.within, 5 * kMinute);
    OperatorHarness without(around(kGoodPosting));
    EXPECT_EQ(without.plan().dead_letters.most, 0u);
    EXPECT_EQ(without.plan().dead_letters.share, 0.0);
    EXPECT_EQ(without.plan().config_hash, planned.plan().config_hash);
    EXPECT_THAT(mistakes_of(around("dead_letters: {}\n" + kGoodPosting)), HasSubstr("error C120"));
    EXPECT_THAT(mistakes_of(around("dead_letters: { mots: 1 }\n" + kGoodPosting)), HasSubstr("did you mean 'most'?"));
}

TEST(Planner, WhatIsMissingAtTheTopIsTold) {
    const std::string mistakes = mistakes_of("steps: []\n");
    for (const char* code : {"C103", "C117", "C111", "C113"}) EXPECT_THAT(mistakes, HasSubstr(code));
    EXPECT_THAT(mistakes_of("[]"), HasSubstr("C1"));
    EXPECT_THAT(mistakes_of(around("steps: { filter: policy }\n" + kGoodPosting)), HasSubstr("error C107"));
    EXPECT_THAT(mistakes_of(around("steps: [policy]\n" + kGoodPosting)), HasSubstr("error C108"));
    EXPECT_THAT(mistakes_of(around("steps:\n  - filter:\n    drop: { a: flag }\n" + kGoodPosting)),
                HasSubstr("error C110"));
    EXPECT_THAT(mistakes_of(around("postings: { p: nothing }\n")), HasSubstr("error C112"));
}

}  // namespace
}  // namespace takt::harness
