#include "pipeline/journal/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/journal/durable_text.h"
#include "tests/support/simulated_disk.h"
#include "tests/unit/pipeline/journal/sample_frame.h"

namespace takt {
namespace {

using sample::text_of;
using testing::AnyOf;
using testing::HasSubstr;
using Kept = SimulatedDisk::Kept;

const std::string kFirst = "journal/FIRST";
std::string segment(std::uint64_t number) {
    return "journal/" + segment_name(number);
}

Journal::Options small_segments() {
    Journal::Options options;
    options.segment_bytes = 4096;
    return options;
}

Result<std::unique_ptr<Journal>> open(Disk& disk, std::uint64_t incarnation,
                                      const Journal::Options& options = small_segments()) {
    // As StateDirectory does it.
    if (disk.make_directory("journal") || disk.sync_directory(".")) return Error{"E700", "no folder"};
    FrameContext context = sample::context();
    context.incarnation = incarnation;
    return Journal::open(disk, "journal", std::move(context), options);
}

std::unique_ptr<Journal> must_open(Disk& disk, std::uint64_t incarnation,
                                   const Journal::Options& options = small_segments()) {
    Result<std::unique_ptr<Journal>> journal = open(disk, incarnation, options);
    EXPECT_TRUE(journal) << journal.error().text();
    return std::move(journal).value();
}

std::string code_of(const Status& status) {
    return status ? "good" : status.error().code;
}
template <typename T>
std::string code_of(const Result<T>& result) {
    return result ? "good" : result.error().code;
}

/// What epoch N always is: of many sizes, some longer than a segment, some with sectors of zeros.
Frame frame_of(std::uint64_t epoch) {
    constexpr std::array<std::size_t, 6> kSizes = {0, 700, 100, 2500, 6000, 1300};
    Frame frame = epoch % 5 == 4 ? sample::full_frame(epoch) : sample::frame_of_size(epoch, kSizes[epoch % 6]);
    if (epoch % 7 == 3) frame.result.dead_letters[0].bytes.append(1600, '\0');
    return frame;
}

/// Reads from an epoch to the end and holds each frame against what it must be.
void expect_frames(const Journal& journal, std::uint64_t from) {
    auto reader = journal.read(from);
    ASSERT_TRUE(reader) << reader.error().text();
    for (std::uint64_t epoch = from; epoch <= journal.last_epoch(); ++epoch) {
        const auto stored = reader->next();
        ASSERT_TRUE(stored) << stored.error().text();
        ASSERT_TRUE(*stored) << epoch;
        ASSERT_EQ(text_of((*stored)->frame), text_of(frame_of(epoch)));
    }
    const auto end = reader->next();
    ASSERT_TRUE(end);
    EXPECT_FALSE(*end);
}

TEST(Journal, FramesComeBackFromAnyEpoch) {
    SimulatedDisk disk(1);
    {
        auto journal = must_open(disk, 1);
        EXPECT_EQ(journal->last_epoch(), 0u);
        EXPECT_EQ(journal->first_epoch(), 1u);
        expect_frames(*journal, 1);
        for (std::uint64_t epoch = 1; epoch <= 20; ++epoch) ASSERT_TRUE(journal->append(frame_of(epoch)));
        EXPECT_EQ(journal->last_epoch(), 20u);
    }
    const auto journal = must_open(disk, 2);
    EXPECT_EQ(journal->last_epoch(), 20u);
    EXPECT_EQ(journal->torn_bytes(), 0u);
    EXPECT_GT(journal->segments(), 5u);
    for (std::uint64_t from = 1; from <= 21; ++from) expect_frames(*journal, from);
}

TEST(Journal, AFrameCostsOneSynchronization) {
    SimulatedDisk disk(1);
    Journal::Options options;
    options.segment_bytes = 1 << 20;
    auto journal = must_open(disk, 1, options);
    const std::uint64_t operations = disk.operations();
    const std::uint64_t synchronizations = disk.synchronizations();
    for (std::uint64_t epoch = 1; epoch <= 10; ++epoch) ASSERT_TRUE(journal->append(frame_of(epoch)));
    EXPECT_EQ(disk.synchronizations() - synchronizations, 10u);
    EXPECT_EQ(disk.operations() - operations, 20u);  // a write and a synchronization
}

constexpr std::uint64_t kFrames = 14;

/// A run of the daemon until the power is cut: what must be there afterwards.
struct DaemonRun {
    std::uint64_t durable = 0;  ///< the last epoch for which append returned
    std::uint64_t kept_from = 1;
    bool was_cut = false;
};

DaemonRun run(SimulatedDisk& disk, std::uint64_t cut) {
    DaemonRun done;
    disk.cut_power_at(cut);
    try {
        const auto journal = open(disk, 1);
        CHECK(journal);
        for (std::uint64_t epoch = 1; epoch <= kFrames; ++epoch) {
            CHECK((*journal)->append(frame_of(epoch)));
            done.durable = epoch;
            if (epoch == 9) {
                done.kept_from = 8;
                CHECK((*journal)->drop_before(8));
            }
        }
    } catch (SimulatedDisk::PowerCut) {
        done.was_cut = true;
    }
    return done;
}

void expect_after(SimulatedDisk& disk, std::uint64_t incarnation, const DaemonRun& done) {
    auto journal = open(disk, incarnation);
    ASSERT_TRUE(journal) << journal.error().text();
    const std::uint64_t last = (*journal)->last_epoch();
    ASSERT_THAT(last, AnyOf(done.durable, done.durable + 1));
    ASSERT_LE((*journal)->first_epoch(), done.kept_from);
    expect_frames(**journal, (*journal)->first_epoch());
    // What was said to be there is there, also when the power is cut at once.
    disk.start_again(Kept::nothing);
    journal = open(disk, incarnation + 1);
    ASSERT_TRUE(journal) << journal.error().text();
    ASSERT_EQ((*journal)->last_epoch(), last);
    ASSERT_TRUE((*journal)->append(frame_of(last + 1)));
    ASSERT_TRUE((*journal)->append(frame_of(last + 2)));
    disk.start_again(Kept::nothing);
    journal = open(disk, incarnation + 2);
    ASSERT_TRUE(journal) << journal.error().text();
    ASSERT_EQ((*journal)->last_epoch(), last + 2);
    expect_frames(**journal, (*journal)->first_epoch());
}

/// Where the power is cut while the journal recovers from a first cut; 0: nowhere.
void expect_recovery(std::uint64_t seed, Kept kept, std::uint64_t cut, std::uint64_t second, bool& was_cut,
                     bool& second_was_cut) {
    SCOPED_TRACE(fmt::format("seed {} kept {} cut {} second {}", seed, int(kept), cut, second));
    SimulatedDisk disk(seed);
    const DaemonRun done = run(disk, cut);
    was_cut = done.was_cut;
    disk.start_again(kept);
    second_was_cut = false;
    if (second > 0) {
        disk.cut_power_at(disk.operations() + second);
        try {
            const auto journal = open(disk, 2);
            ASSERT_TRUE(journal) << journal.error().text();
        } catch (SimulatedDisk::PowerCut) {
            second_was_cut = true;
        }
        disk.start_again(kept);
    }
    expect_after(disk, 3, done);
}

TEST(Journal, HasEveryDurableFrameWhereverThePowerIsCut) {
    std::uint64_t runs = 0;
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
        const Kept kept = seed == 0 ? Kept::nothing : seed == 1 ? Kept::everything : Kept::some;
        bool was_cut = true;
        for (std::uint64_t cut = 1; was_cut; ++cut) {
            bool second_was_cut = true;
            for (std::uint64_t second = 0; second == 0 || second_was_cut; ++second, ++runs) {
                expect_recovery(seed, kept, cut, second, was_cut, second_was_cut);
                if (HasFatalFailure()) return;
            }
        }
    }
    EXPECT_GT(runs, 1000u);
}

TEST(Journal, BuildsOnNothingThatOnlyMemoryKnows) {
    // The process dies, the machine does not: what it had written is read, but was not synchronized.
    bool was_cut = true;
    for (std::uint64_t cut = 1; was_cut; ++cut) {
        SCOPED_TRACE(cut);
        SimulatedDisk disk(1);
        DaemonRun done = run(disk, cut);
        was_cut = done.was_cut;
        disk.cut_power_at(0);
        done.durable = must_open(disk, 2)->last_epoch();
        ASSERT_TRUE(must_open(disk, 3)->append(frame_of(++done.durable)));
        disk.start_again(Kept::nothing);
        expect_after(disk, 4, done);
        if (HasFatalFailure()) return;
    }
}

/// Three frames: small, of several sectors, and with sectors of zeros.
void three_frames(SimulatedDisk& disk) {
    Journal::Options options;
    options.segment_bytes = 8192;
    auto journal = must_open(disk, 1, options);
    for (std::uint64_t epoch = 1; epoch <= 3; ++epoch) CHECK(journal->append(frame_of(epoch)));
    CHECK(journal->segments() == 1);
}

/// Opens what was damaged: the code that stops it, or "good" where all three frames are as they were.
std::string opened(SimulatedDisk& disk) {
    const auto journal = open(disk, 2);
    if (!journal) return journal.error().code;
    EXPECT_EQ((*journal)->last_epoch(), 3u);
    if ((*journal)->last_epoch() == 3) expect_frames(**journal, 1);
    return "good";
}

TEST(Journal, EveryFlippedBitIsSeenOrHarmless) {
    SimulatedDisk disk(1);
    three_frames(disk);
    std::uint64_t used = 0;
    for (const std::string& name : {segment(1), kFirst}) {
        const std::string good = disk.content(name);
        for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
            SCOPED_TRACE(fmt::format("{} bit {}", name, bit));
            std::string damaged = good;
            damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
            disk.set_content(name, damaged);
            const std::string code = opened(disk);
            if (HasFailure()) return;
            if (name == kFirst) {
                ASSERT_EQ(code, "F705");
            } else if (code != "good") {
                ASSERT_EQ(code, "F706");
                used = bit / 8;
            }
            disk.set_content(name, good);
        }
    }
    // Flips in every frame are seen; only in the zeros behind them, from their second sector on, are they not.
    EXPECT_EQ((used + 1) % kSectorBytes, 0u);
    EXPECT_GT(used, 512u + 1024u + 3072u);
}

