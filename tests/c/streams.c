/* Readers, writers and listings: piece by piece, blocking and by tasks. */
#include "check.h"
#include "twins.h"

#include <pthread.h>
#include <time.h>

#define MIB (1u << 20)
#define LARGE (5 * MIB + 4321)

/* ---- Each operation, either way ---- */

static mlfa_status open_reader(mlfa_store *store, const char *path, uint64_t offset, uint64_t length,
                               mlfa_reader **out, mlfa_error **err) {
    if (!by_task) {
        return mlfa_reader_open(store, path, SIZE_MAX, offset, length, out, err);
    }
    TAKE(mlfa_reader_open_start(store, path, SIZE_MAX, offset, length, &task, err), mlfa_task_take_reader, out, err);
}

static mlfa_status read_some(mlfa_reader *reader, uint8_t *buffer, size_t capacity, size_t *read, mlfa_error **err) {
    if (!by_task) {
        return mlfa_reader_read(reader, buffer, capacity, read, err);
    }
    mlfa_task *task = UNTOUCHED;
    uint64_t count = 77;
    mlfa_status status = wait_for(mlfa_reader_read_start(reader, buffer, capacity, &task, err), &task);
    if (status == MLFA_OK) {
        status = mlfa_task_take_count(task, &count, err);
        mlfa_task_free(task);
        *read = (size_t)count;
    }
    return status;
}

static mlfa_status read_chunk(mlfa_reader *reader, mlfa_bytes **out, mlfa_error **err) {
    if (!by_task) {
        return mlfa_reader_read_chunk(reader, out, err);
    }
    mlfa_task *task = UNTOUCHED;
    mlfa_status status = wait_for(mlfa_reader_read_chunk_start(reader, &task, err), &task);
    if (status == MLFA_OK) {
        status = mlfa_task_take_bytes(task, out, err);
        mlfa_task_free(task);
    }
    return status;
}

static mlfa_status write_some(mlfa_writer *writer, const uint8_t *data, size_t size, mlfa_error **err) {
    if (!by_task) {
        return mlfa_writer_write(writer, data, size, err);
    }
    mlfa_task *task = UNTOUCHED;
    return end(mlfa_writer_write_start(writer, data, size, &task, err), &task, err);
}

static mlfa_status write_owned(mlfa_writer *writer, const uint8_t *data, size_t size, mlfa_free_fn release, void *user,
                               mlfa_error **err) {
    if (!by_task) {
        return mlfa_writer_write_owned(writer, data, size, release, user, err);
    }
    mlfa_task *task = UNTOUCHED;
    return end(mlfa_writer_write_owned_start(writer, data, size, release, user, &task, err), &task, err);
}

static mlfa_status finish(mlfa_writer *writer, mlfa_meta **out, mlfa_error **err) {
    if (!by_task) {
        return mlfa_writer_finish(writer, out, err);
    }
    mlfa_task *task = UNTOUCHED;
    mlfa_meta *meta = UNTOUCHED;
    mlfa_status status = wait_for(mlfa_writer_finish_start(writer, &task, err), &task);
    if (status == MLFA_OK) {
        status = mlfa_task_take_meta(task, &meta, err);
        mlfa_task_free(task);
        CHECK((meta != NULL) == (status == MLFA_OK));
        if (out != NULL) {
            *out = meta;
        } else {
            mlfa_meta_free(meta);
        }
    } else if (out != NULL) {
        *out = NULL;
    }
    return status;
}

static mlfa_status abort_writer(mlfa_writer *writer, mlfa_error **err) {
    if (!by_task) {
        return mlfa_writer_abort(writer, err);
    }
    mlfa_task *task = UNTOUCHED;
    return end(mlfa_writer_abort_start(writer, &task, err), &task, err);
}

static mlfa_status next_batch(mlfa_list *list, size_t count, mlfa_entries **out, mlfa_error **err) {
    if (!by_task) {
        return mlfa_list_next_batch(list, count, out, err);
    }
    TAKE(mlfa_list_next_batch_start(list, count, &task, err), mlfa_task_take_entries, out, err);
}

/* ---- Readers ---- */

static mlfa_reader *reader_of(mlfa_store *store, const char *path, uint64_t offset, uint64_t length) {
    mlfa_reader *reader = UNTOUCHED;
    CHECK_OK(open_reader(store, path, offset, length, &reader, &error));
    CHECK(reader != NULL && reader != UNTOUCHED);
    return reader;
}

/* What is left of the reader is this, read with buffers of so many bytes; 0 reads in chunks. */
static void check_rest(mlfa_reader *reader, size_t capacity, const uint8_t *expected, size_t size) {
    size_t at = 0, read = 77;
    uint8_t *buffer = allocate(capacity);
    for (;;) {
        if (capacity == 0) {
            mlfa_bytes *bytes = UNTOUCHED;
            CHECK_OK(read_chunk(reader, &bytes, &error));
            read = mlfa_bytes_size(bytes);
            CHECK((bytes == NULL) == (read == 0) && read <= size - at);
            CHECK(read == 0 || memcmp(mlfa_bytes_data(bytes), expected + at, read) == 0);
            mlfa_bytes_release(bytes);
        } else {
            CHECK_OK(read_some(reader, buffer, capacity, &read, &error));
            CHECK(read == (size - at < capacity ? size - at : capacity));
            CHECK(memcmp(buffer, expected + at, read) == 0);
        }
        at += read;
        if (read == 0) {
            break;
        }
    }
    CHECK(at == size);
    free(buffer);
}

static void readers_read(mlfa_store *store, const uint8_t *large) {
    const size_t capacities[] = {0, 4096, 65537, 3 * MIB + 1, LARGE, LARGE + 1, 4 * LARGE};
    for (size_t at = 0; at < sizeof capacities / sizeof capacities[0]; at++) {
        mlfa_reader *reader = reader_of(store, "large", 0, MLFA_TO_THE_END);
        CHECK_TEXT(mlfa_meta_path(mlfa_reader_meta(reader)), "large");
        CHECK(mlfa_meta_size(mlfa_reader_meta(reader)) == LARGE);
        check_rest(reader, capacities[at], large, LARGE);
        check_rest(reader, capacities[at], large, 0);
        mlfa_reader_free(reader);
    }
    mlfa_reader *reader = reader_of(store, "large", LARGE - 300, MLFA_TO_THE_END);
    check_rest(reader, 1, large + LARGE - 300, 300);
    mlfa_reader_free(reader);
}

