/* What no function accepts: each argument of each function is made wrong in turn, the others being right. */
#include "check.h"

/* The arguments of all functions. Each function takes those that it has. */
enum argument {
    CONTEXT,
    CONFIG,
    STORE,
    LIST,
    DATA,
    BUFFER,
    OUT,
    /* Strings. */
    URI,
    NAME,
    VALUE,
    LOCAL,
    /* Artifact paths. */
    PATH,
    TO,
    ARGUMENTS,
};

struct string {
    const char *text;
    size_t length;
};

struct arguments {
    mlfa_context *context;
    mlfa_config *config;
    mlfa_store *store;
    mlfa_list *list;
    const uint8_t *data;
    uint8_t *buffer;
    int without_out;
    uint32_t flags;
    struct string strings[ARGUMENTS];
};

#define STRING(argument) a->strings[argument].text, a->strings[argument].length
/* Where the output goes. */
#define TO_OUT(place) (a->without_out ? NULL : &(place))
/* After a call the output is there on success, and NULL on failure. */
#define CHECK_OUT(place) CHECK((place) == (a->without_out ? UNTOUCHED : (status == MLFA_OK ? (place) : NULL)))
#define CHECK_TOUCHED(place) CHECK(a->without_out || (place) != UNTOUCHED)

static mlfa_status context_new(const struct arguments *a) {
    mlfa_context *context = UNTOUCHED;
    mlfa_status status = mlfa_context_new(NULL, TO_OUT(context), &error);
    CHECK_OUT(context);
    CHECK_TOUCHED(context);
    mlfa_context_release(a->without_out ? NULL : context);
    return status;
}

static mlfa_status config_new(const struct arguments *a) {
    mlfa_config *config = UNTOUCHED;
    mlfa_status status = mlfa_config_new(TO_OUT(config), &error);
    CHECK_OUT(config);
    CHECK_TOUCHED(config);
    mlfa_config_free(a->without_out ? NULL : config);
    return status;
}

static mlfa_status config_set(const struct arguments *a) {
    return mlfa_config_set(a->config, STRING(NAME), STRING(VALUE), &error);
}

static mlfa_status config_load_env(const struct arguments *a) {
    return mlfa_config_load_env(a->config, &error);
}

static mlfa_status store_open(const struct arguments *a) {
    mlfa_store *store = UNTOUCHED;
    mlfa_status status = mlfa_store_open(a->context, STRING(URI), NULL, TO_OUT(store), &error);
    CHECK_OUT(store);
    CHECK_TOUCHED(store);
    mlfa_store_release(a->without_out ? NULL : store);
    return status;
}

static mlfa_status stat_(const struct arguments *a) {
    mlfa_meta *meta = UNTOUCHED;
    mlfa_status status = mlfa_stat(a->store, STRING(PATH), TO_OUT(meta), &error);
    CHECK_OUT(meta);
    CHECK_TOUCHED(meta);
    mlfa_meta_free(a->without_out ? NULL : meta);
    return status;
}

static mlfa_status get_into(const struct arguments *a) {
    size_t read = 77;
    mlfa_status status = mlfa_get_into(a->store, STRING(PATH), 0, a->buffer, 4, TO_OUT(read), &error);
    CHECK(read == (a->without_out ? 77 : status == MLFA_OK ? 4 : 0));
    return status;
}

static mlfa_status get_bytes(const struct arguments *a) {
    mlfa_bytes *bytes = UNTOUCHED;
    mlfa_status status = mlfa_get_bytes(a->store, STRING(PATH), 0, MLFA_TO_THE_END, TO_OUT(bytes), &error);
    CHECK_OUT(bytes);
    CHECK_TOUCHED(bytes);
    mlfa_bytes_release(a->without_out ? NULL : bytes);
    return status;
}

static mlfa_status put_bytes(const struct arguments *a) {
    mlfa_put_options options = MLFA_PUT_OPTIONS_INIT;
    options.mode = a->flags;
    return mlfa_put_bytes(a->store, STRING(PATH), a->data, 4, &options, &error);
}

static mlfa_status create_directory(const struct arguments *a) {
    return mlfa_create_directory(a->store, STRING(TO), &error);
}

static mlfa_status delete(const struct arguments *a) {
    int32_t removed = 77;
    mlfa_status status = mlfa_delete(a->store, STRING(TO), a->flags, &removed, &error);
    CHECK(status == MLFA_OK ? removed == 0 || removed == 1 : removed == 0);
    return status;
}

