/*
 * mlflow-artifacts: store and fetch MLflow artifacts in any store, chosen by URI.
 *
 * The rules of this interface (ABI.md has the promise, DESIGN.md the reasons):
 *
 * - Fallible functions answer mlfa_status, 0 being MLFA_OK, and take `mlfa_error **err` last. err may be NULL. On failure
 *   *err is an error to be freed with mlfa_error_free; on success it is NULL.
 * - Outputs are set to NULL or 0 on entry and to their value only on success.
 * - Strings come in as a pointer and a length in bytes, without NUL; the length SIZE_MAX means up to the NUL. They are
 *   UTF-8. Strings go out NUL-terminated and live as long as the object they came from.
 * - Objects with _retain and _release are shared: any thread may use them, each reference is released once. Objects with
 *   _free have one owner and are used by one thread at a time. All of these functions take NULL. An object keeps what it
 *   needs alive: release in any order.
 * - Option structs begin with struct_size and are initialised with their _INIT macro or _init function; every other field
 *   then is 0, which means its default.
 * - Artifact paths are relative to the store's root and `/`-separated, without empty, `.` or `..` segments and control
 *   characters; they are refused, never cleaned up. The empty path is the root.
 * - No function installs a signal handler, changes global state or writes to the terminal (but for the report of a panic on
 *   standard error). A context survives fork().
 */

#ifndef MLFLOW_ARTIFACTS_H
#define MLFLOW_ARTIFACTS_H

/* Made from crates/ffi by `make header`. Do not edit. */

#include <stddef.h>
#include <stdint.h>

/**
 * The number of the binary interface that this header describes. It changes when a program built with an older header
 * could misbehave with the library. Compare it with `mlfa_abi_version()` when loading the library at run time.
 */
#define MLFA_ABI_VERSION 1

/**
 * The library's version when this header was made: major * 65536 + minor * 256 + patch.
 */
#define MLFA_VERSION_NUMBER 256

/**
 * The modification time of what has none.
 */
#define MLFA_TIME_UNKNOWN INT64_MIN

/**
 * In `mlfa_put_options.mode`: replace what is there.
 */
#define MLFA_PUT_OVERWRITE 0

/**
 * In `mlfa_put_options.mode`: refuse with `MLFA_E_ALREADY_EXISTS` if something is there.
 */
#define MLFA_PUT_CREATE_NEW 1

/**
 * In the flags of `mlfa_delete`: a directory with everything in it.
 */
#define MLFA_DELETE_RECURSIVE 1

/**
 * As `length` of `mlfa_get_bytes`: to the end.
 */
#define MLFA_TO_THE_END UINT64_MAX

/**
 * In the flags of `mlfa_list_open`: everything below, not only the next level.
 */
#define MLFA_LIST_RECURSIVE 1

/**
 * From `mlfa_report_outcome_at`: the file stands at its target, whole.
 */
#define MLFA_OUTCOME_TRANSFERRED 0

/**
 * From `mlfa_report_outcome_at`: the entry was left out on purpose.
 */
#define MLFA_OUTCOME_SKIPPED 1

/**
 * From `mlfa_report_outcome_at`: the file does not stand at its target.
 */
#define MLFA_OUTCOME_FAILED 2

/**
 * In `mlfa_transfer_options.verify`: sizes always, digests wherever the store offers one.
 */
#define MLFA_VERIFY_OFFERED 0

/**
 * In `mlfa_transfer_options.verify`: digests always; where the store offers none, both sides are read again. This happens
 * when the file is in place: a copy that differs is removed, and what it replaced is gone; when it is cancelled, the copy
 * stays.
 */
#define MLFA_VERIFY_READ_BACK 1

/**
 * Bytes in memory that may be shared.
 */
typedef struct mlfa_bytes mlfa_bytes;

/**
 * The options of a store that is to be opened. A new one has none and reads no environment variables.
 */
typedef struct mlfa_config mlfa_config;

/**
 * The threads that do the library's work, and the schemes it opens. Make one for the program and share it.
 */
typedef struct mlfa_context mlfa_context;

/**
 * What went wrong. Made by a failing call, freed with `mlfa_error_free`.
 */
typedef struct mlfa_error mlfa_error;

