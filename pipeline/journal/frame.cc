#include "pipeline/journal/frame.h"

#include <flatbuffers/flatbuffers.h>
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "pipeline/journal/crc32c.h"
#include "pipeline/journal/disk.h"
#include "pipeline/journal/frame_sections.h"
#include "schemas/frame_generated.h"

namespace takt {
namespace {

constexpr std::uint64_t kFrameMagic = 0x454d5246544b4154;  // "TAKTFRME"
constexpr std::uint32_t kFrameFormatVersion = 1;
constexpr std::size_t kCheckedBytes = kFrameHeaderBytes - sizeof(std::uint32_t);
static_assert(sizeof(wire::FrameHeader) == kFrameHeaderBytes);

std::size_t padded(std::size_t bytes) {
    return (bytes + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
}

/// At least as much as the frame's texts and tables take: FlatBuffers must never be asked for more than they can hold.
std::size_t upper_bound_bytes(const FrameContext& context, const FrameView& frame) {
    std::size_t bytes = 65536 + 512 * context.sources.size() + 640 * context.outcomes.size();
    for (const std::string& name : context.sources) bytes += name.size();
    for (std::size_t code = 0; code < context.outcomes.size(); ++code)
        bytes += 3 * context.outcomes.at(static_cast<OutcomeCode>(code)).rule.size();
    const EpochResult& result = frame.result;
    for (const SourceCut& cut : result.cuts) bytes += cut.anchor.size() + 16 * cut.ingest_times.size();
    bytes += 2 * (result.cut.idle.size() + result.cut.ended.size());
    for (const TableVersion& version : result.cut.tables) {
        bytes += 256;
        for (const TableChange& change : version.changes) bytes += 96 + change.key.size() + change.value.size();
    }
    for (const DeadLetterReplay& replay : result.cut.replays) {
        bytes += 512 + replay.subject.size() + replay.data.size() + replay.who.size() + replay.why.size();
        if (replay.source < context.sources.size()) bytes += context.sources[replay.source].size();
    }
    for (const HoldOrder& order : result.cut.orders)
        bytes += 512 + order.sink.size() + order.key.size() + order.reference.size() + order.who.size() +
                 order.why.size() + order.file.size();
    for (const Posting& posting : result.postings) {
        bytes += 768 + posting.key.size() + posting.payload_hash.size() + posting.type.size() +
                 posting.pipeline.size() + posting.previous_key.size() + posting.correlation_id.size() +
                 posting.unit.size() + posting.currency.size() + posting.debit.size() + posting.credit.size() +
                 posting.config_hash.size();
        for (const auto& field : posting.key_fields) bytes += 64 + field.name.size() + field.value.size();
        for (const auto& line : posting.lines) bytes += 96 + line.account.size() + line.cost_center.size();
        for (const auto& range : posting.lineage.ranges) bytes += 64 + range.source.size();
    }
    for (const DeadLetter& letter : result.dead_letters) {
        bytes += 256 + letter.source.size() + letter.subject.size() + letter.event_id.size() + letter.reason.size() +
                 letter.text.size() + letter.owner.size() + letter.step.size() + letter.correlation_id.size() +
                 letter.bytes.size();
    }
    for (const ValueSum& value : result.audit.values)
        bytes += 256 + value.step.size() + value.measure.size() + value.unit.size();
    for (const PostingSum& sum : result.audit.postings)
        bytes += 256 + sum.type.size() + sum.unit.size() + sum.currency.size();
    for (const InputRecord& record : frame.result.input_records)
        bytes += 96 + record.subject.size() + record.data.size();
    for (const SinkConfirmation& said : frame.confirmations) {
        bytes +=
            160 + said.sink.size() + said.key.size() + said.reference.size() + said.reason.size() + said.owner.size();
    }
    for (const SinkPosition& position : frame.positions) bytes += 128 + position.sink.size();
    for (const SinkRoute& route : frame.routes) {
        bytes += 96 + route.sink.size();
        for (const std::string& type : route.postings) bytes += 32 + type.size();
    }
    for (const SinkTotal& total : frame.totals) {
        bytes += 160 + total.sink.size();
        for (const SinkTotal::Amount& amount : total.amounts) bytes += 128 + amount.currency.size();
    }
    return bytes;
}

/// Header and FlatBuffer with the fill behind them.
std::string with_header(const FrameContext& context, std::uint64_t epoch, const Hash128& previous,
                        std::string_view body) {
    std::string bytes(padded(kFrameHeaderBytes + body.size()), '\0');
    std::memcpy(bytes.data() + kFrameHeaderBytes, body.data(), body.size());
    // The first sector has the magic; only those after it can be zeros.
    const std::uint32_t zeros = count_zero_sectors(std::string_view(bytes).substr(kSectorBytes));
    const auto header = [&](std::uint32_t checksum) {
        const wire::FrameHeader written(kFrameMagic, kFrameFormatVersion, static_cast<std::uint32_t>(body.size()),
                                        context.incarnation, epoch, wire::Hash128(previous.low, previous.high),
                                        crc32c(body), zeros, 0, checksum);
        std::memcpy(bytes.data(), &written, sizeof written);
    };
    header(0);
    header(crc32c(std::string_view(bytes).substr(0, kCheckedBytes)));
    return bytes;
}

Error refused(const FrameHeader& header, std::string_view why) {
    return {"F708", fmt::format("the frame of epoch {} cannot be read: {}", header.epoch, why)};
}

std::string_view view(const flatbuffers::Vector<std::uint8_t>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<StoredFrame> decode_body(const FrameHeader& header, std::string_view body) {
    const auto* start = reinterpret_cast<const std::uint8_t*>(body.data());
    flatbuffers::Verifier verifier(start, body.size());
    if (!verifier.VerifyBuffer<wire::Frame>(nullptr)) return refused(header, "it is no FlatBuffer of its schema");
    const wire::Frame& from = *flatbuffers::GetRoot<wire::Frame>(start);
    StoredFrame frame;
    frame.incarnation = header.incarnation;
    frame.previous = header.previous;
    frame.frame.result.epoch = header.epoch;
    frame.fencing_token = from.fencing_token();
    frame.engine_version = from.engine_version()->str();
    frame.config_hash = from.config_hash()->str();
    frame.tzdb_version = from.tzdb_version()->str();
    int last_kind = 0;
    for (const wire::Section* section : *from.sections()) {
        const int kind = static_cast<int>(section->kind());
        const std::string name = fmt::format("section {} ({})", kind, wire::EnumNameSectionKind(section->kind()));
        if (kind <= last_kind) return refused(header, name + " is not in its place");
        last_kind = kind;
        const std::string_view data = view(*section->data());
        if (crc32c(data) != section->crc32c()) return refused(header, "the checksum of " + name + " does not hold");
        if (auto wrong = decode_section(static_cast<std::uint8_t>(kind), data, frame))
            return refused(header, name + " " + *wrong);
    }
    return frame;
}

}  // namespace

FrameContext frame_context(const Plan& plan, std::uint64_t incarnation, std::string engine_version,
                           std::string tzdb_version) {
    FrameContext context;
    context.incarnation = incarnation;
    context.engine_version = std::move(engine_version);
    context.config_hash = plan.config_hash;
    context.tzdb_version = std::move(tzdb_version);
    for (const SourcePlan& source : plan.sources) context.sources.push_back(source.name);
    for (const TablePlan& table : plan.tables) context.tables.push_back(table.name);
    context.outcomes = plan.outcomes;
    return context;
}

std::uint64_t FrameHeader::size_bytes() const {
    return padded(kFrameHeaderBytes + length_bytes);
}

HeaderState read_frame_header(std::string_view bytes, FrameHeader& header) {
    if (bytes.size() < kFrameHeaderBytes) return HeaderState::damaged;
    wire::FrameHeader read;
    std::memcpy(&read, bytes.data(), sizeof read);
    if (read.magic() != kFrameMagic || read.header_crc32c() != crc32c(bytes.substr(0, kCheckedBytes)))
        return HeaderState::damaged;
    if (read.format_version() != kFrameFormatVersion || read.reserved() != 0) return HeaderState::later;
    if (read.length_bytes() == 0 || read.length_bytes() > kMaxFrameBytes) return HeaderState::damaged;
    header.length_bytes = read.length_bytes();
    header.incarnation = read.incarnation();
    header.epoch = read.epoch();
    header.previous = {read.previous_frame_hash().low(), read.previous_frame_hash().high()};
    header.body_crc32c = read.body_crc32c();
    header.zero_sectors = read.zero_sectors();
    return HeaderState::good;
}

std::uint32_t count_zero_sectors(std::string_view bytes) {
    static constexpr std::array<char, kSectorBytes> kZeros{};
    std::uint32_t count = 0;
    for (std::size_t at = 0; at + kSectorBytes <= bytes.size(); at += kSectorBytes)
        count += std::memcmp(bytes.data() + at, kZeros.data(), kSectorBytes) == 0 ? 1 : 0;
    return count;
}

bool frame_holds(const FrameHeader& header, std::string_view frame) {
    if (frame.size() != header.size_bytes()) return false;
    const std::string_view behind = frame.substr(kFrameHeaderBytes);
    return crc32c(behind.substr(0, header.length_bytes)) == header.body_crc32c &&
           behind.find_first_not_of('\0', header.length_bytes) == std::string_view::npos;
}

Result<std::string> encode_frame(const FrameContext& context, const FrameView& frame, const Hash128& previous,
                                 std::size_t limit_bytes) {
    CHECK(limit_bytes <= kMaxFrameBytes);
    const std::size_t bound = upper_bound_bytes(context, frame);
    if (bound > limit_bytes) {
        return Error{"F710", fmt::format("the frame of epoch {} may need {} bytes, at most {} are possible; let epochs "
                                         "end earlier",
                                         frame.result.epoch, bound, limit_bytes)};
    }
    flatbuffers::FlatBufferBuilder builder(4096);
    std::vector<flatbuffers::Offset<wire::Section>> sections;
    for (const FrameSection& section : encode_sections(context, frame)) {
        builder.ForceVectorAlignment(section.data.size(), 1, 8);
        const auto data =
            builder.CreateVector(reinterpret_cast<const std::uint8_t*>(section.data.data()), section.data.size());
        sections.push_back(
            wire::CreateSection(builder, static_cast<wire::SectionKind>(section.kind), crc32c(section.data), data));
    }
    const auto engine_version = builder.CreateString(context.engine_version);
    const auto config_hash = builder.CreateString(context.config_hash);
    const auto tzdb_version = builder.CreateString(context.tzdb_version);
    builder.Finish(wire::CreateFrame(builder, engine_version, config_hash, tzdb_version, builder.CreateVector(sections),
                                     context.fencing_token));
    return with_header(context, frame.result.epoch, previous,
                       {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()});
}

Result<StoredFrame> decode_frame(std::string_view bytes) {
    FrameHeader header;
    const HeaderState state = read_frame_header(bytes, header);
    if (state == HeaderState::later) return Error{"F704", "the frame was written by a later version of takt"};
    if (state == HeaderState::damaged) return Error{"F706", "the frame's header is damaged"};
    if (!frame_holds(header, bytes) || count_zero_sectors(bytes) != header.zero_sectors)
        return Error{"F706", fmt::format("the frame of epoch {} is damaged", header.epoch)};
    const std::string_view body = bytes.substr(kFrameHeaderBytes, header.length_bytes);
    if (reinterpret_cast<std::uintptr_t>(body.data()) % 8 == 0) return decode_body(header, body);
    // Accessors want their numbers aligned.
    std::vector<std::uint64_t> words((body.size() + 7) / 8);
    std::memcpy(words.data(), body.data(), body.size());
    return decode_body(header, {reinterpret_cast<const char*>(words.data()), body.size()});
}

Hash128 frame_hash(std::string_view frame) {
    return hash128(frame);
}

}  // namespace takt
