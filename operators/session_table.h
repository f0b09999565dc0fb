#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "pipeline/base/time.h"
#include "pipeline/state/calendar.h"

namespace takt {

/// The open sessions of an aggregate: windows that grow with their events and run together. Events of a key that are
/// less than the gap apart are in one session, in whatever order they come.
///
/// A session fires when the watermark reaches its end, and again after events changed it: at the end of that epoch, or
/// when the watermark reaches its new end. It is purged when the watermark is later than its end + lateness. Not
/// thread-safe: one lane owns it.
class SessionTable {
  public:
    struct Session {
        std::string key;
        Window window;
        std::unique_ptr<std::byte[]> block;  ///< the caller's memory, zero when the session is made, aligned to 16
        bool changed = false;                ///< since it fired
    };

    SessionTable(std::uint32_t block_bytes, Duration lateness) : block_bytes_(block_bytes), lateness_(lateness) {}

    /// The session that holds `event` (from its instant to gap later), grown by it. `merge(into, from)` is called for
    /// each further session that the event joins to it; `from` is gone afterwards.
    template <typename Merge>
    Session& upsert(std::string_view key, const Window& event, Merge&& merge) {
        Sessions& sessions = find_key(key);
        std::unique_ptr<Session> joined;
        for (auto at = first_touching(sessions, event); at != sessions.end() && at->first < event.end;) {
            std::unique_ptr<Session> session = std::move(at->second);
            at = sessions.erase(at);
            timers_of(*session).erase({session->window.end, session.get()});
            if (joined == nullptr) {
                joined = std::move(session);
                continue;
            }
            joined->window.end = std::max(joined->window.end, session->window.end);
            merge(*joined, *session);
            --size_;
        }
        return keep(sessions, key, event, std::move(joined));
    }

    /// Makes a session as it was in another table. Null: it touches one that is there.
    Session* restore(std::string_view key, const Window& window, bool changed);

    /// See PaneTable::advance.
    template <typename Fire, typename Purge>
    void advance(Timestamp watermark, Fire&& fire, Purge&& purge) {
        while (!due_.empty() && due_.begin()->first <= watermark) {
            Session* session = due_.begin()->second;
            due_.erase(due_.begin());
            session->changed = false;
            kept_.insert({session->window.end, session});
            fire(*session);
        }
        while (!kept_.empty() && watermark > saturating_add(kept_.begin()->first, lateness_)) {
            Session* session = kept_.begin()->second;
            kept_.erase(kept_.begin());
            purge(*session);
            remove(*session);
        }
    }

    /// By key and start.
    template <typename Visit>
    void for_each(Visit&& visit) const {
        for (const auto& [key, sessions] : keys_) {
            for (const auto& [start, session] : sessions) visit(*session);
        }
    }

    std::uint64_t size() const { return size_; }
    std::uint64_t size_bytes() const;

  private:
    using Sessions = std::map<Timestamp, std::unique_ptr<Session>>;  ///< of one key, by start; they do not touch
    using Timers = std::set<std::pair<Timestamp, Session*>>;         ///< by end

    Sessions& find_key(std::string_view key);
    static Sessions::iterator first_touching(Sessions& sessions, const Window& event);
    Timers& timers_of(const Session& session) { return session.changed ? due_ : kept_; }
    /// Takes over `joined`, or makes a session when it is null.
    Session& keep(Sessions& sessions, std::string_view key, const Window& event, std::unique_ptr<Session> joined);
    void remove(const Session& session);

    std::uint32_t block_bytes_;
    Duration lateness_;
    std::map<std::string, Sessions, std::less<>> keys_;
    Timers due_;   ///< changed since they fired
    Timers kept_;  ///< fired, within lateness
    std::uint64_t size_ = 0;
};

}  // namespace takt
