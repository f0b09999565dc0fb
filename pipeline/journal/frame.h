#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/hash.h"
#include "pipeline/base/result.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/outcomes.h"
#include "pipeline/plan/plan.h"

namespace takt {

// One epoch as bytes and back (schemas/frame.fbs, docs/formats/frame.md). Pure functions.

/// A message as it came, of a source that cannot be read again.
struct InputRecord {
    std::uint16_t source = 0;  ///< index into Plan::sources
    std::uint64_t sequence = 0;
    Timestamp ingest_time = 0;
    std::string subject;
    std::string data;

    bool operator==(const InputRecord&) const = default;
};

/// Where a posting is on its way to its effect.
enum class DeliveryState : std::uint8_t {
    ready,     ///< durable, not sent
    sent,      ///< an attempt may be in flight
    unknown,   ///< no answer, or none that says: to be asked for
    accepted,  ///< took effect once
    refused,   ///< will never be taken as it is
    parked,    ///< waits for a person; later revisions of its pane wait too
    reversed,  ///< taken back by a later document
    closed,    ///< by an operator, without effect
};
constexpr std::size_t kDeliveryStates = static_cast<std::size_t>(DeliveryState::closed) + 1;

/// What a sink said of a posting of this frame or an earlier one.
struct SinkConfirmation {
    std::string sink;
    std::string key;  ///< Posting::key
    DeliveryState state = DeliveryState::ready;
    std::uint32_t attempt = 0;  ///< from 1
    std::string reference;      ///< the other side's document number; empty: none
    std::string reason;         ///< of refused, parked and unknown
    std::string owner;          ///< who must act
    Timestamp time = 0;         ///< by the daemon's clock: for people only

    bool operator==(const SinkConfirmation&) const = default;
};

/// How far a sink's own log had grown, to read back from there after a crash.
struct SinkPosition {
    std::string sink;
    std::optional<Timestamp> created;  ///< of its stream: one that was made anew has another
    std::uint64_t last_sequence = 0;

    bool operator==(const SinkPosition&) const = default;
};

/// What one frame holds.
struct Frame {
    EpochResult result;  ///< without `states` and the tables' `content`: the one is measured, the other follows
    std::vector<InputRecord> input_records;       ///< by source, then sequence
    std::vector<SinkConfirmation> confirmations;  ///< since the frame before, in the order of their arrival
    std::vector<SinkPosition> positions;
};

/// The same without a copy of its own: what it names must outlive it.
struct FrameView {
    const EpochResult& result;
    std::span<const InputRecord> input_records = {};
    std::span<const SinkConfirmation> confirmations = {};
    std::span<const SinkPosition> positions = {};

    explicit FrameView(const EpochResult& epoch) : result(epoch) {}
    FrameView(const Frame& frame)  // NOLINT(google-explicit-constructor): a frame is what its view shows
        : result(frame.result),
          input_records(frame.input_records),
          confirmations(frame.confirmations),
          positions(frame.positions) {}
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
    Hash128 previous;                 ///< hash of the frame before
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
