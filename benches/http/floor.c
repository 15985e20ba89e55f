// The floor: the least that any server in front of piped PHP workers can do. A yardstick, not a server.
//
// One thread and one epoll loop. It reads until the end of a request head, writes the same ready-made frame to an idle
// worker (or queues the connection), reads the worker's answer, and writes the same ready-made HTTP response. It
// understands nothing, checks nothing, and times out nothing.
//
// usage: floor PORT WORKERS COMMAND...          (COMMAND answers every request frame with one frame)
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 65536, MAX_WORKERS = 256, HEADER = 12 };
enum kind { NONE, LISTENER, CLIENT, WORKER };

static struct {
    enum kind kind;
    int worker;
} of_fd[MAX_FD];
static struct {
    int in, out, client;
} workers[MAX_WORKERS];
static int idle[MAX_WORKERS], idle_count;
static int waiting[MAX_FD];
static unsigned waiting_head, waiting_tail;
static int epoll_fd;
static uint8_t request[512];
static size_t request_length;

static const char response[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 17\r\n\r\nHello RoadRunner!";

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint32_t crc32_of(const uint8_t *bytes, size_t length) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xEDB88320u : crc >> 1;
    }
    return ~crc;
}

static size_t put_header(uint8_t *to, int options, int flags, uint32_t length) {
    to[0] = 0x10 | (3 + options);
    to[1] = flags;
    memcpy(to + 2, &length, 4);
    uint32_t crc = crc32_of(to, 6);
    memcpy(to + 6, &crc, 4);
    to[10] = to[11] = 0;
    return HEADER;
}

// What a server would send for `GET / HTTP/1.1`, `Host: 127.0.0.1:8080`.
static void prepare_request(void) {
    static const char context[] = "\x0a\x09" "127.0.0.1" "\x12\x08" "HTTP/1.1" "\x1a\x03" "GET"
                                  "\x22\x16" "http://127.0.0.1:8080/";
    uint32_t length = sizeof context - 1;
    request_length = put_header(request, 1, 0x80, length);
    memcpy(request + request_length, &length, 4);
    memcpy(request + request_length + 4, context, length);
    request_length += 4 + length;
}

static void watch(int fd, enum kind kind, int worker) {
    if (fd >= MAX_FD) die("descriptors");
    of_fd[fd].kind = kind;
    of_fd[fd].worker = worker;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

static void spawn(int number, char **command) {
    int to[2], from[2];
    if (pipe(to) || pipe(from)) die("pipe");
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(to[0], 0);
        dup2(from[1], 1);
        close(to[0]), close(to[1]), close(from[0]), close(from[1]);
        execvp(command[0], command);
        die(command[0]);
    }
    close(to[0]);
    close(from[1]);
    workers[number].in = to[1];
    workers[number].out = from[0];
    static const char question[] = "{\"pid\":1}";
    uint8_t frame[64];
    size_t length = put_header(frame, 0, 0x09, sizeof question - 1);
    memcpy(frame + length, question, sizeof question - 1);
    if (write(to[1], frame, length + sizeof question - 1) < 0 || read(from[0], frame, sizeof frame) <= 0) die("worker");
    watch(from[0], WORKER, number);
    idle[idle_count++] = number;
}

static void give(int client, int worker) {
    workers[worker].client = client;
    if (write(workers[worker].in, request, request_length) != (ssize_t)request_length) die("write to a worker");
}

int main(int count, char **words) {
    if (count < 4) return fprintf(stderr, "usage: floor PORT WORKERS COMMAND...\n"), 2;
    int worker_count = atoi(words[2]), one = 1;
    if (worker_count < 1 || worker_count > MAX_WORKERS) return 2;
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files = {MAX_FD - 1, MAX_FD - 1};
    setrlimit(RLIMIT_NOFILE, &files);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    prepare_request();
    for (int i = 0; i < worker_count; i++) spawn(i, words + 3);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(atoi(words[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) die("listen");
    watch(listener, LISTENER, 0);

    static char buffer[65536];
    for (;;) {
        struct epoll_event events[256];
        int ready = epoll_wait(epoll_fd, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (of_fd[fd].kind == LISTENER) {
                int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (client < 0) continue;
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                watch(client, CLIENT, 0);
            } else if (of_fd[fd].kind == CLIENT) {
                ssize_t length = read(fd, buffer, sizeof buffer);
                if (length <= 0) {
                    of_fd[fd].kind = NONE;
                    close(fd);
                } else if (memmem(buffer, length, "\r\n\r\n", 4)) {
                    if (idle_count) give(fd, idle[--idle_count]);
                    else waiting[waiting_tail++ % MAX_FD] = fd;
                }
            } else if (of_fd[fd].kind == WORKER) {
                if (read(fd, buffer, sizeof buffer) <= 0) die("a worker ended");
                int worker = of_fd[fd].worker, client = workers[worker].client;
                if (of_fd[client].kind == CLIENT && write(client, response, sizeof response - 1) < 0) continue;
                if (waiting_head != waiting_tail) give(waiting[waiting_head++ % MAX_FD], worker);
                else idle[idle_count++] = worker;
            }
        }
    }
}
