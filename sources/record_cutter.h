#pragma once

#include <cstdint>
#include <string_view>

namespace takt {

/// How records lie in a file.
enum class RecordFraming : std::uint8_t {
    lines,          ///< one record a line; LF alone ends it
    delimited,      ///< RFC 4180 with any delimiter: a quoted field may hold LF
    size_prefixed,  ///< each record after its length (u32, little endian)
};

/// Finds where records end. Has no memory of its own: the caller shows it unread bytes from the start of a record, each
/// time more of them.
class RecordCutter {
  public:
    struct Cut {
        enum class Kind : std::uint8_t {
            record,    ///< `data` is a record, `consumed` bytes are done with
            more,      ///< the record's end is not there yet
            too_long,  ///< `data` is the start of a record beyond the limit, `consumed` bytes of it are done with: skip
                       ///< the rest
        };
        Kind kind = Kind::more;
        std::string_view data;
        std::size_t consumed = 0;
        std::uint64_t skip_bytes =
            0;  ///< too_long and size-prefixed: bytes of the record that follow; text: up to the next LF
    };

    RecordCutter(RecordFraming framing, char delimiter, std::size_t max_record_bytes)
        : framing_(framing), delimiter_(delimiter), max_record_bytes_(max_record_bytes) {}

    /// The first record of `bytes`. `last`: nothing follows them, so that what is left is a record.
    /// An open quote that swallows the rest, or more than the limit, counts as a mistake in that line: the record ends
    /// at its first LF.
    Cut cut(std::string_view bytes, bool last) const;

    RecordFraming framing() const { return framing_; }

  private:
    Cut cut_line(std::string_view bytes, bool last) const;
    Cut cut_delimited(std::string_view bytes, bool last) const;
    Cut cut_size_prefixed(std::string_view bytes, bool last) const;
    Cut too_long(std::string_view data) const;

    RecordFraming framing_;
    char delimiter_;
    std::size_t max_record_bytes_;
};

}  // namespace takt