static mlfa_status copy(const struct arguments *a) {
    return mlfa_copy(a->store, STRING(PATH), STRING(TO), &error);
}

static mlfa_status list_open(const struct arguments *a) {
    mlfa_list *list = UNTOUCHED;
    mlfa_status status = mlfa_list_open(a->store, STRING(PATH), a->flags, TO_OUT(list), &error);
    CHECK_OUT(list);
    CHECK_TOUCHED(list);
    mlfa_list_free(a->without_out ? NULL : list);
    return status;
}

static mlfa_status list_next(const struct arguments *a) {
    const mlfa_meta *entry = UNTOUCHED;
    mlfa_status status = mlfa_list_next(a->list, TO_OUT(entry), &error);
    CHECK_OUT(entry);
    CHECK_TOUCHED(entry);
    return status;
}

static mlfa_status upload_file(const struct arguments *a) {
    mlfa_transfer_options options = MLFA_TRANSFER_OPTIONS_INIT;
    options.verify = a->flags;
    return mlfa_upload_file(a->store, STRING(LOCAL), STRING(PATH), &options, &error);
}

static mlfa_status download_file(const struct arguments *a) {
    mlfa_transfer_options options = MLFA_TRANSFER_OPTIONS_INIT;
    options.verify = a->flags;
    return mlfa_download_file(a->store, STRING(PATH), STRING(LOCAL), &options, &error);
}

static mlfa_status upload_tree(const struct arguments *a) {
    mlfa_transfer_options options = MLFA_TRANSFER_OPTIONS_INIT;
    options.verify = a->flags;
    mlfa_report *report = UNTOUCHED;
    mlfa_status status = mlfa_upload_tree(a->store, "tree", 4, STRING(TO), &options, &report, &error);
    CHECK_OUT(report);
    mlfa_report_free(report);
    return status;
}

/* Its local directory, and its report is not asked for. */
static mlfa_status upload_tree_from(const struct arguments *a) {
    struct string local = a->strings[LOCAL].text == NULL || a->strings[LOCAL].length == 2
                              ? a->strings[LOCAL]
                              : (struct string){"tree", 4};
    return mlfa_upload_tree(a->store, local.text, local.length, STRING(TO), NULL, NULL, &error);
}

static mlfa_status download_tree(const struct arguments *a) {
    mlfa_transfer_options options = MLFA_TRANSFER_OPTIONS_INIT;
    options.verify = a->flags;
    mlfa_report *report = UNTOUCHED;
    mlfa_status status = mlfa_download_tree(a->store, STRING(TO), "fetched", 7, &options, &report, &error);
    CHECK_OUT(report);
    mlfa_report_free(report);
    return status;
}

static mlfa_status download_tree_to(const struct arguments *a) {
    struct string local = a->strings[LOCAL].text == NULL || a->strings[LOCAL].length == 2
                              ? a->strings[LOCAL]
                              : (struct string){"fetched", 7};
    return mlfa_download_tree(a->store, STRING(TO), local.text, local.length, NULL, NULL, &error);
}

#define BIT(argument) (1U << (argument))

/* Every fallible function, and what it takes that must not be NULL. */
static const struct function {
    const char *name;
    mlfa_status (*call)(const struct arguments *);
    unsigned takes;
    /* Whether it has flags, a mode or a way to verify. */
    int has_flags;
} FUNCTIONS[] = {
    {"context_new", context_new, BIT(OUT), 0},
    {"config_new", config_new, BIT(OUT), 0},
    {"config_set", config_set, BIT(CONFIG) | BIT(NAME) | BIT(VALUE), 0},
    {"config_load_env", config_load_env, BIT(CONFIG), 0},
    {"store_open", store_open, BIT(CONTEXT) | BIT(URI) | BIT(OUT), 0},
    {"stat", stat_, BIT(STORE) | BIT(PATH) | BIT(OUT), 0},
    {"get_into", get_into, BIT(STORE) | BIT(PATH) | BIT(BUFFER) | BIT(OUT), 0},
    {"get_bytes", get_bytes, BIT(STORE) | BIT(PATH) | BIT(OUT), 0},
    {"put_bytes", put_bytes, BIT(STORE) | BIT(PATH) | BIT(DATA), 1},
    {"create_directory", create_directory, BIT(STORE) | BIT(TO), 0},
    {"upload_tree", upload_tree, BIT(STORE) | BIT(TO), 1},
    {"upload_tree from", upload_tree_from, BIT(STORE) | BIT(LOCAL) | BIT(TO), 0},
    {"download_tree", download_tree, BIT(STORE) | BIT(TO), 1},
    {"download_tree to", download_tree_to, BIT(STORE) | BIT(LOCAL) | BIT(TO), 0},
    {"list_open", list_open, BIT(STORE) | BIT(PATH) | BIT(OUT), 1},
    {"list_next", list_next, BIT(LIST) | BIT(OUT), 0},
    {"upload_file", upload_file, BIT(STORE) | BIT(PATH) | BIT(LOCAL), 1},
    {"download_file", download_file, BIT(STORE) | BIT(PATH) | BIT(LOCAL), 1},
    {"copy", copy, BIT(STORE) | BIT(PATH) | BIT(TO), 0},
    {"delete", delete, BIT(STORE) | BIT(TO), 1},
};
#define FUNCTION_COUNT (sizeof FUNCTIONS / sizeof FUNCTIONS[0])

