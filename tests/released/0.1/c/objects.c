/* What the library is, option structs, single artifacts, errors, and the life of handles. */
#include "check.h"

/* ---- The library ---- */

static const struct {
    mlfa_status status;
    const char *name;
} STATUSES[] = {
    {MLFA_OK, "ok"},
    {MLFA_E_INVALID_ARGUMENT, "invalid_argument"},
    {MLFA_E_NULL_POINTER, "null_pointer"},
    {MLFA_E_INVALID_UTF8, "invalid_utf8"},
    {MLFA_E_STRUCT_SIZE, "struct_size"},
    {MLFA_E_INVALID_PATH, "invalid_path"},
    {MLFA_E_INVALID_URI, "invalid_uri"},
    {MLFA_E_INVALID_CONFIG, "invalid_config"},
    {MLFA_E_UNKNOWN_SCHEME, "unknown_scheme"},
    {MLFA_E_HOST_NOT_ALLOWED, "host_not_allowed"},
    {MLFA_E_UNSUPPORTED, "unsupported"},
    {MLFA_E_NOT_FOUND, "not_found"},
    {MLFA_E_ALREADY_EXISTS, "already_exists"},
    {MLFA_E_IS_A_DIRECTORY, "is_a_directory"},
    {MLFA_E_NOT_A_DIRECTORY, "not_a_directory"},
    {MLFA_E_PRECONDITION_FAILED, "precondition_failed"},
    {MLFA_E_RANGE_NOT_SATISFIABLE, "range_not_satisfiable"},
    {MLFA_E_CHECKSUM_MISMATCH, "checksum_mismatch"},
    {MLFA_E_SIZE_MISMATCH, "size_mismatch"},
    {MLFA_E_TOO_LARGE, "too_large"},
    {MLFA_E_INCOMPLETE, "incomplete"},
    {MLFA_E_PERMISSION_DENIED, "permission_denied"},
    {MLFA_E_UNAUTHENTICATED, "unauthenticated"},
    {MLFA_E_CONNECTION, "connection"},
    {MLFA_E_TIMEOUT, "timeout"},
    {MLFA_E_TLS, "tls"},
    {MLFA_E_RATE_LIMITED, "rate_limited"},
    {MLFA_E_PROTOCOL, "protocol"},
    {MLFA_E_UNAVAILABLE, "unavailable"},
    {MLFA_E_IO, "io"},
    {MLFA_E_NO_SPACE, "no_space"},
    {MLFA_E_UNREADABLE, "unreadable"},
    {MLFA_E_INTERNAL, "internal"},
    {MLFA_E_PANIC, "panic"},
    {MLFA_E_CANCELLED, "cancelled"},
    {MLFA_E_FORKED, "forked"},
};
#define STATUS_COUNT (sizeof STATUSES / sizeof STATUSES[0])

static void versions_agree(void) {
    char text[32];
    /* A library is as new as the header, or newer. */
    uint32_t number = mlfa_version_number();
    snprintf(text, sizeof text, "%u.%u.%u", (unsigned)(number >> 16), (unsigned)(number >> 8 & 255),
             (unsigned)(number & 255));
    CHECK(number >= MLFA_VERSION_NUMBER);
    CHECK_TEXT(mlfa_version_string(), text);
    CHECK(mlfa_abi_version() == MLFA_ABI_VERSION);
}

static void statuses_have_names(void) {
    for (size_t at = 0; at < STATUS_COUNT; at++) {
        CHECK_TEXT(mlfa_status_name(STATUSES[at].status), STATUSES[at].name);
    }
    CHECK_TEXT(mlfa_status_name(INT32_MIN), "unknown");
    CHECK_TEXT(mlfa_status_name(INT32_MAX), "unknown");
}

static void schemes_are_sorted(void) {
    int has_file = 0, has_memory = 0;
    size_t count = mlfa_scheme_count();
    for (size_t at = 0; at < count; at++) {
        const char *scheme = mlfa_scheme_at(at);
        CHECK(scheme != NULL && scheme[0] != '\0');
        CHECK(at == 0 || strcmp(mlfa_scheme_at(at - 1), scheme) < 0);
        has_file |= strcmp(scheme, "file") == 0;
        has_memory |= strcmp(scheme, "memory") == 0;
    }
    CHECK(has_file && has_memory);
    CHECK(mlfa_scheme_at(count) == NULL);
    CHECK(mlfa_scheme_at(SIZE_MAX) == NULL);
}

/* ---- Option structs ---- */

