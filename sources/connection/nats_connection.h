#pragma once

#include <nats/nats.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/base/time.h"
#include "pipeline/config/option_table.h"
#include "sources/connection/nats_handle.h"

namespace takt {

/// Waits for messages are cut into slices of this, so that whoever waits also sees that it shall stop.
constexpr Duration kNatsWaitSlice = 100 * kMillisecond;
/// Between attempts to reach a server again: each pause is twice the one before, within these.
constexpr Duration kFirstNatsRetry = 200 * kMillisecond;
constexpr Duration kLastNatsRetry = 2 * kSecond;

/// How to reach a NATS server; part of the options of every connector that speaks NATS.
struct NatsConnectionOptions {
    std::vector<std::string> server = {"nats://127.0.0.1:4222"};
    std::string name = "takt";
    std::string user;
    Secret password;
    Secret token;
    std::string nkey;
    std::string nkey_seed;
    std::string credentials;
    bool tls = false;
    std::string tls_ca;
    std::string tls_certificate;
    std::string tls_key;
    std::string tls_hostname;
    std::chrono::nanoseconds connect_timeout = std::chrono::seconds(2);
    std::chrono::nanoseconds ping = std::chrono::seconds(2);
    std::chrono::nanoseconds reconnect_wait = std::chrono::milliseconds(100);
};

/// Adds the options above to the table of a connector whose Options derive from NatsConnectionOptions.
template <typename Options>
void add_nats_options(OptionTable<Options>& table) {
    using Base = NatsConnectionOptions;
    using namespace std::chrono_literals;
    // Members of a base do not convert by themselves where the member's type is deduced.
    const auto member = []<typename Value>(Value Base::*of_base) { return static_cast<Value Options::*>(of_base); };
    table.optional("server", member(&Base::server), "one URL or several: nats://host:port, tls://host:port");
    table.optional("name", member(&Base::name), "how the server's monitoring calls this connection");
    table.optional("user", member(&Base::user), "user name");
    table.optional("password", member(&Base::password), "password of the user");
    table.optional("token", member(&Base::token), "token, instead of user and password");
    table.optional("nkey", member(&Base::nkey), "public NKey (U...), together with nkey_seed");
    table.optional("nkey_seed", member(&Base::nkey_seed), "file that holds the NKey's seed (SU...)");
    table.optional("credentials", member(&Base::credentials), "credentials file (.creds) with JWT and seed");
    table.optional("tls", member(&Base::tls),
                   "refuse to speak without TLS; any other tls_ option and a tls:// address mean it too");
    table.optional("tls_ca", member(&Base::tls_ca), "file of trusted certificate authorities");
    table.optional("tls_certificate", member(&Base::tls_certificate), "file of the client's certificate chain");
    table.optional("tls_key", member(&Base::tls_key), "file of the client's private key");
    table.optional("tls_hostname", member(&Base::tls_hostname), "name that the server's certificate must have");
    table.optional("connect_timeout", member(&Base::connect_timeout), "longest wait for a connection")
        .from(10ms)
        .to(1min);
    table.optional("ping", member(&Base::ping), "a link that leaves two of these unanswered is cut")
        .from(100ms)
        .to(10min);
    table.optional("reconnect_wait", member(&Base::reconnect_wait), "pause between attempts to reconnect, with jitter")
        .from(10ms)
        .to(1min);
}

/// One connection to a NATS server. It reconnects by itself for ever and never closes of itself. Thread-safe.
///
/// TLS is spoken where the options ask for it in any way, else where the server wants it; the server's certificate is
/// always verified.
///
/// Errors: C520 options that contradict each other, a password in a URL, a file that cannot be read; C521 the server
/// refuses who we say we are; E520 no server answers; E521 TLS: certificate not trusted or expired, wrong host name,
/// none where the server wants one, a server without TLS.
class NatsConnection {
  public:
    enum class Use : std::uint8_t {
        consume,  ///< requests leave at once
        publish,  ///< messages leave in bulk
    };
    static Result<std::unique_ptr<NatsConnection>> connect(const NatsConnectionOptions& options, Use use);
    ~NatsConnection();
    NatsConnection(const NatsConnection&) = delete;
    NatsConnection& operator=(const NatsConnection&) = delete;

    natsConnection* get() const { return connection_; }
    bool connected() const { return natsConnection_Status(connection_) == NATS_CONN_STATUS_CONNECTED; }
    /// How often the connection came back. What was requested before must be requested again.
    std::uint64_t reconnects() const { return reconnects_.load(std::memory_order_acquire); }
    /// A JetStream context whose requests wait at most this long.
    Result<JetStreamHandle> jetstream(std::chrono::nanoseconds wait) const;

  private:
    NatsConnection() = default;
    static void on_reconnected(natsConnection* connection, void* closure);
    static void on_closed(natsConnection* connection, void* closure);

    natsConnection* connection_ = nullptr;
    std::atomic<std::uint64_t> reconnects_ = 0;
    std::mutex mutex_;  // guards closed_
    std::condition_variable closed_changed_;
    bool closed_ = false;
};

/// Connects anew: closes what the two handles hold, then fills both. What else was made on the connection (a
/// subscription, a bucket) must have been given back before. Errors of NatsConnection.
Status connect_jetstream(const NatsConnectionOptions& options, NatsConnection::Use use, std::chrono::nanoseconds wait,
                         std::unique_ptr<NatsConnection>& connection, JetStreamHandle& jetstream);

/// What can be said of the options without a server or a file: C520 contradictions, a password in a URL.
Status check_nats_options(const NatsConnectionOptions& options);
/// The same as a mistake of the config at `node`, whose owner is `what`. False after one.
bool report_nats_options(const NatsConnectionOptions& options, std::string_view what, const ConfigNode& node,
                         Mistakes& mistakes);

/// The servers for people, without what may be secret.
std::string describe_servers(const NatsConnectionOptions& options);

/// `what` failed with this status: an error of class E with the client's own text, except where the status names a
/// mistake of the config.
Error nats_error(const char* code, std::string_view what, natsStatus status);

}  // namespace takt
