/*
 * A client of HTTP that costs next to nothing: connections that are kept, one request under way on each.
 *
 *     http_client put|get|check PORT PATH FILE COUNT CONNECTIONS
 *
 * The artifact is PATH, or with a COUNT above 1 PATH/00000, PATH/00001 and so on. put sends the bytes of FILE, by the kernel; get reads
 * content and looks at nothing but its length, which is that of FILE; check compares its bytes with those of FILE as well. Prints seconds:
 * from the first request to the last answer, to the first byte of content (of the first answer that has one), and of CPU of this process.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 64, LONGEST_HEAD = 16 << 10 };

/* What the next byte of an answer belongs to. */
enum state { HEAD, CONTENT, CHUNK_END, CHUNK_HEAD, TRAILER, DONE };

struct connection {
    int socket;
    enum state state;
    /* The head of an answer, or a line between two chunks. */
    char line[LONGEST_HEAD];
    size_t filled;
    int is_chunked, is_last;
    unsigned long long remaining, received;
};

static struct connection connections[MOST_CONNECTIONS];
static char buffer[1 << 20];
static const char *path, *content;
static int port, file, count, is_put, is_check, asked, answered;
static unsigned long long length;
static double start, first_byte;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "http_client: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(EXIT_FAILURE);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double seconds(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void connect_to_server(struct connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    connection->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->socket < 0 || connect(connection->socket, (struct sockaddr *)&address, sizeof address) < 0 ||
        setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) {
        perror("http_client: connect");
        exit(EXIT_FAILURE);
    }
}

/* Sends the next request. */
static void ask(struct connection *connection) {
    char name[8] = "", head[LONGEST_HEAD], size[64] = "";
    if (count > 1) {
        snprintf(name, sizeof name, "/%05d", asked);
    }
    if (is_put) {
        snprintf(size, sizeof size, "Content-Length: %llu\r\n", length);
    }
    int filled = snprintf(head, sizeof head, "%s %s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s\r\n", is_put ? "PUT" : "GET", path, name,
                          port, size);
    if (filled >= (int)sizeof head) {
        fail("the path is too long");
    }
    if (send(connection->socket, head, (size_t)filled, is_put && length > 0 ? MSG_MORE : 0) != filled) {
        perror("http_client: send");
        exit(EXIT_FAILURE);
    }
    off_t sent = 0;
    while (is_put && (unsigned long long)sent < length) {
        if (sendfile(connection->socket, file, &sent, length - (unsigned long long)sent) <= 0) {
            perror("http_client: sendfile");
            exit(EXIT_FAILURE);
        }
    }
    connection->state = HEAD;
    connection->filled = 0;
    connection->received = 0;
    asked++;
}

/* The value of a header, or nothing. */
static const char *header(const char *head, const char *name) {
    size_t size = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, size) == 0 && line[2 + size] == ':') {
            return line + 3 + size + strspn(line + 3 + size, " ");
        }
    }
    return NULL;
}

/* Understands the head of an answer, which is whole. */
static void begin_content(struct connection *connection) {
    const char *head = connection->line;
    if (strncmp(head, "HTTP/1.1 2", 10) != 0) {
        fail("%s is answered by %s", path, head);
    }
    const char *kept = header(head, "connection"), *told = header(head, "content-length"), *coding = header(head, "transfer-encoding");
    connection->is_last = kept != NULL && strncasecmp(kept, "close", 5) == 0;
    connection->is_chunked = coding != NULL && strncasecmp(coding, "chunked", 7) == 0;
    if (connection->is_chunked) {
        connection->state = CHUNK_HEAD;
        return;
    }
    if (told == NULL && strncmp(head + 9, "204", 3) != 0) {
        fail("an answer does not say its length: %s", head);
    }
    connection->remaining = told == NULL ? 0 : strtoull(told, NULL, 10);
    connection->state = connection->remaining > 0 ? CONTENT : DONE;
}

/* Understands a line, whole, and without its end. */
static void take_line(struct connection *connection) {
    if (connection->state == CHUNK_END) {
        connection->state = CHUNK_HEAD;
    } else if (connection->state == TRAILER) {
        connection->state = connection->line[0] == '\0' ? DONE : TRAILER;
    } else {
        connection->remaining = strtoull(connection->line, NULL, 16);
        connection->state = connection->remaining > 0 ? CONTENT : TRAILER;
    }
}

