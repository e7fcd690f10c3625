/* A context survives fork: parent, child and grandchild go on with it, whoever forked and whatever they do with it. */
#include "check.h"

#include "forks.h"

#include <pthread.h>

#define ROUNDS 100
/* A process that has not done its part of a round by then hangs. */
#define SECONDS_PER_ROUND 600

struct handles {
    mlfa_context *context;
    mlfa_store *file, *memory;
};

static struct handles make_handles(void) {
    struct handles made;
    made.context = new_context();
    made.file = open_store(made.context, "file:store");
    made.memory = open_store(made.context, "memory:");
    return made;
}

static void release_handles(struct handles *handles) {
    mlfa_context_release(handles->context);
    mlfa_store_release(handles->memory);
    mlfa_store_release(handles->file);
}

static void use(const struct handles *handles, const char *who) {
    use_store(handles->file, who);
    use_store(handles->memory, who);
}

/* ---- One round ---- */

/* In each third child, one forks again, one gives up what it inherited and makes its own, one does nothing more. */
static void be_child(struct handles *handles, int round) {
    use(handles, "child");
    if (round % 3 == 1) {
        pid_t grandchild = fork_for(SECONDS_PER_ROUND);
        if (grandchild == 0) {
            use(handles, "grandchild");
            release_handles(handles);
            leave(round / 3);
        }
        use(handles, "child");
        wait_for(grandchild);
    } else if (round % 3 == 2) {
        release_handles(handles);
        struct handles own = make_handles();
        use(&own, "child");
        release_handles(&own);
    }
    leave(round);
}

/* What was begun before the fork, and what was complete. */
struct inherited {
    mlfa_list *list;
    mlfa_reader *reader;
    mlfa_writer *writer;
    mlfa_multipart *multipart;
    mlfa_task *task;
    mlfa_queue *queue;
    mlfa_meta *meta;
    mlfa_bytes *bytes;
    mlfa_error *error;
};

static struct inherited make_inherited(mlfa_store *store) {
    struct inherited made;
    const mlfa_meta *entry = UNTOUCHED;
    mlfa_meta *none = NULL;
    CHECK_OK(mlfa_list_open(store, "parent", SIZE_MAX, MLFA_LIST_RECURSIVE, &made.list, &error));
    CHECK_OK(mlfa_list_next(made.list, &entry, &error));
    CHECK_TEXT(mlfa_meta_path(entry), "parent/put");
    CHECK_OK(mlfa_stat(store, "parent/put", SIZE_MAX, &made.meta, &error));
    CHECK_OK(mlfa_get_bytes(store, "parent/put", SIZE_MAX, 0, 6, &made.bytes, &error));
    CHECK(mlfa_stat(store, "absent", SIZE_MAX, &none, &made.error) == MLFA_E_NOT_FOUND);
    CHECK_OK(mlfa_reader_open(store, "parent/put", SIZE_MAX, 0, MLFA_TO_THE_END, &made.reader, &error));
    CHECK_OK(mlfa_writer_open(store, "begun/written", SIZE_MAX, MLFA_LENGTH_UNKNOWN, NULL, &made.writer, &error));
    CHECK_OK(mlfa_writer_write(made.writer, (const uint8_t *)"before ", 7, &error));
    CHECK_OK(mlfa_multipart_create(store, "begun/parts", SIZE_MAX, 5, 0, NULL, &made.multipart, &error));
    CHECK_OK(mlfa_queue_new(&made.queue, &error));
    CHECK_OK(mlfa_stat_start(store, "parent/put", SIZE_MAX, &made.task, &error));
    if (strcmp(mlfa_store_scheme(store), "memory") == 0) {
        /* A thread that is just using a store in memory keeps it locked in the child for ever (ABI.md). */
        CHECK_OK(mlfa_task_wait(made.task, MLFA_FOREVER, &error));
    }
    CHECK_OK(mlfa_task_submit_to(made.task, made.queue, 7, &error));
    return made;
}