/**
 * A listing that is being read. It holds a reference to its store.
 */
typedef struct mlfa_list mlfa_list;

/**
 * What a store knows about one path.
 */
typedef struct mlfa_meta mlfa_meta;

/**
 * What became of each file of a tree, in no particular order.
 */
typedef struct mlfa_report mlfa_report;

/**
 * An open store. It holds a reference to its context.
 */
typedef struct mlfa_store mlfa_store;

/**
 * What a call came to: `MLFA_OK` or one of `MLFA_E_...`. New codes are added over time.
 */
typedef int32_t mlfa_status;

/**
 * How a context is made. Initialise it with `MLFA_CONTEXT_OPTIONS_INIT` or `mlfa_context_options_init`: 0 means default.
 */
typedef struct mlfa_context_options {
    /**
     * `sizeof(mlfa_context_options)`.
     */
    uint32_t struct_size;
    /**
     * Threads that drive the work; more do what blocks, as it comes. 0: two to four, by the number of processors.
     */
    uint32_t worker_threads;
} mlfa_context_options;

/**
 * How to write an artifact. Initialise it with `MLFA_PUT_OPTIONS_INIT` or `mlfa_put_options_init`: 0 means default.
 */
typedef struct mlfa_put_options {
    /**
     * `sizeof(mlfa_put_options)`.
     */
    uint32_t struct_size;
    /**
     * What to do with what is there already: `MLFA_PUT_OVERWRITE` or `MLFA_PUT_CREATE_NEW`.
     */
    uint32_t mode;
} mlfa_put_options;

/**
 * Where a transfer stands. The totals grow while a tree is being walked.
 */
typedef struct mlfa_progress {
    /**
     * `sizeof(mlfa_progress)` of the library: it may be larger than the caller's.
     */
    uint32_t struct_size;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * Files found so far: at most as many as are in flight ahead of those that ended.
     */
    uint64_t files_found;
    /**
     * Files transferred.
     */
    uint64_t files_done;
    /**
     * Files that failed.
     */
    uint64_t files_failed;
    /**
     * Bytes of the files found so far.
     */
    uint64_t bytes_found;
    /**
     * Bytes transferred.
     */
    uint64_t bytes_done;
} mlfa_progress;

/**
 * Is told where a transfer stands. A non-zero answer cancels it: the call cleans up and answers `MLFA_E_CANCELLED`, unless
 * everything was done already, as at the last call.
 *
 * Called on the thread that called the transfer, never two at once, at the end once more, and not after the call has
 * returned. It may call any function of this library. It must not unwind (no C++ exception, no longjmp).
 */
typedef int32_t (*mlfa_progress_fn)(const struct mlfa_progress *progress, void *user);

/**
 * The limits of a transfer and what it checks. Initialise it with `MLFA_TRANSFER_OPTIONS_INIT` or
 * `mlfa_transfer_options_init`: 0 means default.
 */
typedef struct mlfa_transfer_options {
    /**
     * `sizeof(mlfa_transfer_options)`.
     */
    uint32_t struct_size;
    /**
     * Files in flight at once. 0: 16.
     */
    uint32_t files;
    /**
     * Parts in flight at once for each large file. 0: 4.
     */
    uint32_t parts;
    /**
     * What is compared afterwards: one of `MLFA_VERIFY_...`.
     */
    uint32_t verify;
    /**
     * Bytes of content held in memory at once by all files together. 0: 32 MiB.
     */
    uint64_t memory;
    /**
     * Bytes of each part of a large file. 0: chosen by the file's size and the store's limits.
     */
    uint64_t part_size;
    /**
     * Is told of progress; may be NULL.
     */
    mlfa_progress_fn progress;
    /**
     * Handed to `progress`.
     */
    void *user;
    /**
     * Milliseconds between two calls of `progress`. 0: 100.
     */
    uint32_t progress_interval_ms;
    /**
     * 0.
     */
    uint32_t reserved;
} mlfa_transfer_options;

/**
 * The call did what it says.
 */
#define MLFA_OK 0

/**
 * An argument makes no sense.
 */
#define MLFA_E_INVALID_ARGUMENT 100

/**
 * A pointer that must not be NULL is.
 */
