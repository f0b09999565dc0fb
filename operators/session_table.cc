#include "operators/session_table.h"

#include <iterator>

namespace takt {

SessionTable::Sessions& SessionTable::find_key(std::string_view key) {
    const auto found = keys_.find(key);
    return found != keys_.end() ? found->second : keys_.emplace(std::string(key), Sessions()).first->second;
}

SessionTable::Sessions::iterator SessionTable::first_touching(Sessions& sessions, const Window& event) {
    auto at = sessions.upper_bound(event.start);
    if (at != sessions.begin() && std::prev(at)->second->window.end > event.start) --at;
    return at;
}

SessionTable::Session& SessionTable::keep(Sessions& sessions, std::string_view key, const Window& event,
                                          std::unique_ptr<Session> session) {
    if (session == nullptr) {
        session = std::make_unique<Session>();
        session->key = key;
        session->window = event;
        session->block = std::make_unique<std::byte[]>(block_bytes_);
        ++size_;
    }
    session->window.start = std::min(session->window.start, event.start);
    session->window.end = std::max(session->window.end, event.end);
    session->changed = true;
    Session& kept = *session;
    due_.insert({kept.window.end, &kept});
    sessions.emplace(kept.window.start, std::move(session));
    return kept;
}

SessionTable::Session* SessionTable::restore(std::string_view key, const Window& window, bool changed) {
    Sessions& sessions = find_key(key);
    const auto at = first_touching(sessions, window);
    if (at != sessions.end() && at->first < window.end) return nullptr;
    Session& session = keep(sessions, key, window, nullptr);
    if (!changed) {
        due_.erase({session.window.end, &session});
        kept_.insert({session.window.end, &session});
        session.changed = false;
    }
    return &session;
}

void SessionTable::remove(const Session& session) {
    const auto of_key = keys_.find(session.key);
    of_key->second.erase(session.window.start);
    if (of_key->second.empty()) keys_.erase(of_key);
    --size_;
}

std::uint64_t SessionTable::size_bytes() const {
    // Nodes of the maps and the timer: about 160 bytes a session, 100 a key.
    std::uint64_t bytes = size_ * (sizeof(Session) + block_bytes_ + 160);
    for (const auto& [key, sessions] : keys_) bytes += 100 + key.size() * (1 + sessions.size());
    return bytes;
}

}  // namespace takt