/* A child can do nothing with what was begun, and what it gives up of it stays with the parent. */
static void child_cannot_go_on(struct inherited *inherited) {
    const mlfa_meta *entry = UNTOUCHED;
    mlfa_progress progress = MLFA_PROGRESS_INIT;
    mlfa_task *task = UNTOUCHED;
    mlfa_meta *meta = UNTOUCHED;
    uint8_t buffer[8];
    size_t read = 1;
    uint64_t tag = 1;
    CHECK_STATUS(mlfa_list_next(inherited->list, &entry, &error), MLFA_E_FORKED);
    CHECK(entry == NULL);
    CHECK_STATUS(mlfa_reader_read(inherited->reader, buffer, sizeof buffer, &read, &error), MLFA_E_FORKED);
    CHECK(read == 0);
    CHECK_STATUS(mlfa_reader_seek(inherited->reader, 0, &error), MLFA_E_FORKED);
    CHECK_STATUS(mlfa_writer_write(inherited->writer, buffer, 1, &error), MLFA_E_FORKED);
    CHECK_STATUS(mlfa_writer_finish(inherited->writer, NULL, &error), MLFA_E_FORKED);
    CHECK_STATUS(mlfa_writer_abort(inherited->writer, &error), MLFA_E_FORKED);
    CHECK_STATUS(mlfa_multipart_put_part(inherited->multipart, 1, buffer, 1, NULL, &error), MLFA_E_FORKED);
    CHECK_STATUS(mlfa_multipart_complete(inherited->multipart, NULL, &error), MLFA_E_FORKED);
    CHECK_STATUS(mlfa_multipart_abort(inherited->multipart, &error), MLFA_E_FORKED);
    CHECK_STATUS(mlfa_queue_next(inherited->queue, MLFA_FOREVER, &tag, &task, &error), MLFA_E_FORKED);
    CHECK(tag == 0 && task == NULL);
    CHECK(mlfa_queue_fd(inherited->queue) == -1);
    CHECK_STATUS(mlfa_task_wait(inherited->task, MLFA_FOREVER, &error), MLFA_E_FORKED);
    CHECK_STATUS(mlfa_task_result(inherited->task, &error), MLFA_E_FORKED);
    CHECK_STATUS(mlfa_task_take_meta(inherited->task, &meta, &error), MLFA_E_FORKED);
    CHECK_STATUS(mlfa_task_progress(inherited->task, &progress, &error), MLFA_E_FORKED);
    CHECK(mlfa_task_is_done(inherited->task) == 1);
    mlfa_task_cancel(inherited->task);
    mlfa_task_free(inherited->task);
}

static void parent_goes_on(struct inherited *inherited, mlfa_store *store) {
    const mlfa_meta *entry = UNTOUCHED;
    mlfa_task *task = UNTOUCHED;
    mlfa_meta *meta = UNTOUCHED;
    uint8_t buffer[8];
    size_t read = 0;
    uint64_t tag = 0;
    CHECK_OK(mlfa_list_next(inherited->list, &entry, &error));
    CHECK_TEXT(mlfa_meta_path(entry), "parent/uploaded");
    CHECK_OK(mlfa_list_next(inherited->list, &entry, &error));
    CHECK(entry == NULL);
    CHECK_OK(mlfa_reader_read(inherited->reader, buffer, sizeof buffer, &read, &error));
    CHECK(read == 6 && memcmp(buffer, "parent", 6) == 0);
    CHECK_OK(mlfa_writer_write(inherited->writer, (const uint8_t *)"and after", 9, &error));
    CHECK_OK(mlfa_writer_finish(inherited->writer, NULL, &error));
    check_content_text(store, "begun/written", "before and after");
    CHECK_OK(mlfa_multipart_put_part(inherited->multipart, 1, (const uint8_t *)"parts", 5, NULL, &error));
    CHECK_OK(mlfa_multipart_complete(inherited->multipart, NULL, &error));
    check_content_text(store, "begun/parts", "parts");
    CHECK_OK(mlfa_queue_next(inherited->queue, MLFA_FOREVER, &tag, &task, &error));
    CHECK(tag == 7 && task == inherited->task);
    CHECK_OK(mlfa_task_take_meta(task, &meta, &error));
    CHECK_TEXT(mlfa_meta_path(meta), "parent/put");
    mlfa_meta_free(meta);
    mlfa_task_free(task);
}

