#include "operators/window.h"

#include <fmt/format.h>

#include <algorithm>

namespace takt {
namespace {

std::optional<Duration> read_duration(const ConfigNode& node, const std::string& what, Mistakes& mistakes) {
    const auto duration = node.is_scalar() ? parse_duration(node.scalar) : std::nullopt;
    if (!duration || *duration <= 0) {
        mistakes.add(node.place, "C140",
                     fmt::format("{} expects a duration such as 5m, found '{}'", what, node.scalar));
        return std::nullopt;
    }
    return duration;
}

void refuse_other_keys(const ConfigNode& node, const std::vector<std::string_view>& known, const std::string& what,
                       Mistakes& mistakes) {
    for (const ConfigNode::Entry& entry : node.entries) {
        if (std::find(known.begin(), known.end(), entry.key) == known.end()) {
            mistakes.add(entry.key_place, "C141",
                         fmt::format("unknown option '{}' in the window of {}", entry.key, what),
                         did_you_mean(entry.key, std::vector<std::string>(known.begin(), known.end())));
        }
    }
}

bool read_sized(const ConfigNode& node, const std::string& what, WindowSpec& spec, Mistakes& mistakes) {
    const char* kind = spec.kind == WindowSpec::Kind::tumbling  ? "tumbling"
                       : spec.kind == WindowSpec::Kind::hopping ? "hopping"
                                                                : "session";
    std::vector<std::string_view> known{kind};
    if (spec.kind != WindowSpec::Kind::session) known.emplace_back("offset");
    if (spec.kind == WindowSpec::Kind::hopping) known.emplace_back("every");
    refuse_other_keys(node, known, what, mistakes);
    const auto size = read_duration(*node.find(kind), kind, mistakes);
    if (!size) return false;
    spec.size = *size;
    if (const ConfigNode* offset = node.find("offset")) {
        const auto value = read_duration(*offset, "offset", mistakes);
        if (!value) return false;
        spec.offset = *value;
    }
    if (spec.kind != WindowSpec::Kind::hopping) return true;
    const ConfigNode* every = node.find("every");
    if (every == nullptr) {
        mistakes.add(node.place, "C142",
                     fmt::format("the hopping window of {} needs 'every', the distance of its starts", what));
        return false;
    }
    const auto value = read_duration(*every, "every", mistakes);
    if (!value) return false;
    if (spec.size % *value != 0 || spec.size / *value > 1000) {
        mistakes.add(every->place, "C143",
                     fmt::format("the window's length {} must be a multiple of 'every', at most a thousandfold",
                                 format_duration(spec.size)));
        return false;
    }
    spec.every = *value;
    return true;
}

bool read_shift(const ConfigNode& node, const std::string& what, const Stream& stream, PlanContext& context,
                WindowSpec& spec) {
    refuse_other_keys(node, {"shift", "of"}, what, context.mistakes());
    const ConfigNode& name = *node.find("shift");
    spec.calendar = context.calendar(name.scalar);
    if (!spec.calendar) {
        const std::vector<std::string> known = context.calendar_names();
        if (std::find(known.begin(), known.end(), name.scalar) == known.end()) {
            context.mistakes().add(name.place, "C144", fmt::format("no calendar '{}'", name.scalar),
                                   did_you_mean(name.scalar, known));
        }
        return false;
    }
    const ConfigNode* of = node.find("of");
    if (of == nullptr) {
        context.mistakes().add(
            node.place, "C145",
            fmt::format("the shift window of {} needs 'of', the column that names the calendar's key", what));
        return false;
    }
    const auto column = context.column(of->scalar, *of, stream);
    if (!column) return false;
    if (!column->type.is(TypeKind::string)) {
        context.mistakes().add(
            of->place, "C146",
            fmt::format("'{}' is a {}; a calendar's key is a string", of->scalar, to_string(column->type)));
        return false;
    }
    spec.calendar_key = column->slot;
    spec.calendar_column = of->scalar;
    return true;
}

}  // namespace

std::string WindowSpec::text() const {
    switch (kind) {
        case Kind::none:
            return "none";
        case Kind::tumbling:
            return fmt::format("tumbling {}", format_duration(size));
        case Kind::hopping:
            return fmt::format("hopping {} every {}", format_duration(size), format_duration(every));
        case Kind::session:
            return fmt::format("session {}", format_duration(size));
        case Kind::day:
            return "local day";
        case Kind::week:
            return "local week";
        case Kind::month:
            return "local month";
        case Kind::shift:
            return "shift";
    }
    return {};
}

std::string WindowSpec::definition() const {
    std::string all = text();
    if (offset != 0) all += fmt::format(" from {}", format_duration(offset));
    if (kind != Kind::shift) return all;
    std::vector<std::string> shifts;
    for (const ShiftCalendar::Entry& entry : calendar->entries) {
        for (const Shift& shift : entry.shifts)
            shifts.push_back(fmt::format("{}/{} {} {}", entry.key, shift.name, shift.start, shift.end));
    }
    std::sort(shifts.begin(), shifts.end());
    return fmt::format("{} of {}: {}", all, calendar_column, fmt::join(shifts, ", "));
}

std::optional<WindowSpec> read_window(const ConfigNode* node, const std::string& what, const Stream& stream,
                                      PlanContext& context) {
    WindowSpec spec;
    if (node == nullptr || node->kind == ConfigNode::Kind::null) return spec;
    using Kind = WindowSpec::Kind;
    static const std::pair<const char*, Kind> kinds[] = {
        {"tumbling", Kind::tumbling}, {"hopping", Kind::hopping}, {"session", Kind::session}, {"day", Kind::day},
        {"week", Kind::week},         {"month", Kind::month},     {"shift", Kind::shift}};
    if (node->is_mapping()) {
        for (const auto& [key, kind] : kinds) {
            if (node->find(key) == nullptr) continue;
            spec.kind = kind;
            if (kind == Kind::shift)
                return read_shift(*node, what, stream, context, spec) ? std::optional(spec) : std::nullopt;
            if (spec.needs_zone()) {
                refuse_other_keys(*node, {key}, what, context.mistakes());
                if (node->find(key)->scalar == "local") return spec;
                context.mistakes().add(
                    node->find(key)->place, "C147",
                    fmt::format("write '{}: local'; the time zone is the posting's or aggregate's 'zone'", key));
                return std::nullopt;
            }
            return read_sized(*node, what, spec, context.mistakes()) ? std::optional(spec) : std::nullopt;
        }
    }
    context.mistakes().add(
        node->place, "C148",
        fmt::format(
            "the window of {} must be one of {{ tumbling: 1h }}, {{ hopping: 1h, every: 5m }}, {{ session: 30m }}, "
            "{{ day: local }}, {{ week: local }}, {{ month: local }}, {{ shift: CALENDAR, of: COLUMN }}",
            what));
    return std::nullopt;
}

const TimeZone* WindowFinder::zone(std::string_view name) {
    if (last_zone_ != nullptr && last_zone_name_ == name) return last_zone_;
    auto found = zones_.find(name);
    if (found == zones_.end()) {
        auto made = TimeZone::find(name);
        found = zones_.emplace(std::string(name), made ? std::move(made).value() : nullptr).first;
    }
    last_zone_name_ = name;
    last_zone_ = found->second.get();
    return last_zone_;
}

const ShiftPlan* WindowFinder::plan(std::string_view zone_name, std::string_view key) {
    scratch_.assign(zone_name);
    scratch_.push_back('\0');
    scratch_.append(key);
    if (last_plan_ != nullptr && last_plan_name_ == scratch_) return last_plan_;
    auto found = plans_.find(scratch_);
    if (found == plans_.end()) {
        std::shared_ptr<const ShiftPlan> made;
        const ShiftCalendar::Entry* entry = spec_.calendar->find(key);
        const auto named = TimeZone::find(zone_name);
        if (entry != nullptr && named) {
            auto plan = ShiftPlan::make(named.value(), entry->shifts);
            if (plan) made = std::move(plan).value();
        }
        found = plans_.emplace(scratch_, std::move(made)).first;
    }
    last_plan_name_ = scratch_;
    last_plan_ = found->second.get();
    return last_plan_;
}

const char* WindowFinder::find(Timestamp time, std::string_view zone_name, std::string_view calendar_key,
                               Window& window) {
    using Kind = WindowSpec::Kind;
    switch (spec_.kind) {
        case Kind::none:
            window = {time, time};
            return nullptr;
        case Kind::tumbling:
            window = tumbling_window(time, spec_.size, spec_.offset);
            return nullptr;
        case Kind::hopping: {
            // The latest window that holds the event; the others start `every` earlier each.
            const Window last = tumbling_window(time, spec_.every, spec_.offset);
            window = {last.start, saturating_add(last.start, spec_.size)};
            return nullptr;
        }
        case Kind::session:
            window = {time, saturating_add(time, spec_.size)};
            return nullptr;
        case Kind::shift: {
            const ShiftPlan* shifts = plan(zone_name, calendar_key);
            if (shifts == nullptr) return "no shifts for this key and time zone";
            window = shifts->find(time).window;
            return nullptr;
        }
        case Kind::day:
        case Kind::week:
        case Kind::month:
            break;
    }
    const TimeZone* local = zone(zone_name);
    if (local == nullptr) return "unknown time zone";
    window = spec_.kind == Kind::day    ? local->day(time)
             : spec_.kind == Kind::week ? local->week(time)
                                        : local->month(time);
    return nullptr;
}

}  // namespace takt
