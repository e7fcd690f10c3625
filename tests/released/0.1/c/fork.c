/* A context survives fork: parent, child and grandchild go on with it, whoever forked and whatever they do with it. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define ROUNDS 100
/* A process that has not done its part of a round by then hangs. */
#define SECONDS_PER_ROUND 5

/* What belonged to the parent's threads is lost in a child, which has none of them: leaks are looked for in the parent
 * only. LeakSanitizer asks; valgrind is to be run without a leak check. */
static int is_child;

int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void) {
    return is_child;
}

static void on_alarm(int signal) {
    static const char message[] = "fork.c: a process did not end in time\n";
    (void)signal;
    if (write(STDERR_FILENO, message, sizeof message - 1) < 0) {
        /* There is nobody to tell. */
    }
    _exit(EXIT_FAILURE);
}

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

/* Writes and reads in both ways, below a directory of its own. */
static void use_store(mlfa_store *store, const char *who) {
    char put[64], uploaded[64], both[160];
    snprintf(put, sizeof put, "%s/put", who);
    snprintf(uploaded, sizeof uploaded, "%s/uploaded", who);
    snprintf(both, sizeof both, "%s %s", put, uploaded);
    put_text(store, put, who);
    CHECK_OK(mlfa_upload_file(store, "local", SIZE_MAX, uploaded, SIZE_MAX, NULL, &error));
    check_content_text(store, put, who);
    check_content_text(store, uploaded, "content");
    CHECK(is_stored(store, uploaded));
    check_listing(store, who, 0, both);
}

static void use(const struct handles *handles, const char *who) {
    use_store(handles->file, who);
    use_store(handles->memory, who);
}

/* ---- One round ---- */

static void leave(int round) {
    forget_error();
    if (round % 2 == 0) {
        exit(EXIT_SUCCESS);
    }
    _exit(EXIT_SUCCESS);
}

static void wait_for(pid_t child) {
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
}

#ifdef __SANITIZE_ADDRESS__
/* A child inherits the locks of AddressSanitizer's own allocator as they are (GCC 12), and would wait forever for one
 * that another thread holds while it cleans up after its work: so the others are given the time to fall asleep. */
static void let_others_sleep(void) {
    for (int attempt = 0; attempt < 1000; attempt++) {
        DIR *tasks = opendir("/proc/self/task");
        int awake = 0;
        for (struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
            char path[300], line[128] = "";
            snprintf(path, sizeof path, "/proc/self/task/%s/stat", task->d_name);
            FILE *file = task->d_name[0] == '.' ? NULL : fopen(path, "r");
            if (file != NULL && fgets(line, sizeof line, file) != NULL) {
                const char *state = strrchr(line, ')');
                awake += state != NULL && state[2] != 'S';
            }
            if (file != NULL) {
                fclose(file);
            }
        }
        closedir(tasks);
        if (awake <= 1) {
            return;
        }
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
}
#else
static void let_others_sleep(void) {}
#endif

static pid_t fork_in_time(void) {
    let_others_sleep();
    pid_t process = fork();
    CHECK(process >= 0);
    if (process == 0) {
        is_child = 1;
        alarm(SECONDS_PER_ROUND);
    }
    return process;
}

/* In each third child, one forks again, one gives up what it inherited and makes its own, one does nothing more. */
static void be_child(struct handles *handles, int round) {
    use(handles, "child");
    if (round % 3 == 1) {
        pid_t grandchild = fork_in_time();
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

/* A meta and bytes that were made before the fork. */
struct inherited {
    mlfa_meta *meta;
    mlfa_bytes *bytes;
    mlfa_error *error;
};

static struct inherited make_inherited(mlfa_store *store) {
    struct inherited made;
    mlfa_meta *none = NULL;
    CHECK_OK(mlfa_stat(store, "parent/put", SIZE_MAX, &made.meta, &error));
    CHECK_OK(mlfa_get_bytes(store, "parent/put", SIZE_MAX, 0, 6, &made.bytes, &error));
    CHECK(mlfa_stat(store, "absent", SIZE_MAX, &none, &made.error) == MLFA_E_NOT_FOUND);
    return made;
}

static void use_inherited(struct inherited *inherited) {
    CHECK_TEXT(mlfa_meta_path(inherited->meta), "parent/put");
    CHECK(memcmp(mlfa_bytes_data(inherited->bytes), "parent", 6) == 0);
    CHECK_TEXT(mlfa_error_path(inherited->error), "absent");
    mlfa_meta_free(inherited->meta);
    mlfa_bytes_release(inherited->bytes);
    mlfa_error_free(inherited->error);
}

static void run_round(struct handles *handles, int round) {
    alarm(2 * SECONDS_PER_ROUND);
    use(handles, "parent");
    struct inherited inherited = make_inherited(round % 2 == 0 ? handles->file : handles->memory);
    pid_t child = fork_in_time();
    if (child == 0) {
        use_inherited(&inherited);
        be_child(handles, round);
    }
    use_inherited(&inherited);
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
        pid_t child = fork_in_time();
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
        forked_in_callback = fork_in_time();
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
    signal(SIGALRM, on_alarm);
    write_text("local", "content");
    int count = rounds(ROUNDS);
    handles_of_the_first_round_serve_all(count);
    each_round_has_its_own_handles(count);
    another_thread_forks((count + 3) / 4);
    unused_handles_survive();
    a_callback_forks();
    return passed();
}
