#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/plan/epoch_log.h"
#include "pipeline/plan/plan.h"

namespace takt {

/// What isolate needs of a pipeline's log.
struct IsolationLog {
    std::function<Result<EpochLog::Past>()> recover;  ///< in a process of its own, again and again; changes nothing
    std::function<Status(const QuarantinedMessage&)> quarantine;
};

/// Looks for messages that kill the process that reads them, behind the log's last epoch: processes of their own read
/// more and more of them, from the state that the log has, until one dies, and half of them, until it is a single
/// message that does so twice. That one is quarantined, and the search goes on. Which were found.
///
/// Deaths by signals of a program's own mistakes count (SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTRAP), others do
/// not: SIGKILL comes from outside. Where the state dies without a message, or something else fails, the search ends
/// without a find, and the log says why. Only sources that can be read again are looked at: what others said is gone.
///
/// The calling process must have no other thread.
std::vector<QuarantinedMessage> isolate(const Plan& plan, const IsolationLog& log);

}  // namespace takt
