#include "operators/value_book.h"

#include <algorithm>

#include "pipeline/base/check.h"

namespace takt {

ValueBook::ValueBook(std::string step, std::vector<Number> numbers)
    : step_(std::move(step)), numbers_(std::move(numbers)) {}

std::uint32_t ValueBook::place(std::span<const std::string_view> units) {
    CHECK(units.size() == numbers_.size());
    for (std::size_t i = 0; i < places_.size(); ++i) {
        if (std::equal(units.begin(), units.end(), places_[i].units.begin())) return static_cast<std::uint32_t>(i);
    }
    Place& made = places_.emplace_back();
    made.units.assign(units.begin(), units.end());
    made.sums.resize(numbers_.size());
    return static_cast<std::uint32_t>(places_.size() - 1);
}

void ValueBook::contribute(std::uint32_t place, std::size_t number, Int128 units) {
    Int128& sum = places_[place].sums[number].contributed;
    sum = wrapping_add(sum, units);
}

void ValueBook::settle(std::uint32_t place, std::size_t number, Int128 units, Int128 rounding) {
    Sums& sums = places_[place].sums[number];
    sums.settled = wrapping_add(sums.settled, units);
    sums.rounding = wrapping_add(sums.rounding, rounding);
}

ValueSum ValueBook::named(const Place& place, std::size_t number) const {
    const Number& of = numbers_[number];
    return {.step = step_,
            .measure = of.measure,
            .unit = place.units[number],
            .scale = of.scale(),
            .posts = of.posts,
            .adds_up = of.adds_up};
}

void ValueBook::report(std::vector<ValueSum>& to) {
    for (Place& place : places_) {
        for (std::size_t number = 0; number < numbers_.size(); ++number) {
            Sums& sums = place.sums[number];
            if (sums.contributed == 0 && sums.settled == 0 && sums.rounding == 0) continue;
            ValueSum& sum = to.emplace_back(named(place, number));
            sum.contributed = numbers_[number].exact(sums.contributed);
            sum.settled = sums.settled;
            sum.rounding = sums.rounding;
            sums = {};
        }
    }
}

void ValueBook::Open::report(std::vector<ValueSum>& to) const {
    for (std::size_t i = 0; i < sums_.size(); ++i) {
        const std::size_t number = i % book_.numbers_.size();
        if (sums_[i] == 0 || !book_.numbers_[number].adds_up) continue;
        to.push_back(book_.named(book_.places_[i / book_.numbers_.size()], number));
        to.back().contributed = sums_[i];
    }
}

}  // namespace takt
