#include "sinks/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/sinks/sample_posting.h"

namespace takt {
namespace {

const SinkType& sink_type(std::string_view name) {
    for (const SinkType* type : sink_catalog())
        if (type->name() == name) return *type;
    ADD_FAILURE() << "no sink " << name;
    return *sink_catalog().front();
}

TEST(SinkCatalog, EachSinkHasHelpAndDescribedOptions) {
    std::vector<std::string> names;
    for (const SinkType* type : sink_catalog()) {
        names.emplace_back(type->name());
        EXPECT_FALSE(type->help().empty());
        for (const OptionDoc& doc : type->docs()) EXPECT_FALSE(doc.help.empty()) << type->name() << " " << doc.name;
    }
    EXPECT_THAT(names, testing::ElementsAre("sqlite", "jetstream", "nats", "file", "stdout", "discard"));
}

TEST(SinkCatalog, AShortFormNamesTheLedgerBesideTheConfig) {
    const sample::Folder folder;
    Mistakes mistakes;
    const ConfigNode config = parse_config(folder / "plant.yaml", "sqlite: sub/ledger.db\n", mistakes);
    const auto make = sink_type("sqlite").plan("ledger", *config.find("sqlite"), "plant", mistakes);
    ASSERT_TRUE(make) << mistakes.render();
    auto sink = (*make)();
    ASSERT_TRUE(sink.ok());
    ASSERT_TRUE((*sink)->open().ok());
    EXPECT_TRUE(std::filesystem::exists(folder / "sub/ledger.db"));
}

TEST(SinkCatalog, AMistakeIsReportedAtItsPlace) {
    Mistakes mistakes;
    const ConfigNode config = parse_config("plant.yaml", "file: { path: out, fromat: csv }\n", mistakes);
    EXPECT_FALSE(sink_type("file").plan("out", *config.find("file"), "plant", mistakes));
    EXPECT_THAT(mistakes.render(),
                testing::HasSubstr("plant.yaml:1:20: error C104: unknown option 'fromat' in sink 'out' (file)"));
}

TEST(SinkCatalog, StandardOutputAndDiscardNeedNoOptions) {
    Mistakes mistakes;
    const ConfigNode config = parse_config("plant.yaml", "a: {}\nb:\n", mistakes);
    EXPECT_TRUE(sink_type("stdout").plan("o", *config.find("a"), "plant", mistakes)) << mistakes.render();
    EXPECT_TRUE(sink_type("discard").plan("d", *config.find("b"), "plant", mistakes)) << mistakes.render();
}

}  // namespace
}  // namespace takt
