// What does not balance stops the engine before anything of its epoch is durable or delivered.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>

#include "pipeline/runtime/engine.h"
#include "tests/unit/pipeline/runtime/synthetic_plan.h"

namespace takt {
namespace {

using synthetic::Event;
using testing::HasSubstr;

/// Ten blocks of ten messages; before the sixth one five sequences are missing, which it tells or not.
class GapSource final : public Source {
  public:
    explicit GapSource(std::optional<SequenceHole> told) : told_(told) {}
    Status open(const SourcePosition&) override { return {}; }
    Result<State> read(const Limits&, MessageBlock& block) override {
        std::vector<Event> events;
        for (std::uint64_t i = 0; i < 10; ++i)
            events.push_back(
                {.id = next_ + i, .key = 1, .time = static_cast<std::int64_t>(10'000 * (next_ + i)), .amount = 1});
        if (next_ == 51) {
            next_ += 5;
            if (told_) block.holes.push_back(*told_);
        }
        const MessageBlock made = *synthetic::make_block(events, next_);
        block.messages = made.messages;
        block.keep = made.keep;
        block.size_bytes = made.size_bytes;
        next_ += 10;
        return next_ > 100 ? State::end : State::more;
    }
    SourcePosition position() const override { return {next_, {}}; }
    std::string describe() const override { return "gaps"; }

  private:
    std::optional<SequenceHole> told_;
    std::uint64_t next_ = 1;
};

class KeepingLog final : public EpochLog {
  public:
    Result<Past> recover() override { return Past{}; }
    Status append(const EpochResult& epoch, const SinkAnswers&) override {
        epochs.push_back(epoch);
        return {};
    }
    Status snapshot(const EngineState&, std::uint64_t) override { return {}; }
    std::vector<EpochResult> epochs;
};

struct Ran {
    Status ended;
    std::vector<EpochResult> durable;
    EngineStatus status;
};

Ran run(std::optional<SequenceHole> told) {
    auto made = synthetic::make_plan({.sources = 1});
    made->plan.sources[0].make = [told]() -> Result<std::unique_ptr<Source>> {
        return std::unique_ptr<Source>(new GapSource(told));
    };
    made->plan.epoch_messages = 10;
    KeepingLog log;
    Engine::Options options;
    options.log = &log;
    Engine engine(made->plan, options);
    Ran ran;
    ran.ended = engine.run();
    ran.durable = std::move(log.epochs);
    ran.status = engine.status();
    return ran;
}

bool balances(const EngineStatus& status, const std::string& name) {
    for (const EquationStatus& equation : status.equations) {
        if (equation.name == name) return equation.balances;
    }
    ADD_FAILURE() << "no equation " << name;
    return false;
}

TEST(EngineAudit, AHoleThatTheSourceTellsBalances) {
    const Ran ran = run(SequenceHole{51, 55, HoleKind::deleted});
    EXPECT_TRUE(ran.ended.ok()) << ran.ended.error().text();
    const SourceSum& sum = ran.durable.back().audit.sources[0];
    EXPECT_EQ(sum.received, 100u);
    EXPECT_EQ(sum.holes[static_cast<std::size_t>(HoleKind::deleted)], 5u);
    EXPECT_EQ(ran.durable.back().cuts[0].last_sequence, 105u);
    EXPECT_TRUE(balances(ran.status, "sequence"));
    EXPECT_TRUE(balances(ran.status, "double entry"));
    ASSERT_EQ(ran.status.sources[0].holes.size(), kHoleKinds);
    EXPECT_EQ(ran.status.sources[0].holes[2], (std::pair<std::string, std::uint64_t>("deleted", 5)));
}

TEST(EngineAudit, AHoleOfNobodyStopsItBeforeTheEpochIsDurable) {
    for (const auto& told : {std::optional<SequenceHole>(), std::optional(SequenceHole{51, 54, HoleKind::lost})}) {
        const Ran ran = run(told);
        ASSERT_FALSE(ran.ended.ok());
        EXPECT_EQ(ran.ended.error().code, "F622");
        EXPECT_THAT(ran.ended.error().message, HasSubstr("equation 1 (sequence): source"));
        EXPECT_EQ(ran.durable.size(), 5u) << "the sixth epoch must not be there";
        EXPECT_FALSE(balances(ran.status, "sequence"));
        EXPECT_TRUE(balances(ran.status, "value"));
    }
}

}  // namespace
}  // namespace takt
