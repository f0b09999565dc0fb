#include "tests/support/nats_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace takt {
namespace {

/// The body of GET http://127.0.0.1:port/page when the status is 200, else empty.
std::string http_get(int port, const std::string& page) {
    const int connection = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0) return {};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::string answer;
    if (::connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
        const std::string request = "GET " + page + " HTTP/1.0\r\nHost: localhost\r\n\r\n";
        if (::send(connection, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
            char buffer[4096];
            ssize_t got = 0;
            while ((got = ::recv(connection, buffer, sizeof buffer, 0)) > 0)
                answer.append(buffer, static_cast<std::size_t>(got));
        }
    }
    ::close(connection);
    const std::size_t body = answer.find("\r\n\r\n");
    if (body == std::string::npos || answer.find(" 200 ") > answer.find("\r\n")) return {};
    return answer.substr(body + 4);
}

int port_after(const std::string& text, const std::string& key) {
    const std::size_t at = text.find(':', text.find("127.0.0.1", text.find(key)));
    return at == std::string::npos ? -1 : std::atoi(text.c_str() + at + 1);
}

}  // namespace

std::unique_ptr<NatsServer> NatsServer::start(const Options& options) {
    std::unique_ptr<NatsServer> server(new NatsServer);
    server->options_ = options;
    std::string folder = (std::filesystem::temp_directory_path() / "takt_nats_XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) return nullptr;
    server->folder_ = folder;
    if (!server->launch()) return nullptr;
    server->url_ = "nats://127.0.0.1:" + std::to_string(server->port_);
    return server;
}

NatsServer::~NatsServer() {
    end(SIGKILL);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

void NatsServer::write_config() const {
    std::ofstream config(folder_ + "/nats.conf");
    config << "server_name: test\nhost: 127.0.0.1\nport: " << port_ << "\nhttp: \"127.0.0.1:" << monitor_port_ << "\"\n"
           << "max_payload: " << options_.max_payload_bytes << "\nports_file_dir: \"" << folder_ << "\"\n"
           << "log_file: \"" << folder_ << "/nats.log\"\n";
    if (options_.jetstream)
        config << "jetstream { store_dir: \"" << folder_ << "/js\", max_memory_store: 256MiB, max_file_store: 8GiB }\n";
    config << options_.extra_config << '\n';
}

bool NatsServer::launch() {
    write_config();
    const std::string config = folder_ + "/nats.conf";
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(1);
        ::execlp("nats-server", "nats-server", "-c", config.c_str(), nullptr);
        ::_exit(127);
    }
    if (pid_ < 0) return false;
    if (wait_until_ready()) return true;
    std::ifstream log(folder_ + "/nats.log");
    std::stringstream text;
    text << log.rdbuf();
    std::fprintf(stderr, "nats-server is not ready: %s\n", text.str().c_str());
    end(SIGKILL);
    return false;
}

bool NatsServer::read_ports() {
    std::ifstream file(folder_ + "/nats-server_" + std::to_string(pid_) + ".ports");
    std::stringstream text;
    text << file.rdbuf();
    if (text.str().find('}') == std::string::npos) return false;
    port_ = port_after(text.str(), "\"nats\"");
    monitor_port_ = port_after(text.str(), "\"monitoring\"");
    return port_ > 0 && monitor_port_ > 0;
}

bool NatsServer::wait_until_ready() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    bool has_ports = port_ > 0;
    while (std::chrono::steady_clock::now() < deadline) {
        int status = 0;
        if (::waitpid(pid_, &status, WNOHANG) == pid_) {
            pid_ = -1;
            return false;
        }
        has_ports = has_ports || read_ports();
        if (has_ports && http_get(monitor_port_, "/healthz").find("ok") != std::string::npos) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
}

std::string NatsServer::monitor(const std::string& page) const {
    return http_get(monitor_port_, page);
}

void NatsServer::end(int signal) {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGCONT);
    ::kill(pid_, signal);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
}

bool NatsServer::restart() {
    end(SIGTERM);
    return launch();
}

void NatsServer::pause() const {
    ::kill(pid_, SIGSTOP);
    // Until its last thread stands still it may answer.
    int status = 0;
    while (::waitpid(pid_, &status, WUNTRACED) == pid_ && !WIFSTOPPED(status)) {
    }
}
void NatsServer::resume() const {
    ::kill(pid_, SIGCONT);
}

}  // namespace takt
