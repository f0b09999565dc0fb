#pragma once

#include <string>

#include "pipeline/expression/builder.h"

namespace takt::expression {

/// `"...".format([...])` with the arguments written out as a list: %s %d %f %e %b %o %x %X %%, with precision for %f
/// and %e.
Typed build_format(Builder& builder, Builder::Call& call);

/// A double as CEL's string() writes it: the shortest that reads back.
std::string format_double(double value);
/// "1.5s": seconds with as many digits as needed.
std::string format_seconds(std::int64_t nanoseconds);

}  // namespace takt::expression
