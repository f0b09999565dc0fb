#include "pipeline/journal/hold_orders.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "pipeline/base/clock.h"
#include "pipeline/journal/durable_text.h"
#include "pipeline/journal/frame.h"
#include "pipeline/journal/state_directory.h"
#include "pipeline/observe/log.h"

namespace takt {
namespace {

std::string folder_in(const std::string& state_directory) {
    return state_directory + "/orders";
}

Result<std::vector<HoldOrder>> read_hold_orders(Disk& disk, const std::string& path, const std::string& name) {
    std::string bytes;
    if (const auto error = read_file(disk, path, kMaxFrameBytes + kSectorBytes, bytes))
        return disk_error("cannot read", path, error);
    Result<StoredFrame> stored = decode_frame(bytes);
    if (!stored) return Error{stored.error().code, fmt::format("{}: {}", path, stored.error().message)};
    std::vector<HoldOrder> orders = std::move(stored->frame.result.cut.orders);
    for (HoldOrder& order : orders) order.file = name;
    return orders;
}

}  // namespace

Status write_hold_orders(Disk& disk, const std::string& state_directory, const std::vector<HoldOrder>& orders) {
    Frame frame;
    frame.result.cut.orders = orders;
    const Result<std::string> bytes = encode_frame(FrameContext{}, frame, {});
    if (!bytes) return bytes.error();
    const std::string folder = folder_in(state_directory);
    if (const auto error = disk.make_directory(folder)) return disk_error("cannot make", folder, error);
    if (const auto error = disk.sync_directory(state_directory)) return sync_error(state_directory, error);
    // In the order in which they were given; nobody else is called so.
    const std::string name =
        fmt::format("{:020}-{}{}", system_clock().wall(), hash128(*bytes + this_process().name).low, kOrderEnding);
    return write_durable_file(disk, fmt::format("{}/{}", folder, name), *bytes);
}

HoldOrders::HoldOrders(Disk& disk, const std::string& state_directory)
    : disk_(disk), folder_(folder_in(state_directory)) {}

std::vector<HoldOrder> HoldOrders::take() {
    std::vector<std::string> names;
    std::vector<HoldOrder> orders;
    if (disk_.list(folder_, names)) return orders;  // nobody has ordered anything yet
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
        if (!is_order_file(name) || taken_.contains(name)) continue;
        Result<std::vector<HoldOrder>> some = read_hold_orders(disk_, fmt::format("{}/{}", folder_, name), name);
        // What the system does not read now it may read at the next look.
        if (some || some.error().code != "E700") taken_.insert(name);
        if (!some) {
            if (unread_.insert(name).second)
                log(LogLevel::error, "an order about postings cannot be read", {{"error", some.error().text()}});
            continue;
        }
        std::move(some->begin(), some->end(), std::back_inserter(orders));
    }
    return orders;
}

void HoldOrders::forget(const std::vector<HoldOrder>& orders) {
    std::set<std::string> files;
    for (const HoldOrder& order : orders) files.insert(order.file);
    std::lock_guard lock(mutex_);
    for (const std::string& file : files) {
        if (file.empty()) continue;
        forgotten_.insert(file);
        const auto error = disk_.unlink(fmt::format("{}/{}", folder_, file));
        if (!error || error == std::errc::no_such_file_or_directory) continue;
        log(LogLevel::warning, "an order that was followed stays", {{"file", file}, {"reason", error.message()}});
    }
}

void HoldOrders::forget_followed(const std::vector<HoldOrder>& orders) {
    for (const HoldOrder& order : orders) taken_.insert(order.file);
    forget(orders);
}

Status HoldOrders::make_durable() {
    std::lock_guard lock(mutex_);
    if (forgotten_.empty()) return {};
    for (const std::string& file : forgotten_) {
        const std::string path = fmt::format("{}/{}", folder_, file);
        const auto error = disk_.unlink(path);
        if (error && error != std::errc::no_such_file_or_directory) return disk_error("cannot remove", path, error);
    }
    // A copy of the directory may lack the folder where nothing was in it.
    const auto error = disk_.sync_directory(folder_);
    if (error && error != std::errc::no_such_file_or_directory) return sync_error(folder_, error);
    forgotten_.clear();
    return {};
}

}  // namespace takt
