#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/hash.h"
#include "pipeline/base/result.h"
#include "pipeline/plan/delivery.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/outcomes.h"
#include "pipeline/plan/plan.h"

namespace takt {

// One epoch as bytes and back (schemas/frame.fbs, docs/formats/frame.md). Pure functions.

/// Postings of one sink in one state that are not kept one by one any more.
struct SinkTotal {
    struct Amount {
        std::string currency;
        int scale = 0;
        Int128 units = 0;

        bool operator==(const Amount&) const = default;
    };
    std::string sink;
    DeliveryState state = DeliveryState::accepted;
    std::uint64_t count = 0;
    Hash128 postings;  ///< sum of delivery_hash
    std::vector<Amount> amounts;

    bool operator==(const SinkTotal&) const = default;
};

/// What one frame holds.
struct Frame {
    EpochResult result;  ///< without `states` and the tables' `content`: the one is measured, the other follows
    std::vector<SinkConfirmation> confirmations;  ///< since the frame before, in the order of their arrival
    std::vector<SinkPosition> positions;
    std::vector<SinkRoute> routes;  ///< all sinks of the config; in the first frame of a run only
    std::vector<SinkTotal> totals;  ///< in OUTBOX only
};

/// The same without a copy of its own: what it names must outlive it.
struct FrameView {
    const EpochResult& result;
    std::span<const SinkConfirmation> confirmations = {};
    std::span<const SinkPosition> positions = {};
    std::span<const SinkRoute> routes = {};
    std::span<const SinkTotal> totals = {};

    explicit FrameView(const EpochResult& epoch) : result(epoch) {}
    FrameView(const Frame& frame)  // NOLINT(google-explicit-constructor): a frame is what its view shows
        : result(frame.result),
          confirmations(frame.confirmations),
          positions(frame.positions),
          routes(frame.routes),
          totals(frame.totals) {}
};

/// What the frames of one run of the daemon have in common.
struct FrameContext {
    std::uint64_t incarnation = 1;
    std::uint64_t fencing_token = 0;  ///< 0: no lease
    std::string engine_version;       ///< "0.1.0"
    std::string config_hash;
    std::string tzdb_version;          ///< "2024a"
    std::vector<std::string> sources;  ///< names by index
    std::vector<std::string> tables;   ///< names of the live ones by index
    OutcomeTable outcomes;             ///< names by code
};
FrameContext frame_context(const Plan& plan, std::uint64_t incarnation, std::string engine_version,
                           std::string tzdb_version);

/// A frame as it was read. Indices in `frame` are those of `sources` and `tables`; outcome codes, those of the plan
/// with this config_hash.
struct StoredFrame {
    std::uint64_t incarnation = 0;
    std::uint64_t fencing_token = 0;
    std::string engine_version;
    std::string config_hash;
    std::string tzdb_version;
    std::vector<std::string> sources;
    std::vector<std::string> tables;  ///< those that changed in this frame have their names, others are empty
    /// How an event can end, by code; of those that have occurred.
    struct OutcomeName {
        std::string outcome;  ///< "dead_letter"; empty: never occurred
        std::string rule;
    };
    std::vector<OutcomeName> outcomes;
    Hash128 previous;  ///< hash of the frame before
    Frame frame;
};

constexpr std::size_t kFrameHeaderBytes = 64;
/// Of the largest frame. Far beyond any epoch: what is longer was damaged, or is our mistake.
constexpr std::size_t kMaxFrameBytes = 1u << 30;

/// The 64 bytes before a frame's FlatBuffer.
struct FrameHeader {
    std::uint32_t length_bytes = 0;  ///< of the FlatBuffer
    std::uint64_t incarnation = 0;
    std::uint64_t epoch = 0;
    Hash128 previous;
    std::uint32_t body_crc32c = 0;
    std::uint32_t zero_sectors = 0;

    /// Of the whole frame: header, FlatBuffer, and zeros up to a multiple of kSectorBytes.
    std::uint64_t size_bytes() const;
};
enum class HeaderState : std::uint8_t {
    good,
    damaged,  ///< magic, checksum or length do not hold
    later,    ///< whole, and of a format version that this version of takt does not know
};
HeaderState read_frame_header(std::string_view bytes, FrameHeader& header);

/// Sectors of the bytes (a multiple of kSectorBytes) that are nothing but zeros.
std::uint32_t count_zero_sectors(std::string_view bytes);

/// Whether a whole frame is as its (good) header says.
bool frame_holds(const FrameHeader& header, std::string_view frame);

/// The whole frame. F710: it might be longer than `limit_bytes`, which is at most kMaxFrameBytes.
Result<std::string> encode_frame(const FrameContext& context, const FrameView& frame, const Hash128& previous,
                                 std::size_t limit_bytes = kMaxFrameBytes);

/// The frame that the bytes are: header, FlatBuffer, fill, nothing after. F704: a later format version. F706: damaged.
/// F708: it holds a part of a kind that this version does not know, or that is no such part. Never reads outside of the
/// bytes, and needs memory in proportion to them only.
Result<StoredFrame> decode_frame(std::string_view bytes);

/// What the next frame names as the one before.
Hash128 frame_hash(std::string_view frame);

}  // namespace takt