/* The _init function makes of a dirty struct what the macro makes; the struct has no padding. */
#define CHECK_INIT(type, macro)                                      \
    do {                                                             \
        type by_macro = macro, by_function;                          \
        memset(&by_function, 0xa5, sizeof by_function);              \
        type##_init(&by_function, sizeof by_function);               \
        CHECK(memcmp(&by_macro, &by_function, sizeof by_macro) == 0); \
        CHECK(by_function.struct_size == sizeof by_function);        \
        type##_init(NULL, sizeof by_function);                       \
    } while (0)

static void initialisers_agree(void) {
    CHECK_INIT(mlfa_context_options, MLFA_CONTEXT_OPTIONS_INIT);
    CHECK_INIT(mlfa_put_options, MLFA_PUT_OPTIONS_INIT);
    CHECK_INIT(mlfa_transfer_options, MLFA_TRANSFER_OPTIONS_INIT);

    /* A newer header's struct is larger: all of it is filled, and nothing behind it. */
    _Alignas(mlfa_put_options) uint8_t newer[32];
    memset(newer, 0xa5, sizeof newer);
    mlfa_put_options_init((mlfa_put_options *)newer, 24);
    uint32_t size;
    memcpy(&size, newer, sizeof size);
    CHECK(size == 24);
    for (size_t at = sizeof size; at < sizeof newer; at++) {
        CHECK(newer[at] == (at < 24 ? 0 : 0xa5));
    }
    /* Too small for even the size: left alone. */
    memset(newer, 0xa5, sizeof newer);
    mlfa_put_options_init((mlfa_put_options *)newer, 3);
    CHECK(newer[0] == 0xa5 && newer[3] == 0xa5);
}

static mlfa_store *options_store;

static mlfa_status call_with_context_options(const void *options) {
    mlfa_context *context = UNTOUCHED;
    mlfa_status status = mlfa_context_new(options, &context, &error);
    CHECK(status == MLFA_OK || context == NULL);
    mlfa_context_release(context);
    return status;
}

static mlfa_status call_with_put_options(const void *options) {
    return mlfa_put_bytes(options_store, "options", SIZE_MAX, NULL, 0, options, &error);
}

static mlfa_status call_with_transfer_options(const void *options) {
    return mlfa_upload_file(options_store, "some file", SIZE_MAX, "options", SIZE_MAX, options, &error);
}

/* Calls with a struct of `size` bytes that says so, else zero. Only `memory` bytes of it exist, so that the instruments
 * see who reads further. */
static mlfa_status call_with_size(mlfa_status (*call)(const void *), uint32_t size, size_t memory) {
    uint8_t *options = allocate(memory);
    memset(options, 0, memory);
    memcpy(options, &size, sizeof size);
    forget_error();
    mlfa_status status = call(options);
    free(options);
    return status;
}

static void check_sizes(mlfa_status (*call)(const void *), uint32_t known) {
    const uint32_t too_small[] = {0, 1, 3, 4, known - 1};
    const uint32_t larger[] = {known + 64, known + 4096};
    for (size_t at = 0; at < 5; at++) {
        CHECK_STATUS(call_with_size(call, too_small[at], 4), MLFA_E_STRUCT_SIZE);
    }
    CHECK_OK(call_with_size(call, known, known));
    for (size_t at = 0; at < 2; at++) {
        CHECK_OK(call_with_size(call, larger[at], larger[at]));
    }
    CHECK_OK(call(NULL));
}

static void option_structs_are_read_by_their_size(mlfa_context *context) {
    options_store = open_store(context, "memory:");
    write_text("some file", "content");
    check_sizes(call_with_context_options, sizeof(mlfa_context_options));
    check_sizes(call_with_put_options, sizeof(mlfa_put_options));
    check_sizes(call_with_transfer_options, sizeof(mlfa_transfer_options));
    mlfa_store_release(options_store);
}

/* ---- Artifacts ---- */

