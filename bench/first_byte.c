/*
 * How long a program that loads the library at run time needs until it has stored its first byte. Prints the microseconds of
 * each step: dlopen, a context, a store, a put.
 *
 *     first_byte LIBRARY STORE_URI
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <mlflow_artifacts.h>

/* A function of the library, with the type that the header gives it. */
#define FUNCTION(name) ((__typeof__(name) *)find(#name))

static void *library;

static void *find(const char *name) {
    void *function = dlsym(library, name);
    if (function == NULL) {
        fprintf(stderr, "first_byte: %s\n", dlerror());
        exit(EXIT_FAILURE);
    }
    return function;
}

static void require(mlfa_status status) {
    if (status != MLFA_OK) {
        fprintf(stderr, "first_byte: %s\n", FUNCTION(mlfa_status_name)(status));
        exit(EXIT_FAILURE);
    }
}

/* Prints the microseconds since the last step. */
static void step(struct timespec *last) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    printf("%.1f\n", (double)(time.tv_sec - last->tv_sec) * 1e6 + (double)(time.tv_nsec - last->tv_nsec) / 1e3);
    clock_gettime(CLOCK_MONOTONIC, last);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: first_byte LIBRARY STORE_URI\n");
        return 2;
    }
    struct timespec last;
    clock_gettime(CLOCK_MONOTONIC, &last);
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "first_byte: %s\n", dlerror());
        return EXIT_FAILURE;
    }
    step(&last);
    mlfa_context *context = NULL;
    require(FUNCTION(mlfa_context_new)(NULL, &context, NULL));
    step(&last);
    mlfa_store *store = NULL;
    require(FUNCTION(mlfa_store_open)(context, argv[2], SIZE_MAX, NULL, &store, NULL));
    step(&last);
    require(FUNCTION(mlfa_put_bytes)(store, "first", SIZE_MAX, (const uint8_t *)"1", 1, NULL, NULL));
    step(&last);
    FUNCTION(mlfa_store_release)(store);
    FUNCTION(mlfa_context_release)(context);
    return EXIT_SUCCESS;
}