#define MLFA_E_NULL_POINTER 101

/**
 * A string is not UTF-8.
 */
#define MLFA_E_INVALID_UTF8 102

/**
 * An option struct says a size that is too small, or sets options that this library does not know.
 */
#define MLFA_E_STRUCT_SIZE 103

/**
 * An artifact path is malformed, reserved, too long, or leads outside the store.
 */
#define MLFA_E_INVALID_PATH 200

/**
 * An artifact URI cannot be parsed.
 */
#define MLFA_E_INVALID_URI 201

/**
 * A configuration option is unknown or its value is malformed.
 */
#define MLFA_E_INVALID_CONFIG 202

/**
 * No store is known for the URI's scheme.
 */
#define MLFA_E_UNKNOWN_SCHEME 203

/**
 * The URI policy refuses the host.
 */
#define MLFA_E_HOST_NOT_ALLOWED 204

/**
 * The store cannot do this at all.
 */
#define MLFA_E_UNSUPPORTED 205

/**
 * There is nothing at the path.
 */
#define MLFA_E_NOT_FOUND 300

/**
 * Something is there already.
 */
#define MLFA_E_ALREADY_EXISTS 301

/**
 * The path is a directory where a file is meant.
 */
#define MLFA_E_IS_A_DIRECTORY 302

/**
 * The path, or a parent of it, is a file where a directory is meant.
 */
#define MLFA_E_NOT_A_DIRECTORY 303

/**
 * The artifact is no longer the one that was named by its etag.
 */
#define MLFA_E_PRECONDITION_FAILED 304

/**
 * The range starts at or after the artifact's end.
 */
#define MLFA_E_RANGE_NOT_SATISFIABLE 305

/**
 * The bytes do not have the expected digest.
 */
#define MLFA_E_CHECKSUM_MISMATCH 306

/**
 * There were more or fewer bytes than announced.
 */
#define MLFA_E_SIZE_MISMATCH 307

/**
 * The artifact is larger than the store accepts.
 */
#define MLFA_E_TOO_LARGE 308

/**
 * Some files of a tree failed, for different reasons: see `mlfa_error_report`.
 */
#define MLFA_E_INCOMPLETE 309

/**
 * The store knows who asks and refuses.
 */
#define MLFA_E_PERMISSION_DENIED 400

/**
 * The store does not accept the credentials, or there are none.
 */
#define MLFA_E_UNAUTHENTICATED 401

/**
 * The server cannot be reached or hung up.
 */
#define MLFA_E_CONNECTION 500

/**
 * A deadline passed.
 */
#define MLFA_E_TIMEOUT 501

/**
 * The TLS handshake failed or the certificate is not trusted.
 */
#define MLFA_E_TLS 502

/**
 * The store asks to slow down.
 */
#define MLFA_E_RATE_LIMITED 503

/**
 * The server answered something that its protocol does not allow.
 */
#define MLFA_E_PROTOCOL 504

/**
 * The server answered that it failed or cannot serve now.
 */
#define MLFA_E_UNAVAILABLE 505

/**
 * An operating system call failed.
 */
#define MLFA_E_IO 600

/**
 * The disk or the quota is full.
 */
#define MLFA_E_NO_SPACE 601

/**
 * A local source file exists but cannot be read.
 */
#define MLFA_E_UNREADABLE 602

/**
 * A defect of this library: please report it.
 */
#define MLFA_E_INTERNAL 900

/**
 * A panic inside this library was caught: a defect, please report it. Free the handles involved.
 */
#define MLFA_E_PANIC 901

/**
 * The caller stopped the operation.
 */
#define MLFA_E_CANCELLED 902

/**
 * The handle was made before a `fork` and its operation did not survive it.
 */
#define MLFA_E_FORKED 903

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The library's binary interface: equals `MLFA_ABI_VERSION` of the header that it was built with.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
uint32_t mlfa_abi_version(void);