static void ranges_are_read(mlfa_store *store) {
    static const struct {
        uint64_t offset;
        size_t capacity;
        const char *expected;
    } RANGES[] = {
        {0, 10, "0123456789"}, {0, 4, "0123"}, {3, 4, "3456"},     {9, 1, "9"},   {7, 3, "789"},
        {7, 100, "789"},       {0, 100, "0123456789"},             {10, 5, ""},   {11, 5, ""},
        {0, 0, ""},            {5, 0, ""},     {10, 0, ""},        {99, 0, ""},   {UINT64_MAX, 5, ""},
        {UINT64_MAX - 1, 5, ""},               {1ULL << 63, 5, ""},
    };
    put_text(store, "digits", "0123456789");
    for (size_t at = 0; at < sizeof RANGES / sizeof RANGES[0]; at++) {
        uint8_t buffer[128];
        size_t length = strlen(RANGES[at].expected), read = SIZE_MAX;
        memset(buffer, '#', sizeof buffer);
        CHECK_OK(mlfa_get_into(store, "digits", SIZE_MAX, RANGES[at].offset,
                               RANGES[at].capacity == 0 ? NULL : buffer, RANGES[at].capacity, &read, &error));
        CHECK(read == length);
        CHECK(memcmp(buffer, RANGES[at].expected, length) == 0);
        CHECK(buffer[length] == '#');

        mlfa_bytes *bytes = UNTOUCHED;
        CHECK_OK(mlfa_get_bytes(store, "digits", SIZE_MAX, RANGES[at].offset, RANGES[at].capacity, &bytes, &error));
        CHECK(mlfa_bytes_size(bytes) == length);
        CHECK(length == 0 || memcmp(mlfa_bytes_data(bytes), RANGES[at].expected, length) == 0);
        mlfa_bytes_release(bytes);
    }

    mlfa_bytes *bytes = UNTOUCHED;
    CHECK_OK(mlfa_get_bytes(store, "digits", SIZE_MAX, 6, MLFA_TO_THE_END, &bytes, &error));
    CHECK(mlfa_bytes_size(bytes) == 4 && memcmp(mlfa_bytes_data(bytes), "6789", 4) == 0);
    CHECK(mlfa_bytes_retain(bytes) == bytes);
    mlfa_bytes_release(bytes);
    CHECK(mlfa_bytes_size(bytes) == 4 && memcmp(mlfa_bytes_data(bytes), "6789", 4) == 0);
    mlfa_bytes_release(bytes);
    CHECK_OK(mlfa_get_bytes(store, "digits", SIZE_MAX, 10, MLFA_TO_THE_END, &bytes, &error));
    CHECK(mlfa_bytes_size(bytes) == 0);
    mlfa_bytes_release(bytes);
}

static void an_empty_file_is_a_file(mlfa_store *store) {
    uint8_t buffer[4];
    size_t read = SIZE_MAX;
    mlfa_meta *meta = UNTOUCHED;
    CHECK_OK(mlfa_put_bytes(store, "empty", SIZE_MAX, NULL, 0, NULL, &error));
    check_content(store, "empty", NULL, 0);
    CHECK_OK(mlfa_get_into(store, "empty", SIZE_MAX, 0, buffer, sizeof buffer, &read, &error));
    CHECK(read == 0);
    CHECK_OK(mlfa_stat(store, "empty", SIZE_MAX, &meta, &error));
    CHECK(mlfa_meta_size(meta) == 0 && !mlfa_meta_is_directory(meta));
    mlfa_meta_free(meta);
}

/* Larger than one piece of a download. */
static void large_content_is_read_in_one_call(mlfa_store *store) {
    const size_t size = (1 << 20) + 7;
    uint8_t *content = some_bytes(size, 1), *buffer = allocate(size);
    size_t read = SIZE_MAX;
    CHECK_OK(mlfa_put_bytes(store, "large", SIZE_MAX, content, size, NULL, &error));
    check_content(store, "large", content, size);
    CHECK_OK(mlfa_get_into(store, "large", SIZE_MAX, 5, buffer, size, &read, &error));
    CHECK(read == size - 5 && memcmp(buffer, content + 5, size - 5) == 0);
    free(content);
    free(buffer);
}

