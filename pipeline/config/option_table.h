#pragma once

// One table per operator, source or sink gives parsing, bounds, defaults, help, JSON Schema and error messages:
//
//     OptionTable<Deadband::Options> table;
//     table.required("band", &Options::band, "smallest change that passes").above(0.0);
//     table.optional("max_silence", &Options::max_silence, "longest gap let stand").from(1s).to(24h);
//
// A member's initial value is its default. Kinds of members: bool, std::int64_t, double, std::string, std::chrono::nanoseconds (written "5m"), SizeBytes
// ("64MiB"), Decimal ("12.50"), Secret (never printed), ConfigNode (anything; the owner reads it), ExpressionText (a CEL expression and its node),
// std::vector<std::string> (one string or a sequence), std::vector<ExpressionText>, std::map/ordered entries of ExpressionText (NamedExpressions),
// and enums through .one_of({{"name", value}, ...}).
