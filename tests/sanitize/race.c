/* A defect to be reported: one thread frees what Rust code reads for another. */
#include "check.h"

#include <pthread.h>

static void *read_size(void *meta) {
    CHECK(mlfa_meta_size(meta) == 4);
    return NULL;
}

int main(void) {
    mlfa_context *context = new_context();
    mlfa_store *store = open_store(context, "memory:");
    mlfa_meta *meta = UNTOUCHED;
    pthread_t reader;
    put_text(store, "file", "text");
    CHECK_OK(mlfa_stat(store, "file", SIZE_MAX, &meta, &error));
    CHECK(pthread_create(&reader, NULL, read_size, meta) == 0);
    mlfa_meta_free(meta);
    CHECK(pthread_join(reader, NULL) == 0);
    mlfa_store_release(store);
    mlfa_context_release(context);
    return passed();
}
