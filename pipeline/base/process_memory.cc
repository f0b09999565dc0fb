#include "pipeline/base/process_memory.h"

#include <cstdlib>  // __GLIBC__

#ifdef __GLIBC__
#include <malloc.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#endif

namespace takt {

void keep_freed_memory() {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the largest that mallopt takes
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    mallopt(M_TOP_PAD, 16 << 20);
#endif
}

void give_back_much_freed_memory() {
#ifdef __GLIBC__
    constexpr std::uint64_t kMuch = 256u << 20;
    std::uint64_t pages = 0;
    std::uint64_t resident_pages = 0;
    if (!(std::ifstream("/proc/self/statm") >> pages >> resident_pages)) return;
    const std::uint64_t resident = resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    if (resident <= kMuch) return;  // and mallinfo2 need not look through all that is free
    const struct mallinfo2 memory = ::mallinfo2();
    const std::uint64_t in_use = memory.uordblks + memory.hblkhd;
    if (resident > in_use + in_use / 2 || resident > in_use + 2 * kMuch) ::malloc_trim(0);
#endif
}

}  // namespace takt
