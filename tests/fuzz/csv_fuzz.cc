// The reader of CSV tables: every record has as many fields as the header, and written again they are the same.
#include "pipeline/base/check.h"
#include "pipeline/state/csv.h"

namespace takt {
namespace {

std::string written(const CsvTable& table) {
    std::string text = "\xEF\xBB\xBF";  // skipped: a second one belongs to the first name
    for (std::size_t i = 0; i < table.header().size(); ++i) {
        if (i > 0) text += ',';
        append_csv_field(text, table.header()[i]);
    }
    text += '\n';
    for (std::size_t row = 0; row < table.rows(); ++row) {
        for (std::size_t i = 0; i < table.row(row).size(); ++i) {
            if (i > 0) text += ',';
            // An empty line would be no record.
            if (table.row(row)[i].text.empty()) text += "\"\"";
            append_csv_field(text, table.row(row)[i].text);
        }
        text += '\n';
    }
    return text;
}

}  // namespace
}  // namespace takt

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto table = takt::parse_csv("table.csv", {reinterpret_cast<const char*>(data), size});
    if (!table.ok()) return 0;
    const std::string once = takt::written(*table);
    const auto again = takt::parse_csv("table.csv", once);
    CHECK(again.ok());
    CHECK(takt::written(*again) == once);
    return 0;
}