static void make_null(struct arguments *arguments, enum argument which) {
    switch (which) {
    case CONTEXT: arguments->context = NULL; break;
    case CONFIG: arguments->config = NULL; break;
    case STORE: arguments->store = NULL; break;
    case LIST: arguments->list = NULL; break;
    case DATA: arguments->data = NULL; break;
    case BUFFER: arguments->buffer = NULL; break;
    case OUT: arguments->without_out = 1; break;
    default: arguments->strings[which].text = NULL; break;
    }
}

/* After a failure everything works as before. */
static void check_works(const struct arguments *right) {
    check_content_text(right->store, "file", "text");
    check_listing(right->store, "", 0, "directory/ file");
}

static void check_refused(const struct function *function, const struct arguments *arguments, mlfa_status expected,
                          const struct arguments *right) {
    about = function->name;
    CHECK_STATUS(function->call(arguments), expected);
    CHECK(strpbrk(mlfa_error_message(error), "\n\t\x1b\x7f") == NULL);
    check_works(right);
    about = NULL;
}

static void each_null_is_refused(const struct function *function, const struct arguments *right) {
    for (enum argument which = 0; which < ARGUMENTS; which++) {
        if (function->takes & BIT(which)) {
            struct arguments wrong = *right;
            make_null(&wrong, which);
            check_refused(function, &wrong, MLFA_E_NULL_POINTER, right);
            /* Neither by a length that says there is nothing, nor by one that asks for its NUL. */
            wrong.strings[which].length = 0;
            check_refused(function, &wrong, MLFA_E_NULL_POINTER, right);
            wrong.strings[which].length = SIZE_MAX;
            check_refused(function, &wrong, MLFA_E_NULL_POINTER, right);
        }
    }
}

static void each_string_is_utf8(const struct function *function, const struct arguments *right) {
    static const char *const MALFORMED[] = {"a\xff", "\xc0\xaf", "\xed\xa0", "\xf4\x90", "a\xc3"};
    for (enum argument which = URI; which < ARGUMENTS; which++) {
        for (size_t at = 0; at < 5 && function->takes & BIT(which); at++) {
            struct arguments wrong = *right;
            wrong.strings[which] = (struct string){MALFORMED[at], 2};
            check_refused(function, &wrong, MLFA_E_INVALID_UTF8, right);
        }
    }
}

static void each_path_is_one(const struct function *function, const struct arguments *right) {
    static const struct string MALFORMED[] = {
        {"/", 1},    {"/a", 2},    {"a/", 2},   {"a//b", 4},  {".", 1},    {"..", 2},       {"./a", 3},
        {"a/.", 3},  {"../a", 4},  {"a/..", 4}, {"a/../b", 6}, {"a\nb", 3}, {"a\tb", SIZE_MAX}, {"a\0b", 3},
        {"\0", 1},   {"\x1b[m", 3}, {"\x7f", 1}, {"\xc2\x85", 2},
    };
    for (enum argument which = PATH; which <= TO; which++) {
        for (size_t at = 0; at < sizeof MALFORMED / sizeof MALFORMED[0] && function->takes & BIT(which); at++) {
            struct arguments wrong = *right;
            wrong.strings[which] = MALFORMED[at];
            check_refused(function, &wrong, MLFA_E_INVALID_PATH, right);
        }
    }
}

/* Later versions know more flags, but never all. */
static void not_every_flag_is_known(const struct function *function, const struct arguments *right) {
    if (function->has_flags) {
        struct arguments wrong = *right;
        wrong.flags = UINT32_MAX;
        check_refused(function, &wrong, MLFA_E_INVALID_ARGUMENT, right);
    }
}

