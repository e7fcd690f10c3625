/*
 * The least that an HTTP client can do: one connection, one request, the bytes of a file. Hashes and checks nothing but the
 * status and the length.
 *
 *     bare_http put|get PORT PATH TOKEN FILE
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char buffer[1 << 20];

static void fail(const char *what) {
    perror(what);
    exit(EXIT_FAILURE);
}

static void write_all(int target, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(target, bytes, length);
        if (written < 0) {
            fail("write");
        }
        bytes += written;
        length -= (size_t)written;
    }
}

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) < 0) {
        fail("connect");
    }
    return connection;
}

/* Reads the head of the answer into the buffer, what follows it too; says where that begins and how much is there. */
static size_t read_head(int connection, int status, size_t *filled) {
    *filled = 0;
    for (;;) {
        ssize_t received = read(connection, buffer + *filled, sizeof buffer - 1 - *filled);
        if (received <= 0) {
            fail("the answer ends in its head");
        }
        *filled += (size_t)received;
        buffer[*filled] = '\0';
        char *end = strstr(buffer, "\r\n\r\n");
        if (end != NULL) {
            if (strncmp(buffer, "HTTP/1.1 ", 9) != 0 || atoi(buffer + 9) != status) {
                fprintf(stderr, "bare_http: %.*s\n", (int)(end - buffer), buffer);
                exit(EXIT_FAILURE);
            }
            return (size_t)(end + 4 - buffer);
        }
    }
}

static void put(int connection, int source) {
    for (;;) {
        ssize_t count = read(source, buffer, sizeof buffer);
        if (count < 0) {
            fail("read");
        }
        if (count == 0) {
            break;
        }
        write_all(connection, buffer, (size_t)count);
    }
    size_t filled;
    read_head(connection, 201, &filled);
}

static void get(int connection, int target) {
    size_t filled;
    size_t start = read_head(connection, 200, &filled);
    buffer[start - 1] = '\0';
    long long length = -1;
    for (char *line = buffer; line != NULL && length < 0; line = strstr(line, "\r\n")) {
        line += line == buffer ? 0 : 2;
        if (strncasecmp(line, "content-length:", 15) == 0) {
            length = atoll(line + 15);
        } else if (*line == '\0') {
            break;
        }
    }
    long long total = (long long)(filled - start);
    write_all(target, buffer + start, filled - start);
    while (total < length) {
        ssize_t count = read(connection, buffer, sizeof buffer);
        if (count <= 0) {
            fail("the answer ends early");
        }
        write_all(target, buffer, (size_t)count);
        total += count;
    }
    if (total != length) {
        fprintf(stderr, "bare_http: %lld bytes instead of %lld\n", total, length);
        exit(EXIT_FAILURE);
    }
}

int main(int argc, char **argv) {
    if (argc != 6 || (strcmp(argv[1], "put") != 0 && strcmp(argv[1], "get") != 0)) {
        fprintf(stderr, "usage: bare_http put|get PORT PATH TOKEN FILE\n");
        return 2;
    }
    int is_put = strcmp(argv[1], "put") == 0;
    int file = is_put ? open(argv[5], O_RDONLY) : open(argv[5], O_WRONLY | O_CREAT | O_TRUNC, 0644);
    struct stat status;
    if (file < 0 || fstat(file, &status) < 0) {
        fail(argv[5]);
    }
    int connection = connect_to(atoi(argv[2]));
    int length = snprintf(buffer, sizeof buffer, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAuthorization: Bearer %s\r\n",
                          is_put ? "PUT" : "GET", argv[3], argv[2], argv[4]);
    write_all(connection, buffer, (size_t)length);
    if (is_put) {
        length = snprintf(buffer, sizeof buffer, "Content-Length: %lld\r\n", (long long)status.st_size);
        write_all(connection, buffer, (size_t)length);
    }
    write_all(connection, "\r\n", 2);
    if (is_put) {
        put(connection, file);
    } else {
        get(connection, file);
    }
    if (close(file) < 0) {
        fail(argv[5]);
    }
    return EXIT_SUCCESS;
}
