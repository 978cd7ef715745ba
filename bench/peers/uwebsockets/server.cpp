// The raw protocol the way a careful user of uWebSockets would write it: one event loop on epoll, TCP_NODELAY (which uSockets sets), one topic.
// What one receive is answered with leaves in one write, since uWebSockets corks its handlers, and what one turn of the loop publishes is merged.
// uSockets listens with a backlog of 512 that cannot be changed.

#include "App.h"

#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

namespace {

constexpr char SUBSCRIBE = 'S';
constexpr char PUBLISH = 'P';
constexpr const char *TOPIC = "t";
// Bytes of the largest message.
constexpr unsigned int MESSAGE_BYTES_MAX = 1024 * 1024;
// Bytes that may wait for one client; a client that is further behind is closed.
constexpr unsigned int WAITING_BYTES_MAX = 16 * 1024 * 1024;

// Nothing is kept of a connection.
struct Nothing {};

[[noreturn]] void usage() {
    std::cerr << "usage: start --listen ADDRESS:PORT" << std::endl;
    std::exit(2);
}

}

int main(int argc, char **argv) {
    if (argc != 3 || std::string_view(argv[1]) != "--listen") {
        usage();
    }
    std::string address = argv[2];
    size_t colon = address.rfind(':');
    if (colon == std::string::npos) {
        usage();
    }
    char *end = nullptr;
    long port = std::strtol(address.c_str() + colon + 1, &end, 10);
    if (end == address.c_str() + colon + 1 || *end != '\0' || port < 0 || port > 65535) {
        usage();
    }
    std::string host = address.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
    }

    uWS::App app;
    app.ws<Nothing>("/*", {
        .compression = uWS::DISABLED,
        .maxPayloadLength = MESSAGE_BYTES_MAX,
        // 0 is never.
        .idleTimeout = 0,
        .maxBackpressure = WAITING_BYTES_MAX,
        .closeOnBackpressureLimit = true,
        .sendPingsAutomatically = false,
        .message = [&app](auto *socket, std::string_view message, uWS::OpCode opcode) {
            if (opcode == uWS::OpCode::BINARY && !message.empty()) {
                switch (message.front()) {
                case SUBSCRIBE:
                    socket->subscribe(TOPIC);
                    return;
                case PUBLISH:
                    app.publish(TOPIC, message.substr(1), uWS::OpCode::BINARY);
                    return;
                default:
                    break;
                }
            }
            socket->send(message, opcode);
        },
    });
    bool listens = false;
    app.listen(host, static_cast<int>(port), LIBUS_LISTEN_EXCLUSIVE_PORT, [&](us_listen_socket_t *socket) {
        if (socket) {
            listens = true;
            int bound = us_socket_local_port(0, reinterpret_cast<us_socket_t *>(socket));
            std::cout << "uwebsockets peer listens on " << address.substr(0, colon) << ':' << bound << ", uWebSockets " << UWEBSOCKETS_VERSION << std::endl;
        }
    });
    if (!listens) {
        std::cerr << "uwebsockets: cannot listen on " << address << std::endl;
        return 1;
    }
    app.run();
}
