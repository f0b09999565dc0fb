#pragma once

#include <nats/nats.h>

#include <memory>
#include <string_view>
#include <vector>

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
using KeyValueHandle = std::unique_ptr<kvStore, NatsDestroy<kvStore_Destroy>>;
using KeyValueWatcherHandle = std::unique_ptr<kvWatcher, NatsDestroy<kvWatcher_Destroy>>;
using KeyValueEntryHandle = std::unique_ptr<kvEntry, NatsDestroy<kvEntry_Destroy>>;
using ConsumerInfoHandle = std::unique_ptr<jsConsumerInfo, NatsDestroy<jsConsumerInfo_Destroy>>;

/// Messages of the client that a block of ours points into. Any thread may destroy it.
class NatsMessages {
  public:
    NatsMessages() = default;
    NatsMessages(const NatsMessages&) = delete;
    NatsMessages& operator=(const NatsMessages&) = delete;
    ~NatsMessages() {
        for (natsMsg* message : messages_) natsMsg_Destroy(message);
    }
    void take(natsMsg* message) { messages_.push_back(message); }

  private:
    std::vector<natsMsg*> messages_;
};

inline std::string_view nats_data(natsMsg* message) {
    return {natsMsg_GetData(message), static_cast<std::size_t>(natsMsg_GetDataLength(message))};
}
/// Empty when there is none. Not for each message: it parses all headers.
inline std::string_view nats_header(natsMsg* message, const char* name) {
    const char* value = nullptr;
    if (natsMsgHeader_Get(message, name, &value) != NATS_OK || value == nullptr) return {};
    return value;
}

}  // namespace takt