static void wrong_arguments(mlfa_context *context, const char *uri) {
    uint8_t buffer[4];
    struct arguments right = {0};
    right.context = context;
    right.store = open_store(context, uri);
    right.data = (const uint8_t *)"text";
    right.buffer = buffer;
    right.strings[URI] = (struct string){"memory:", SIZE_MAX};
    right.strings[NAME] = (struct string){"name", 4};
    right.strings[VALUE] = (struct string){"value", 5};
    right.strings[LOCAL] = (struct string){"local", 5};
    right.strings[PATH] = (struct string){"file", 4};
    right.strings[TO] = (struct string){"directory", 9};
    CHECK_OK(mlfa_config_new(&right.config, &error));
    put_text(right.store, "file", "text");
    CHECK_OK(mlfa_create_directory(right.store, "directory", SIZE_MAX, &error));
    CHECK_OK(mlfa_list_open(right.store, "", 0, 0, &right.list, &error));

    for (size_t at = 0; at < FUNCTION_COUNT; at++) {
        const struct function *function = &FUNCTIONS[at];
        each_null_is_refused(function, &right);
        each_string_is_utf8(function, &right);
        each_path_is_one(function, &right);
        not_every_flag_is_known(function, &right);
        /* And nothing was wrong with the others. The last two functions replace what the others need. */
        struct arguments last = right;
        if (function->call == copy) {
            last.strings[TO] = (struct string){"copy", 4};
        } else if (function->call == delete) {
            last.strings[TO] = (struct string){"copy", 4};
        }
        CHECK_OK(function->call(&last));
        if (function->call != copy) {
            check_works(&right);
        } else {
            CHECK_OK(mlfa_delete(right.store, "copy", 4, 0, NULL, &error));
        }
    }
    mlfa_list_free(right.list);
    mlfa_config_free(right.config);
    mlfa_store_release(right.store);
}

