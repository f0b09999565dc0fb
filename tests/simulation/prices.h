#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/plan/catalog.h"
#include "pipeline/plan/table_feed.h"
#include "tests/simulation/chance.h"

namespace takt::simulation {

class World;

/// What the plant's bucket of prices was told, in order: entries 0 to 4 and "*", whose price holds where a key has
/// none. The price is a digit; a value of two is no row, and a good one comes after it.
struct PriceChange {
    std::string key;
    std::uint64_t revision = 0;
    std::optional<std::string> value;  ///< nothing: removed
    Timestamp time = 0;
};
std::vector<PriceChange> make_prices(Chance& chance, Timestamp start, Duration span);

/// Prices by key, as the table has them.
using Prices = std::map<std::string, std::int64_t>;
void follow(const TableVersion& version, Prices& prices);
std::int64_t price_of(const Prices& prices, const std::string& key);

/// The table `simulated`. Its feed reads the world's bucket: it fails to open, loses its connection, and then tells the
/// difference at once.
const TableType& price_table();
std::unique_ptr<TableFeed> make_price_feed(World& world);

}  // namespace takt::simulation
