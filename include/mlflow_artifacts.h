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
#define MLFA_VERSION_NUMBER 512

/**
 * In `mlfa_store_capabilities`: directories exist by themselves, also empty ones.
 */
#define MLFA_CAPABILITY_DIRECTORIES 1

/**
 * In `mlfa_store_capabilities`: parts of an artifact can be read.
 */
#define MLFA_CAPABILITY_RANGE 2

/**
 * In `mlfa_store_capabilities`: `MLFA_PUT_CREATE_NEW`.
 */
#define MLFA_CAPABILITY_CREATE_NEW 4

/**
 * In `mlfa_store_capabilities`: a reader notices that the artifact is replaced.
 */
#define MLFA_CAPABILITY_IF_MATCH 8

/**
 * In `mlfa_store_capabilities`: `MLFA_PUT_IF_MATCH`.
 */
#define MLFA_CAPABILITY_REPLACE_IF_MATCH 16

/**
 * In `mlfa_store_capabilities`: `mlfa_multipart_create`.
 */
#define MLFA_CAPABILITY_MULTIPART 32

/**
 * In `mlfa_store_capabilities`: `mlfa_multipart_resume`, also in another process.
 */
#define MLFA_CAPABILITY_RESUME_UPLOAD 64

/**
 * In `mlfa_store_capabilities`: `mlfa_copy`.
 */
#define MLFA_CAPABILITY_COPY 128

/**
 * In `mlfa_store_capabilities`: `mlfa_presign`.
 */
#define MLFA_CAPABILITY_PRESIGN 256

/**
 * In `mlfa_store_capabilities`: metas tell the SHA-256 of the content.
 */
#define MLFA_CAPABILITY_SHA256 512

/**
 * In `mlfa_store_capabilities`: properties are kept with artifacts.
 */
#define MLFA_CAPABILITY_PROPERTIES 1024

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
 * In `mlfa_put_options.mode`: replace what is there only if it still has the etag `if_match`, else
 * `MLFA_E_PRECONDITION_FAILED`. Since 0.2.
 */
#define MLFA_PUT_IF_MATCH 2

/**
 * In the flags of `mlfa_delete`: a directory with everything in it.
 */
#define MLFA_DELETE_RECURSIVE 1

/**
 * As `length` of what is read: to the end.
 */
#define MLFA_TO_THE_END UINT64_MAX

/**
 * In the flags of `mlfa_list_open`: everything below, not only the next level.
 */
#define MLFA_LIST_RECURSIVE 1

/**
 * As the length of what is to be written: not known yet.
 */
#define MLFA_LENGTH_UNKNOWN UINT64_MAX

/**
 * As `method` of `mlfa_presign`: read the artifact.
 */
#define MLFA_PRESIGN_GET 0

/**
 * As `method` of `mlfa_presign`: write the artifact.
 */
#define MLFA_PRESIGN_PUT 1

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
 * As a timeout in milliseconds: as long as it takes.
 */
#define MLFA_FOREVER UINT64_MAX

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
 * Entries of a listing.
 */
typedef struct mlfa_entries mlfa_entries;

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
 * An upload in parts. It holds a reference to its store.
 */
typedef struct mlfa_multipart mlfa_multipart;

/**
 * Named values, such as those that a store keeps with an artifact. A name may have several.
 */
typedef struct mlfa_properties mlfa_properties;

/**
 * Where the ends of many tasks come together, with a file descriptor for `poll`, `epoll` and the like.
 */
typedef struct mlfa_queue mlfa_queue;

/**
 * An artifact that is being read. It holds a reference to its store.
 */
typedef struct mlfa_reader mlfa_reader;

/**
 * What became of each file of a tree, in no particular order.
 */
typedef struct mlfa_report mlfa_report;

/**
 * A request that whoever holds it may make: treat it as a secret.
 */
typedef struct mlfa_signed_request mlfa_signed_request;

/**
 * An open store. It holds a reference to its context.
 */
typedef struct mlfa_store mlfa_store;

/**
 * An operation that goes on while its caller does something else. It holds a reference to its store.
 */
typedef struct mlfa_task mlfa_task;

/**
 * An artifact that is being written. It holds a reference to its store.
 */
typedef struct mlfa_writer mlfa_writer;

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
    /**
     * NULL, or so many NUL-terminated URIs: then a store opens only if scheme, host and port of its URI are those of one of
     * them, else `MLFA_E_HOST_NOT_ALLOWED`. The guard of a server whose clients choose URIs. Since 0.2.
     */
    const char *const *trusted_uris;
    /**
     * How many `trusted_uris` there are. With 0 and a pointer that is not NULL nothing opens. Since 0.2.
     */
    size_t trusted_uri_count;
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
     * What to do with what is there already: one of `MLFA_PUT_...`.
     */
    uint32_t mode;
    /**
     * The etag for `MLFA_PUT_IF_MATCH`, NUL-terminated; NULL in the other modes. Since 0.2.
     */
    const char *if_match;
    /**
     * Kept with the artifact where the store has `MLFA_CAPABILITY_PROPERTIES`; may be NULL. Copied. Since 0.2.
     */
    const struct mlfa_properties *properties;
} mlfa_put_options;

/**
 * Frees memory that was handed to the library. Called exactly once, on any thread. It may call only functions whose comment
 * says `Callback-safe: yes`, and those that answer no status. It must not block and must not unwind (no C++ exception, no
 * longjmp).
 */
typedef void (*mlfa_free_fn)(void *user);

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
 * Never two at once for one transfer, at the end once more, and not after the call has returned or `mlfa_task_free` has. Called on
 * the thread that called the transfer, where it may call any function of this library; of a transfer that was begun with a
 * `_start` function on the thread of `mlfa_task_fn`, with the same rules. It must not unwind (no C++ exception, no longjmp).
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
    /**
     * Kept with every artifact that is stored, where the store has `MLFA_CAPABILITY_PROPERTIES`; may be NULL. Copied. Since 0.2.
     */
    const struct mlfa_properties *properties;
} mlfa_transfer_options;

/**
 * Is told that a task has ended. `task` is the handle that the caller of `mlfa_task_on_done` has; the callback may take its
 * result and free it.
 *
 * Called once, on the one thread of the context that calls callbacks, and not after `mlfa_task_free` has returned. It may call
 * only functions whose comment says `Callback-safe: yes`, and those that answer no status; any other answers
 * `MLFA_E_REENTRANT`. It holds up the context's other callbacks until it returns, and nothing else. It must not unwind (no C++
 * exception, no longjmp).
 */
typedef void (*mlfa_task_fn)(struct mlfa_task *task, void *user);

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
 * The call would wait, on a thread that must not: in a callback that runs on a thread of the library.
 */
