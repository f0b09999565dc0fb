#pragma once

#include <cstdint>

namespace takt {

__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 UInt128;

}  // namespace takt
