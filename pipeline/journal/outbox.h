#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pipeline/base/hash.h"
#include "pipeline/base/int128.h"
#include "pipeline/base/result.h"
#include "pipeline/journal/disk.h"
#include "pipeline/journal/frame.h"
#include "pipeline/plan/posting.h"

namespace takt {

// Where every posting is on its way to every sink, as the frames tell it (docs/formats/frame.md, "Deliveries").

/// Postings of one sink in one state: how many, what they sum up to, and which.
struct OutboxTotal {
    std::uint64_t count = 0;
    /// Sums of Posting::amount by currency and amount_scale; one that is 0 is left out.
    std::map<std::pair<std::string, int>, Int128> amounts;
    Hash128 postings;  ///< multiset hash: sum of delivery_hash

    bool operator==(const OutboxTotal&) const = default;
};

/// h(key, payload hash) of a posting, as OutboxTotal sums it up.
Hash128 delivery_hash(const Posting& posting);

/// The postings that one sink was given.
struct SinkOutbox {
    /// A posting that is not accepted, or was closed.
    struct Entry {
        std::shared_ptr<const Posting> posting;  ///< shared by the sinks that wait for it
        SinkConfirmation last;                   ///< what was said of it last; of a ready one sink, key and state only

        /// The sink has settled it when it has settled this epoch: its own, or that of the order to send it again.
        std::uint64_t due() const { return last.since > 0 ? last.since : posting->epoch; }
    };
    std::string sink;                   ///< its name in the config
    bool gone = false;                  ///< the newest run has no such sink
    std::vector<std::string> postings;  ///< types that it gets; empty: all
    std::uint64_t settled = 0;          ///< no posting up to this epoch needs to be sent (again)
    SinkPosition position;              ///< of its own log, when it had settled that
    /// By DeliveryState. Their sum is everything that this sink was ever to get, removed frames included.
    std::array<OutboxTotal, kDeliveryStates> totals;
    std::list<Entry> waiting;  ///< ready, sent, unknown; in the order in which they came to be so
    std::list<Entry> held;     ///< refused, parked; in the order of the answers
    /// In the order in which people gave them up. They stay here for ever: a ledger that lacks them is right.
    std::list<Entry> closed;

    const OutboxTotal& total(DeliveryState state) const { return totals[static_cast<std::size_t>(state)]; }
};

/// Follows the frames of a journal in their order.
class Outbox {
  public:
    Outbox() = default;
    Outbox(Outbox&&) = default;
    Outbox& operator=(Outbox&&) = default;

    /// The next frame; one that is in it already changes nothing.
    void add(const StoredFrame& frame);
    /// Of the last frame that is in it; 0: none.
    std::uint64_t epoch() const { return epoch_; }
    const std::vector<SinkOutbox>& sinks() const { return sinks_; }
    /// Null: no frame names it.
    const SinkOutbox* find(const std::string& sink) const;

    /// Everything that is in it, as one frame: the content of OUTBOX, for the frames that the journal removes. `load`
    /// gives it back; an empty one where there is no such file.
    Frame as_frame() const;
    Status save(Disk& disk, const std::string& path, FrameContext context) const;
    static Result<Outbox> load(Disk& disk, const std::string& path);

  private:
    struct Place {
        bool held = false;  ///< else waiting
        std::list<SinkOutbox::Entry>::iterator entry;
    };
    using Places = std::unordered_map<std::string, Place>;  ///< by key, of the postings that are not accepted

    void name_sinks(const std::vector<SinkRoute>& routes, std::uint64_t epoch);
    std::size_t sink_at(const std::string& name);
    void put(std::size_t sink, std::shared_ptr<const Posting> posting, SinkConfirmation said);
    void confirm(SinkConfirmation said);
    bool holds(std::size_t sink, const std::string& key) const;
    void follow(const std::vector<HoldOrder>& orders);
    void release(std::size_t sink, const std::string& key, DeliveryState state, const HoldOrder& order);
    void settle(const SinkPosition& position);

    std::uint64_t epoch_ = 0;
    std::vector<SourceCut> cuts_;                  ///< of that frame
    std::vector<std::string> sources_;             ///< and its sources
    std::vector<SinkOutbox> sinks_;                ///< in the order in which they were named first
    std::vector<std::unique_ptr<Places>> places_;  ///< of each sink
};

/// Where the outbox of removed frames lies in a state directory.
std::string outbox_path(const std::string& state_directory);

/// The outbox of a state directory. The directory may be in use: then it is as of some durable frame. An empty journal
/// has no sinks. F704, F706, F707, F708: the journal is damaged or of a later version. E700.
Result<std::vector<SinkOutbox>> read_outbox(Disk& disk, const std::string& state_directory);

}  // namespace takt
