#pragma once

#include <nats/nats.h>

#include <memory>

namespace takt {

/// Owners of what the NATS C client hands out: one unique_ptr per kind.
template <auto destroy>
struct NatsDestroy {
    template <typename T>
    void operator()(T* p) const {
        destroy(p);
    }
};
using NatsOptionsHandle = std::unique_ptr<natsOptions, NatsDestroy<natsOptions_Destroy>>;
using NatsSubscriptionHandle = std::unique_ptr<natsSubscription, NatsDestroy<natsSubscription_Destroy>>;
using NatsMessageHandle = std::unique_ptr<natsMsg, NatsDestroy<natsMsg_Destroy>>;
using JetStreamHandle = std::unique_ptr<jsCtx, NatsDestroy<jsCtx_Destroy>>;
using StreamInfoHandle = std::unique_ptr<jsStreamInfo, NatsDestroy<jsStreamInfo_Destroy>>;
using ConsumerInfoHandle = std::unique_ptr<jsConsumerInfo, NatsDestroy<jsConsumerInfo_Destroy>>;

}  // namespace takt
