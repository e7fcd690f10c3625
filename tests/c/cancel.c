/* Uploads of a large file, cancelled at any point: they end soon and leave nothing behind. */
#include "check.h"

#include <fcntl.h>
#include <time.h>

#define SIZE ((uint64_t)1 << 30)
/* Of almost every cancellation: far more than it takes, for other programs may have the processor. What it took is printed. */
#define LONGEST_MS 1000.0

static double now_ms(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void pause_us(long microseconds) {
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&time, NULL);
}

/* A file of zeros that takes no room. */
static void make_large_file(const char *path) {
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    CHECK(file >= 0 && ftruncate(file, (off_t)SIZE) == 0 && close(file) == 0);
}

static mlfa_task *start(mlfa_store *store) {
    mlfa_task *task = UNTOUCHED;
    CHECK_OK(mlfa_upload_file_start(store, "large", SIZE_MAX, "run/large", SIZE_MAX, NULL, &task, &error));
    return task;
}

static void remove_target(mlfa_store *store) {
    int32_t removed = 0;
    CHECK_OK(mlfa_delete(store, "run/large", SIZE_MAX, 0, &removed, &error));
    CHECK(removed == 1 && !is_there("store/run/large"));
}

/* How long an upload takes that nobody cancels. */
static double measure_upload(mlfa_store *store) {
    double started = now_ms();
    mlfa_task *task = start(store);
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    double took = now_ms() - started;
    CHECK_OK(mlfa_task_result(task, &error));
    mlfa_task_free(task);
    struct stat found;
    CHECK(stat("store/run/large", &found) == 0 && (uint64_t)found.st_size == SIZE);
    remove_target(store);
    return took;
}

/* Answers how long it took from the wish to the end. */
static double cancel_after(mlfa_store *store, long microseconds, int *cancelled) {
    mlfa_task *task = start(store);
    pause_us(microseconds);
    double wished = now_ms();
    mlfa_task_cancel(task);
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    double took = now_ms() - wished;
    mlfa_status status = mlfa_task_result(task, NULL);
    CHECK_STATUS(mlfa_task_result(task, &error), status);
    CHECK(status == MLFA_OK || status == MLFA_E_CANCELLED);
    mlfa_task_free(task);
    check_no_temporaries("store");
    if (status == MLFA_OK) {
        remove_target(store);
    } else {
        ++*cancelled;
    }
    CHECK(!is_there("store/run/large"));
    return took;
}

int main(int argc, char **argv) {
    enter(argc, argv);
    make_large_file("large");
    mlfa_context *context = new_context();
    mlfa_store *store = open_store(context, file_uri("store"));
    double upload = measure_upload(store), longest = 0, begun_before = 0;
    /* So often only when the program runs plain. */
    int is_plain = rounds(100) == 100, count = 2 * rounds(100), cancelled = 0, late = 0;
    uint32_t state = (uint32_t)getpid();
    for (int round = 0; round < count; round++) {
        /* Most of them early, to be done soon; some later. */
        double range = round % 10 != 0 ? 100 : 1000;
        range = range < upload ? range : upload;
        state = state * 1664525U + 1013904223U;
        double wait = range * (state >> 8) / (1 << 24), took = cancel_after(store, (long)(wait * 1000), &cancelled);
        late += took >= LONGEST_MS;
        if (took > longest) {
            longest = took;
            begun_before = wait;
        }
    }
    printf("%d of %d uploads of %.0f ms cancelled, in %.1f ms at most (after %.1f ms), %d late\n", cancelled, count,
           upload, longest, begun_before, late);
    /* Under valgrind each may be too late. */
    CHECK(!is_plain || cancelled > 0);
    CHECK(!is_plain || late <= count / 10);

    /* Freed while it runs: it cleans up by itself, until the context is released at the latest. */
    for (int round = 0; round < 5; round++) {
        mlfa_task *task = start(store);
        pause_us(round * 10000);
        mlfa_task_free(task);
    }
    mlfa_store_release(store);
    mlfa_context_release(context);
    CHECK(count_temporaries("store") == 0);
    return passed();
}
