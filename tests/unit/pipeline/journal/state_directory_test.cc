#include "pipeline/journal/state_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/journal/durable_text.h"
#include "tests/support/simulated_disk.h"
#include "tests/unit/pipeline/journal/journal_folder.h"

namespace takt {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const StateIdentity kPlant = {.pipeline = "plant"};

std::string code_of(const Result<StateDirectory>& state) {
    return state ? "opened" : state.error().code;
}

TEST(StateDirectory, EachOpenIsANewIncarnation) {
    const JournalFolder folder;
    for (std::uint64_t expected = 1; expected <= 3; ++expected) {
        const auto state = StateDirectory::open(real_disk(), folder / "plants/press/state/", kPlant);
        ASSERT_TRUE(state) << state.error().text();
        EXPECT_EQ(state->incarnation(), expected);
        std::vector<std::string> names;
        EXPECT_FALSE(real_disk().list(state->journal_folder(), names));
    }
}

TEST(StateDirectory, ASecondOwnerIsToldWhoHoldsIt) {
    const JournalFolder folder;
    auto first = StateDirectory::open(real_disk(), folder / "state", kPlant, {4711, "a-boot"});
    ASSERT_TRUE(first);
    {
        const auto second = StateDirectory::open(real_disk(), folder / "state", kPlant);
        ASSERT_FALSE(second);
        EXPECT_EQ(second.error().code, "E702");
        EXPECT_THAT(second.error().message, HasSubstr("process 4711, incarnation 1, boot a-boot"));
    }
    first = Error{"E702", "let go"};
    const auto third = StateDirectory::open(real_disk(), folder / "state", kPlant, {1, "b"});
    ASSERT_TRUE(third);
    EXPECT_EQ(third->incarnation(), 2u);  // the refused one was none
    const auto fourth = StateDirectory::open(real_disk(), folder / "state", kPlant);
    EXPECT_THAT(fourth.error().message, testing::EndsWith("process 1, incarnation 2, boot b"));
}

TEST(StateDirectory, ThisProcessKnowsTheBootOfTheMachine) {
    EXPECT_EQ(this_process().boot.size(), 36u) << this_process().boot;
}

TEST(StateDirectory, BelongsToOnePipelineForGood) {
    SimulatedDisk disk(1);
    ASSERT_TRUE(StateDirectory::open(disk, "state", kPlant));
    EXPECT_EQ(code_of(StateDirectory::open(disk, "state", {.pipeline = "plant", .key_groups = 256})), "C703");
    EXPECT_EQ(code_of(StateDirectory::open(disk, "state", {.pipeline = "plant", .hash = "md5"})), "C703");
    const auto other = StateDirectory::open(disk, "state", {.pipeline = "other"});
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, "C703");
    EXPECT_THAT(other.error().message, HasSubstr("its pipeline is 'plant', not 'other'"));
    EXPECT_EQ(StateDirectory::open(disk, "state", kPlant)->incarnation(), 2u);
}

TEST(StateDirectory, EveryDamagedByteOfItsFilesIsSeen) {
    for (const std::string name : {"state/IDENTITY", "state/INCARNATION"}) {
        SimulatedDisk disk(1);
        ASSERT_TRUE(StateDirectory::open(disk, "state", kPlant));
        const std::string good = disk.content(name);
        for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
            std::string damaged = good;
            damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
            disk.set_content(name, damaged);
            EXPECT_EQ(code_of(StateDirectory::open(disk, "state", kPlant)), "F705") << name << " bit " << bit;
        }
        for (std::size_t size = 0; size < good.size(); ++size) {
            disk.set_content(name, good.substr(0, size));
            EXPECT_EQ(code_of(StateDirectory::open(disk, "state", kPlant)), "F705") << name << " size " << size;
        }
    }
}

TEST(StateDirectory, ALostFileIsSeen) {
    SimulatedDisk disk(1);
    ASSERT_TRUE(StateDirectory::open(disk, "state", kPlant));
    const std::string identity = disk.content("state/IDENTITY");
    ASSERT_FALSE(disk.unlink("state/INCARNATION"));
    EXPECT_EQ(code_of(StateDirectory::open(disk, "state", kPlant)), "F705");

    SimulatedDisk other(1);
    ASSERT_TRUE(StateDirectory::open(other, "state", kPlant));
    ASSERT_FALSE(other.unlink("state/IDENTITY"));
    EXPECT_EQ(StateDirectory::open(other, "state", kPlant)->incarnation(),
              2u);  // as after a crash before it was written
    std::unique_ptr<File> segment;
    ASSERT_FALSE(other.open("state/journal/00000001.jnl", Disk::Open::empty, segment));
    ASSERT_FALSE(other.unlink("state/IDENTITY"));
    EXPECT_EQ(code_of(StateDirectory::open(other, "state", kPlant)), "F705");
}

TEST(StateDirectory, ALaterFormatIsRefused) {
    SimulatedDisk disk(1);
    ASSERT_TRUE(StateDirectory::open(disk, "state", kPlant));
    disk.set_content("state/IDENTITY", DurableText{"takt-state", 2, {{"pipeline", "plant"}}}.text());
    EXPECT_EQ(code_of(StateDirectory::open(disk, "state", kPlant)), "F704");
    disk.set_content("state/IDENTITY", DurableText{"takt-incarnation", 1, {}}.text());
    EXPECT_EQ(code_of(StateDirectory::open(disk, "state", kPlant)), "F705");
}

TEST(StateDirectory, TheNumberRisesWhereverThePowerIsCut) {
    for (const auto kept : {SimulatedDisk::Kept::nothing, SimulatedDisk::Kept::everything, SimulatedDisk::Kept::some}) {
        for (std::uint64_t seed = 0; seed < (kept == SimulatedDisk::Kept::some ? 50u : 1u); ++seed) {
            for (std::uint64_t cut = 1;; ++cut) {
                SimulatedDisk disk(seed);
                std::uint64_t highest = 0;
                bool was_cut = false;
                disk.cut_power_at(cut);
                try {
                    for (int opens = 0; opens < 3; ++opens) {
                        const auto state = StateDirectory::open(disk, "plants/press/state", kPlant);
                        ASSERT_TRUE(state) << state.error().text();
                        highest = state->incarnation();
                    }
                } catch (SimulatedDisk::PowerCut) {
                    was_cut = true;
                }
                disk.start_again(kept);
                const auto state = StateDirectory::open(disk, "plants/press/state", kPlant);
                ASSERT_TRUE(state) << "cut " << cut << " seed " << seed << ": " << state.error().text();
                EXPECT_GT(state->incarnation(), highest) << "cut " << cut << " seed " << seed;
                if (!was_cut) break;
            }
        }
    }
}

TEST(StateDirectory, AnErrorOfTheDiskHasItsCode) {
    std::map<std::string, int> codes;
    for (const auto failure : {std::errc::io_error, std::errc::no_space_on_device}) {
        for (std::uint64_t operation = 1;; ++operation) {
            SimulatedDisk disk(1);
            disk.fail_at(operation, failure);
            const std::string code = code_of(StateDirectory::open(disk, "state", kPlant));
            ++codes[code];
            if (code == "opened") break;
        }
    }
    // Ten other operations and six synchronizations, each twice.
    EXPECT_THAT(codes, testing::UnorderedElementsAre(testing::Pair("opened", 2), testing::Pair("E700", 10),
                                                     testing::Pair("E701", 10), testing::Pair("F709", 12)));
}

}  // namespace
}  // namespace takt
