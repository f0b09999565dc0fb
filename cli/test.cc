#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/test_case.h"
#include "cli/verbs.h"

namespace takt {
namespace {

constexpr std::uint32_t kOtherLanes = 4;

/// Whatever the number of lanes, the answer is the same: else the fault is ours, not the case's.
bool same_output(const TestOutput& a, const TestOutput& b) {
    const auto same_postings = [](const Posting& p, const Posting& q) {
        return p.key == q.key && p.payload_hash == q.payload_hash && values_of(p) == values_of(q);
    };
    const auto same_letters = [](const DeadLetter& p, const DeadLetter& q) { return values_of(p) == values_of(q); };
    return a.outcomes == b.outcomes &&
           std::equal(a.postings.begin(), a.postings.end(), b.postings.begin(), b.postings.end(), same_postings) &&
           std::equal(a.dead_letters.begin(), a.dead_letters.end(), b.dead_letters.begin(), b.dead_letters.end(),
                      same_letters);
}

void print_indented(const std::string& text) {
    std::string shown = "    ";
    for (const char c : text) {
        shown += c;
        if (c == '\n') shown += "    ";
    }
    fmt::print("{}\n", shown);
}

ExitCode test_file(const std::string& path) {
    const auto file = load_test(path);
    if (!file) return kExitMistake;
    const Plan& plan = *file->pipeline->planned.plan;
    std::size_t failed = 0;
    for (const TestCase& one : file->cases) {
        const TestOutput output = run_case(plan, one, 1);
        if (!same_output(output, run_case(plan, one, kOtherLanes))) {
            fmt::print(stderr, "takt: F641: case '{}': {} lanes give another answer than one\n", one.name, kOtherLanes);
            return kExitLimit;
        }
        const std::vector<std::string> differences = compare_case(one, output);
        if (differences.empty()) {
            fmt::print("ok      {}\n", one.name);
            continue;
        }
        ++failed;
        fmt::print("FAILED  {} ({}:{})\n", one.name, path, one.place.line);
        for (const std::string& difference : differences) print_indented(difference);
    }
    fmt::print("{}: {} cases, {} failed\n", path, file->cases.size(), failed);
    return failed == 0 ? kExitOk : kExitDifference;
}

int test(const std::vector<std::string>& files) {
    int worst = kExitOk;
    for (const std::string& path : files) worst = std::max<int>(worst, test_file(path));
    return worst;
}

}  // namespace

void add_test(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("test", "Run a pipeline's own test files: events in, expected postings out.");
    verb->footer(
        "Each case runs on a fresh state and a virtual clock, with 1 lane and with 4; nothing outside is touched. "
        "Exit\n"
        "code 1 where a case failed. docs/reference/cli.md has the form of a test file.");
    const auto files =
        std::make_shared<std::vector<std::string>>();  // shared by the verb's callbacks, which CLI11 copies
    verb->add_option("file", *files, "test files")->required()->type_name("FILE");
    verb->callback([files, &invocation] { invocation.exit_code = test(*files); });
}

}  // namespace takt