TEST(Journal, LostSectorsAreTornInTheLastFrameAndDamageInOthers) {
    SimulatedDisk disk(1);
    three_frames(disk);
    const std::string good = disk.content(segment(1));
    std::vector<std::size_t> begins;
    std::size_t end = 0;
    for (FrameHeader header; read_frame_header(std::string_view(good).substr(end), header) == HeaderState::good;
         end += header.size_bytes())
        begins.push_back(end);
    ASSERT_EQ(begins.size(), 3u);
    const std::string zeros(kSectorBytes, '\0');
    const std::size_t last_sectors = (end - begins[2]) / kSectorBytes;
    for (std::size_t lost = 1; lost < std::size_t{1} << last_sectors; ++lost) {
        std::string torn = good;
        for (std::size_t i = 0; i < last_sectors; ++i) {
            if ((lost >> i & 1) != 0) torn.replace(begins[2] + i * kSectorBytes, kSectorBytes, zeros);
        }
        disk.set_content(segment(1), torn);
        const auto journal = open(disk, 2);
        ASSERT_TRUE(journal) << lost << ": " << journal.error().text();
        if (torn == good) {  // it was one of zeros
            ASSERT_EQ((*journal)->last_epoch(), 3u);
            continue;
        }
        ASSERT_EQ((*journal)->last_epoch(), 2u);
        expect_frames(**journal, 1);
        // Nothing of it is left.
        ASSERT_EQ(disk.content(segment(1)), good.substr(0, begins[2]) + std::string(good.size() - begins[2], '\0'));
    }
    for (std::size_t at = 0; at < begins[2]; at += kSectorBytes) {
        std::string damaged = good;
        damaged.replace(at, kSectorBytes, zeros);
        disk.set_content(segment(1), damaged);
        EXPECT_EQ(code_of(open(disk, 2)), "F706") << at;
    }
}

