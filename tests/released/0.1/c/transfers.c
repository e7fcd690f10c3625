/* Files and trees up and down: what arrives, what is reported, progress, and cancellation. */
#include "check.h"

#include <pthread.h>

/* ---- A local tree ---- */

static void make_tree(void) {
    make_directory("tree");
    make_directory("tree/nested");
    make_directory("tree/nested/.hidden directory");
    make_directory("tree/void");
    write_text("tree/file", "content");
    write_text("tree/.hidden", "hidden");
    write_text("tree/empty", "");
    write_text("tree/100% m\xc3\xbc ll", "odd name");
    write_some_bytes("tree/nested/bytes", 300001, 1);
    write_text("tree/nested/.hidden directory/deep", "deep");
    CHECK(symlink("file", "tree/link") == 0);
    CHECK(symlink("nested", "tree/link to directory") == 0);
}

static const char *const TREE_FILES[] = {
    "file", ".hidden", "empty", "100% m\xc3\xbc ll", "nested/bytes", "nested/.hidden directory/deep", "link",
};
#define TREE_FILE_COUNT (sizeof TREE_FILES / sizeof TREE_FILES[0])

static const char *in(const char *directory, const char *name) {
    static char paths[2][512];
    static size_t next;
    char *path = paths[next++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void check_fetched(const char *directory) {
    for (size_t at = 0; at < TREE_FILE_COUNT; at++) {
        about = TREE_FILES[at];
        CHECK(is_regular_file(in(directory, TREE_FILES[at])));
        CHECK(same_files(in("tree", TREE_FILES[at]), in(directory, TREE_FILES[at])));
    }
    about = NULL;
    CHECK(is_directory(in(directory, "void")));
    CHECK(!is_there(in(directory, "link to directory")));
    CHECK(count_temporaries(directory) == 0);
}

/* ---- Reports ---- */

/* Where the report has the name; its count if it has not. */
static size_t find(const mlfa_report *report, const char *name) {
    size_t at = 0;
    while (at < mlfa_report_count(report) && strcmp(mlfa_report_name_at(report, at), name) != 0) {
        at++;
    }
    return at;
}

static void check_transferred(const mlfa_report *report, const char *name) {
    size_t at = find(report, name);
    struct stat original;
    about = name;
    CHECK(stat(in("tree", name), &original) == 0);
    CHECK(at < mlfa_report_count(report));
    CHECK(mlfa_report_outcome_at(report, at) == MLFA_OUTCOME_TRANSFERRED);
    CHECK(mlfa_report_status_at(report, at) == MLFA_OK);
    CHECK(mlfa_report_size_at(report, at) == (uint64_t)original.st_size);
    CHECK(mlfa_report_message_at(report, at) == NULL);
    about = NULL;
}

static void check_all_transferred(const mlfa_report *report) {
    for (size_t at = 0; at < TREE_FILE_COUNT; at++) {
        check_transferred(report, TREE_FILES[at]);
    }
}

static void check_skipped(const mlfa_report *report, const char *name) {
    size_t at = find(report, name);
    CHECK(at < mlfa_report_count(report));
    CHECK(mlfa_report_outcome_at(report, at) == MLFA_OUTCOME_SKIPPED);
    CHECK(mlfa_report_status_at(report, at) == MLFA_OK);
    CHECK(mlfa_report_size_at(report, at) == 0);
    CHECK(mlfa_report_message_at(report, at) != NULL);
}

static void check_failed(const mlfa_report *report, const char *name, mlfa_status expected) {
    size_t at = find(report, name);
    CHECK(at < mlfa_report_count(report));
    CHECK(mlfa_report_outcome_at(report, at) == MLFA_OUTCOME_FAILED);
    CHECK(mlfa_report_status_at(report, at) == expected);
    CHECK(mlfa_report_size_at(report, at) == 0);
    CHECK(strstr(mlfa_report_message_at(report, at), name) != NULL);
}

static void check_ends(const mlfa_report *report) {
    size_t beyond[] = {mlfa_report_count(report), SIZE_MAX};
    for (size_t at = 0; at < 2; at++) {
        CHECK(mlfa_report_name_at(report, beyond[at]) == NULL);
        CHECK(mlfa_report_outcome_at(report, beyond[at]) == MLFA_OUTCOME_FAILED);
        CHECK(mlfa_report_status_at(report, beyond[at]) == MLFA_E_INVALID_ARGUMENT);
        CHECK(mlfa_report_size_at(report, beyond[at]) == 0);
        CHECK(mlfa_report_message_at(report, beyond[at]) == NULL);
    }
}

/* ---- What arrives ---- */

static void files_go_up_and_down(mlfa_store *store, const mlfa_transfer_options *options) {
    const char *source = "tree/nested/bytes";
    CHECK_OK(mlfa_upload_file(store, source, SIZE_MAX, "files/deep/a", SIZE_MAX, options, &error));
    CHECK_OK(mlfa_download_file(store, "files/deep/a", SIZE_MAX, "made/for/it", SIZE_MAX, options, &error));
    CHECK(same_files(source, "made/for/it"));
    CHECK_OK(mlfa_upload_file(store, "tree/empty", SIZE_MAX, "files/deep/a", SIZE_MAX, options, &error));
    check_content(store, "files/deep/a", NULL, 0);
    CHECK_OK(mlfa_download_file(store, "files/deep/a", SIZE_MAX, "made/for/it", SIZE_MAX, options, &error));
    CHECK(same_files("tree/empty", "made/for/it"));
    CHECK_OK(mlfa_upload_file(store, "tree/link", 9, "files/link and more", 10, options, &error));
    check_content_text(store, "files/link", "content");
    check_listing(store, "files", MLFA_LIST_RECURSIVE, "files/deep/ files/deep/a files/link");
    CHECK(count_temporaries("made") == 0);
}

static void trees_go_up_and_down(mlfa_store *store, const mlfa_transfer_options *options, const char *directory) {
    mlfa_report *report = UNTOUCHED;
    CHECK_OK(mlfa_upload_tree(store, "tree", SIZE_MAX, "a/tree", SIZE_MAX, options, &report, &error));
    CHECK(mlfa_report_count(report) == TREE_FILE_COUNT + 1);
    check_all_transferred(report);
    check_skipped(report, "link to directory");
    check_ends(report);
    mlfa_report_free(report);
    check_listing(store, "a/tree", 0,
                  "a/tree/.hidden a/tree/100% m\xc3\xbc ll a/tree/empty a/tree/file a/tree/link a/tree/nested/ "
                  "a/tree/void/");

    report = UNTOUCHED;
    CHECK_OK(mlfa_download_tree(store, "a/tree", SIZE_MAX, directory, SIZE_MAX, options, &report, &error));
    CHECK(mlfa_report_count(report) == TREE_FILE_COUNT);
    check_all_transferred(report);
    mlfa_report_free(report);
    check_fetched(directory);

    /* Again, over what is there; and nobody asks for the report. */
    write_text(in(directory, "stays"), "mine");
    write_text(in(directory, "file"), "is replaced");
    CHECK_OK(mlfa_upload_tree(store, "tree", SIZE_MAX, "a/tree", SIZE_MAX, options, NULL, &error));
    CHECK_OK(mlfa_download_tree(store, "a/tree", SIZE_MAX, directory, SIZE_MAX, options, NULL, &error));
    check_fetched(directory);
    CHECK(is_regular_file(in(directory, "stays")));
    CHECK_OK(mlfa_delete(store, "a", SIZE_MAX, MLFA_DELETE_RECURSIVE, NULL, &error));
}

static void an_empty_tree_is_a_tree(mlfa_store *store) {
    mlfa_report *report = UNTOUCHED;
    CHECK_OK(mlfa_upload_tree(store, "tree/void", SIZE_MAX, "void", SIZE_MAX, NULL, &report, &error));
    CHECK(mlfa_report_count(report) == 0);
    mlfa_report_free(report);
    CHECK_OK(mlfa_download_tree(store, "void", SIZE_MAX, "fetched void", SIZE_MAX, NULL, &report, &error));
    CHECK(mlfa_report_count(report) == 0);
    mlfa_report_free(report);
    CHECK(is_directory("fetched void") && rmdir("fetched void") == 0);
    CHECK_OK(mlfa_delete(store, "void", SIZE_MAX, MLFA_DELETE_RECURSIVE, NULL, &error));
}

/* ---- What fails ---- */

static void a_failed_file_does_not_stop_the_others(mlfa_store *store) {
    mlfa_report *report = UNTOUCHED;
    CHECK(symlink("no such file", "tree/dangling") == 0);
    CHECK_STATUS(mlfa_upload_tree(store, "tree", SIZE_MAX, "partly", SIZE_MAX, NULL, &report, &error),
                 MLFA_E_NOT_FOUND);
    CHECK(report == NULL);
    const mlfa_report *failures = mlfa_error_report(error);
    CHECK(mlfa_report_count(failures) == TREE_FILE_COUNT + 2);
    check_failed(failures, "dangling", MLFA_E_NOT_FOUND);
    check_skipped(failures, "link to directory");
    check_all_transferred(failures);
    check_ends(failures);

    /* Failures for different reasons. */
    CHECK(mkfifo("tree/pipe", 0666) == 0);
    CHECK_STATUS(mlfa_upload_tree(store, "tree", SIZE_MAX, "partly", SIZE_MAX, NULL, NULL, &error),
                 MLFA_E_INCOMPLETE);
    check_failed(mlfa_error_report(error), "pipe", MLFA_E_UNSUPPORTED);
    check_failed(mlfa_error_report(error), "dangling", MLFA_E_NOT_FOUND);
    check_all_transferred(mlfa_error_report(error));
    check_content_text(store, "partly/link", "content");
    CHECK(!is_stored(store, "partly/dangling") && !is_stored(store, "partly/pipe"));
    CHECK(unlink("tree/dangling") == 0 && unlink("tree/pipe") == 0);

    /* And down: a directory stands where a file is to come. */
    make_directory("blocked");
    make_directory("blocked/file");
    CHECK_STATUS(mlfa_download_tree(store, "partly", SIZE_MAX, "blocked", SIZE_MAX, NULL, &report, &error),
                 MLFA_E_IS_A_DIRECTORY);
    CHECK(report == NULL);
    check_failed(mlfa_error_report(error), "file", MLFA_E_IS_A_DIRECTORY);
    check_transferred(mlfa_error_report(error), "nested/bytes");
    CHECK(same_files("tree/nested/bytes", "blocked/nested/bytes"));
    CHECK(rmdir("blocked/file") == 0);
    CHECK_OK(mlfa_download_tree(store, "partly", SIZE_MAX, "blocked", SIZE_MAX, NULL, NULL, &error));
    check_fetched("blocked");
    CHECK_OK(mlfa_download_tree(store, "partly", SIZE_MAX, "blocked", SIZE_MAX, NULL, NULL, &error));
    CHECK_OK(mlfa_delete(store, "partly", SIZE_MAX, MLFA_DELETE_RECURSIVE, NULL, &error));
    CHECK(system("rm -r blocked") == 0);
}

static void nothing_is_written_through_links(mlfa_store *store) {
    put_text(store, "links/out/file", "content");
    make_directory("outside");
    make_directory("inside");
    CHECK(symlink("../outside", "inside/out") == 0);
    CHECK_STATUS(mlfa_download_tree(store, "links", SIZE_MAX, "inside", SIZE_MAX, NULL, NULL, &error),
                 MLFA_E_INVALID_PATH);
    CHECK(!is_there("outside/file"));
    CHECK(unlink("inside/out") == 0 && rmdir("inside") == 0 && rmdir("outside") == 0);
    CHECK_OK(mlfa_delete(store, "links", SIZE_MAX, MLFA_DELETE_RECURSIVE, NULL, &error));
}

static void what_is_missing_or_of_another_kind_is_refused(mlfa_store *store) {
    CHECK(mkfifo("pipe", 0666) == 0);
    make_directory("hollow");
    make_directory("void");
    put_text(store, "file", "content");
    put_text(store, "directory/file", "content");
    const struct {
        const char *local, *path;
        mlfa_status upload, upload_tree, download, download_tree;
    } CASES[] = {
        {"absent", "absent", MLFA_E_NOT_FOUND, MLFA_E_NOT_FOUND, MLFA_E_NOT_FOUND, MLFA_E_NOT_FOUND},
        {"absent/x", "absent", MLFA_E_NOT_FOUND, MLFA_E_NOT_FOUND, MLFA_E_NOT_FOUND, MLFA_E_NOT_FOUND},
        {"pipe", "absent", MLFA_E_UNSUPPORTED, MLFA_E_NOT_A_DIRECTORY, MLFA_E_NOT_FOUND, MLFA_E_NOT_FOUND},
        {"hollow", "directory", MLFA_E_IS_A_DIRECTORY, MLFA_OK, MLFA_E_IS_A_DIRECTORY, MLFA_OK},
        {"tree/file", "directory", MLFA_E_IS_A_DIRECTORY, MLFA_E_NOT_A_DIRECTORY, MLFA_E_IS_A_DIRECTORY,
         MLFA_E_NOT_A_DIRECTORY},
        {"tree/file/x", "file", MLFA_E_NOT_A_DIRECTORY, MLFA_E_NOT_A_DIRECTORY, MLFA_E_NOT_A_DIRECTORY,
         MLFA_E_NOT_A_DIRECTORY},
        {"void", "file", MLFA_E_IS_A_DIRECTORY, MLFA_E_NOT_A_DIRECTORY, MLFA_E_IS_A_DIRECTORY,
         MLFA_E_NOT_A_DIRECTORY},
        {"tree/file", "file/x", MLFA_E_NOT_A_DIRECTORY, MLFA_E_NOT_A_DIRECTORY, MLFA_E_NOT_FOUND, MLFA_E_NOT_FOUND},
        {"tree/file", "", MLFA_E_IS_A_DIRECTORY, MLFA_E_NOT_A_DIRECTORY, MLFA_E_IS_A_DIRECTORY,
         MLFA_E_NOT_A_DIRECTORY},
    };
    for (size_t at = 0; at < sizeof CASES / sizeof CASES[0]; at++) {
        const char *local = CASES[at].local, *path = CASES[at].path;
        about = local;
        CHECK_STATUS(mlfa_upload_file(store, local, SIZE_MAX, path, SIZE_MAX, NULL, &error), CASES[at].upload);
        CHECK_STATUS(mlfa_upload_tree(store, local, SIZE_MAX, path, SIZE_MAX, NULL, NULL, &error),
                     CASES[at].upload_tree);
        CHECK_STATUS(mlfa_download_file(store, path, SIZE_MAX, local, SIZE_MAX, NULL, &error), CASES[at].download);
        CHECK_STATUS(mlfa_download_tree(store, path, SIZE_MAX, local, SIZE_MAX, NULL, NULL, &error),
                     CASES[at].download_tree);
    }
    about = NULL;
    check_content_text(store, "file", "content");
    check_listing(store, "directory", 0, "directory/file");
    CHECK(!is_there("absent"));
    CHECK(unlink("pipe") == 0 && unlink("hollow/file") == 0);
    CHECK(rmdir("hollow") == 0 && rmdir("void") == 0);
    CHECK_OK(mlfa_delete(store, "file", SIZE_MAX, 0, NULL, &error));
    CHECK_OK(mlfa_delete(store, "directory", SIZE_MAX, MLFA_DELETE_RECURSIVE, NULL, &error));
}

/* ---- Progress ---- */

struct watch {
    pthread_t caller;
    mlfa_store *store;
    mlfa_progress last;
    size_t calls;
    /* 1 to cancel. */
    int32_t answer;
};

static int32_t watch(const mlfa_progress *now, void *user) {
    struct watch *watch = user;
    const mlfa_progress *last = &watch->last;
    CHECK(pthread_equal(pthread_self(), watch->caller));
    CHECK(now->struct_size >= sizeof *now && now->reserved == 0);
    CHECK(now->files_found >= last->files_found && now->files_done >= last->files_done);
    CHECK(now->files_failed >= last->files_failed && now->files_done + now->files_failed <= now->files_found);
    CHECK(now->bytes_found >= last->bytes_found && now->bytes_done >= last->bytes_done);
    watch->last = *now;
    watch->calls++;
    if (watch->answer != 0) {
        return watch->answer;
    }

    /* Any function of the library may be called, another transfer too. */
    mlfa_error *kept = error;
    error = UNTOUCHED;
    put_text(watch->store, "from the callback", "x");
    check_content_text(watch->store, "from the callback", "x");
    CHECK_OK(mlfa_upload_file(watch->store, "tree/file", SIZE_MAX, "from the callback", SIZE_MAX, NULL, &error));
    CHECK_OK(mlfa_delete(watch->store, "from the callback", SIZE_MAX, 0, NULL, &error));
    forget_error();
    error = kept;
    return 0;
}

static mlfa_transfer_options watched(struct watch *state, mlfa_store *store) {
    mlfa_transfer_options options = MLFA_TRANSFER_OPTIONS_INIT;
    memset(state, 0, sizeof *state);
    state->caller = pthread_self();
    state->store = store;
    options.progress = watch;
    options.user = state;
    options.progress_interval_ms = 1;
    return options;
}

static void check_complete(const struct watch *state, uint64_t files, uint64_t bytes) {
    CHECK(state->calls >= 1);
    CHECK(state->last.files_found == files && state->last.files_done == files && state->last.files_failed == 0);
    CHECK(state->last.bytes_found == bytes && state->last.bytes_done == bytes);
}

static void progress_is_told(mlfa_store *store) {
    struct watch state;
    mlfa_transfer_options options = watched(&state, store);
    CHECK_OK(mlfa_upload_file(store, "tree/nested/bytes", SIZE_MAX, "watched/a", SIZE_MAX, &options, &error));
    check_complete(&state, 1, 300001);
    options = watched(&state, store);
    CHECK_OK(mlfa_download_file(store, "watched/a", SIZE_MAX, "watched", SIZE_MAX, &options, &error));
    check_complete(&state, 1, 300001);
    CHECK(unlink("watched") == 0);

    options = watched(&state, store);
    uint64_t bytes = 300001 + 7 + 6 + 0 + 8 + 4 + 7;
    CHECK_OK(mlfa_upload_tree(store, "tree", SIZE_MAX, "watched", SIZE_MAX, &options, NULL, &error));
    check_complete(&state, TREE_FILE_COUNT, bytes);
    CHECK_OK(mlfa_delete(store, "watched/a", SIZE_MAX, 0, NULL, &error));
    options = watched(&state, store);
    CHECK_OK(mlfa_download_tree(store, "watched", SIZE_MAX, "watched", SIZE_MAX, &options, NULL, &error));
    check_complete(&state, TREE_FILE_COUNT, bytes);
    CHECK(system("rm -r watched") == 0);
    CHECK_OK(mlfa_delete(store, "watched", SIZE_MAX, MLFA_DELETE_RECURSIVE, NULL, &error));

    /* Of a failure too. */
    options = watched(&state, store);
    CHECK_STATUS(mlfa_upload_file(store, "absent", SIZE_MAX, "watched", SIZE_MAX, &options, &error), MLFA_E_NOT_FOUND);
    CHECK(state.calls >= 1 && state.last.files_done == 0 && state.last.files_failed == 1);
}

/* ---- Cancellation ---- */

/* How often to try, if the transfer is faster than the first call of the callback. */
#define CANCEL_ATTEMPTS 50
#define LARGE (64U << 20)
/* Goes in parts to stores that gain by them. */
#define IN_PARTS (17U << 20)
#define MANY 400

static mlfa_status cancel(mlfa_store *store, mlfa_status (*transfer)(mlfa_store *, const mlfa_transfer_options *)) {
    struct watch state;
    mlfa_transfer_options options = watched(&state, store);
    state.answer = 1;
    forget_error();
    mlfa_status status = transfer(store, &options);
    CHECK(status == MLFA_OK || status == MLFA_E_CANCELLED);
    CHECK(mlfa_error_status(error) == status);
    CHECK(state.calls >= 1);
    return status;
}

static mlfa_status upload_large(mlfa_store *store, const mlfa_transfer_options *options) {
    const char *local = strcmp(mlfa_store_scheme(store), "file") == 0 ? "large" : "in parts";
    return mlfa_upload_file(store, local, SIZE_MAX, "cancelled/deep/file", SIZE_MAX, options, &error);
}

static mlfa_status download_large(mlfa_store *store, const mlfa_transfer_options *options) {
    return mlfa_download_file(store, "large", SIZE_MAX, "fetched/large", SIZE_MAX, options, &error);
}

static mlfa_status upload_many(mlfa_store *store, const mlfa_transfer_options *options) {
    mlfa_report *report = UNTOUCHED;
    mlfa_status status = mlfa_upload_tree(store, "many", SIZE_MAX, "many", SIZE_MAX, options, &report, &error);
    CHECK(status == MLFA_OK || report == NULL);
    mlfa_report_free(report);
    return status;
}

static mlfa_status download_many(mlfa_store *store, const mlfa_transfer_options *options) {
    return mlfa_download_tree(store, "many", SIZE_MAX, "fetched", SIZE_MAX, options, NULL, &error);
}

static void a_cancelled_upload_leaves_nothing(mlfa_store *store, const char *directory) {
    int attempts = 0;
    while (cancel(store, upload_large) != MLFA_E_CANCELLED) {
        CHECK(++attempts < CANCEL_ATTEMPTS);
        CHECK_OK(mlfa_delete(store, "cancelled", SIZE_MAX, MLFA_DELETE_RECURSIVE, NULL, &error));
    }
    CHECK(!is_stored(store, "cancelled"));
    CHECK(count_temporaries(directory) == 0);
    /* What stood there before still does. */
    put_text(store, "cancelled/deep/file", "before");
    for (attempts = 0; cancel(store, upload_large) != MLFA_E_CANCELLED;) {
        CHECK(++attempts < CANCEL_ATTEMPTS);
        put_text(store, "cancelled/deep/file", "before");
    }
    check_content_text(store, "cancelled/deep/file", "before");
    check_listing(store, "cancelled", MLFA_LIST_RECURSIVE, "cancelled/deep/ cancelled/deep/file");
    CHECK(count_temporaries(directory) == 0);
}

static void a_cancelled_download_leaves_nothing(mlfa_store *store) {
    int attempts = 0;
    CHECK_OK(mlfa_upload_file(store, "large", SIZE_MAX, "large", SIZE_MAX, NULL, &error));
    while (cancel(store, download_large) != MLFA_E_CANCELLED) {
        CHECK(++attempts < CANCEL_ATTEMPTS);
        CHECK(unlink("fetched/large") == 0);
    }
    CHECK(!is_there("fetched/large"));
    CHECK(count_temporaries(".") == 0);
}

/* Of a tree, whole files may have come before it was cancelled, but no parts of files. */
static void a_cancelled_tree_has_whole_files(mlfa_store *store) {
    int attempts = 0;
    while (cancel(store, upload_many) != MLFA_E_CANCELLED) {
        CHECK(++attempts < CANCEL_ATTEMPTS);
        CHECK_OK(mlfa_delete(store, "many", SIZE_MAX, MLFA_DELETE_RECURSIVE, NULL, &error));
    }
    CHECK(mlfa_error_report(error) == NULL);
    mlfa_list *list = UNTOUCHED;
    const mlfa_meta *entry = UNTOUCHED;
    CHECK_OK(mlfa_list_open(store, "many", SIZE_MAX, 0, &list, &error));
    do {
        CHECK_OK(mlfa_list_next(list, &entry, &error));
        CHECK(entry == NULL || mlfa_meta_size(entry) == 4);
    } while (entry != NULL);
    mlfa_list_free(list);
    CHECK(count_temporaries(".") == 0);

    CHECK_OK(mlfa_upload_tree(store, "many", SIZE_MAX, "many", SIZE_MAX, NULL, NULL, &error));
    for (attempts = 0; cancel(store, download_many) != MLFA_E_CANCELLED;) {
        CHECK(++attempts < CANCEL_ATTEMPTS);
        CHECK(system("rm -r fetched") == 0);
    }
    CHECK(count_temporaries(".") == 0);
    CHECK_OK(mlfa_delete(store, "many", SIZE_MAX, MLFA_DELETE_RECURSIVE, NULL, &error));
}

static void cancelled_transfers_clean_up(mlfa_context *context) {
    mlfa_store *file = open_store(context, file_uri("store")), *memory = open_store(context, "memory:");
    write_some_bytes("large", 1 << 20, 2);
    write_some_bytes("in parts", 1 << 20, 3);
    CHECK(truncate("large", LARGE) == 0 && truncate("in parts", IN_PARTS) == 0);
    make_directory("fetched");
    make_directory("many");
    for (int at = 0; at < MANY; at++) {
        char name[32];
        snprintf(name, sizeof name, "many/%d", at);
        write_text(name, "many");
    }
    a_cancelled_upload_leaves_nothing(file, "store");
    a_cancelled_upload_leaves_nothing(memory, ".");
    a_cancelled_download_leaves_nothing(file);
    a_cancelled_tree_has_whole_files(file);
    a_cancelled_tree_has_whole_files(memory);
    mlfa_store_release(memory);
    mlfa_store_release(file);
}

static void transfers_of(mlfa_context *context, const char *uri, const char *directory) {
    mlfa_store *store = open_store(context, uri);
    mlfa_transfer_options read_back = MLFA_TRANSFER_OPTIONS_INIT, narrow = MLFA_TRANSFER_OPTIONS_INIT;
    read_back.verify = MLFA_VERIFY_READ_BACK;
    narrow.files = narrow.parts = 1;
    narrow.memory = narrow.part_size = 1;
    files_go_up_and_down(store, NULL);
    files_go_up_and_down(store, &read_back);
    files_go_up_and_down(store, &narrow);
    CHECK_OK(mlfa_delete(store, "files", SIZE_MAX, MLFA_DELETE_RECURSIVE, NULL, &error));
    trees_go_up_and_down(store, NULL, directory);
    trees_go_up_and_down(store, &read_back, directory);
    trees_go_up_and_down(store, &narrow, directory);
    an_empty_tree_is_a_tree(store);
    a_failed_file_does_not_stop_the_others(store);
    nothing_is_written_through_links(store);
    what_is_missing_or_of_another_kind_is_refused(store);
    progress_is_told(store);
    check_listing(store, "", MLFA_LIST_RECURSIVE, "");
    mlfa_store_release(store);
}

int main(int argc, char **argv) {
    enter(argc, argv);
    make_tree();
    mlfa_context *context = new_context();
    transfers_of(context, "memory:", "from memory");
    transfers_of(context, file_uri("store"), "from files");
    cancelled_transfers_clean_up(context);
    mlfa_context_release(context);
    return passed();
}
