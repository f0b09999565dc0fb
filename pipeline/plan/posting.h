#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/base/decimal.h"
#include "pipeline/base/hash.h"
#include "pipeline/base/time.h"

namespace takt {

enum class Side : std::uint8_t { debit, credit };

/// One line of a document.
struct PostingLine {
    std::string account;
    std::string cost_center;  ///< empty: none
    Side side = Side::debit;
    Int128 amount = 0;  ///< in units of Posting::amount_scale; may be negative
};

/// Which events made a posting: per source the first and last sequence, how many, and the multiset hash of their ids.
struct Lineage {
    struct Range {
        std::string source;
        std::uint64_t first_sequence = 0;
        std::uint64_t last_sequence = 0;
    };
    std::vector<Range> ranges;  ///< by source name
    std::uint64_t events = 0;
    Hash128 ids;
};

/// A balanced document for the ledger: one revision of one pane (DOMAIN.md section 3). Amounts and quantities are
/// differences to the previous revision, and cumulative values beside them.
struct Posting {
    std::string key;           ///< idempotency key: 32 lower-case hex digits
    std::string payload_hash;  ///< 32 lower-case hex digits over everything that has a financial effect
    std::string type;          ///< the posting's name in the config: "goods_receipt"
    std::string pipeline;
    std::uint32_t revision = 1;
    std::string previous_key;               ///< of revision - 1; empty for the first
    std::optional<Timestamp> window_start;  ///< absent: the posting has no window
    std::optional<Timestamp> window_end;
    std::int32_t posting_date = 0;  ///< local date, days since 1970
    std::string correlation_id;

    struct KeyField {
        std::string name;
        std::string value;  ///< as text; empty when the field is absent
    };
    std::vector<KeyField> key_fields;  ///< in the order of the config's `by`

    bool has_quantity = true;
    Int128 quantity = 0;  ///< difference to the previous revision, units of quantity_scale
    Int128 quantity_cumulative = 0;
    int quantity_scale = 6;
    std::string unit;

    bool has_amount = true;
    Int128 amount = 0;  ///< difference to the previous revision, units of amount_scale
    Int128 amount_cumulative = 0;
    int amount_scale = 2;
    std::string currency;
    std::string debit;   ///< account; empty when there are no lines
    std::string credit;  ///< account
    std::vector<PostingLine> lines;

    Lineage lineage;
    std::string config_hash;
    std::uint64_t epoch = 0;  ///< the epoch that made it
};

/// A rejected event: part of the frame, with its bytes.
struct DeadLetter {
    std::string source;
    std::uint64_t sequence = 0;
    std::uint32_t part = 0;
    std::string subject;
    Timestamp ingest_time = 0;
    std::string event_id;  ///< empty for DECODE
    std::string reason;    ///< "MISSING_FIELD"
    std::string text;      ///< what exactly
    std::string owner;     ///< who must act
    std::string step;      ///< the step that refused it
    std::string correlation_id;
    std::string bytes;  ///< the event as received
    std::uint64_t epoch = 0;
    std::uint32_t replay = 0;  ///< which retry of the event it ends; 0: the event as it came
};

}  // namespace takt
