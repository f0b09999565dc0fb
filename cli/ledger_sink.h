#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/load.h"
#include "pipeline/journal/outbox.h"
#include "sinks/ledger_lineage.h"

namespace takt {

// What a state directory says of the sink that writes a ledger.

/// The sink that was named, or the only one; null: there is none. C635: there are several, or none of that name.
Result<const SinkOutbox*> ledger_sink(const std::vector<const SinkOutbox*>& sinks, const std::string& name);

/// What a ledger lacks of a pipeline's postings: they are on their way, held or closed. By key.
class Unbooked {
  public:
    /// Of the sink that was named, or of the one that writes the ledger by the config, or of the only one that writes
    /// ledgers; with what was closed for sinks that are gone, as one may have had another name. Nothing where no folder
    /// is named. Read it after the ledger: what lets the ledger lack a posting is in the journal before later revisions
    /// are sent. C635, C703; errors of read_outbox.
    static Result<Unbooked> find(const LoadedPipeline& loaded, const std::string& ledger,
                                 const std::string& state_folder, const std::string& sink);

    /// For LedgerLineage::set_unbooked.
    std::vector<UnbookedPosting> postings() const;
    /// "closed by anna: booked by hand (4711)", "refused: OUT_OF_RANGE", of one of them.
    std::string text_of(const std::string& key) const;

  private:
    void add(const std::list<SinkOutbox::Entry>& entries);

    std::map<std::string, SinkOutbox::Entry> entries_;
};

}  // namespace takt
