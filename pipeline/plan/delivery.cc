#include "pipeline/plan/delivery.h"

namespace takt {

std::string_view to_string(DeliveryState state) {
    switch (state) {
        case DeliveryState::ready:
            return "ready";
        case DeliveryState::sent:
            return "sent";
        case DeliveryState::unknown:
            return "unknown";
        case DeliveryState::accepted:
            return "accepted";
        case DeliveryState::refused:
            return "refused";
        case DeliveryState::parked:
            return "parked";
        case DeliveryState::reversed:
            return "reversed";
        case DeliveryState::closed:
            return "closed";
    }
    return "";
}

}  // namespace takt