TEST(Journal, FramesThatAreNotInTheirPlaceAreSeen) {
    SimulatedDisk disk(1);
    {
        auto journal = must_open(disk, 1);
        for (std::uint64_t epoch = 1; epoch <= 20; ++epoch) ASSERT_TRUE(journal->append(frame_of(epoch)));
        ASSERT_GT(journal->segments(), 5u);
    }
    const std::string third = disk.content(segment(3));
    const std::string fourth = disk.content(segment(4));
    const auto damaged = [&](std::uint64_t number, const std::string& bytes) {
        const std::string before = disk.content(segment(number));
        disk.set_content(segment(number), bytes);
        const auto journal = open(disk, 2);
        disk.set_content(segment(number), before);
        return journal ? std::string("good") : journal.error().text();
    };
    EXPECT_THAT(damaged(3, fourth), HasSubstr("F707: the journal has a gap: journal/00000003.jnl at byte 0 has epoch"));
    EXPECT_THAT(damaged(3, std::string(4096, '\0')), HasSubstr("F707"));
    EXPECT_THAT(damaged(3, ""), HasSubstr("F707"));
    EXPECT_THAT(damaged(3, third.substr(0, 600)), HasSubstr("F706"));
    // A torn frame can only be the last one.
    std::string torn = third;
    torn.replace(0, 512, std::string(512, '\0'));
    EXPECT_THAT(damaged(3, torn), HasSubstr("F706"));
    std::uint64_t number = 1;
    for (FrameHeader header; header.size_bytes() <= 4096; ++number)
        ASSERT_EQ(read_frame_header(disk.content(segment(number)), header), HeaderState::good);
    torn = disk.content(segment(--number));
    torn.replace(1024, 512, std::string(512, '\0'));
    EXPECT_THAT(damaged(number, torn), HasSubstr("there is a later segment"));
    // A frame of the same epoch with another history.
    SimulatedDisk other(1);
    {
        auto journal = must_open(other, 1);
        for (std::uint64_t epoch = 1; epoch <= 20; ++epoch)
            ASSERT_TRUE(journal->append(epoch == 1 ? sample::small_frame(1) : frame_of(epoch)));
    }
    EXPECT_THAT(damaged(3, other.content(segment(3))), HasSubstr("F707"));
    EXPECT_EQ(damaged(3, third), "good");

    for (const std::uint64_t lost : {1u, 3u}) {
        const std::string content = disk.content(segment(lost));
        ASSERT_FALSE(disk.unlink(segment(lost)));
        EXPECT_EQ(code_of(open(disk, 2)), "F707") << lost;
        std::unique_ptr<File> file;
        ASSERT_FALSE(disk.open(segment(lost), Disk::Open::empty, file));
        disk.set_content(segment(lost), content);
    }
    EXPECT_EQ(code_of(open(disk, 2)), "good");
    ASSERT_FALSE(disk.unlink(kFirst));
    EXPECT_EQ(code_of(open(disk, 2)), "F707");
    for (std::vector<std::string> names = {"", ""}; names.size() > 1; names.pop_back()) {
        ASSERT_FALSE(disk.list("journal", names));
        if (names.size() > 1) {
            ASSERT_FALSE(disk.unlink("journal/" + names.back()));
        }
    }
    ASSERT_TRUE(disk.exists(segment(1)));
    EXPECT_EQ(code_of(open(disk, 2)), "F707");
}

