/*
 * What the test programs share: checks, small files, and stores to try. To be included first.
 *
 * A program is started in an empty directory of its own (its argument), where it stays: all paths are relative to it.
 * The first check that fails ends the program with 1.
 */
#ifndef CHECK_H
#define CHECK_H

#define _XOPEN_SOURCE 700

#include <dirent.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <mlflow_artifacts.h>

static atomic_size_t checks;

/* ---- Checks ---- */

/* What outputs hold before a call: no function may leave it there. Never to be followed. */
#define UNTOUCHED ((void *)&checks)

/* The error of this thread's last call. CHECK_STATUS frees it before the next one: give the calls `&error`. A thread
 * ends with forget_error. */
static _Thread_local mlfa_error *error;

/* What is being checked, where the line of the failed check does not say enough. */
static _Thread_local const char *about;

#define CHECK(condition) check((condition) ? 1 : 0, __FILE__, __LINE__, #condition)
#define CHECK_TEXT(actual, expected) check_text((actual), (expected), __FILE__, __LINE__, #actual)
/* The call answers the status, and an error of that status, or none if it is MLFA_OK. */
#define CHECK_STATUS(call, expected) (forget_error(), check_status((call), (expected), __FILE__, __LINE__, #call))
#define CHECK_OK(call) CHECK_STATUS(call, MLFA_OK)

static inline void failed(const char *file, int line, const char *expression) {
    fflush(stdout);
    fprintf(stderr, "%s:%d: %s%s%s\n", file, line, expression, about == NULL ? "" : ", with ",
            about == NULL ? "" : about);
    fflush(stderr);
    _exit(EXIT_FAILURE);
}

/* Relaxed: counting must not order the threads, or ThreadSanitizer would not see their races. */
static inline void count_check(void) {
    atomic_fetch_add_explicit(&checks, 1, memory_order_relaxed);
}

static inline void check(int holds, const char *file, int line, const char *expression) {
    count_check();
    if (!holds) {
        failed(file, line, expression);
    }
}

static inline void check_text(const char *actual, const char *expected, const char *file, int line, const char *what) {
    count_check();
    if (actual == NULL || strcmp(actual, expected) != 0) {
        fprintf(stderr, "is \"%s\", not \"%s\"\n", actual == NULL ? "(NULL)" : actual, expected);
        failed(file, line, what);
    }
}

static inline void forget_error(void) {
    if (error != UNTOUCHED) {
        mlfa_error_free(error);
    }
    error = UNTOUCHED;
}

static inline void check_status(mlfa_status status, mlfa_status expected, const char *file, int line,
                                const char *call) {
    count_check();
    if (status == expected && status == MLFA_OK && error == NULL) {
        return;
    }
    int has_error = error != NULL && error != UNTOUCHED;
    const char *message = has_error ? mlfa_error_message(error) : NULL;
    if (status == expected && status != MLFA_OK && has_error && mlfa_error_status(error) == status && message != NULL &&
        message[0] != '\0') {
        return;
    }
    fprintf(stderr, "is %s, not %s: %s\n", mlfa_status_name(status), mlfa_status_name(expected),
            message == NULL ? "(no error)" : message);
    failed(file, line, call);
}

/* Goes to the directory that the program was given. */
static inline void enter(int argc, char **argv) {
    if (argc != 2 || chdir(argv[1]) != 0) {
        fprintf(stderr, "usage: %s EMPTY_DIRECTORY\n", argv[0]);
        exit(2);
    }
}

/* The last statement of a program. */
static inline int passed(void) {
    forget_error();
    printf("ok: %zu checks\n", atomic_load(&checks));
    return EXIT_SUCCESS;
}

/* Whether the library tells a handle that was freed: a debug build does. NDEBUG says that it is none, as for assert. */
#ifdef NDEBUG
#define FINDS_MISUSE 0
#else
#define FINDS_MISUSE 1
#endif

/* How often to do what is done often. */
static inline int rounds(int usual) {
    const char *wanted = getenv("MLFA_TEST_ROUNDS");
    int count = wanted == NULL ? 0 : atoi(wanted);
    return count > 0 && count < usual ? count : usual;
}

/* ---- Files ---- */

static inline uint8_t *allocate(size_t size) {
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    CHECK(bytes != NULL);
    return bytes;
}

/* Bytes that no other seed has, to be freed. */
static inline uint8_t *some_bytes(size_t size, uint32_t seed) {
    uint8_t *bytes = allocate(size);
    uint32_t state = seed * 2654435761U + 1;
    for (size_t at = 0; at < size; at++) {
        state = state * 1664525U + 1013904223U;
        bytes[at] = (uint8_t)(state >> 24);
    }
    return bytes;
}

static inline void write_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK(fwrite(bytes, 1, size, file) == size);
    CHECK(fclose(file) == 0);
}

static inline void write_text(const char *path, const char *text) {
    write_file(path, text, strlen(text));
}

static inline void write_some_bytes(const char *path, size_t size, uint32_t seed) {
    uint8_t *bytes = some_bytes(size, seed);
    write_file(path, bytes, size);
    free(bytes);
}

static inline void make_directory(const char *path) {
    CHECK(mkdir(path, 0777) == 0);
}

static inline int is_there(const char *path) {
    struct stat found;
    return lstat(path, &found) == 0;
}

