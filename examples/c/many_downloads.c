/*
 * Fetches 100 artifacts at once from one thread, which waits for all of them with epoll (Linux).
 *
 *     many_downloads STORE_URI PREFIX
 *
 * STORE_URI  any store: file:///srv/artifacts, memory:, ...
 * PREFIX     where the artifacts go that it stores first
 *
 * Build: cc many_downloads.c $(pkg-config --cflags --libs mlflow_artifacts)
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <mlflow_artifacts.h>

enum { COUNT = 100, TEXT_SIZE = 64, PATH_SIZE = 1024 };

/* Ends the program with what went wrong if a call failed. It is given the address of the error because the compiler chooses the
 * order in which it evaluates arguments: the error's value might be that from before the call. */
static void require(mlfa_status status, mlfa_error **error) {
    if (status == MLFA_OK) {
        return;
    }
    fprintf(stderr, "many_downloads: %s: %s\n", mlfa_status_name(status), mlfa_error_message(*error));
    mlfa_error_free(*error);
    exit(EXIT_FAILURE);
}

static void require_system(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(EXIT_FAILURE);
    }
}

static void make_path(char path[PATH_SIZE], const char *prefix, uint64_t number) {
    int length = snprintf(path, PATH_SIZE, "%s/%03" PRIu64 ".txt", prefix, number);
    if (length < 0 || length >= PATH_SIZE) {
        fprintf(stderr, "many_downloads: the prefix is too long\n");
        exit(EXIT_FAILURE);
    }
}

/* What artifact `number` holds. */
static void make_text(char text[TEXT_SIZE], uint64_t number) {
    snprintf(text, TEXT_SIZE, "this is artifact %" PRIu64 " of %d\n", number, COUNT);
}

static void store_all(mlfa_store *store, const char *prefix) {
    for (uint64_t number = 0; number < COUNT; number++) {
        char path[PATH_SIZE], text[TEXT_SIZE];
        mlfa_error *error = NULL;
        make_path(path, prefix, number);
        make_text(text, number);
        require(mlfa_put_bytes(store, path, SIZE_MAX, (const uint8_t *)text, strlen(text), NULL, &error), &error);
    }
}

/* Begins every download; none of these calls waits. The number of an artifact is the tag of its task. */
static void start_all(mlfa_store *store, const char *prefix, mlfa_queue *queue) {
    for (uint64_t number = 0; number < COUNT; number++) {
        char path[PATH_SIZE];
        mlfa_task *task = NULL;
        mlfa_error *error = NULL;
        make_path(path, prefix, number);
        require(mlfa_get_bytes_start(store, path, SIZE_MAX, 0, MLFA_TO_THE_END, &task, &error), &error);
        require(mlfa_task_submit_to(task, queue, number, &error), &error); /* the task is the queue's now */
    }
}

/* 1 if a download that has ended went well and brought what was stored, else 0. Frees the task. */
static int finish(mlfa_task *task, uint64_t number) {
    mlfa_bytes *bytes = NULL;
    mlfa_error *error = NULL;
    mlfa_status status = mlfa_task_take_bytes(task, &bytes, &error);
    mlfa_task_free(task);
    if (status != MLFA_OK) {
        fprintf(stderr, "many_downloads: artifact %" PRIu64 ": %s\n", number, mlfa_error_message(error));
        mlfa_error_free(error);
        return 0;
    }
    char text[TEXT_SIZE];
    make_text(text, number);
    int right = mlfa_bytes_size(bytes) == strlen(text) && memcmp(mlfa_bytes_data(bytes), text, strlen(text)) == 0;
    mlfa_bytes_release(bytes);
    return right;
}

/* Takes every task that has ended out of the queue, adding to `ended` and `right`, and does not wait for more. */
static void drain(mlfa_queue *queue, int *ended, int *right) {
    for (;;) {
        uint64_t number = 0;
        mlfa_task *task = NULL;
        mlfa_error *error = NULL;
        mlfa_status status = mlfa_queue_next(queue, 0, &number, &task, &error);
        if (status == MLFA_E_TIMEOUT) {
            mlfa_error_free(error);
            return;
        }
        require(status, &error);
        (*ended)++;
        *right += finish(task, number);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: many_downloads STORE_URI PREFIX\n");
        return 2;
    }
    mlfa_context *context = NULL;
    mlfa_store *store = NULL;
    mlfa_queue *queue = NULL;
    mlfa_error *error = NULL;
    require(mlfa_context_new(NULL, &context, &error), &error);
    require(mlfa_store_open(context, argv[1], SIZE_MAX, NULL, &store, &error), &error);
    store_all(store, argv[2]);

    require(mlfa_queue_new(&queue, &error), &error);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    require_system(loop, "epoll_create1");
    /* A program with sockets and timers watches the queue beside them; this one has nothing else to watch. */
    struct epoll_event interest = {.events = EPOLLIN};
    require_system(epoll_ctl(loop, EPOLL_CTL_ADD, mlfa_queue_fd(queue), &interest), "epoll_ctl");

    start_all(store, argv[2], queue);
    int ended = 0, right = 0;
    while (ended < COUNT) {
        struct epoll_event event;
        int ready = epoll_wait(loop, &event, 1, -1);
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        require_system(ready, "epoll_wait");
        drain(queue, &ended, &right);
    }

    /* The loop first: it watches a descriptor that the queue closes. */
    close(loop);
    mlfa_queue_free(queue);
    mlfa_store_release(store);
    mlfa_context_release(context);
    printf("%d of %d downloads right\n", right, COUNT);
    return right == COUNT ? EXIT_SUCCESS : EXIT_FAILURE;
}
