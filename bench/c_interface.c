/*
 * What the C interface costs, on a store in memory, where the work itself is next to nothing. bench/c_interface.rs does the same
 * in Rust.
 *
 *     c_interface calls         prints each call's name and its nanoseconds, the least of several rounds
 *     c_interface FORM REPEATS  moves 64 MiB so many times in one form of reading or writing
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mlflow_artifacts.h>

enum { ROUNDS = 10, CALLS = 20000, IN_FLIGHT = 1000, SMALL = 64, CONTENT = 64 << 20, PIECE = 1 << 20 };

static const char PATH[] = "model/MLmodel";
static mlfa_context *context;
static mlfa_store *store;
static mlfa_queue *queue;
static uint8_t *content, *target;

static void require(mlfa_status status) {
    if (status != MLFA_OK) {
        fprintf(stderr, "c_interface: %s\n", mlfa_status_name(status));
        exit(EXIT_FAILURE);
    }
}

static void require_size(size_t size, size_t expected) {
    if (size != expected) {
        fprintf(stderr, "c_interface: %zu bytes, not %zu\n", size, expected);
        exit(EXIT_FAILURE);
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* ---- Calls ---- */

static void stat_blocking(void) {
    mlfa_meta *meta = NULL;
    require(mlfa_stat(store, PATH, SIZE_MAX, &meta, NULL));
    mlfa_meta_free(meta);
}

static void get_blocking(void) {
    mlfa_bytes *bytes = NULL;
    require(mlfa_get_bytes(store, PATH, SIZE_MAX, 0, MLFA_TO_THE_END, &bytes, NULL));
    mlfa_bytes_release(bytes);
}

static mlfa_task *start_stat(void) {
    mlfa_task *task = NULL;
    require(mlfa_stat_start(store, PATH, SIZE_MAX, &task, NULL));
    return task;
}

static void take_meta(mlfa_task *task) {
    mlfa_meta *meta = NULL;
    require(mlfa_task_take_meta(task, &meta, NULL));
    mlfa_meta_free(meta);
    mlfa_task_free(task);
}

static void stat_waited(void) {
    mlfa_task *task = start_stat();
    require(mlfa_task_wait(task, MLFA_FOREVER, NULL));
    take_meta(task);
}

static void submit_stat(void) {
    require(mlfa_task_submit_to(start_stat(), queue, 0, NULL));
}

static void take_next(void) {
    mlfa_task *task = NULL;
    require(mlfa_queue_next(queue, MLFA_FOREVER, NULL, &task, NULL));
    take_meta(task);
}

static void stat_queued(void) {
    submit_stat();
    take_next();
}

static void many_stats_queued(void) {
    for (int task = 0; task < IN_FLIGHT; task++) {
        submit_stat();
    }
    for (int task = 0; task < IN_FLIGHT; task++) {
        take_next();
    }
}

/* Prints how long one of the `each` operations of a call takes. */
static void measure(const char *name, void (*call)(void), int each) {
    double least = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (int done = 0; done < CALLS; done += each) {
            call();
        }
        double one = (now() - start) / CALLS;
        least = one < least ? one : least;
    }
    printf("%s %.0f\n", name, least);
}

static void measure_calls(void) {
    require(mlfa_put_bytes(store, PATH, SIZE_MAX, content, SMALL, NULL, NULL));
    require(mlfa_queue_new(&queue, NULL));
    measure("stat", stat_blocking, 1);
    measure("get", get_blocking, 1);
    measure("waited", stat_waited, 1);
    measure("queued", stat_queued, 1);
    measure("many", many_stats_queued, IN_FLIGHT);
    mlfa_queue_free(queue);
}

/* ---- Forms of reading and writing ---- */

static void put_owned(void) {
    require(mlfa_put_owned(store, PATH, SIZE_MAX, content, CONTENT, NULL, NULL, NULL, NULL));
}

static void put_bytes(void) {
    require(mlfa_put_bytes(store, PATH, SIZE_MAX, content, CONTENT, NULL, NULL));
}

static mlfa_writer *open_writer(void) {
    mlfa_writer *writer = NULL;
    require(mlfa_writer_open(store, PATH, SIZE_MAX, CONTENT, NULL, &writer, NULL));
    return writer;
}

