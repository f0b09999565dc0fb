#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/time.h"
#include "pipeline/plan/posting.h"

namespace takt {

// What sinks say of postings, on its way from the sinks through the engine to its log and, after a start, back.

/// Where a posting is on its way to its effect.
enum class DeliveryState : std::uint8_t {
    ready,     ///< durable, not sent, or sent and not yet known to be
    sent,      ///< an attempt may be in flight
    unknown,   ///< no answer, or none that says: to be asked for
    accepted,  ///< took effect once
    refused,   ///< will never be taken as it is; later revisions of its pane wait
    parked,    ///< waits for a person, or behind an earlier revision that does; later revisions of its pane wait too
    reversed,  ///< taken back by a later document
    closed,    ///< by an operator, without effect
};
/// "refused".
std::string_view to_string(DeliveryState state);
/// Whether later revisions of its pane wait for it.
constexpr bool is_held(DeliveryState state) {
    return state == DeliveryState::refused || state == DeliveryState::parked;
}
constexpr std::size_t kDeliveryStates = static_cast<std::size_t>(DeliveryState::closed) + 1;

/// What a sink said of a posting of this frame or an earlier one.
struct SinkConfirmation {
    std::string sink;
    std::string key;  ///< Posting::key
    DeliveryState state = DeliveryState::ready;
    std::uint32_t attempt = 0;  ///< from 1
    std::string reference;      ///< the other side's document number, or that of what was booked instead; empty: none
    std::string reason;         ///< of refused, parked and unknown, and why it was closed
    std::string owner;          ///< who must act, or who has closed it
    Timestamp time = 0;         ///< by the daemon's clock: for people only
    std::uint64_t since = 0;    ///< epoch of the order to send it again; 0: there was none

    bool operator==(const SinkConfirmation&) const = default;
};

/// The reason of a posting that is parked because an earlier revision of its pane is refused or parked.
constexpr const char* kEarlierRevision = "EARLIER_REVISION";

/// A control input: what a person orders about a posting that a sink has refused or parked. What waits behind it goes
/// with it. About one that the sink does not hold (any more) it changes nothing.
struct HoldOrder {
    enum class Action : std::uint8_t {
        resend,  ///< it goes to the sink again, under its key
        close,   ///< it does not: somebody has booked it by hand, or it is void; later revisions of its pane go on
    };
    Action action = Action::resend;
    std::string sink = {};
    std::string key = {};        ///< of the posting
    std::string reference = {};  ///< of what was booked instead, where it is closed
    std::string who = {};
    std::string why = {};
    Timestamp time = 0;     ///< when it was given: for people only
    std::string file = {};  ///< that it was left in, unlike any other's; those of one file are followed together, once
};

/// How far a sink is.
struct SinkPosition {
    std::string sink;
    std::optional<Timestamp> created;  ///< of its own log (a stream): one that was made anew has another
    std::uint64_t last_sequence = 0;   ///< how far that had grown, to read back from there after a crash
    /// Every posting up to this epoch is accepted, but for those that a confirmation says something else of.
    std::uint64_t settled = 0;

    bool operator==(const SinkPosition&) const = default;
};

/// Which postings a sink gets.
struct SinkRoute {
    std::string sink;
    std::vector<std::string> postings;  ///< types; empty: all

    bool operator==(const SinkRoute&) const = default;
};

/// What the sinks said since the frame before.
struct SinkAnswers {
    std::vector<SinkConfirmation> confirmations;  ///< in the order of their arrival
    std::vector<SinkPosition> positions;          ///< of sinks that got further; the confirmations come before
};

/// A posting that is refused or parked.
struct HeldPosting {
    SinkConfirmation said;
    std::shared_ptr<const Posting> posting;  ///< shared by the sinks that hold it
};

/// Where a sink stood when the run before ended, as the log knows it.
struct SinkPast {
    std::uint64_t until = 0;  ///< the log's last epoch: what follows is about the postings up to it
    SinkPosition position;
    std::map<std::string, std::uint32_t> waiting;  ///< keys that must be sent, with the attempts that are known of
    std::vector<HeldPosting> held;
    std::vector<Posting> undelivered;  ///< of those that are waiting, what is older than the epochs that come again
};

/// Which run of a pipeline this is. Of two runs of one state, the later one is right.
struct RunIdentity {
    std::string state;              ///< the state directory's own name, unlike any other's; empty: there is none
    std::uint64_t incarnation = 0;  ///< counts its starts, from 1; 0: there is none
};

}  // namespace takt
