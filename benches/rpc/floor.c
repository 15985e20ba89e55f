// The floor: a bare epoll loop that answers every call with the same bytes, but for the sequence number.
//
//     floor ADDRESS CALL-LENGTH ANSWER-IN-HEX      ADDRESS is a port on 127.0.0.1 or a path
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static unsigned char answer[1 << 16], in[1 << 16];

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    size_t call = atoi(argv[2]), size = strlen(argv[3]) / 2;
    for (size_t i = 0; i < size; i++) sscanf(argv[3] + 2 * i, "%2hhx", &answer[i]);
    int tcp = argv[1][0] != '/', one = 1;
    struct sockaddr_in ip = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    strncpy(path.sun_path, argv[1], sizeof path.sun_path - 1);
    int listener = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (tcp ? bind(listener, (void *)&ip, sizeof ip) : bind(listener, (void *)&path, sizeof path)) return perror("bind"), 1;
    listen(listener, 64);
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[64];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                fd = accept4(listener, 0, 0, SOCK_NONBLOCK);
                if (tcp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                event = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.fd = fd};
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
                continue;
            }
            // A client sends one call and waits, so that a call comes whole.
            ssize_t n = read(fd, in, sizeof in);
            if (n != (ssize_t)call) { close(fd); continue; }
            memcpy(answer + 12, in + 12, 4);
            if (write(fd, answer, size) != (ssize_t)size) close(fd);
        }
    }
}