#define MLFA_E_REENTRANT 104

/**
 * The object is in use by another call, or its operation has not ended yet.
 */
#define MLFA_E_BUSY 105

/**
 * Debug builds only: the handle was freed already, or is one of another kind.
 */
#define MLFA_E_INVALID_HANDLE 106

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
 * A deadline passed, or the time that a caller was willing to wait.
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
 * Ownership: release `*out` with `mlfa_context_release`. Thread safety: any thread. Callback-safe: no. Blocking: briefly.
 * Errors: `MLFA_E_IO` if the system gives no threads, `MLFA_E_INVALID_ARGUMENT` for more than 1024 of them,
 * `MLFA_E_INVALID_URI` (a trusted one), `MLFA_E_STRUCT_SIZE`, `MLFA_E_NULL_POINTER`, `MLFA_E_INVALID_UTF8`. Since: 0.1.
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
 * Thread safety: any thread. Blocking: the last one up to 10 seconds, until tasks that were freed have cleaned up; not in a
 * callback. Since: 0.1.
 */
void mlfa_context_release(struct mlfa_context *context);

/**
 * Makes a configuration without options that reads no environment variables.
 *
 * Ownership: free `*out` with `mlfa_config_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: `MLFA_E_NULL_POINTER`. Since: 0.1.
 */
mlfa_status mlfa_config_new(struct mlfa_config **out,
                            struct mlfa_error **err);

/**
 * Sets an option. The value of a secret one is never shown in an error or a log; every value is wiped when the
 * configuration is freed.
 *
 * The name and the value are checked by `mlfa_store_open`, because only the store knows its options.
 *
 * Thread safety: one thread at a time. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_NULL_POINTER`, `MLFA_E_INVALID_UTF8`. Since: 0.1.
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
 * Thread safety: one thread at a time. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_NULL_POINTER`. Since: 0.1.
 */
mlfa_status mlfa_config_load_env(struct mlfa_config *config,
                                 struct mlfa_error **err);

/**
 * Frees a configuration. Stores that were opened with it keep what they took. NULL is fine.
 *
 * Thread safety: one thread at a time. Blocking: no. Since: 0.1.
 */
void mlfa_config_free(struct mlfa_config *config);

/**
 * Makes an empty set of properties.
 *
 * Ownership: free `*out` with `mlfa_properties_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_properties_new(struct mlfa_properties **out,
                                struct mlfa_error **err);

/**
 * Adds a value to those that a name has already.
 *
 * Thread safety: one thread at a time. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_NULL_POINTER`,
 * `MLFA_E_INVALID_UTF8`. Since: 0.2.
 */
mlfa_status mlfa_properties_add(struct mlfa_properties *properties,
                                const char *name,
                                size_t name_len,
                                const char *value,
                                size_t value_len,
                                struct mlfa_error **err);

/**
 * How many pairs of a name and a value there are; 0 for NULL.
 *
 * Thread safety: any thread, while none is added. Blocking: no. Since: 0.2.
 */
size_t mlfa_properties_count(const struct mlfa_properties *properties);

/**
 * The name of a pair; NULL if there is none with this index.
 *
 * Ownership: the string belongs to the properties. Thread safety: any thread, while none is added. Blocking: no. Since: 0.2.
 */
const char *mlfa_properties_name_at(const struct mlfa_properties *properties,
                                    size_t index);

/**
 * The value of a pair; NULL if there is none with this index.
 *
 * Ownership: the string belongs to the properties. Thread safety: any thread, while none is added. Blocking: no. Since: 0.2.
 */
const char *mlfa_properties_value_at(const struct mlfa_properties *properties,
                                     size_t index);

/**
 * Frees properties with their strings. NULL is fine.
 *
 * Thread safety: one thread at a time. Blocking: no. Since: 0.2.
 */
void mlfa_properties_free(struct mlfa_properties *properties);

/**
 * Opens the store at `uri`: `file:///srv/artifacts`, a local path, `artifactory://host/artifactory/repository`, `memory:`. Nothing is connected to or read yet.
 *
 * `config` may be NULL: then environment variables alone set its options.
 *
 * Ownership: release `*out` with `mlfa_store_release`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
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
 * What a store can do: a set of `MLFA_CAPABILITY_...`; bits that a program does not know may be set. 0 for NULL.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.2.
 */
uint64_t mlfa_store_capabilities(const struct mlfa_store *store);

/**
 * What can be told about a store and its server for somebody who looks for a fault: whose credentials are used and where they
 * come from, which version answers. Never a secret.
 *
 * Ownership: free `*out` with `mlfa_properties_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
 * Errors: those of the store. Since: 0.2.
 */
mlfa_status mlfa_store_describe(struct mlfa_store *store,
                                struct mlfa_properties **out,
                                struct mlfa_error **err);

/**
 * Begins `mlfa_store_describe`; the properties are taken with `mlfa_task_take_properties`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_store_describe_start(struct mlfa_store *store,
                                      struct mlfa_task **out,
                                      struct mlfa_error **err);

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
 * Ownership: free `*out` with `mlfa_meta_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
 * Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
 */
mlfa_status mlfa_stat(struct mlfa_store *store,
                      const char *path,
                      size_t path_len,
                      struct mlfa_meta **out,
                      struct mlfa_error **err);

/**
 * Begins `mlfa_stat`; the meta is taken with `mlfa_task_take_meta`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_stat_start(struct mlfa_store *store,
                            const char *path,
                            size_t path_len,
                            struct mlfa_task **out,
                            struct mlfa_error **err);

/**
 * What is kept with the file or directory at `path`; empty if nothing is.
 *
 * Ownership: free `*out` with `mlfa_properties_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
 * Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_UNSUPPORTED` without `MLFA_CAPABILITY_PROPERTIES`, `MLFA_E_INVALID_PATH`, and those of
 * the store. Since: 0.2.
 */
mlfa_status mlfa_get_properties(struct mlfa_store *store,
                                const char *path,
                                size_t path_len,
                                struct mlfa_properties **out,
                                struct mlfa_error **err);

