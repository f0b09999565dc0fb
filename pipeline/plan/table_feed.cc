#include "pipeline/plan/table_feed.h"

namespace takt {

Result<std::vector<TableUpdate>> updates_of(const TableFeed& feed, const TableSpec& spec, const TableChange& change) {
    Result<std::vector<TableUpdate>> updates = feed.decode(change);
    if (!updates) return updates;
    TableBuilder trial(spec);
    for (const TableUpdate& update : *updates) {
        if (Status applied = trial.apply(update); !applied) return applied.error();
    }
    return updates;
}

}  // namespace takt
