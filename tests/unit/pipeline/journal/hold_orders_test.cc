#include "pipeline/journal/hold_orders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/simulated_disk.h"

namespace takt {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

HoldOrder order_about(const std::string& key) {
    HoldOrder order;
    order.sink = "ledger";
    order.key = key;
    order.who = "anna";
    order.why = "the period is open again";
    return order;
}

std::vector<std::string> keys_of(const std::vector<HoldOrder>& orders) {
    std::vector<std::string> keys;
    for (const HoldOrder& order : orders) keys.push_back(order.key);
    return keys;
}

class HoldOrdersTest : public testing::Test {
  protected:
    HoldOrdersTest() { EXPECT_FALSE(disk_.make_directory("./state")); }
    std::vector<std::string> files() {
        std::vector<std::string> names;
        (void)disk_.list("./state/orders", names);
        return names;
    }
    SimulatedDisk disk_{1};
};

TEST_F(HoldOrdersTest, AreTakenOnceInTheirOrderUntilTheyAreForgotten) {
    HoldOrders daemon(disk_, "./state");
    EXPECT_THAT(daemon.take(), IsEmpty()) << "nobody has ordered anything";
    ASSERT_TRUE(write_hold_orders(disk_, "./state", {order_about("k1"), order_about("k2")}).ok());
    ASSERT_TRUE(write_hold_orders(disk_, "./state", {order_about("k3")}).ok());
    const std::vector<HoldOrder> taken = daemon.take();
    EXPECT_THAT(keys_of(taken), ElementsAre("k1", "k2", "k3"));
    EXPECT_EQ(taken[1].why, order_about("k2").why);
    EXPECT_EQ(taken[1].who, "anna");
    EXPECT_THAT(daemon.take(), IsEmpty());
    // The next life takes what this one did not bring into an epoch.
    daemon.forget({taken[0], taken[1]});
    EXPECT_THAT(files(), SizeIs(1));
    HoldOrders next(disk_, "./state");
    EXPECT_THAT(keys_of(next.take()), ElementsAre("k3"));
    daemon.forget({taken[0]});  // gone already
}

TEST_F(HoldOrdersTest, WhatAnEarlierRunHasFollowedIsNotTakenEvenWhereItsFileStays) {
    ASSERT_TRUE(write_hold_orders(disk_, "./state", {order_about("k1"), order_about("k2")}).ok());
    ASSERT_TRUE(write_hold_orders(disk_, "./state", {order_about("k3")}).ok());
    const std::vector<HoldOrder> followed = [&] {
        std::vector<HoldOrder> orders = HoldOrders(disk_, "./state").take();
        orders.resize(2);
        return orders;
    }();
    HoldOrders next(disk_, "./state");
    disk_.fail_at(disk_.operations() + 1, std::errc::io_error);
    next.forget_followed(followed);
    EXPECT_THAT(files(), SizeIs(2)) << "its file cannot be removed";
    EXPECT_THAT(keys_of(next.take()), ElementsAre("k3"));
    HoldOrders after(disk_, "./state");
    after.forget_followed(followed);
    EXPECT_THAT(files(), SizeIs(1));
    EXPECT_THAT(keys_of(after.take()), ElementsAre("k3"));
}

TEST_F(HoldOrdersTest, WhatIsForgottenMayComeBackUntilThatIsDurable) {
    ASSERT_TRUE(write_hold_orders(disk_, "./state", {order_about("k1")}).ok());
    ASSERT_FALSE(disk_.sync_directory("."));
    {
        HoldOrders daemon(disk_, "./state");
        daemon.forget(daemon.take());
        EXPECT_THAT(files(), IsEmpty());
    }
    disk_.start_again(SimulatedDisk::Kept::nothing);
    HoldOrders daemon(disk_, "./state");
    const std::vector<HoldOrder> orders = daemon.take();
    EXPECT_THAT(keys_of(orders), ElementsAre("k1"));
    disk_.fail_at(disk_.operations() + 1, std::errc::io_error);
    daemon.forget(orders);
    EXPECT_THAT(files(), SizeIs(1)) << "its file cannot be removed";
    ASSERT_TRUE(daemon.make_durable().ok());
    disk_.start_again(SimulatedDisk::Kept::nothing);
    EXPECT_THAT(files(), IsEmpty());
    EXPECT_TRUE(daemon.make_durable().ok());
}

TEST_F(HoldOrdersTest, AreThereWholeAfterAPowerCutOrNotAtAll) {
    for (std::uint64_t operation = 1;; ++operation) {
        SimulatedDisk disk(operation);
        ASSERT_FALSE(disk.make_directory("./state"));
        ASSERT_FALSE(disk.sync_directory("."));
        disk.cut_power_at(disk.operations() + operation);
        bool done = false;
        try {
            done = write_hold_orders(disk, "./state", {order_about("k1")}).ok();
        } catch (const SimulatedDisk::PowerCut&) {
        }
        disk.start_again(SimulatedDisk::Kept::nothing);
        HoldOrders daemon(disk, "./state");
        EXPECT_EQ(daemon.take().size(), done ? 1u : 0u) << "operation " << operation;
        if (done) break;
        ASSERT_LT(operation, 50u);
    }
}

TEST_F(HoldOrdersTest, WhatIsDamagedIsLeftAlone) {
    ASSERT_TRUE(write_hold_orders(disk_, "./state", {order_about("k1")}).ok());
    const std::string path = "./state/orders/" + files()[0];
    std::string bytes = disk_.content(path);
    bytes[200] = static_cast<char>(bytes[200] ^ 1);
    disk_.set_content(path, bytes);
    HoldOrders daemon(disk_, "./state");
    EXPECT_THAT(daemon.take(), IsEmpty());
    EXPECT_THAT(files(), SizeIs(1));
}

}  // namespace
}  // namespace takt