static void readers_read_ranges(mlfa_store *store, const uint8_t *large) {
    const struct {
        uint64_t offset, length;
        size_t expected;
    } RANGES[] = {
        {0, 1, 1},
        {0, 0, 0},
        {1, 0, 0},
        {LARGE, 0, 0},
        {5, 100000, 100000},
        {MIB - 1, 2 * MIB, 2 * MIB},
        {LARGE - 7, 7, 7},
        {LARGE - 7, 100, 7},
        {LARGE - 7, UINT64_MAX - 1, 7},
        {LARGE - 7, MLFA_TO_THE_END, 7},
        {LARGE, 1, 0},
        {LARGE, MLFA_TO_THE_END, 0},
        {LARGE + 1, 1, 0},
        {UINT64_MAX, MLFA_TO_THE_END, 0},
        {UINT64_MAX, UINT64_MAX - 1, 0},
        {0, LARGE + 1, LARGE},
    };
    for (size_t at = 0; at < sizeof RANGES / sizeof RANGES[0]; at++) {
        for (size_t capacity = 0; capacity <= MIB; capacity += MIB) {
            mlfa_reader *reader = reader_of(store, "large", RANGES[at].offset, RANGES[at].length);
            CHECK(mlfa_meta_size(mlfa_reader_meta(reader)) == LARGE);
            check_rest(reader, capacity, RANGES[at].expected > 0 ? large + RANGES[at].offset : large,
                       RANGES[at].expected);
            mlfa_reader_free(reader);
        }
    }
}

static void readers_seek(mlfa_store *store, const uint8_t *large) {
    uint8_t byte = 0;
    size_t read = 77;
    mlfa_reader *reader = reader_of(store, "large", 0, MLFA_TO_THE_END);
    const uint64_t forward_and_back[] = {1, 2 * MIB, 2 * MIB + 1, 100, 0, LARGE - 1, LARGE / 2};
    for (size_t at = 0; at < sizeof forward_and_back / sizeof forward_and_back[0]; at++) {
        CHECK_OK(mlfa_reader_seek(reader, forward_and_back[at], &error));
        CHECK_OK(read_some(reader, &byte, 1, &read, &error));
        CHECK(read == 1 && byte == large[forward_and_back[at]]);
    }
    const uint64_t nothing_there[] = {LARGE, LARGE + 1, UINT64_MAX};
    for (size_t at = 0; at < sizeof nothing_there / sizeof nothing_there[0]; at++) {
        CHECK_OK(mlfa_reader_seek(reader, nothing_there[at], &error));
        check_rest(reader, 4096, large, 0);
        check_rest(reader, 0, large, 0);
    }
    CHECK_OK(mlfa_reader_seek(reader, 3 * MIB, &error));
    check_rest(reader, 65536, large + 3 * MIB, LARGE - 3 * MIB);
    CHECK_OK(mlfa_reader_seek(reader, 0, &error));
    check_rest(reader, LARGE, large, LARGE);
    mlfa_reader_free(reader);

    /* Before the offset that it was opened at; the end stays. */
    reader = reader_of(store, "large", 1000, 500);
    CHECK_OK(mlfa_reader_seek(reader, 900, &error));
    check_rest(reader, 64, large + 900, 600);
    CHECK_OK(mlfa_reader_seek(reader, 1499, &error));
    check_rest(reader, 0, large + 1499, 1);
    CHECK_OK(mlfa_reader_seek(reader, 1500, &error));
    check_rest(reader, 64, large, 0);
    CHECK_OK(mlfa_reader_seek(reader, 4 * MIB, &error));
    check_rest(reader, 64, large, 0);
    CHECK_OK(mlfa_reader_seek(reader, 1000, &error));
    CHECK_OK(mlfa_reader_seek(reader, 1000, &error));
    check_rest(reader, 64, large + 1000, 500);
    mlfa_reader_free(reader);

    /* One that was opened with nothing to read. */
    reader = reader_of(store, "large", 700, 0);
    check_rest(reader, 64, large, 0);
    CHECK_OK(mlfa_reader_seek(reader, 600, &error));
    check_rest(reader, 64, large + 600, 100);
    mlfa_reader_free(reader);
}

/* After the end of the artifact there is nothing to read, wherever the reader was opened. */
static void readers_seek_behind_the_end(mlfa_store *store, const uint8_t *large) {
    mlfa_reader *reader = reader_of(store, "large", LARGE + 1000, 50);
    check_rest(reader, 64, large, 0);
    CHECK_OK(mlfa_reader_seek(reader, LARGE - 10, &error));
    check_rest(reader, 64, large + LARGE - 10, 10);
    CHECK_OK(mlfa_reader_seek(reader, LARGE + 1, &error));
    check_rest(reader, 64, large, 0);
    mlfa_reader_free(reader);

    reader = reader_of(store, "empty", 10, 10);
    CHECK_OK(mlfa_reader_seek(reader, 0, &error));
    check_rest(reader, 64, large, 0);
    mlfa_reader_free(reader);
}

static void an_empty_file_is_read(mlfa_store *store) {
    const uint64_t offsets[] = {0, 1, UINT64_MAX};
    for (size_t at = 0; at < 3; at++) {
        mlfa_reader *reader = reader_of(store, "empty", offsets[at], MLFA_TO_THE_END);
        CHECK(mlfa_meta_size(mlfa_reader_meta(reader)) == 0);
        check_rest(reader, 16, (const uint8_t *)"", 0);
        check_rest(reader, 0, (const uint8_t *)"", 0);
        mlfa_reader_free(reader);
    }
}

static void readers_are_refused(mlfa_store *store) {
    const struct {
        const char *path;
        mlfa_status status;
    } REFUSED[] = {
        {"absent", MLFA_E_NOT_FOUND}, {"directory", MLFA_E_IS_A_DIRECTORY}, {"", MLFA_E_IS_A_DIRECTORY},
        {"a/../b", MLFA_E_INVALID_PATH}, {"/large", MLFA_E_INVALID_PATH}, {"\xff", MLFA_E_INVALID_UTF8},
    };
    for (size_t at = 0; at < sizeof REFUSED / sizeof REFUSED[0]; at++) {
        for (uint64_t offset = 0; offset <= 7; offset += 7) {
            mlfa_reader *reader = UNTOUCHED;
            CHECK_STATUS(open_reader(store, REFUSED[at].path, offset, MLFA_TO_THE_END, &reader, &error),
                         REFUSED[at].status);
            CHECK(reader == NULL);
        }
    }
}

