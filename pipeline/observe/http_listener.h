#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "pipeline/base/result.h"
#include "pipeline/observe/engine_status.h"

namespace takt {

/// Serves GET /metrics (Prometheus text) and GET /healthz (200 or 503, one line of reason) from threads of its own.
class HttpListener {
  public:
    struct Options {
        std::string host = "127.0.0.1";
        std::uint16_t port = 0;  ///< 0: any free one
        Duration health_limit = kMinute;
    };
    /// Listens when it returns. `status` is called by any thread until the listener is gone. E error when the port is
    /// taken.
    static Result<std::unique_ptr<HttpListener>> start(const Options& options, std::function<EngineStatus()> status);
    ~HttpListener();

    std::uint16_t port() const;

  private:
    struct Impl;
    explicit HttpListener(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace takt
