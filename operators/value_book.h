#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/plan/audit.h"

namespace takt {

/// What one lane of a step books for the audit in an epoch: by number and unit, what rows brought and what panes told.
/// One thread.
class ValueBook {
  public:
    /// A number that the step makes of its panes or rows.
    struct Number {
        std::string measure;   ///< "quantity"
        int source_scale = 0;  ///< of what rows bring and panes hold
        int posted_scale = 0;  ///< of what is posted; of aggregates the same
        bool posts = false;
        bool adds_up = false;

        int scale() const { return posted_scale > source_scale ? posted_scale : source_scale; }
        /// Whether a posting may say less than its pane holds.
        bool rounds() const { return posted_scale < source_scale; }
        /// Both at scale().
        Int128 exact(Int128 source_units) const { return wrapping_rescale(source_units, source_scale, scale()); }
        Int128 posted(Int128 posted_units) const { return wrapping_rescale(posted_units, posted_scale, scale()); }
    };

    ValueBook(std::string step, std::vector<Number> numbers);

    const std::vector<Number>& numbers() const { return numbers_; }
    /// The place where amounts in these units are booked, one unit for each number.
    std::uint32_t place(std::span<const std::string_view> units);
    bool has_one_place() const { return places_.size() <= 1; }

    /// What rows brought, at source_scale.
    void contribute(std::uint32_t place, std::size_t number, Int128 units);
    /// By how much what panes have told has grown, and how much of that rounding has left out; at scale().
    void settle(std::uint32_t place, std::size_t number, Int128 units, Int128 rounding);
    /// Appends what was booked since the last time.
    void report(std::vector<ValueSum>& to);

    /// What panes hold and have not told, for KeyedState::add_open: at scale(), by place and number.
    class Open {
      public:
        explicit Open(const ValueBook& book) : book_(book), sums_(book.places_.size() * book.numbers_.size()) {}
        void add(std::uint32_t place, std::size_t number, Int128 units) {
            Int128& sum = sums_[place * book_.numbers_.size() + number];
            sum = wrapping_add(sum, units);
        }
        void report(std::vector<ValueSum>& to) const;

      private:
        const ValueBook& book_;
        std::vector<Int128> sums_;
    };

  private:
    struct Sums {
        Int128 contributed = 0;
        Int128 settled = 0;
        Int128 rounding = 0;
    };
    struct Place {
        std::vector<std::string> units;  ///< by number
        std::vector<Sums> sums;          ///< the same
    };
    ValueSum named(const Place& place, std::size_t number) const;

    std::string step_;
    std::vector<Number> numbers_;
    std::vector<Place> places_;
};

}  // namespace takt
