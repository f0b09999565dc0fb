#include "pipeline/base/process_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

namespace takt {
namespace {

std::uint64_t resident_bytes() {
    std::uint64_t pages = 0;
    std::uint64_t resident = 0;
    std::ifstream("/proc/self/statm") >> pages >> resident;
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

TEST(ProcessMemory, MuchThatWasFreedIsGivenBack) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "the sanitizer has an allocator of its own";
#endif
    constexpr std::size_t kBlock = 32 << 10;
    constexpr std::size_t kBlocks = 10 << 10;  // 320 MB
    keep_freed_memory();
    const std::uint64_t before = resident_bytes();
    std::vector<std::unique_ptr<char[]>> blocks;
    for (std::size_t i = 0; i < kBlocks; ++i) {
        blocks.push_back(std::make_unique_for_overwrite<char[]>(kBlock));
        std::memset(blocks.back().get(), 1, kBlock);
    }
    // What is still in use keeps the heap as long as it was.
    for (std::size_t i = 0; i + 1 < kBlocks; ++i) blocks[i].reset();
    EXPECT_GT(resident_bytes(), before + kBlock * kBlocks / 2) << "the allocator keeps it";
    give_back_much_freed_memory();
    EXPECT_LT(resident_bytes(), before + kBlock * kBlocks / 2);
}

}  // namespace
}  // namespace takt
