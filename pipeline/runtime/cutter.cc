#include "pipeline/runtime/cutter.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "pipeline/base/mutant.h"
#include "pipeline/runtime/chunk.h"

namespace takt {
namespace {

/// Between two looks for what people have ordered.
constexpr Duration kControlInterval = 200 * kMillisecond;
/// A source that says for so long that it has no more than it told has lost what the journal has read after that.
constexpr Duration kReplayPatience = 30 * kSecond;

/// Messages [first, first + count) as a block that shares the memory.
std::shared_ptr<const MessageBlock> slice(const std::shared_ptr<const MessageBlock>& block, std::size_t first,
                                          std::size_t count) {
    auto part = std::make_shared<MessageBlock>();
    const auto begin = block->messages.begin() + static_cast<std::ptrdiff_t>(first);
    part->messages.assign(begin, begin + static_cast<std::ptrdiff_t>(count));
    part->keep = block;
    const std::size_t total = block->messages.size();
    part->own_clock = block->own_clock;
    if (first + count == block->messages.size()) part->anchor = block->anchor;
    const std::uint64_t before = first == 0 ? 0 : block->messages[first - 1].sequence;
    for (const SequenceHole& hole : block->holes) {
        if (hole.first > before && hole.last < part->messages.back().sequence) part->holes.push_back(hole);
    }
    part->size_bytes = block->size_bytes * (first + count) / total - block->size_bytes * first / total;
    return part;
}

/// The block with the ingest times of the journal, where a clock of ours gave them.
std::shared_ptr<const MessageBlock> with_times(std::shared_ptr<const MessageBlock> block, const SourceCut& cut) {
    if (cut.ingest_times.empty()) return block;
    auto timed = std::make_shared<MessageBlock>(*block);
    timed->keep = block;
    for (Message& message : timed->messages) {
        const auto next = std::upper_bound(cut.ingest_times.begin(), cut.ingest_times.end(), message.sequence,
                                           [](std::uint64_t wanted, const auto& time) { return wanted < time.first; });
        if (next != cut.ingest_times.begin()) message.ingest_time = std::prev(next)->second;
    }
    return timed;
}

/// Whether `now` holds a source that `before` does not.
bool adds(const std::vector<std::uint32_t>& now, const std::vector<std::uint32_t>& before) {
    return std::any_of(now.begin(), now.end(), [&](std::uint32_t source) {
        return std::find(before.begin(), before.end(), source) == before.end();
    });
}

}  // namespace

Cutter::Cutter(const Plan& plan, const Readers& readers, const Tables& tables, Clock& clock, Core& core,
               std::function<void(Timestamp)> on_cut)
    : plan_(plan),
      readers_(readers),
      tables_(tables),
      clock_(clock),
      core_(core),
      on_cut_(std::move(on_cut)),
      held_(plan.sources.size()),
      rest_(plan.sources.size()),
      spoke_(plan.sources.size(), false),
      fed_(plan.sources.size(), 0),
      quarantine_(plan.sources.size()) {}

bool Cutter::full() const {
    return (plan_.epoch_messages > 0 && messages_ >= plan_.epoch_messages) ||
           (plan_.epoch_bytes > 0 && bytes_ >= plan_.epoch_bytes);
}

std::shared_ptr<const MessageBlock> Cutter::next_block(std::uint32_t source) {
    std::shared_ptr<const MessageBlock> block = std::move(rest_[source]);
    rest_[source] = nullptr;
    while (block == nullptr) {
        std::shared_ptr<const MessageBlock> queued = readers_[source]->take();
        if (queued == nullptr) return nullptr;
        block = unfed(source, std::move(queued));
    }
    if (block == nullptr || plan_.epoch_messages == 0) return block;
    const std::size_t room = plan_.epoch_messages - messages_;
    const std::size_t size = block->messages.size();
    if (size <= room) return block;
    rest_[source] = slice(block, room, size - room);
    return slice(block, 0, room);
}

void Cutter::add(std::uint32_t source, std::shared_ptr<const MessageBlock> block) {
    if (!first_message_) first_message_ = clock_.monotonic();
    messages_ += block->messages.size();
    bytes_ += block->size_bytes;
    spoke_[source] = true;
    if (source == 0) {
        feed(source, std::move(block));
    } else {
        held_[source].push_back(std::move(block));
    }
}

void Cutter::set_quarantine(const std::vector<QuarantinedMessage>& quarantine) {
    for (const QuarantinedMessage& message : quarantine) quarantine_[message.source].insert(message.sequence);
}

/// To the core, quarantined messages each as a block of its own.
void Cutter::feed(std::uint32_t source, std::shared_ptr<const MessageBlock> block) {
    const std::set<std::uint64_t>& quarantined = quarantine_[source];
    const std::vector<Message>& messages = block->messages;
    std::size_t begin = 0;
    auto next = quarantined.lower_bound(messages.front().sequence);
    for (std::size_t i = 0; i < messages.size() && next != quarantined.end(); ++i) {
        if (messages[i].sequence < *next) continue;
        if (messages[i].sequence == *next) {
            if (i > begin) core_.feed(source, slice(block, begin, i - begin));
            auto alone = std::make_shared<MessageBlock>(*slice(block, i, 1));  // shared with the core's chunk
            alone->quarantined = true;
            core_.feed(source, std::move(alone));
            begin = i + 1;
        }
        next = quarantined.upper_bound(messages[i].sequence);
    }
    if (begin == 0) return core_.feed(source, std::move(block));
    if (begin < messages.size()) core_.feed(source, slice(block, begin, messages.size() - begin));
}

bool Cutter::take() {
    bool took = false;
    const auto sources = static_cast<std::uint32_t>(readers_.size());
    for (std::uint32_t i = 0; i < sources && !full(); ++i) {
        const std::uint32_t source = (turn_ + i) % sources;
        if (auto block = next_block(source)) {
            add(source, std::move(block));
            took = true;
        }
    }
    if (sources > 0) turn_ = (turn_ + 1) % sources;
    return took;
}

void Cutter::resume(const std::vector<SourceCut>& cuts) {
    for (std::size_t i = 0; i < cuts.size(); ++i) fed_[i] = cuts[i].last_sequence - (mutant("cut_off_by_one") ? 1 : 0);
}

/// What the sequence says was fed already: a source may open at a place before its cut.
std::shared_ptr<const MessageBlock> Cutter::unfed(std::uint32_t source, std::shared_ptr<const MessageBlock> block) {
    if (block == nullptr || block->messages.front().sequence > fed_[source]) return block;
    const auto& messages = block->messages;
    const auto begin = static_cast<std::size_t>(
        std::upper_bound(messages.begin(), messages.end(), fed_[source],
                         [](std::uint64_t fed, const Message& message) { return fed < message.sequence; }) -
        messages.begin());
    return begin == messages.size() ? nullptr : slice(block, begin, messages.size() - begin);
}

Result<bool> Cutter::replay_source(std::uint32_t source, const SourceCut& cut) {
    while (fed_[source] < cut.last_sequence) {
        // What the reader says before it is asked: it may queue a block and end between the two.
        const SourceReader::View view = readers_[source]->view();
        std::shared_ptr<const MessageBlock> block = std::move(rest_[source]);
        rest_[source] = nullptr;
        if (block == nullptr) block = readers_[source]->take();
        if (block == nullptr) {
            if (view.error) return *view.error;
            const bool says_no_more = view.idle_since && clock_.monotonic() - *view.idle_since >= kReplayPatience;
            if (!view.ended && !says_no_more) return false;
            return Error{"F620",
                         fmt::format("SOURCE_REGRESSION: source '{}' ends at {}, the journal has read it up to {}",
                                     plan_.sources[source].name, fed_[source], cut.last_sequence)};
        }
        const auto& messages = block->messages;
        const auto after = [](std::uint64_t sequence, const Message& message) { return sequence < message.sequence; };
        const auto place = [&](std::uint64_t sequence) {
            return static_cast<std::size_t>(std::upper_bound(messages.begin(), messages.end(), sequence, after) -
                                            messages.begin());
        };
        const std::size_t begin = place(fed_[source]);
        const std::size_t end = place(cut.last_sequence);
        if (end < messages.size()) rest_[source] = slice(block, end, messages.size() - end);
        if (end > begin) {
            fed_[source] = messages[end - 1].sequence;
            feed(source, with_times(slice(block, begin, end - begin), cut));
        }
        if (end < messages.size()) break;
    }
    return true;
}

/// Messages that only the journal has.
void Cutter::feed_kept(std::uint32_t source, const EpochResult& journaled) {
    std::vector<InputRecord> kept;
    std::copy_if(journaled.input_records.begin(), journaled.input_records.end(), std::back_inserter(kept),
                 [&](const InputRecord& record) { return record.source == source; });
    if (!kept.empty()) feed(source, block_of(std::move(kept)));
}

Result<bool> Cutter::replay(const EpochResult& journaled) {
    for (; replayed_ < journaled.cuts.size(); ++replayed_) {
        if (plan_.sources[replayed_].can_read_again) {
            Result<bool> fed = replay_source(replayed_, journaled.cuts[replayed_]);
            if (!fed || !*fed) return fed;
        } else {
            feed_kept(replayed_, journaled);
        }
        fed_[replayed_] = std::max(fed_[replayed_], journaled.cuts[replayed_].last_sequence);
    }
    replayed_ = 0;
    if (mutant("replay_forgets_idle")) {
        cut({.flush = journaled.cut.flush});
        return true;
    }
    CutOptions options = journaled.cut;
    if (Status completed = core_.complete_tables(options); !completed) return completed.error();
    if (mutant("replay_forgets_retries")) options.replays.clear();
    cut(std::move(options), journaled.cuts);
    return true;
}

void Cutter::find_idle(Timestamp now, CutOptions& cut) const {
    for (std::uint32_t i = 0; i < readers_.size(); ++i) {
        const SourceReader::View view = readers_[i]->view();
        // What it said in this epoch still counts.
        if ((view.queued || rest_[i] != nullptr || spoke_[i]) && !mutant("idle_under_back_pressure")) continue;
        const Duration limit = plan_.sources[i].time.idle;
        if (view.ended && !view.error) {
            cut.ended.push_back(i);
        } else if (limit > 0 && view.idle_since && now - *view.idle_since >= limit) {
            cut.idle.push_back(i);
        }
    }
}

void Cutter::look_for_control() {
    if (control_ == nullptr) return;
    next_look_ = saturating_add(clock_.monotonic(), kControlInterval);
    std::vector<DeadLetterReplay> replays = control_->take_replays();
    std::move(replays.begin(), replays.end(), std::back_inserter(replays_));
    std::vector<HoldOrder> orders = control_->take_orders();
    std::move(orders.begin(), orders.end(), std::back_inserter(orders_));
}

void Cutter::take_control(CutOptions& cut) {
    cut.replays = std::exchange(replays_, {});
    cut.orders = std::exchange(orders_, {});
}

bool Cutter::cut_if_due(bool news) {
    const Timestamp now = clock_.monotonic();
    CutOptions options;
    find_idle(now, options);
    if (!any_control() && now >= next_look_) look_for_control();
    const bool due = messages_ > 0 && (full() || now - *first_message_ >= plan_.epoch);
    // With messages in hand the news can wait until their epoch is due.
    const bool changed =
        std::any_of(tables_.begin(), tables_.end(), [](const auto& table) { return table->view().waiting; });
    news = messages_ == 0 && (news || changed || any_control() || adds(options.idle, last_cut_.idle) ||
                              adds(options.ended, last_cut_.ended));
    if (!due && !news) return false;
    for (const auto& table : tables_) {
        if (auto version = table->take()) options.tables.push_back(std::move(*version));
    }
    take_control(options);
    cut(std::move(options));
    return true;
}

void Cutter::cut_last(bool flush) {
    CutOptions options;
    find_idle(clock_.monotonic(), options);
    options.flush = flush;
    if (flush) look_for_control();
    take_control(options);
    cut(std::move(options));
}

void Cutter::cut_nothing() {
    CutOptions options;
    options.idle = last_cut_.idle;
    options.ended = last_cut_.ended;
    cut(std::move(options));
}

void Cutter::cut(CutOptions options, std::vector<SourceCut> logged) {
    on_cut_(first_message_.value_or(clock_.monotonic()));
    for (std::uint32_t source = 0; source < held_.size(); ++source) {
        for (auto& block : held_[source]) feed(source, std::move(block));
        held_[source].clear();
    }
    last_cut_.idle = options.idle;
    last_cut_.ended = options.ended;
    core_.cut(std::move(options), std::move(logged));
    messages_ = 0;
    bytes_ = 0;
    spoke_.assign(spoke_.size(), false);
    first_message_.reset();
}

Duration Cutter::due_in() const {
    const Timestamp now = clock_.monotonic();
    Duration soonest = kSecond;
    if (first_message_) soonest = std::min(soonest, saturating_add(*first_message_, plan_.epoch) - now);
    if (control_ != nullptr && !any_control()) soonest = std::min(soonest, next_look_ - now);
    // With messages in hand it can wait until their epoch is due.
    for (std::size_t i = 0; messages_ == 0 && i < readers_.size(); ++i) {
        const Duration limit = plan_.sources[i].time.idle;
        const auto since = readers_[i]->view().idle_since;
        const bool known = std::find(last_cut_.idle.begin(), last_cut_.idle.end(), i) != last_cut_.idle.end();
        if (limit > 0 && since && !known) soonest = std::min(soonest, saturating_add(*since, limit) - now);
    }
    return soonest;
}

bool Cutter::empty_handed() const {
    return std::all_of(rest_.begin(), rest_.end(), [](const auto& block) { return block == nullptr; });
}

}  // namespace takt
