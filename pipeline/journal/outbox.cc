#include "pipeline/journal/outbox.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <unordered_map>

#include "pipeline/base/mutant.h"
#include "pipeline/journal/durable_text.h"
#include "pipeline/journal/journal.h"

namespace takt {
namespace {

constexpr DurableFilePoints kOutboxPoints = {CrashPoint::outbox_written, CrashPoint::outbox_synchronized,
                                             CrashPoint::outbox_named, CrashPoint::outbox_durable};

// Places of entries outlive the growth of the list of sinks.
static_assert(std::is_nothrow_move_constructible_v<SinkOutbox>);

bool is_waiting(DeliveryState state) {
    return state == DeliveryState::ready || state == DeliveryState::sent || state == DeliveryState::unknown;
}

OutboxTotal& total_of(SinkOutbox& sink, DeliveryState state) {
    return sink.totals[static_cast<std::size_t>(state)];
}

void add_amount(OutboxTotal& total, const std::string& currency, int scale, Int128 units) {
    Int128& sum = total.amounts[{currency, scale}];
    sum += units;
    if (sum == 0) total.amounts.erase({currency, scale});
}

void count_in(OutboxTotal& total, const Posting& posting) {
    ++total.count;
    total.postings += delivery_hash(posting);
    if (posting.has_amount) add_amount(total, posting.currency, posting.amount_scale, posting.amount);
}

Hash128 minus(const Hash128& hash) {
    Hash128 negated{~hash.low, ~hash.high};
    return negated += Hash128{1, 0};
}

void count_out(OutboxTotal& total, const Posting& posting) {
    --total.count;
    total.postings += minus(delivery_hash(posting));
    if (posting.has_amount) add_amount(total, posting.currency, posting.amount_scale, -posting.amount);
}

bool wants(const SinkOutbox& sink, const Posting& posting) {
    if (sink.gone) return false;
    return sink.postings.empty() ||
           std::find(sink.postings.begin(), sink.postings.end(), posting.type) != sink.postings.end();
}

/// The outbox as of now, where nobody changes the directory meanwhile.
Result<Outbox> read_once(Disk& disk, const std::string& state_directory) {
    // What FIRST does not name any more is in OUTBOX, which is therefore read after it.
    Result<std::optional<JournalReader>> reader = Journal::look(disk, state_directory + "/journal");
    if (!reader) return reader.error();
    Result<Outbox> outbox = Outbox::load(disk, outbox_path(state_directory));
    if (!outbox || !*reader) return outbox;
    while (true) {
        Result<std::optional<StoredFrame>> frame = (*reader)->next();
        if (!frame) return frame.error();
        if (!*frame) return outbox;
        const std::uint64_t epoch = (*frame)->frame.result.epoch;
        if (epoch > outbox->epoch() + 1) {
            return Error{"F707", fmt::format("{} ends with epoch {}, and the journal begins with epoch {}",
                                             outbox_path(state_directory), outbox->epoch(), epoch)};
        }
        outbox->add(**frame);
    }
}

}  // namespace

Hash128 delivery_hash(const Posting& posting) {
    return hash128(posting.key + posting.payload_hash);
}

const SinkOutbox* Outbox::find(const std::string& name) const {
    const auto found =
        std::find_if(sinks_.begin(), sinks_.end(), [&](const SinkOutbox& sink) { return sink.sink == name; });
    return found == sinks_.end() ? nullptr : &*found;
}

std::size_t Outbox::sink_at(const std::string& name) {
    if (const SinkOutbox* known = find(name)) return static_cast<std::size_t>(known - sinks_.data());
    sinks_.emplace_back().sink = name;
    sinks_.back().position.sink = name;
    places_.push_back(std::make_unique<Places>());
    return sinks_.size() - 1;
}

void Outbox::name_sinks(const std::vector<SinkRoute>& routes, std::uint64_t epoch) {
    if (routes.empty()) return;
    for (SinkOutbox& sink : sinks_) sink.gone = true;
    for (const SinkRoute& route : routes) {
        const bool is_new = find(route.sink) == nullptr;
        SinkOutbox& sink = sinks_[sink_at(route.sink)];
        sink.gone = false;
        sink.postings = route.postings;
        // What was made before the config named it is none of its business.
        if (is_new) sink.settled = sink.position.settled = epoch - 1;
    }
}

void Outbox::put(std::size_t index, std::shared_ptr<const Posting> posting, SinkConfirmation said) {
    SinkOutbox& sink = sinks_[index];
    count_in(total_of(sink, said.state), *posting);
    if (said.state == DeliveryState::closed) {
        sink.closed.push_back({std::move(posting), std::move(said)});
        return;
    }
    if (!is_waiting(said.state) && !is_held(said.state)) return;
    const bool held = is_held(said.state);
    auto& list = held ? sink.held : sink.waiting;
    list.push_back({std::move(posting), std::move(said)});
    (*places_[index])[list.back().posting->key] = {held, std::prev(list.end())};
}

void Outbox::confirm(SinkConfirmation said) {
    const std::size_t index = sink_at(said.sink);
    const auto known = places_[index]->find(said.key);
    if (known == places_[index]->end()) return;  // settled before
    const Place place = known->second;
    SinkOutbox& sink = sinks_[index];
    std::shared_ptr<const Posting> posting = place.entry->posting;
    if (said.state == DeliveryState::parked && said.reason == kEarlierRevision &&
        !holds(index, posting->previous_key)) {
        // It was parked, and then let go with the one before: an order came in between, and it has been sent by now.
        said.state = DeliveryState::ready;
        said.reason.clear();
        said.since = epoch_;
    }
    if (is_waiting(said.state) && !place.held) {
        // It keeps its place among those that wait.
        count_out(total_of(sink, place.entry->last.state), *posting);
        count_in(total_of(sink, said.state), *posting);
        if (said.since == 0) said.since = place.entry->last.since;
        place.entry->last = std::move(said);
        return;
    }
    count_out(total_of(sink, place.entry->last.state), *posting);
    places_[index]->erase(known);
    (place.held ? sink.held : sink.waiting).erase(place.entry);
    put(index, std::move(posting), std::move(said));
}

bool Outbox::holds(std::size_t sink, const std::string& key) const {
    const auto known = places_[sink]->find(key);
    return known != places_[sink]->end() && known->second.held;
}

void Outbox::release(std::size_t index, const std::string& key, DeliveryState state, const HoldOrder& order) {
    SinkConfirmation said;
    said.sink = order.sink;
    said.key = key;
    said.state = state;
    said.attempt = (*places_[index]).at(key).entry->last.attempt;
    said.time = order.time;
    if (state == DeliveryState::closed) {
        said.reference = order.reference;
        said.reason = order.why;
        said.owner = order.who;
    } else {
        said.since = epoch_;
    }
    confirm(std::move(said));
}

/// Each posting, what only waits behind it, what waits behind that. About one that is not held it changes nothing.
void Outbox::follow(const std::vector<HoldOrder>& orders) {
    if (orders.empty() || mutant("order_not_in_outbox")) return;
    std::vector<std::unordered_map<std::string, std::string>> behind(
        sinks_.size());  // key -> the one that waits for it
    for (std::size_t index = 0; index < sinks_.size(); ++index) {
        for (const SinkOutbox::Entry& entry : sinks_[index].held) {
            if (entry.last.reason == kEarlierRevision)
                behind[index].emplace(entry.posting->previous_key, entry.posting->key);
        }
    }
    for (const HoldOrder& order : orders) {
        const SinkOutbox* const sink = find(order.sink);
        if (sink == nullptr) continue;
        const auto index = static_cast<std::size_t>(sink - sinks_.data());
        auto state = order.action == HoldOrder::Action::close ? DeliveryState::closed : DeliveryState::ready;
        for (std::string key = order.key; holds(index, key);) {
            release(index, key, state, order);
            const auto next = behind[index].find(key);
            if (next == behind[index].end()) break;
            key = next->second;
            state = DeliveryState::ready;
        }
    }
}

void Outbox::settle(const SinkPosition& position) {
    const std::size_t index = sink_at(position.sink);
    SinkOutbox& sink = sinks_[index];
    sink.settled = position.settled;
    sink.position = position;
    while (!sink.waiting.empty() && sink.waiting.front().due() <= position.settled) {
        const SinkOutbox::Entry& entry = sink.waiting.front();
        count_out(total_of(sink, entry.last.state), *entry.posting);
        count_in(total_of(sink, DeliveryState::accepted), *entry.posting);
        places_[index]->erase(entry.posting->key);
        sink.waiting.pop_front();
    }
}

void Outbox::add(const StoredFrame& stored) {
    const EpochResult& result = stored.frame.result;
    if (result.epoch <= epoch_) return;
    epoch_ = result.epoch;
    sources_ = stored.sources;
    cuts_ = result.cuts;
    name_sinks(stored.frame.routes, result.epoch);
    for (const SinkConfirmation& said : stored.frame.confirmations) confirm(said);
    for (const SinkPosition& position : stored.frame.positions) settle(position);
    follow(result.cut.orders);
    for (const Posting& posting : result.postings) {
        std::shared_ptr<const Posting> shared;
        for (std::size_t index = 0; index < sinks_.size(); ++index) {
            if (!wants(sinks_[index], posting)) continue;
            if (shared == nullptr) shared = std::make_shared<const Posting>(posting);
            SinkConfirmation said;
            said.sink = sinks_[index].sink;
            said.key = posting.key;
            put(index, shared, std::move(said));
        }
    }
}

// ---- the file of what was removed

Frame Outbox::as_frame() const {
    Frame frame;
    frame.result.epoch = epoch_;
    frame.result.cuts = cuts_;
    for (SourceCut& cut : frame.result.cuts) cut.ingest_times.clear();
    std::map<std::string, std::shared_ptr<const Posting>> postings;
    for (const SinkOutbox& sink : sinks_) {
        if (!sink.gone) frame.routes.push_back({sink.sink, sink.postings});
        frame.positions.push_back(sink.position);
        std::array<OutboxTotal, kDeliveryStates> rest = sink.totals;
        for (const auto* list : {&sink.waiting, &sink.held, &sink.closed}) {
            for (const SinkOutbox::Entry& entry : *list) {
                count_out(rest[static_cast<std::size_t>(entry.last.state)], *entry.posting);
                frame.confirmations.push_back(entry.last);
                postings.emplace(entry.posting->key, entry.posting);
            }
        }
        for (std::size_t state = 0; state < kDeliveryStates; ++state) {
            if (rest[state].count == 0) continue;
            SinkTotal total{sink.sink, static_cast<DeliveryState>(state), rest[state].count, rest[state].postings, {}};
            for (const auto& [of, units] : rest[state].amounts) total.amounts.push_back({of.first, of.second, units});
            frame.totals.push_back(std::move(total));
        }
    }
    for (const auto& [key, posting] : postings) frame.result.postings.push_back(*posting);
    return frame;
}

Status Outbox::save(Disk& disk, const std::string& path, FrameContext context) const {
    context.sources = sources_;
    const Result<std::string> bytes = encode_frame(context, as_frame(), {});
    if (!bytes) return bytes.error();
    return write_durable_file(disk, path, *bytes, kOutboxPoints);
}

Result<Outbox> Outbox::load(Disk& disk, const std::string& path) {
    Outbox outbox;
    std::string bytes;
    const auto error = read_file(disk, path, kMaxFrameBytes + kSectorBytes, bytes);
    if (error == std::errc::no_such_file_or_directory) return outbox;
    if (error) return disk_error("cannot read", path, error);
    const Result<StoredFrame> stored = decode_frame(bytes);
    if (!stored) return Error{stored.error().code, fmt::format("{}: {}", path, stored.error().message)};
    const Frame& frame = stored->frame;
    outbox.epoch_ = frame.result.epoch;
    outbox.sources_ = stored->sources;
    outbox.cuts_ = frame.result.cuts;
    std::unordered_map<std::string, std::shared_ptr<const Posting>> postings;
    for (const Posting& posting : frame.result.postings)
        postings.emplace(posting.key, std::make_shared<const Posting>(posting));
    for (const SinkPosition& position : frame.positions) {
        SinkOutbox& sink = outbox.sinks_[outbox.sink_at(position.sink)];
        sink.position = position;
        sink.settled = position.settled;
        sink.gone = true;
    }
    outbox.name_sinks(frame.routes, frame.result.epoch);
    for (const SinkConfirmation& said : frame.confirmations) {
        const auto posting = postings.find(said.key);
        if (posting == postings.end()) {
            return Error{"F708", fmt::format("{} speaks of the posting {}, which is not in it", path, said.key)};
        }
        outbox.put(outbox.sink_at(said.sink), posting->second, said);
    }
    for (const SinkTotal& total : frame.totals) {
        OutboxTotal& sum = total_of(outbox.sinks_[outbox.sink_at(total.sink)], total.state);
        sum.count += total.count;
        sum.postings += total.postings;
        for (const SinkTotal::Amount& amount : total.amounts)
            add_amount(sum, amount.currency, amount.scale, amount.units);
    }
    return outbox;
}

std::string outbox_path(const std::string& state_directory) {
    return state_directory + "/OUTBOX";
}

Result<std::vector<SinkOutbox>> read_outbox(Disk& disk, const std::string& state_directory) {
    for (int attempt = 1;; ++attempt) {
        Result<Outbox> outbox = read_once(disk, state_directory);
        if (outbox) return outbox->sinks();
        if (attempt == kLookAttempts) return outbox.error();
    }
}

}  // namespace takt
