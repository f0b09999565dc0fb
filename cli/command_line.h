#pragma once

namespace takt {

/// The program `takt`: what main was called with; its exit code.
int run_command_line(int argc, char** argv);

}  // namespace takt
