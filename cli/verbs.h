#pragma once

#include <string>

#include "cli/exit_codes.h"

namespace CLI {
class App;
}

namespace takt {

/// One start of the program. A verb adds itself to the command line; when it is called it leaves its exit code here.
struct Invocation {
    std::string program = "takt";  ///< as the user called it, for commands that we propose
    std::string version;           ///< of takt: "0.1.0"
    int exit_code = kExitOk;
};

// One file per verb: cli/run.cc has add_run, and so on. `invocation` outlives the app.
void add_run(CLI::App& app, Invocation& invocation);
void add_check(CLI::App& app, Invocation& invocation);
void add_plan(CLI::App& app, Invocation& invocation);
void add_graph(CLI::App& app, Invocation& invocation);
void add_test(CLI::App& app, Invocation& invocation);
void add_audit(CLI::App& app, Invocation& invocation);
void add_trace(CLI::App& app, Invocation& invocation);
void add_replay(CLI::App& app, Invocation& invocation);
void add_ledger(CLI::App& app, Invocation& invocation);
void add_dlq(CLI::App& app, Invocation& invocation);
void add_outbox(CLI::App& app, Invocation& invocation);
void add_sim(CLI::App& app, Invocation& invocation);
void add_list(CLI::App& app, Invocation& invocation);
void add_schema(CLI::App& app, Invocation& invocation);

}  // namespace takt
