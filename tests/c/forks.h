/* What the programs that fork share. To be included after check.h. */
#ifndef FORKS_H
#define FORKS_H

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

/* ---- Processes ---- */

/* What belonged to the parent's threads is lost in a child, which has none of them: leaks are looked for in the parent
 * only. LeakSanitizer asks; valgrind is to be run without a leak check. */
static int is_child;

int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void) {
    return is_child;
}

static inline void on_alarm(int signal) {
    static const char message[] = "a process did not end in time\n";
    (void)signal;
    if (write(STDERR_FILENO, message, sizeof message - 1) < 0) {
        /* There is nobody to tell. */
    }
    _exit(EXIT_FAILURE);
}

/* A process that hangs fails: each says by alarm() how long it may take. */
static inline void end_in_time(void) {
    signal(SIGALRM, on_alarm);
}

#ifdef __SANITIZE_ADDRESS__
/* A child inherits the locks of AddressSanitizer's own allocator as they are (GCC 12), and would wait forever for one
 * that another thread holds while it cleans up after its work: so the others are given the time to fall asleep. */
static inline void let_others_sleep(void) {
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
static inline void let_others_sleep(void) {}
#endif

/* Forks a child that ends within so many seconds. */
static inline pid_t fork_for(unsigned seconds) {
    let_others_sleep();
    pid_t process = fork();
    CHECK(process >= 0);
    if (process == 0) {
        is_child = 1;
        alarm(seconds);
    }
    return process;
}

static inline void wait_for(pid_t child) {
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
}

/* How a child ends: of two, one runs what is to be run at the exit of a process. */
static inline void leave(int round) {
    forget_error();
    if (round % 2 == 0) {
        exit(EXIT_SUCCESS);
    }
    _exit(EXIT_SUCCESS);
}

/* ---- What they do ---- */

/* Writes and reads in both ways, below a directory of its own. The file "local" must be there. */
static inline void use_store(mlfa_store *store, const char *who) {
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

#endif