/* Takes the next byte of a head or of a line between two chunks. */
static void take_byte(struct connection *connection, char byte) {
    char *line = connection->line;
    if (connection->filled + 1 >= sizeof connection->line) {
        fail("a head does not end");
    }
    line[connection->filled++] = byte;
    line[connection->filled] = '\0';
    size_t filled = connection->filled;
    if (connection->state == HEAD) {
        if (filled >= 4 && memcmp(line + filled - 4, "\r\n\r\n", 4) == 0) {
            connection->filled = 0;
            begin_content(connection);
        }
    } else if (filled >= 2 && memcmp(line + filled - 2, "\r\n", 2) == 0) {
        line[filled - 2] = '\0';
        connection->filled = 0;
        take_line(connection);
    }
}

static void take_content(struct connection *connection, const char *bytes, unsigned long long size) {
    if (first_byte == 0) {
        first_byte = now() - start;
    }
    if (is_check && (connection->received + size > length || memcmp(content + connection->received, bytes, size) != 0)) {
        fail("%s: what is answered is not what was put", path);
    }
    connection->received += size;
    connection->remaining -= size;
    if (connection->remaining == 0) {
        connection->state = connection->is_chunked ? CHUNK_END : DONE;
    }
}

/* Takes what has arrived; answers whether the answer is whole. */
static int take(struct connection *connection) {
    ssize_t arrived = read(connection->socket, buffer, sizeof buffer);
    if (arrived <= 0) {
        fail("%s: the answer ends early, after %llu bytes of content", path, connection->received);
    }
    for (ssize_t at = 0; at < arrived;) {
        if (connection->state == CONTENT) {
            unsigned long long size = (unsigned long long)(arrived - at);
            size = size < connection->remaining ? size : connection->remaining;
            take_content(connection, buffer + at, size);
            at += (ssize_t)size;
        } else if (connection->state == DONE) {
            fail("%s: bytes follow the answer", path);
        } else {
            take_byte(connection, buffer[at++]);
        }
    }
    return connection->state == DONE;
}

/* Ends an answer; answers whether there is another request for its connection. */
static int go_on(struct connection *connection) {
    if (!is_put && connection->received != length) {
        fail("%s: %llu bytes instead of %llu", path, connection->received, length);
    }
    answered++;
    if (connection->is_last) {
        /* At once: some servers wait for it before they serve the next. */
        close(connection->socket);
    }
    if (asked == count) {
        return 0;
    }
    if (connection->is_last) {
        connect_to_server(connection);
    }
    ask(connection);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: http_client put|get|check PORT PATH FILE COUNT CONNECTIONS\n");
        return 2;
    }
    is_put = strcmp(argv[1], "put") == 0;
    is_check = strcmp(argv[1], "check") == 0;
    port = atoi(argv[2]);
    path = argv[3];
    count = atoi(argv[5]);
    int parallel = atoi(argv[6]);
    if (count < 1 || parallel < 1 || parallel > MOST_CONNECTIONS) {
        fail("COUNT is at least 1, and CONNECTIONS from 1 to %d", MOST_CONNECTIONS);
    }
    parallel = parallel < count ? parallel : count;
    struct stat status;
    file = open(argv[4], O_RDONLY);
    if (file < 0 || fstat(file, &status) < 0) {
        perror(argv[4]);
        return EXIT_FAILURE;
    }
    length = (unsigned long long)status.st_size;
    if (is_check) {
        content = mmap(NULL, length, PROT_READ, MAP_PRIVATE, file, 0);
        if (content == MAP_FAILED) {
            perror(argv[4]);
            return EXIT_FAILURE;
        }
    }
    /* A server that refuses a body may close before it has read it. */
    signal(SIGPIPE, SIG_IGN);
    struct pollfd watched[MOST_CONNECTIONS];
    for (int at = 0; at < parallel; at++) {
        connect_to_server(&connections[at]);
    }
    start = now();
    for (int at = 0; at < parallel; at++) {
        ask(&connections[at]);
        watched[at] = (struct pollfd){.fd = connections[at].socket, .events = POLLIN};
    }
    while (answered < count) {
        if (poll(watched, (nfds_t)parallel, -1) < 0) {
            perror("http_client: poll");
            return EXIT_FAILURE;
        }
        for (int at = 0; at < parallel; at++) {
            if (watched[at].revents != 0 && take(&connections[at])) {
                watched[at].fd = go_on(&connections[at]) ? connections[at].socket : -1;
            }
        }
    }
    double wall = now() - start;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%.6f %.6f %.6f\n", wall, first_byte, seconds(usage.ru_utime) + seconds(usage.ru_stime));
    return EXIT_SUCCESS;
}
