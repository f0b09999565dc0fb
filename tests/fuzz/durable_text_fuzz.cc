// The small files of a state directory, their checksums made right: a wrong one is refused before anything is read.
#include <fmt/format.h>

#include "pipeline/base/check.h"
#include "pipeline/journal/crc32c.h"
#include "pipeline/journal/durable_text.h"
#include "tests/support/simulated_disk.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string text(reinterpret_cast<const char*>(data), size);
    text += fmt::format("crc32c {:08x}\n", takt::crc32c(text));
    takt::SimulatedDisk disk(1);
    std::unique_ptr<takt::File> file;
    CHECK(!disk.open("./state", takt::Disk::Open::empty, file));
    CHECK(!file->write_at(0, text));
    const auto read = takt::read_durable_text(disk, "./state", "takt-state");
    if (!read.ok()) {
        CHECK(read.error().code == "F704" || read.error().code == "F705");
        return 0;
    }
    CHECK(read->has_value());
    for (const auto& [name, value] : (*read)->values) CHECK((*read)->find(name).has_value());
    (void)(*read)->number("incarnation");
    return 0;
}
