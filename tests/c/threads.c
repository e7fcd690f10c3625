/* Many threads, one store: each finds what it wrote, what all write is one of the writes, and errors change threads. */
#include "check.h"

#include <pthread.h>

#define THREADS 8
#define ROUNDS 40
#define SIZE 4096

struct worker {
    int number;
    mlfa_context *context;
    mlfa_store *store;
    mlfa_bytes *bytes;
};

/* The last error that any thread left here: each is freed by the thread that takes it out. */
static _Atomic(mlfa_error *) left_error;

static void leave_an_error(mlfa_store *store) {
    mlfa_bytes *bytes = NULL;
    mlfa_error *mine = NULL;
    CHECK(mlfa_get_bytes(store, "never/there", SIZE_MAX, 0, 1, &bytes, &mine) == MLFA_E_NOT_FOUND);
    mlfa_error *other = atomic_exchange(&left_error, mine);
    if (other != NULL) {
        CHECK(mlfa_error_status(other) == MLFA_E_NOT_FOUND);
        CHECK_TEXT(mlfa_error_path(other), "never/there");
        mlfa_error_free(other);
    }
}

static void use_own_paths(const struct worker *worker, int round) {
    char directory[32], path[64], text[64];
    snprintf(directory, sizeof directory, "own/%d", worker->number);
    snprintf(path, sizeof path, "%s/%d", directory, round);
    snprintf(text, sizeof text, "round %d of %d", round, worker->number);
    put_text(worker->store, path, text);
    check_content_text(worker->store, path, text);
    CHECK(is_stored(worker->store, path));
    check_listing(worker->store, directory, 0, path);
    CHECK_STATUS(mlfa_copy(worker->store, path, SIZE_MAX, directory, SIZE_MAX, &error), MLFA_E_IS_A_DIRECTORY);
    int32_t removed = 0;
    CHECK_OK(mlfa_delete(worker->store, path, SIZE_MAX, 0, &removed, &error));
    CHECK(removed == 1);
}

/* Every thread replaces and removes the same file. Whoever reads it reads one whole version, or that there is none. */
static void use_shared_path(const struct worker *worker, int round) {
    uint8_t content[SIZE];
    memset(content, worker->number, SIZE);
    CHECK_OK(mlfa_put_bytes(worker->store, "shared/file", SIZE_MAX, content, SIZE, NULL, &error));
    mlfa_bytes *bytes = NULL;
    mlfa_status status = mlfa_get_bytes(worker->store, "shared/file", SIZE_MAX, 0, MLFA_TO_THE_END, &bytes, NULL);
    CHECK(status == MLFA_OK || status == MLFA_E_NOT_FOUND);
    if (status == MLFA_OK) {
        const uint8_t *data = mlfa_bytes_data(bytes);
        CHECK(mlfa_bytes_size(bytes) == SIZE && data[0] < THREADS && memcmp(data, data + 1, SIZE - 1) == 0);
    }
    mlfa_bytes_release(bytes);
    char *names = listing(worker->store, "shared", MLFA_LIST_RECURSIVE);
    CHECK(strcmp(names, "shared/file") == 0 || strcmp(names, "") == 0);
    free(names);
    if (round % 4 == worker->number % 4) {
        CHECK_OK(mlfa_delete(worker->store, "shared/file", SIZE_MAX, 0, NULL, &error));
    }
}

/* References come and go, and are not released by the thread that made them only. */
static void use_references(const struct worker *worker) {
    CHECK(mlfa_context_retain(worker->context) == worker->context);
    CHECK(mlfa_store_retain(worker->store) == worker->store);
    mlfa_store *own = open_store(worker->context, "memory:");
    mlfa_context_release(worker->context);
    put_text(own, "a", "b");
    mlfa_store_release(own);
    mlfa_store_release(worker->store);
    CHECK(mlfa_bytes_retain(worker->bytes) == worker->bytes);
    CHECK(mlfa_bytes_size(worker->bytes) == 5 && memcmp(mlfa_bytes_data(worker->bytes), "bytes", 5) == 0);
    mlfa_bytes_release(worker->bytes);
}

static void *work(void *argument) {
    const struct worker *worker = argument;
    int count = rounds(ROUNDS);
    for (int round = 0; round < count; round++) {
        use_own_paths(worker, round);
        use_shared_path(worker, round);
        use_references(worker);
        leave_an_error(worker->store);
    }
    forget_error();
    mlfa_bytes_release(worker->bytes);
    mlfa_store_release(worker->store);
    mlfa_context_release(worker->context);
    return NULL;
}

static void share(const char *uri) {
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    mlfa_context *context = new_context();
    mlfa_store *store = open_store(context, uri);
    mlfa_bytes *bytes = UNTOUCHED;
    put_text(store, "bytes", "bytes");
    CHECK_OK(mlfa_get_bytes(store, "bytes", SIZE_MAX, 0, MLFA_TO_THE_END, &bytes, &error));
    for (int number = 0; number < THREADS; number++) {
        workers[number] = (struct worker){number, mlfa_context_retain(context), mlfa_store_retain(store),
                                          mlfa_bytes_retain(bytes)};
        CHECK(pthread_create(&threads[number], NULL, work, &workers[number]) == 0);
    }
    /* The threads hold their own references: the last of them stops the context. */
    mlfa_bytes_release(bytes);
    mlfa_store_release(store);
    mlfa_context_release(context);
    for (int number = 0; number < THREADS; number++) {
        CHECK(pthread_join(threads[number], NULL) == 0);
    }
    mlfa_error_free(atomic_exchange(&left_error, NULL));
}

int main(int argc, char **argv) {
    enter(argc, argv);
    share("memory:");
    share(file_uri("store"));
    CHECK(count_temporaries("store") == 0);
    return passed();
}
