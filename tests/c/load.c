/* The library (MLFA_LIBRARY) is loaded and unloaded again and again by threads that use it and end later, and twice at a time. */
#include "check.h"

#include <dlfcn.h>
#include <pthread.h>

#define LOADS 1000
#define THREADS 8

/* A library that was loaded at run time, with the functions that are used here, of the types of the header's. */
typedef struct library {
    void *handle;
    __typeof__(mlfa_abi_version) *abi_version;
    __typeof__(mlfa_context_new) *context_new;
    __typeof__(mlfa_context_release) *context_release;
    __typeof__(mlfa_store_open) *store_open;
    __typeof__(mlfa_store_release) *store_release;
    __typeof__(mlfa_put_bytes) *put_bytes;
    __typeof__(mlfa_get_bytes) *get_bytes;
    __typeof__(mlfa_bytes_data) *bytes_data;
    __typeof__(mlfa_bytes_size) *bytes_size;
    __typeof__(mlfa_bytes_release) *bytes_release;
    __typeof__(mlfa_error_status) *error_status;
    __typeof__(mlfa_error_path) *error_path;
    __typeof__(mlfa_error_free) *error_free;
} library;

static void find(const library *loaded, const char *name, void *function) {
    void *symbol = dlsym(loaded->handle, name);
    about = name;
    CHECK(symbol != NULL);
    about = NULL;
    memcpy(function, &symbol, sizeof symbol);
}

static library load(const char *path, int mode) {
    library loaded;
    loaded.handle = dlopen(path, RTLD_NOW | mode);
    about = loaded.handle == NULL ? dlerror() : NULL;
    CHECK(loaded.handle != NULL);
    find(&loaded, "mlfa_abi_version", &loaded.abi_version);
    find(&loaded, "mlfa_context_new", &loaded.context_new);
    find(&loaded, "mlfa_context_release", &loaded.context_release);
    find(&loaded, "mlfa_store_open", &loaded.store_open);
    find(&loaded, "mlfa_store_release", &loaded.store_release);
    find(&loaded, "mlfa_put_bytes", &loaded.put_bytes);
    find(&loaded, "mlfa_get_bytes", &loaded.get_bytes);
    find(&loaded, "mlfa_bytes_data", &loaded.bytes_data);
    find(&loaded, "mlfa_bytes_size", &loaded.bytes_size);
    find(&loaded, "mlfa_bytes_release", &loaded.bytes_release);
    find(&loaded, "mlfa_error_status", &loaded.error_status);
    find(&loaded, "mlfa_error_path", &loaded.error_path);
    find(&loaded, "mlfa_error_free", &loaded.error_free);
    CHECK(loaded.abi_version() == MLFA_ABI_VERSION);
    return loaded;
}

static void unload(const library *loaded) {
    CHECK(dlclose(loaded->handle) == 0);
}

/* What a program has of a library while it uses it. */
typedef struct use {
    mlfa_context *context;
    mlfa_store *store;
    mlfa_error *error;
} use;

/* A context, a store with one artifact, and the error of a call that was refused for `bad_path`. */
static use begin(const library *loaded, const char *uri, const char *content, const char *bad_path) {
    use begun = {NULL, NULL, NULL};
    CHECK(loaded->context_new(NULL, &begun.context, NULL) == MLFA_OK);
    CHECK(loaded->store_open(begun.context, uri, SIZE_MAX, NULL, &begun.store, NULL) == MLFA_OK);
    CHECK(loaded->put_bytes(begun.store, "file", SIZE_MAX, (const uint8_t *)content, strlen(content), NULL, NULL) ==
          MLFA_OK);
    CHECK(loaded->put_bytes(begun.store, bad_path, SIZE_MAX, NULL, 0, NULL, &begun.error) == MLFA_E_INVALID_PATH);
    return begun;
}

