/*
 * Logs a model directory to an artifact store, lists it, reads it back and compares every byte.
 *
 *     log_model MODEL_DIRECTORY STORE_URI TARGET_DIRECTORY
 *
 * MODEL_DIRECTORY  a directory that mlflow.<flavor>.save_model wrote
 * STORE_URI        any store: file:///srv/artifacts, memory:, ...
 * TARGET_DIRECTORY where the copy goes that is read back
 *
 * Build: cc log_model.c $(pkg-config --cflags --libs mlflow_artifacts)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mlflow_artifacts.h>

/* MLflow keeps a run's artifacts at <experiment id>/<run id>/artifacts. */
static const char *const MODEL_PATH = "1/0123456789abcdef/artifacts/model";

/* Ends the program with what went wrong if a call failed. It is given the address of the error because the compiler chooses the
 * order in which it evaluates arguments: the error's value might be that from before the call. */
static void require(mlfa_status status, mlfa_error **error) {
    if (status == MLFA_OK) {
        return;
    }
    fprintf(stderr, "log_model: %s: %s\n", mlfa_status_name(status), mlfa_error_message(*error));
    mlfa_error_free(*error);
    exit(EXIT_FAILURE);
}

static int32_t show_progress(const mlfa_progress *progress, void *user) {
    (void)user;
    printf("  %" PRIu64 " of %" PRIu64 " files, %" PRIu64 " of %" PRIu64 " bytes\n", progress->files_done,
           progress->files_found, progress->bytes_done, progress->bytes_found);
    return 0; /* anything else cancels */
}

static char *join(const char *directory, const char *name) {
    size_t size = strlen(directory) + strlen(name) + 2;
    char *path = malloc(size);
    if (path == NULL) {
        abort();
    }
    snprintf(path, size, "%s/%s", directory, name);
    return path;
}

/* 1 if both files have the same bytes, 0 if not or if one cannot be read. */
static int same_file(const char *first_path, const char *second_path) {
    FILE *first = fopen(first_path, "rb");
    FILE *second = fopen(second_path, "rb");
    int same = first != NULL && second != NULL;
    while (same) {
        int byte = getc(first);
        same = byte == getc(second);
        if (byte == EOF) {
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

static void upload(mlfa_store *store, const char *model) {
    mlfa_transfer_options options = MLFA_TRANSFER_OPTIONS_INIT;
    options.verify = MLFA_VERIFY_READ_BACK;
    options.progress = show_progress;
    mlfa_report *report = NULL;
    mlfa_error *error = NULL;
    printf("store %s in %s at %s\n", model, mlfa_store_root(store), MODEL_PATH);
    require(mlfa_upload_tree(store, model, SIZE_MAX, MODEL_PATH, SIZE_MAX, &options, &report, &error), &error);
    size_t stored = 0;
    for (size_t index = 0; index < mlfa_report_count(report); index++) {
        stored += mlfa_report_outcome_at(report, index) == MLFA_OUTCOME_TRANSFERRED;
    }
    printf("stored %zu files\n", stored);
    mlfa_report_free(report);
}

static void list(mlfa_store *store) {
    mlfa_list *entries = NULL;
    mlfa_error *error = NULL;
    require(mlfa_list_open(store, MODEL_PATH, SIZE_MAX, MLFA_LIST_RECURSIVE, &entries, &error), &error);
    for (;;) {
        const mlfa_meta *entry = NULL; /* belongs to the list */
        require(mlfa_list_next(entries, &entry, &error), &error);
        if (entry == NULL) {
            break;
        }
        printf("  %10" PRIu64 " %s%s\n", mlfa_meta_size(entry), mlfa_meta_path(entry),
               mlfa_meta_is_directory(entry) ? "/" : "");
    }
    mlfa_list_free(entries);
}

/* Fetches the model and answers how many of its files differ from the original. */
static size_t fetch_and_compare(mlfa_store *store, const char *model, const char *target) {
    mlfa_report *report = NULL;
    mlfa_error *error = NULL;
    size_t different = 0;
    require(mlfa_download_tree(store, MODEL_PATH, SIZE_MAX, target, SIZE_MAX, NULL, &report, &error), &error);
    printf("read %zu files back into %s\n", mlfa_report_count(report), target);
    for (size_t index = 0; index < mlfa_report_count(report); index++) {
        const char *name = mlfa_report_name_at(report, index);
        char *original = join(model, name);
        char *copy = join(target, name);
        if (!same_file(original, copy)) {
            printf("%s differs\n", name);
            different++;
        }
        free(original);
        free(copy);
    }
    mlfa_report_free(report);
    return different;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: log_model MODEL_DIRECTORY STORE_URI TARGET_DIRECTORY\n");
        return 2;
    }
    mlfa_context *context = NULL;
    mlfa_store *store = NULL;
    mlfa_error *error = NULL;

    printf("libmlflow_artifacts %s\n", mlfa_version_string());
    require(mlfa_context_new(NULL, &context, &error), &error);
    require(mlfa_store_open(context, argv[2], SIZE_MAX, NULL, &store, &error), &error);

    upload(store, argv[1]);
    list(store);
    size_t different = fetch_and_compare(store, argv[1], argv[3]);

    /* In any order: the store keeps its context alive. */
    mlfa_context_release(context);
    mlfa_store_release(store);
    puts(different == 0 ? "identical" : "DIFFERENT");
    return different == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
