#include "tests/simulation/prices.h"

#include <fmt/format.h>

#include <algorithm>

#include "tests/simulation/world.h"

namespace takt::simulation {
namespace {

constexpr std::string_view kDefault = "*";

class PriceFeed final : public TableFeed {
  public:
    explicit PriceFeed(World& world) : world_(world) {}

    Status open(std::vector<TableChange>& content) override {
        if (!world_.step(50 * kMillisecond) || world_.fault(world_.faults().source_does_not_open))
            return Error{"E000", "the bucket does not answer"};
        known_.clear();
        tell_difference(content);
        return {};
    }

    Status read(Duration wait, std::vector<TableChange>& changes) override {
        const Error lost{"E000", "the connection to the bucket is lost"};
        const bool alive = world_.step();
        if (!alive || connection_.lost()) {
            behind_ = behind_ || alive;
            world_.scheduler.sleep(wait);
            return lost;
        }
        if (behind_) {
            tell_difference(changes);
            behind_ = false;
            return {};
        }
        const std::vector<PriceChange>& all = world_.prices;
        if (at_ == all.size() || all[at_].time > world_.scheduler.now()) {
            const Timestamp next = at_ == all.size() ? kEndOfTime : all[at_].time;
            world_.scheduler.sleep(std::min(wait, next - world_.scheduler.now()));
        }
        for (; at_ < all.size() && all[at_].time <= world_.scheduler.now(); ++at_) {
            TableChange change = change_of(all[at_]);
            if (change.operation == TableChange::Operation::put) {
                known_[change.key] = change.revision;
            } else if (known_.erase(change.key) == 0) {
                continue;
            }
            changes.push_back(std::move(change));
        }
        return {};
    }

    std::vector<TableChange> earlier(const TableChange& change) override {
        std::vector<TableChange> kept;
        for (auto older = world_.prices.rbegin(); older != world_.prices.rend(); ++older) {
            if (older->key != change.key || older->revision >= change.revision) continue;
            if (!older->value) break;
            kept.push_back(change_of(*older));
        }
        return kept;
    }

    Result<std::vector<TableUpdate>> decode(const TableChange& change) const override {
        std::vector<TableUpdate> updates = {{.key = {change.key}, .erase = true}};
        if (change.operation != TableChange::Operation::put) return updates;
        if (change.value.size() != 1) return Error{"D406", fmt::format("'{}' is no price", change.value)};
        updates.push_back({.key = {change.key}, .values = {{"price", change.value}}, .place = change.key});
        return updates;
    }
    std::string describe() const override { return "a bucket of the simulator"; }

  private:
    static TableChange change_of(const PriceChange& said) {
        TableChange change{.key = said.key, .revision = said.revision, .value = said.value.value_or("")};
        if (!said.value) change.operation = TableChange::Operation::remove;
        return change;
    }

    /// What the bucket holds now, as far as it was not told; and what is there no more.
    void tell_difference(std::vector<TableChange>& changes) {
        std::map<std::string, const PriceChange*> content;
        for (at_ = 0; at_ < world_.prices.size() && world_.prices[at_].time <= world_.scheduler.now(); ++at_) {
            const PriceChange& said = world_.prices[at_];
            if (said.value) {
                content[said.key] = &said;
            } else {
                content.erase(said.key);
            }
        }
        const std::uint64_t newest = at_ == 0 ? 0 : world_.prices[at_ - 1].revision;
        for (auto known = known_.begin(); known != known_.end();) {
            if (content.contains(known->first)) {
                ++known;
                continue;
            }
            changes.push_back({.key = known->first, .revision = newest, .operation = TableChange::Operation::gone});
            known = known_.erase(known);
        }
        for (const auto& [key, said] : content) {
            if (known_[key] == said->revision) continue;
            known_[key] = said->revision;
            changes.push_back(change_of(*said));
            changes.back().in_content = true;
        }
    }

    World& world_;
    std::map<std::string, std::uint64_t> known_;  ///< revisions that were told
    std::size_t at_ = 0;
    bool behind_ = false;
    Connection connection_{world_};
};

class PriceTable final : public TableType {
  public:
    std::string_view name() const override { return "simulated"; }
    std::string_view help() const override { return "Prices of the simulator."; }
    OptionDocs docs() const override { return {}; }
    std::optional<Make> plan(const ConfigNode&, const TableSpec&, Mistakes&) const override {
        return []() -> Result<std::unique_ptr<TableFeed>> { return Error{"F000", "the simulation brings it"}; };
    }
};

}  // namespace

std::vector<PriceChange> make_prices(Chance& chance, Timestamp start, Duration span) {
    std::vector<PriceChange> prices = {{std::string(kDefault), 1, "2", start}};
    const auto add = [&](const std::string& key, std::optional<std::string> value, Timestamp time) {
        prices.push_back({key, prices.back().revision + 1 + chance.below(3), std::move(value), time});
    };
    Timestamp now = start;
    for (std::uint64_t count = chance.below(40); count > 0; --count) {
        now += chance.between(0, span / 20);
        const std::string key = chance.one_in(8) ? std::string(kDefault) : std::to_string(chance.below(5));
        const std::string price = std::to_string(1 + chance.below(9));
        if (key != kDefault && chance.one_in(5)) {
            add(key, std::nullopt, now);
            continue;
        }
        if (chance.one_in(6)) {
            add(key, price + price, now);
            now += chance.between(0, span / 20);
        }
        add(key, price, now);
    }
    return prices;
}

void follow(const TableVersion& version, Prices& prices) {
    if (version.whole) prices.clear();
    for (const TableChange& change : version.changes) {
        if (change.operation == TableChange::Operation::put) {
            prices[change.key] = std::stoll(change.value);
        } else {
            prices.erase(change.key);
        }
    }
}

std::int64_t price_of(const Prices& prices, const std::string& key) {
    const auto own = prices.find(key);
    const auto found = own != prices.end() ? own : prices.find(std::string(kDefault));
    return found == prices.end() ? 0 : found->second;
}

const TableType& price_table() {
    static const PriceTable table;
    return table;
}

std::unique_ptr<TableFeed> make_price_feed(World& world) {
    return std::make_unique<PriceFeed>(world);
}

}  // namespace takt::simulation