/* Reads the old content whole, or is told. */
static void readers_do_not_mix(mlfa_store *store, const uint8_t *large) {
    for (int seeks = 0; seeks < 2; seeks++) {
        CHECK_OK(mlfa_put_bytes(store, "replaced", SIZE_MAX, large, LARGE, NULL, &error));
        mlfa_reader *reader = reader_of(store, "replaced", 0, MLFA_TO_THE_END);
        uint8_t *buffer = allocate(LARGE);
        size_t read = 77, at = 0;
        CHECK_OK(read_some(reader, buffer, 1000, &read, &error));
        CHECK(read == 1000);
        at = 1000;
        uint8_t *other = some_bytes(LARGE, 99);
        CHECK_OK(mlfa_put_bytes(store, "replaced", SIZE_MAX, other, LARGE, NULL, &error));
        if (seeks) {
            at = 2 * MIB;
            CHECK_OK(mlfa_reader_seek(reader, at, &error));
        }
        mlfa_status status;
        while ((status = read_some(reader, buffer, 300000, &read, NULL)) == MLFA_OK && read > 0) {
            CHECK(memcmp(buffer, large + at, read) == 0);
            at += read;
        }
        CHECK(status == MLFA_E_PRECONDITION_FAILED || (status == MLFA_OK && at == LARGE));
        if (status != MLFA_OK) {
            CHECK_STATUS(read_some(reader, buffer, 1, &read, &error), MLFA_E_PRECONDITION_FAILED);
            mlfa_bytes *bytes = UNTOUCHED;
            CHECK_STATUS(read_chunk(reader, &bytes, &error), MLFA_E_PRECONDITION_FAILED);
            CHECK(bytes == NULL);
        }
        CHECK(mlfa_meta_size(mlfa_reader_meta(reader)) == LARGE);
        mlfa_reader_free(reader);
        free(buffer);
        free(other);
    }
    CHECK_OK(mlfa_delete(store, "replaced", SIZE_MAX, 0, NULL, &error));
}

static void one_read_at_a_time(mlfa_store *store, const uint8_t *large) {
    int busy = 0;
    for (int round = 0; round < rounds(30); round++) {
        mlfa_reader *reader = reader_of(store, "large", 0, MLFA_TO_THE_END);
        uint8_t *buffer = allocate(LARGE);
        mlfa_task *task = UNTOUCHED, *other = UNTOUCHED;
        CHECK_OK(mlfa_reader_read_start(reader, buffer, LARGE, &task, &error));
        uint8_t byte;
        size_t read = 77;
        mlfa_status status = mlfa_reader_read(reader, &byte, 1, &read, NULL);
        if (status == MLFA_E_BUSY) {
            busy++;
            CHECK(read == 0);
        } else {
            CHECK(status == MLFA_OK && read == 0);
        }
        status = mlfa_reader_read_chunk_start(reader, &other, NULL);
        CHECK(status == MLFA_E_BUSY || status == MLFA_OK);
        CHECK((other == NULL) == (status == MLFA_E_BUSY));
        status = mlfa_reader_seek(reader, LARGE, NULL);
        CHECK(status == MLFA_E_BUSY || status == MLFA_OK);
        CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
        CHECK(memcmp(buffer, large, LARGE) == 0);
        mlfa_task_free(other);
        mlfa_task_free(task);
        mlfa_reader_free(reader);
        free(buffer);
    }
    CHECK(busy > 0);
}

/* A task that has ended, also by being cancelled, leaves the reader usable. */
static void ended_reads_leave_the_reader(mlfa_store *store, const uint8_t *large) {
    uint8_t *buffer = allocate(LARGE);
    for (int round = 0; round < rounds(30); round++) {
        mlfa_reader *reader = reader_of(store, "large", 0, MLFA_TO_THE_END);
        mlfa_task *task = UNTOUCHED;
        uint64_t count = 77;
        CHECK_OK(mlfa_reader_read_start(reader, buffer, LARGE, &task, &error));
        mlfa_task_cancel(task);
        CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
        mlfa_status status = mlfa_task_take_count(task, &count, NULL);
        CHECK(status == MLFA_E_CANCELLED || (status == MLFA_OK && count == LARGE));
        CHECK_OK(mlfa_reader_seek(reader, 4 * MIB, &error));
        check_rest(reader, MIB, large + 4 * MIB, LARGE - 4 * MIB);
        mlfa_task_free(task);
        mlfa_reader_free(reader);
    }
    /* A task that is freed writes to its memory no more. */
    for (int round = 0; round < rounds(30); round++) {
        mlfa_reader *reader = reader_of(store, "large", 0, MLFA_TO_THE_END);
        mlfa_task *task = UNTOUCHED;
        uint8_t *own = allocate(LARGE);
        CHECK_OK(mlfa_reader_read_start(reader, own, LARGE, &task, &error));
        mlfa_task_free(task);
        free(own);
        mlfa_reader_free(reader);
    }
    free(buffer);
}

static void readers_outlive_what_they_came_from(const char *uri, const uint8_t *large) {
    mlfa_context *context = new_context();
    mlfa_store *store = open_store(context, uri);
    CHECK_OK(mlfa_put_bytes(store, "large", SIZE_MAX, large, LARGE, NULL, &error));
    uint8_t *buffer = allocate(LARGE);
    mlfa_reader *first = reader_of(store, "large", 0, MLFA_TO_THE_END);
    mlfa_reader *second = reader_of(store, "large", 10, MLFA_TO_THE_END);
    mlfa_store_release(store);
    mlfa_context_release(context);
    check_rest(first, MIB, large, LARGE);
    mlfa_reader_free(first);

    mlfa_task *task = UNTOUCHED;
    uint64_t count = 77;
    CHECK_OK(mlfa_reader_read_start(second, buffer, LARGE, &task, &error));
    mlfa_reader_free(second);
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    CHECK_OK(mlfa_task_take_count(task, &count, &error));
    CHECK(count == LARGE - 10 && memcmp(buffer, large + 10, LARGE - 10) == 0);
    CHECK_STATUS(mlfa_task_take_count(task, &count, &error), MLFA_E_INVALID_ARGUMENT);
    mlfa_task_free(task);
    free(buffer);
}