/**
 * Begins `mlfa_get_properties`; the properties are taken with `mlfa_task_take_properties`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_get_properties_start(struct mlfa_store *store,
                                      const char *path,
                                      size_t path_len,
                                      struct mlfa_task **out,
                                      struct mlfa_error **err);

/**
 * Reads up to `capacity` bytes of the file at `path`, from `offset` on, into `buffer`, and says in `*read` how many came.
 *
 * Fewer than `capacity` only at the end of the file; 0 at or after it. After an error the buffer's content is undefined.
 * The bytes are copied once.
 *
 * Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`,
 * `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
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
 * Begins `mlfa_get_into`; how many bytes came is taken with `mlfa_task_take_count`. `buffer` is the task's until it has
 * ended or is freed.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_get_into_start(struct mlfa_store *store,
                                const char *path,
                                size_t path_len,
                                uint64_t offset,
                                uint8_t *buffer,
                                size_t capacity,
                                struct mlfa_task **out,
                                struct mlfa_error **err);

/**
 * Reads up to `length` bytes of the file at `path`, from `offset` on, into memory of the library;
 * `MLFA_TO_THE_END` reads all that is left.
 *
 * Fewer than `length` only at the end of the file; none at or after it. What came in one piece is not copied.
 *
 * Ownership: release `*out` with `mlfa_bytes_release`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
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
 * Begins `mlfa_get_bytes`; the bytes are taken with `mlfa_task_take_bytes`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_get_bytes_start(struct mlfa_store *store,
                                 const char *path,
                                 size_t path_len,
                                 uint64_t offset,
                                 uint64_t length,
                                 struct mlfa_task **out,
                                 struct mlfa_error **err);

/**
 * Writes `size` bytes as the file at `path`, making its parents. When it answers, the artifact is whole and visible; on
 * failure nothing has changed. `options` may be NULL, `data` may be NULL if `size` is 0.
 *
 * The bytes are copied once; `mlfa_put_owned` copies none. A large file goes faster by `mlfa_upload_file`.
 *
 * Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_ALREADY_EXISTS` and
 * `MLFA_E_PRECONDITION_FAILED` (mode), `MLFA_E_IS_A_DIRECTORY`, `MLFA_E_NOT_A_DIRECTORY`, `MLFA_E_UNSUPPORTED` (properties),
 * `MLFA_E_INVALID_PATH`, `MLFA_E_NO_SPACE`, and those of the store. Since: 0.1.
 */
mlfa_status mlfa_put_bytes(struct mlfa_store *store,
                           const char *path,
                           size_t path_len,
                           const uint8_t *data,
                           size_t size,
                           const struct mlfa_put_options *options,
                           struct mlfa_error **err);

/**
 * Begins `mlfa_put_bytes`; what was put is taken with `mlfa_task_take_meta`. The bytes are copied before it returns.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_put_bytes_start(struct mlfa_store *store,
                                 const char *path,
                                 size_t path_len,
                                 const uint8_t *data,
                                 size_t size,
                                 const struct mlfa_put_options *options,
                                 struct mlfa_task **out,
                                 struct mlfa_error **err);

/**
 * Writes `size` bytes as the file at `path` like `mlfa_put_bytes`, without copying them: `release` is called with `user` when
 * the library needs them no more. `options` and `release` may be NULL; without `release` the bytes must live for ever.
 *
 * Ownership: the bytes are the library's from this call on, also when it fails, until `release` is called: exactly once, on any
 * thread, perhaps before this returns. Thread safety: any thread. Callback-safe: no. Blocking: yes.
 * Errors: as `mlfa_put_bytes`. Since: 0.2.
 */
mlfa_status mlfa_put_owned(struct mlfa_store *store,
                           const char *path,
                           size_t path_len,
                           const uint8_t *data,
                           size_t size,
                           mlfa_free_fn release,
                           void *user,
                           const struct mlfa_put_options *options,
                           struct mlfa_error **err);

/**
 * Begins `mlfa_put_owned`; what was put is taken with `mlfa_task_take_meta`.
 *
 * Ownership: free `*out` with `mlfa_task_free`; the bytes as `mlfa_put_owned`. Thread safety: any thread. Callback-safe: yes.
 * Blocking: no. Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_put_owned_start(struct mlfa_store *store,
                                 const char *path,
                                 size_t path_len,
                                 const uint8_t *data,
                                 size_t size,
                                 mlfa_free_fn release,
                                 void *user,
                                 const struct mlfa_put_options *options,
                                 struct mlfa_task **out,
                                 struct mlfa_error **err);

/**
 * Makes the directory at `path` and its parents; one that is there already is fine.
 *
 * Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_UNSUPPORTED` on stores without directories of
 * their own, `MLFA_E_NOT_A_DIRECTORY`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
 */
mlfa_status mlfa_create_directory(struct mlfa_store *store,
                                  const char *path,
                                  size_t path_len,
                                  struct mlfa_error **err);

/**
 * Begins `mlfa_create_directory`; its outcome is told with `mlfa_task_result`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_create_directory_start(struct mlfa_store *store,
                                        const char *path,
                                        size_t path_len,
                                        struct mlfa_task **out,
                                        struct mlfa_error **err);

/**
 * Removes the file at `path`, or with `MLFA_DELETE_RECURSIVE` also a directory with everything in it; the empty path is
 * the whole store. Nothing there is success, and so is a store that is configured to delete nothing: `*removed` (which may be
 * NULL) says 1 if something was removed, else 0.
 *
 * Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_IS_A_DIRECTORY` without the flag,
 * `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
 */
mlfa_status mlfa_delete(struct mlfa_store *store,
                        const char *path,
                        size_t path_len,
                        uint32_t flags,
                        int32_t *removed,
                        struct mlfa_error **err);

/**
 * Begins `mlfa_delete`; 1 if something was removed, else 0, is taken with `mlfa_task_take_count`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_delete_start(struct mlfa_store *store,
                              const char *path,
                              size_t path_len,
                              uint32_t flags,
                              struct mlfa_task **out,
                              struct mlfa_error **err);

/**
 * Copies the file at `from` to `to` within the store, without its bytes passing through this program where the store can.
 *
 * Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`,
 * `MLFA_E_UNSUPPORTED`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
 */
mlfa_status mlfa_copy(struct mlfa_store *store,
                      const char *from,
                      size_t from_len,
                      const char *to,
                      size_t to_len,
                      struct mlfa_error **err);

/**
 * Begins `mlfa_copy`; what was copied is taken with `mlfa_task_take_meta`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_copy_start(struct mlfa_store *store,
                            const char *from,
                            size_t from_len,
                            const char *to,
                            size_t to_len,
                            struct mlfa_task **out,
                            struct mlfa_error **err);

/**
 * Begins to list the directory at `path`; the empty path is the store's root. The listing is empty if there is nothing
 * or a file. One level comes sorted by path; a recursive listing has a directory before its content.
 *
 * Ownership: free `*out` with `mlfa_list_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
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
 * Thread safety: one thread at a time. Callback-safe: no. Blocking: yes. Errors: those of the store; `MLFA_E_BUSY` while another
 * call reads, `MLFA_E_FORKED`. Since: 0.1.
 */
mlfa_status mlfa_list_next(struct mlfa_list *list,
                           const struct mlfa_meta **out,
                           struct mlfa_error **err);

