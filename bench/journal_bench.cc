// What an epoch waits for before its postings may go: one frame in the journal, on the disk that holds the build
// folder. Beside it a plain write of as many bytes and an fdatasync into reserved space: what the disk itself takes.
// The two take turns, so that both meet the same disk.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/journal/disk.h"
#include "pipeline/journal/journal.h"

namespace takt {
namespace {

using Clock = std::chrono::steady_clock;

/// One epoch of about that many bytes.
Frame frame_of(std::uint64_t epoch, std::size_t bytes) {
    Frame frame;
    frame.result.epoch = epoch;
    frame.result.cuts.resize(1);
    DeadLetter letter;
    letter.source = "floor";
    letter.reason = "DECODE";
    letter.bytes = std::to_string(epoch) + std::string(bytes, 'x');
    frame.result.dead_letters.push_back(std::move(letter));
    return frame;
}

class Folder {
  public:
    Folder() {
        std::string name = TAKT_BINARY_DIR "/journal-bench-XXXXXX";
        path_ = ::mkdtemp(name.data());
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

double microseconds_at(std::vector<Clock::duration>& times, std::size_t percent) {
    const auto at = times.begin() + static_cast<std::ptrdiff_t>((times.size() - 1) * percent / 100);
    std::nth_element(times.begin(), at, times.end());
    return std::chrono::duration<double, std::micro>(*at).count();
}

void append(benchmark::State& state) {
    const auto bytes = static_cast<std::size_t>(state.range(0));
    const Folder folder;
    FrameContext context;
    context.sources = {"floor"};
    Journal::Options options;
    auto opened = Journal::open(real_disk(), folder.path(), context, options);
    if (!opened) return state.SkipWithError(opened.error().text().c_str());
    Journal& journal = **opened;
    std::unique_ptr<File> plain;
    if (real_disk().open(folder.path() + "/plain", Disk::Open::empty, plain) || plain->preallocate(64u << 20) ||
        plain->fdatasync())
        return state.SkipWithError("no plain file");
    std::uint64_t offset = 0;
    std::vector<Clock::duration> frames;
    std::vector<Clock::duration> writes;
    for (auto _ : state) {
        const Frame frame = frame_of(journal.last_epoch() + 1, bytes);
        const auto begin = Clock::now();
        const Status status = journal.append(frame);
        frames.push_back(Clock::now() - begin);
        state.SetIterationTime(std::chrono::duration<double>(frames.back()).count());
        if (!status) return state.SkipWithError(status.error().text().c_str());

        const std::string same(bytes, 'x');
        const auto plain_begin = Clock::now();
        if (plain->write_at(offset, same) || plain->fdatasync()) return state.SkipWithError("the plain write failed");
        writes.push_back(Clock::now() - plain_begin);
        offset += (bytes + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
        if (offset > (63u << 20)) offset = 0;
        if (journal.segments() > 2 && !journal.drop_before(journal.last_epoch()))
            return state.SkipWithError("old segments cannot be removed");
    }
    auto reader = journal.read(journal.last_epoch());
    const auto last = reader ? reader->next() : Result<std::optional<StoredFrame>>(reader.error());
    if (!last || !*last ||
        (*last)->frame.result.dead_letters[0].bytes !=
            frame_of(journal.last_epoch(), bytes).result.dead_letters[0].bytes)
        return state.SkipWithError("the last frame is not what was written");
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
    state.counters["append_p50_us"] = microseconds_at(frames, 50);
    state.counters["append_p99_us"] = microseconds_at(frames, 99);
    state.counters["plain_write_p50_us"] = microseconds_at(writes, 50);
}
BENCHMARK(append)->Name("journal")->Arg(200)->Arg(64 << 10)->UseManualTime();

}  // namespace
}  // namespace takt

BENCHMARK_MAIN();