/* The store and the error are as `begin` made them. */
static void end(const library *loaded, use begun, const char *content, const char *bad_path) {
    mlfa_bytes *bytes = NULL;
    CHECK(loaded->get_bytes(begun.store, "file", SIZE_MAX, 0, MLFA_TO_THE_END, &bytes, NULL) == MLFA_OK);
    CHECK(loaded->bytes_size(bytes) == strlen(content));
    CHECK(memcmp(loaded->bytes_data(bytes), content, strlen(content)) == 0);
    loaded->bytes_release(bytes);
    CHECK(loaded->error_status(begun.error) == MLFA_E_INVALID_PATH);
    CHECK_TEXT(loaded->error_path(begun.error), bad_path);
    loaded->error_free(begun.error);
    loaded->store_release(begun.store);
    loaded->context_release(begun.context);
}

/* ---- Loaded by threads ---- */

static const char *library_path;
static pthread_barrier_t all_unloaded;

static void *use_library(void *nothing) {
    library loaded = load(library_path, RTLD_LOCAL);
    use in_memory = begin(&loaded, "memory:", "in memory", "memory/..");
    /* A store that makes the context start threads. */
    use on_disk = begin(&loaded, "file:store", "on the disk", "disk/..");
    end(&loaded, in_memory, "in memory", "memory/..");
    end(&loaded, on_disk, "on the disk", "disk/..");
    unload(&loaded);
    /* What the library keeps for each thread is dropped when the thread ends: after the last dlclose. */
    pthread_barrier_wait(&all_unloaded);
    return nothing;
}

static void load_in_threads(int loads) {
    CHECK(pthread_barrier_init(&all_unloaded, NULL, THREADS) == 0);
    for (int done = 0; done < loads; done += THREADS) {
        pthread_t threads[THREADS];
        for (int at = 0; at < THREADS; at++) {
            CHECK(pthread_create(&threads[at], NULL, use_library, NULL) == 0);
        }
        for (int at = 0; at < THREADS; at++) {
            CHECK(pthread_join(threads[at], NULL) == 0);
        }
    }
    CHECK(pthread_barrier_destroy(&all_unloaded) == 0);
    /* Its threads may outlive a dlclose, so it stays. */
    void *still_there = dlopen(library_path, RTLD_NOW | RTLD_NOLOAD);
    CHECK(still_there != NULL);
    CHECK(dlclose(still_there) == 0);
}

/* ---- Two copies ---- */

/* The loader takes files for one library if they are one file. */
static void copy_library(const char *copy) {
    FILE *from = fopen(library_path, "rb");
    FILE *to = fopen(copy, "wb");
    CHECK(from != NULL && to != NULL);
    static uint8_t buffer[64 << 10];
    for (size_t count; (count = fread(buffer, 1, sizeof buffer, from)) > 0;) {
        CHECK(fwrite(buffer, 1, count, to) == count);
    }
    CHECK(fclose(from) == 0);
    CHECK(fclose(to) == 0);
}

/* Two copies in one process do not touch each other's objects, whether or not their symbols are visible to all. */
static void load_two_copies(int mode, const char *first_path, const char *second_path) {
    copy_library(first_path);
    copy_library(second_path);
    library first = load(first_path, mode);
    library second = load(second_path, mode);
    CHECK(first.context_new != second.context_new);
    use of_first = begin(&first, "memory:", "of the first", "first/..");
    use of_second = begin(&second, "memory:", "of the second", "second/..");
    end(&first, of_first, "of the first", "first/..");
    end(&second, of_second, "of the second", "second/..");
    unload(&first);
    unload(&second);
}

int main(int argc, char **argv) {
    enter(argc, argv);
    library_path = getenv("MLFA_LIBRARY");
    about = "MLFA_LIBRARY, the path of the library";
    CHECK(library_path != NULL);
    about = NULL;
    /* This program must not link it: it would be loaded for good. */
    CHECK(dlopen(library_path, RTLD_NOW | RTLD_NOLOAD) == NULL);
    load_in_threads(rounds(LOADS));
    load_two_copies(RTLD_LOCAL, "./local-1.so", "./local-2.so");
    load_two_copies(RTLD_GLOBAL, "./global-1.so", "./global-2.so");
    /* Not passed(), which calls the library. */
    printf("ok: %zu checks\n", atomic_load(&checks));
    return EXIT_SUCCESS;
}
