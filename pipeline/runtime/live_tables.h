#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/plan/engine_state.h"
#include "pipeline/plan/plan.h"

namespace takt {

/// What the tables that follow their origin hold, version by version as the cuts put them in place, and of which
/// entries: a snapshot and a journal make the same tables again, without their origin.
///
/// One thread, which changes nothing while a batch is in flight. The plan must outlive this object.
class LiveTables {
  public:
    explicit LiveTables(const Plan& plan);

    /// Gives a version of a journal its content: what the table holds now, with the changes. F625: they are none of
    /// this plan's.
    Status complete(TableVersion& version) const;
    /// The version takes effect. It has its content.
    void put(const TableVersion& version);

    /// Of the table with this index; null before its first version.
    std::shared_ptr<const TableEntries> entries(std::uint32_t table) const;
    void save(std::vector<EngineState::Table>& tables) const;
    /// Tables by their names. Entries that are none of this plan's tables, since the config has changed, are left out.
    Status load(const std::vector<EngineState::Table>& tables);

  private:
    struct Table {
        std::unique_ptr<TableFeed> decoder;     ///< never opened; null until something is to be decoded
        std::shared_ptr<TableEntries> entries;  ///< null before the first version
        bool shared = false;                    ///< somebody may read the entries: they are copied before a change
    };

    Result<const TableFeed*> decoder(std::uint32_t table) const;

    const Plan& plan_;
    mutable std::vector<Table> tables_;  ///< by index; decoders and `shared` follow from what is asked
};

}  // namespace takt
