#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cli/test_file.h"
#include "pipeline/plan/plan.h"

namespace takt {

/// What a pipeline made of a case.
struct TestOutput {
    std::vector<Posting> postings;
    std::vector<DeadLetter> dead_letters;
    std::map<std::pair<std::string, std::string>, std::uint64_t> outcomes;  ///< by outcome and rule
};

/// Runs a case through the real engine on one thread, fresh state, with so many lanes.
TestOutput run_case(const Plan& plan, const TestCase& one, std::uint32_t lanes);

/// What differs from what the case expects, a few lines each; empty: nothing.
std::vector<std::string> compare_case(const TestCase& one, const TestOutput& output);

/// What came out as a case of a test file expects it, indented as it stands there.
std::string as_expectations(const TestOutput& output);

/// A posting or dead letter as names and values that a case may expect.
using NamedValues = std::vector<std::pair<std::string, std::string>>;
NamedValues values_of(const Posting& posting);
NamedValues values_of(const DeadLetter& letter);

}  // namespace takt
