/* Tasks, queues and callbacks: each _start function, results, waiting, freeing at any time, memory that is lent. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

static void pause_ms(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* As long as a thread that is about to call may need to wait there, under the instruments too. */
#define A_WHILE 500

/* Relaxed: counting must not order the threads, or ThreadSanitizer would not see their races. */
static int count_up(atomic_int *number) {
    return atomic_fetch_add_explicit(number, 1, memory_order_relaxed);
}

static void wait_for(atomic_int *number, int at_least) {
    while (atomic_load(number) < at_least) {
        pause_ms(1);
    }
}

/* ---- Tasks ---- */

enum kind { NOTHING, COUNT, META, BYTES, ENTRIES, REPORT, PROPERTIES, READER, MULTIPART, SIGNED_REQUEST };

#define CHECK_TAKE(kind, type, function)                        \
    if (except != (kind)) {                                     \
        type *out = UNTOUCHED;                                  \
        CHECK_STATUS(function(task, &out, &error), expected);   \
        CHECK(out == NULL);                                     \
        CHECK(function(task, &out, NULL) == expected);          \
    }

/* All mlfa_task_take_... but one answer this status, and nothing else. */
static void check_takes(mlfa_task *task, enum kind except, mlfa_status expected) {
    if (except != COUNT) {
        uint64_t count = 77;
        CHECK_STATUS(mlfa_task_take_count(task, &count, &error), expected);
        CHECK(count == 0);
    }
    CHECK_TAKE(META, mlfa_meta, mlfa_task_take_meta)
    CHECK_TAKE(BYTES, mlfa_bytes, mlfa_task_take_bytes)
    CHECK_TAKE(ENTRIES, mlfa_entries, mlfa_task_take_entries)
    CHECK_TAKE(REPORT, mlfa_report, mlfa_task_take_report)
    CHECK_TAKE(PROPERTIES, mlfa_properties, mlfa_task_take_properties)
    CHECK_TAKE(READER, mlfa_reader, mlfa_task_take_reader)
    CHECK_TAKE(MULTIPART, mlfa_multipart, mlfa_task_take_multipart)
    CHECK_TAKE(SIGNED_REQUEST, mlfa_signed_request, mlfa_task_take_signed_request)
}

static void check_ends(mlfa_task *task, mlfa_status expected) {
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    CHECK_OK(mlfa_task_wait(task, 0, &error));
    CHECK(mlfa_task_is_done(task) == 1);
    CHECK_STATUS(mlfa_task_result(task, &error), expected);
}

/* Ended well, with an output of this kind, which is still there afterwards. */
static void check_answers(mlfa_task *task, enum kind kind) {
    check_ends(task, MLFA_OK);
    check_takes(task, kind, MLFA_E_INVALID_ARGUMENT);
}

/* After its output was taken. */
static void check_is_taken(mlfa_task *task) {
    check_takes(task, NOTHING, MLFA_E_INVALID_ARGUMENT);
    CHECK_OK(mlfa_task_result(task, &error));
    CHECK_OK(mlfa_task_result(task, &error));
    mlfa_task_free(task);
}

static void check_fails(mlfa_task *task, mlfa_status expected) {
    check_ends(task, expected);
    mlfa_error *first = UNTOUCHED, *second = UNTOUCHED;
    CHECK(mlfa_task_result(task, &first) == expected && mlfa_task_result(task, &second) == expected);
    CHECK(mlfa_task_result(task, NULL) == expected);
    CHECK(first != second);
    CHECK_TEXT(mlfa_error_message(second), mlfa_error_message(first));
    mlfa_error_free(first);
    CHECK(mlfa_error_status(second) == expected);
    check_takes(task, NOTHING, expected);
    mlfa_task_free(task);
    CHECK(mlfa_error_message(second)[0] != '\0');
    mlfa_error_free(second);
}

static mlfa_task *start_stat(mlfa_store *store, const char *path) {
    mlfa_task *task = UNTOUCHED;
    CHECK_OK(mlfa_stat_start(store, path, SIZE_MAX, &task, &error));
    CHECK(task != NULL);
    return task;
}

static mlfa_task *start_put(mlfa_store *store, const char *path, const void *data, size_t size) {
    mlfa_task *task = UNTOUCHED;
    CHECK_OK(mlfa_put_bytes_start(store, path, SIZE_MAX, data, size, NULL, &task, &error));
    CHECK(task != NULL);
    return task;
}

static mlfa_task *start_upload(mlfa_store *store, const char *local, const char *path,
                               const mlfa_transfer_options *options) {
    mlfa_task *task = UNTOUCHED;
    CHECK_OK(mlfa_upload_file_start(store, local, SIZE_MAX, path, SIZE_MAX, options, &task, &error));
    CHECK(task != NULL);
    return task;
}

static void take_meta_of(mlfa_task *task, const char *path, uint64_t size) {
    mlfa_meta *meta = UNTOUCHED;
    check_answers(task, META);
    CHECK_OK(mlfa_task_take_meta(task, &meta, &error));
    CHECK_TEXT(mlfa_meta_path(meta), path);
    CHECK(!mlfa_meta_is_directory(meta) && mlfa_meta_size(meta) == size);
    check_is_taken(task);
    CHECK_TEXT(mlfa_meta_path(meta), path);
    mlfa_meta_free(meta);
}

static void take_count_of(mlfa_task *task, uint64_t expected) {
    uint64_t count = 77;
    check_answers(task, COUNT);
    CHECK_OK(mlfa_task_take_count(task, &count, &error));
    CHECK(count == expected);
    check_is_taken(task);
}

static void take_bytes_of(mlfa_task *task, const char *expected) {
    mlfa_bytes *bytes = UNTOUCHED;
    check_answers(task, BYTES);
    CHECK_OK(mlfa_task_take_bytes(task, &bytes, &error));
    check_is_taken(task);
    CHECK(bytes != NULL && mlfa_bytes_size(bytes) == strlen(expected));
    CHECK(memcmp(mlfa_bytes_data(bytes), expected, strlen(expected)) == 0);
    mlfa_bytes_release(bytes);
}

static void reads_are_started(mlfa_store *store) {
    mlfa_task *task = UNTOUCHED;
    uint8_t buffer[8];
    put_text(store, "reads/a", "0123456789");
    take_meta_of(start_stat(store, "reads/a"), "reads/a", 10);
    check_fails(start_stat(store, "reads/absent"), MLFA_E_NOT_FOUND);

    CHECK_OK(mlfa_get_bytes_start(store, "reads/a", SIZE_MAX, 3, 4, &task, &error));
    take_bytes_of(task, "3456");
    CHECK_OK(mlfa_get_bytes_start(store, "reads/a", SIZE_MAX, 8, MLFA_TO_THE_END, &task, &error));
    take_bytes_of(task, "89");
    CHECK_OK(mlfa_get_bytes_start(store, "reads/a", SIZE_MAX, 10, MLFA_TO_THE_END, &task, &error));
    take_bytes_of(task, "");
    CHECK_OK(mlfa_get_bytes_start(store, "absent", SIZE_MAX, 0, 1, &task, &error));
    check_fails(task, MLFA_E_NOT_FOUND);

    memset(buffer, '#', sizeof buffer);
    CHECK_OK(mlfa_get_into_start(store, "reads/a", SIZE_MAX, 6, buffer, 7, &task, &error));
    take_count_of(task, 4);
    CHECK(memcmp(buffer, "6789####", 8) == 0);
    CHECK_OK(mlfa_get_into_start(store, "reads/a", SIZE_MAX, 99, buffer, 8, &task, &error));
    take_count_of(task, 0);
    CHECK_OK(mlfa_get_into_start(store, "reads/a", SIZE_MAX, 0, NULL, 0, &task, &error));
    take_count_of(task, 0);
    CHECK_OK(mlfa_get_into_start(store, "reads", SIZE_MAX, 0, buffer, 8, &task, &error));
    check_fails(task, MLFA_E_IS_A_DIRECTORY);

    mlfa_properties *properties = UNTOUCHED;
    CHECK_OK(mlfa_store_describe_start(store, &task, &error));
    check_answers(task, PROPERTIES);
    CHECK_OK(mlfa_task_take_properties(task, &properties, &error));
    CHECK(properties != NULL);
    check_is_taken(task);
    mlfa_properties_free(properties);

    CHECK_OK(mlfa_get_properties_start(store, "reads/a", SIZE_MAX, &task, &error));
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    properties = UNTOUCHED;
    if (mlfa_store_capabilities(store) & MLFA_CAPABILITY_PROPERTIES) {
        check_answers(task, PROPERTIES);
        CHECK_OK(mlfa_task_take_properties(task, &properties, &error));
        CHECK(mlfa_properties_count(properties) == 0);
        check_is_taken(task);
        mlfa_properties_free(properties);
    } else {
        mlfa_status status = mlfa_get_properties(store, "reads/a", SIZE_MAX, &properties, NULL);
        CHECK(status != MLFA_OK);
        check_fails(task, status);
    }
}