/**
 * Begins to read the next entry; it is taken with `mlfa_task_take_meta`, NULL at the end. The list may be freed meanwhile.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
 * Errors: `MLFA_E_BUSY` while another call reads; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_list_next_start(struct mlfa_list *list,
                                 struct mlfa_task **out,
                                 struct mlfa_error **err);

/**
 * Reads up to `count` entries at once; fewer only at the end, and there `*out` is NULL. After an error the listing is at its end.
 *
 * Ownership: free `*out` with `mlfa_entries_free`. Thread safety: one thread at a time. Callback-safe: no. Blocking: yes.
 * Errors: those of the store; `MLFA_E_INVALID_ARGUMENT` if `count` is 0, `MLFA_E_BUSY` while another call reads,
 * `MLFA_E_FORKED`. Since: 0.2.
 */
mlfa_status mlfa_list_next_batch(struct mlfa_list *list,
                                 size_t count,
                                 struct mlfa_entries **out,
                                 struct mlfa_error **err);

/**
 * Begins `mlfa_list_next_batch`; the entries are taken with `mlfa_task_take_entries`. The list may be freed meanwhile.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments, `MLFA_E_BUSY` while another call reads; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_list_next_batch_start(struct mlfa_list *list,
                                       size_t count,
                                       struct mlfa_task **out,
                                       struct mlfa_error **err);

/**
 * Frees a listing, at its end or before, with the entry that it lent. NULL is fine.
 *
 * Thread safety: one thread at a time. Blocking: no. Since: 0.1.
 */
void mlfa_list_free(struct mlfa_list *list);

/**
 * How many entries there are; 0 for NULL.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.2.
 */
size_t mlfa_entries_count(const struct mlfa_entries *entries);

/**
 * The entry with this index; NULL if there is none.
 *
 * Ownership: it belongs to the entries; do not free it. Thread safety: any thread. Blocking: no. Since: 0.2.
 */
const struct mlfa_meta *mlfa_entries_at(const struct mlfa_entries *entries, size_t index);

/**
 * Frees entries with their metas. NULL is fine.
 *
 * Thread safety: one thread at a time. Blocking: no. Since: 0.2.
 */
void mlfa_entries_free(struct mlfa_entries *entries);

/**
 * Begins to read `length` bytes of the file at `path` from `offset` on; `MLFA_TO_THE_END` reads all that is left. Whoever
 * replaces the artifact meanwhile does not mix its contents: the reader goes on with the old one, or fails with
 * `MLFA_E_PRECONDITION_FAILED`.
 *
 * Ownership: free `*out` with `mlfa_reader_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
 * Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.2.
 */
mlfa_status mlfa_reader_open(struct mlfa_store *store,
                             const char *path,
                             size_t path_len,
                             uint64_t offset,
                             uint64_t length,
                             struct mlfa_reader **out,
                             struct mlfa_error **err);

/**
 * Begins `mlfa_reader_open`; the reader is taken with `mlfa_task_take_reader`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_reader_open_start(struct mlfa_store *store,
                                   const char *path,
                                   size_t path_len,
                                   uint64_t offset,
                                   uint64_t length,
                                   struct mlfa_task **out,
                                   struct mlfa_error **err);

/**
 * What is being read, as it was when it was opened; NULL for NULL.
 *
 * Ownership: it belongs to the reader; do not free it. Thread safety: any thread. Blocking: no. Since: 0.2.
 */
const struct mlfa_meta *mlfa_reader_meta(const struct mlfa_reader *reader);

/**
 * Reads up to `capacity` bytes into `buffer`, and says in `*read` how many came: fewer than `capacity` only at the end, where
 * it is 0. The bytes are copied once.
 *
 * After an error the buffer's content is undefined, and so is where the reader stands: seek before reading on.
 *
 * Thread safety: one thread at a time. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_PRECONDITION_FAILED` (replaced meanwhile),
 * `MLFA_E_CHECKSUM_MISMATCH`, those of the store; `MLFA_E_BUSY` while another call reads, `MLFA_E_FORKED`. Since: 0.2.
 */
mlfa_status mlfa_reader_read(struct mlfa_reader *reader,
                             uint8_t *buffer,
                             size_t capacity,
                             size_t *read,
                             struct mlfa_error **err);

/**
 * Begins `mlfa_reader_read`; how many bytes came is taken with `mlfa_task_take_count`. `buffer` is the task's until it has ended
 * or is freed. The reader may be freed meanwhile.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments, `MLFA_E_BUSY` while another call reads; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_reader_read_start(struct mlfa_reader *reader,
                                   uint8_t *buffer,
                                   size_t capacity,
                                   struct mlfa_task **out,
                                   struct mlfa_error **err);

/**
 * Reads the bytes that come next, as many as have arrived together, at least one; `*out` is NULL at the end. They are not
 * copied.
 *
 * Ownership: release `*out` with `mlfa_bytes_release`. Thread safety: one thread at a time. Callback-safe: no. Blocking: yes.
 * Errors: as `mlfa_reader_read`. Since: 0.2.
 */
mlfa_status mlfa_reader_read_chunk(struct mlfa_reader *reader,
                                   struct mlfa_bytes **out,
                                   struct mlfa_error **err);

/**
 * Begins `mlfa_reader_read_chunk`; the bytes are taken with `mlfa_task_take_bytes`, NULL at the end. The reader may be freed
 * meanwhile.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
 * Errors: `MLFA_E_BUSY` while another call reads; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_reader_read_chunk_start(struct mlfa_reader *reader,
                                         struct mlfa_task **out,
                                         struct mlfa_error **err);

/**
 * Has the next read begin at `offset` of the artifact, also before the offset that the reader was opened at; its end stays. The
 * store is asked by the next read, and must have `MLFA_CAPABILITY_RANGE`.
 *
 * Thread safety: one thread at a time. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_BUSY` while another call reads,
 * `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_reader_seek(struct mlfa_reader *reader,
                             uint64_t offset,
                             struct mlfa_error **err);

/**
 * Frees a reader, at its end or before. NULL is fine.
 *
 * Thread safety: one thread at a time. Blocking: no. Since: 0.2.
 */
void mlfa_reader_free(struct mlfa_reader *reader);

/**
 * Begins to write the file at `path`, making its parents. Nothing is visible there before `mlfa_writer_finish`. `length` is how
 * many bytes there will be, or `MLFA_LENGTH_UNKNOWN`; another count is `MLFA_E_SIZE_MISMATCH`. `options` may be NULL.
 *
 * What the store finds wrong is answered by what is called next with the writer.
 *
 * Ownership: free `*out` with `mlfa_writer_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: `MLFA_E_INVALID_PATH`, `MLFA_E_INVALID_ARGUMENT` (mode), `MLFA_E_STRUCT_SIZE`. Since: 0.2.
 */
