#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

namespace takt {

/// A real nats-server of its own on loopback: free ports, a temporary folder, JetStream in it. Ends with its owner, and
/// with the process that started it. For tests; not thread-safe.
class NatsServer {
  public:
    struct Options {
        std::string extra_config;  ///< appended to the server's config
        bool jetstream = true;
        std::int64_t max_payload_bytes = 8 << 20;
    };

    /// Running and ready; null when there is no nats-server or it does not become ready within 10 s (the reason is on
    /// stderr).
    static std::unique_ptr<NatsServer> start(const Options& options);
    static std::unique_ptr<NatsServer> start() { return start(Options{}); }
    ~NatsServer();
    NatsServer(const NatsServer&) = delete;
    NatsServer& operator=(const NatsServer&) = delete;

    /// "nats://127.0.0.1:PORT"; the same after a restart.
    const std::string& url() const { return url_; }
    int port() const { return port_; }
    const std::string& folder() const { return folder_; }
    /// The body of a page of the monitoring port, for example "/jsz?consumers=true"; empty on failure.
    std::string monitor(const std::string& page) const;

    /// SIGKILL, and waits for its end.
    void kill() { end(9); }
    /// SIGTERM, and waits for its end.
    void stop() { end(15); }
    /// Starts it again after kill or stop, with the same ports and data; false when it does not become ready.
    bool restart();
    /// SIGSTOP and SIGCONT: a peer that is there and says nothing.
    void pause() const;
    void resume() const;

  private:
    NatsServer() = default;
    bool launch();
    bool wait_until_ready();
    bool read_ports();
    void write_config() const;
    void end(int signal);

    Options options_;
    std::string folder_;
    std::string url_;
    int port_ = -1;
    int monitor_port_ = -1;
    pid_t pid_ = -1;
};

}  // namespace takt
