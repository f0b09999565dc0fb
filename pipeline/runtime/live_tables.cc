#include "pipeline/runtime/live_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <string>
#include <utility>

#include "pipeline/base/check.h"
#include "pipeline/base/mutant.h"
#include "pipeline/observe/log.h"

namespace takt {

LiveTables::LiveTables(const Plan& plan) : plan_(plan), tables_(plan.tables.size()) {}

Result<const TableFeed*> LiveTables::decoder(std::uint32_t table) const {
    if (tables_[table].decoder == nullptr) {
        Result<std::unique_ptr<TableFeed>> made = plan_.tables[table].make();
        if (!made) return made.error();
        tables_[table].decoder = std::move(*made);
    }
    return tables_[table].decoder.get();
}

Status LiveTables::complete(TableVersion& version) const {
    const auto foreign = [](std::string_view what) {
        return Error{"F625", fmt::format("the journal changes a table otherwise than this config reads it: {}", what)};
    };
    if (version.table >= tables_.size()) return foreign(fmt::format("there is no live table {}", version.table));
    const Result<const TableFeed*> feed = decoder(version.table);
    if (!feed) return feed.error();
    const TemporalTable& now = *plan_.tables[version.table].handle->current;
    std::vector<TableUpdate> updates;
    for (const TableChange& change : version.changes) {
        Result<std::vector<TableUpdate>> some = updates_of(**feed, now.spec(), change);
        if (!some) return foreign(some.error().text());
        std::move(some->begin(), some->end(), std::back_inserter(updates));
    }
    const auto empty = TableBuilder(now.spec()).build();
    Result<std::shared_ptr<const TemporalTable>> made =
        updated(version.whole || mutant("table_change_counts_as_all") ? **empty : now, updates);
    if (!made) return made.error();
    version.content = std::move(*made);
    return {};
}

void LiveTables::put(const TableVersion& version) {
    CHECK(version.content != nullptr);
    Table& table = tables_[version.table];
    if (table.entries == nullptr || version.whole) {
        table.entries = std::make_shared<TableEntries>();  // shared with snapshots that are being written
    } else if (table.shared) {
        table.entries = std::make_shared<TableEntries>(*table.entries);
    }
    table.shared = false;
    for (const TableChange& change : version.changes) {
        if (change.operation == TableChange::Operation::put) {
            table.entries->insert_or_assign(change.key, change);
        } else {
            table.entries->erase(change.key);
        }
    }
    plan_.tables[version.table].handle->current = version.content;
}

std::shared_ptr<const TableEntries> LiveTables::entries(std::uint32_t table) const {
    tables_[table].shared = true;
    return tables_[table].entries;
}

void LiveTables::save(std::vector<EngineState::Table>& tables) const {
    if (mutant("tables_not_in_snapshot")) return;
    for (std::uint32_t index = 0; index < tables_.size(); ++index) {
        if (auto known = entries(index)) tables.push_back({plan_.tables[index].name, std::move(known)});
    }
}

Status LiveTables::load(const std::vector<EngineState::Table>& tables) {
    for (std::uint32_t index = 0; index < tables_.size(); ++index) {
        const TablePlan& plan = plan_.tables[index];
        const auto saved = std::find_if(tables.begin(), tables.end(),
                                        [&](const EngineState::Table& one) { return one.name == plan.name; });
        if (saved == tables.end()) continue;
        const Result<const TableFeed*> feed = decoder(index);
        if (!feed) return feed.error();
        const TableSpec& spec = plan.handle->current->spec();
        auto entries = std::make_shared<TableEntries>();  // shared with snapshots
        std::vector<TableUpdate> updates;
        for (const auto& [key, change] : *saved->entries) {
            Result<std::vector<TableUpdate>> some = updates_of(**feed, spec, change);
            if (!some) {
                log(LogLevel::warning, "an entry of a table's state is none any more, and is left out",
                    {{"table", plan.name}, {"entry", key}, {"error", some.error().text()}});
                continue;
            }
            std::move(some->begin(), some->end(), std::back_inserter(updates));
            entries->emplace(key, change);
        }
        const auto empty = TableBuilder(spec).build();
        Result<std::shared_ptr<const TemporalTable>> made = updated(**empty, updates);
        if (!made) return made.error();
        plan.handle->current = std::move(*made);
        tables_[index].entries = std::move(entries);
        tables_[index].shared = false;
    }
    return {};
}

}  // namespace takt