static void metas_tell_what_stands_there(mlfa_store *store) {
    mlfa_meta *meta = UNTOUCHED, *again = UNTOUCHED;
    put_text(store, "meta/file", "hello");
    CHECK_OK(mlfa_stat(store, "meta/file", SIZE_MAX, &meta, &error));
    CHECK_TEXT(mlfa_meta_path(meta), "meta/file");
    CHECK(!mlfa_meta_is_directory(meta) && mlfa_meta_size(meta) == 5);
    CHECK(mlfa_meta_modified_ns(meta) > 1500000000000000000);
    CHECK(mlfa_meta_etag(meta) != NULL && mlfa_meta_etag(meta)[0] != '\0');
    if (mlfa_meta_sha256(meta) != NULL) {
        CHECK_TEXT(mlfa_meta_sha256(meta), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    }
    CHECK_OK(mlfa_stat(store, "meta/file", SIZE_MAX, &again, &error));
    CHECK_TEXT(mlfa_meta_etag(again), mlfa_meta_etag(meta));
    mlfa_meta_free(again);
    put_text(store, "meta/file", "hullo!");
    CHECK_OK(mlfa_stat(store, "meta/file", SIZE_MAX, &again, &error));
    CHECK(strcmp(mlfa_meta_etag(again), mlfa_meta_etag(meta)) != 0);
    mlfa_meta_free(again);
    mlfa_meta_free(meta);

    CHECK_OK(mlfa_stat(store, "meta", SIZE_MAX, &meta, &error));
    CHECK(mlfa_meta_is_directory(meta) && mlfa_meta_size(meta) == 0);
    CHECK(mlfa_meta_etag(meta) == NULL && mlfa_meta_sha256(meta) == NULL);
    mlfa_meta_free(meta);
    CHECK_OK(mlfa_stat(store, "", 0, &meta, &error));
    CHECK_TEXT(mlfa_meta_path(meta), "");
    CHECK(mlfa_meta_is_directory(meta));
    mlfa_meta_free(meta);
}

static void a_put_replaces_or_refuses(mlfa_store *store) {
    mlfa_put_options options = MLFA_PUT_OPTIONS_INIT;
    put_text(store, "put/file", "first");
    put_text(store, "put/file", "second");
    check_content_text(store, "put/file", "second");
    options.mode = MLFA_PUT_CREATE_NEW;
    const uint8_t *data = (const uint8_t *)"third";
    CHECK_STATUS(mlfa_put_bytes(store, "put/file", SIZE_MAX, data, 5, &options, &error), MLFA_E_ALREADY_EXISTS);
    check_content_text(store, "put/file", "second");
    CHECK_OK(mlfa_put_bytes(store, "put/new", SIZE_MAX, data, 5, &options, &error));
    check_content_text(store, "put/new", "third");
    CHECK_STATUS(mlfa_put_bytes(store, "put", SIZE_MAX, data, 5, NULL, &error), MLFA_E_IS_A_DIRECTORY);
    CHECK_STATUS(mlfa_put_bytes(store, "", SIZE_MAX, data, 5, NULL, &error), MLFA_E_IS_A_DIRECTORY);
    CHECK_STATUS(mlfa_put_bytes(store, "put/new/x", SIZE_MAX, data, 5, NULL, &error), MLFA_E_NOT_A_DIRECTORY);
    check_listing(store, "put", MLFA_LIST_RECURSIVE, "put/file put/new");
}

static void directories_are_made_and_listed(mlfa_store *store) {
    CHECK_OK(mlfa_create_directory(store, "list/void/deep", SIZE_MAX, &error));
    CHECK_OK(mlfa_create_directory(store, "list/void/deep", SIZE_MAX, &error));
    put_text(store, "list/b", "");
    put_text(store, "list/a/x", "");
    put_text(store, "list/a/.hidden", "");
    put_text(store, "list/m\xc3\xbc nchen 100%", "");
    CHECK_STATUS(mlfa_create_directory(store, "list/b", SIZE_MAX, &error), MLFA_E_NOT_A_DIRECTORY);
    CHECK_STATUS(mlfa_create_directory(store, "list/b/c", SIZE_MAX, &error), MLFA_E_NOT_A_DIRECTORY);

    check_listing(store, "list", 0, "list/a/ list/b list/m\xc3\xbc nchen 100% list/void/");
    check_listing(store, "list", MLFA_LIST_RECURSIVE,
                  "list/a/ list/a/.hidden list/a/x list/b list/m\xc3\xbc nchen 100% list/void/ list/void/deep/");
    check_listing(store, "list/void/deep", MLFA_LIST_RECURSIVE, "");
    check_listing(store, "list/b", 0, "");
    check_listing(store, "list/absent", 0, "");
    check_listing(store, "li", MLFA_LIST_RECURSIVE, "");

    mlfa_list *list = UNTOUCHED;
    const mlfa_meta *entry = UNTOUCHED;
    CHECK_OK(mlfa_list_open(store, "list/void", SIZE_MAX, 0, &list, &error));
    CHECK_OK(mlfa_list_next(list, &entry, &error));
    CHECK(entry != NULL && mlfa_meta_is_directory(entry));
    for (int past_the_end = 0; past_the_end < 3; past_the_end++) {
        entry = UNTOUCHED;
        CHECK_OK(mlfa_list_next(list, &entry, &error));
        CHECK(entry == NULL);
    }
    mlfa_list_free(list);
}

static void artifacts_are_copied(mlfa_store *store) {
    put_text(store, "copy/from", "content");
    put_text(store, "copy/other", "other");
    CHECK_OK(mlfa_copy(store, "copy/from", SIZE_MAX, "copy/made/to", SIZE_MAX, &error));
    CHECK_OK(mlfa_copy(store, "copy/from", SIZE_MAX, "copy/other", SIZE_MAX, &error));
    check_content_text(store, "copy/made/to", "content");
    check_content_text(store, "copy/other", "content");
    check_content_text(store, "copy/from", "content");
    CHECK_STATUS(mlfa_copy(store, "copy/absent", SIZE_MAX, "copy/x", SIZE_MAX, &error), MLFA_E_NOT_FOUND);
    CHECK_STATUS(mlfa_copy(store, "copy/made", SIZE_MAX, "copy/x", SIZE_MAX, &error), MLFA_E_IS_A_DIRECTORY);
    CHECK_STATUS(mlfa_copy(store, "copy/from", SIZE_MAX, "copy/made", SIZE_MAX, &error), MLFA_E_IS_A_DIRECTORY);
    check_listing(store, "copy", MLFA_LIST_RECURSIVE, "copy/from copy/made/ copy/made/to copy/other");
}

static void artifacts_are_deleted(mlfa_store *store) {
    int32_t removed = -1;
    put_text(store, "delete/file", "");
    put_text(store, "delete/deep/file", "");
    CHECK_OK(mlfa_delete(store, "delete/file", SIZE_MAX, 0, &removed, &error));
    CHECK(removed == 1 && !is_stored(store, "delete/file"));
    CHECK_OK(mlfa_delete(store, "delete/file", SIZE_MAX, 0, &removed, &error));
    CHECK(removed == 0);
    CHECK_OK(mlfa_delete(store, "delete/file", SIZE_MAX, 0, NULL, &error));
    CHECK_OK(mlfa_delete(store, "delete/no/such/file", SIZE_MAX, MLFA_DELETE_RECURSIVE, &removed, &error));
    CHECK(removed == 0);
    removed = -1;
    CHECK_STATUS(mlfa_delete(store, "delete", SIZE_MAX, 0, &removed, &error), MLFA_E_IS_A_DIRECTORY);
    CHECK(removed == 0 && is_stored(store, "delete/deep/file"));
    CHECK_STATUS(mlfa_delete(store, "", SIZE_MAX, 0, NULL, &error), MLFA_E_IS_A_DIRECTORY);
    CHECK_OK(mlfa_delete(store, "delete", SIZE_MAX, MLFA_DELETE_RECURSIVE, &removed, &error));
    CHECK(removed == 1 && !is_stored(store, "delete"));
}

static void strings_have_a_length(mlfa_store *store) {
    /* Of exactly the size that is said, so that the instruments see who looks for a NUL behind it. */
    const char *text = "length/file";
    size_t length = strlen(text);
    char *path = (char *)allocate(length);
    memcpy(path, text, length);
    mlfa_meta *meta = UNTOUCHED;
    mlfa_bytes *bytes = UNTOUCHED;
    mlfa_list *list = UNTOUCHED;
    CHECK_OK(mlfa_put_bytes(store, path, length, (const uint8_t *)"x", 1, NULL, &error));
    CHECK_OK(mlfa_stat(store, path, length, &meta, &error));
    CHECK_TEXT(mlfa_meta_path(meta), text);
    mlfa_meta_free(meta);
    CHECK_OK(mlfa_get_bytes(store, path, length, 0, 1, &bytes, &error));
    mlfa_bytes_release(bytes);
    CHECK_OK(mlfa_copy(store, path, length, path, length - 2, &error));
    CHECK_OK(mlfa_list_open(store, path, 6, 0, &list, &error));
    mlfa_list_free(list);
    CHECK_OK(mlfa_delete(store, path, length, 0, NULL, &error));
    check_listing(store, "length", 0, "length/fi");
    /* The length 0 is the empty string, whatever stands there. */
    CHECK_OK(mlfa_stat(store, path, 0, &meta, &error));
    CHECK_TEXT(mlfa_meta_path(meta), "");
    mlfa_meta_free(meta);
    free(path);
}

/* ---- Errors ---- */

static void errors_say_what_happened(mlfa_store *store) {
    mlfa_bytes *bytes = UNTOUCHED;
    CHECK_STATUS(mlfa_get_bytes(store, "no/such file", SIZE_MAX, 0, 1, &bytes, &error), MLFA_E_NOT_FOUND);
    CHECK(bytes == NULL);
    CHECK_TEXT(mlfa_error_operation(error), "get");
    CHECK_TEXT(mlfa_error_path(error), "no/such file");
    CHECK(strchr(mlfa_error_message(error), '\n') == NULL);
    CHECK(strstr(mlfa_error_detail(error), mlfa_error_message(error)) == mlfa_error_detail(error));
    CHECK(mlfa_error_http_status(error) == 0);
    CHECK(mlfa_error_provider_code(error) == NULL);
    CHECK(mlfa_error_is_retryable(error) == 0);
    CHECK(mlfa_error_retry_after_ms(error) == 0);
    CHECK(mlfa_error_report(error) == NULL);

    /* Before any operation began. */
    CHECK_STATUS(mlfa_get_bytes(store, NULL, 0, 0, 1, &bytes, &error), MLFA_E_NULL_POINTER);
    CHECK(mlfa_error_operation(error) == NULL && mlfa_error_path(error) == NULL);
    CHECK_TEXT(mlfa_error_detail(error), mlfa_error_message(error));
}

static void failures_empty_their_outputs(mlfa_store *store) {
    mlfa_meta *meta = UNTOUCHED;
    mlfa_bytes *bytes = UNTOUCHED;
    mlfa_report *report = UNTOUCHED;
    size_t read = 77;
    uint8_t buffer[4];
    CHECK_STATUS(mlfa_stat(store, "absent", SIZE_MAX, &meta, &error), MLFA_E_NOT_FOUND);
    CHECK(meta == NULL);
    CHECK_STATUS(mlfa_get_bytes(store, "absent", SIZE_MAX, 0, 0, &bytes, &error), MLFA_E_NOT_FOUND);
    CHECK(bytes == NULL);
    CHECK_STATUS(mlfa_get_into(store, "absent", SIZE_MAX, 0, buffer, 4, &read, &error), MLFA_E_NOT_FOUND);
    CHECK(read == 0);
    CHECK_STATUS(mlfa_get_into(store, "", SIZE_MAX, 0, NULL, 0, &read, &error), MLFA_E_IS_A_DIRECTORY);
    CHECK_STATUS(mlfa_get_bytes(store, "", SIZE_MAX, 5, 5, &bytes, &error), MLFA_E_IS_A_DIRECTORY);
    CHECK_STATUS(mlfa_upload_tree(store, "absent", SIZE_MAX, "x", SIZE_MAX, NULL, &report, &error), MLFA_E_NOT_FOUND);
    CHECK(report == NULL);
    report = UNTOUCHED;
    CHECK_STATUS(mlfa_download_tree(store, "absent", SIZE_MAX, "x", SIZE_MAX, NULL, &report, &error),
                 MLFA_E_NOT_FOUND);
    CHECK(report == NULL);
    CHECK(!is_there("x"));
}

/* A caller who does not ask for the error gets the status all the same. */
static void errors_need_not_be_taken(mlfa_context *context, mlfa_store *store) {
    mlfa_context *no_context = UNTOUCHED;
    mlfa_config *config = UNTOUCHED;
    mlfa_store *no_store = UNTOUCHED;
    mlfa_meta *meta = UNTOUCHED;
    mlfa_bytes *bytes = UNTOUCHED;
    mlfa_list *list = UNTOUCHED;
    const mlfa_meta *entry = UNTOUCHED;
    mlfa_report *report = UNTOUCHED;
    mlfa_put_options unfit = {0, 0};
    size_t read = 77;
    uint8_t byte = 0;
    CHECK(mlfa_context_new((const mlfa_context_options *)&unfit, &no_context, NULL) == MLFA_E_STRUCT_SIZE);
    CHECK(no_context == NULL);
    CHECK(mlfa_config_new(NULL, NULL) == MLFA_E_NULL_POINTER);
    CHECK(mlfa_config_new(&config, NULL) == MLFA_OK);
    CHECK(mlfa_config_set(config, NULL, 0, "", 0, NULL) == MLFA_E_NULL_POINTER);
    CHECK(mlfa_config_load_env(NULL, NULL) == MLFA_E_NULL_POINTER);
    mlfa_config_free(config);
    CHECK(mlfa_store_open(context, "", 0, NULL, &no_store, NULL) == MLFA_E_INVALID_URI);
    CHECK(no_store == NULL);
    CHECK(mlfa_stat(store, "absent", SIZE_MAX, &meta, NULL) == MLFA_E_NOT_FOUND);
    CHECK(mlfa_get_into(store, "absent", SIZE_MAX, 0, &byte, 1, &read, NULL) == MLFA_E_NOT_FOUND);
    CHECK(mlfa_get_bytes(store, "absent", SIZE_MAX, 0, 1, &bytes, NULL) == MLFA_E_NOT_FOUND);
    CHECK(mlfa_put_bytes(store, "", 0, &byte, 1, NULL, NULL) == MLFA_E_IS_A_DIRECTORY);
    CHECK(mlfa_create_directory(store, "/", 1, NULL) == MLFA_E_INVALID_PATH);
    CHECK(mlfa_delete(store, "", 0, 0, NULL, NULL) == MLFA_E_IS_A_DIRECTORY);
    CHECK(mlfa_copy(store, "absent", SIZE_MAX, "x", 1, NULL) == MLFA_E_NOT_FOUND);
    CHECK(mlfa_list_open(store, "..", 2, 0, &list, NULL) == MLFA_E_INVALID_PATH);
    CHECK(mlfa_list_next(NULL, &entry, NULL) == MLFA_E_NULL_POINTER);
    CHECK(entry == NULL);
    CHECK(mlfa_upload_file(store, "absent", SIZE_MAX, "x", 1, NULL, NULL) == MLFA_E_NOT_FOUND);
    CHECK(mlfa_download_file(store, "absent", SIZE_MAX, "x", 1, NULL, NULL) == MLFA_E_NOT_FOUND);
    CHECK(mlfa_upload_tree(store, "absent", SIZE_MAX, "x", 1, NULL, &report, NULL) == MLFA_E_NOT_FOUND);
    CHECK(mlfa_download_tree(store, "absent", SIZE_MAX, "x", 1, NULL, &report, NULL) == MLFA_E_NOT_FOUND);
}

/* ---- The life of handles ---- */

static void nothing_minds_null(void) {
    CHECK(mlfa_context_retain(NULL) == NULL && mlfa_store_retain(NULL) == NULL && mlfa_bytes_retain(NULL) == NULL);
    mlfa_context_release(NULL);
    mlfa_store_release(NULL);
    mlfa_bytes_release(NULL);
    mlfa_config_free(NULL);
    mlfa_meta_free(NULL);
    mlfa_list_free(NULL);
    mlfa_report_free(NULL);
    mlfa_error_free(NULL);

    CHECK(mlfa_store_scheme(NULL) == NULL && mlfa_store_root(NULL) == NULL);
    CHECK(mlfa_meta_path(NULL) == NULL && mlfa_meta_etag(NULL) == NULL && mlfa_meta_sha256(NULL) == NULL);
    CHECK(mlfa_meta_is_directory(NULL) == 0 && mlfa_meta_size(NULL) == 0);
    CHECK(mlfa_meta_modified_ns(NULL) == MLFA_TIME_UNKNOWN);
    CHECK(mlfa_bytes_data(NULL) == NULL && mlfa_bytes_size(NULL) == 0);
    CHECK(mlfa_report_count(NULL) == 0 && mlfa_report_name_at(NULL, 0) == NULL);
    CHECK(mlfa_report_outcome_at(NULL, 0) == MLFA_OUTCOME_FAILED);
    CHECK(mlfa_report_status_at(NULL, 0) == MLFA_E_INVALID_ARGUMENT);
    CHECK(mlfa_report_size_at(NULL, 0) == 0 && mlfa_report_message_at(NULL, 0) == NULL);
    CHECK(mlfa_error_status(NULL) == MLFA_OK && mlfa_error_message(NULL) == NULL && mlfa_error_detail(NULL) == NULL);
    CHECK(mlfa_error_operation(NULL) == NULL && mlfa_error_path(NULL) == NULL);
    CHECK(mlfa_error_provider_code(NULL) == NULL && mlfa_error_http_status(NULL) == 0);
    CHECK(mlfa_error_is_retryable(NULL) == 0 && mlfa_error_retry_after_ms(NULL) == 0);
    CHECK(mlfa_error_report(NULL) == NULL);
}

static void references_are_counted(void) {
    mlfa_context *context = new_context();
    CHECK(mlfa_context_retain(context) == context);
    mlfa_store *store = open_store(context, "memory:");
    CHECK(mlfa_store_retain(store) == store);
    mlfa_context_release(context);
    mlfa_store_release(store);
    put_text(store, "a", "x");
    mlfa_store *other = open_store(context, "memory:");
    mlfa_context_release(context);
    mlfa_store_release(store);
    put_text(other, "a", "x");
    mlfa_store_release(other);
}

/* Everything that a call gave goes on working when what it came from is given up. */
static void handles_are_released_in_any_order(const char *uri) {
    mlfa_context *context = new_context();
    mlfa_store *store = open_store(context, uri);
    mlfa_meta *meta = UNTOUCHED;
    mlfa_bytes *bytes = UNTOUCHED;
    mlfa_list *list = UNTOUCHED, *unread = UNTOUCHED;
    const mlfa_meta *entry = UNTOUCHED;
    mlfa_config *config = UNTOUCHED;
    mlfa_error *kept = UNTOUCHED;
    put_text(store, "order/a", "1");
    put_text(store, "order/b/c", "2");
    CHECK_OK(mlfa_config_new(&config, &error));
    CHECK_OK(mlfa_stat(store, "order/a", SIZE_MAX, &meta, &error));
    CHECK_OK(mlfa_get_bytes(store, "order/a", SIZE_MAX, 0, 1, &bytes, &error));
    CHECK_OK(mlfa_list_open(store, "order", SIZE_MAX, MLFA_LIST_RECURSIVE, &list, &error));
    CHECK_OK(mlfa_list_open(store, "order", SIZE_MAX, 0, &unread, &error));
    CHECK_OK(mlfa_list_next(list, &entry, &error));
    CHECK(mlfa_copy(store, "absent", SIZE_MAX, "x", SIZE_MAX, &kept) == MLFA_E_NOT_FOUND);

    mlfa_context_release(context);
    put_text(store, "order/d", "3");
    mlfa_store_release(store);
    CHECK_TEXT(mlfa_meta_path(entry), "order/a");
    CHECK_OK(mlfa_list_next(list, &entry, &error));
    CHECK_TEXT(mlfa_meta_path(entry), "order/b");
    CHECK_OK(mlfa_list_next(list, &entry, &error));
    CHECK_TEXT(mlfa_meta_path(entry), "order/b/c");
    mlfa_list_free(unread);
    mlfa_list_free(list);
    CHECK_TEXT(mlfa_meta_path(meta), "order/a");
    CHECK(mlfa_bytes_size(bytes) == 1 && *mlfa_bytes_data(bytes) == '1');
    CHECK_TEXT(mlfa_error_path(kept), "absent");
    mlfa_error_free(kept);
    mlfa_bytes_release(bytes);
    mlfa_meta_free(meta);
    mlfa_config_free(config);
}

static void configurations_are_taken_over(mlfa_context *context) {
    mlfa_config *config = UNTOUCHED;
    mlfa_store *store = UNTOUCHED;
    const char name[] = {'f', 's', 'y', 'n', 'c'}, value[] = {'f', 'u', 'l', 'l'};
    CHECK_OK(mlfa_config_new(&config, &error));
    CHECK_OK(mlfa_config_set(config, "fsync", SIZE_MAX, "file", SIZE_MAX, &error));
    CHECK_OK(mlfa_config_set(config, name, sizeof name, value, sizeof value, &error));
    CHECK_OK(mlfa_config_load_env(config, &error));
    CHECK_OK(mlfa_store_open(context, file_uri("configured"), SIZE_MAX, config, &store, &error));
    mlfa_config_free(config);
    put_text(store, "a/b", "x");
    check_content_text(store, "a/b", "x");
    mlfa_store_release(store);
}

static void stores_are_named(mlfa_context *context, const char *uri) {
    mlfa_store *memory = open_store(context, "memory:"), *file = open_store(context, uri);
    CHECK_TEXT(mlfa_store_scheme(memory), "memory");
    CHECK_TEXT(mlfa_store_root(memory), "memory:");
    CHECK_TEXT(mlfa_store_scheme(file), "file");
    CHECK(strstr(mlfa_store_root(file), "/store") != NULL);
    mlfa_store_release(memory);
    mlfa_store_release(file);
}

static void artifacts_of(mlfa_context *context, const char *uri) {
    mlfa_store *store = open_store(context, uri);
    check_listing(store, "", MLFA_LIST_RECURSIVE, "");
    ranges_are_read(store);
    an_empty_file_is_a_file(store);
    large_content_is_read_in_one_call(store);
    metas_tell_what_stands_there(store);
    a_put_replaces_or_refuses(store);
    directories_are_made_and_listed(store);
    artifacts_are_copied(store);
    artifacts_are_deleted(store);
    strings_have_a_length(store);
    errors_say_what_happened(store);
    failures_empty_their_outputs(store);
    errors_need_not_be_taken(context, store);
    int32_t removed = -1;
    CHECK_OK(mlfa_delete(store, "", 0, MLFA_DELETE_RECURSIVE, &removed, &error));
    CHECK(removed == 1);
    check_listing(store, "", MLFA_LIST_RECURSIVE, "");
    mlfa_store_release(store);
}

int main(int argc, char **argv) {
    enter(argc, argv);
    versions_agree();
    statuses_have_names();
    schemes_are_sorted();
    initialisers_agree();
    nothing_minds_null();

    mlfa_context *context = new_context();
    option_structs_are_read_by_their_size(context);
    stores_are_named(context, file_uri("store"));
    configurations_are_taken_over(context);
    artifacts_of(context, "memory:");
    artifacts_of(context, file_uri("store"));
    mlfa_context_release(context);

    references_are_counted();
    handles_are_released_in_any_order("memory:");
    handles_are_released_in_any_order(file_uri("store"));
    return passed();
}