/**
 * The library's version: major * 65536 + minor * 256 + patch.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
uint32_t mlfa_version_number(void);

/**
 * The library's version as text, such as `0.1.0`.
 *
 * Ownership: the string is never freed. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_version_string(void);

/**
 * The stable name of a status, such as `not_found`; `unknown` for a number that is none.
 *
 * Ownership: the string is never freed. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_status_name(mlfa_status status);

/**
 * How many URI schemes this library opens.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
size_t mlfa_scheme_count(void);

/**
 * The URI scheme with this index, in alphabetical order; NULL if there is none.
 *
 * Ownership: the string is never freed. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_scheme_at(size_t index);

/**
 * The status that the failing call answered; `MLFA_OK` for NULL.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
mlfa_status mlfa_error_status(const struct mlfa_error *error);

/**
 * What happened in one line: operation, path, cause, remedy. Never a secret. NULL for NULL.
 *
 * Ownership: the string belongs to the error. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_error_message(const struct mlfa_error *error);

/**
 * The message followed by the chain of its causes. NULL for NULL.
 *
 * Ownership: the string belongs to the error. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_error_detail(const struct mlfa_error *error);

/**
 * The operation that failed, such as `put`; NULL if none was begun.
 *
 * Ownership: the string belongs to the error. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_error_operation(const struct mlfa_error *error);

/**
 * The artifact or local path that it failed on; NULL if there is none.
 *
 * Ownership: the string belongs to the error. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_error_path(const struct mlfa_error *error);

/**
 * The HTTP status that the server answered; 0 if there was none.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
int32_t mlfa_error_http_status(const struct mlfa_error *error);

/**
 * The provider's own code for the failure, such as `NoSuchKey`; NULL if there is none.
 *
 * Ownership: the string belongs to the error. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_error_provider_code(const struct mlfa_error *error);

/**
 * 1 if the same call may succeed when it is made again, else 0.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
int32_t mlfa_error_is_retryable(const struct mlfa_error *error);

/**
 * How many milliseconds the server asked to wait before the next attempt; 0 if it did not ask.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
uint64_t mlfa_error_retry_after_ms(const struct mlfa_error *error);

/**
 * What became of each file of a tree whose transfer failed in part; NULL for any other error.
 *
 * Ownership: the report belongs to the error; do not free it. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const struct mlfa_report *mlfa_error_report(const struct mlfa_error *error);

/**
 * Frees an error with its strings and report. NULL is fine.
 *
 * Thread safety: one thread at a time. Blocking: no. Since: 0.1.
 */
void mlfa_error_free(struct mlfa_error *error);

/**
 * Fills `options` with the defaults; `size` is `sizeof(mlfa_context_options)`. NULL is fine.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
void mlfa_context_options_init(struct mlfa_context_options *options, size_t size);

/**
 * Makes a context and starts its threads. `options` may be NULL.
 *
 * A context survives `fork`: in the child its first use starts new threads.
 *
 * Ownership: release `*out` with `mlfa_context_release`. Thread safety: any thread. Blocking: briefly.
 * Errors: `MLFA_E_IO` if the system gives no threads, `MLFA_E_INVALID_ARGUMENT` for more than 1024 of them,
 * `MLFA_E_STRUCT_SIZE`, `MLFA_E_NULL_POINTER`. Since: 0.1.
 */
mlfa_status mlfa_context_new(const struct mlfa_context_options *options,
                             struct mlfa_context **out,
                             struct mlfa_error **err);

/**
 * Makes one more reference to a context and answers it. NULL is fine.
 *
 * Ownership: each reference is released with `mlfa_context_release`. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
struct mlfa_context *mlfa_context_retain(struct mlfa_context *context);

/**
 * Gives one reference up. The last one, the stores' own included, stops the threads. NULL is fine.
 *
 * Thread safety: any thread. Blocking: the last one up to 10 seconds, for work that is still running. Since: 0.1.
 */
void mlfa_context_release(struct mlfa_context *context);

/**
 * Makes a configuration without options that reads no environment variables.
 *
 * Ownership: free `*out` with `mlfa_config_free`. Thread safety: any thread. Blocking: no.
 * Errors: `MLFA_E_NULL_POINTER`. Since: 0.1.
 */
mlfa_status mlfa_config_new(struct mlfa_config **out, struct mlfa_error **err);

