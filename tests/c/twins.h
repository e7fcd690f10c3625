/* For programs that try each operation both ways: by the function that blocks, and by the task of its twin. After check.h. */
#ifndef TWINS_H
#define TWINS_H

/* Whether operations are begun with their _start function. */
static int by_task;

static inline mlfa_status wait_for(mlfa_status started, mlfa_task **task) {
    if (started != MLFA_OK) {
        CHECK(*task == NULL);
        return started;
    }
    CHECK(*task != NULL && *task != UNTOUCHED);
    CHECK(mlfa_task_wait(*task, MLFA_FOREVER, NULL) == MLFA_OK);
    CHECK(mlfa_task_is_done(*task));
    return MLFA_OK;
}

/* The end of a task without a result. */
static inline mlfa_status end(mlfa_status started, mlfa_task **task, mlfa_error **err) {
    mlfa_status status = wait_for(started, task);
    if (status == MLFA_OK) {
        status = mlfa_task_result(*task, err);
        mlfa_task_free(*task);
    }
    return status;
}

/* Answers for a task with a result, which it takes with the function for its kind. */
#define TAKE(started, take, out, err)                                                                                  \
    do {                                                                                                               \
        mlfa_task *task = UNTOUCHED;                                                                                   \
        *(out) = NULL;                                                                                                 \
        mlfa_status status = wait_for(started, &task);                                                                 \
        if (status == MLFA_OK) {                                                                                       \
            status = take(task, out, err);                                                                             \
            mlfa_task_free(task);                                                                                      \
        }                                                                                                              \
        return status;                                                                                                 \
    } while (0)

#endif
