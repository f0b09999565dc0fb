#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "pipeline/base/hash.h"
#include "pipeline/plan/sink.h"

namespace takt {

/// What a sink without a memory of its own has taken: idempotency keys and the payload of each, as 128-bit hashes.
/// About 60 bytes a key, up to a limit.
class DeliveredKeys {
  public:
    explicit DeliveredKeys(std::size_t max_keys) : max_keys_(max_keys) {}

    /// Nothing for a key that is new; else the answer to its repeat.
    std::optional<Sink::Delivery> answer(const std::string& key, const std::string& payload_hash) const {
        const auto known = payloads_.find(hash128(key));
        if (known == payloads_.end()) return std::nullopt;
        if (known->second == hash128(payload_hash)) return Sink::Delivery{Sink::State::accepted, {}, {}};
        return Sink::Delivery{Sink::State::refused, {}, "IDEMPOTENCY_CONFLICT"};
    }
    void add(std::string_view key, std::string_view payload_hash) {
        payloads_.emplace(hash128(key), hash128(payload_hash));
    }
    void remove(std::string_view key) { payloads_.erase(hash128(key)); }
    void clear() { payloads_.clear(); }
    std::size_t size() const { return payloads_.size(); }

    /// F631 where `more` keys have no room.
    Status room_for(std::size_t more) const {
        if (payloads_.size() + more <= max_keys_) return {};
        return Error{"F631", fmt::format("{} postings were delivered; the option 'max_keys' lets {} be remembered",
                                         payloads_.size(), max_keys_)};
    }

  private:
    struct LowBits {
        std::size_t operator()(const Hash128& hash) const { return hash.low; }
    };
    std::size_t max_keys_;
    std::unordered_map<Hash128, Hash128, LowBits> payloads_;
};

}  // namespace takt
