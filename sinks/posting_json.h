#pragma once

#include <span>
#include <string>
#include <string_view>

#include "pipeline/plan/posting.h"
#include "pipeline/plan/sink.h"

namespace takt {

// Postings, dead letters and summaries as one line of JSON without a line end: what sinks that speak JSON write. The
// order of members is fixed and part of the format. Decimals are strings with all digits of their scale, times RFC 3339
// in UTC, dates `2026-05-12`; what is absent is left out.

/// {"key":…,"payload_hash":…,"type":…,"pipeline":…,"revision":1,"previous_key":…,"window_start":…,"window_end":…,"posting_date":…,
///  "correlation_id":…,"key_fields":{…},"quantity":"1.000000","quantity_cumulative":…,"unit":…,"amount":"1.00","amount_cumulative":…,
///  "currency":…,"debit":…,"credit":…,"lines":[{"account":…,"cost_center":…,"side":"debit","amount":…}],
///  "lineage":{"ranges":[{"source":…,"first_sequence":1,"last_sequence":2}],"events":2,"ids":…},"config_hash":…,"epoch":1}
std::string posting_json(const Posting& posting);

/// {"source":…,"sequence":1,"part":0,"subject":…,"ingest_time":…,"event_id":…,"reason":…,"text":…,"owner":…,"step":…,
///  "correlation_id":…,"bytes":…,"epoch":1,"replay":1}; without `replay` where it is 0. Bytes that are no UTF-8, or
///  hold U+0000, stand in `bytes_base64` instead of `bytes`.
std::string dead_letter_json(const DeadLetter& dead_letter);

/// {"outcomes":[{"outcome":"filtered","rule":"telemetry","count":1}]}
std::string outcomes_json(std::span<const Sink::OutcomeCount> counts);

/// Appends the text as a JSON string, in quotes. A byte that is no part of valid UTF-8 becomes U+FFFD.
void append_json_string(std::string& to, std::string_view text);

/// RFC 4648 with padding.
std::string base64(std::string_view bytes);

}  // namespace takt
