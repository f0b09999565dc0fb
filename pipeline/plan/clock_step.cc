#include "pipeline/plan/clock_step.h"

#include <algorithm>
#include <iterator>

namespace takt {
namespace {

class ClockStep final : public RowOperator {
  public:
    explicit ClockStep(const ClockOptions& options) : options_(options) {}

    void process(Batch& batch, std::span<const Selection* const> in, std::span<Selection* const> out,
                 Scratch&) const override {
        Selection& passed = *out[0];
        passed.clear();
        passed.reserve(in[0]->size());
        for (const Row row : *in[0]) {
            if (options_.event != kNoSlot && !batch.column(options_.event).valid().test(row)) {
                reject(batch, row, options_.clock_invalid, "no event time");
                continue;
            }
            const Timestamp time = options_.event == kNoSlot ? batch.ingest_time[row]
                                                             : batch.column(options_.event).values<Timestamp>()[row];
            if (options_.check_future && in_future(batch, row, time)) {
                reject(batch, row, options_.future_time, "event time is later than it was recorded");
                continue;
            }
            if (time < options_.not_before) {
                reject(batch, row, options_.clock_invalid, "event time is before any that can be right");
                continue;
            }
            batch.event_time[row] = time;
            passed.push_back(row);
        }
    }

  private:
    bool in_future(const Batch& batch, Row row, Timestamp time) const {
        if (options_.recorded == kNoSlot) {
            return time > saturating_add(batch.ingest_time[row], options_.future);
        }
        const Column& recorded = batch.column(options_.recorded);
        return recorded.valid().test(row) && time > saturating_add(recorded.values<Timestamp>()[row], options_.future);
    }

    ClockOptions options_;
};

class UnionStep final : public RowOperator {
  public:
    void process(Batch&, std::span<const Selection* const> in, std::span<Selection* const> out,
                 Scratch&) const override {
        std::vector<Row> rows;
        for (const Selection* input : in) rows.insert(rows.end(), input->begin(), input->end());
        std::sort(rows.begin(), rows.end());
        rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
        out[0]->clear();
        for (const Row row : rows) out[0]->push_back(row);
    }
};

}  // namespace

std::unique_ptr<RowOperator> make_clock_step(const ClockOptions& options) {
    return std::make_unique<ClockStep>(options);
}

std::unique_ptr<RowOperator> make_union_step() {
    return std::make_unique<UnionStep>();
}

}  // namespace takt
