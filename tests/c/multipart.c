/* Uploads in parts, and what else a store can or cannot do: presigned requests, properties, etags, trusted URIs. */
#include "check.h"
#include "twins.h"

#include <pthread.h>

#define PART 65536u
#define PARTS 9u
#define LAST 777u
#define TOTAL ((PARTS - 1) * PART + LAST)

/* ---- Each operation, either way ---- */

static mlfa_status create(mlfa_store *store, const char *path, uint64_t length, uint64_t part_size,
                          const mlfa_put_options *options, mlfa_multipart **out, mlfa_error **err) {
    if (!by_task) {
        return mlfa_multipart_create(store, path, SIZE_MAX, length, part_size, options, out, err);
    }
    TAKE(mlfa_multipart_create_start(store, path, SIZE_MAX, length, part_size, options, &task, err),
         mlfa_task_take_multipart, out, err);
}

static mlfa_status resume(mlfa_store *store, const char *path, const char *token, mlfa_multipart **out,
                          mlfa_error **err) {
    if (!by_task) {
        return mlfa_multipart_resume(store, path, SIZE_MAX, token, SIZE_MAX, out, err);
    }
    TAKE(mlfa_multipart_resume_start(store, path, SIZE_MAX, token, SIZE_MAX, &task, err), mlfa_task_take_multipart,
         out, err);
}

static mlfa_status put_part(mlfa_multipart *upload, uint32_t number, const uint8_t *data, size_t size,
                            mlfa_meta **out, mlfa_error **err) {
    if (!by_task) {
        return mlfa_multipart_put_part(upload, number, data, size, out, err);
    }
    TAKE(mlfa_multipart_put_part_start(upload, number, data, size, &task, err), mlfa_task_take_meta, out, err);
}

static mlfa_status complete(mlfa_multipart *upload, mlfa_meta **out, mlfa_error **err) {
    if (!by_task) {
        return mlfa_multipart_complete(upload, out, err);
    }
    TAKE(mlfa_multipart_complete_start(upload, &task, err), mlfa_task_take_meta, out, err);
}

static mlfa_status abort_upload(mlfa_multipart *upload, mlfa_error **err) {
    if (!by_task) {
        return mlfa_multipart_abort(upload, err);
    }
    mlfa_task *task = UNTOUCHED;
    return end(mlfa_multipart_abort_start(upload, &task, err), &task, err);
}

static mlfa_status presign(mlfa_store *store, const char *path, uint32_t method, uint64_t expires_s,
                           mlfa_signed_request **out, mlfa_error **err) {
    if (!by_task) {
        return mlfa_presign(store, path, SIZE_MAX, method, expires_s, out, err);
    }
    TAKE(mlfa_presign_start(store, path, SIZE_MAX, method, expires_s, &task, err), mlfa_task_take_signed_request, out,
         err);
}

static mlfa_status presign_part(mlfa_multipart *upload, uint32_t number, uint64_t expires_s,
                                mlfa_signed_request **out, mlfa_error **err) {
    if (!by_task) {
        return mlfa_multipart_presign_part(upload, number, expires_s, out, err);
    }
    TAKE(mlfa_multipart_presign_part_start(upload, number, expires_s, &task, err), mlfa_task_take_signed_request, out,
         err);
}

static mlfa_status get_properties(mlfa_store *store, const char *path, mlfa_properties **out, mlfa_error **err) {
    if (!by_task) {
        return mlfa_get_properties(store, path, SIZE_MAX, out, err);
    }
    TAKE(mlfa_get_properties_start(store, path, SIZE_MAX, &task, err), mlfa_task_take_properties, out, err);
}

static mlfa_status describe(mlfa_store *store, mlfa_properties **out, mlfa_error **err) {
    if (!by_task) {
        return mlfa_store_describe(store, out, err);
    }
    TAKE(mlfa_store_describe_start(store, &task, err), mlfa_task_take_properties, out, err);
}

/* ---- Uploads in parts ---- */

static mlfa_multipart *upload_to(mlfa_store *store, const char *path) {
    mlfa_multipart *upload = UNTOUCHED;
    CHECK_OK(create(store, path, MLFA_LENGTH_UNKNOWN, PART, NULL, &upload, &error));
    CHECK(upload != NULL && mlfa_multipart_part_size(upload) == PART);
    return upload;
}

static size_t size_of(uint32_t number) {
    return number == PARTS ? LAST : PART;
}