mlfa_status mlfa_writer_open(struct mlfa_store *store,
                             const char *path,
                             size_t path_len,
                             uint64_t length,
                             const struct mlfa_put_options *options,
                             struct mlfa_writer **out,
                             struct mlfa_error **err);

/**
 * Writes `size` bytes behind those written before. They are copied once. `data` may be NULL if `size` is 0.
 *
 * After an error, and after a task of this writer was cancelled, every call answers that it failed: abort or free it.
 *
 * Thread safety: one thread at a time. Callback-safe: no. Blocking: yes, while the store has not taken what was written before.
 * Errors: as `mlfa_put_bytes`; `MLFA_E_BUSY` while another call writes, `MLFA_E_FORKED`. Since: 0.2.
 */
mlfa_status mlfa_writer_write(struct mlfa_writer *writer,
                              const uint8_t *data,
                              size_t size,
                              struct mlfa_error **err);

/**
 * Begins `mlfa_writer_write`; its outcome is told with `mlfa_task_result`. The bytes are copied before it returns.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments, `MLFA_E_BUSY` while another call writes; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_writer_write_start(struct mlfa_writer *writer,
                                    const uint8_t *data,
                                    size_t size,
                                    struct mlfa_task **out,
                                    struct mlfa_error **err);

/**
 * Writes `size` bytes behind those written before, without copying them: `release` is called with `user` when the library needs
 * them no more. `release` may be NULL; then the bytes must live for ever. Otherwise like `mlfa_writer_write`.
 *
 * Ownership: the bytes are the library's from this call on, also when it fails, until `release` is called: exactly once, on any
 * thread, perhaps before this returns. Thread safety: one thread at a time. Callback-safe: no.
 * Blocking: yes, while the store has not taken what was written before. Errors: as `mlfa_writer_write`. Since: 0.2.
 */
mlfa_status mlfa_writer_write_owned(struct mlfa_writer *writer,
                                    const uint8_t *data,
                                    size_t size,
                                    mlfa_free_fn release,
                                    void *user,
                                    struct mlfa_error **err);

/**
 * Begins `mlfa_writer_write_owned`; its outcome is told with `mlfa_task_result`.
 *
 * Ownership: free `*out` with `mlfa_task_free`; the bytes as `mlfa_writer_write_owned`. Thread safety: one thread at a time.
 * Callback-safe: yes. Blocking: no. Errors: those of the arguments, `MLFA_E_BUSY` while another call writes; the operation's own
 * are the task's. Since: 0.2.
 */
mlfa_status mlfa_writer_write_owned_start(struct mlfa_writer *writer,
                                          const uint8_t *data,
                                          size_t size,
                                          mlfa_free_fn release,
                                          void *user,
                                          struct mlfa_task **out,
                                          struct mlfa_error **err);

/**
 * Ends the artifact. When it answers, it is whole and visible; on failure nothing has changed. `*out` (which may be NULL) says
 * what was put.
 *
 * Ownership: free `*out` with `mlfa_meta_free`, and the writer with `mlfa_writer_free`. Thread safety: one thread at a time.
 * Callback-safe: no. Blocking: yes. Errors: as `mlfa_put_bytes`; `MLFA_E_SIZE_MISMATCH` (length), `MLFA_E_BUSY` while another call
 * writes, `MLFA_E_FORKED`. Since: 0.2.
 */
mlfa_status mlfa_writer_finish(struct mlfa_writer *writer,
                               struct mlfa_meta **out,
                               struct mlfa_error **err);

/**
 * Begins `mlfa_writer_finish`; what was put is taken with `mlfa_task_take_meta`. A task that is cancelled in time leaves nothing.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
 * Errors: `MLFA_E_BUSY` while another call writes; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_writer_finish_start(struct mlfa_writer *writer,
                                     struct mlfa_task **out,
                                     struct mlfa_error **err);

/**
 * Gives the artifact up; when it answers, what was written is gone. What was finished before stays.
 *
 * Thread safety: one thread at a time. Callback-safe: no. Blocking: yes, until that is cleaned up.
 * Errors: `MLFA_E_BUSY` while another call writes, `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_writer_abort(struct mlfa_writer *writer, struct mlfa_error **err);

/**
 * Begins `mlfa_writer_abort`; its outcome is told with `mlfa_task_result`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
 * Errors: `MLFA_E_BUSY` while another call writes, `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_writer_abort_start(struct mlfa_writer *writer,
                                    struct mlfa_task **out,
                                    struct mlfa_error **err);

/**
 * Frees a writer. One that has not finished is aborted, which goes on after this has returned; the last release of its context
 * waits for it. NULL is fine.
 *
 * Thread safety: one thread at a time. Blocking: no. Since: 0.2.
 */
void mlfa_writer_free(struct mlfa_writer *writer);

/**
 * Begins an upload in parts to `path`. Nothing is visible there before `mlfa_multipart_complete`. `length` is how many bytes
 * there will be, or `MLFA_LENGTH_UNKNOWN`; `part_size` is that of every part but the last, or 0 to let the store choose.
 * `options` may be NULL.
 *
 * Ownership: release `*out` with `mlfa_multipart_release`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
 * Errors: `MLFA_E_UNSUPPORTED` without `MLFA_CAPABILITY_MULTIPART`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.2.
 */
mlfa_status mlfa_multipart_create(struct mlfa_store *store,
                                  const char *path,
                                  size_t path_len,
                                  uint64_t length,
                                  uint64_t part_size,
                                  const struct mlfa_put_options *options,
                                  struct mlfa_multipart **out,
                                  struct mlfa_error **err);

/**
 * Begins `mlfa_multipart_create`; the upload is taken with `mlfa_task_take_multipart`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_multipart_create_start(struct mlfa_store *store,
                                        const char *path,
                                        size_t path_len,
                                        uint64_t length,
                                        uint64_t part_size,
                                        const struct mlfa_put_options *options,
                                        struct mlfa_task **out,
                                        struct mlfa_error **err);

/**
 * Takes up an upload that was begun before, perhaps by another process, and neither completed nor aborted. `path` is the one that
 * it was begun with, `token` what `mlfa_multipart_token` said. The parts that were put before must be named with
 * `mlfa_multipart_add_part`.
 *
 * Whoever has a token may write, complete and abort that upload: a server keeps it to itself or signs it.
 *
 * Ownership: release `*out` with `mlfa_multipart_release`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
 * Errors: `MLFA_E_UNSUPPORTED` without `MLFA_CAPABILITY_RESUME_UPLOAD`, `MLFA_E_NOT_FOUND` (no such upload),
 * `MLFA_E_INVALID_PATH`, `MLFA_E_INVALID_ARGUMENT` (the token is no token or that of another path), and those of the store.
 * Since: 0.2.
 */