static void writes_are_started(mlfa_store *store) {
    mlfa_task *task = UNTOUCHED;
    mlfa_put_options new_only = MLFA_PUT_OPTIONS_INIT;
    char text[] = "hello";
    new_only.mode = MLFA_PUT_CREATE_NEW;
    task = start_put(store, "writes/a", text, 5);
    memset(text, '?', 5);
    take_meta_of(task, "writes/a", 5);
    check_content_text(store, "writes/a", "hello");
    CHECK_OK(mlfa_put_bytes_start(store, "writes/a", SIZE_MAX, NULL, 0, &new_only, &task, &error));
    check_fails(task, MLFA_E_ALREADY_EXISTS);
    check_fails(start_put(store, "writes", NULL, 0), MLFA_E_IS_A_DIRECTORY);

    CHECK_OK(mlfa_put_owned_start(store, "writes/b", SIZE_MAX, (const uint8_t *)"static", 6, NULL, NULL, &new_only,
                                  &task, &error));
    take_meta_of(task, "writes/b", 6);
    check_content_text(store, "writes/b", "static");

    CHECK_OK(mlfa_create_directory_start(store, "writes/made/here", SIZE_MAX, &task, &error));
    check_answers(task, NOTHING);
    check_is_taken(task);
    CHECK_OK(mlfa_create_directory_start(store, "writes/a/x", SIZE_MAX, &task, &error));
    check_fails(task, MLFA_E_NOT_A_DIRECTORY);

    CHECK_OK(mlfa_copy_start(store, "writes/a", SIZE_MAX, "writes/c", SIZE_MAX, &task, &error));
    take_meta_of(task, "writes/c", 5);
    check_content_text(store, "writes/c", "hello");
    CHECK_OK(mlfa_copy_start(store, "writes/x", SIZE_MAX, "writes/c", SIZE_MAX, &task, &error));
    check_fails(task, MLFA_E_NOT_FOUND);

    check_listing(store, "writes", MLFA_LIST_RECURSIVE, "writes/a writes/b writes/c writes/made/ writes/made/here/");
    CHECK_OK(mlfa_delete_start(store, "writes", SIZE_MAX, 0, &task, &error));
    check_fails(task, MLFA_E_IS_A_DIRECTORY);
    CHECK_OK(mlfa_delete_start(store, "writes", SIZE_MAX, MLFA_DELETE_RECURSIVE, &task, &error));
    take_count_of(task, 1);
    CHECK_OK(mlfa_delete_start(store, "writes", SIZE_MAX, MLFA_DELETE_RECURSIVE, &task, &error));
    take_count_of(task, 0);
}

static void take_report_of(mlfa_task *task, size_t count) {
    mlfa_report *report = UNTOUCHED;
    check_answers(task, REPORT);
    CHECK_OK(mlfa_task_take_report(task, &report, &error));
    check_is_taken(task);
    CHECK(mlfa_report_count(report) == count);
    for (size_t at = 0; at < count; at++) {
        CHECK(mlfa_report_outcome_at(report, at) == MLFA_OUTCOME_TRANSFERRED);
    }
    mlfa_report_free(report);
}

static void transfers_are_started(mlfa_store *store) {
    mlfa_task *task = UNTOUCHED;
    mlfa_progress progress = MLFA_PROGRESS_INIT;
    task = start_upload(store, "local/deep/b", "up/file", NULL);
    check_answers(task, NOTHING);
    CHECK_OK(mlfa_task_progress(task, &progress, &error));
    CHECK(progress.struct_size == sizeof progress && progress.reserved == 0);
    CHECK(progress.files_found == 1 && progress.files_done == 1 && progress.files_failed == 0);
    CHECK(progress.bytes_found == 70000 && progress.bytes_done == 70000);
    check_is_taken(task);
    check_fails(start_upload(store, "local/absent", "up/file", NULL), MLFA_E_NOT_FOUND);

    CHECK_OK(mlfa_download_file_start(store, "up/file", SIZE_MAX, "fetched", SIZE_MAX, NULL, &task, &error));
    check_answers(task, NOTHING);
    check_is_taken(task);
    CHECK(same_files("fetched", "local/deep/b"));
    CHECK_OK(mlfa_download_file_start(store, "up", SIZE_MAX, "not fetched", SIZE_MAX, NULL, &task, &error));
    check_fails(task, MLFA_E_IS_A_DIRECTORY);
    CHECK(!is_there("not fetched"));

    CHECK_OK(mlfa_upload_tree_start(store, "local", SIZE_MAX, "up/tree", SIZE_MAX, NULL, &task, &error));
    take_report_of(task, 2);
    check_listing(store, "up/tree", MLFA_LIST_RECURSIVE, "up/tree/a up/tree/deep/ up/tree/deep/b");
    CHECK_OK(mlfa_upload_tree_start(store, "absent", SIZE_MAX, "up/tree", SIZE_MAX, NULL, &task, &error));
    check_fails(task, MLFA_E_NOT_FOUND);
    CHECK_OK(mlfa_download_tree_start(store, "up/tree", SIZE_MAX, "fetched tree", SIZE_MAX, NULL, &task, &error));
    take_report_of(task, 2);
    CHECK(same_files("fetched tree/deep/b", "local/deep/b") && same_files("fetched tree/a", "local/a"));
    CHECK_OK(mlfa_download_tree_start(store, "absent", SIZE_MAX, "x", SIZE_MAX, NULL, &task, &error));
    check_fails(task, MLFA_E_NOT_FOUND);

    /* What became of each file is told each time. */
    write_text("fetched", "in the way");
    CHECK_OK(mlfa_download_tree_start(store, "up/tree", SIZE_MAX, "fetched", SIZE_MAX, NULL, &task, &error));
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    mlfa_status status = mlfa_task_result(task, NULL);
    CHECK(status != MLFA_OK);
    check_fails(task, status);
}

static void progress_is_read_by_its_size(mlfa_store *store) {
    const uint32_t known = sizeof(mlfa_progress), wrong[] = {0, 1, 3, 4, known - 1, known + 4097, UINT32_MAX};
    mlfa_task *task = start_stat(store, "");
    check_ends(task, MLFA_OK);
    for (size_t at = 0; at < sizeof wrong / sizeof wrong[0]; at++) {
        mlfa_progress progress;
        memset(&progress, 0xa5, sizeof progress);
        progress.struct_size = wrong[at];
        CHECK_STATUS(mlfa_task_progress(task, &progress, &error), MLFA_E_STRUCT_SIZE);
        CHECK(progress.struct_size == wrong[at] && progress.files_done == 0xa5a5a5a5a5a5a5a5);
    }
    /* A newer header's struct: what the library does not know stays. */
    mlfa_progress newer[2];
    memset(newer, 0xa5, sizeof newer);
    newer[0].struct_size = sizeof newer;
    CHECK_OK(mlfa_task_progress(task, newer, &error));
    CHECK(newer[0].struct_size == sizeof newer && newer[0].files_found == 0 && newer[0].bytes_done == 0);
    CHECK(newer[1].struct_size == 0xa5a5a5a5);
    mlfa_task_free(task);
}

/* ---- Tasks that do not end ---- */