/* -1 as a size, as a failed read() gives it, and other numbers that nothing can have. */
static void impossible_numbers_are_refused(mlfa_context *context) {
    mlfa_store *store = open_store(context, "memory:");
    uint8_t buffer[4] = {0};
    size_t read = 77;
    mlfa_context *none = UNTOUCHED;
    mlfa_context_options many = MLFA_CONTEXT_OPTIONS_INIT;
    put_text(store, "file", "text");
    CHECK_STATUS(mlfa_put_bytes(store, "file", 4, buffer, SIZE_MAX, NULL, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK_STATUS(mlfa_put_bytes(store, "file", SIZE_MAX - 1, buffer, 4, NULL, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK_STATUS(mlfa_get_into(store, "file", 4, 0, buffer, SIZE_MAX / 2 + 1, &read, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK(read == 0);
    many.worker_threads = UINT32_MAX;
    CHECK_STATUS(mlfa_context_new(&many, &none, &error), MLFA_E_INVALID_ARGUMENT);
    CHECK(none == NULL);
    CHECK_STATUS(mlfa_upload_file(store, "lo\0al", 5, "file", 4, NULL, &error), MLFA_E_INVALID_PATH);
    CHECK_STATUS(mlfa_download_file(store, "file", 4, "lo\0al/x", 7, NULL, &error), MLFA_E_INVALID_PATH);
    check_content_text(store, "file", "text");
    mlfa_store_release(store);
}

/* Names that a local store needs for itself. */
static void reserved_names_are_refused(mlfa_context *context) {
    static const char *const RESERVED[] = {".mlflow-artifacts.x", "a/.nfs1", ".artifact.uploading.x/b"};
    mlfa_store *store = open_store(context, file_uri("reserved"));
    CHECK_OK(mlfa_create_directory(store, "", 0, &error));
    for (size_t at = 0; at < 3; at++) {
        CHECK_STATUS(mlfa_put_bytes(store, RESERVED[at], SIZE_MAX, NULL, 0, NULL, &error), MLFA_E_INVALID_PATH);
        CHECK_STATUS(mlfa_delete(store, RESERVED[at], SIZE_MAX, 0, NULL, &error), MLFA_E_INVALID_PATH);
    }
    check_listing(store, "", MLFA_LIST_RECURSIVE, "");
    mlfa_store_release(store);
}

/* ---- URIs and options ---- */

static void check_keeps_the_secret(void) {
    CHECK(strstr(mlfa_error_message(error), "canary") == NULL);
    CHECK(strstr(mlfa_error_detail(error), "canary") == NULL);
    CHECK(mlfa_error_path(error) == NULL || strstr(mlfa_error_path(error), "canary") == NULL);
}

static void uris_are_refused(mlfa_context *context) {
    static const struct {
        const char *uri;
        mlfa_status expected;
    } URIS[] = {
        {"", MLFA_E_INVALID_URI},
        {"C:\\models", MLFA_E_INVALID_URI},
        {"c:/models", MLFA_E_INVALID_URI},
        {"file:", MLFA_E_INVALID_URI},
        {"file:///a#b", MLFA_E_INVALID_URI},
        {"file:///a%00b", MLFA_E_INVALID_URI},
        {"file:///a%ff", MLFA_E_INVALID_URI},
        {"file://host/a", MLFA_E_INVALID_URI},
        {"file:///a\nb", MLFA_E_INVALID_URI},
        {"memory:/a", MLFA_E_INVALID_URI},
        {"memory://host", MLFA_E_INVALID_URI},
        {"xx://two words/a", MLFA_E_INVALID_URI},
        {"xx://back\\slash/a", MLFA_E_INVALID_URI},
        {"xx://user:canary@host/", MLFA_E_UNKNOWN_SCHEME},
        {"xx://user:canary@host:80/a/b?token=canary", MLFA_E_UNKNOWN_SCHEME},
        {"xx://user:can%61ry@host/", MLFA_E_UNKNOWN_SCHEME},
        {"xx://user:canary@:80/", MLFA_E_INVALID_URI},
        {"xx://user:canary@host:port/", MLFA_E_INVALID_URI},
        {"xx://user:canary@host:65536/", MLFA_E_INVALID_URI},
        {"xx://user:canary@two words/", MLFA_E_INVALID_URI},
        {"xx://user:canary%ff@host/", MLFA_E_INVALID_URI},
        {"xx://user:canary@host/#fragment", MLFA_E_INVALID_URI},
        {"xx://user:can/canary@host:x/", MLFA_E_INVALID_URI},
        {"file://user:canary@localhost/a", MLFA_E_INVALID_URI},
        {"file:///a?token=canary", MLFA_E_INVALID_CONFIG},
        {"memory:?fsync=canary", MLFA_E_INVALID_CONFIG},
        {"memory://user:canary@host", MLFA_E_INVALID_URI},
    };
    for (size_t at = 0; at < sizeof URIS / sizeof URIS[0]; at++) {
        mlfa_store *store = UNTOUCHED;
        about = URIS[at].uri;
        CHECK_STATUS(mlfa_store_open(context, URIS[at].uri, SIZE_MAX, NULL, &store, &error), URIS[at].expected);
        CHECK(store == NULL);
        check_keeps_the_secret();
    }
    about = NULL;

    mlfa_store *store = UNTOUCHED;
    CHECK_STATUS(mlfa_store_open(context, "memroy:", SIZE_MAX, NULL, &store, &error), MLFA_E_UNKNOWN_SCHEME);
    CHECK_STATUS(mlfa_store_open(context, "file:a\0b", 8, NULL, &store, &error), MLFA_E_INVALID_URI);
}

static void check_option_refused(mlfa_context *context, const char *name, const char *value) {
    mlfa_config *config = UNTOUCHED;
    mlfa_store *store = UNTOUCHED;
    CHECK_OK(mlfa_config_new(&config, &error));
    CHECK_OK(mlfa_config_set(config, name, SIZE_MAX, value, SIZE_MAX, &error));
    CHECK_STATUS(mlfa_store_open(context, "file:refused", SIZE_MAX, config, &store, &error), MLFA_E_INVALID_CONFIG);
    CHECK(store == NULL);
    check_keeps_the_secret();
    mlfa_config_free(config);
}

static void options_are_refused(mlfa_context *context) {
    check_option_refused(context, "fsnyc", "canary");
    check_option_refused(context, "secret_access_key", "canary");
    check_option_refused(context, "", "canary");
    mlfa_store *store = UNTOUCHED;
    CHECK_STATUS(mlfa_store_open(context, "file:refused?fsnyc=full", SIZE_MAX, NULL, &store, &error),
                 MLFA_E_INVALID_CONFIG);
    check_option_refused(context, "fsync", "sometimes");
    CHECK(!is_there("refused"));
}

int main(int argc, char **argv) {
    enter(argc, argv);
    write_text("local", "text");
    make_directory("tree");
    mlfa_context *context = new_context();
    wrong_arguments(context, "memory:");
    wrong_arguments(context, file_uri("store"));
    impossible_numbers_are_refused(context);
    reserved_names_are_refused(context);
    uris_are_refused(context);
    options_are_refused(context);
    mlfa_context_release(context);
    return passed();
}