TEST(Journal, AJournalWithoutItsSegmentsIsNoNewOne) {
    SimulatedDisk disk(1);
    three_frames(disk);
    ASSERT_FALSE(disk.unlink(segment(1)));
    EXPECT_EQ(code_of(open(disk, 2)), "F707");
}

TEST(Journal, ALaterFormatIsRefused) {
    SimulatedDisk disk(1);
    three_frames(disk);
    disk.set_content(kFirst, DurableText{"takt-journal", 2, {}}.text());
    EXPECT_EQ(code_of(open(disk, 2)), "F704");
}

TEST(Journal, AnIncarnationNeverComesBack) {
    SimulatedDisk disk(1);
    three_frames(disk);
    EXPECT_EQ(code_of(open(disk, 1)), "F712");
    EXPECT_EQ(code_of(open(disk, 2)), "good");
}

TEST(Journal, WhatWasDroppedCannotBeRead) {
    SimulatedDisk disk(1);
    auto journal = must_open(disk, 1);
    for (std::uint64_t epoch = 1; epoch <= 20; ++epoch) ASSERT_TRUE(journal->append(frame_of(epoch)));
    const std::size_t segments = journal->segments();
    ASSERT_TRUE(journal->drop_before(1));
    EXPECT_EQ(journal->segments(), segments);
    std::uint64_t first = 1;
    for (std::uint64_t epoch = 2; epoch <= 20; ++epoch) {
        ASSERT_TRUE(journal->drop_before(epoch));
        EXPECT_GE(journal->first_epoch(), first);
        EXPECT_LE(journal->first_epoch(), epoch);
        first = journal->first_epoch();
        expect_frames(*journal, first);
        EXPECT_EQ(code_of(journal->read(first - 1)), "F711");
    }
    EXPECT_GT(first, 15u);
    ASSERT_TRUE(journal->drop_before(1000));
    EXPECT_EQ(journal->segments(), 1u);
    std::vector<std::string> names;
    ASSERT_FALSE(disk.list("journal", names));
    EXPECT_EQ(names.size(), 2u);  // FIRST and the last segment
    journal = must_open(disk, 2);
    EXPECT_EQ(journal->last_epoch(), 20u);
    EXPECT_EQ(journal->segments(), 1u);
    expect_frames(*journal, journal->first_epoch());
}