static void use_inherited(struct inherited *inherited, mlfa_store *store) {
    if (is_child) {
        child_cannot_go_on(inherited);
    } else {
        parent_goes_on(inherited, store);
    }
    CHECK_TEXT(mlfa_meta_path(inherited->meta), "parent/put");
    CHECK(memcmp(mlfa_bytes_data(inherited->bytes), "parent", 6) == 0);
    CHECK_TEXT(mlfa_error_path(inherited->error), "absent");
    mlfa_list_free(inherited->list);
    mlfa_reader_free(inherited->reader);
    mlfa_writer_free(inherited->writer);
    mlfa_multipart_release(inherited->multipart);
    mlfa_queue_free(inherited->queue);
    mlfa_meta_free(inherited->meta);
    mlfa_bytes_release(inherited->bytes);
    mlfa_error_free(inherited->error);
}

static void run_round(struct handles *handles, int round) {
    alarm(2 * SECONDS_PER_ROUND);
    use(handles, "parent");
    mlfa_store *store = round % 2 == 0 ? handles->file : handles->memory;
    struct inherited inherited = make_inherited(store);
    pid_t child = fork_for(SECONDS_PER_ROUND);
    if (child == 0) {
        use_inherited(&inherited, store);
        be_child(handles, round);
    }
    use_inherited(&inherited, store);
    use(handles, "parent");
    wait_for(child);
    alarm(0);
}

/* ---- Who forks ---- */

static void handles_of_the_first_round_serve_all(int count) {
    struct handles handles = make_handles();
    for (int round = 0; round < count; round++) {
        run_round(&handles, round);
    }
    release_handles(&handles);
}

static void each_round_has_its_own_handles(int count) {
    for (int round = 0; round < count; round++) {
        struct handles handles = make_handles();
        run_round(&handles, round);
        release_handles(&handles);
    }
}

/* Handles that were never used before the fork. */
static void unused_handles_survive(void) {
    for (int round = 0; round < 3; round++) {
        alarm(2 * SECONDS_PER_ROUND);
        struct handles handles = make_handles();
        pid_t child = fork_for(SECONDS_PER_ROUND);
        if (child == 0) {
            be_child(&handles, round);
        }
        wait_for(child);
        release_handles(&handles);
        alarm(0);
    }
}

static struct handles of_threads;

static void *fork_in_thread(void *argument) {
    const int *count = argument;
    for (int round = 0; round < *count; round++) {
        run_round(&of_threads, round);
    }
    forget_error();
    return NULL;
}

static void another_thread_forks(int count) {
    pthread_t thread;
    of_threads = make_handles();
    CHECK(pthread_create(&thread, NULL, fork_in_thread, &count) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    release_handles(&of_threads);
}

/* The callback of a transfer forks: the child's call ends, and what it inherited works. */
static pid_t forked_in_callback;

static int32_t fork_in_callback(const mlfa_progress *progress, void *user) {
    (void)progress;
    (void)user;
    if (forked_in_callback < 0) {
        forked_in_callback = fork_for(SECONDS_PER_ROUND);
    }
    return 0;
}

static void a_callback_forks(void) {
    struct handles handles = make_handles();
    mlfa_transfer_options options = MLFA_TRANSFER_OPTIONS_INIT;
    options.progress = fork_in_callback;
    forked_in_callback = -1;
    alarm(2 * SECONDS_PER_ROUND);
    forget_error();
    mlfa_status status = mlfa_upload_file(handles.file, "local", SIZE_MAX, "callback", SIZE_MAX, &options, &error);
    CHECK(status == (is_child ? MLFA_E_FORKED : MLFA_OK));
    use(&handles, is_child ? "child" : "parent");
    if (is_child) {
        leave(0);
    }
    wait_for(forked_in_callback);
    release_handles(&handles);
    alarm(0);
}

int main(int argc, char **argv) {
    enter(argc, argv);
    end_in_time();
    write_text("local", "content");
    int count = rounds(ROUNDS);
    handles_of_the_first_round_serve_all(count);
    each_round_has_its_own_handles(count);
    another_thread_forks((count + 3) / 4);
    unused_handles_survive();
    a_callback_forks();
    return passed();
}
