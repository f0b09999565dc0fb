#include <CLI/CLI.hpp>

#include "cli/verbs.h"
#include "pipeline/base/process_memory.h"

int main(int argc, char** argv) {
    takt::keep_freed_memory();
    takt::Invocation invocation;
    invocation.program = argv[0];
    invocation.version = TAKT_VERSION;
    CLI::App app("takt turns shop-floor events into ledger postings.", "takt");
    app.set_version_flag("--version", "takt " TAKT_VERSION, "print the version");
    app.set_help_flag("-h,--help", "print this help; 'takt VERB --help' explains a verb");
    app.require_subcommand(1);
    app.footer(std::string("Begin with:\n"
                           "  takt check configs/plant_to_ledger.yaml    is it right? every mistake at once\n"
                           "  takt graph configs/plant_to_ledger.yaml    what flows where\n"
                           "  takt list operators aggregate              what a step can do\n"
                           "  takt run configs/plant_to_ledger.yaml      until Ctrl-C, which drains and ends\n\n") +
               takt::kExitCodesHelp);
    takt::add_run(app, invocation);
    takt::add_check(app, invocation);
    takt::add_plan(app, invocation);
    takt::add_graph(app, invocation);
    takt::add_test(app, invocation);
    takt::add_audit(app, invocation);
    takt::add_trace(app, invocation);
    takt::add_replay(app, invocation);
    takt::add_ledger(app, invocation);
    takt::add_dlq(app, invocation);
    takt::add_sim(app, invocation);
    takt::add_list(app, invocation);
    takt::add_schema(app, invocation);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? takt::kExitOk : takt::kExitMistake;
    }
    return invocation.exit_code;
}