mlfa_status mlfa_multipart_resume(struct mlfa_store *store,
                                  const char *path,
                                  size_t path_len,
                                  const char *token,
                                  size_t token_len,
                                  struct mlfa_multipart **out,
                                  struct mlfa_error **err);

/**
 * Begins `mlfa_multipart_resume`; the upload is taken with `mlfa_task_take_multipart`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_multipart_resume_start(struct mlfa_store *store,
                                        const char *path,
                                        size_t path_len,
                                        const char *token,
                                        size_t token_len,
                                        struct mlfa_task **out,
                                        struct mlfa_error **err);

/**
 * What names an upload for `mlfa_multipart_resume`; NULL where the store cannot take uploads up again, and for NULL.
 *
 * Ownership: the string belongs to the upload. Thread safety: any thread. Blocking: no. Since: 0.2.
 */
const char *mlfa_multipart_token(const struct mlfa_multipart *multipart);

/**
 * The bytes of every part but the last, which may be smaller; 0 for NULL.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.2.
 */
uint64_t mlfa_multipart_part_size(const struct mlfa_multipart *multipart);

/**
 * Puts part `number`, 1 being the first. Parts may come in any order and at the same time; one that is put again replaces the
 * earlier one. `*out` (which may be NULL) has the part's size and etag. The bytes are copied once.
 *
 * Ownership: free `*out` with `mlfa_meta_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
 * Errors: `MLFA_E_INVALID_ARGUMENT` (number, size, ended already), those of the store, `MLFA_E_FORKED`. Since: 0.2.
 */
mlfa_status mlfa_multipart_put_part(struct mlfa_multipart *multipart,
                                    uint32_t number,
                                    const uint8_t *data,
                                    size_t size,
                                    struct mlfa_meta **out,
                                    struct mlfa_error **err);

/**
 * Begins `mlfa_multipart_put_part`; the part's size and etag are taken with `mlfa_task_take_meta`. The bytes are copied before
 * it returns.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_multipart_put_part_start(struct mlfa_multipart *multipart,
                                          uint32_t number,
                                          const uint8_t *data,
                                          size_t size,
                                          struct mlfa_task **out,
                                          struct mlfa_error **err);

/**
 * Names a part that somebody else has put, by a presigned request or before the upload was taken up again: its number, size and
 * etag.
 *
 * Thread safety: any thread. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_INVALID_ARGUMENT` (ended already),
 * `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`, `MLFA_E_INVALID_UTF8`. Since: 0.2.
 */
mlfa_status mlfa_multipart_add_part(struct mlfa_multipart *multipart,
                                    uint32_t number,
                                    uint64_t size,
                                    const char *etag,
                                    size_t etag_len,
                                    struct mlfa_error **err);

/**
 * Signs a request that whoever holds it may make for `expires_s` seconds to put part `number`. The answer to it has the part's
 * etag, for `mlfa_multipart_add_part`; for Azure the part's etag is the value of `blockid` in the URL.
 *
 * Ownership: free `*out` with `mlfa_signed_request_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
 * Errors: `MLFA_E_UNSUPPORTED` without `MLFA_CAPABILITY_PRESIGN`, `MLFA_E_INVALID_ARGUMENT` (no time), those of the store,
 * `MLFA_E_FORKED`. Since: 0.2.
 */
mlfa_status mlfa_multipart_presign_part(struct mlfa_multipart *multipart,
                                        uint32_t number,
                                        uint64_t expires_s,
                                        struct mlfa_signed_request **out,
                                        struct mlfa_error **err);

/**
 * Begins `mlfa_multipart_presign_part`; the request is taken with `mlfa_task_take_signed_request`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_multipart_presign_part_start(struct mlfa_multipart *multipart,
                                              uint32_t number,
                                              uint64_t expires_s,
                                              struct mlfa_task **out,
                                              struct mlfa_error **err);

/**
 * Makes the artifact of the parts that were put and named, which must be all from 1 on without a gap. When it answers, the
 * artifact is whole and visible; on failure nothing is visible and the upload is given up. `*out` (which may be NULL) says what
 * was put.
 *
 * Ownership: free `*out` with `mlfa_meta_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
 * Errors: `MLFA_E_BUSY` (a part is still being put), `MLFA_E_INVALID_ARGUMENT` (a part is missing or has another size; ended
 * already), as `mlfa_put_bytes`, `MLFA_E_FORKED`. Since: 0.2.
 */
mlfa_status mlfa_multipart_complete(struct mlfa_multipart *multipart,
                                    struct mlfa_meta **out,
                                    struct mlfa_error **err);

/**
 * Begins `mlfa_multipart_complete`; what was put is taken with `mlfa_task_take_meta`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: `MLFA_E_BUSY` (a part is still being put), `MLFA_E_INVALID_ARGUMENT` (ended already), `MLFA_E_FORKED`; the
 * operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_multipart_complete_start(struct mlfa_multipart *multipart,
                                          struct mlfa_task **out,
                                          struct mlfa_error **err);

/**
 * Gives an upload up and removes its parts.
 *
 * Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_BUSY` (a part is still being put),
 * `MLFA_E_INVALID_ARGUMENT` (ended already), those of the store, `MLFA_E_FORKED`. Since: 0.2.
 */
mlfa_status mlfa_multipart_abort(struct mlfa_multipart *multipart,
                                 struct mlfa_error **err);

/**
 * Begins `mlfa_multipart_abort`; its outcome is told with `mlfa_task_result`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: `MLFA_E_BUSY` (a part is still being put), `MLFA_E_INVALID_ARGUMENT` (ended already), `MLFA_E_FORKED`; the
 * operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_multipart_abort_start(struct mlfa_multipart *multipart,
                                       struct mlfa_task **out,
                                       struct mlfa_error **err);

/**
 * Makes one more reference to an upload and answers it. NULL is fine.
 *
 * Ownership: each reference is released with `mlfa_multipart_release`. Thread safety: any thread. Blocking: no. Since: 0.2.
 */
struct mlfa_multipart *mlfa_multipart_retain(struct mlfa_multipart *multipart);

/**
 * Gives one reference up. An upload that was neither completed nor aborted stays, to be taken up again by its token. NULL is fine.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.2.
 */
void mlfa_multipart_release(struct mlfa_multipart *multipart);

/**
 * Signs a request that whoever holds it may make for `expires_s` seconds, without credentials of its own.
 *
 * Ownership: free `*out` with `mlfa_signed_request_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
 * Errors: `MLFA_E_UNSUPPORTED` without `MLFA_CAPABILITY_PRESIGN`, `MLFA_E_INVALID_ARGUMENT` (no such method, no time),
 * `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.2.
 */