static inline int is_directory(const char *path) {
    struct stat found;
    return lstat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

static inline int is_regular_file(const char *path) {
    struct stat found;
    return lstat(path, &found) == 0 && S_ISREG(found.st_mode);
}

/* Whether both files can be read and have the same bytes. */
static inline int same_files(const char *first_path, const char *second_path) {
    FILE *first = fopen(first_path, "rb");
    FILE *second = fopen(second_path, "rb");
    int same = first != NULL && second != NULL;
    while (same) {
        static _Thread_local uint8_t a[64 << 10], b[64 << 10];
        size_t count = fread(a, 1, sizeof a, first);
        same = count == fread(b, 1, sizeof b, second) && memcmp(a, b, count) == 0;
        if (count < sizeof a) {
            break;
        }
    }
    if (first != NULL) {
        fclose(first);
    }
    if (second != NULL) {
        fclose(second);
    }
    return same;
}

static size_t temporaries_found;

static inline int find_temporary(const char *path, const struct stat *found, int kind, struct FTW *place) {
    (void)found;
    (void)kind;
    temporaries_found += strncmp(path + place->base, ".mlflow-artifacts.", 18) == 0;
    return 0;
}

/* How many of the library's temporary files stand below a directory. One thread at a time. */
static inline size_t count_temporaries(const char *directory) {
    temporaries_found = 0;
    nftw(directory, find_temporary, 16, FTW_PHYS);
    return temporaries_found;
}

/* There are none of them, soon: what is given up may have to wait for a slow disk. */
static inline void check_no_temporaries(const char *directory) {
    for (int tries = 0; tries < 600 && count_temporaries(directory) > 0; tries++) {
        nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
    CHECK(count_temporaries(directory) == 0);
}

/* ---- Stores ---- */

static inline mlfa_context *new_context(void) {
    mlfa_context *context = UNTOUCHED;
    CHECK_OK(mlfa_context_new(NULL, &context, &error));
    CHECK(context != NULL);
    return context;
}

static inline mlfa_store *open_store(mlfa_context *context, const char *uri) {
    mlfa_store *store = UNTOUCHED;
    CHECK_OK(mlfa_store_open(context, uri, SIZE_MAX, NULL, &store, &error));
    CHECK(store != NULL);
    return store;
}

/* The URI of a directory below the working directory. */
static inline const char *file_uri(const char *directory) {
    static char uri[4096];
    char here[2048];
    CHECK(getcwd(here, sizeof here) != NULL);
    snprintf(uri, sizeof uri, "file://%s/%s", here, directory);
    return uri;
}

static inline void put_text(mlfa_store *store, const char *path, const char *text) {
    CHECK_OK(mlfa_put_bytes(store, path, SIZE_MAX, (const uint8_t *)text, strlen(text), NULL, &error));
}

/* The whole content of an artifact is this. */
static inline void check_content(mlfa_store *store, const char *path, const void *expected, size_t size) {
    mlfa_bytes *bytes = UNTOUCHED;
    const char *outer = about;
    about = outer == NULL ? path : outer;
    CHECK_OK(mlfa_get_bytes(store, path, SIZE_MAX, 0, MLFA_TO_THE_END, &bytes, &error));
    CHECK(mlfa_bytes_size(bytes) == size);
    CHECK(size == 0 || memcmp(mlfa_bytes_data(bytes), expected, size) == 0);
    mlfa_bytes_release(bytes);
    about = outer;
}

static inline void check_content_text(mlfa_store *store, const char *path, const char *expected) {
    check_content(store, path, expected, strlen(expected));
}

static inline int is_stored(mlfa_store *store, const char *path) {
    mlfa_meta *meta = NULL;
    mlfa_status status = mlfa_stat(store, path, SIZE_MAX, &meta, NULL);
    CHECK(status == MLFA_OK || status == MLFA_E_NOT_FOUND);
    mlfa_meta_free(meta);
    return status == MLFA_OK;
}

/* What a directory holds, as "a.txt directory/ directory/b.txt", to be freed. */
static inline char *listing(mlfa_store *store, const char *path, uint32_t flags) {
    mlfa_list *list = UNTOUCHED;
    CHECK_OK(mlfa_list_open(store, path, SIZE_MAX, flags, &list, &error));
    char *names = calloc(1, 1);
    CHECK(names != NULL);
    for (;;) {
        const mlfa_meta *entry = UNTOUCHED;
        CHECK_OK(mlfa_list_next(list, &entry, &error));
        if (entry == NULL) {
            break;
        }
        size_t length = strlen(names);
        size_t size = length + strlen(mlfa_meta_path(entry)) + 3;
        names = realloc(names, size);
        CHECK(names != NULL);
        snprintf(names + length, size - length, "%s%s%s", length > 0 ? " " : "", mlfa_meta_path(entry),
                 mlfa_meta_is_directory(entry) ? "/" : "");
    }
    mlfa_list_free(list);
    return names;
}

static inline void check_listing(mlfa_store *store, const char *path, uint32_t flags, const char *expected) {
    const char *outer = about;
    about = outer == NULL ? path : outer;
    char *names = listing(store, path, flags);
    CHECK_TEXT(names, expected);
    free(names);
    about = outer;
}

#endif
