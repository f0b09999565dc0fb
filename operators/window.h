#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "pipeline/plan/planner.h"
#include "pipeline/state/calendar.h"

namespace takt {

/// Which windows an event belongs to.
struct WindowSpec {
    enum class Kind : std::uint8_t { none, tumbling, hopping, session, day, week, month, shift };
    Kind kind = Kind::none;
    Duration size = 0;                              ///< tumbling, hopping: length; session: gap
    Duration every = 0;                             ///< hopping: distance of the starts; size is a multiple of it
    Duration offset = 0;                            ///< tumbling, hopping: from 1970-01-01T00:00:00Z
    std::shared_ptr<const ShiftCalendar> calendar;  ///< shift; shared with the planner's table
    Slot calendar_key = kNoSlot;                    ///< shift: string column
    std::string calendar_column;                    ///< its name

    bool has_windows() const { return kind != Kind::none; }
    bool needs_zone() const { return kind >= Kind::day; }
    /// Windows of one event.
    std::uint32_t windows_per_event() const {
        return kind == Kind::hopping ? static_cast<std::uint32_t>(size / every) : 1;
    }
    std::string text() const;
    /// All of it, with the shifts themselves: equal for windows that put every event into the same panes.
    std::string definition() const;
};

/// Reads `window:` of an aggregate or posting: { tumbling: 1h }, { hopping: 1h, every: 5m }, { session: 30m }, { day:
/// local }, { week: local }, { month: local }, { shift: CALENDAR, of: COLUMN }. Nothing on mistakes; Kind::none when
/// the node is null.
std::optional<WindowSpec> read_window(const ConfigNode* node, const std::string& what, const Stream& stream,
                                      PlanContext& context);

/// Finds time zones and shift plans by name for a batch of rows; remembers what it found. One thread.
class WindowFinder {
  public:
    explicit WindowFinder(const WindowSpec& spec) : spec_(spec) {}

    /// The (first) window of an event at `time`. Null reason on success; else why there is none (static text).
    const char* find(Timestamp time, std::string_view zone, std::string_view calendar_key, Window& window);

    /// The zone; null when unknown.
    const TimeZone* zone(std::string_view name);

  private:
    const ShiftPlan* plan(std::string_view zone_name, std::string_view key);

    const WindowSpec& spec_;
    std::map<std::string, std::shared_ptr<const TimeZone>, std::less<>>
        zones_;  ///< shared: TimeZone::find gives them so
    std::map<std::string, std::shared_ptr<const ShiftPlan>, std::less<>> plans_;  ///< key: zone, 0, calendar key
    std::string last_zone_name_;
    const TimeZone* last_zone_ = nullptr;
    std::string last_plan_name_;
    const ShiftPlan* last_plan_ = nullptr;
    std::string scratch_;
};

}  // namespace takt
