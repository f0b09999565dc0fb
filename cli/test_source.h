#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/config/mistakes.h"
#include "pipeline/plan/catalog.h"
#include "sources/formats.h"

namespace takt {

/// The subject of a message that is the bytes of a case; it tells the decoder of a test who reads them.
constexpr std::string_view kBytesSubject = "bytes";

/// The first line of a source's file as a test file gives it, by source.
using TestHeaders = std::map<std::string, std::string>;

/// Sources that open nothing: their events come from a test. An event that a case writes field by field is a JSON
/// object with the source's schema; bytes are read as its files or messages are where those are text, else as JSON.
class TestSources {
  public:
    /// `catalog` and `headers` must outlive this object.
    TestSources(const Catalog& catalog, const TestHeaders& headers);
    ~TestSources();
    TestSources(const TestSources&) = delete;
    TestSources& operator=(const TestSources&) = delete;

    /// The catalog with these sources in place of the real ones; may be used as long as this object lives.
    Catalog catalog() const;

    // Of a source that was planned.

    /// False: its files have a header that names the columns, and the test has none.
    bool reads_bytes(const std::string& source) const;
    /// Fields that are the same text in every row, and their texts.
    std::vector<DelimitedColumn> constants(const std::string& source) const;

  private:
    class Type;

    const Catalog& catalog_;
    std::vector<std::unique_ptr<Type>> types_;
    std::map<std::string, EventFormat> formats_;  ///< by source; as its bytes are read
};

}  // namespace takt
