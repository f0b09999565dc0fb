#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/load.h"
#include "pipeline/base/time.h"
#include "pipeline/config/node.h"

namespace takt {

/// Something that a case tells its pipeline.
struct TestEvent {
    std::uint32_t source = 0;            ///< index in the plan
    std::string message;                 ///< a JSON object, or the bytes that the case wrote
    bool is_bytes = false;               ///< the latter
    Timestamp time = 0;                  ///< of the virtual clock: the message's ingest time
    bool ends_epoch = false;             ///< no message: what came before is one epoch
    std::optional<Timestamp> watermark;  ///< where it moves then; else as the sources say
};

/// Fields of a posting or dead letter that a case expects, as written.
struct TestExpectation {
    Place place;
    std::vector<std::pair<std::string, std::string>> fields;
};

struct TestCase {
    std::string name;
    Place place;
    std::vector<TestEvent> events;
    bool close = true;  ///< all windows close at the end
    std::vector<TestExpectation> postings;
    std::vector<TestExpectation> dead_letters;
    bool counts_outcomes = false;
    /// By outcome and rule; an empty rule stands for all rules of the outcome. Only used where counts_outcomes.
    std::map<std::pair<std::string, std::string>, std::uint64_t> outcomes;
};

/// A test file, and the pipeline that it is about with the tables that it brings. Plan and cases are null where there
/// are mistakes, which were shown on stderr.
struct TestFile {
    std::optional<LoadedPipeline> pipeline;
    std::vector<TestCase> cases;
};

/// Reads a test file (docs/reference/cli.md has its form) and plans its pipeline. Nothing after mistakes, which are
/// shown on stderr.
std::optional<TestFile> load_test(const std::string& path);

}  // namespace takt