/**
 * Sets an option. The value of a secret one is never shown in an error or a log; every value is wiped when the
 * configuration is freed.
 *
 * The name and the value are checked by `mlfa_store_open`, because only the store knows its options.
 *
 * Thread safety: one thread at a time. Blocking: no. Errors: `MLFA_E_NULL_POINTER`, `MLFA_E_INVALID_UTF8`. Since: 0.1.
 */
mlfa_status mlfa_config_set(struct mlfa_config *config,
                            const char *name,
                            size_t name_len,
                            const char *value,
                            size_t value_len,
                            struct mlfa_error **err);

/**
 * Lets environment variables fill in options that are not set: they are read when a store is opened.
 *
 * Thread safety: one thread at a time. Blocking: no. Errors: `MLFA_E_NULL_POINTER`. Since: 0.1.
 */
mlfa_status mlfa_config_load_env(struct mlfa_config *config, struct mlfa_error **err);

/**
 * Frees a configuration. Stores that were opened with it keep what they took. NULL is fine.
 *
 * Thread safety: one thread at a time. Blocking: no. Since: 0.1.
 */
void mlfa_config_free(struct mlfa_config *config);

/**
 * Opens the store at `uri`: `file:///srv/artifacts`, a local path, `memory:`. Nothing is connected to or read yet.
 *
 * `config` may be NULL: then environment variables alone set its options.
 *
 * Ownership: release `*out` with `mlfa_store_release`. Thread safety: any thread. Blocking: no.
 * Errors: `MLFA_E_INVALID_URI`, `MLFA_E_UNKNOWN_SCHEME`, `MLFA_E_INVALID_CONFIG`, `MLFA_E_HOST_NOT_ALLOWED`,
 * `MLFA_E_NULL_POINTER`, `MLFA_E_INVALID_UTF8`. Since: 0.1.
 */
mlfa_status mlfa_store_open(struct mlfa_context *context,
                            const char *uri,
                            size_t uri_len,
                            const struct mlfa_config *config,
                            struct mlfa_store **out,
                            struct mlfa_error **err);

/**
 * The URI scheme of a store, such as `file`; NULL for NULL.
 *
 * Ownership: the string belongs to the store. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_store_scheme(const struct mlfa_store *store);

/**
 * The root of a store without credentials, for people to read; NULL for NULL.
 *
 * Ownership: the string belongs to the store. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_store_root(const struct mlfa_store *store);

/**
 * Makes one more reference to a store and answers it. NULL is fine.
 *
 * Ownership: each reference is released with `mlfa_store_release`. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
struct mlfa_store *mlfa_store_retain(struct mlfa_store *store);

/**
 * Gives one reference up. NULL is fine.
 *
 * Thread safety: any thread. Blocking: only if it is the last reference to the context too, see
 * `mlfa_context_release`. Since: 0.1.
 */
void mlfa_store_release(struct mlfa_store *store);

/**
 * The path, relative to the store's root; NULL for NULL.
 *
 * Ownership: the string belongs to the meta. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_meta_path(const struct mlfa_meta *meta);

/**
 * 1 if the path is a directory, 0 if it is a file or the meta is NULL.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
int32_t mlfa_meta_is_directory(const struct mlfa_meta *meta);

/**
 * Bytes of a file; 0 for a directory.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
uint64_t mlfa_meta_size(const struct mlfa_meta *meta);

/**
 * When the content was last replaced, in nanoseconds since 1970 UTC; `MLFA_TIME_UNKNOWN` where the store does not tell,
 * and for NULL.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
int64_t mlfa_meta_modified_ns(const struct mlfa_meta *meta);

/**
 * What names this content: it changes when the content is replaced. On `file` it is inode, size and time of modification,
 * which an edit in place can keep. NULL for directories and where the store has none.
 *
 * Ownership: the string belongs to the meta. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_meta_etag(const struct mlfa_meta *meta);

/**
 * The SHA-256 of the content in hexadecimal; NULL where the store does not tell.
 *
 * Ownership: the string belongs to the meta. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_meta_sha256(const struct mlfa_meta *meta);

/**
 * Frees a meta that a call handed out (not one that a list lent). NULL is fine.
 *
 * Thread safety: one thread at a time. Blocking: no. Since: 0.1.
 */
void mlfa_meta_free(struct mlfa_meta *meta);

