/* Forks of a process with connections: each process has its own, whatever went on when it was forked.
 *
 * MLFA_TEST_HTTP_STORE is the URI of an empty store that is reached by HTTP. */
#include "check.h"

#include "forks.h"

#include <pthread.h>

/* What takes longer hangs. */
#define SECONDS 600

#define WORKERS 4

struct handles {
    mlfa_context *context;
    mlfa_store *http, *file;
};

static struct handles handles;

static void use(const char *who) {
    use_store(handles.http, who);
    use_store(handles.file, who);
}

static void nap(void) {
    nanosleep(&(struct timespec){0, 100000}, NULL);
}

/* ---- During a transfer ---- */

/* How large the file is that a fork is to find on its way. */
static size_t large(void) {
    return (size_t)rounds(64) << 20;
}

static mlfa_task *start_upload(const char *local) {
    mlfa_task *task = UNTOUCHED;
    CHECK_OK(mlfa_upload_file_start(handles.http, local, SIZE_MAX, "large", SIZE_MAX, NULL, &task, &error));
    return task;
}

static mlfa_task *start_download(const char *local) {
    mlfa_task *task = UNTOUCHED;
    CHECK_OK(mlfa_download_file_start(handles.http, "large", SIZE_MAX, local, SIZE_MAX, NULL, &task, &error));
    return task;
}

/* Waits for a part of the content to be over the wire. */
static void wait_until_it_moves(mlfa_task *task) {
    mlfa_progress progress = MLFA_PROGRESS_INIT;
    while (progress.bytes_done == 0 && !mlfa_task_is_done(task)) {
        nap();
        CHECK_OK(mlfa_task_progress(task, &progress, &error));
    }
}

/* The child can do nothing with the task, and everything with the store: also the same as the task does. */
static void child_transfers_by_itself(mlfa_task *task, int round) {
    CHECK_STATUS(mlfa_task_wait(task, MLFA_FOREVER, &error), MLFA_E_FORKED);
    CHECK_STATUS(mlfa_task_result(task, &error), MLFA_E_FORKED);
    mlfa_task_free(task);
    use("child");
    write_some_bytes("of-child", large() / 4, (uint32_t)round);
    CHECK_OK(mlfa_upload_file(handles.http, "of-child", SIZE_MAX, "of-child", SIZE_MAX, NULL, &error));
    CHECK_OK(mlfa_download_file(handles.http, "before", SIZE_MAX, "before-copy", SIZE_MAX, NULL, &error));
    CHECK(same_files("before", "before-copy"));
    leave(round);
}

/* Answers whether the transfer was still going on when the child was there. */
static int fork_during(mlfa_task *task, int round) {
    wait_until_it_moves(task);
    pid_t child = fork_for(SECONDS);
    if (child == 0) {
        child_transfers_by_itself(task, round);
    }
    int was_going_on = !mlfa_task_is_done(task);
    use("parent");
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    CHECK_OK(mlfa_task_result(task, &error));
    mlfa_task_free(task);
    wait_for(child);
    CHECK_OK(mlfa_download_file(handles.http, "of-child", SIZE_MAX, "of-child-copy", SIZE_MAX, NULL, &error));
    CHECK(same_files("of-child", "of-child-copy"));
    return was_going_on;
}

/* Until a fork has met a transfer each way: whoever forks may be late. AddressSanitizer waits for the others (let_others_sleep), mostly
 * until the transfer has ended. */
#ifdef __SANITIZE_ADDRESS__
#define MOST_ROUNDS 3
#else
#define MOST_ROUNDS 20
#endif

static void a_transfer_goes_on_in_the_parent(void) {
    int uploads = 0, downloads = 0;
    write_some_bytes("before", 1 << 20, 0);
    CHECK_OK(mlfa_upload_file(handles.http, "before", SIZE_MAX, "before", SIZE_MAX, NULL, &error));
    for (int round = 1; round <= 3 || (round <= MOST_ROUNDS && (uploads == 0 || downloads == 0)); round++) {
        /* Bytes that the server does not have, or it would not ask for them. */
        write_some_bytes("large", large(), (uint32_t)round + 100);
        uploads += fork_during(start_upload("large"), round);
        downloads += fork_during(start_download("large-copy"), round);
        CHECK(same_files("large", "large-copy"));
    }
#ifndef __SANITIZE_ADDRESS__
    CHECK(uploads > 0 && downloads > 0);
#endif
}

/* ---- While others call ---- */

/* Held by those who call, and under AddressSanitizer by the one who forks: see let_others_sleep. */
static pthread_rwlock_t calling = PTHREAD_RWLOCK_INITIALIZER;

/* Readers do not wait for a writer by themselves. */
static atomic_int wants_to_fork;

static void use_beside_forks(const char *who) {
    while (atomic_load(&wants_to_fork)) {
        nap();
    }
    pthread_rwlock_rdlock(&calling);
    use(who);
    pthread_rwlock_unlock(&calling);
}

static pid_t fork_while_others_call(void) {
#ifdef __SANITIZE_ADDRESS__
    atomic_store(&wants_to_fork, 1);
    pthread_rwlock_wrlock(&calling);
    pid_t child = fork_for(SECONDS);
    pthread_rwlock_unlock(&calling);
    atomic_store(&wants_to_fork, 0);
    return child;
#else
    return fork_for(SECONDS);
#endif
}