mlfa_status mlfa_presign(struct mlfa_store *store,
                         const char *path,
                         size_t path_len,
                         uint32_t method,
                         uint64_t expires_s,
                         struct mlfa_signed_request **out,
                         struct mlfa_error **err);

/**
 * Begins `mlfa_presign`; the request is taken with `mlfa_task_take_signed_request`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_presign_start(struct mlfa_store *store,
                               const char *path,
                               size_t path_len,
                               uint32_t method,
                               uint64_t expires_s,
                               struct mlfa_task **out,
                               struct mlfa_error **err);

/**
 * The HTTP method of a signed request; NULL for NULL.
 *
 * Ownership: the string belongs to the request. Thread safety: any thread. Blocking: no. Since: 0.2.
 */
const char *mlfa_signed_request_method(const struct mlfa_signed_request *request);

/**
 * The URL of a signed request, with its signature; NULL for NULL.
 *
 * Ownership: the string belongs to the request. Thread safety: any thread. Blocking: no. Since: 0.2.
 */
const char *mlfa_signed_request_url(const struct mlfa_signed_request *request);

/**
 * How many headers must be sent with a signed request; 0 for NULL.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.2.
 */
size_t mlfa_signed_request_header_count(const struct mlfa_signed_request *request);

/**
 * The name of a header; NULL if there is none with this index.
 *
 * Ownership: the string belongs to the request. Thread safety: any thread. Blocking: no. Since: 0.2.
 */
const char *mlfa_signed_request_header_name_at(const struct mlfa_signed_request *request, size_t index);

/**
 * The value of a header; NULL if there is none with this index.
 *
 * Ownership: the string belongs to the request. Thread safety: any thread. Blocking: no. Since: 0.2.
 */
const char *mlfa_signed_request_header_value_at(const struct mlfa_signed_request *request, size_t index);

/**
 * Frees a signed request with its strings. NULL is fine.
 *
 * Thread safety: one thread at a time. Blocking: no. Since: 0.2.
 */
void mlfa_signed_request_free(struct mlfa_signed_request *request);

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
 * Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: for the local side `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`,
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
 * Begins `mlfa_upload_file`; its outcome is told with `mlfa_task_result`. `options` and what they point to are copied, but for `user`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_upload_file_start(struct mlfa_store *store,
                                   const char *local,
                                   size_t local_len,
                                   const char *path,
                                   size_t path_len,
                                   const struct mlfa_transfer_options *options,
                                   struct mlfa_task **out,
                                   struct mlfa_error **err);

/**
 * Fetches the file at `path` to the local file `local`, replacing it and making its directory. `options` may be NULL.
 *
 * The bytes never cross this interface. They go to a hidden temporary name beside `local`, are checked by size (and digest,
 * where the store offers one), and are renamed: on failure nothing new is visible.
 *
 * Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`,
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
 * Begins `mlfa_download_file`; its outcome is told with `mlfa_task_result`. `options` and what they point to are copied, but for `user`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_download_file_start(struct mlfa_store *store,
                                     const char *path,
                                     size_t path_len,
                                     const char *local,
                                     size_t local_len,
                                     const struct mlfa_transfer_options *options,
                                     struct mlfa_task **out,
                                     struct mlfa_error **err);

/**
 * Stores the content of the local directory `local` below `path`, files in parallel. `options` and `out` may be NULL.
 *
 * Hidden files go along; a symbolic link to a file is stored as that file, one to a directory is skipped; empty
 * directories are made where the store has directories. A file that fails does not stop the others: then the call fails,
 * and `mlfa_error_report` tells what became of each file. On success `*out` tells it.
 *
 * Ownership: free `*out` with `mlfa_report_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
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
 * Begins `mlfa_upload_tree`; the report is taken with `mlfa_task_take_report`. `options` and what they point to are copied, but for `user`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_upload_tree_start(struct mlfa_store *store,
                                   const char *local,
                                   size_t local_len,
                                   const char *path,
                                   size_t path_len,
                                   const struct mlfa_transfer_options *options,
                                   struct mlfa_task **out,
                                   struct mlfa_error **err);

/**
 * Fetches everything below the directory `path` into the local directory `local`, files in parallel. What stands there
 * already stays unless a fetched file replaces it. `options` and `out` may be NULL.
 *
 * No file is written outside `local`, not through a symbolic link either. A file that fails does not stop the others: then
 * the call fails, and `mlfa_error_report` tells what became of each file. On success `*out` tells it.
 *
 * Ownership: free `*out` with `mlfa_report_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
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

/**
 * Begins `mlfa_download_tree`; the report is taken with `mlfa_task_take_report`. `options` and what they point to are copied, but for `user`.
 *
 * Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
 */
mlfa_status mlfa_download_tree_start(struct mlfa_store *store,
                                     const char *path,
                                     size_t path_len,
                                     const char *local,
                                     size_t local_len,
                                     const struct mlfa_transfer_options *options,
                                     struct mlfa_task **out,
                                     struct mlfa_error **err);

/**
 * Waits until a task has ended, at most `timeout_ms` milliseconds; `MLFA_FOREVER` waits as long as it takes, 0 only looks.
 *
 * `MLFA_OK` says that it has ended, not that it went well: that is what `mlfa_task_result` and the `mlfa_task_take_...`
 * functions answer.
 *
 * Thread safety: any thread, several at once. Freeing the task ends the wait with `MLFA_E_CANCELLED`. Callback-safe: no.
 * Blocking: yes. Errors: `MLFA_E_TIMEOUT` if it has not ended, `MLFA_E_CANCELLED`, `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`.
 * Since: 0.2.
 */
mlfa_status mlfa_task_wait(struct mlfa_task *task,
                           uint64_t timeout_ms,
                           struct mlfa_error **err);

/**
 * 1 if a task has ended, well or not, else 0; 1 for NULL and in a forked child.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.2.
 */
int32_t mlfa_task_is_done(const struct mlfa_task *task);

/**
 * Where a task stands. Set `progress->struct_size` first, or initialise it with `MLFA_PROGRESS_INIT`. A task that moves no
 * content has only zeros.
 *
 * Thread safety: any thread. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_STRUCT_SIZE`, `MLFA_E_FORKED`,
 * `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_progress(const struct mlfa_task *task,
                               struct mlfa_progress *progress,
                               struct mlfa_error **err);

/**
 * Asks a task to stop, and returns at once. A task that cleans up first ends when that is done; it ends with
 * `MLFA_E_CANCELLED`, or as it would have if it was too late. NULL is fine.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.2.
 */
void mlfa_task_cancel(struct mlfa_task *task);

