/* A writer that is the last of its context, and freed before it has finished: it ends its put and leaves nothing, and at once. */
#include "check.h"

#include <time.h>

#define LARGE ((size_t)3 << 20)
/* Of freeing one: a put that was waited for would take 10 seconds. */
#define LONGEST_MS 8000.0

static double now_ms(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static mlfa_writer *open_writer(mlfa_store *store) {
    mlfa_writer *writer = UNTOUCHED;
    CHECK_OK(mlfa_writer_open(store, "run/given up", SIZE_MAX, MLFA_LENGTH_UNKNOWN, NULL, &writer, &error));
    return writer;
}

/* What is done with a writer before everything is let go of. */
typedef void use_fn(mlfa_writer *writer, const uint8_t *bytes);

static void write_nothing(mlfa_writer *writer, const uint8_t *bytes) {
    (void)writer;
    (void)bytes;
}

static void write_little(mlfa_writer *writer, const uint8_t *bytes) {
    CHECK_OK(mlfa_writer_write(writer, bytes, 10, &error));
}

static void write_much(mlfa_writer *writer, const uint8_t *bytes) {
    CHECK_OK(mlfa_writer_write(writer, bytes, LARGE, &error));
}

static void write_in_a_task(mlfa_writer *writer, const uint8_t *bytes) {
    mlfa_task *task = UNTOUCHED;
    CHECK_OK(mlfa_writer_write_start(writer, bytes, LARGE, &task, &error));
    mlfa_task_free(task);
}

static const struct use {
    const char *name;
    use_fn *use;
} USES[] = {
    {"nothing written", write_nothing},
    {"little written", write_little},
    {"much written", write_much},
    {"a task that writes and is freed", write_in_a_task},
};

/* Answers how long it took to free the writer, and with it the store and the context. */
static double free_last(const char *uri, use_fn *use, const uint8_t *bytes) {
    mlfa_context *context = new_context();
    mlfa_store *store = open_store(context, uri);
    mlfa_writer *writer = open_writer(store);
    use(writer, bytes);
    mlfa_store_release(store);
    mlfa_context_release(context);
    double started = now_ms();
    mlfa_writer_free(writer);
    return now_ms() - started;
}

static void check_that_nothing_is_there(const char *uri) {
    mlfa_context *context = new_context();
    mlfa_store *store = open_store(context, uri);
    CHECK(!is_stored(store, "run/given up"));
    CHECK(count_temporaries("store") == 0);
    mlfa_store_release(store);
    mlfa_context_release(context);
}

int main(int argc, char **argv) {
    enter(argc, argv);
    uint8_t *bytes = some_bytes(LARGE, 1);
    const char *uris[] = {"memory:", file_uri("store")};
    double longest = 0;
    int late[2 * sizeof USES / sizeof USES[0]] = {0};
    size_t ways = sizeof late / sizeof late[0];
    for (int round = 0; round < rounds(10); round++) {
        for (size_t at = 0; at < ways; at++) {
            about = USES[at / 2].name;
            double took = free_last(uris[at % 2], USES[at / 2].use, bytes);
            late[at] += took >= LONGEST_MS;
            longest = took > longest ? took : longest;
            check_that_nothing_is_there(uris[1]);
        }
    }
    /* One may wait for a slow disk; a put that was waited for would be late each time. */
    for (size_t at = 0; at < ways; at++) {
        CHECK(late[at] < rounds(10));
    }
    printf("freed in %.1f ms at most\n", longest);
    free(bytes);
    return passed();
}
