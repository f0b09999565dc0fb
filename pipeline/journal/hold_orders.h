#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/base/thread.h"
#include "pipeline/journal/disk.h"
#include "pipeline/plan/delivery.h"

namespace takt {

// What people order about postings that a sink has refused or parked, on its way to the daemon: files in `orders/` of
// the state directory (docs/formats/state.md), each a frame by itself, so that damage is seen.

constexpr std::string_view kOrderEnding = ".order";
/// Whether a file of the folder may be called so; that it is none elsewhere.
constexpr bool is_order_file(std::string_view name) {
    return name.ends_with(kOrderEnding) && name.find('/') == std::string_view::npos;
}

/// Leaves the orders for the daemon that has the directory now or next; it takes them together. Durable when it
/// returns. E700, E701, F709.
Status write_hold_orders(Disk& disk, const std::string& state_directory, const std::vector<HoldOrder>& orders);

/// The daemon's side. One thread takes; others may say what is durable meanwhile.
class HoldOrders {
  public:
    HoldOrders(Disk& disk, const std::string& state_directory);

    /// What has been ordered since the last call, each once in the life of this object. What is damaged is
    /// logged and left there.
    std::vector<HoldOrder> take();
    /// An epoch with these is durable: their file is not needed any more. One that stays (E700) is logged.
    void forget(const std::vector<HoldOrder>& orders);
    /// An earlier run has made an epoch with these, and may have died before it could forget them: they are not taken
    /// any more. The thread that takes.
    void forget_followed(const std::vector<HoldOrder>& orders);
    /// All files of what was forgotten are gone, durably: nobody needs the frames any more to know that. E700, E701,
    /// F709.
    Status make_durable();

  private:
    Disk& disk_;
    const std::string folder_;
    std::set<std::string> taken_;   ///< names of files; of the thread that takes
    std::set<std::string> unread_;  ///< the same; they were logged
    Mutex mutex_;
    std::set<std::string> forgotten_;  ///< files that a power cut may bring back
};

}  // namespace takt
