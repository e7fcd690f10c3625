/* The library (MLFA_LIBRARY) is loaded and unloaded again and again, each time by a thread that then ends. */
#include "check.h"

#include <dlfcn.h>
#include <pthread.h>

#define ROUNDS 200

/* The function of this name, of the type of the one in the header. */
#define LOAD(library, name) \
    __typeof__(name) *name##_; \
    load((library), #name, &name##_)

static void load(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    about = name;
    CHECK(symbol != NULL);
    about = NULL;
    memcpy(function, &symbol, sizeof symbol);
}

static void *use_library(void *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    about = library == NULL ? dlerror() : NULL;
    CHECK(library != NULL);
    LOAD(library, mlfa_abi_version);
    LOAD(library, mlfa_version_string);
    LOAD(library, mlfa_context_new);
    LOAD(library, mlfa_context_release);
    LOAD(library, mlfa_store_open);
    LOAD(library, mlfa_store_release);
    LOAD(library, mlfa_put_bytes);
    LOAD(library, mlfa_error_free);

    CHECK(mlfa_abi_version_() == MLFA_ABI_VERSION);
    CHECK(mlfa_version_string_()[0] != '\0');
    mlfa_context *context = NULL;
    mlfa_store *store = NULL;
    mlfa_error *failure = NULL;
    CHECK(mlfa_context_new_(NULL, &context, &failure) == MLFA_OK);
    CHECK(mlfa_store_open_(context, "file:store", SIZE_MAX, NULL, &store, &failure) == MLFA_OK);
    CHECK(mlfa_put_bytes_(store, "file", SIZE_MAX, NULL, 0, NULL, &failure) == MLFA_OK);
    CHECK(mlfa_put_bytes_(store, "..", SIZE_MAX, NULL, 0, NULL, &failure) == MLFA_E_INVALID_PATH);
    mlfa_error_free_(failure);
    mlfa_store_release_(store);
    mlfa_context_release_(context);
    CHECK(dlclose(library) == 0);
    return NULL;
}

int main(int argc, char **argv) {
    enter(argc, argv);
    char *path = getenv("MLFA_LIBRARY");
    about = "MLFA_LIBRARY, the path of the library";
    CHECK(path != NULL);
    about = NULL;
    int count = rounds(ROUNDS);
    for (int round = 0; round < count; round++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, use_library, path) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    printf("ok: %zu checks\n", atomic_load(&checks));
    return EXIT_SUCCESS;
}
