#include "sources/mes_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>

#include "pipeline/base/time.h"

namespace takt {
namespace {

std::optional<std::int64_t> parse_log_time(std::string_view text) {
    // 2012/01/30 06:24:00
    if (text.size() != 19 || text[4] != '/' || text[7] != '/' || text[10] != ' ') return std::nullopt;
    std::string rfc(text);
    rfc[4] = rfc[7] = '-';
    rfc[10] = 'T';
    const std::optional<Timestamp> time = parse_timestamp(rfc + "Z");
    if (!time) return std::nullopt;
    return *time / kSecond;
}

}  // namespace

Result<std::vector<MesActivity>> read_mes_log(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return Error{"C531", fmt::format("the MES log {} cannot be read", path)};
    std::vector<MesActivity> log;
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (number == 1 || line.empty()) continue;
        std::array<std::string_view, 5> fields;
        std::size_t count = 0;
        for (std::size_t begin = 0; begin <= line.size() && count < fields.size(); ++count) {
            const std::size_t end = std::min(line.find(',', begin), line.size());
            fields[count] = std::string_view(line).substr(begin, end - begin);
            begin = end + 1;
        }
        const auto start = parse_log_time(fields[3]);
        const auto end = parse_log_time(fields[4]);
        if (count != fields.size() || !start || !end || *end < *start)
            return Error{"C531", fmt::format("{}:{}: not a line case_id,activity,resource,start_timestamp,timestamp",
                                             path, number)};
        log.push_back({.order = std::string(fields[0]),
                       .activity = std::string(fields[1]),
                       .resource = std::string(fields[2]),
                       .end_seconds = *end,
                       .worked_seconds = *end - *start});
    }
    if (log.empty()) return Error{"C531", fmt::format("the MES log {} is empty", path)};
    std::stable_sort(log.begin(), log.end(),
                     [](const MesActivity& a, const MesActivity& b) { return a.end_seconds < b.end_seconds; });
    const std::int64_t first = log.front().end_seconds;
    for (MesActivity& activity : log) activity.end_seconds -= first;
    return log;
}

}  // namespace takt
