/*
 * What a call across the C interface costs: mlfa_stat on a store in memory, where the work itself is next to nothing.
 * Prints nanoseconds per call, the least of several rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <mlflow_artifacts.h>

enum { ROUNDS = 10, CALLS = 200000 };

static void require(mlfa_status status) {
    if (status != MLFA_OK) {
        fprintf(stderr, "ffi_overhead: %s\n", mlfa_status_name(status));
        exit(EXIT_FAILURE);
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(void) {
    mlfa_context *context = NULL;
    mlfa_store *store = NULL;
    require(mlfa_context_new(NULL, &context, NULL));
    require(mlfa_store_open(context, "memory:", SIZE_MAX, NULL, &store, NULL));
    require(mlfa_put_bytes(store, "model/MLmodel", SIZE_MAX, (const uint8_t *)"x", 1, NULL, NULL));

    double least = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (int call = 0; call < CALLS; call++) {
            mlfa_meta *meta = NULL;
            require(mlfa_stat(store, "model/MLmodel", SIZE_MAX, &meta, NULL));
            mlfa_meta_free(meta);
        }
        double each = (now() - start) / CALLS;
        least = each < least ? each : least;
    }
    printf("%.0f\n", least);
    mlfa_store_release(store);
    mlfa_context_release(context);
    return EXIT_SUCCESS;
}
