/*
 * A small HTTP server of artifacts: one thread, which waits with epoll for clients and for the library alike (Linux).
 *
 *     artifact_server STORE_URI
 *
 * GET /artifacts/PATH answers the artifact at PATH, PUT /artifacts/PATH (with Content-Length) stores its body there. The server
 * listens on a free port of 127.0.0.1, prints which, and ends on SIGTERM. It holds one chunk of content for each connection. It
 * knows no deadlines and no users: it is an example.
 *
 * Build: cc artifact_server.c $(pkg-config --cflags --libs mlflow_artifacts)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mlflow_artifacts.h>

enum { HEAD_SIZE = 8192, CHUNK_SIZE = 64 << 10 };

/* What a connection waits for: its socket, or the task that it has in the queue. */
enum state { READ_HEAD, OPEN_READER, READ_CHUNK, SEND, READ_BODY, WRITE_CHUNK, FINISH, LINGER };

struct connection {
    enum state state;
    int socket;
    char buffer[CHUNK_SIZE + 1]; /* the head of the request, then its body, or the head of the answer */
    size_t filled;
    mlfa_task *task; /* in the queue, or NULL */
    mlfa_reader *reader;
    mlfa_writer *writer;
    uint64_t to_come;  /* of the body */
    mlfa_bytes *bytes; /* what is sent after the buffer */
    size_t sent;       /* of the buffer and the bytes together */
    struct connection *next, **link;
};

static int loop;
static mlfa_store *store;
static mlfa_queue *queue;
static struct connection *connections;

/* The address of the error, because the compiler may evaluate an argument before it calls what is in another. */
static void require(mlfa_status status, mlfa_error **error) {
    if (status != MLFA_OK) {
        fprintf(stderr, "artifact_server: %s: %s\n", mlfa_status_name(status), mlfa_error_message(*error));
        mlfa_error_free(*error);
        exit(EXIT_FAILURE);
    }
}

static int require_system(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(EXIT_FAILURE);
    }
    return result;
}

static void end(struct connection *connection) {
    *connection->link = connection->next;
    if (connection->next != NULL) {
        connection->next->link = connection->link;
    }
    mlfa_task_free(connection->task); /* takes it out of the queue */
    mlfa_bytes_release(connection->bytes);
    mlfa_reader_free(connection->reader);
    mlfa_writer_free(connection->writer); /* what was not finished never was */
    close(connection->socket);
    free(connection);
}

/* Has the loop tell of the socket: EPOLLIN, EPOLLOUT, or 0 while a task is awaited; that the client left is told always. */
static void watch(struct connection *connection, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    require_system(epoll_ctl(loop, EPOLL_CTL_MOD, connection->socket, &event), "epoll_ctl");
}

/* Waits for the client to hang up: closed before it has sent all, its socket would be reset and the answer lost. */
static void linger(struct connection *connection) {
    connection->state = LINGER;
    shutdown(connection->socket, SHUT_WR);
    watch(connection, EPOLLIN);
}

static void send_buffer(struct connection *connection) {
    connection->state = SEND;
    connection->sent = 0;
    watch(connection, EPOLLOUT);
}

/* Answers with a text and nothing after it. */
static void answer(struct connection *connection, const char *status, const char *text) {
    mlfa_reader_free(connection->reader);
    connection->reader = NULL;
    int length = snprintf(connection->buffer, sizeof connection->buffer,
                          "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
                          "Connection: close\r\n\r\n%s\n",
                          status, strlen(text) + 1, text);
    connection->filled = (size_t)length < sizeof connection->buffer ? (size_t)length : sizeof connection->buffer - 1;
    send_buffer(connection);
}

