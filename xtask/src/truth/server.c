// An HTTP/1.1 server whose latencies are known, and which logs every request.
//
//   server LOG SERVERS DISTRIBUTION FIGURES...
//
// SERVERS is how many requests are served at a time, the others wait in one line; 0 means no limit. A service takes
//
//   constant US                  always the same time
//   exponential MEAN_US          an exponentially distributed time
//   lognormal MEDIAN_US SIGMA    a lognormally distributed time
//   bimodal US OTHER_US PERCENT  OTHER_US in so many percent of the cases, else US
//   hundredth US OTHER_US        OTHER_US for every hundredth request by its number, else US
//   stall US FROM_MS TO_MS       US, but nothing ends between two times after the first request
//
// Times are drawn in the order in which requests come, always the same ones. The number of a request is the last part of
// its path (`/17`). The body of a response is the class of its time: fast, slow or stalled.
//
// The server has one thread, waits with epoll and a timerfd, and writes its port and "ready" to stderr. At SIGTERM it
// writes the log, a line for each request: its number, its connection, and, in nanoseconds of CLOCK_MONOTONIC, when its
// first byte came, when it was complete, when its response was due, when that was sent; and its class.
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MOST_FDS = 70000, MOST_EVENTS = 512, MOST_FIGURES = 4 };

typedef struct {
    int64_t number, first_ns, parsed_ns, due_ns, sent_ns;
    int connection, class;
} Request;

// A response that is not due yet.
typedef struct {
    int64_t due_ns;
    size_t request;
    int fd;
    uint32_t generation;
} Pending;

typedef struct {
    char buffer[4096];
    int length, connection;
    // Counts the connections that had this descriptor, so that a late response does not reach the next one.
    uint32_t generation;
    int64_t first_ns;
} Connection;

static const char *const CLASSES[] = {"fast", "slow", "stalled"};

static Request *requests;
static size_t request_count, request_room;
static Pending *heap;
static size_t heap_count, heap_room;
static Connection connections[MOST_FDS];
static int accepted;
static volatile sig_atomic_t stopped;

static const char *distribution;
static double figures[MOST_FIGURES];
static int servers;
static int64_t *free_ns;
static int64_t begin_ns;

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void on_stop(int signal) {
    (void)signal;
    stopped = 1;
}

static void push(Pending pending) {
    if (heap_count == heap_room) {
        heap_room = heap_room ? heap_room * 2 : 1024;
        heap = realloc(heap, heap_room * sizeof *heap);
    }
    size_t at = heap_count++;
    heap[at] = pending;
    while (at > 0 && heap[(at - 1) / 2].due_ns > heap[at].due_ns) {
        Pending parent = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = heap[at];
        heap[at] = parent;
        at = (at - 1) / 2;
    }
}

static Pending pop(void) {
    Pending first = heap[0];
    heap[0] = heap[--heap_count];
    for (size_t at = 0;;) {
        size_t left = 2 * at + 1, least = at;
        if (left < heap_count && heap[left].due_ns < heap[least].due_ns) least = left;
        if (left + 1 < heap_count && heap[left + 1].due_ns < heap[least].due_ns) least = left + 1;
        if (least == at) return first;
        Pending child = heap[least];
        heap[least] = heap[at];
        heap[at] = child;
        at = least;
    }
}

// A number between 0 and 1 that looks random, from another one (splitmix64).
static double uniform(uint64_t x) {
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    x ^= x >> 31;
    return ((x >> 11) + 0.5) / 9007199254740992.0;
}

static int is(const char *name) {
    return strcmp(distribution, name) == 0;
}

static double service_us(int64_t number, int *class) {
    uint64_t chance = 2 * request_count;
    *class = 0;
    if (is("exponential")) return -figures[0] * log(uniform(chance));
    if (is("lognormal")) {
        double normal = sqrt(-2 * log(uniform(chance))) * cos(2 * M_PI * uniform(chance + 1));
        return figures[0] * exp(figures[1] * normal);
    }
    if (is("bimodal")) *class = uniform(chance) * 100 < figures[2];
    if (is("hundredth")) *class = number % 100 == 0;
    return figures[*class ? 1 : 0];
}