static void finish(mlfa_writer *writer) {
    require(mlfa_writer_finish(writer, NULL, NULL));
    mlfa_writer_free(writer);
}

static void writer_write(void) {
    mlfa_writer *writer = open_writer();
    for (size_t at = 0; at < CONTENT; at += PIECE) {
        require(mlfa_writer_write(writer, content + at, PIECE, NULL));
    }
    finish(writer);
}

static void writer_write_owned(void) {
    mlfa_writer *writer = open_writer();
    for (size_t at = 0; at < CONTENT; at += PIECE) {
        require(mlfa_writer_write_owned(writer, content + at, PIECE, NULL, NULL, NULL));
    }
    finish(writer);
}

static void get_into(void) {
    size_t read = 0;
    require(mlfa_get_into(store, PATH, SIZE_MAX, 0, target, CONTENT, &read, NULL));
    require_size(read, CONTENT);
}

static void get_bytes(void) {
    mlfa_bytes *bytes = NULL;
    require(mlfa_get_bytes(store, PATH, SIZE_MAX, 0, MLFA_TO_THE_END, &bytes, NULL));
    require_size(mlfa_bytes_size(bytes), CONTENT);
    mlfa_bytes_release(bytes);
}

static mlfa_reader *open_reader(void) {
    mlfa_reader *reader = NULL;
    require(mlfa_reader_open(store, PATH, SIZE_MAX, 0, MLFA_TO_THE_END, &reader, NULL));
    return reader;
}

static void reader_read(void) {
    mlfa_reader *reader = open_reader();
    size_t total = 0, read = 0;
    do {
        require(mlfa_reader_read(reader, target, PIECE, &read, NULL));
        total += read;
    } while (read > 0);
    mlfa_reader_free(reader);
    require_size(total, CONTENT);
}

static void reader_read_chunk(void) {
    mlfa_reader *reader = open_reader();
    size_t total = 0;
    mlfa_bytes *bytes = NULL;
    do {
        require(mlfa_reader_read_chunk(reader, &bytes, NULL));
        total += mlfa_bytes_size(bytes);
        mlfa_bytes_release(bytes);
    } while (bytes != NULL);
    mlfa_reader_free(reader);
    require_size(total, CONTENT);
}

struct form {
    const char *name;
    void (*run)(void);
    /* What must have been done before. */
    void (*prepare)(void);
};

static const struct form FORMS[] = {
    {"get_into", get_into, put_owned},
    {"get_bytes", get_bytes, put_owned},
    {"reader_read", reader_read, put_owned},
    {"reader_read_chunk", reader_read_chunk, put_owned},
    {"put_bytes", put_bytes, NULL},
    {"put_owned", put_owned, NULL},
    {"writer_write", writer_write, NULL},
    {"writer_write_owned", writer_write_owned, NULL},
};

static void move_content(const char *name, int repeats) {
    for (size_t at = 0; at < sizeof FORMS / sizeof FORMS[0]; at++) {
        const struct form *form = &FORMS[at];
        if (strcmp(form->name, name) != 0) {
            continue;
        }
        if (form->prepare != NULL) {
            form->prepare();
        }
        for (int done = 0; done < repeats; done++) {
            form->run();
        }
        return;
    }
    fprintf(stderr, "c_interface: there is no form %s\n", name);
    exit(2);
}

/* Memory that is the process's already: what a form takes beyond it is counted. */
static uint8_t *touched(void) {
    uint8_t *bytes = malloc(CONTENT);
    if (bytes == NULL) {
        exit(EXIT_FAILURE);
    }
    memset(bytes, 'x', CONTENT);
    return bytes;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: c_interface calls | FORM REPEATS\n");
        return 2;
    }
    content = touched();
    target = touched();
    require(mlfa_context_new(NULL, &context, NULL));
    require(mlfa_store_open(context, "memory:", SIZE_MAX, NULL, &store, NULL));
    if (argc == 2) {
        measure_calls();
    } else {
        move_content(argv[1], atoi(argv[2]));
    }
    mlfa_store_release(store);
    mlfa_context_release(context);
    free(content);
    free(target);
    return EXIT_SUCCESS;
}