/* In a child of the callback's thread, tasks can be begun there, and threads that call anything. */
static void use_by_a_task(void) {
    mlfa_task *task = UNTOUCHED;
    mlfa_bytes *bytes = UNTOUCHED;
    CHECK_OK(mlfa_get_bytes_start(handles.http, "parent/put", SIZE_MAX, 0, 6, &task, &error));
    while (!mlfa_task_is_done(task)) {
        nap();
    }
    CHECK_OK(mlfa_task_take_bytes(task, &bytes, &error));
    CHECK(mlfa_bytes_size(bytes) == 6 && memcmp(mlfa_bytes_data(bytes), "parent", 6) == 0);
    mlfa_bytes_release(bytes);
    mlfa_task_free(task);
}

static void *use_in_thread(void *who) {
    use(who);
    forget_error();
    return NULL;
}

static void fork_when_done(mlfa_task *task, void *user) {
    pid_t child = fork_while_others_call();
    if (child == 0) {
        pthread_t thread;
        CHECK_STATUS(mlfa_task_result(task, &error), MLFA_E_FORKED);
        use_by_a_task();
        CHECK(pthread_create(&thread, NULL, use_in_thread, "child") == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        /* It must not return from the callback. */
        leave(1);
    }
    CHECK_OK(mlfa_task_result(task, &error));
    forget_error();
    atomic_store((_Atomic pid_t *)user, child);
}

static void a_completion_callback_forks(void) {
    use("parent");
    for (int round = 0; round < rounds(10); round++) {
        _Atomic pid_t child = 0;
        mlfa_task *task = UNTOUCHED;
        CHECK_OK(mlfa_stat_start(handles.http, "parent/put", SIZE_MAX, &task, &error));
        CHECK_OK(mlfa_task_on_done(task, fork_when_done, &child, &error));
        while (atomic_load(&child) == 0) {
            use_beside_forks("parent");
        }
        mlfa_task_free(task);
        wait_for(atomic_load(&child));
    }
}

static atomic_int has_forked_all;

static void *call_all_the_time(void *who) {
    while (!atomic_load(&has_forked_all)) {
        use_beside_forks(who);
    }
    forget_error();
    return NULL;
}

static void *fork_all(void *nothing) {
    for (int round = 0; round < rounds(50); round++) {
        pid_t child = fork_while_others_call();
        if (child == 0) {
            use("child");
            leave(round);
        }
        wait_for(child);
    }
    atomic_store(&has_forked_all, 1);
    return nothing;
}

static void a_thread_forks_while_others_call(void) {
    static char names[][8] = {"first", "second", "third"};
    pthread_t threads[3], forking;
    for (size_t at = 0; at < 3; at++) {
        CHECK(pthread_create(&threads[at], NULL, call_all_the_time, names[at]) == 0);
    }
    CHECK(pthread_create(&forking, NULL, fork_all, NULL) == 0);
    CHECK(pthread_join(forking, NULL) == 0);
    for (size_t at = 0; at < 3; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
}

/* ---- A server that forks its workers ---- */

static void serve(int worker) {
    char who[32];
    snprintf(who, sizeof who, "worker-%d", worker);
    for (int request = 0; request < rounds(20); request++) {
        use(who);
    }
}

static pid_t fork_worker(int worker) {
    pid_t process = fork_for(SECONDS);
    if (process == 0) {
        serve(worker);
        leave(worker);
    }
    return process;
}

/* A worker that tells of its first request and then serves until it is killed. */
static pid_t fork_endless_worker(int telling) {
    pid_t process = fork_for(SECONDS);
    for (int request = 0; process == 0; request++) {
        use("endless");
        CHECK(request > 0 || write(telling, "", 1) == 1);
    }
    return process;
}

static void kill_worker(pid_t process) {
    int status = 0;
    CHECK(kill(process, SIGKILL) == 0);
    CHECK(waitpid(process, &status, 0) == process);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void workers_share_what_their_server_opened(void) {
    pid_t workers[WORKERS];
    int pipe_ends[2];
    char told;
    CHECK(pipe(pipe_ends) == 0);
    pid_t endless = fork_endless_worker(pipe_ends[1]);
    for (int worker = 1; worker < WORKERS; worker++) {
        workers[worker] = fork_worker(worker);
    }
    use("parent");
    CHECK(read(pipe_ends[0], &told, 1) == 1);
    kill_worker(endless);
    workers[0] = fork_worker(0);
    serve(WORKERS);
    for (int worker = 0; worker < WORKERS; worker++) {
        wait_for(workers[worker]);
    }
    for (int worker = 0; worker <= WORKERS; worker++) {
        char who[32], path[40];
        snprintf(who, sizeof who, "worker-%d", worker);
        snprintf(path, sizeof path, "%s/put", who);
        check_content_text(handles.http, path, who);
        check_content_text(handles.file, path, who);
    }
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

/* ---- Each of them ---- */

/* With handles that were never used, as a server's are that opens them before it forks, or with used ones. */
static void with_handles(int are_used, void (*test)(void)) {
    alarm(2 * SECONDS);
    handles.context = new_context();
    handles.http = open_store(handles.context, getenv("MLFA_TEST_HTTP_STORE"));
    handles.file = open_store(handles.context, "file:store");
    if (are_used) {
        use("parent");
    }
    test();
    mlfa_store_release(handles.http);
    mlfa_store_release(handles.file);
    mlfa_context_release(handles.context);
    alarm(0);
}

int main(int argc, char **argv) {
    enter(argc, argv);
    CHECK(getenv("MLFA_TEST_HTTP_STORE") != NULL);
    end_in_time();
    write_text("local", "content");
    with_handles(1, a_transfer_goes_on_in_the_parent);
    with_handles(1, a_completion_callback_forks);
    with_handles(1, a_thread_forks_while_others_call);
    with_handles(0, workers_share_what_their_server_opened);
    with_handles(1, workers_share_what_their_server_opened);
    return passed();
}