// When the response to a request that came at `at_ns` is due.
static int64_t due_ns(int64_t number, int64_t at_ns, int *class) {
    int64_t service_ns = service_us(number, class) * 1000;
    if (is("stall")) {
        int64_t from_ns = begin_ns + figures[1] * 1000000, to_ns = begin_ns + figures[2] * 1000000;
        if (at_ns >= from_ns && at_ns < to_ns) {
            *class = 2;
            return to_ns + service_ns;
        }
    }
    if (!servers) return at_ns + service_ns;
    int next = 0;
    for (int i = 1; i < servers; i++)
        if (free_ns[i] < free_ns[next]) next = i;
    int64_t start_ns = free_ns[next] > at_ns ? free_ns[next] : at_ns;
    return free_ns[next] = start_ns + service_ns;
}

static void answer(int fd, size_t request) {
    char response[256];
    const char *body = CLASSES[requests[request].class];
    int length = snprintf(response, sizeof response, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n\r\n%s", strlen(body), body);
    requests[request].sent_ns = now_ns();
    // A client that is gone needs no response.
    if (send(fd, response, length, MSG_NOSIGNAL) < 0) return;
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void accept_all(int epoll, int listener) {
    for (int one = 1, fd; (fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0;) {
        if (fd >= MOST_FDS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connections[fd].length = 0;
        connections[fd].connection = ++accepted;
        connections[fd].generation++;
        watch(epoll, fd);
    }
}

// Reads what has come; a complete request is logged, and answered when it is due.
static void receive(int fd) {
    Connection *from = &connections[fd];
    ssize_t count = recv(fd, from->buffer + from->length, sizeof from->buffer - 1 - from->length, 0);
    if (count <= 0) {
        from->generation++;
        close(fd);
        return;
    }
    int64_t at_ns = now_ns();
    if (!from->length) from->first_ns = at_ns;
    from->length += count;
    from->buffer[from->length] = 0;
    if (!strstr(from->buffer, "\r\n\r\n")) return;
    const char *path = strchr(from->buffer, '/'), *last = path;
    for (const char *at = path; at && *at && *at != ' ' && *at != '\r'; at++)
        if (*at == '/') last = at;
    if (request_count == request_room) {
        request_room = request_room ? request_room * 2 : 65536;
        requests = realloc(requests, request_room * sizeof *requests);
    }
    if (!begin_ns) begin_ns = at_ns;
    Request request = {.connection = from->connection, .first_ns = from->first_ns, .parsed_ns = at_ns};
    request.number = last ? (int64_t)strtoull(last + 1, 0, 10) : -1;
    request.due_ns = due_ns(request.number, at_ns, &request.class);
    requests[request_count] = request;
    from->length = 0;
    push((Pending){request.due_ns, request_count++, fd, from->generation});
}

static void answer_what_is_due(int timer) {
    while (heap_count && heap[0].due_ns <= now_ns()) {
        Pending due = pop();
        if (connections[due.fd].generation == due.generation) answer(due.fd, due.request);
    }
    struct itimerspec next = {0};
    if (heap_count) {
        next.it_value.tv_sec = heap[0].due_ns / 1000000000;
        next.it_value.tv_nsec = heap[0].due_ns % 1000000000;
    }
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &next, 0);
}

static void write_log(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        return;
    }
    for (size_t i = 0; i < request_count; i++) {
        Request of = requests[i];
        fprintf(file, "%ld %d %ld %ld %ld %ld %s\n", of.number, of.connection, of.first_ns, of.parsed_ns, of.due_ns,
                of.sent_ns, CLASSES[of.class]);
    }
    fclose(file);
}

int main(int count, char **words) {
    if (count < 5) {
        fprintf(stderr, "usage: server LOG SERVERS DISTRIBUTION FIGURES...\n");
        return 2;
    }
    servers = atoi(words[2]);
    distribution = words[3];
    for (int i = 4; i < count && i < 4 + MOST_FIGURES; i++) figures[i - 4] = atof(words[i]);
    free_ns = calloc(servers + 1, sizeof *free_ns);
    prctl(PR_SET_TIMERSLACK, 1);
    signal(SIGTERM, on_stop);
    signal(SIGINT, on_stop);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(listener, (void *)&address, length) || listen(listener, 4096) ||
        getsockname(listener, (void *)&address, &length)) {
        perror("listen");
        return 1;
    }
    int epoll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(epoll, listener);
    watch(epoll, timer);
    fprintf(stderr, "%d ready\n", ntohs(address.sin_port));

    struct epoll_event events[MOST_EVENTS];
    while (!stopped) {
        answer_what_is_due(timer);
        int ready = epoll_wait(epoll, events, MOST_EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            uint64_t ticks;
            if (fd == listener) accept_all(epoll, listener);
            else if (fd != timer) receive(fd);
            else if (read(timer, &ticks, sizeof ticks) < 0) continue;
        }
    }
    write_log(words[1]);
    return 0;
}