/**
 * The bytes; not NUL-terminated. NULL for NULL, and never to be read when the size is 0.
 *
 * Ownership: they belong to the handle. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const uint8_t *mlfa_bytes_data(const struct mlfa_bytes *bytes);

/**
 * How many bytes there are; 0 for NULL.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
size_t mlfa_bytes_size(const struct mlfa_bytes *bytes);

/**
 * Makes one more reference to the bytes and answers it. NULL is fine.
 *
 * Ownership: each reference is released with `mlfa_bytes_release`. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
struct mlfa_bytes *mlfa_bytes_retain(struct mlfa_bytes *bytes);

/**
 * Gives one reference up; the last one frees the bytes. NULL is fine.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
void mlfa_bytes_release(struct mlfa_bytes *bytes);

/**
 * Fills `options` with the defaults; `size` is `sizeof(mlfa_put_options)`. NULL is fine.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
void mlfa_put_options_init(struct mlfa_put_options *options, size_t size);

/**
 * What stands at `path`; the empty path is the store's root.
 *
 * Ownership: free `*out` with `mlfa_meta_free`. Thread safety: any thread. Blocking: yes.
 * Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
 */
mlfa_status mlfa_stat(struct mlfa_store *store,
                      const char *path,
                      size_t path_len,
                      struct mlfa_meta **out,
                      struct mlfa_error **err);

/**
 * Reads up to `capacity` bytes of the file at `path`, from `offset` on, into `buffer`, and says in `*read` how many came.
 *
 * Fewer than `capacity` only at the end of the file; 0 at or after it. After an error the buffer's content is undefined.
 *
 * Thread safety: any thread. Blocking: yes. Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`, `MLFA_E_INVALID_PATH`,
 * and those of the store. Since: 0.1.
 */
mlfa_status mlfa_get_into(struct mlfa_store *store,
                          const char *path,
                          size_t path_len,
                          uint64_t offset,
                          uint8_t *buffer,
                          size_t capacity,
                          size_t *read,
                          struct mlfa_error **err);

/**
 * Reads up to `length` bytes of the file at `path`, from `offset` on, into memory of the library;
 * `MLFA_TO_THE_END` reads all that is left.
 *
 * Fewer than `length` only at the end of the file; none at or after it.
 *
 * Ownership: release `*out` with `mlfa_bytes_release`. Thread safety: any thread. Blocking: yes.
 * Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
 */
mlfa_status mlfa_get_bytes(struct mlfa_store *store,
                           const char *path,
                           size_t path_len,
                           uint64_t offset,
                           uint64_t length,
                           struct mlfa_bytes **out,
                           struct mlfa_error **err);

/**
 * Writes `size` bytes as the file at `path`, making its parents. When it answers, the artifact is whole and visible; on
 * failure nothing has changed. `options` may be NULL, `data` may be NULL if `size` is 0.
 *
 * The bytes are copied once. A large file goes faster by `mlfa_upload_file`.
 *
 * Thread safety: any thread. Blocking: yes. Errors: `MLFA_E_ALREADY_EXISTS` (mode), `MLFA_E_IS_A_DIRECTORY`,
 * `MLFA_E_NOT_A_DIRECTORY`, `MLFA_E_INVALID_PATH`, `MLFA_E_NO_SPACE`, and those of the store. Since: 0.1.
 */
mlfa_status mlfa_put_bytes(struct mlfa_store *store,
                           const char *path,
                           size_t path_len,
                           const uint8_t *data,
                           size_t size,
                           const struct mlfa_put_options *options,
                           struct mlfa_error **err);

/**
 * Makes the directory at `path` and its parents; one that is there already is fine.
 *
 * Thread safety: any thread. Blocking: yes. Errors: `MLFA_E_UNSUPPORTED` on stores without directories of their own,
 * `MLFA_E_NOT_A_DIRECTORY`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
 */
mlfa_status mlfa_create_directory(struct mlfa_store *store,
                                  const char *path,
                                  size_t path_len,
                                  struct mlfa_error **err);

