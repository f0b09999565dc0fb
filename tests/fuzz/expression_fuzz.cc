// Expressions over a column of every type: what loads gives a value or an error in each row.
#include "pipeline/base/check.h"
#include "tests/unit/pipeline/expression/shop_floor.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const takt::ShopFloor floor;
    const std::vector<std::string> texts = floor.evaluate({reinterpret_cast<const char*>(data), size});
    CHECK(texts.size() == 1 || texts.size() == takt::ShopFloor::kRowCount);
    for (const std::string& text : texts) CHECK(text != "a row in error that is valid");
    return 0;
}
