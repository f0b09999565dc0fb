#include "pipeline/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace takt {

void check_failed(const char* statement, const char* file, int line) {
    std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, statement);
    std::abort();
}

}  // namespace takt