TEST(Journal, WithoutRoomNothingIsWrittenAndTheFrameCanComeLater) {
    SimulatedDisk disk(1);
    auto journal = must_open(disk, 1);
    disk.set_capacity(6 * 4096);
    std::uint64_t epoch = 1;
    while (journal->append(frame_of(epoch))) ++epoch;
    ASSERT_LT(epoch, 30u);
    std::vector<std::string> before;
    ASSERT_FALSE(disk.list("journal", before));
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(code_of(journal->append(frame_of(epoch))), "E701");
        EXPECT_EQ(code_of(journal->make_room(8192)), "E701");
        EXPECT_EQ(journal->last_epoch(), epoch - 1);
    }
    std::vector<std::string> after;
    ASSERT_FALSE(disk.list("journal", after));
    EXPECT_EQ(after, before);
    expect_frames(*journal, 1);
    disk.set_capacity(20 * 4096);
    EXPECT_TRUE(journal->make_room(8192));
    EXPECT_TRUE(journal->append(frame_of(epoch)));
    disk.start_again(Kept::nothing);
    journal = must_open(disk, 2);
    EXPECT_EQ(journal->last_epoch(), epoch);
    expect_frames(*journal, 1);
}

TEST(Journal, LeavesTheReserveFree) {
    SimulatedDisk disk(1);
    Journal::Options options = small_segments();
    options.reserve_bytes = 10000;
    disk.set_capacity(4096 + 10000 + 200);  // FIRST takes some, too
    auto journal = must_open(disk, 1, options);
    EXPECT_EQ(code_of(journal->make_room(4096)), "good");
    EXPECT_EQ(code_of(journal->make_room(4097)), "E701");
    options.reserve_bytes = 20000;
    SimulatedDisk full(1);
    full.set_capacity(20000);
    EXPECT_EQ(code_of(open(full, 1, options)), "E701");
    full.set_capacity(30000);
    EXPECT_EQ(code_of(open(full, 1, options)), "good");
}