/* Answers with what went wrong. Frees the error. */
static void answer_error(struct connection *connection, mlfa_status status, mlfa_error *error) {
    const char *http = "500 Internal Server Error";
    switch (status) {
    case MLFA_E_NOT_FOUND:
        http = "404 Not Found";
        break;
    case MLFA_E_INVALID_PATH:
    case MLFA_E_INVALID_UTF8:
    case MLFA_E_IS_A_DIRECTORY:
    case MLFA_E_NOT_A_DIRECTORY:
        http = "400 Bad Request";
        break;
    case MLFA_E_PERMISSION_DENIED:
        http = "403 Forbidden";
        break;
    case MLFA_E_NO_SPACE:
        http = "507 Insufficient Storage";
        break;
    default:
        if (mlfa_error_is_retryable(error)) {
            http = "503 Service Unavailable";
        }
    }
    /* The message may name local paths: it is for the log, the client gets the name. */
    fprintf(stderr, "artifact_server: %s\n", mlfa_error_message(error));
    answer(connection, http, mlfa_status_name(status));
    mlfa_error_free(error);
}

/* Has the queue tell the end of what a _start function began, or answers why it did not begin. */
static void await(struct connection *connection, enum state state, mlfa_status status, mlfa_task *task,
                  mlfa_error *error) {
    if (status != MLFA_OK) {
        answer_error(connection, status, error);
        return;
    }
    require(mlfa_task_submit_to(task, queue, (uint64_t)(uintptr_t)connection, &error), &error);
    connection->task = task;
    connection->state = state;
    watch(connection, 0);
}

static void read_chunk(struct connection *connection) {
    mlfa_task *task = NULL;
    mlfa_error *error = NULL;
    require(mlfa_reader_read_chunk_start(connection->reader, &task, &error), &error);
    await(connection, READ_CHUNK, MLFA_OK, task, NULL);
}

/* Writes what has come of the body, or finishes if all of it is written. */
static void write_body(struct connection *connection) {
    mlfa_task *task = NULL;
    mlfa_error *error = NULL;
    mlfa_status status;
    if (connection->filled > 0) {
        connection->to_come -= connection->filled;
        status = mlfa_writer_write_start(connection->writer, (const uint8_t *)connection->buffer, connection->filled,
                                         &task, &error);
        connection->filled = 0; /* the bytes were copied */
        await(connection, WRITE_CHUNK, status, task, error);
    } else if (connection->to_come == 0) {
        status = mlfa_writer_finish_start(connection->writer, &task, &error);
        await(connection, FINISH, status, task, error);
    } else {
        connection->state = READ_BODY;
        watch(connection, EPOLLIN);
    }
}

/* Replaces %XX in place and answers the length. A NUL is no end: the library refuses it. -1 if it is malformed. */
static ptrdiff_t decode(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        char digits[3] = {from[1], from[1] == '\0' ? '\0' : from[2], '\0'};
        if (strspn(digits, "0123456789abcdefABCDEF") != 2) {
            return -1;
        }
        *to++ = (char)strtoul(digits, NULL, 16);
        from += 2;
    }
    return to - text;
}

/* Finds Content-Length in the header lines; 0 if it is there once and is a number. */
static int content_length(const char *lines, uint64_t *length) {
    static const char name[] = "\r\nContent-Length:";
    const char *found = strcasestr(lines, name);
    if (found == NULL || strcasestr(found + 2, name) != NULL) {
        return -1;
    }
    found += strlen(name);
    found += strspn(found, " \t");
    size_t digits = strspn(found, "0123456789");
    if (digits == 0 || digits > 18 || found[digits + strspn(found + digits, " \t")] != '\r') {
        return -1;
    }
    *length = strtoull(found, NULL, 10);
    return 0;
}

