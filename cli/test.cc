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

struct TestOptions {
    std::vector<std::string> files;
    std::string only;   // cases whose name contains it
    bool show = false;  // what came out, too
};

ExitCode test_file(const std::string& path, const TestOptions& options) {
    const auto file = load_test(path);
    if (!file) return kExitMistake;
    const Plan& plan = *file->pipeline->planned.plan;
    std::size_t run = 0;
    std::size_t failed = 0;
    for (const TestCase& one : file->cases) {
        if (one.name.find(options.only) == std::string::npos) continue;
        ++run;
        const TestOutput output = run_case(plan, one, 1);
        if (!same_output(output, run_case(plan, one, kOtherLanes))) {
            fmt::print(stderr, "takt: F641: case '{}': {} lanes give another answer than one\n", one.name, kOtherLanes);
            return kExitLimit;
        }
        const std::vector<std::string> differences = compare_case(one, output);
        if (differences.empty()) {
            fmt::print("ok      {}\n", one.name);
        } else {
            ++failed;
            fmt::print("FAILED  {} ({}:{})\n", one.name, path, one.place.line);
            for (const std::string& difference : differences) print_indented(difference);
        }
        if (options.show) fmt::print("{}", as_expectations(output));
    }
    fmt::print("{}: {} of {} cases, {} failed\n", path, run, file->cases.size(), failed);
    if (run == 0) {
        fmt::print(stderr, "takt: no case of {} has '{}' in its name\n", path, options.only);
        return kExitMistake;
    }
    return failed == 0 ? kExitOk : kExitDifference;
}

int test(const TestOptions& options) {
    int worst = kExitOk;
    for (const std::string& path : options.files) worst = std::max<int>(worst, test_file(path, options));
    return worst;
}

}  // namespace

void add_test(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("test", "Run a pipeline's own test files: events in, expected postings out.");
    verb->footer(
        "Each case runs on a fresh state and a virtual clock, with 1 lane and with 4; nothing outside is touched. "
        "Exit\n"
        "code 1 where a case failed. docs/reference/cli.md has the form of a test file.");
    const auto options = std::make_shared<TestOptions>();  // shared by the verb's callbacks, which CLI11 copies
    verb->add_option("file", options->files, "test files")->required()->type_name("FILE");
    verb->add_option("--case", options->only, "only cases whose name contains this")->type_name("TEXT");
    verb->add_flag("--show", options->show,
                   "print what came out of each case, in the form in which a test file expects it");
    verb->callback([options, &invocation] { invocation.exit_code = test(*options); });
}

}  // namespace takt
