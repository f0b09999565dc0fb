#include "cli/command_line.h"

#include <CLI/CLI.hpp>

#include "cli/verbs.h"
#include "pipeline/base/process_memory.h"

namespace takt {

int run_command_line(int argc, char** argv) {
    keep_freed_memory();
    Invocation invocation;
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
               kExitCodesHelp);
    add_run(app, invocation);
    add_check(app, invocation);
    add_plan(app, invocation);
    add_graph(app, invocation);
    add_test(app, invocation);
    add_audit(app, invocation);
    add_trace(app, invocation);
    add_replay(app, invocation);
    add_ledger(app, invocation);
    add_dlq(app, invocation);
    add_outbox(app, invocation);
    add_sim(app, invocation);
    add_list(app, invocation);
    add_schema(app, invocation);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? kExitOk : kExitMistake;
    }
    return invocation.exit_code;
}

}  // namespace takt
