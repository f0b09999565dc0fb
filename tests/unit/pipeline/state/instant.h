#pragma once

#include <gtest/gtest.h>

#include <string_view>

#include "pipeline/base/time.h"

namespace takt {

/// "2026-05-11T04:00:00Z"
inline Timestamp at(std::string_view text) {
    const auto time = parse_timestamp(text);
    EXPECT_TRUE(time) << text;
    return time.value_or(0);
}

}  // namespace takt
