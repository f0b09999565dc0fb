#include "sinks/discard.h"

#include <cstdio>

namespace takt {

OptionTable<DiscardSink::Options> DiscardSink::options() {
    OptionTable<Options> table;
    table.optional("print", &Options::print, "print counts and digest on standard output at the end");
    return table;
}

Result<std::vector<Sink::Delivery>> DiscardSink::deliver(std::span<const Posting> postings) {
    Totals added;
    std::string text;
    for (const Posting& posting : postings) {
        text.assign(posting.key).append(posting.payload_hash);
        added.digest += hash128(text);
    }
    const std::lock_guard lock(mutex_);
    totals_.postings += postings.size();
    totals_.digest += added.digest;
    return std::vector<Delivery>(postings.size(), Delivery{State::accepted, {}, {}});
}

Status DiscardSink::keep(std::span<const DeadLetter> dead_letters) {
    const std::lock_guard lock(mutex_);
    totals_.dead_letters += dead_letters.size();
    return {};
}

Status DiscardSink::finish() {
    if (options_.print) {
        fmt::print("{}\n", describe());
        std::fflush(stdout);
    }
    return {};
}

std::string DiscardSink::describe() const {
    const Totals now = totals();
    return fmt::format("discard: postings={} dead_letters={} digest={}", now.postings, now.dead_letters,
                       to_hex(now.digest));
}

DiscardSink::Totals DiscardSink::totals() const {
    const std::lock_guard lock(mutex_);
    return totals_;
}

}  // namespace takt
