#pragma once

#include "pipeline/base/result.h"

namespace takt {

/// What the process says when it ends; `takt --help` and docs/reference/cli.md list them.
enum ExitCode : int {
    kExitOk = 0,
    kExitDifference = 1,  ///< a test case, an equation, a proof or a comparison failed
    kExitMistake = 2,     ///< of the author of the config or the command line
    kExitOutside = 3,     ///< the outside world failed: server, disk, network
    kExitLimit = 4,       ///< a limit was hit, or a bug

    // The worst edit that `takt plan` found, beside kExitOk.
    kExitMapped = 10,      ///< state goes on under another name
    kExitNewUid = 11,      ///< state would mean something else
    kExitDropsState = 12,  ///< state would go
};

/// Who must act, as an exit code.
inline ExitCode exit_code_of(const Error& error) {
    switch (error.code.empty() ? 'F' : error.code[0]) {
        case 'C':
        case 'D':  // what was asked for is not there
            return kExitMistake;
        case 'E':
            return kExitOutside;
        default:
            return kExitLimit;
    }
}

/// Says the error on stderr; the exit code that goes with it.
int fail(const Error& error);

constexpr const char* kExitCodesHelp =
    "Exit codes: 0 all is well; 1 a test case or an equation of the audit failed, a posting is not proved, a replay "
    "differs;\n"
    "2 a mistake in the config or in the arguments; 3 something outside failed (server, disk, network); 4 a limit was "
    "hit, or a bug\n"
    "in takt.";

}  // namespace takt
