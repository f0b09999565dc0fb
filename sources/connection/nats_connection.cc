#include "sources/connection/nats_connection.h"

#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>

namespace takt {
namespace {

int milliseconds(std::chrono::nanoseconds duration) {
    return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

std::string without_user_info(const std::string& url) {
    const std::size_t at = url.rfind('@');
    const std::size_t scheme = url.find("://");
    if (at == std::string::npos) return url;
    return (scheme == std::string::npos ? std::string() : url.substr(0, scheme + 3)) + url.substr(at + 1);
}

Status check_file(std::string_view option, const std::string& path) {
    if (path.empty() || ::access(path.c_str(), R_OK) == 0) return {};
    return Error{"C520", fmt::format("{} names {}, which cannot be read: {}", option, path, std::strerror(errno))};
}

/// The client takes a file without what it needs for a server that does not answer.
Status check_identity(std::string_view option, const std::string& path, bool with_jwt) {
    if (path.empty()) return {};
    std::ifstream file(path);
    bool has_jwt = false;
    bool has_seed = false;
    for (std::string line; std::getline(file, line);) {
        has_jwt = has_jwt || line.find("BEGIN NATS USER JWT") != std::string::npos;
        has_seed = has_seed || line.starts_with("SU");
    }
    if (with_jwt && !has_jwt) return Error{"C520", fmt::format("{} names {}, which holds no user JWT", option, path)};
    if (!has_seed)
        return Error{"C520", fmt::format("{} names {}, which holds no seed of a user (SU...)", option, path)};
    return {};
}

Status check_files(const NatsConnectionOptions& options) {
    for (const auto& [option, path] :
         {std::pair{"nkey_seed", &options.nkey_seed}, std::pair{"credentials", &options.credentials},
          std::pair{"tls_ca", &options.tls_ca}, std::pair{"tls_certificate", &options.tls_certificate},
          std::pair{"tls_key", &options.tls_key}}) {
        if (Status readable = check_file(option, *path); !readable.ok()) return readable;
    }
    if (Status good = check_identity("nkey_seed", options.nkey_seed, false); !good.ok()) return good;
    return check_identity("credentials", options.credentials, true);
}

bool wants_tls(const NatsConnectionOptions& options) {
    constexpr std::string_view kScheme = "tls://";
    const bool by_address = std::any_of(options.server.begin(), options.server.end(), [&](const std::string& url) {
        return url.size() >= kScheme.size() && ::strncasecmp(url.data(), kScheme.data(), kScheme.size()) == 0;
    });
    return options.tls || by_address || !options.tls_ca.empty() || !options.tls_certificate.empty() ||
           !options.tls_hostname.empty();
}

/// nats_Open once, before anything else of the client.
natsStatus open_client() {
    static const natsStatus status = nats_Open(-1);
    return status;
}

/// Runs the setters until one fails, and keeps that one's status.
class Setup {
  public:
    Setup& operator<<(natsStatus status) {
        if (status_ == NATS_OK) status_ = status;
        return *this;
    }
    natsStatus status() const { return status_; }

  private:
    natsStatus status_ = NATS_OK;
};

/// Of some 200 logins that sign the server's nonce with the right key it refuses one (seen with nats.c 3.4 and
/// nats-server 2.9), and takes the same key with the next nonce.
constexpr int kSignedLogins = 3;

natsStatus set_security(natsOptions* to, const NatsConnectionOptions& options) {
    Setup setup;
    if (!options.user.empty())
        setup << natsOptions_SetUserInfo(to, options.user.c_str(), options.password.reveal().c_str());
    if (!options.token.empty()) setup << natsOptions_SetToken(to, options.token.reveal().c_str());
    if (!options.nkey.empty())
        setup << natsOptions_SetNKeyFromSeed(to, options.nkey.c_str(), options.nkey_seed.c_str());
    if (!options.credentials.empty())
        setup << natsOptions_SetUserCredentialsFromFiles(to, options.credentials.c_str(), nullptr);
    // The client itself would speak to a tls:// address in the clear where the server has no TLS.
    if (wants_tls(options)) setup << natsOptions_SetSecure(to, true);
    if (!options.tls_ca.empty()) setup << natsOptions_LoadCATrustedCertificates(to, options.tls_ca.c_str());
    if (!options.tls_certificate.empty())
        setup << natsOptions_LoadCertificatesChain(to, options.tls_certificate.c_str(), options.tls_key.c_str());
    if (!options.tls_hostname.empty()) setup << natsOptions_SetExpectedHostname(to, options.tls_hostname.c_str());
    return setup.status();
}

Error connect_error(const NatsConnectionOptions& options, natsStatus status) {
    const std::string servers = describe_servers(options);
    const char* detail = nats_GetLastError(nullptr);
    const std::string text = fmt::format("{}{}{}", natsStatus_GetText(status), detail != nullptr ? ": " : "",
                                         detail != nullptr ? detail : "");
    switch (status) {
        case NATS_CONNECTION_AUTH_FAILED:
        case NATS_NOT_PERMITTED:
            return {"C521",
                    fmt::format("{} refuses to let us in ({}): check user and password, token, nkey or credentials",
                                servers, text)};
        case NATS_SSL_ERROR:
        case NATS_SECURE_CONNECTION_REQUIRED:
            return {"E521", fmt::format("TLS with {} failed ({}): check tls_ca, the host name in the server's "
                                        "certificate, and tls_hostname",
                                        servers, text)};
        case NATS_SECURE_CONNECTION_WANTED:
            return {"E521", fmt::format("{} offers no TLS, which the config asks for by tls, another tls_ option or a "
                                        "tls:// address",
                                        servers)};
        case NATS_PROTOCOL_ERROR:
            if (!wants_tls(options)) return {"E520", fmt::format("{} ended the conversation ({})", servers, text)};
            return {"E521",
                    fmt::format("{} ended the conversation ({}): it may want a client certificate (tls_certificate, "
                                "tls_key), or not take ours, which may have expired",
                                servers, text)};
        default:
            return {"E520", fmt::format("no connection to {} ({}): is nats-server running there?", servers, text)};
    }
}

}  // namespace

Status check_nats_options(const NatsConnectionOptions& options) {
    if (options.server.empty())
        return Error{"C520", "server is empty: name at least one, for example nats://127.0.0.1:4222"};
    for (const std::string& url : options.server) {
        if (url.find('@') != std::string::npos)
            return Error{"C520",
                         fmt::format("{} holds a user or password, which would end in logs: use user and password",
                                     without_user_info(url))};
    }
    const int ways = int{!options.user.empty()} + int{!options.token.empty()} + int{!options.nkey.empty()} +
                     int{!options.credentials.empty()};
    if (ways > 1) return Error{"C520", "more than one of user, token, nkey and credentials: keep one"};
    if (options.user.empty() != options.password.empty()) return Error{"C520", "user and password need each other"};
    if (options.nkey.empty() != options.nkey_seed.empty()) return Error{"C520", "nkey and nkey_seed need each other"};
    if (options.tls_certificate.empty() != options.tls_key.empty())
        return Error{"C520", "tls_certificate and tls_key need each other"};
    return {};
}

bool report_nats_options(const NatsConnectionOptions& options, std::string_view what, const ConfigNode& node,
                         Mistakes& mistakes) {
    const Status checked = check_nats_options(options);
    if (!checked.ok())
        mistakes.add(node.place, checked.error().code, fmt::format("{}: {}", what, checked.error().message));
    return checked.ok();
}

std::string describe_servers(const NatsConnectionOptions& options) {
    std::vector<std::string> plain;
    for (const std::string& url : options.server) plain.push_back(without_user_info(url));
    return fmt::format("{}", fmt::join(plain, ", "));
}

Error nats_error(const char* code, std::string_view what, natsStatus status) {
    const char* detail = nats_GetLastError(nullptr);
    return {code, fmt::format("{}: {}{}{}", what, natsStatus_GetText(status), detail != nullptr ? ": " : "",
                              detail != nullptr ? detail : "")};
}

void NatsConnection::on_reconnected(natsConnection*, void* closure) {
    static_cast<NatsConnection*>(closure)->reconnects_.fetch_add(1, std::memory_order_release);
}

void NatsConnection::on_closed(natsConnection*, void* closure) {
    auto* self = static_cast<NatsConnection*>(closure);
    const std::lock_guard lock(self->mutex_);
    self->closed_ = true;
    self->closed_changed_.notify_all();
}

Result<std::unique_ptr<NatsConnection>> NatsConnection::connect(const NatsConnectionOptions& options, Use use) {
    if (Status checked = check_nats_options(options); !checked.ok()) return checked.error();
    if (Status readable = check_files(options); !readable.ok()) return readable.error();
    if (const natsStatus opened = open_client(); opened != NATS_OK)
        return nats_error("F520", "cannot start the NATS client", opened);
    natsOptions* created = nullptr;
    if (const natsStatus status = natsOptions_Create(&created); status != NATS_OK)
        return nats_error("F520", "cannot set up the NATS client", status);
    const NatsOptionsHandle owner(created);
    std::unique_ptr<NatsConnection> result(new NatsConnection);
    std::vector<const char*> urls;
    for (const std::string& url : options.server) urls.push_back(url.c_str());

    Setup setup;
    setup << natsOptions_SetServers(created, urls.data(), static_cast<int>(urls.size()))
          << natsOptions_SetName(created, options.name.c_str())                           //
          << natsOptions_SetTimeout(created, milliseconds(options.connect_timeout))       //
          << natsOptions_SetPingInterval(created, milliseconds(options.ping))             //
          << natsOptions_SetMaxPingsOut(created, 2)                                       //
          << natsOptions_SetMaxReconnect(created, -1)                                     //
          << natsOptions_SetReconnectWait(created, milliseconds(options.reconnect_wait))  //
          << natsOptions_SetReconnectJitter(created, milliseconds(options.reconnect_wait),
                                            milliseconds(options.reconnect_wait))
          << natsOptions_SetSendAsap(created, use == Use::consume)                                 //
          << natsOptions_SetReconnectedCB(created, &NatsConnection::on_reconnected, result.get())  //
          << natsOptions_SetClosedCB(created, &NatsConnection::on_closed, result.get())            //
          // Errors show where they matter: in the status of a call. The default handler prints to stderr.
          << natsOptions_SetErrorHandler(
                 created, [](natsConnection*, natsSubscription*, natsStatus, void*) {}, nullptr);
    if (setup.status() != NATS_OK)
        return nats_error("C520", fmt::format("options of {}", describe_servers(options)), setup.status());
    if (const natsStatus status = set_security(created, options); status != NATS_OK)
        return nats_error("C520", fmt::format("security options of {}", describe_servers(options)), status);
    natsStatus status = NATS_OK;
    int logins = options.nkey.empty() && options.credentials.empty() ? 1 : kSignedLogins;
    do {
        status = natsConnection_Connect(&result->connection_, created);
    } while (status == NATS_CONNECTION_AUTH_FAILED && --logins > 0);
    if (status != NATS_OK) return connect_error(options, status);
    return result;
}

NatsConnection::~NatsConnection() {
    if (connection_ == nullptr) return;
    // The client's thread calls back for this object, and Destroy does not wait for it: the closed callback is the last
    // one.
    natsConnection_Close(connection_);
    {
        std::unique_lock lock(mutex_);
        closed_changed_.wait(lock, [&] { return closed_; });
    }
    natsConnection_Destroy(connection_);
}

Result<JetStreamHandle> NatsConnection::jetstream(std::chrono::nanoseconds wait) const {
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = milliseconds(wait);
    jsCtx* context = nullptr;
    if (const natsStatus status = natsConnection_JetStream(&context, connection_, &options); status != NATS_OK)
        return nats_error("E520", "no JetStream context", status);
    return JetStreamHandle(context);
}

Status connect_jetstream(const NatsConnectionOptions& options, NatsConnection::Use use, std::chrono::nanoseconds wait,
                         std::unique_ptr<NatsConnection>& connection, JetStreamHandle& jetstream) {
    jetstream.reset();
    connection.reset();
    Result<std::unique_ptr<NatsConnection>> connected = NatsConnection::connect(options, use);
    if (!connected.ok()) return connected.error();
    connection = std::move(connected).value();
    Result<JetStreamHandle> made = connection->jetstream(wait);
    if (!made.ok()) return made.error();
    jetstream = std::move(made).value();
    return {};
}

}  // namespace takt
