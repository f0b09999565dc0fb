#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/base/time.h"
#include "pipeline/state/calendar.h"

namespace takt {

/// How a column of a delimited file writes times. Immutable once made.
///
/// Forms: `rfc3339` (with zone); `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns` (numbers since 1970, a fraction down to
/// the nanosecond); or a pattern of strptime's conversions and literal text: %Y (4 digits), %m %d %H %M %S (1 or 2), %I
/// with %p (AM, PM), %b (Jan, in English), %f (1 to 9 digits of a fraction), %z (Z, +hh:mm, +hhmm), %F = %Y-%m-%d, %T =
/// %H:%M:%S, %%. A pattern without %z needs a zone that says which local time is meant; a local time that occurs twice
/// or never reads as TimeZone says.
class TimeForm {
  public:
    /// RFC 3339.
    TimeForm() = default;

    /// C316 when the pattern has an unknown conversion, lacks year, month or day, or lacks a zone; or a zone where none
    /// belongs.
    static Result<TimeForm> make(std::string_view form, std::shared_ptr<const TimeZone> zone);

    /// The instant; nothing when the text has another form, names no day or time that exists, or lies beyond int64
    /// nanoseconds.
    std::optional<Timestamp> read(std::string_view text) const;

    const std::string& text() const { return text_; }

  private:
    enum class Kind : std::uint8_t { rfc3339, epoch, pattern };
    /// A conversion, or a literal character where `conversion` is 0.
    struct Part {
        char conversion = 0;
        char literal = 0;
    };

    std::optional<Timestamp> read_pattern(std::string_view text) const;

    Kind kind_ = Kind::rfc3339;
    int epoch_scale_ = 0;  ///< digits between the unit and the nanosecond
    std::string text_ = "rfc3339";
    std::vector<Part> parts_;
    std::shared_ptr<const TimeZone> zone_;  ///< shared with the config's other users of the zone
};

}  // namespace takt