/**
 * Removes the file at `path`, or with `MLFA_DELETE_RECURSIVE` also a directory with everything in it; the empty path is
 * the whole store. Nothing there is success, and so is a store that is configured to delete nothing: `*removed` (which may be
 * NULL) says 1 if something was removed, else 0.
 *
 * Thread safety: any thread. Blocking: yes. Errors: `MLFA_E_IS_A_DIRECTORY` without the flag, `MLFA_E_INVALID_PATH`, and
 * those of the store. Since: 0.1.
 */
mlfa_status mlfa_delete(struct mlfa_store *store,
                        const char *path,
                        size_t path_len,
                        uint32_t flags,
                        int32_t *removed,
                        struct mlfa_error **err);

/**
 * Copies the file at `from` to `to` within the store, without its bytes passing through this program where the store can.
 *
 * Thread safety: any thread. Blocking: yes. Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`, `MLFA_E_UNSUPPORTED`,
 * `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
 */
mlfa_status mlfa_copy(struct mlfa_store *store,
                      const char *from,
                      size_t from_len,
                      const char *to,
                      size_t to_len,
                      struct mlfa_error **err);

/**
 * Begins to list the directory at `path`; the empty path is the store's root. The listing is empty if there is nothing
 * or a file. One level comes sorted by path; a recursive listing has a directory before its content.
 *
 * Ownership: free `*out` with `mlfa_list_free`. Thread safety: any thread. Blocking: no.
 * Errors: `MLFA_E_INVALID_PATH`. Since: 0.1.
 */
mlfa_status mlfa_list_open(struct mlfa_store *store,
                           const char *path,
                           size_t path_len,
                           uint32_t flags,
                           struct mlfa_list **out,
                           struct mlfa_error **err);

/**
 * Reads the next entry. `*out` is NULL at the end. After an error the listing is at its end.
 *
 * Ownership: `*out` belongs to the list and lives until the next call with it; do not free it.
 * Thread safety: one thread at a time. Blocking: yes. Errors: those of the store. Since: 0.1.
 */
mlfa_status mlfa_list_next(struct mlfa_list *list, const struct mlfa_meta **out, struct mlfa_error **err);

/**
 * Frees a listing, at its end or before, with the entry that it lent. NULL is fine.
 *
 * Thread safety: one thread at a time. Blocking: no. Since: 0.1.
 */
void mlfa_list_free(struct mlfa_list *list);

/**
 * How many entries the report has; 0 for NULL.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
size_t mlfa_report_count(const struct mlfa_report *report);

/**
 * The name of an entry, relative to the tree's top; NULL if there is none with this index.
 *
 * Ownership: the string belongs to the report. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_report_name_at(const struct mlfa_report *report, size_t index);

/**
 * What became of an entry: one of `MLFA_OUTCOME_...`; `MLFA_OUTCOME_FAILED` if there is none with this index.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
int32_t mlfa_report_outcome_at(const struct mlfa_report *report, size_t index);

/**
 * Why an entry failed; `MLFA_OK` if it did not, `MLFA_E_INVALID_ARGUMENT` if there is none with this index.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
mlfa_status mlfa_report_status_at(const struct mlfa_report *report, size_t index);

/**
 * The bytes of a file that was transferred; 0 for any other entry.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
uint64_t mlfa_report_size_at(const struct mlfa_report *report, size_t index);

/**
 * Why an entry failed or was skipped, in one line; NULL if it was transferred or there is none with this index.
 *
 * Ownership: the string belongs to the report. Thread safety: any thread. Blocking: no. Since: 0.1.
 */
const char *mlfa_report_message_at(const struct mlfa_report *report,
                                   size_t index);

/**
 * Frees a report that a call handed out (not the one of an error). NULL is fine.
 *
 * Thread safety: one thread at a time. Blocking: no. Since: 0.1.
 */
void mlfa_report_free(struct mlfa_report *report);

/**
 * Fills `options` with the defaults; `size` is `sizeof(mlfa_transfer_options)`. NULL is fine.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
void mlfa_transfer_options_init(struct mlfa_transfer_options *options, size_t size);

/**
 * Stores the local file `local` at `path`, following symbolic links. `options` may be NULL.
 *
 * The bytes never cross this interface: the fastest way to store a file. On failure nothing new is visible.
 *
 * Thread safety: any thread. Blocking: yes. Errors: for the local side `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`,
 * `MLFA_E_UNREADABLE`, `MLFA_E_UNSUPPORTED` (no regular file), `MLFA_E_SIZE_MISMATCH` (it changed meanwhile);
 * `MLFA_E_CANCELLED`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
 */