/* A context whose callbacks wait behind one that does not return: a transfer that tells of its progress does not end. */
struct plug {
    mlfa_context *context;
    mlfa_store *store;
    atomic_int is_in, is_out, told;
};

static void block(mlfa_task *task, void *user) {
    struct plug *plug = user;
    atomic_store(&plug->is_in, 1);
    wait_for(&plug->is_out, 1);
    atomic_store(&plug->is_in, 2);
    mlfa_task_free(task);
}

static int32_t count_calls(const mlfa_progress *progress, void *user) {
    CHECK(progress->struct_size == sizeof *progress);
    atomic_fetch_add((atomic_int *)user, 1);
    return 0;
}

static void plug_in(struct plug *plug, const char *uri) {
    atomic_init(&plug->is_in, 0);
    atomic_init(&plug->is_out, 0);
    atomic_init(&plug->told, 0);
    plug->context = new_context();
    plug->store = open_store(plug->context, uri);
    CHECK_OK(mlfa_task_on_done(start_stat(plug->store, ""), block, plug, &error));
    wait_for(&plug->is_in, 1);
}

static void unplug(struct plug *plug) {
    atomic_store(&plug->is_out, 1);
}

static void release_plug(struct plug *plug) {
    unplug(plug);
    wait_for(&plug->is_in, 2);
    mlfa_store_release(plug->store);
    mlfa_context_release(plug->context);
}

static mlfa_task *start_held(struct plug *plug, const char *path) {
    mlfa_transfer_options options = MLFA_TRANSFER_OPTIONS_INIT;
    options.progress = count_calls;
    options.user = &plug->told;
    return start_upload(plug->store, "local/a", path, &options);
}

static void a_running_task_answers_busy(const char *uri) {
    struct plug plug;
    plug_in(&plug, uri);
    mlfa_task *task = start_held(&plug, "held");
    mlfa_progress progress = MLFA_PROGRESS_INIT;
    CHECK(mlfa_task_is_done(task) == 0);
    CHECK_STATUS(mlfa_task_result(task, &error), MLFA_E_BUSY);
    check_takes(task, NOTHING, MLFA_E_BUSY);
    CHECK_STATUS(mlfa_task_wait(task, 0, &error), MLFA_E_TIMEOUT);
    CHECK_STATUS(mlfa_task_wait(task, 20, &error), MLFA_E_TIMEOUT);
    CHECK_OK(mlfa_task_progress(task, &progress, &error));
    CHECK(progress.files_failed == 0);
    /* The callback that does not return holds up nothing else. */
    take_meta_of(start_put(plug.store, "other", "1", 1), "other", 1);
    check_content_text(plug.store, "other", "1");
    CHECK(atomic_load(&plug.told) == 0);
    unplug(&plug);
    check_ends(task, MLFA_OK);
    CHECK_OK(mlfa_task_wait(task, UINT64_MAX - 1, &error));
    CHECK(atomic_load(&plug.told) >= 1);
    check_is_taken(task);
    release_plug(&plug);
}

/* Those who are about to wait for what will be freed. */
static atomic_int arrived;

static void *wait_to_be_freed(void *task) {
    count_up(&arrived);
    CHECK_STATUS(mlfa_task_wait(task, MLFA_FOREVER, &error), MLFA_E_CANCELLED);
    forget_error();
    return NULL;
}

static void *wait_long_to_be_freed(void *task) {
    count_up(&arrived);
    CHECK_STATUS(mlfa_task_wait(task, 3600000, &error), MLFA_E_CANCELLED);
    forget_error();
    return NULL;
}

static void freeing_a_task_ends_the_waits(const char *uri) {
    struct plug plug;
    pthread_t waiters[4];
    plug_in(&plug, uri);
    mlfa_task *task = start_held(&plug, "held");
    atomic_store(&arrived, 0);
    for (int at = 0; at < 4; at++) {
        CHECK(pthread_create(&waiters[at], NULL, at % 2 ? wait_to_be_freed : wait_long_to_be_freed, task) == 0);
    }
    wait_for(&arrived, 4);
    pause_ms(A_WHILE);
    mlfa_task_free(task);
    for (int at = 0; at < 4; at++) {
        CHECK(pthread_join(waiters[at], NULL) == 0);
    }
    release_plug(&plug);
    CHECK(atomic_load(&plug.told) == 0);
}

/* ---- Queues ---- */

static mlfa_queue *new_queue(void) {
    mlfa_queue *queue = UNTOUCHED;
    CHECK_OK(mlfa_queue_new(&queue, &error));
    CHECK(queue != NULL && mlfa_queue_fd(queue) >= 0);
    return queue;
}

static int is_readable(mlfa_queue *queue, int timeout_ms) {
    struct pollfd descriptor = {mlfa_queue_fd(queue), POLLIN, 0};
    int count = poll(&descriptor, 1, timeout_ms);
    CHECK(count == 0 || (count == 1 && descriptor.revents == POLLIN));
    return count;
}

static void check_is_empty(mlfa_queue *queue) {
    mlfa_task *task = UNTOUCHED;
    uint64_t tag = 77;
    CHECK(!is_readable(queue, 0));
    CHECK_STATUS(mlfa_queue_next(queue, 0, &tag, &task, &error), MLFA_E_TIMEOUT);
    CHECK(task == NULL && tag == 0);
}

static mlfa_task *next_of(mlfa_queue *queue, uint64_t *tag) {
    mlfa_task *task = UNTOUCHED;
    CHECK_OK(mlfa_queue_next(queue, MLFA_FOREVER, tag, &task, &error));
    CHECK(task != NULL && mlfa_task_is_done(task) == 1);
    return task;
}

#define MANY 200

static void a_queue_hands_out_what_ended(mlfa_store *store) {
    mlfa_queue *queue = new_queue();
    mlfa_task *tasks[MANY];
    int seen[MANY] = {0};
    check_is_empty(queue);
    put_text(store, "queued", "x");
    for (uint64_t at = 0; at < MANY; at++) {
        tasks[at] = at % 3 == 0   ? start_put(store, "queued too", "12", 2)
                    : at % 3 == 1 ? start_stat(store, "queued")
                                  : start_stat(store, "absent");
        CHECK_OK(mlfa_task_submit_to(tasks[at], queue, UINT64_MAX - at, &error));
    }
    for (int left = MANY; left > 0; left--) {
        mlfa_task *task = UNTOUCHED;
        uint64_t tag = 77;
        CHECK(is_readable(queue, -1));
        CHECK_OK(mlfa_queue_next(queue, 0, &tag, &task, &error));
        uint64_t at = UINT64_MAX - tag;
        CHECK(at < MANY && tasks[at] == task && !seen[at]++);
        CHECK(mlfa_task_is_done(task) == 1);
        CHECK_STATUS(mlfa_task_result(task, &error), at % 3 == 2 ? MLFA_E_NOT_FOUND : MLFA_OK);
        mlfa_task_free(task);
    }
    check_is_empty(queue);
    CHECK_STATUS(mlfa_queue_next(queue, 20, NULL, &tasks[0], &error), MLFA_E_TIMEOUT);
    mlfa_queue_free(queue);
}