/* Begins what the request asks for. The head ends at `body`. */
static void begin(struct connection *connection, char *body) {
    char *method = connection->buffer;
    char *lines = strstr(method, "\r\n");
    char *path = strchr(method, ' ');
    char *version = path == NULL ? NULL : strchr(path + 1, ' ');
    static const char prefix[] = "/artifacts/";
    body[-2] = '\0'; /* the lines end with the last one's own end */
    if (version == NULL || version > lines || strncmp(version, " HTTP/1.", 8) != 0) {
        answer(connection, "400 Bad Request", "malformed");
        return;
    }
    *path++ = *version = '\0';
    if (strncmp(path, prefix, strlen(prefix)) != 0) {
        answer(connection, "404 Not Found", "there are only /artifacts/");
        return;
    }
    path += strlen(prefix);
    ptrdiff_t path_length = decode(path);
    mlfa_error *error = NULL;
    if (path_length < 0) {
        answer(connection, "400 Bad Request", "malformed");
    } else if (strcmp(method, "GET") == 0) {
        mlfa_task *task = NULL;
        mlfa_status status =
            mlfa_reader_open_start(store, path, (size_t)path_length, 0, MLFA_TO_THE_END, &task, &error);
        await(connection, OPEN_READER, status, task, error);
    } else if (strcmp(method, "PUT") != 0) {
        answer(connection, "405 Method Not Allowed", "only GET and PUT");
    } else if (content_length(lines, &connection->to_come) < 0) {
        answer(connection, "411 Length Required", "no Content-Length");
    } else {
        mlfa_status status = mlfa_writer_open(store, path, (size_t)path_length, connection->to_come, NULL,
                                              &connection->writer, &error);
        if (status != MLFA_OK) {
            answer_error(connection, status, error);
            return;
        }
        /* The rest of what came is of the body. */
        size_t rest = connection->filled - (size_t)(body - connection->buffer);
        connection->filled = rest < connection->to_come ? rest : (size_t)connection->to_come;
        memmove(connection->buffer, body, connection->filled);
        write_body(connection);
    }
}

/* Goes on with a connection whose task has ended. */
static void go_on(struct connection *connection) {
    mlfa_task *task = connection->task;
    mlfa_error *error = NULL;
    mlfa_status status;
    connection->task = NULL;
    if (connection->state == OPEN_READER) {
        status = mlfa_task_take_reader(task, &connection->reader, &error);
        if (status == MLFA_OK) {
            connection->filled = (size_t)snprintf(
                connection->buffer, sizeof connection->buffer,
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %" PRIu64 "\r\n"
                "Connection: close\r\n\r\n",
                mlfa_meta_size(mlfa_reader_meta(connection->reader)));
            send_buffer(connection);
        }
    } else if (connection->state == READ_CHUNK) {
        status = mlfa_task_take_bytes(task, &connection->bytes, &error);
        mlfa_task_free(task);
        if (status != MLFA_OK) {
            mlfa_error_free(error);
            end(connection); /* the client sees that less came than was announced */
        } else if (connection->bytes == NULL) {
            linger(connection);
        } else {
            connection->filled = 0;
            send_buffer(connection);
        }
        return;
    } else {
        status = mlfa_task_result(task, &error);
        if (status == MLFA_OK && connection->state == WRITE_CHUNK) {
            write_body(connection);
        } else if (status == MLFA_OK) {
            answer(connection, "201 Created", "stored");
        }
    }
    mlfa_task_free(task);
    if (status != MLFA_OK) {
        answer_error(connection, status, error);
    }
}

/* Sends what is to be sent, as far as the client takes it. */
static void send_more(struct connection *connection) {
    const char *from = connection->buffer + connection->sent;
    size_t left = connection->filled - connection->sent;
    if (connection->bytes != NULL) {
        from = (const char *)mlfa_bytes_data(connection->bytes) + connection->sent;
        left = mlfa_bytes_size(connection->bytes) - connection->sent;
    }
    ssize_t count = send(connection->socket, from, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count < 0) {
        end(connection);
        return;
    }
    connection->sent += (size_t)count;
    if ((size_t)count == left) {
        mlfa_bytes_release(connection->bytes);
        connection->bytes = NULL;
        if (connection->reader == NULL) {
            linger(connection);
        } else {
            read_chunk(connection);
        }
    }
}

