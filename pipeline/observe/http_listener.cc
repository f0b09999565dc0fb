#include "pipeline/observe/http_listener.h"

#include <fmt/format.h>
#include <httplib.h>

#include <thread>

#include "pipeline/observe/health.h"
#include "pipeline/observe/metrics.h"

namespace takt {

struct HttpListener::Impl {
    Options options;
    std::function<EngineStatus()> status;
    httplib::Server server;
    int port = -1;
    std::thread thread;
};

HttpListener::HttpListener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpListener::~HttpListener() {
    impl_->server.stop();
    impl_->thread.join();
}

std::uint16_t HttpListener::port() const {
    return static_cast<std::uint16_t>(impl_->port);
}

Result<std::unique_ptr<HttpListener>> HttpListener::start(const Options& options,
                                                          std::function<EngineStatus()> status) {
    auto impl = std::make_unique<Impl>();
    Impl* self = impl.get();
    impl->options = options;
    impl->status = std::move(status);
    // The library's own choice is SO_REUSEPORT, with which two daemons could share a port and answer in turns.
    impl->server.set_socket_options([](socket_t socket) {
        const int yes = 1;
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    // Few and short requests: more threads would only take memory.
    impl->server.new_task_queue = [] { return new httplib::ThreadPool(2); };
    impl->server.Get("/metrics", [self](const httplib::Request&, httplib::Response& response) {
        response.set_content(metrics_text(self->status()), kMetricsContentType);
    });
    impl->server.Get("/healthz", [self](const httplib::Request&, httplib::Response& response) {
        const Health health = judge_health(self->status(), self->options.health_limit);
        response.status = health.healthy ? 200 : 503;
        response.set_content((health.healthy ? "healthy: " : "unhealthy: ") + health.reason + "\n", "text/plain");
    });
    if (options.port == 0) {
        impl->port = impl->server.bind_to_any_port(options.host);
    } else if (impl->server.bind_to_port(options.host, options.port)) {
        impl->port = options.port;
    }
    if (impl->port < 0) {
        return Error{"E601",
                     fmt::format("cannot listen on {}:{} for metrics; is the port taken?", options.host, options.port)};
    }
    impl->thread = std::thread([self] { self->server.listen_after_bind(); });
    // stop() of a server that does not run yet would be lost, and the destructor would wait for ever.
    while (!impl->server.is_running()) std::this_thread::yield();
    return std::unique_ptr<HttpListener>(new HttpListener(std::move(impl)));
}

}  // namespace takt