static void queued_tasks_have_one_queue(mlfa_store *store) {
    mlfa_queue *queue = new_queue(), *other = new_queue();
    mlfa_task *task = start_stat(store, "");
    uint64_t tag = 77;
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    CHECK_OK(mlfa_task_submit_to(task, queue, 5, &error));
    CHECK(is_readable(queue, 0) && is_readable(queue, 0));
    CHECK_STATUS(mlfa_task_submit_to(task, queue, 6, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK_STATUS(mlfa_task_submit_to(task, other, 6, &error), MLFA_E_INVALID_ARGUMENT);
    check_is_empty(other);
    CHECK(next_of(queue, &tag) == task && tag == 5);
    check_is_empty(queue);
    /* What was handed out may be queued again. */
    CHECK_OK(mlfa_task_submit_to(task, other, 7, &error));
    CHECK(next_of(other, NULL) == task);
    CHECK_OK(mlfa_task_submit_to(task, queue, 8, &error));
    /* One that is freed is in no queue any more. */
    mlfa_task *second = start_stat(store, "");
    CHECK_OK(mlfa_task_wait(second, MLFA_FOREVER, &error));
    CHECK_OK(mlfa_task_submit_to(second, queue, 9, &error));
    mlfa_task_free(task);
    CHECK(is_readable(queue, 0));
    CHECK(next_of(queue, &tag) == second && tag == 9);
    check_is_empty(queue);
    CHECK_OK(mlfa_task_submit_to(second, queue, 10, &error));
    mlfa_task_free(second);
    check_is_empty(queue);
    mlfa_queue_free(queue);
    mlfa_queue_free(other);
}

static void *expect_closed(void *queue) {
    mlfa_task *task = UNTOUCHED;
    count_up(&arrived);
    CHECK_STATUS(mlfa_queue_next(queue, MLFA_FOREVER, NULL, &task, &error), MLFA_E_CANCELLED);
    CHECK(task == NULL);
    forget_error();
    return NULL;
}

static void freeing_a_queue_frees_its_tasks(const char *uri) {
    struct plug plug;
    pthread_t waiters[3];
    plug_in(&plug, uri);
    mlfa_queue *queue = new_queue();
    mlfa_task *running = start_held(&plug, "held");
    CHECK_OK(mlfa_task_submit_to(running, queue, 1, &error));
    check_is_empty(queue);
    atomic_store(&arrived, 0);
    for (int at = 0; at < 3; at++) {
        CHECK(pthread_create(&waiters[at], NULL, expect_closed, queue) == 0);
    }
    wait_for(&arrived, 3);
    pause_ms(A_WHILE);
    mlfa_queue_free(queue);
    for (int at = 0; at < 3; at++) {
        CHECK(pthread_join(waiters[at], NULL) == 0);
    }

    /* With tasks that run and tasks that have ended. */
    queue = new_queue();
    for (uint64_t at = 0; at < 10; at++) {
        mlfa_task *task = at % 2 ? start_held(&plug, "held too") : start_stat(plug.store, "");
        CHECK_OK(mlfa_task_submit_to(task, queue, at, &error));
    }
    mlfa_task_free(next_of(queue, NULL));
    mlfa_queue_free(queue);

    /* A running one is freed, cancelled and watched while it is queued. */
    queue = new_queue();
    running = start_held(&plug, "held");
    CHECK_OK(mlfa_task_submit_to(running, queue, 1, &error));
    mlfa_task_free(running);
    check_is_empty(queue);
    running = start_held(&plug, "held");
    CHECK_OK(mlfa_task_submit_to(running, queue, 2, &error));
    mlfa_task_cancel(running);
    CHECK_STATUS(mlfa_task_submit_to(running, queue, 3, &error), MLFA_E_INVALID_ARGUMENT);
    unplug(&plug);
    uint64_t tag = 77;
    CHECK(next_of(queue, &tag) == running && tag == 2);
    mlfa_task_free(running);
    mlfa_queue_free(queue);
    release_plug(&plug);
}

struct crowd {
    mlfa_store *store;
    mlfa_queue *queue;
    atomic_int seen[MANY], submitted, asked;
};

static void *fill_queue(void *argument) {
    struct crowd *crowd = argument;
    for (int at = count_up(&crowd->submitted); at < MANY; at = count_up(&crowd->submitted)) {
        mlfa_task *task = start_put(crowd->store, "crowd", "12", 2);
        if (at % 3 == 0) {
            mlfa_task_cancel(task);
        }
        CHECK_OK(mlfa_task_submit_to(task, crowd->queue, (uint64_t)at, &error));
    }
    forget_error();
    return NULL;
}

static void *take_from_queue(void *argument) {
    struct crowd *crowd = argument;
    for (;;) {
        mlfa_task *task = NULL;
        uint64_t tag = 0;
        count_up(&crowd->asked);
        mlfa_status status = mlfa_queue_next(crowd->queue, MLFA_FOREVER, &tag, &task, NULL);
        if (status == MLFA_E_CANCELLED) {
            return NULL;
        }
        CHECK(status == MLFA_OK && tag < MANY && count_up(&crowd->seen[tag]) == 0);
        status = mlfa_task_result(task, NULL);
        CHECK(status == MLFA_OK || (tag % 3 == 0 && status == MLFA_E_CANCELLED));
        mlfa_task_free(task);
    }
}

static void many_threads_share_a_queue(mlfa_store *store) {
    static struct crowd crowd;
    pthread_t givers[4], takers[4];
    memset(&crowd, 0, sizeof crowd);
    crowd.store = store;
    crowd.queue = new_queue();
    for (int at = 0; at < 4; at++) {
        CHECK(pthread_create(&takers[at], NULL, take_from_queue, &crowd) == 0);
        CHECK(pthread_create(&givers[at], NULL, fill_queue, &crowd) == 0);
    }
    for (int at = 0; at < 4; at++) {
        CHECK(pthread_join(givers[at], NULL) == 0);
    }
    /* All is taken, and each of them asks for more. */
    wait_for(&crowd.asked, MANY + 4);
    pause_ms(A_WHILE);
    mlfa_queue_free(crowd.queue);
    for (int at = 0; at < 4; at++) {
        CHECK(pthread_join(takers[at], NULL) == 0);
    }
}

/* ---- Arguments ---- */

static void null_is_refused(mlfa_store *store) {
    mlfa_queue *queue = new_queue();
    mlfa_task *task = start_stat(store, ""), *out = UNTOUCHED;
    mlfa_progress progress = MLFA_PROGRESS_INIT;
    uint64_t tag = 77;
    check_ends(task, MLFA_OK);
    CHECK_STATUS(mlfa_task_wait(NULL, 0, &error), MLFA_E_NULL_POINTER);
    CHECK(mlfa_task_wait(NULL, MLFA_FOREVER, NULL) == MLFA_E_NULL_POINTER);
    CHECK(mlfa_task_is_done(NULL) == 1);
    CHECK_STATUS(mlfa_task_progress(NULL, &progress, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_progress(task, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK(mlfa_task_progress(task, NULL, NULL) == MLFA_E_NULL_POINTER);
    mlfa_task_cancel(NULL);
    CHECK_STATUS(mlfa_task_on_done(NULL, block, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_on_done(task, NULL, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK(mlfa_task_on_done(task, NULL, NULL, NULL) == MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_result(NULL, &error), MLFA_E_NULL_POINTER);
    check_takes(NULL, NOTHING, MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_take_count(task, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_take_meta(task, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_take_bytes(task, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_take_entries(task, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_take_report(task, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_take_properties(task, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_take_reader(task, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_take_multipart(task, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_take_signed_request(task, NULL, &error), MLFA_E_NULL_POINTER);
    /* What could not be handed out is still there. */
    check_takes(task, META, MLFA_E_INVALID_ARGUMENT);
    mlfa_meta *meta = UNTOUCHED;
    CHECK_OK(mlfa_task_take_meta(task, &meta, &error));
    mlfa_meta_free(meta);

    CHECK_STATUS(mlfa_queue_new(NULL, &error), MLFA_E_NULL_POINTER);
    CHECK(mlfa_queue_new(NULL, NULL) == MLFA_E_NULL_POINTER);
    CHECK(mlfa_queue_fd(NULL) == -1);
    CHECK_STATUS(mlfa_task_submit_to(NULL, queue, 1, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_task_submit_to(task, NULL, 1, &error), MLFA_E_NULL_POINTER);
    CHECK_OK(mlfa_task_submit_to(task, queue, 1, &error));
    CHECK_STATUS(mlfa_queue_next(NULL, 0, &tag, &out, &error), MLFA_E_NULL_POINTER);
    CHECK(out == NULL && tag == 0);
    CHECK_STATUS(mlfa_queue_next(queue, 0, &tag, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK(mlfa_queue_next(queue, 0, NULL, &out, NULL) == MLFA_OK && out == task);
    mlfa_task_free(task);
    mlfa_queue_free(queue);
    mlfa_task_free(NULL);
    mlfa_queue_free(NULL);
}

/* Wrong arguments start nothing. */
#define CHECK_NO_START(call, expected)      \
    do {                                    \
        mlfa_task *out = UNTOUCHED;         \
        CHECK_STATUS(call, expected);       \
        CHECK(out == NULL);                 \
    } while (0)

static void wrong_arguments_start_nothing(mlfa_store *store) {
    const char *const no = NULL;
    uint8_t byte = 0;
    CHECK_STATUS(mlfa_store_describe_start(store, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_stat_start(store, "", 0, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_get_properties_start(store, "", 0, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_get_into_start(store, "a", 1, 0, &byte, 1, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_get_bytes_start(store, "a", 1, 0, 1, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_put_bytes_start(store, "no", 2, &byte, 1, NULL, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_create_directory_start(store, "no", 2, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_delete_start(store, "no", 2, 0, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_copy_start(store, "a", 1, "no", 2, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_upload_file_start(store, "local/a", 7, "no", 2, NULL, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_download_file_start(store, "a", 1, "no", 2, NULL, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_upload_tree_start(store, "local", 5, "no", 2, NULL, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_download_tree_start(store, "", 0, "no", 2, NULL, NULL, &error), MLFA_E_NULL_POINTER);

    mlfa_transfer_options options = MLFA_TRANSFER_OPTIONS_INIT;
    mlfa_put_options put_options = MLFA_PUT_OPTIONS_INIT;
    for (int wrong = 0; wrong < 3; wrong++) {
        mlfa_store *given = wrong == 0 ? NULL : store;
        const char *path = wrong == 1 ? no : wrong == 2 ? ".." : "no";
        mlfa_status expected = wrong == 2 ? MLFA_E_INVALID_PATH : MLFA_E_NULL_POINTER;
        about = wrong == 0 ? "no store" : wrong == 1 ? "no path" : "a malformed path";
        if (wrong == 0) {
            CHECK_NO_START(mlfa_store_describe_start(NULL, &out, &error), expected);
        }
        CHECK_NO_START(mlfa_stat_start(given, path, 2, &out, &error), expected);
        CHECK_NO_START(mlfa_get_properties_start(given, path, 2, &out, &error), expected);
        CHECK_NO_START(mlfa_get_into_start(given, path, 2, 0, &byte, 1, &out, &error), expected);
        CHECK_NO_START(mlfa_get_bytes_start(given, path, 2, 0, 1, &out, &error), expected);
        CHECK_NO_START(mlfa_put_bytes_start(given, path, 2, &byte, 1, NULL, &out, &error), expected);
        CHECK_NO_START(mlfa_create_directory_start(given, path, 2, &out, &error), expected);
        CHECK_NO_START(mlfa_delete_start(given, path, 2, 0, &out, &error), expected);
        CHECK_NO_START(mlfa_copy_start(given, path, 2, "no", 2, &out, &error), expected);
        if (wrong != 0) {
            CHECK_NO_START(mlfa_copy_start(store, "no", 2, path, 2, &out, &error), expected);
        }
        CHECK_NO_START(mlfa_upload_file_start(given, "local/a", 7, path, 2, NULL, &out, &error), expected);
        CHECK_NO_START(mlfa_download_file_start(given, path, 2, "no", 2, NULL, &out, &error), expected);
        CHECK_NO_START(mlfa_upload_tree_start(given, "local", 5, path, 2, NULL, &out, &error), expected);
        CHECK_NO_START(mlfa_download_tree_start(given, path, 2, "no", 2, NULL, &out, &error), expected);
    }
    about = NULL;
    CHECK_NO_START(mlfa_get_into_start(store, "a", 1, 0, NULL, 1, &out, &error), MLFA_E_NULL_POINTER);
    CHECK_NO_START(mlfa_put_bytes_start(store, "no", 2, NULL, 1, NULL, &out, &error), MLFA_E_NULL_POINTER);
    put_options.mode = 99;
    CHECK_NO_START(mlfa_put_bytes_start(store, "no", 2, &byte, 1, &put_options, &out, &error),
                   MLFA_E_INVALID_ARGUMENT);
    CHECK_NO_START(mlfa_delete_start(store, "no", 2, 2, &out, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK_NO_START(mlfa_upload_file_start(store, NULL, 1, "no", 2, NULL, &out, &error), MLFA_E_NULL_POINTER);
    CHECK_NO_START(mlfa_download_file_start(store, "a", 1, NULL, 1, NULL, &out, &error), MLFA_E_NULL_POINTER);
    CHECK_NO_START(mlfa_upload_tree_start(store, NULL, 1, "no", 2, NULL, &out, &error), MLFA_E_NULL_POINTER);
    CHECK_NO_START(mlfa_download_tree_start(store, "", 0, NULL, 1, NULL, &out, &error), MLFA_E_NULL_POINTER);
    options.reserved = 1;
    CHECK_NO_START(mlfa_upload_file_start(store, "local/a", 7, "no", 2, &options, &out, &error),
                   MLFA_E_INVALID_ARGUMENT);
    CHECK(!is_stored(store, "no") && !is_there("no"));
}

/* ---- Callbacks ---- */

struct called {
    atomic_int times;
    pthread_t thread;
    mlfa_context *context;
    mlfa_store *store;
    mlfa_queue *queue;
    mlfa_task *expected, *started;
};

static void note(mlfa_task *task, void *user) {
    struct called *called = user;
    CHECK(task == called->expected && mlfa_task_is_done(task) == 1);
    called->thread = pthread_self();
    atomic_fetch_add(&called->times, 1);
}

static void callbacks_are_called_once(mlfa_store *store) {
    struct called first, second;
    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    first.expected = start_stat(store, "");
    CHECK_OK(mlfa_task_on_done(first.expected, note, &first, &error));
    CHECK_STATUS(mlfa_task_on_done(first.expected, note, &first, &error), MLFA_E_INVALID_ARGUMENT);
    wait_for(&first.times, 1);
    second.expected = start_stat(store, "absent");
    CHECK_OK(mlfa_task_wait(second.expected, MLFA_FOREVER, &error));
    CHECK_OK(mlfa_task_on_done(second.expected, note, &second, &error));
    wait_for(&second.times, 1);
    CHECK_STATUS(mlfa_task_on_done(second.expected, note, &second, &error), MLFA_E_INVALID_ARGUMENT);
    pause_ms(20);
    mlfa_task_free(first.expected);
    mlfa_task_free(second.expected);
    CHECK(atomic_load(&first.times) == 1 && atomic_load(&second.times) == 1);
    CHECK(pthread_equal(first.thread, second.thread) && !pthread_equal(first.thread, pthread_self()));
}

static void release_counted(void *user) {
    atomic_fetch_add((atomic_int *)user, 1);
}

static void use_the_library(mlfa_task *task, void *user) {
    struct called *called = user;
    mlfa_store *store = called->store, *opened = UNTOUCHED;
    mlfa_meta *meta = UNTOUCHED;
    mlfa_bytes *bytes = UNTOUCHED;
    mlfa_context *context = UNTOUCHED;
    mlfa_task *other = UNTOUCHED;
    mlfa_report *report = UNTOUCHED;
    atomic_int released;
    uint8_t byte = 0;
    size_t read = 77;
    atomic_init(&released, 0);
    CHECK_STATUS(mlfa_stat(store, "", 0, &meta, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_get_bytes(store, "a", 1, 0, 1, &bytes, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_get_into(store, "a", 1, 0, &byte, 1, &read, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_put_bytes(store, "no", 2, &byte, 1, NULL, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_put_owned(store, "no", 2, &byte, 1, release_counted, &released, NULL, &error), MLFA_E_REENTRANT);
    CHECK(atomic_load(&released) == 1);
    CHECK_STATUS(mlfa_create_directory(store, "no", 2, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_delete(store, "a", 1, 0, NULL, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_copy(store, "a", 1, "no", 2, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_upload_file(store, "local/a", 7, "no", 2, NULL, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_download_file(store, "a", 1, "no", 2, NULL, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_upload_tree(store, "local", 5, "no", 2, NULL, &report, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_download_tree(store, "", 0, "no", 2, NULL, &report, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_task_wait(task, 0, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_task_wait(task, MLFA_FOREVER, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_queue_next(called->queue, 0, NULL, &other, &error), MLFA_E_REENTRANT);
    CHECK_STATUS(mlfa_context_new(NULL, &context, &error), MLFA_E_REENTRANT);
    CHECK_OK(mlfa_store_open(called->context, "memory:", SIZE_MAX, NULL, &opened, &error));
    mlfa_store_release(opened);

    mlfa_progress progress = MLFA_PROGRESS_INIT;
    mlfa_queue *own = UNTOUCHED;
    CHECK_OK(mlfa_task_progress(task, &progress, &error));
    CHECK_OK(mlfa_task_result(task, &error));
    check_takes(task, META, MLFA_E_INVALID_ARGUMENT);
    CHECK_OK(mlfa_task_take_meta(task, &meta, &error));
    mlfa_meta_free(meta);
    CHECK_OK(mlfa_queue_new(&own, &error));
    mlfa_queue_free(own);
    CHECK(mlfa_store_retain(store) == store);
    mlfa_store_release(store);
    called->started = start_put(store, "from a callback", "x", 1);
    CHECK_OK(mlfa_task_submit_to(called->started, called->queue, 9, &error));
    mlfa_task_cancel(task);
    mlfa_task_free(task);
    forget_error();
    called->thread = pthread_self();
    atomic_fetch_add(&called->times, 1);
}

static void callbacks_use_the_library(mlfa_context *context, mlfa_store *store) {
    struct called called;
    memset(&called, 0, sizeof called);
    called.context = context;
    called.store = store;
    called.queue = new_queue();
    CHECK_OK(mlfa_task_on_done(start_stat(store, ""), use_the_library, &called, &error));
    wait_for(&called.times, 1);
    uint64_t tag = 0;
    CHECK(next_of(called.queue, &tag) == called.started && tag == 9);
    take_meta_of(called.started, "from a callback", 1);
    mlfa_queue_free(called.queue);
    CHECK(!is_stored(store, "no") && !is_there("no"));
}

/* What a callback counts in memory that is gone when mlfa_task_free has returned. */
static void count_done(mlfa_task *task, void *user) {
    (void)task;
    atomic_fetch_add((atomic_int *)user, 1);
    if (atomic_load((atomic_int *)user) % 2) {
        sched_yield();
    }
    CHECK(atomic_load((atomic_int *)user) == 1);
}

static void no_callback_after_free(mlfa_store *store) {
    int count = rounds(100) * 20, called = 0;
    for (int round = 0; round < count; round++) {
        atomic_int *times = malloc(sizeof *times);
        CHECK(times != NULL);
        atomic_init(times, 0);
        mlfa_task *task = start_stat(store, "");
        CHECK_OK(mlfa_task_on_done(task, count_done, times, &error));
        switch (round % 4) {
        case 0:
            CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
            break;
        case 1:
            for (volatile int spin = 0; spin < round * 20; spin++) {
            }
            break;
        case 2:
            sched_yield();
            break;
        }
        mlfa_task_free(task);
        called += atomic_load(times);
        CHECK(atomic_load(times) <= 1);
        free(times);
    }
    CHECK(called <= count);
}

struct slow {
    atomic_int is_in, is_out;
};

static void take_long(mlfa_task *task, void *user) {
    struct slow *slow = user;
    (void)task;
    atomic_store(&slow->is_in, 1);
    pause_ms(A_WHILE);
    atomic_store(&slow->is_out, 1);
}

static void freeing_waits_for_the_callback(mlfa_store *store) {
    struct slow slow;
    atomic_init(&slow.is_in, 0);
    atomic_init(&slow.is_out, 0);
    mlfa_task *task = start_stat(store, "");
    mlfa_queue *queue = new_queue();
    CHECK_OK(mlfa_task_on_done(task, take_long, &slow, &error));
    wait_for(&slow.is_in, 1);
    /* It holds up neither waits nor queues. */
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    CHECK_OK(mlfa_task_submit_to(task, queue, 1, &error));
    CHECK(next_of(queue, NULL) == task);
    mlfa_task_free(task);
    CHECK(atomic_load(&slow.is_out) == 1);
    mlfa_queue_free(queue);
}

struct told {
    atomic_int times, inside;
    int32_t answer;
    pthread_t thread;
    uint64_t files_done;
};

static int32_t hear(const mlfa_progress *progress, void *user) {
    struct told *told = user;
    CHECK(atomic_fetch_add(&told->inside, 1) == 0);
    CHECK(atomic_fetch_add(&told->times, 1) == 0 || pthread_equal(told->thread, pthread_self()));
    CHECK(progress->files_done >= told->files_done && progress->bytes_done <= progress->bytes_found);
    told->thread = pthread_self();
    told->files_done = progress->files_done;
    mlfa_context *context = UNTOUCHED;
    CHECK_STATUS(mlfa_context_new(NULL, &context, &error), MLFA_E_REENTRANT);
    forget_error();
    CHECK(atomic_fetch_sub(&told->inside, 1) == 1);
    return told->answer;
}

#define FILES 100

static void progress_is_told_on_the_callback_thread(mlfa_store *store) {
    mlfa_transfer_options options = MLFA_TRANSFER_OPTIONS_INIT;
    mlfa_task *task = UNTOUCHED;
    struct told told;
    struct called called;
    memset(&told, 0, sizeof told);
    memset(&called, 0, sizeof called);
    called.expected = start_stat(store, "");
    CHECK_OK(mlfa_task_on_done(called.expected, note, &called, &error));
    wait_for(&called.times, 1);
    mlfa_task_free(called.expected);

    options.progress = hear;
    options.user = &told;
    options.progress_interval_ms = 1;
    options.files = 1;
    CHECK_OK(mlfa_upload_tree_start(store, "many", SIZE_MAX, "told", SIZE_MAX, &options, &task, &error));
    /* The options were copied. */
    memset(&options, 0xa5, sizeof options);
    take_report_of(task, FILES);
    CHECK(atomic_load(&told.times) >= 1 && told.files_done == FILES);
    CHECK(pthread_equal(told.thread, called.thread) && !pthread_equal(told.thread, pthread_self()));

    mlfa_transfer_options cancelling = MLFA_TRANSFER_OPTIONS_INIT;
    memset(&told, 0, sizeof told);
    told.answer = 1;
    cancelling.progress = hear;
    cancelling.user = &told;
    cancelling.progress_interval_ms = 1;
    cancelling.files = 1;
    int is_cancelled = 0;
    /* It may be over before it is told of; a store in memory mostly is. */
    for (int attempt = 0; attempt < 20 && !is_cancelled; attempt++) {
        CHECK_OK(mlfa_upload_tree_start(store, "many", SIZE_MAX, "stopped", SIZE_MAX, &cancelling, &task, &error));
        CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
        is_cancelled = mlfa_task_result(task, NULL) != MLFA_OK;
        if (is_cancelled) {
            check_fails(task, MLFA_E_CANCELLED);
        } else {
            mlfa_task_free(task);
        }
    }
    CHECK(is_cancelled || strcmp(mlfa_store_scheme(store), "file") != 0);
    check_no_temporaries("store");

    /* Freed at any time: what `user` points to is not used any more. */
    for (int round = rounds(20); round > 0; round--) {
        struct told *own = calloc(1, sizeof *own);
        CHECK(own != NULL);
        cancelling.user = own;
        CHECK_OK(mlfa_upload_tree_start(store, "many", SIZE_MAX, "stopped", SIZE_MAX, &cancelling, &task, &error));
        pause_ms(round % 5);
        mlfa_task_free(task);
        free(own);
    }
}

/* ---- Memory ---- */

struct block_of_memory {
    atomic_int *released;
    uint8_t *data;
};

static void release_block(void *user) {
    struct block_of_memory *block = user;
    free(block->data);
    atomic_fetch_add(block->released, 1);
    free(block);
}

static struct block_of_memory *new_block(atomic_int *released, size_t size) {
    struct block_of_memory *block = malloc(sizeof *block);
    CHECK(block != NULL);
    block->released = released;
    block->data = some_bytes(size, 7);
    return block;
}

/* What was put, and removed again: a store in memory keeps the bytes so long. */
static void check_was_put(mlfa_store *store, const char *path, mlfa_status status, const void *content, size_t size) {
    if (status == MLFA_OK) {
        check_content(store, path, content, size);
        CHECK_OK(mlfa_delete(store, path, SIZE_MAX, 0, NULL, &error));
    }
}

static void owned_memory_is_released_once(mlfa_store *store) {
    static atomic_int released;
    const size_t size = 300000;
    uint8_t *content = some_bytes(size, 7);
    mlfa_put_options wrong = MLFA_PUT_OPTIONS_INIT;
    mlfa_task *task = UNTOUCHED;
    wrong.mode = 99;
    int expected = 0;
    atomic_init(&released, 0);
#define OWNED(given, path, options, expected_status)                                                                \
    do {                                                                                                            \
        struct block_of_memory *block = new_block(&released, size);                                                 \
        CHECK_STATUS(mlfa_put_owned(given, path, SIZE_MAX, block->data, size, release_block, block, options, &error), \
                     expected_status);                                                                              \
        check_was_put(given, path, expected_status, content, size);                                                 \
        wait_for(&released, ++expected);                                                                            \
        block = new_block(&released, size);                                                                         \
        mlfa_status begun = mlfa_put_owned_start(given, path, SIZE_MAX, block->data, size, release_block, block,    \
                                                 options, &task, NULL);                                             \
        CHECK(begun == (expected_status) || (begun == MLFA_OK && task != NULL));                                    \
        if (begun == MLFA_OK) {                                                                                     \
            check_ends(task, expected_status);                                                                      \
        } else {                                                                                                    \
            CHECK(task == NULL);                                                                                    \
        }                                                                                                           \
        check_was_put(given, path, expected_status, content, size);                                                 \
        wait_for(&released, ++expected);                                                                            \
        mlfa_task_free(task);                                                                                       \
    } while (0)
    OWNED(store, "owned/a", NULL, MLFA_OK);
    put_text(store, "owned/file", "");
    OWNED(store, "owned", NULL, MLFA_E_IS_A_DIRECTORY);
    OWNED(store, "..", NULL, MLFA_E_INVALID_PATH);
    OWNED(store, "owned/b", &wrong, MLFA_E_INVALID_ARGUMENT);
    OWNED(NULL, "owned/b", NULL, MLFA_E_NULL_POINTER);
    OWNED(store, NULL, NULL, MLFA_E_NULL_POINTER);
#undef OWNED
    struct block_of_memory *block = new_block(&released, size);
    CHECK_STATUS(mlfa_put_owned_start(store, "owned/b", SIZE_MAX, block->data, size, release_block, block, NULL, NULL,
                                      &error),
                 MLFA_E_NULL_POINTER);
    wait_for(&released, ++expected);
    block = new_block(&released, 1);
    CHECK_STATUS(mlfa_put_owned(store, "owned/b", SIZE_MAX, NULL, 1, release_block, block, NULL, &error),
                 MLFA_E_NULL_POINTER);
    wait_for(&released, ++expected);
    block = new_block(&released, 1);
    CHECK_STATUS(mlfa_put_owned_start(store, "owned/b", SIZE_MAX, block->data, SIZE_MAX, release_block, block, NULL,
                                      &task, &error),
                 MLFA_E_INVALID_ARGUMENT);
    wait_for(&released, ++expected);
    block = new_block(&released, 1);
    CHECK_OK(mlfa_put_owned(store, "owned/empty", SIZE_MAX, NULL, 0, release_block, block, NULL, &error));
    check_was_put(store, "owned/empty", MLFA_OK, NULL, 0);
    wait_for(&released, ++expected);

    for (int round = rounds(100); round > 0; round--) {
        block = new_block(&released, size);
        CHECK_OK(mlfa_put_owned_start(store, "owned/c", SIZE_MAX, block->data, size, release_block, block, NULL, &task,
                                      &error));
        if (round % 3 == 0) {
            mlfa_task_cancel(task);
        }
        if (round % 3 == 1) {
            pause_ms(1);
        }
        mlfa_task_free(task);
        ++expected;
    }
    /* What was freed may still be on its way. */
    do {
        pause_ms(1);
        if (is_stored(store, "owned/c")) {
            check_was_put(store, "owned/c", MLFA_OK, content, size);
        }
    } while (atomic_load(&released) < expected);
    pause_ms(20);
    CHECK(atomic_load(&released) == expected);
    CHECK(!is_stored(store, "owned/b"));
    free(content);
}

static void lent_memory_is_given_back(mlfa_store *store) {
    const size_t size = 1 << 20;
    uint8_t *content = some_bytes(size, 3), *same = allocate(size);
    CHECK_OK(mlfa_put_bytes(store, "lent", SIZE_MAX, content, size, NULL, &error));
    memset(same, 0xee, size);
    for (int round = rounds(100); round > 0; round--) {
        mlfa_task *task = UNTOUCHED;
        uint8_t *buffer = allocate(size);
        CHECK_OK(mlfa_get_into_start(store, "lent", SIZE_MAX, 0, buffer, size, &task, &error));
        for (volatile int spin = 0; spin < round * 3000; spin++) {
        }
        mlfa_task_free(task);
        memset(buffer, 0xee, size);
        if (round % 10 == 0) {
            pause_ms(3);
        }
        CHECK(memcmp(buffer, same, size) == 0);
        free(buffer);
    }
    free(content);
    free(same);
}

/* ---- The life of handles ---- */

static void free_everything(mlfa_task *task, void *user) {
    struct called *called = user;
    mlfa_context_release(called->context);
    mlfa_store_release(called->store);
    mlfa_task_free(task);
    atomic_fetch_add(&called->times, 1);
}

static void tasks_outlive_their_store(const char *uri) {
    const size_t size = 4 << 20;
    uint8_t *content = some_bytes(size, 5);
    for (int order = 0; order < 6; order++) {
        mlfa_context *context = new_context();
        mlfa_store *store = open_store(context, uri);
        mlfa_queue *queue = new_queue();
        mlfa_task *task = start_put(store, "outlives", content, size);
        struct called called;
        memset(&called, 0, sizeof called);
        called.context = context;
        called.store = store;
        switch (order) {
        case 0: /* The task goes on. */
            mlfa_context_release(context);
            mlfa_store_release(store);
            take_meta_of(task, "outlives", size);
            break;
        case 1: /* The task is the last. */
            mlfa_context_release(context);
            mlfa_store_release(store);
            mlfa_task_free(task);
            break;
        case 2: /* The context is the last. */
            mlfa_task_free(task);
            mlfa_store_release(store);
            mlfa_context_release(context);
            break;
        case 3: /* A queue hands it out afterwards. */
            CHECK_OK(mlfa_task_submit_to(task, queue, 1, &error));
            mlfa_store_release(store);
            mlfa_context_release(context);
            CHECK(next_of(queue, NULL) == task);
            take_meta_of(task, "outlives", size);
            break;
        case 4: /* A queue frees it. */
            CHECK_OK(mlfa_task_submit_to(task, queue, 1, &error));
            mlfa_store_release(store);
            mlfa_context_release(context);
            break;
        default: /* A callback gives the last of all up. */
            CHECK_OK(mlfa_task_on_done(task, free_everything, &called, &error));
            wait_for(&called.times, 1);
            break;
        }
        mlfa_queue_free(queue);
        CHECK(count_temporaries("store") == 0);
    }
    /* A transfer that tells of its progress. */
    for (int round = rounds(20); round > 0; round--) {
        mlfa_context *context = new_context();
        mlfa_store *store = open_store(context, uri);
        mlfa_transfer_options options = MLFA_TRANSFER_OPTIONS_INIT;
        struct told *told = calloc(1, sizeof *told);
        mlfa_task *task = UNTOUCHED;
        CHECK(told != NULL);
        options.progress = hear;
        options.user = told;
        options.progress_interval_ms = 1;
        CHECK_OK(mlfa_upload_tree_start(store, "many", SIZE_MAX, "left", SIZE_MAX, &options, &task, &error));
        pause_ms(round % 4);
        mlfa_task_free(task);
        free(told);
        mlfa_store_release(store);
        mlfa_context_release(context);
        CHECK(count_temporaries("store") == 0);
    }
    free(content);
}

/* ---- Threads ---- */

#define THREADS 6

struct worker {
    int number;
    mlfa_store *store;
};

static void *work(void *argument) {
    const struct worker *worker = argument;
    mlfa_queue *queue = new_queue();
    unsigned state = (unsigned)worker->number * 7919 + 1;
    uint64_t queued = 0;
    char path[32] = {0};
    snprintf(path, sizeof path, "threads/%d", worker->number);
    for (int round = rounds(100); round > 0; round--) {
        state = state * 1664525U + 1013904223U;
        mlfa_task *task = state >> 30 == 0   ? start_stat(worker->store, path)
                          : state >> 30 == 1 ? start_put(worker->store, path, path, sizeof path)
                                             : start_upload(worker->store, "local/deep/b", path, NULL);
        switch (state >> 20 & 7) {
        case 0:
            mlfa_task_cancel(task);
            /* fall through */
        case 1:
            CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
            mlfa_status status = mlfa_task_result(task, NULL);
            CHECK(status == MLFA_OK || status == MLFA_E_NOT_FOUND ||
                  ((state >> 20 & 7) == 0 && status == MLFA_E_CANCELLED));
            mlfa_task_free(task);
            break;
        case 2:
            mlfa_task_cancel(task);
            /* fall through */
        case 3:
            mlfa_task_free(task);
            break;
        case 4:
            mlfa_task_cancel(task);
            /* fall through */
        default:
            CHECK_OK(mlfa_task_submit_to(task, queue, queued++, &error));
        }
    }
    for (uint64_t at = 0; at < queued / 2; at++) {
        mlfa_task_free(next_of(queue, NULL));
    }
    mlfa_queue_free(queue);
    forget_error();
    return NULL;
}

static void *cancel_often(void *task) {
    for (int round = 0; round < 50; round++) {
        mlfa_task_cancel(task);
        CHECK(mlfa_task_wait(task, 0, NULL) == MLFA_OK || mlfa_task_is_done(task) >= 0);
    }
    return NULL;
}

static void many_threads_use_tasks(mlfa_store *store) {
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (int at = 0; at < THREADS; at++) {
        workers[at].number = at;
        workers[at].store = store;
        CHECK(pthread_create(&threads[at], NULL, work, &workers[at]) == 0);
    }
    for (int at = 0; at < THREADS; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    /* Several threads cancel one task. */
    for (int round = rounds(30); round > 0; round--) {
        mlfa_task *task = start_upload(store, "local/deep/b", "threads/cancelled", NULL);
        for (int at = 0; at < 3; at++) {
            CHECK(pthread_create(&threads[at], NULL, cancel_often, task) == 0);
        }
        for (int at = 0; at < 3; at++) {
            CHECK(pthread_join(threads[at], NULL) == 0);
        }
        CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
        mlfa_status status = mlfa_task_result(task, NULL);
        CHECK(status == MLFA_OK || status == MLFA_E_CANCELLED);
        mlfa_task_free(task);
    }
}

/* ---- What debug builds of the library find ---- */

static int real_stderr;

/* Until lines_caught. */
static void catch_stderr(void) {
    fflush(stderr);
    real_stderr = dup(2);
    int file = open("stderr", O_RDWR | O_CREAT | O_TRUNC, 0666);
    CHECK(real_stderr >= 0 && file >= 0 && dup2(file, 2) == 2);
    close(file);
}

static size_t lines_caught(void) {
    char text[4096];
    size_t lines = 0;
    CHECK(dup2(real_stderr, 2) == 2);
    close(real_stderr);
    FILE *file = fopen("stderr", "r");
    CHECK(file != NULL);
    while (fgets(text, sizeof text, file) != NULL) {
        lines += strncmp(text, "mlflow-artifacts: ", 18) == 0;
    }
    fclose(file);
    return lines;
}

static void misuse_is_found(mlfa_store *store) {
    mlfa_task *task = start_stat(store, ""), *out = UNTOUCHED;
    mlfa_queue *queue = new_queue();
    mlfa_progress progress = MLFA_PROGRESS_INIT;
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    mlfa_task_free(task);
    mlfa_queue_free(queue);

    catch_stderr();
    mlfa_task_free(task);
    mlfa_queue_free(queue);
    mlfa_task_free((mlfa_task *)store);
    mlfa_queue_free((mlfa_queue *)store);
    CHECK(lines_caught() == 4);

    CHECK_STATUS(mlfa_task_wait(task, 0, &error), MLFA_E_INVALID_HANDLE);
    CHECK_STATUS(mlfa_task_result(task, &error), MLFA_E_INVALID_HANDLE);
    CHECK_STATUS(mlfa_task_progress(task, &progress, &error), MLFA_E_INVALID_HANDLE);
    CHECK_STATUS(mlfa_task_on_done(task, block, NULL, &error), MLFA_E_INVALID_HANDLE);
    check_takes(task, NOTHING, MLFA_E_INVALID_HANDLE);
    mlfa_task_cancel(task);
    CHECK(mlfa_task_is_done(task) == 1 && mlfa_queue_fd(queue) == -1);
    CHECK_STATUS(mlfa_queue_next(queue, 0, NULL, &out, &error), MLFA_E_INVALID_HANDLE);
    CHECK_STATUS(mlfa_queue_next((mlfa_queue *)store, 0, NULL, &out, &error), MLFA_E_INVALID_HANDLE);
    CHECK_STATUS(mlfa_stat_start((mlfa_store *)task, "", 0, &out, &error), MLFA_E_INVALID_HANDLE);
    task = start_stat(store, "");
    CHECK_STATUS(mlfa_task_submit_to(task, queue, 0, &error), MLFA_E_INVALID_HANDLE);
    CHECK_STATUS(mlfa_task_submit_to(task, (mlfa_queue *)task, 0, &error), MLFA_E_INVALID_HANDLE);
    CHECK_STATUS(mlfa_stat_start((mlfa_store *)task, "", 0, &out, &error), MLFA_E_INVALID_HANDLE);
    check_answers(task, META);
    mlfa_task_free(task);
}

static void tasks_of(mlfa_context *context, const char *uri) {
    mlfa_store *store = open_store(context, uri);
    reads_are_started(store);
    writes_are_started(store);
    transfers_are_started(store);
    progress_is_read_by_its_size(store);
    a_queue_hands_out_what_ended(store);
    queued_tasks_have_one_queue(store);
    many_threads_share_a_queue(store);
    null_is_refused(store);
    wrong_arguments_start_nothing(store);
    callbacks_are_called_once(store);
    callbacks_use_the_library(context, store);
    no_callback_after_free(store);
    freeing_waits_for_the_callback(store);
    progress_is_told_on_the_callback_thread(store);
    owned_memory_is_released_once(store);
    lent_memory_is_given_back(store);
    many_threads_use_tasks(store);
    if (FINDS_MISUSE) {
        misuse_is_found(store);
    }
    mlfa_store_release(store);

    a_running_task_answers_busy(uri);
    freeing_a_task_ends_the_waits(uri);
    freeing_a_queue_frees_its_tasks(uri);
    tasks_outlive_their_store(uri);
}

int main(int argc, char **argv) {
    enter(argc, argv);
    make_directory("store");
    make_directory("local");
    make_directory("local/deep");
    write_some_bytes("local/a", 1000, 1);
    write_some_bytes("local/deep/b", 70000, 2);
    make_directory("many");
    for (int at = 0; at < FILES; at++) {
        char path[32];
        snprintf(path, sizeof path, "many/%d", at);
        write_some_bytes(path, 5000, (uint32_t)at);
    }
    mlfa_context *context = new_context();
    tasks_of(context, "memory:");
    tasks_of(context, file_uri("store"));
    mlfa_context_release(context);
    CHECK(count_temporaries(".") == 0);
    return passed();
}