/* Receives more of the head or the body. */
static void receive(struct connection *connection) {
    size_t room = CHUNK_SIZE;
    if (connection->state == READ_HEAD) {
        room = HEAD_SIZE - connection->filled;
    } else if (connection->state == LINGER) {
        connection->filled = 0;
    } else if (connection->to_come < room) {
        room = (size_t)connection->to_come;
    }
    ssize_t count = recv(connection->socket, connection->buffer + connection->filled, room, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count <= 0) {
        end(connection);
        return;
    }
    if (connection->state == LINGER) {
        return; /* nobody wants it */
    }
    connection->filled += (size_t)count;
    if (connection->state == READ_BODY) {
        write_body(connection);
        return;
    }
    connection->buffer[connection->filled] = '\0';
    char *end_of_head = strstr(connection->buffer, "\r\n\r\n");
    if (end_of_head != NULL) {
        begin(connection, end_of_head + 4);
    } else if (connection->filled == HEAD_SIZE) {
        answer(connection, "431 Request Header Fields Too Large", "too large");
    }
}

static void accept_client(int listener) {
    int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    struct connection *connection = socket < 0 ? NULL : calloc(1, sizeof *connection);
    if (connection == NULL) {
        if (socket >= 0) {
            close(socket);
        }
        return;
    }
    connection->socket = socket;
    connection->link = &connections;
    connection->next = connections;
    if (connections != NULL) {
        connections->link = &connection->next;
    }
    connections = connection;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    require_system(epoll_ctl(loop, EPOLL_CTL_ADD, socket, &event), "epoll_ctl");
}

static void drain_queue(void) {
    for (;;) {
        uint64_t tag = 0;
        mlfa_task *task = NULL;
        mlfa_error *error = NULL;
        mlfa_status status = mlfa_queue_next(queue, 0, &tag, &task, &error);
        if (status == MLFA_E_TIMEOUT) {
            mlfa_error_free(error);
            return;
        }
        require(status, &error);
        go_on((struct connection *)(uintptr_t)tag);
    }
}

static void watch_other(int descriptor, void *name) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = name};
    require_system(epoll_ctl(loop, EPOLL_CTL_ADD, descriptor, &event), "epoll_ctl");
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: artifact_server STORE_URI\n");
        return 2;
    }
    /* Before the library makes its threads, so that none of them gets the signal. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    require_system(sigprocmask(SIG_BLOCK, &signals, NULL), "sigprocmask");
    int terminated = require_system(signalfd(-1, &signals, SFD_CLOEXEC), "signalfd");

    mlfa_context *context = NULL;
    mlfa_error *error = NULL;
    require(mlfa_context_new(NULL, &context, &error), &error);
    require(mlfa_store_open(context, argv[1], SIZE_MAX, NULL, &store, &error), &error);
    require(mlfa_queue_new(&queue, &error), &error);

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = require_system(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
    require_system(bind(listener, (struct sockaddr *)&address, size), "bind");
    require_system(listen(listener, SOMAXCONN), "listen");
    require_system(getsockname(listener, (struct sockaddr *)&address, &size), "getsockname");
    loop = require_system(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    watch_other(listener, &listener);
    watch_other(terminated, &terminated);
    watch_other(mlfa_queue_fd(queue), &queue);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        /* One event at a time: the one before may have ended the connection of the next. */
        struct epoll_event event;
        int ready = epoll_wait(loop, &event, 1, -1);
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        require_system(ready, "epoll_wait");
        struct connection *connection = event.data.ptr;
        if (event.data.ptr == &terminated) {
            break;
        } else if (event.data.ptr == &listener) {
            accept_client(listener);
        } else if (event.data.ptr == &queue) {
            drain_queue();
        } else if (connection->state == SEND) {
            send_more(connection);
        } else if (connection->task == NULL) {
            receive(connection);
        } else {
            end(connection); /* the client left, which ends what it asked for */
        }
    }

    while (connections != NULL) {
        end(connections);
    }
    close(loop);
    close(listener);
    close(terminated);
    mlfa_queue_free(queue);
    mlfa_store_release(store);
    mlfa_context_release(context);
    return EXIT_SUCCESS;
}