static void readers_mind_null(mlfa_store *store) {
    mlfa_reader *reader = UNTOUCHED;
    mlfa_task *task = UNTOUCHED;
    mlfa_bytes *bytes = UNTOUCHED;
    size_t read = 77;
    uint8_t byte = 0;
    CHECK_STATUS(mlfa_reader_open(NULL, "large", SIZE_MAX, 0, 1, &reader, &error), MLFA_E_NULL_POINTER);
    CHECK(reader == NULL);
    CHECK_STATUS(mlfa_reader_open(store, NULL, 1, 0, 1, &reader, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_reader_open(store, "large", SIZE_MAX, 0, 1, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_reader_open_start(NULL, "large", SIZE_MAX, 0, 1, &task, &error), MLFA_E_NULL_POINTER);
    CHECK(task == NULL);
    CHECK_STATUS(mlfa_reader_open_start(store, "large", SIZE_MAX, 0, 1, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_reader_read(NULL, &byte, 1, &read, &error), MLFA_E_NULL_POINTER);
    CHECK(read == 0);
    CHECK_STATUS(mlfa_reader_read_start(NULL, &byte, 1, &task, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_reader_read_chunk(NULL, &bytes, &error), MLFA_E_NULL_POINTER);
    CHECK(bytes == NULL);
    CHECK_STATUS(mlfa_reader_read_chunk_start(NULL, &task, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_reader_seek(NULL, 0, &error), MLFA_E_NULL_POINTER);
    CHECK(mlfa_reader_meta(NULL) == NULL);
    mlfa_reader_free(NULL);

    reader = reader_of(store, "large", 0, 1);
    CHECK_STATUS(mlfa_reader_read(reader, NULL, 1, &read, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_reader_read(reader, &byte, 1, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_reader_read(reader, &byte, SIZE_MAX, &read, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK_STATUS(mlfa_reader_read_start(reader, NULL, 1, &task, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_reader_read_start(reader, &byte, 1, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_reader_read_chunk(reader, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_reader_read_chunk_start(reader, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_OK(mlfa_reader_read(reader, NULL, 0, &read, &error));
    CHECK(read == 0);
    CHECK_OK(mlfa_reader_read(reader, &byte, 1, &read, &error));
    CHECK(read == 1);
    mlfa_reader_free(reader);
}

/* ---- Writers ---- */

static mlfa_writer *writer_of(mlfa_store *store, const char *path, uint64_t length, uint32_t mode, const char *etag) {
    mlfa_put_options options = MLFA_PUT_OPTIONS_INIT;
    options.mode = mode;
    options.if_match = etag;
    mlfa_writer *writer = UNTOUCHED;
    CHECK_OK(mlfa_writer_open(store, path, SIZE_MAX, length, &options, &writer, &error));
    CHECK(writer != NULL && writer != UNTOUCHED);
    return writer;
}

static atomic_size_t released;

static void count_release(void *user) {
    atomic_fetch_add(&released, 1);
    free(user);
}

/* So many were released: perhaps soon, where a thread of the library still has the last reference. */
static void check_released(size_t expected) {
    const struct timespec moment = {0, 1000000};
    for (int patience = 0; patience < 30000 && atomic_load(&released) < expected; patience++) {
        nanosleep(&moment, NULL);
    }
    CHECK(atomic_load(&released) == expected);
}

/* Bytes that are to be released once. */
static mlfa_status write_released(mlfa_writer *writer, const uint8_t *data, size_t size, mlfa_error **err) {
    uint8_t *copy = allocate(size);
    memcpy(copy, data, size);
    return write_owned(writer, copy, size, count_release, copy, err);
}

static void writers_write(mlfa_store *store, const uint8_t *large) {
    const size_t steps[] = {1000, 65536, 262144, 262145, MIB + 1, LARGE};
    /* valgrind makes the digests of the store in memory slow. */
    int few = rounds(20) < 20;
    for (size_t at = few ? 3 : 0; at < sizeof steps / sizeof steps[0]; at += few ? 2 : 1) {
        for (int way = 0; way < 4; way += few ? 3 : 1) {
            int known = way & 1, owned = way >> 1;
            mlfa_writer *writer = writer_of(store, "written/a", known ? LARGE : MLFA_LENGTH_UNKNOWN, 0, NULL);
            size_t calls = 0;
            atomic_store(&released, 0);
            for (size_t done = 0; done < LARGE; done += steps[at], calls++) {
                size_t size = LARGE - done < steps[at] ? LARGE - done : steps[at];
                if (owned) {
                    CHECK_OK(write_released(writer, large + done, size, &error));
                } else {
                    CHECK_OK(write_some(writer, large + done, size, &error));
                }
            }
            CHECK(!is_stored(store, "written/a"));
            mlfa_meta *meta = UNTOUCHED;
            CHECK_OK(finish(writer, &meta, &error));
            CHECK_TEXT(mlfa_meta_path(meta), "written/a");
            CHECK(mlfa_meta_size(meta) == LARGE);
            mlfa_meta_free(meta);
            check_content(store, "written/a", large, LARGE);

            CHECK_STATUS(write_some(writer, large, 1, &error), MLFA_E_INVALID_ARGUMENT);
            CHECK_STATUS(write_released(writer, large, 1, &error), MLFA_E_INVALID_ARGUMENT);
            meta = UNTOUCHED;
            CHECK_STATUS(finish(writer, &meta, &error), MLFA_E_INVALID_ARGUMENT);
            CHECK(meta == NULL);
            CHECK_OK(abort_writer(writer, &error));
            mlfa_writer_free(writer);
            check_content(store, "written/a", large, LARGE);
            CHECK_OK(mlfa_delete(store, "written/a", SIZE_MAX, 0, NULL, &error));
            /* The memory store may keep the bytes themselves; nobody has them any more. */
            check_released((owned ? calls : 0) + 1);
        }
    }
}

static void tiny_writes_add_up(mlfa_store *store, const uint8_t *large) {
    size_t size = by_task ? 2000 : (size_t)rounds(300) * 1000;
    mlfa_writer *writer = writer_of(store, "tiny", MLFA_LENGTH_UNKNOWN, 0, NULL);
    for (size_t at = 0; at < size; at++) {
        CHECK_OK(write_some(writer, large + at, 1, &error));
        if (at % 1000 == 0) {
            CHECK_OK(write_some(writer, NULL, 0, &error));
            CHECK_OK(write_owned(writer, NULL, 0, NULL, NULL, &error));
        }
    }
    CHECK_OK(finish(writer, NULL, &error));
    mlfa_writer_free(writer);
    check_content(store, "tiny", large, size);

    writer = writer_of(store, "tiny", MLFA_LENGTH_UNKNOWN, 0, NULL);
    CHECK_OK(write_some(writer, large, 3, &error));
    CHECK_OK(write_owned(writer, large + 3, 4, NULL, NULL, &error));
    CHECK_OK(write_some(writer, large + 7, 5, &error));
    CHECK_OK(finish(writer, NULL, &error));
    mlfa_writer_free(writer);
    check_content(store, "tiny", large, 12);
}

static void nothing_is_written(mlfa_store *store) {
    const uint64_t lengths[] = {0, MLFA_LENGTH_UNKNOWN};
    for (int at = 0; at < 4; at++) {
        mlfa_writer *writer = writer_of(store, "nothing", lengths[at & 1], 0, NULL);
        if (at & 2) {
            CHECK_OK(write_some(writer, (const uint8_t *)"", 0, &error));
        }
        CHECK_OK(finish(writer, NULL, &error));
        mlfa_writer_free(writer);
        check_content(store, "nothing", "", 0);
        CHECK_OK(mlfa_delete(store, "nothing", SIZE_MAX, 0, NULL, &error));
    }
}

/* What a writer of `length` bytes that gets `size` bytes comes to: an error that stays. */
static void writers_count(mlfa_store *store, const uint8_t *large, uint64_t length, size_t size) {
    mlfa_writer *writer = writer_of(store, "wrong/size", length, 0, NULL);
    mlfa_status status = MLFA_OK;
    atomic_store(&released, 0);
    size_t calls = 0;
    for (size_t at = 0; at < size && status == MLFA_OK; at += 100000, calls++) {
        status = write_released(writer, large + at, size - at < 100000 ? size - at : 100000, NULL);
    }
    CHECK(status == MLFA_OK || status == MLFA_E_SIZE_MISMATCH);
    mlfa_meta *meta = UNTOUCHED;
    CHECK_STATUS(finish(writer, &meta, &error), MLFA_E_SIZE_MISMATCH);
    CHECK(meta == NULL);
    CHECK_STATUS(finish(writer, &meta, &error), MLFA_E_SIZE_MISMATCH);
    CHECK_STATUS(write_some(writer, large, 1, &error), MLFA_E_SIZE_MISMATCH);
    CHECK_STATUS(write_released(writer, large, 1, &error), MLFA_E_SIZE_MISMATCH);
    CHECK(!is_stored(store, "wrong/size"));
    CHECK_OK(abort_writer(writer, &error));
    CHECK(!is_stored(store, "wrong/size"));
    CHECK(count_temporaries(".") == 0);
    mlfa_writer_free(writer);
    check_released(calls + 1);
}

static void lengths_are_kept(mlfa_store *store, const uint8_t *large) {
    writers_count(store, large, LARGE, LARGE - 1);
    writers_count(store, large, LARGE, 0);
    writers_count(store, large, LARGE - 1, LARGE);
    writers_count(store, large, 0, 1);
    writers_count(store, large, 1, 0);
    writers_count(store, large, 10, LARGE);
    writers_count(store, large, UINT64_MAX - 1, 10);
}

static void writers_are_given_up(mlfa_store *store, const uint8_t *large) {
    const size_t sizes[] = {0, 10, MIB, LARGE};
    put_text(store, "kept", "old");
    for (size_t at = 0; at < 4; at++) {
        mlfa_writer *writer = writer_of(store, "kept", MLFA_LENGTH_UNKNOWN, 0, NULL);
        CHECK_OK(write_some(writer, large, sizes[at], &error));
        CHECK_OK(abort_writer(writer, &error));
        CHECK(count_temporaries(".") == 0);
        CHECK_STATUS(write_some(writer, large, 1, &error), MLFA_E_CANCELLED);
        CHECK_STATUS(finish(writer, NULL, &error), MLFA_E_CANCELLED);
        CHECK_OK(abort_writer(writer, &error));
        mlfa_writer_free(writer);
        check_content_text(store, "kept", "old");
    }
}

/* What the store finds wrong comes with a write or at the end, and again. */
static void refused(mlfa_store *store, const char *path, uint32_t mode, const char *etag, size_t size,
                    mlfa_status expected) {
    const char *outer = about;
    about = path;
    uint8_t *bytes = some_bytes(size, 5);
    mlfa_writer *writer = writer_of(store, path, MLFA_LENGTH_UNKNOWN, mode, etag);
    mlfa_status status = write_some(writer, bytes, size, NULL);
    CHECK(status == MLFA_OK || status == expected);
    mlfa_meta *meta = UNTOUCHED;
    CHECK_STATUS(finish(writer, &meta, &error), expected);
    CHECK(meta == NULL);
    CHECK_STATUS(finish(writer, &meta, &error), expected);
    CHECK_STATUS(write_some(writer, bytes, size, &error), expected);
    CHECK_OK(abort_writer(writer, &error));
    mlfa_writer_free(writer);
    CHECK(count_temporaries(".") == 0);
    free(bytes);
    about = outer;
}

static void stores_refuse(mlfa_store *store) {
    for (size_t size = 0; size <= LARGE; size += LARGE) {
        refused(store, "directory", 0, NULL, size, MLFA_E_IS_A_DIRECTORY);
        refused(store, "", 0, NULL, size, MLFA_E_IS_A_DIRECTORY);
        refused(store, "kept/below", 0, NULL, size, MLFA_E_NOT_A_DIRECTORY);
        refused(store, "kept", MLFA_PUT_CREATE_NEW, NULL, size, MLFA_E_ALREADY_EXISTS);
        check_content_text(store, "kept", "old");
    }
}

static void modes_are_kept(mlfa_store *store) {
    mlfa_writer *writer = writer_of(store, "new", MLFA_LENGTH_UNKNOWN, MLFA_PUT_CREATE_NEW, NULL);
    CHECK_OK(write_some(writer, (const uint8_t *)"1", 1, &error));
    CHECK_OK(finish(writer, NULL, &error));
    mlfa_writer_free(writer);
    refused(store, "new", MLFA_PUT_CREATE_NEW, NULL, 3, MLFA_E_ALREADY_EXISTS);
    check_content_text(store, "new", "1");

    /* Something else comes while it is written. */
    writer = writer_of(store, "late", MLFA_LENGTH_UNKNOWN, MLFA_PUT_CREATE_NEW, NULL);
    CHECK_OK(write_some(writer, (const uint8_t *)"1", 1, &error));
    put_text(store, "late", "other");
    CHECK_STATUS(finish(writer, NULL, &error), MLFA_E_ALREADY_EXISTS);
    mlfa_writer_free(writer);
    check_content_text(store, "late", "other");

    mlfa_meta *meta = UNTOUCHED;
    CHECK_OK(mlfa_stat(store, "new", SIZE_MAX, &meta, &error));
    char etag[256];
    snprintf(etag, sizeof etag, "%s", mlfa_meta_etag(meta));
    mlfa_meta_free(meta);
    if (mlfa_store_capabilities(store) & MLFA_CAPABILITY_REPLACE_IF_MATCH) {
        writer = writer_of(store, "new", 1, MLFA_PUT_IF_MATCH, etag);
        memset(etag, 'x', strlen(etag));
        CHECK_OK(write_some(writer, (const uint8_t *)"2", 1, &error));
        CHECK_OK(finish(writer, NULL, &error));
        mlfa_writer_free(writer);
        check_content_text(store, "new", "2");
        refused(store, "new", MLFA_PUT_IF_MATCH, etag, 3, MLFA_E_PRECONDITION_FAILED);
        refused(store, "absent", MLFA_PUT_IF_MATCH, etag, 3, MLFA_E_PRECONDITION_FAILED);
        check_content_text(store, "new", "2");
    } else {
        refused(store, "new", MLFA_PUT_IF_MATCH, etag, 3, MLFA_E_UNSUPPORTED);
        check_content_text(store, "new", "1");
    }
    CHECK_OK(mlfa_delete(store, "new", SIZE_MAX, 0, NULL, &error));
    CHECK_OK(mlfa_delete(store, "late", SIZE_MAX, 0, NULL, &error));
}

static void writers_mind_their_arguments(mlfa_store *store) {
    mlfa_put_options options = MLFA_PUT_OPTIONS_INIT;
    mlfa_writer *writer = UNTOUCHED;
    mlfa_task *task = UNTOUCHED;
    mlfa_meta *meta = UNTOUCHED;
    uint8_t byte = 1;
    options.mode = 77;
    CHECK_STATUS(mlfa_writer_open(store, "a", 1, 0, &options, &writer, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK(writer == NULL);
    options.mode = MLFA_PUT_IF_MATCH;
    CHECK_STATUS(mlfa_writer_open(store, "a", 1, 0, &options, &writer, &error), MLFA_E_INVALID_ARGUMENT);
    options.mode = MLFA_PUT_CREATE_NEW;
    options.if_match = "etag";
    CHECK_STATUS(mlfa_writer_open(store, "a", 1, 0, &options, &writer, &error), MLFA_E_INVALID_ARGUMENT);
    options.struct_size = 1;
    CHECK_STATUS(mlfa_writer_open(store, "a", 1, 0, &options, &writer, &error), MLFA_E_STRUCT_SIZE);
    CHECK_STATUS(mlfa_writer_open(store, "../a", 4, 0, NULL, &writer, &error), MLFA_E_INVALID_PATH);
    CHECK_STATUS(mlfa_writer_open(NULL, "a", 1, 0, NULL, &writer, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_open(store, NULL, 1, 0, NULL, &writer, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_open(store, "a", 1, 0, NULL, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK(writer == NULL);

    atomic_store(&released, 0);
    CHECK_STATUS(mlfa_writer_write(NULL, &byte, 1, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_write_start(NULL, &byte, 1, &task, &error), MLFA_E_NULL_POINTER);
    CHECK(task == NULL);
    CHECK_STATUS(mlfa_writer_write_owned(NULL, &byte, 1, count_release, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_write_owned_start(NULL, &byte, 1, count_release, NULL, &task, &error),
                 MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_finish(NULL, &meta, &error), MLFA_E_NULL_POINTER);
    CHECK(meta == NULL);
    CHECK_STATUS(mlfa_writer_finish_start(NULL, &task, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_abort(NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_abort_start(NULL, &task, &error), MLFA_E_NULL_POINTER);
    mlfa_writer_free(NULL);
    CHECK(atomic_load(&released) == 2);

    CHECK_OK(mlfa_writer_open(store, "minding", SIZE_MAX, 1, NULL, &writer, &error));
    CHECK_STATUS(mlfa_writer_write(writer, NULL, 1, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_write(writer, &byte, SIZE_MAX, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK_STATUS(mlfa_writer_write_owned(writer, NULL, 1, count_release, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_write_owned_start(writer, NULL, 1, count_release, NULL, &task, &error),
                 MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_write_owned_start(writer, &byte, 1, count_release, NULL, NULL, &error),
                 MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_write_start(writer, &byte, 1, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_finish_start(writer, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_writer_abort_start(writer, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK(atomic_load(&released) == 5);
    /* None of that counted. */
    CHECK_OK(mlfa_writer_write(writer, &byte, 1, &error));
    CHECK_OK(mlfa_writer_finish(writer, NULL, &error));
    mlfa_writer_free(writer);
    check_content(store, "minding", &byte, 1);
    CHECK_OK(mlfa_delete(store, "minding", SIZE_MAX, 0, NULL, &error));
}

/* A task that was cancelled, or freed while it ran, leaves a whole artifact or none. */
static void cancelled_tasks_leave_nothing(mlfa_store *store, const uint8_t *large) {
    int cancelled = 0;
    for (int round = 0; round < rounds(20) * 4; round++) {
        int finishes = round & 1, frees = round & 2;
        mlfa_writer *writer = writer_of(store, "cancelled", MLFA_LENGTH_UNKNOWN, 0, NULL);
        mlfa_task *task = UNTOUCHED;
        mlfa_meta *meta = UNTOUCHED;
        mlfa_status status = MLFA_E_CANCELLED;
        CHECK_OK(mlfa_writer_write(writer, large, MIB, &error));
        if (finishes) {
            CHECK_OK(mlfa_writer_finish_start(writer, &task, &error));
        } else {
            CHECK_OK(mlfa_writer_write_start(writer, large + MIB, LARGE - MIB, &task, &error));
        }
        if (frees) {
            mlfa_task_free(task);
            do {
                status = mlfa_writer_finish(writer, NULL, NULL);
            } while (status == MLFA_E_BUSY);
            CHECK(status == MLFA_E_CANCELLED || (finishes ? status == MLFA_E_INVALID_ARGUMENT : status == MLFA_OK));
        } else {
            mlfa_task_cancel(task);
            CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
            if (finishes) {
                status = mlfa_task_take_meta(task, &meta, NULL);
                CHECK((meta != NULL) == (status == MLFA_OK));
                mlfa_meta_free(meta);
            } else {
                status = mlfa_task_result(task, NULL);
                mlfa_status ended = mlfa_writer_finish(writer, NULL, NULL);
                CHECK(ended == status);
            }
            CHECK(status == MLFA_OK || status == MLFA_E_CANCELLED);
            mlfa_task_free(task);
        }
        cancelled += status == MLFA_E_CANCELLED;
        if (status == MLFA_E_CANCELLED) {
            CHECK_STATUS(mlfa_writer_write(writer, large, 1, &error), MLFA_E_CANCELLED);
            CHECK_OK(mlfa_writer_abort(writer, &error));
            CHECK(!is_stored(store, "cancelled"));
        } else {
            check_content(store, "cancelled", large, finishes ? MIB : LARGE);
        }
        mlfa_writer_free(writer);
        CHECK_OK(mlfa_delete(store, "cancelled", SIZE_MAX, 0, NULL, &error));
        CHECK(count_temporaries(".") == 0);
    }
    CHECK(cancelled > 0);
}

static void one_write_at_a_time(mlfa_store *store, const uint8_t *large) {
    int busy = 0;
    atomic_store(&released, 0);
    for (int round = 0; round < rounds(20); round++) {
        mlfa_writer *writer = writer_of(store, "busy", MLFA_LENGTH_UNKNOWN, 0, NULL);
        mlfa_task *task = UNTOUCHED, *other = UNTOUCHED;
        CHECK_OK(mlfa_writer_write(writer, large, MIB, &error));
        CHECK_OK(mlfa_writer_finish_start(writer, &task, &error));
        mlfa_status status = mlfa_writer_write_owned(writer, large, 1, count_release, NULL, NULL);
        CHECK(status == MLFA_E_BUSY || status == MLFA_E_INVALID_ARGUMENT);
        busy += status == MLFA_E_BUSY;
        status = mlfa_writer_finish_start(writer, &other, NULL);
        CHECK((other == NULL) == (status == MLFA_E_BUSY));
        status = mlfa_writer_abort(writer, NULL);
        CHECK(status == MLFA_E_BUSY || status == MLFA_OK);
        CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
        CHECK_OK(mlfa_task_result(task, &error));
        mlfa_task_free(other);
        mlfa_task_free(task);
        mlfa_writer_free(writer);
        check_content(store, "busy", large, MIB);
        CHECK(atomic_load(&released) == (size_t)round + 1);
    }
    CHECK(busy > 0);
    CHECK_OK(mlfa_delete(store, "busy", SIZE_MAX, 0, NULL, &error));
}

/* Writers that nobody finishes are gone with their context, with whatever they were doing. */
static void writers_are_freed_unfinished(const char *uri, const uint8_t *large) {
    for (int way = 0; way < 6; way++) {
        mlfa_context *context = new_context();
        mlfa_store *store = open_store(context, uri);
        mlfa_writer *writer = writer_of(store, "unfinished/a", MLFA_LENGTH_UNKNOWN, 0, NULL);
        mlfa_task *task = NULL;
        mlfa_store_release(store);
        if (way >= 1) {
            CHECK_OK(mlfa_writer_write(writer, large, way == 1 ? 10 : MIB, &error));
        }
        if (way == 3) {
            CHECK_OK(mlfa_writer_write_start(writer, large, LARGE, &task, &error));
        }
        if (way == 4) {
            CHECK_OK(mlfa_writer_abort_start(writer, &task, &error));
        }
        if (way == 5) {
            CHECK_OK(mlfa_writer_finish_start(writer, &task, &error));
        }
        mlfa_writer_free(writer);
        if (way == 5) {
            /* The task goes on without the writer. */
            CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
            CHECK_OK(mlfa_task_result(task, &error));
        }
        mlfa_task_free(task);
        mlfa_context_release(context);
        CHECK(count_temporaries(".") == 0);
    }
}

static void writers_outlive_what_they_came_from(const uint8_t *large) {
    mlfa_context *context = new_context();
    const char *uri = file_uri("store");
    mlfa_store *store = open_store(context, uri);
    mlfa_writer *writer = writer_of(store, "outlives", LARGE, 0, NULL);
    mlfa_store_release(store);
    mlfa_context_release(context);
    CHECK_OK(write_some(writer, large, LARGE, &error));
    CHECK_OK(finish(writer, NULL, &error));
    mlfa_writer_free(writer);
    CHECK(is_regular_file("store/outlives"));
    CHECK(!is_there("store/unfinished/a") || is_regular_file("store/unfinished/a"));
}

/* ---- Listings ---- */

static void batches_add_up(mlfa_store *store) {
    const size_t counts[] = {1, 7, 25, 26, SIZE_MAX};
    for (size_t at = 0; at < sizeof counts / sizeof counts[0]; at++) {
        mlfa_list *list = UNTOUCHED;
        mlfa_entries *entries = UNTOUCHED;
        size_t seen = 0;
        CHECK_OK(mlfa_list_open(store, "many", SIZE_MAX, 0, &list, &error));
        CHECK_STATUS(next_batch(list, 0, &entries, &error), MLFA_E_INVALID_ARGUMENT);
        CHECK(entries == NULL);
        for (;;) {
            CHECK_OK(next_batch(list, counts[at], &entries, &error));
            if (entries == NULL) {
                break;
            }
            size_t count = mlfa_entries_count(entries), left = 25 - seen;
            CHECK(count == (left < counts[at] ? left : counts[at]) && count > 0);
            for (size_t index = 0; index < count; index++, seen++) {
                char expected[32];
                snprintf(expected, sizeof expected, "many/%02zu", seen);
                CHECK_TEXT(mlfa_meta_path(mlfa_entries_at(entries, index)), expected);
                CHECK(mlfa_meta_size(mlfa_entries_at(entries, index)) == seen);
            }
            CHECK(mlfa_entries_at(entries, count) == NULL && mlfa_entries_at(entries, SIZE_MAX) == NULL);
            mlfa_entries_free(entries);
        }
        CHECK(seen == 25);
        CHECK_OK(next_batch(list, 3, &entries, &error));
        CHECK(entries == NULL);
        const mlfa_meta *entry = UNTOUCHED;
        CHECK_OK(mlfa_list_next(list, &entry, &error));
        CHECK(entry == NULL);
        mlfa_list_free(list);
    }
}

/* Single entries and batches of one listing, blocking and by tasks. */
static void ways_to_list_are_mixed(mlfa_store *store) {
    mlfa_list *list = UNTOUCHED;
    mlfa_task *task = UNTOUCHED;
    mlfa_meta *meta = UNTOUCHED;
    mlfa_entries *entries = UNTOUCHED;
    const mlfa_meta *entry = UNTOUCHED;
    CHECK_OK(mlfa_list_open(store, "many", SIZE_MAX, MLFA_LIST_RECURSIVE, &list, &error));
    CHECK_OK(mlfa_list_next(list, &entry, &error));
    CHECK_OK(mlfa_list_next_start(list, &task, &error));
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    CHECK_OK(mlfa_task_take_meta(task, &meta, &error));
    CHECK(mlfa_meta_path(meta) != NULL);
    CHECK_STATUS(mlfa_task_take_entries(task, &entries, &error), MLFA_E_INVALID_ARGUMENT);
    mlfa_meta_free(meta);
    mlfa_task_free(task);
    CHECK_OK(mlfa_list_next_batch_start(list, 30, &task, &error));
    mlfa_list_free(list);
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    CHECK_OK(mlfa_task_take_entries(task, &entries, &error));
    CHECK(mlfa_entries_count(entries) == 23);
    mlfa_task_free(task);
    CHECK(mlfa_meta_path(mlfa_entries_at(entries, 22)) != NULL);
    mlfa_entries_free(entries);

    CHECK_OK(mlfa_list_open(store, "absent", SIZE_MAX, 0, &list, &error));
    CHECK_OK(mlfa_list_next_start(list, &task, &error));
    CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
    CHECK_OK(mlfa_task_take_meta(task, &meta, &error));
    CHECK(meta == NULL);
    mlfa_task_free(task);
    CHECK_OK(next_batch(list, 1, &entries, &error));
    CHECK(entries == NULL);
    mlfa_list_free(list);
}

static void one_listing_at_a_time(mlfa_store *store) {
    for (int round = 0; round < rounds(30); round++) {
        mlfa_list *list = UNTOUCHED;
        mlfa_task *task = UNTOUCHED, *other = UNTOUCHED;
        mlfa_entries *entries = UNTOUCHED;
        const mlfa_meta *entry = UNTOUCHED;
        CHECK_OK(mlfa_list_open(store, "", 0, MLFA_LIST_RECURSIVE, &list, &error));
        CHECK_OK(mlfa_list_next_batch_start(list, SIZE_MAX, &task, &error));
        mlfa_status status = mlfa_list_next(list, &entry, NULL);
        CHECK(status == MLFA_E_BUSY || status == MLFA_OK);
        CHECK(entry == NULL);
        status = mlfa_list_next_start(list, &other, NULL);
        CHECK((other == NULL) == (status == MLFA_E_BUSY) && (status == MLFA_E_BUSY || status == MLFA_OK));
        mlfa_task_free(other);
        status = mlfa_list_next_batch(list, 1, &entries, NULL);
        CHECK(entries == NULL && (status == MLFA_E_BUSY || status == MLFA_OK));
        if (round % 2 == 0) {
            mlfa_task_cancel(task);
        }
        CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
        do {
            status = mlfa_list_next(list, &entry, NULL);
        } while (status == MLFA_E_BUSY);
        CHECK(status == MLFA_OK);
        mlfa_task_free(task);
        mlfa_list_free(list);
    }
}

static void listings_mind_null(mlfa_store *store) {
    mlfa_list *list = UNTOUCHED;
    mlfa_task *task = UNTOUCHED;
    mlfa_entries *entries = UNTOUCHED;
    CHECK_STATUS(mlfa_list_next_start(NULL, &task, &error), MLFA_E_NULL_POINTER);
    CHECK(task == NULL);
    CHECK_STATUS(mlfa_list_next_batch(NULL, 1, &entries, &error), MLFA_E_NULL_POINTER);
    CHECK(entries == NULL);
    CHECK_STATUS(mlfa_list_next_batch_start(NULL, 1, &task, &error), MLFA_E_NULL_POINTER);
    CHECK_OK(mlfa_list_open(store, "many", SIZE_MAX, 0, &list, &error));
    CHECK_STATUS(mlfa_list_next_start(list, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_list_next_batch(list, 1, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_list_next_batch_start(list, 1, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_list_next_batch_start(list, 0, &task, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK(task == NULL);
    CHECK_OK(mlfa_list_next_batch(list, 99, &entries, &error));
    CHECK(mlfa_entries_count(entries) == 25);
    mlfa_entries_free(entries);
    mlfa_list_free(list);
    CHECK(mlfa_entries_count(NULL) == 0 && mlfa_entries_at(NULL, 0) == NULL);
    mlfa_entries_free(NULL);
}

/* ---- Two threads that should not ---- */

struct shared {
    mlfa_reader *reader;
    mlfa_writer *writer;
    mlfa_list *list;
    atomic_size_t read, written, listed;
};

static void *use(void *argument) {
    struct shared *shared = argument;
    uint8_t buffer[5000] = {0};
    int count = rounds(300);
    for (int round = 0; round < count; round++) {
        size_t read = 77;
        mlfa_entries *entries = UNTOUCHED;
        mlfa_bytes *bytes = UNTOUCHED;
        mlfa_status status = mlfa_reader_read(shared->reader, buffer, sizeof buffer, &read, NULL);
        CHECK(status == MLFA_OK || (status == MLFA_E_BUSY && read == 0));
        atomic_fetch_add(&shared->read, read);
        status = mlfa_reader_read_chunk(shared->reader, &bytes, NULL);
        CHECK(status == MLFA_OK || (status == MLFA_E_BUSY && bytes == NULL));
        atomic_fetch_add(&shared->read, mlfa_bytes_size(bytes));
        mlfa_bytes_release(bytes);
        status = mlfa_writer_write(shared->writer, buffer, sizeof buffer, NULL);
        CHECK(status == MLFA_OK || status == MLFA_E_BUSY);
        atomic_fetch_add(&shared->written, status == MLFA_OK ? sizeof buffer : 0);
        status = mlfa_list_next_batch(shared->list, 1, &entries, NULL);
        CHECK(status == MLFA_OK || (status == MLFA_E_BUSY && entries == NULL));
        atomic_fetch_add(&shared->listed, mlfa_entries_count(entries));
        mlfa_entries_free(entries);
    }
    forget_error();
    return NULL;
}

static void two_threads_are_told(mlfa_store *store) {
    struct shared shared = {.reader = reader_of(store, "large", 0, MLFA_TO_THE_END),
                            .writer = writer_of(store, "shared", MLFA_LENGTH_UNKNOWN, 0, NULL)};
    CHECK_OK(mlfa_list_open(store, "many", SIZE_MAX, 0, &shared.list, &error));
    pthread_t threads[2];
    for (int at = 0; at < 2; at++) {
        CHECK(pthread_create(&threads[at], NULL, use, &shared) == 0);
    }
    for (int at = 0; at < 2; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    uint8_t byte = 0;
    size_t read = 1;
    while (read > 0) {
        uint8_t buffer[65536];
        CHECK_OK(mlfa_reader_read(shared.reader, buffer, sizeof buffer, &read, &error));
        atomic_fetch_add(&shared.read, read);
    }
    CHECK(atomic_load(&shared.read) == LARGE);
    CHECK(atomic_load(&shared.listed) <= 25);
    CHECK_OK(mlfa_writer_write(shared.writer, &byte, 1, &error));
    mlfa_meta *meta = UNTOUCHED;
    CHECK_OK(mlfa_writer_finish(shared.writer, &meta, &error));
    CHECK(mlfa_meta_size(meta) == atomic_load(&shared.written) + 1);
    mlfa_meta_free(meta);
    mlfa_reader_free(shared.reader);
    mlfa_writer_free(shared.writer);
    mlfa_list_free(shared.list);
}

/* ---- All of it ---- */

static void streams_of(mlfa_context *context, const char *uri, const uint8_t *large) {
    mlfa_store *store = open_store(context, uri);
    CHECK_OK(mlfa_put_bytes(store, "large", SIZE_MAX, large, LARGE, NULL, &error));
    CHECK_OK(mlfa_put_bytes(store, "empty", SIZE_MAX, NULL, 0, NULL, &error));
    put_text(store, "directory/a", "1");
    for (size_t at = 0; at < 25; at++) {
        char path[32];
        snprintf(path, sizeof path, "many/%02zu", at);
        CHECK_OK(mlfa_put_bytes(store, path, SIZE_MAX, large, at, NULL, &error));
    }
    for (by_task = 0; by_task < 2; by_task++) {
        about = by_task ? "tasks" : "blocking calls";
        readers_read(store, large);
        readers_read_ranges(store, large);
        readers_seek(store, large);
        readers_seek_behind_the_end(store, large);
        an_empty_file_is_read(store);
        readers_are_refused(store);
        readers_do_not_mix(store, large);
        writers_write(store, large);
        tiny_writes_add_up(store, large);
        nothing_is_written(store);
        lengths_are_kept(store, large);
        writers_are_given_up(store, large);
        stores_refuse(store);
        modes_are_kept(store);
        batches_add_up(store);
    }
    by_task = 0;
    about = NULL;
    one_read_at_a_time(store, large);
    ended_reads_leave_the_reader(store, large);
    readers_mind_null(store);
    writers_mind_their_arguments(store);
    cancelled_tasks_leave_nothing(store, large);
    one_write_at_a_time(store, large);
    ways_to_list_are_mixed(store);
    one_listing_at_a_time(store);
    listings_mind_null(store);
    two_threads_are_told(store);
    mlfa_store_release(store);
}

int main(int argc, char **argv) {
    enter(argc, argv);
    uint8_t *large = some_bytes(LARGE, 1);
    mlfa_context *context = new_context();
    streams_of(context, "memory:", large);
    streams_of(context, file_uri("store"), large);
    mlfa_context_release(context);
    readers_outlive_what_they_came_from("memory:", large);
    readers_outlive_what_they_came_from(file_uri("store"), large);
    writers_are_freed_unfinished("memory:", large);
    writers_are_freed_unfinished(file_uri("store"), large);
    writers_outlive_what_they_came_from(large);
    CHECK(count_temporaries(".") == 0);
    free(large);
    return passed();
}
