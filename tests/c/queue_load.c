/*
 * 1,000 operations in flight on one queue, from one thread, against a store that answers late: together they take about as long
 * as one, and the program has no more threads for 1,000 of them than for 100.
 *
 * These are gets and puts of bytes in memory, at a server named by its address. Local files and looking up a name block: they
 * take threads as they come, hundreds of them if a thousand come at once.
 *
 * MLFA_TEST_HTTP_STORE is the URI of that store, an emulated Artifactory whose every answer takes half a second.
 */
#include "check.h"

#include <time.h>

/* One after the other, 1,000 operations take 500 s. Nobody's machine is so slow that together they take this long, unless the
 * program runs under valgrind or the like. */
#define SECONDS_AT_MOST 60

static const char *slow_store(void) {
    const char *uri = getenv("MLFA_TEST_HTTP_STORE");
    CHECK(uri != NULL);
    return uri;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int count_threads(void) {
    int count = 0;
    DIR *threads = opendir("/proc/self/task");
    CHECK(threads != NULL);
    for (struct dirent *thread; (thread = readdir(threads)) != NULL;) {
        count += thread->d_name[0] != '.';
    }
    closedir(threads);
    return count;
}

/* ---- What is in flight ---- */

static void make_path(char path[32], uint64_t number) {
    snprintf(path, 32, "load/%u", (unsigned)number);
}

static mlfa_task *start_put(mlfa_store *store, uint64_t number) {
    char path[32];
    mlfa_task *task = UNTOUCHED;
    make_path(path, number);
    CHECK_OK(mlfa_put_bytes_start(store, path, SIZE_MAX, (const uint8_t *)path, strlen(path), NULL, &task, &error));
    return task;
}

static mlfa_task *start_get(mlfa_store *store, uint64_t number) {
    char path[32];
    mlfa_task *task = UNTOUCHED;
    make_path(path, number);
    CHECK_OK(mlfa_get_bytes_start(store, path, SIZE_MAX, 0, MLFA_TO_THE_END, &task, &error));
    return task;
}

static void check_put(mlfa_task *task, uint64_t number) {
    char path[32];
    mlfa_meta *meta = UNTOUCHED;
    make_path(path, number);
    CHECK_OK(mlfa_task_take_meta(task, &meta, &error));
    CHECK_TEXT(mlfa_meta_path(meta), path);
    mlfa_meta_free(meta);
}

static void check_got(mlfa_task *task, uint64_t number) {
    char path[32];
    mlfa_bytes *bytes = UNTOUCHED;
    make_path(path, number);
    CHECK_OK(mlfa_task_take_bytes(task, &bytes, &error));
    CHECK(mlfa_bytes_size(bytes) == strlen(path) && memcmp(mlfa_bytes_data(bytes), path, strlen(path)) == 0);
    mlfa_bytes_release(bytes);
}

struct operation {
    const char *name;
    mlfa_task *(*start)(mlfa_store *store, uint64_t number);
    void (*check)(mlfa_task *task, uint64_t number);
};

static const struct operation PUT = {"puts", start_put, check_put}, GET = {"gets", start_get, check_got};

/* ---- The load ---- */

struct load {
    double seconds;
    /* The most that were seen from the first start to the last end. */
    int threads;
};

static void see_threads(struct load *load) {
    int count = count_threads();
    load->threads = count > load->threads ? count : load->threads;
}

static mlfa_task *next_of(mlfa_queue *queue, uint64_t *number, struct load *load) {
    for (;;) {
        mlfa_task *task = NULL;
        mlfa_status status = mlfa_queue_next(queue, 10, number, &task, NULL);
        see_threads(load);
        if (status == MLFA_OK) {
            return task;
        }
        CHECK(status == MLFA_E_TIMEOUT);
    }
}

/* Has so many operations in flight at once, and takes each from the queue as it ends. */
static struct load run(mlfa_store *store, const struct operation *operation, uint64_t count) {
    struct load load = {0, 0};
    mlfa_queue *queue = UNTOUCHED;
    CHECK_OK(mlfa_queue_new(&queue, &error));
    double start = now();
    for (uint64_t number = 0; number < count; number++) {
        CHECK_OK(mlfa_task_submit_to(operation->start(store, number), queue, number, &error));
    }
    for (uint64_t ended = 0; ended < count; ended++) {
        uint64_t number = count;
        mlfa_task *task = next_of(queue, &number, &load);
        CHECK(number < count);
        operation->check(task, number);
        mlfa_task_free(task);
    }
    load.seconds = now() - start;
    mlfa_queue_free(queue);
    return load;
}

static void many_take_as_long_as_one(mlfa_store *store, const struct operation *operation, uint64_t count) {
    struct load one = run(store, operation, 1);
    struct load some = run(store, operation, count / 10);
    struct load many = run(store, operation, count);
    printf("%s at once: 1 in %.2f s, %u in %.2f s with %d threads, %u in %.2f s (%.1f times one) with %d threads\n",
           operation->name, one.seconds, (unsigned)count / 10, some.seconds, some.threads, (unsigned)count,
           many.seconds, many.seconds / one.seconds, many.threads);
    CHECK(rounds(100) < 100 || many.seconds < SECONDS_AT_MOST);
    CHECK(many.threads <= some.threads);
}

int main(int argc, char **argv) {
    enter(argc, argv);
    mlfa_context *context = new_context();
    mlfa_store *store = open_store(context, slow_store());
    uint64_t count = 10 * (uint64_t)rounds(100);
    many_take_as_long_as_one(store, &PUT, count);
    many_take_as_long_as_one(store, &GET, count);
    mlfa_store_release(store);
    mlfa_context_release(context);
    return passed();
}