mlfa_status mlfa_upload_file(struct mlfa_store *store,
                             const char *local,
                             size_t local_len,
                             const char *path,
                             size_t path_len,
                             const struct mlfa_transfer_options *options,
                             struct mlfa_error **err);

/**
 * Fetches the file at `path` to the local file `local`, replacing it and making its directory. `options` may be NULL.
 *
 * The bytes never cross this interface. They go to a hidden temporary name beside `local`, are checked by size (and digest,
 * where the store offers one), and are renamed: on failure nothing new is visible.
 *
 * Thread safety: any thread. Blocking: yes. Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`,
 * `MLFA_E_PRECONDITION_FAILED` (replaced meanwhile), `MLFA_E_CHECKSUM_MISMATCH`, `MLFA_E_NO_SPACE`, `MLFA_E_CANCELLED`,
 * `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
 */
mlfa_status mlfa_download_file(struct mlfa_store *store,
                               const char *path,
                               size_t path_len,
                               const char *local,
                               size_t local_len,
                               const struct mlfa_transfer_options *options,
                               struct mlfa_error **err);

/**
 * Stores the content of the local directory `local` below `path`, files in parallel. `options` and `out` may be NULL.
 *
 * Hidden files go along; a symbolic link to a file is stored as that file, one to a directory is skipped; empty
 * directories are made where the store has directories. A file that fails does not stop the others: then the call fails,
 * and `mlfa_error_report` tells what became of each file. On success `*out` tells it.
 *
 * Ownership: free `*out` with `mlfa_report_free`. Thread safety: any thread. Blocking: yes.
 * Errors: the one that all failed files share, or `MLFA_E_INCOMPLETE`; `MLFA_E_NOT_FOUND`, `MLFA_E_NOT_A_DIRECTORY`,
 * `MLFA_E_INVALID_ARGUMENT` (one side stands in the other), `MLFA_E_CANCELLED`, `MLFA_E_INVALID_PATH`, and those of the
 * store. Since: 0.1.
 */
mlfa_status mlfa_upload_tree(struct mlfa_store *store,
                             const char *local,
                             size_t local_len,
                             const char *path,
                             size_t path_len,
                             const struct mlfa_transfer_options *options,
                             struct mlfa_report **out,
                             struct mlfa_error **err);

/**
 * Fetches everything below the directory `path` into the local directory `local`, files in parallel. What stands there
 * already stays unless a fetched file replaces it. `options` and `out` may be NULL.
 *
 * No file is written outside `local`, not through a symbolic link either. A file that fails does not stop the others: then
 * the call fails, and `mlfa_error_report` tells what became of each file. On success `*out` tells it.
 *
 * Ownership: free `*out` with `mlfa_report_free`. Thread safety: any thread. Blocking: yes.
 * Errors: the one that all failed files share, or `MLFA_E_INCOMPLETE`; `MLFA_E_NOT_FOUND`, `MLFA_E_NOT_A_DIRECTORY`,
 * `MLFA_E_INVALID_ARGUMENT` (one side stands in the other), `MLFA_E_CANCELLED`, `MLFA_E_INVALID_PATH`, and those of the
 * store. Since: 0.1.
 */
mlfa_status mlfa_download_tree(struct mlfa_store *store,
                               const char *path,
                               size_t path_len,
                               const char *local,
                               size_t local_len,
                               const struct mlfa_transfer_options *options,
                               struct mlfa_report **out,
                               struct mlfa_error **err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MLFLOW_ARTIFACTS_H */

/* Initialisers with all defaults. */
#define MLFA_CONTEXT_OPTIONS_INIT { (uint32_t)sizeof(mlfa_context_options), 0 }
#define MLFA_PUT_OPTIONS_INIT { (uint32_t)sizeof(mlfa_put_options), 0 }
#define MLFA_TRANSFER_OPTIONS_INIT { (uint32_t)sizeof(mlfa_transfer_options), 0, 0, 0, 0, 0, NULL, NULL, 0, 0 }