/**
 * Calls `callback` when a task has ended, soon if it has ended already; `user` is handed to it. Once for each task.
 *
 * Thread safety: any thread. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_INVALID_ARGUMENT` (it has a callback
 * already), `MLFA_E_IO` (no thread), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_on_done(struct mlfa_task *task,
                              mlfa_task_fn callback,
                              void *user,
                              struct mlfa_error **err);

/**
 * What the operation of a task came to: its status and its error. May be asked for several times.
 *
 * Ownership: `*err` is the caller's, each time a new one. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_result(struct mlfa_task *task,
                             struct mlfa_error **err);

/**
 * How many bytes `mlfa_get_into_start` or `mlfa_reader_read_start` have read; 1 or 0 for what `mlfa_delete_start` has removed. Once.
 *
 * Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
 * something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_take_count(struct mlfa_task *task,
                                 uint64_t *out,
                                 struct mlfa_error **err);

/**
 * The meta that the operation of a task answers; NULL at the end of a listing. Once.
 *
 * Ownership: `*out` is to be given to `mlfa_meta_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
 * something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_take_meta(struct mlfa_task *task,
                                struct mlfa_meta **out,
                                struct mlfa_error **err);

/**
 * The bytes that the operation of a task answers; NULL at the end of a reader. Once.
 *
 * Ownership: `*out` is to be given to `mlfa_bytes_release`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
 * something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_take_bytes(struct mlfa_task *task,
                                 struct mlfa_bytes **out,
                                 struct mlfa_error **err);

/**
 * The entries that `mlfa_list_next_batch_start` answers; NULL at the end. Once.
 *
 * Ownership: `*out` is to be given to `mlfa_entries_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
 * something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_take_entries(struct mlfa_task *task,
                                   struct mlfa_entries **out,
                                   struct mlfa_error **err);

/**
 * The report that the transfer of a tree answers. Once.
 *
 * Ownership: `*out` is to be given to `mlfa_report_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
 * something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_take_report(struct mlfa_task *task,
                                  struct mlfa_report **out,
                                  struct mlfa_error **err);

/**
 * The properties that the operation of a task answers. Once.
 *
 * Ownership: `*out` is to be given to `mlfa_properties_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
 * something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_take_properties(struct mlfa_task *task,
                                      struct mlfa_properties **out,
                                      struct mlfa_error **err);

/**
 * The reader that `mlfa_reader_open_start` answers. Once.
 *
 * Ownership: `*out` is to be given to `mlfa_reader_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
 * something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_take_reader(struct mlfa_task *task,
                                  struct mlfa_reader **out,
                                  struct mlfa_error **err);

/**
 * The upload in parts that the operation of a task answers. Once.
 *
 * Ownership: `*out` is to be given to `mlfa_multipart_release`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
 * something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_take_multipart(struct mlfa_task *task,
                                     struct mlfa_multipart **out,
                                     struct mlfa_error **err);

/**
 * The signed request that the operation of a task answers. Once.
 *
 * Ownership: `*out` is to be given to `mlfa_signed_request_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
 * something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_take_signed_request(struct mlfa_task *task,
                                          struct mlfa_signed_request **out,
                                          struct mlfa_error **err);

/**
 * Frees a task with the result that nobody took; one that still runs is cancelled, and cleans up by itself. A task that is
 * in a queue is taken out of it. After this its callback does not run, and memory that it was given to fill or to read is the
 * caller's again. NULL is fine.
 *
 * Thread safety: no other call with the task may begin any more; one that waits ends. Blocking: only while the task's callback
 * runs on another thread. Since: 0.2.
 */
void mlfa_task_free(struct mlfa_task *task);

/**
 * Makes a queue.
 *
 * Ownership: free `*out` with `mlfa_queue_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: `MLFA_E_IO` (no file descriptor), `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_queue_new(struct mlfa_queue **out, struct mlfa_error **err);

/**
 * A file descriptor that can be read from while a task has ended that `mlfa_queue_next` has not handed out; -1 for NULL and in
 * a forked child. It is for `poll`, `epoll` and the like only: do not read from it, write to it or close it.
 *
 * Ownership: it belongs to the queue. Thread safety: any thread. Blocking: no. Since: 0.2.
 */
int32_t mlfa_queue_fd(const struct mlfa_queue *queue);

/**
 * Has the end of a task told by a queue, together with `tag`; at once if it has ended already.
 *
 * Ownership: the task is the queue's until `mlfa_queue_next` hands it out; meanwhile it may be cancelled, watched, and freed by
 * one who sees to it that nobody is handed it. Thread safety: any thread. Callback-safe: yes. Blocking: no.
 * Errors: `MLFA_E_INVALID_ARGUMENT` (it is in a queue already), `MLFA_E_CANCELLED` (the queue was freed), `MLFA_E_FORKED`,
 * `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_task_submit_to(struct mlfa_task *task,
                                struct mlfa_queue *queue,
                                uint64_t tag,
                                struct mlfa_error **err);

/**
 * Waits until a task of the queue has ended, at most `timeout_ms` milliseconds (`MLFA_FOREVER`: as long as it takes; 0: not at
 * all), and hands it out with its tag. `tag` may be NULL.
 *
 * Ownership: `*task` is the caller's again, to be freed with `mlfa_task_free`. Thread safety: any thread, several at once.
 * Freeing the queue ends the wait with `MLFA_E_CANCELLED`. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_TIMEOUT` if none has
 * ended, `MLFA_E_CANCELLED`, `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
 */
mlfa_status mlfa_queue_next(struct mlfa_queue *queue,
                            uint64_t timeout_ms,
                            uint64_t *tag,
                            struct mlfa_task **task,
                            struct mlfa_error **err);

/**
 * Frees a queue and every task in it that was not handed out, as `mlfa_task_free` does. NULL is fine.
 *
 * Thread safety: no other call with the queue may begin any more; one that waits ends. Blocking: as `mlfa_task_free`.
 * Since: 0.2.
 */
void mlfa_queue_free(struct mlfa_queue *queue);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MLFLOW_ARTIFACTS_H */

/* Initialisers with all defaults. */
#define MLFA_CONTEXT_OPTIONS_INIT { (uint32_t)sizeof(mlfa_context_options), 0, NULL, 0 }
#define MLFA_PUT_OPTIONS_INIT { (uint32_t)sizeof(mlfa_put_options), 0, NULL, NULL }
#define MLFA_TRANSFER_OPTIONS_INIT { (uint32_t)sizeof(mlfa_transfer_options), 0, 0, 0, 0, 0, NULL, NULL, 0, 0, NULL }
#define MLFA_PROGRESS_INIT { (uint32_t)sizeof(mlfa_progress), 0, 0, 0, 0, 0, 0 }
