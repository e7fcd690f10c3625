/*
 * What a call costs from C, on a store in memory: what the bindings are compared with. bench/go_calls and bench/mlflow_peers.py do the
 * same from Go and from Python.
 *
 *     c_calls
 *
 * It prints a line for each kind of call: its name and the nanoseconds that one takes, the least of several rounds. Those "queued" are
 * tasks that a queue hands back, one at a time; those "in parallel" are tasks of which many are under way, and what is told is how long
 * all took, divided by the calls.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <mlflow_artifacts.h>

enum { ROUNDS = 10, CALLS = 5000, IN_FLIGHT = 256, SIZE = 4 << 10 };

static const char PATH[] = "run/artifact";
static uint8_t content[SIZE];
static mlfa_store *store;
static mlfa_queue *queue;

static void require(mlfa_status status) {
    if (status != MLFA_OK) {
        fprintf(stderr, "c_calls: %s\n", mlfa_status_name(status));
        exit(EXIT_FAILURE);
    }
}

static void put(void) {
    require(mlfa_put_bytes(store, PATH, SIZE_MAX, content, SIZE, NULL, NULL));
}

static void stat(void) {
    mlfa_meta *meta = NULL;
    require(mlfa_stat(store, PATH, SIZE_MAX, &meta, NULL));
    mlfa_meta_free(meta);
}

static void get(void) {
    mlfa_bytes *bytes = NULL;
    require(mlfa_get_bytes(store, PATH, SIZE_MAX, 0, MLFA_TO_THE_END, &bytes, NULL));
    mlfa_bytes_release(bytes);
}

static mlfa_task *start_put(void) {
    mlfa_task *task = NULL;
    require(mlfa_put_bytes_start(store, PATH, SIZE_MAX, content, SIZE, NULL, &task, NULL));
    return task;
}

static mlfa_task *start_stat(void) {
    mlfa_task *task = NULL;
    require(mlfa_stat_start(store, PATH, SIZE_MAX, &task, NULL));
    return task;
}

static mlfa_task *start_get(void) {
    mlfa_task *task = NULL;
    require(mlfa_get_bytes_start(store, PATH, SIZE_MAX, 0, MLFA_TO_THE_END, &task, NULL));
    return task;
}

static void take_meta(mlfa_task *task) {
    mlfa_meta *meta = NULL;
    require(mlfa_task_take_meta(task, &meta, NULL));
    mlfa_meta_free(meta);
}

static void take_bytes(mlfa_task *task) {
    mlfa_bytes *bytes = NULL;
    require(mlfa_task_take_bytes(task, &bytes, NULL));
    mlfa_bytes_release(bytes);
}

struct kind {
    const char *name;
    void (*call)(void);
    mlfa_task *(*start)(void);
    void (*take)(mlfa_task *);
};

/* The first puts what the others look for. */
static const struct kind KINDS[] = {
    {"put_4k", put, start_put, take_meta},
    {"stat", stat, start_stat, take_meta},
    {"get_4k", get, start_get, take_bytes},
};

static void submit(const struct kind *kind) {
    require(mlfa_task_submit_to(kind->start(), queue, 0, NULL));
}

static void take_next(const struct kind *kind) {
    mlfa_task *task = NULL;
    require(mlfa_queue_next(queue, MLFA_FOREVER, NULL, &task, NULL));
    kind->take(task);
    mlfa_task_free(task);
}

static void block(const struct kind *kind) {
    for (int done = 0; done < CALLS; done++) {
        kind->call();
    }
}

/* As many tasks as may be are under way: one that has ended is followed by the next. */
static void run_tasks(const struct kind *kind, int in_flight) {
    int submitted = 0;
    for (int taken = 0; taken < CALLS; taken++) {
        while (submitted < CALLS && submitted - taken < in_flight) {
            submit(kind);
            submitted++;
        }
        take_next(kind);
    }
}

static void queued(const struct kind *kind) {
    run_tasks(kind, 1);
}

static void in_parallel(const struct kind *kind) {
    run_tasks(kind, IN_FLIGHT);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void measure(const struct kind *kind, const char *way, void (*run)(const struct kind *)) {
    double least = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        run(kind);
        double one = (now() - start) / CALLS;
        least = one < least ? one : least;
    }
    printf("%s%s %.0f\n", kind->name, way, least);
}

int main(void) {
    mlfa_context *context = NULL;
    require(mlfa_context_new(NULL, &context, NULL));
    require(mlfa_store_open(context, "memory:", SIZE_MAX, NULL, &store, NULL));
    require(mlfa_queue_new(&queue, NULL));
    for (size_t at = 0; at < sizeof KINDS / sizeof KINDS[0]; at++) {
        measure(&KINDS[at], "", block);
        measure(&KINDS[at], "_queued", queued);
        measure(&KINDS[at], "_in_parallel", in_parallel);
    }
    mlfa_queue_free(queue);
    mlfa_store_release(store);
    mlfa_context_release(context);
    return EXIT_SUCCESS;
}