/* Puts a part of `content`; its etag is written to `etag`, which has 128 bytes or is NULL. */
static void put(mlfa_multipart *upload, const uint8_t *content, uint32_t number, char *etag) {
    mlfa_meta *meta = UNTOUCHED;
    CHECK_OK(put_part(upload, number, content + (size_t)(number - 1) * PART, size_of(number), &meta, &error));
    CHECK(mlfa_meta_size(meta) == size_of(number) && mlfa_meta_etag(meta) != NULL);
    if (etag != NULL) {
        snprintf(etag, 128, "%s", mlfa_meta_etag(meta));
    }
    mlfa_meta_free(meta);
}

static void ended_uploads_refuse(mlfa_multipart *upload, const uint8_t *content) {
    mlfa_meta *meta = UNTOUCHED;
    CHECK_STATUS(complete(upload, &meta, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK(meta == NULL);
    meta = UNTOUCHED;
    CHECK_STATUS(put_part(upload, 1, content, 1, &meta, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK(meta == NULL);
    CHECK_STATUS(mlfa_multipart_add_part(upload, 1, 1, "x", 1, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK_STATUS(abort_upload(upload, &error), MLFA_E_INVALID_ARGUMENT);
}

static void parts_come_in_any_order(mlfa_store *store, const uint8_t *content) {
    const uint32_t order[PARTS] = {5, 9, 1, 3, 2, 8, 7, 4, 6};
    mlfa_multipart *upload = upload_to(store, "parts/any");
    for (size_t at = 0; at < PARTS; at++) {
        put(upload, content, order[at], NULL);
    }
    /* One that is put again replaces the earlier one. */
    mlfa_meta *meta = UNTOUCHED;
    uint8_t *other = some_bytes(PART, 3);
    CHECK_OK(put_part(upload, 4, other, PART, &meta, &error));
    mlfa_meta_free(meta);
    put(upload, content, 4, NULL);
    CHECK(!is_stored(store, "parts/any"));
    CHECK_OK(complete(upload, &meta, &error));
    CHECK_TEXT(mlfa_meta_path(meta), "parts/any");
    CHECK(mlfa_meta_size(meta) == TOTAL);
    mlfa_meta_free(meta);
    ended_uploads_refuse(upload, content);
    mlfa_multipart_release(upload);
    check_content(store, "parts/any", content, TOTAL);
    CHECK(count_temporaries(".") == 0);
    free(other);
}

struct putter {
    mlfa_multipart *upload;
    const uint8_t *content;
    uint32_t first;
};

static void *put_some(void *argument) {
    const struct putter *putter = argument;
    for (uint32_t number = putter->first; number <= PARTS; number += 3) {
        put(putter->upload, putter->content, number, NULL);
    }
    mlfa_multipart_release(putter->upload);
    forget_error();
    return NULL;
}

static void parts_come_from_many_threads(mlfa_store *store, const uint8_t *content) {
    mlfa_multipart *upload = upload_to(store, "parts/threads");
    pthread_t threads[3];
    struct putter putters[3];
    for (uint32_t at = 0; at < 3; at++) {
        CHECK(mlfa_multipart_retain(upload) == upload);
        putters[at] = (struct putter){upload, content, at + 1};
        CHECK(pthread_create(&threads[at], NULL, put_some, &putters[at]) == 0);
    }
    for (size_t at = 0; at < 3; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    mlfa_meta *meta = UNTOUCHED;
    CHECK_OK(complete(upload, &meta, &error));
    mlfa_meta_free(meta);
    mlfa_multipart_release(upload);
    check_content(store, "parts/threads", content, TOTAL);
}

/* Released without being completed, and taken up again through another handle. */
static void uploads_are_taken_up_again(mlfa_store *store, mlfa_store *other, const uint8_t *content) {
    char etags[PARTS + 1][128], *token;
    mlfa_multipart *upload = upload_to(store, "parts/resumed"), *again = UNTOUCHED;
    mlfa_meta *meta = UNTOUCHED;
    put(upload, content, 2, etags[2]);
    put(upload, content, 9, etags[9]);
    token = strdup(mlfa_multipart_token(upload));
    mlfa_multipart_release(upload);
    CHECK(!is_stored(store, "parts/resumed"));

    CHECK_STATUS(resume(other, "parts/other", token, &again, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK(again == NULL);
    CHECK_OK(resume(other, "parts/resumed", token, &again, &error));
    CHECK(mlfa_multipart_part_size(again) == PART);
    CHECK(mlfa_multipart_token(again) != NULL);
    CHECK_OK(mlfa_multipart_add_part(again, 9, LAST, etags[9], SIZE_MAX, &error));
    CHECK_OK(mlfa_multipart_add_part(again, 2, PART, etags[2], SIZE_MAX, &error));
    for (uint32_t number = 1; number < PARTS; number += number == 1 ? 2 : 1) {
        put(again, content, number, NULL);
    }
    CHECK_OK(complete(again, &meta, &error));
    CHECK_TEXT(mlfa_meta_path(meta), "parts/resumed");
    mlfa_meta_free(meta);
    mlfa_multipart_release(again);
    check_content(store, "parts/resumed", content, TOTAL);
    CHECK_STATUS(resume(other, "parts/resumed", token, &again, &error), MLFA_E_NOT_FOUND);
    CHECK(again == NULL);
    free(token);

    /* Nor is there anything to take up after an abort. */
    upload = upload_to(store, "parts/aborted");
    put(upload, content, 1, NULL);
    token = strdup(mlfa_multipart_token(upload));
    CHECK_OK(abort_upload(upload, &error));
    ended_uploads_refuse(upload, content);
    CHECK_TEXT(mlfa_multipart_token(upload), token);
    mlfa_multipart_release(upload);
    CHECK(!is_stored(store, "parts/aborted") && count_temporaries(".") == 0);
    CHECK_STATUS(resume(other, "parts/aborted", token, &again, &error), MLFA_E_NOT_FOUND);
    free(token);

    mlfa_status status = resume(other, "parts/aborted", "no token", &again, NULL);
    CHECK(again == NULL && (status == MLFA_E_NOT_FOUND || status == MLFA_E_INVALID_ARGUMENT));
    CHECK_STATUS(resume(other, "parts/aborted", "\xff", &again, &error), MLFA_E_INVALID_UTF8);
    CHECK_STATUS(resume(other, "../aborted", "x", &again, &error), MLFA_E_INVALID_PATH);
}

/* An upload with a fault in its parts cannot be completed, and is given up. */
static void faulty(mlfa_store *store, const uint8_t *content, const char *fault) {
    mlfa_multipart *upload = upload_to(store, "parts/faulty");
    mlfa_meta *meta = UNTOUCHED;
    const char *outer = about;
    about = fault;
    if (strcmp(fault, "gap") == 0) {
        put(upload, content, 1, NULL);
        put(upload, content, 3, NULL);
    } else if (strcmp(fault, "no first") == 0) {
        put(upload, content, 2, NULL);
    } else if (strcmp(fault, "small") == 0) {
        CHECK_OK(put_part(upload, 1, content, 10, &meta, &error));
        mlfa_meta_free(meta);
        put(upload, content, 2, NULL);
    } else if (strcmp(fault, "never put") == 0) {
        put(upload, content, 1, NULL);
        CHECK_OK(mlfa_multipart_add_part(upload, 2, PART, "0123456789abcdef", SIZE_MAX, &error));
    } else if (strcmp(fault, "other etag") == 0) {
        put(upload, content, 1, NULL);
        CHECK_OK(mlfa_multipart_add_part(upload, 1, PART, "0123456789abcdef", SIZE_MAX, &error));
    } else if (strcmp(fault, "number 0") == 0) {
        put(upload, content, 1, NULL);
        CHECK_OK(mlfa_multipart_add_part(upload, 0, PART, "0123456789abcdef", SIZE_MAX, &error));
    }
    CHECK_STATUS(complete(upload, &meta, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK(meta == NULL);
    ended_uploads_refuse(upload, content);
    mlfa_multipart_release(upload);
    CHECK(!is_stored(store, "parts/faulty"));
    CHECK(count_temporaries(".") == 0);
    about = outer;
}

static void parts_are_checked(mlfa_store *store, const uint8_t *content) {
    const char *const faults[] = {"gap", "no first", "small", "never put", "other etag", "number 0"};
    for (size_t at = 0; at < sizeof faults / sizeof faults[0]; at++) {
        faulty(store, content, faults[at]);
    }
    mlfa_multipart *upload = upload_to(store, "parts/checked");
    mlfa_meta *meta = UNTOUCHED;
    CHECK_STATUS(put_part(upload, 0, content, 1, &meta, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK(meta == NULL);
    CHECK_STATUS(put_part(upload, UINT32_MAX, content, 1, &meta, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK_STATUS(put_part(upload, 1, content, PART + 1, &meta, &error), MLFA_E_INVALID_ARGUMENT);
    /* What was refused does not count. */
    put(upload, content, 1, NULL);
    CHECK_OK(complete(upload, &meta, &error));
    mlfa_meta_free(meta);
    mlfa_multipart_release(upload);
    check_content(store, "parts/checked", content, PART);
}

static void part_sizes_are_chosen(mlfa_store *store) {
    const struct {
        uint64_t length, asked;
    } SIZES[] = {{MLFA_LENGTH_UNKNOWN, 0}, {1, 0}, {UINT64_C(1) << 42, 0}, {10, 3}, {MLFA_LENGTH_UNKNOWN, 1}};
    for (size_t at = 0; at < sizeof SIZES / sizeof SIZES[0]; at++) {
        mlfa_multipart *upload = UNTOUCHED;
        CHECK_OK(create(store, "parts/sizes", SIZES[at].length, SIZES[at].asked, NULL, &upload, &error));
        uint64_t size = mlfa_multipart_part_size(upload);
        CHECK(SIZES[at].asked > 0 ? size == SIZES[at].asked : size > 0);
        CHECK_OK(abort_upload(upload, &error));
        mlfa_multipart_release(upload);
    }
    CHECK(!is_stored(store, "parts/sizes") && count_temporaries(".") == 0);
}

/* A part that is being put keeps the upload from ending; who completes gets every part that was put. */
static void parts_hold_the_end_up(mlfa_store *store, const uint8_t *content) {
    int busy = 0;
    for (int round = 0; round < rounds(60); round++) {
        mlfa_multipart *upload = upload_to(store, "parts/busy");
        mlfa_task *part = UNTOUCHED, *end = UNTOUCHED;
        mlfa_meta *meta = UNTOUCHED;
        put(upload, content, 1, NULL);
        CHECK_OK(mlfa_multipart_put_part_start(upload, 2, content + PART, PART, &part, &error));
        mlfa_status status = round % 2 ? mlfa_multipart_abort(upload, NULL)
                                       : mlfa_multipart_complete_start(upload, &end, NULL);
        CHECK(status == MLFA_OK || status == MLFA_E_BUSY);
        busy += status == MLFA_E_BUSY;
        CHECK_OK(mlfa_task_wait(part, MLFA_FOREVER, &error));
        CHECK_OK(mlfa_task_result(part, &error));
        mlfa_task_free(part);
        if (status == MLFA_E_BUSY) {
            CHECK_OK(mlfa_multipart_complete_start(upload, &end, &error));
        }
        if (status == MLFA_E_BUSY || round % 2 == 0) {
            CHECK_OK(mlfa_task_wait(end, MLFA_FOREVER, &error));
            CHECK_OK(mlfa_task_take_meta(end, &meta, &error));
            CHECK(mlfa_meta_size(meta) == 2 * PART);
            mlfa_meta_free(meta);
            mlfa_task_free(end);
            check_content(store, "parts/busy", content, 2 * PART);
        }
        ended_uploads_refuse(upload, content);
        mlfa_multipart_release(upload);
        CHECK_OK(mlfa_delete(store, "parts/busy", SIZE_MAX, 0, NULL, &error));
    }
    CHECK(busy > 0);
}

/* A part whose task was cancelled or freed does not hold the upload up for ever. */
static void cancelled_parts_let_go(mlfa_store *store, const uint8_t *content) {
    for (int round = 0; round < rounds(30); round++) {
        mlfa_multipart *upload = upload_to(store, "parts/cancelled");
        mlfa_task *task = UNTOUCHED;
        CHECK_OK(mlfa_multipart_put_part_start(upload, 1, content, PART, &task, &error));
        mlfa_task_cancel(task);
        CHECK_OK(mlfa_task_wait(task, MLFA_FOREVER, &error));
        mlfa_task_free(task);
        put(upload, content, 1, NULL);
        CHECK_OK(mlfa_multipart_put_part_start(upload, 2, content, PART, &task, &error));
        mlfa_task_free(task);
        mlfa_status status;
        do {
            status = mlfa_multipart_abort(upload, NULL);
        } while (status == MLFA_E_BUSY);
        CHECK(status == MLFA_OK);
        mlfa_multipart_release(upload);
    }
    CHECK(!is_stored(store, "parts/cancelled"));
}

/* An upload whose end was cancelled is either complete or gone. */
static void cancelled_ends_leave_nothing(mlfa_store *store, const uint8_t *content) {
    for (int round = 0; round < rounds(30); round++) {
        mlfa_multipart *upload = upload_to(store, "parts/ended");
        mlfa_task *end = UNTOUCHED;
        put(upload, content, 1, NULL);
        CHECK_OK(mlfa_multipart_complete_start(upload, &end, &error));
        mlfa_task_cancel(end);
        CHECK_OK(mlfa_task_wait(end, MLFA_FOREVER, &error));
        mlfa_task_free(end);
        mlfa_multipart_release(upload);
    }
}

static void uploads_mind_their_arguments(mlfa_store *store) {
    mlfa_multipart *upload = UNTOUCHED;
    mlfa_task *task = UNTOUCHED;
    mlfa_meta *meta = UNTOUCHED;
    mlfa_signed_request *request = UNTOUCHED;
    uint8_t byte = 1;
    CHECK_STATUS(mlfa_multipart_create(NULL, "a", 1, 0, 0, NULL, &upload, &error), MLFA_E_NULL_POINTER);
    CHECK(upload == NULL);
    CHECK_STATUS(mlfa_multipart_create(store, NULL, 1, 0, 0, NULL, &upload, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_create(store, "a", 1, 0, 0, NULL, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_create(store, "..", 2, 0, 0, NULL, &upload, &error), MLFA_E_INVALID_PATH);
    CHECK_STATUS(mlfa_multipart_create_start(store, "..", 2, 0, 0, NULL, &task, &error), MLFA_E_INVALID_PATH);
    CHECK(task == NULL);
    CHECK_STATUS(mlfa_multipart_resume(NULL, "a", 1, "t", 1, &upload, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_resume(store, "a", 1, NULL, 1, &upload, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_put_part(NULL, 1, &byte, 1, &meta, &error), MLFA_E_NULL_POINTER);
    CHECK(meta == NULL);
    CHECK_STATUS(mlfa_multipart_put_part_start(NULL, 1, &byte, 1, &task, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_add_part(NULL, 1, 1, "x", 1, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_presign_part(NULL, 1, 1, &request, &error), MLFA_E_NULL_POINTER);
    CHECK(request == NULL);
    CHECK_STATUS(mlfa_multipart_presign_part_start(NULL, 1, 1, &task, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_complete(NULL, &meta, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_complete_start(NULL, &task, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_abort(NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_abort_start(NULL, &task, &error), MLFA_E_NULL_POINTER);
    CHECK(mlfa_multipart_token(NULL) == NULL && mlfa_multipart_part_size(NULL) == 0);
    CHECK(mlfa_multipart_retain(NULL) == NULL);
    mlfa_multipart_release(NULL);

    upload = upload_to(store, "minding");
    CHECK_STATUS(mlfa_multipart_put_part(upload, 1, NULL, 1, &meta, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_put_part_start(upload, 1, &byte, 1, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_add_part(upload, 1, 1, NULL, 1, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_add_part(upload, 1, 1, "\xff", 1, &error), MLFA_E_INVALID_UTF8);
    CHECK_STATUS(mlfa_multipart_complete_start(upload, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_multipart_abort_start(upload, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_OK(mlfa_multipart_put_part(upload, 1, &byte, 1, NULL, &error));
    CHECK_OK(mlfa_multipart_complete(upload, NULL, &error));
    mlfa_multipart_release(upload);
    check_content(store, "minding", &byte, 1);
    CHECK_OK(mlfa_delete(store, "minding", SIZE_MAX, 0, NULL, &error));
}

static void uploads_keep_their_mode(mlfa_store *store, const uint8_t *content) {
    mlfa_put_options options = MLFA_PUT_OPTIONS_INIT;
    mlfa_multipart *upload = UNTOUCHED;
    mlfa_meta *meta = UNTOUCHED;
    options.mode = MLFA_PUT_CREATE_NEW;
    CHECK_OK(create(store, "parts/mode", PART, PART, &options, &upload, &error));
    put(upload, content, 1, NULL);
    put_text(store, "parts/mode", "other");
    CHECK_STATUS(complete(upload, &meta, &error), MLFA_E_ALREADY_EXISTS);
    CHECK(meta == NULL);
    mlfa_multipart_release(upload);
    check_content_text(store, "parts/mode", "other");
    CHECK(count_temporaries(".") == 0);
    CHECK_OK(mlfa_delete(store, "parts/mode", SIZE_MAX, 0, NULL, &error));
}

/* ---- Presigned requests ---- */

static void nothing_is_presigned(mlfa_store *store) {
    mlfa_signed_request *request = UNTOUCHED;
    put_text(store, "signed", "x");
    CHECK(!(mlfa_store_capabilities(store) & MLFA_CAPABILITY_PRESIGN));
    CHECK_STATUS(presign(store, "signed", MLFA_PRESIGN_GET, 60, &request, &error), MLFA_E_UNSUPPORTED);
    CHECK(request == NULL);
    CHECK_STATUS(presign(store, "signed", MLFA_PRESIGN_PUT, 60, &request, &error), MLFA_E_UNSUPPORTED);
    CHECK_STATUS(presign(store, "signed", 7, 60, &request, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK_STATUS(presign(store, "signed", MLFA_PRESIGN_GET, 0, &request, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK_STATUS(presign(store, "..", MLFA_PRESIGN_GET, 60, &request, &error), MLFA_E_INVALID_PATH);
    CHECK_STATUS(presign(NULL, "signed", MLFA_PRESIGN_GET, 60, &request, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(presign(store, "signed", MLFA_PRESIGN_GET, UINT64_MAX, &request, &error), MLFA_E_UNSUPPORTED);
    CHECK(request == NULL);
    mlfa_multipart *upload = upload_to(store, "signed");
    CHECK_STATUS(presign_part(upload, 1, 60, &request, &error), MLFA_E_UNSUPPORTED);
    CHECK(request == NULL);
    CHECK_STATUS(presign_part(upload, 1, 0, &request, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK_OK(abort_upload(upload, &error));
    mlfa_multipart_release(upload);
    CHECK(mlfa_signed_request_method(NULL) == NULL && mlfa_signed_request_url(NULL) == NULL);
    CHECK(mlfa_signed_request_header_count(NULL) == 0);
    CHECK(mlfa_signed_request_header_name_at(NULL, 0) == NULL);
    CHECK(mlfa_signed_request_header_value_at(NULL, 0) == NULL);
    mlfa_signed_request_free(NULL);
}

/* ---- Properties ---- */

static void properties_are_kept(mlfa_store *store) {
    int keeps = (mlfa_store_capabilities(store) & MLFA_CAPABILITY_PROPERTIES) != 0;
    mlfa_properties *properties = UNTOUCHED, *found = UNTOUCHED;
    CHECK_OK(mlfa_properties_new(&properties, &error));
    CHECK(mlfa_properties_count(properties) == 0 && mlfa_properties_name_at(properties, 0) == NULL);
    CHECK_OK(mlfa_properties_add(properties, "run", SIZE_MAX, "1", SIZE_MAX, &error));
    const char *lent = mlfa_properties_value_at(properties, 0);
    CHECK_OK(mlfa_properties_add(properties, "name-cut", 4, "value-cut", 5, &error));
    CHECK_OK(mlfa_properties_add(properties, "run", SIZE_MAX, "2", SIZE_MAX, &error));
    CHECK(mlfa_properties_count(properties) == 3 && mlfa_properties_value_at(properties, 0) == lent);
    CHECK_TEXT(mlfa_properties_name_at(properties, 1), "name");
    CHECK_TEXT(mlfa_properties_value_at(properties, 1), "value");
    CHECK(mlfa_properties_name_at(properties, 3) == NULL && mlfa_properties_value_at(properties, SIZE_MAX) == NULL);
    CHECK_STATUS(mlfa_properties_add(properties, "\xff", 1, "x", 1, &error), MLFA_E_INVALID_UTF8);
    CHECK_STATUS(mlfa_properties_add(properties, NULL, 1, "x", 1, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_properties_add(NULL, "x", 1, "x", 1, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_properties_new(NULL, &error), MLFA_E_NULL_POINTER);
    CHECK(mlfa_properties_count(properties) == 3);

    mlfa_put_options options = MLFA_PUT_OPTIONS_INIT;
    options.properties = properties;
    for (int way = 0; way < 3; way++) {
        mlfa_status expected = keeps ? MLFA_OK : MLFA_E_UNSUPPORTED;
        mlfa_multipart *upload = UNTOUCHED;
        mlfa_writer *writer = UNTOUCHED;
        CHECK_OK(mlfa_delete(store, "kept", SIZE_MAX, 0, NULL, &error));
        if (way == 0) {
            CHECK_STATUS(mlfa_put_bytes(store, "kept", 4, (const uint8_t *)"x", 1, &options, &error), expected);
        } else if (way == 1) {
            CHECK_OK(mlfa_writer_open(store, "kept", 4, 0, &options, &writer, &error));
            CHECK_STATUS(mlfa_writer_finish(writer, NULL, &error), expected);
            mlfa_writer_free(writer);
        } else {
            CHECK_STATUS(create(store, "kept", 1, 0, &options, &upload, &error), expected);
            if (keeps) {
                CHECK_OK(mlfa_multipart_put_part(upload, 1, (const uint8_t *)"x", 1, NULL, &error));
                CHECK_OK(mlfa_multipart_complete(upload, NULL, &error));
            }
            mlfa_multipart_release(upload);
        }
        CHECK(is_stored(store, "kept") == keeps);
        if (keeps) {
            CHECK_OK(get_properties(store, "kept", &found, &error));
            CHECK(mlfa_properties_count(found) == 3);
            CHECK_TEXT(mlfa_properties_name_at(found, 0), "name");
            CHECK_TEXT(mlfa_properties_value_at(found, 1), "1");
            CHECK_TEXT(mlfa_properties_value_at(found, 2), "2");
            mlfa_properties_free(found);
        }
    }
    put_text(store, "plain", "x");
    if (keeps) {
        CHECK_OK(get_properties(store, "plain", &found, &error));
        CHECK(found != NULL && mlfa_properties_count(found) == 0);
        mlfa_properties_free(found);
        CHECK_STATUS(get_properties(store, "absent", &found, &error), MLFA_E_NOT_FOUND);
    } else {
        CHECK_STATUS(get_properties(store, "plain", &found, &error), MLFA_E_UNSUPPORTED);
    }
    CHECK(found == NULL || keeps);
    CHECK_STATUS(get_properties(store, "..", &found, &error), MLFA_E_INVALID_PATH);
    CHECK_STATUS(get_properties(NULL, "a", &found, &error), MLFA_E_NULL_POINTER);
    CHECK(found == NULL);
    CHECK_STATUS(mlfa_get_properties(store, "a", 1, NULL, &error), MLFA_E_NULL_POINTER);
    mlfa_properties_free(properties);
    mlfa_properties_free(NULL);
    CHECK(mlfa_properties_count(NULL) == 0 && mlfa_properties_name_at(NULL, 0) == NULL);
    CHECK(mlfa_properties_value_at(NULL, 0) == NULL);
}

/* ---- Etags, capabilities, descriptions ---- */

static void etags_guard_puts(mlfa_store *store) {
    mlfa_put_options options = MLFA_PUT_OPTIONS_INIT;
    mlfa_meta *meta = UNTOUCHED;
    const uint8_t *two = (const uint8_t *)"two";
    put_text(store, "guarded", "one");
    CHECK_OK(mlfa_stat(store, "guarded", SIZE_MAX, &meta, &error));
    options.mode = MLFA_PUT_IF_MATCH;
    CHECK_STATUS(mlfa_put_bytes(store, "guarded", SIZE_MAX, two, 3, &options, &error),
                 MLFA_E_INVALID_ARGUMENT);
    options.if_match = mlfa_meta_etag(meta);
    if (mlfa_store_capabilities(store) & MLFA_CAPABILITY_REPLACE_IF_MATCH) {
        CHECK_OK(mlfa_put_bytes(store, "guarded", SIZE_MAX, two, 3, &options, &error));
        CHECK_STATUS(mlfa_put_bytes(store, "guarded", SIZE_MAX, two, 3, &options, &error),
                     MLFA_E_PRECONDITION_FAILED);
        check_content_text(store, "guarded", "two");
        CHECK_STATUS(mlfa_put_bytes(store, "absent", SIZE_MAX, two, 3, &options, &error),
                     MLFA_E_PRECONDITION_FAILED);
        CHECK(!is_stored(store, "absent"));
    } else {
        CHECK_STATUS(mlfa_put_bytes(store, "guarded", SIZE_MAX, two, 3, &options, &error), MLFA_E_UNSUPPORTED);
        check_content_text(store, "guarded", "one");
    }
    options.mode = MLFA_PUT_OVERWRITE;
    CHECK_STATUS(mlfa_put_bytes(store, "guarded", SIZE_MAX, two, 3, &options, &error), MLFA_E_INVALID_ARGUMENT);
    mlfa_meta_free(meta);
    CHECK_OK(mlfa_delete(store, "guarded", SIZE_MAX, 0, NULL, &error));
}

static void stores_are_described(mlfa_store *store) {
    mlfa_properties *described = UNTOUCHED;
    CHECK_OK(describe(store, &described, &error));
    size_t count = mlfa_properties_count(described);
    CHECK(count > 0);
    for (size_t at = 0; at < count; at++) {
        CHECK(mlfa_properties_name_at(described, at)[0] != '\0');
        CHECK(mlfa_properties_value_at(described, at) != NULL);
    }
    mlfa_properties_free(described);
    CHECK_STATUS(describe(NULL, &described, &error), MLFA_E_NULL_POINTER);
    CHECK(described == NULL);
    CHECK_STATUS(mlfa_store_describe(store, NULL, &error), MLFA_E_NULL_POINTER);
    CHECK_STATUS(mlfa_store_describe_start(store, NULL, &error), MLFA_E_NULL_POINTER);

    uint64_t both = MLFA_CAPABILITY_DIRECTORIES | MLFA_CAPABILITY_RANGE | MLFA_CAPABILITY_CREATE_NEW |
                    MLFA_CAPABILITY_IF_MATCH | MLFA_CAPABILITY_MULTIPART | MLFA_CAPABILITY_RESUME_UPLOAD |
                    MLFA_CAPABILITY_COPY;
    uint64_t memory = MLFA_CAPABILITY_REPLACE_IF_MATCH | MLFA_CAPABILITY_SHA256 | MLFA_CAPABILITY_PROPERTIES;
    int is_memory = strcmp(mlfa_store_scheme(store), "memory") == 0;
    CHECK(mlfa_store_capabilities(store) == (is_memory ? both | memory : both));
    CHECK(mlfa_store_capabilities(NULL) == 0);
}

/* ---- Trusted URIs ---- */

static void only_trusted_uris_open(void) {
    const char *const trusted[] = {"file:///anywhere", "https://example.com:8443/artifacts"};
    const struct {
        const char *uri;
        mlfa_status status;
    } OPENED[] = {
        {"file:///tmp", MLFA_OK},
        {"memory:", MLFA_E_HOST_NOT_ALLOWED},
        {"file://elsewhere/tmp", MLFA_E_HOST_NOT_ALLOWED},
    };
    mlfa_context_options options = MLFA_CONTEXT_OPTIONS_INIT;
    mlfa_context *context = UNTOUCHED;
    mlfa_store *store = UNTOUCHED;
    options.trusted_uris = trusted;
    options.trusted_uri_count = 2;
    CHECK_OK(mlfa_context_new(&options, &context, &error));
    for (size_t at = 0; at < sizeof OPENED / sizeof OPENED[0]; at++) {
        about = OPENED[at].uri;
        CHECK_STATUS(mlfa_store_open(context, OPENED[at].uri, SIZE_MAX, NULL, &store, &error), OPENED[at].status);
        CHECK((store != NULL) == (OPENED[at].status == MLFA_OK));
        mlfa_store_release(store);
    }
    about = NULL;
    mlfa_context_release(context);

    /* With a pointer and no URI nothing opens. */
    options.trusted_uri_count = 0;
    CHECK_OK(mlfa_context_new(&options, &context, &error));
    CHECK_STATUS(mlfa_store_open(context, "memory:", SIZE_MAX, NULL, &store, &error), MLFA_E_HOST_NOT_ALLOWED);
    CHECK(store == NULL);
    mlfa_context_release(context);

    const char *const malformed[] = {"file:///a", "no uri at all: \x01"}, *const missing[] = {"file:///a", NULL};
    const char *const unreadable[] = {"file:///\xff"};
    options.trusted_uris = malformed;
    options.trusted_uri_count = 2;
    CHECK_STATUS(mlfa_context_new(&options, &context, &error), MLFA_E_INVALID_URI);
    CHECK(context == NULL);
    options.trusted_uris = missing;
    CHECK_STATUS(mlfa_context_new(&options, &context, &error), MLFA_E_NULL_POINTER);
    options.trusted_uris = unreadable;
    options.trusted_uri_count = 1;
    CHECK_STATUS(mlfa_context_new(&options, &context, &error), MLFA_E_INVALID_UTF8);
    options.trusted_uris = NULL;
    CHECK_STATUS(mlfa_context_new(&options, &context, &error), MLFA_E_NULL_POINTER);
    options.trusted_uris = trusted;
    options.trusted_uri_count = SIZE_MAX;
    CHECK_STATUS(mlfa_context_new(&options, &context, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK(context == NULL);
}

/* ---- All of it ---- */

static void parts_of(mlfa_store *store, mlfa_store *other, const uint8_t *content) {
    for (by_task = 0; by_task < 2; by_task++) {
        about = by_task ? "tasks" : "blocking calls";
        CHECK_OK(mlfa_delete(store, "", 0, MLFA_DELETE_RECURSIVE, NULL, &error));
        parts_come_in_any_order(store, content);
        parts_come_from_many_threads(store, content);
        uploads_are_taken_up_again(store, other, content);
        parts_are_checked(store, content);
        part_sizes_are_chosen(store);
        uploads_keep_their_mode(store, content);
        nothing_is_presigned(store);
        properties_are_kept(store);
        stores_are_described(store);
    }
    by_task = 0;
    about = NULL;
    parts_hold_the_end_up(store, content);
    cancelled_parts_let_go(store, content);
    cancelled_ends_leave_nothing(store, content);
    uploads_mind_their_arguments(store);
    etags_guard_puts(store);
    CHECK_OK(mlfa_delete(store, "", 0, MLFA_DELETE_RECURSIVE, NULL, &error));
}

int main(int argc, char **argv) {
    enter(argc, argv);
    uint8_t *content = some_bytes(TOTAL, 1);
    only_trusted_uris_open();
    mlfa_context *context = new_context(), *another = new_context();
    mlfa_store *memory = open_store(context, "memory:");
    mlfa_store *file = open_store(context, file_uri("store")), *same = open_store(another, file_uri("store"));
    parts_of(memory, memory, content);
    parts_of(file, same, content);
    mlfa_store_release(memory);
    mlfa_store_release(file);
    mlfa_store_release(same);
    mlfa_context_release(context);
    mlfa_context_release(another);
    CHECK(count_temporaries(".") == 0);
    free(content);
    return passed();
}