TEST(Journal, ReservedSpaceThatIsNotEnoughLeavesNothingBehind) {
    // Some file systems need room for what was reserved. The next frame is a shorter one, or goes into a new segment.
    for (const std::size_t next : {std::size_t{0}, std::size_t{6000}}) {
        SimulatedDisk disk(1);
        auto journal = must_open(disk, 1);
        disk.fail_at(disk.operations() + 1, std::errc::no_space_on_device);
        EXPECT_EQ(code_of(journal->append(sample::frame_of_size(1, 3500))), "E701");
        EXPECT_EQ(journal->last_epoch(), 0u);
        ASSERT_TRUE(journal->append(sample::frame_of_size(1, next)));
        ASSERT_TRUE(journal->append(frame_of(2)));
        journal = must_open(disk, 2);
        EXPECT_EQ(journal->last_epoch(), 2u);
        expect_frames(*journal, 2 + 1);
        auto reader = journal->read(1);
        const auto first = reader->next();
        ASSERT_TRUE(first && *first);
        EXPECT_EQ(text_of((*first)->frame), text_of(sample::frame_of_size(1, next)));
    }
}

TEST(Journal, AnErrorOfTheDiskEndsTheProcessOrLeavesItAsItWas) {
    std::map<std::string, int> codes;
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
        for (std::uint64_t operation = 1;; ++operation) {
            SCOPED_TRACE(fmt::format("seed {} operation {}", seed, operation));
            SimulatedDisk disk(seed);
            Journal::Options options = small_segments();
            int lost = 0;
            options.on_lost = [&](const Error&) { ++lost; };
            auto journal = must_open(disk, 1, options);
            disk.fail_at(disk.operations() + operation, std::errc::io_error);
            std::uint64_t durable = 0;
            std::string code = "good";
            const auto keep_going = [&](const Status& status) {
                if (!status && code == "good") code = status.error().code;
                return status.ok();
            };
            for (std::uint64_t epoch = 1; epoch <= kFrames && code != "F709"; ++epoch) {
                // What is not lost can be tried again.
                if (!keep_going(journal->append(frame_of(epoch))) && code != "F709")
                    keep_going(journal->append(frame_of(epoch)));
                durable = journal->last_epoch();
                if (epoch == 9 && code != "F709") keep_going(journal->drop_before(8));
            }
            ++codes[code];
            EXPECT_EQ(lost, code == "F709" ? 1 : 0);
            if (lost > 0) {
                EXPECT_EQ(code_of(journal->append(frame_of(durable + 1))), "F709");
                EXPECT_EQ(code_of(journal->make_room(1)), "F709");
                EXPECT_EQ(code_of(journal->drop_before(durable)), "F709");
                EXPECT_EQ(lost, 1);
            } else {
                EXPECT_EQ(durable, kFrames);
            }
            disk.start_again(seed == 0 ? Kept::nothing : seed == 1 ? Kept::everything : Kept::some);
            expect_after(disk, 2, {durable, 8, false});
            if (HasFatalFailure()) return;
            if (code == "good") break;
        }
    }
    EXPECT_THAT(codes, testing::UnorderedElementsAre(testing::Key("good"), testing::Key("E700"), testing::Key("F709")));
}

TEST(Journal, AFrameThatCouldNotBeSynchronizedIsWrittenOnceMore) {
    SimulatedDisk disk(1);
    Journal::Options options;
    options.segment_bytes = 1 << 20;
    options.on_lost = [](const Error&) {};
    {
        const auto journal = must_open(disk, 1, options);
        ASSERT_TRUE(journal->append(frame_of(1)));
        disk.fail_at(disk.operations() + 2, std::errc::io_error);
        ASSERT_EQ(code_of(journal->append(frame_of(2))), "F709");
    }
    // The machine goes on and holds the frame for written: who finds it may release it.
    disk.end_process();
    ASSERT_EQ(must_open(disk, 2, options)->last_epoch(), 2u);
    disk.start_again(Kept::nothing);
    EXPECT_EQ(must_open(disk, 3, options)->last_epoch(), 2u);
}

TEST(JournalDeathTest, AFailedSynchronizationAborts) {
    SimulatedDisk disk(1);
    auto journal = must_open(disk, 1);
    disk.fail_at(disk.operations() + 2, std::errc::io_error);
    EXPECT_DEATH((void)journal->append(frame_of(1)), "F709");
}

}  // namespace
}  // namespace takt
