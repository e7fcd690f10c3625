package mlflowartifacts

/*
#cgo !mlfa_static pkg-config: mlflow_artifacts
#cgo mlfa_static pkg-config: --static mlflow_artifacts
// The archive resolves every function, and the shared library, if it stands beside it, is then not needed.
#cgo mlfa_static LDFLAGS: -l:libmlflow_artifacts.a -Wl,--as-needed

#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <mlflow_artifacts.h>

// A Go string as the pointer and the length that the library takes. It is read during the call only.
#define TEXT(string) (_GoStringLen(string) == 0 ? "" : _GoStringPtr(string)), _GoStringLen(string)

// What a call that makes something answers, by value: nothing of Go's heap is written to.
typedef struct mlfago_made {
	void *value;
	mlfa_error *error;
	mlfa_status status;
} mlfago_made;

// A task that was begun, or why not.
typedef struct mlfago_started {
	mlfa_task *task;
	mlfa_error *error;
	mlfa_status status;
} mlfago_started;

// Begins one operation: the call fills `started.task` and `started.error`.
#define START(call) \
	do { \
		mlfago_started started = {NULL, NULL, MLFA_OK}; \
		started.status = (call); \
		return started; \
	} while (0)
#define OUT &started.task, &started.error

static mlfago_started mlfago_describe(mlfa_store *store) {
	START(mlfa_store_describe_start(store, OUT));
}

static mlfago_started mlfago_stat(mlfa_store *store, _GoString_ path) {
	START(mlfa_stat_start(store, TEXT(path), OUT));
}

static mlfago_started mlfago_get_properties(mlfa_store *store, _GoString_ path) {
	START(mlfa_get_properties_start(store, TEXT(path), OUT));
}

static mlfago_started mlfago_get(mlfa_store *store, _GoString_ path, uint64_t offset, uint64_t length) {
	START(mlfa_get_bytes_start(store, TEXT(path), offset, length, OUT));
}

static mlfago_started mlfago_put(mlfa_store *store, _GoString_ path,
                                 const uint8_t *data, size_t size, mlfa_put_options options) {
	START(mlfa_put_bytes_start(store, TEXT(path), data, size, &options, OUT));
}

static mlfago_started mlfago_create_directory(mlfa_store *store, _GoString_ path) {
	START(mlfa_create_directory_start(store, TEXT(path), OUT));
}

static mlfago_started mlfago_delete(mlfa_store *store, _GoString_ path, uint32_t flags) {
	START(mlfa_delete_start(store, TEXT(path), flags, OUT));
}

static mlfago_started mlfago_copy(mlfa_store *store, _GoString_ from, _GoString_ to) {
	START(mlfa_copy_start(store, TEXT(from), TEXT(to), OUT));
}

static mlfago_started mlfago_list_next(mlfa_list *list, size_t count) {
	START(mlfa_list_next_batch_start(list, count, OUT));
}

static mlfago_started mlfago_reader_open(mlfa_store *store, _GoString_ path, uint64_t offset, uint64_t length) {
	START(mlfa_reader_open_start(store, TEXT(path), offset, length, OUT));
}

static mlfago_started mlfago_reader_read(mlfa_reader *reader) {
	START(mlfa_reader_read_chunk_start(reader, OUT));
}

// The buffer is the library's from here on, also when this fails.
static mlfago_started mlfago_writer_write(mlfa_writer *writer, void *buffer, size_t size) {
	START(mlfa_writer_write_owned_start(writer, buffer, size, free, buffer, OUT));
}

static mlfago_started mlfago_writer_finish(mlfa_writer *writer) {
	START(mlfa_writer_finish_start(writer, OUT));
}

static mlfago_started mlfago_writer_abort(mlfa_writer *writer) {
	START(mlfa_writer_abort_start(writer, OUT));
}

static mlfago_started mlfago_multipart_create(mlfa_store *store, _GoString_ path,
                                              uint64_t length, uint64_t part_size, mlfa_put_options options) {
	START(mlfa_multipart_create_start(store, TEXT(path), length, part_size, &options, OUT));
}

static mlfago_started mlfago_multipart_resume(mlfa_store *store, _GoString_ path, _GoString_ token) {
	START(mlfa_multipart_resume_start(store, TEXT(path), TEXT(token), OUT));
}

static mlfago_started mlfago_multipart_put(mlfa_multipart *multipart, uint32_t number, const uint8_t *data, size_t size) {
	START(mlfa_multipart_put_part_start(multipart, number, data, size, OUT));
}

static mlfago_started mlfago_multipart_presign(mlfa_multipart *multipart, uint32_t number, uint64_t expires_s) {
	START(mlfa_multipart_presign_part_start(multipart, number, expires_s, OUT));
}

static mlfago_started mlfago_multipart_complete(mlfa_multipart *multipart) {
	START(mlfa_multipart_complete_start(multipart, OUT));
}

static mlfago_started mlfago_multipart_abort(mlfa_multipart *multipart) {
	START(mlfa_multipart_abort_start(multipart, OUT));
}

static mlfago_started mlfago_presign(mlfa_store *store, _GoString_ path, uint32_t method, uint64_t expires_s) {
	START(mlfa_presign_start(store, TEXT(path), method, expires_s, OUT));
}

static mlfago_started mlfago_upload_file(mlfa_store *store, _GoString_ local,
                                         _GoString_ path, mlfa_transfer_options options) {
	START(mlfa_upload_file_start(store, TEXT(local), TEXT(path), &options, OUT));
}

static mlfago_started mlfago_download_file(mlfa_store *store, _GoString_ local,
                                           _GoString_ path, mlfa_transfer_options options) {
	START(mlfa_download_file_start(store, TEXT(path), TEXT(local), &options, OUT));
}

static mlfago_started mlfago_upload_tree(mlfa_store *store, _GoString_ local,
                                         _GoString_ path, mlfa_transfer_options options) {
	START(mlfa_upload_tree_start(store, TEXT(local), TEXT(path), &options, OUT));
}

static mlfago_started mlfago_download_tree(mlfa_store *store, _GoString_ local,
                                           _GoString_ path, mlfa_transfer_options options) {
	START(mlfa_download_tree_start(store, TEXT(path), TEXT(local), &options, OUT));
}

static int64_t mlfago_now_ns(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// Waits for a task on this thread, a little longer than it takes to wake the one that does the work. Answers whether it has ended.
static int mlfago_ends_at_once(const mlfa_task *task) {
	const int64_t until = mlfago_now_ns() + 50000;
	while (!mlfa_task_is_done(task)) {
		if (mlfago_now_ns() > until) {
			return 0;
		}
		sched_yield();
	}
	return 1;
}

static mlfago_made mlfago_submit(mlfa_task *task, mlfa_queue *queue, uint64_t tag) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	made.status = mlfa_task_submit_to(task, queue, tag, &made.error);
	return made;
}

// The tags of the tasks that have ended: one call of Go's for many. Answers how many there are.
static size_t mlfago_ended(mlfa_queue *queue, uint64_t *tags, size_t capacity) {
	size_t count = 0;
	mlfa_task *task = NULL;
	while (count < capacity && mlfa_queue_next(queue, 0, &tags[count], &task, NULL) == MLFA_OK) {
		count++;
	}
	return count;
}

static mlfa_progress mlfago_progress(const mlfa_task *task) {
	mlfa_progress progress = MLFA_PROGRESS_INIT;
	mlfa_task_progress(task, &progress, NULL);
	return progress;
}

// What a task answers.
enum { TAKE_NOTHING, TAKE_COUNT, TAKE_META, TAKE_BYTES, TAKE_ENTRIES, TAKE_REPORT, TAKE_PROPERTIES, TAKE_READER, TAKE_MULTIPART, TAKE_SIGNED_REQUEST };

typedef struct mlfago_taken {
	void *value;
	mlfa_error *error;
	uint64_t count;
	mlfa_status status;
} mlfago_taken;

// Takes what a task that has ended answers, and frees the task.
static mlfago_taken mlfago_take(mlfa_task *task, int what) {
	mlfago_taken taken = {NULL, NULL, 0, MLFA_OK};
	switch (what) {
#define TAKE(type) \
	{ \
		mlfa_##type *value = NULL; \
		taken.status = mlfa_task_take_##type(task, &value, &taken.error); \
		taken.value = value; \
		break; \
	}
	case TAKE_COUNT:
		taken.status = mlfa_task_take_count(task, &taken.count, &taken.error);
		break;
	case TAKE_META:
		TAKE(meta)
	case TAKE_BYTES:
		TAKE(bytes)
	case TAKE_ENTRIES:
		TAKE(entries)
	case TAKE_REPORT:
		TAKE(report)
	case TAKE_PROPERTIES:
		TAKE(properties)
	case TAKE_READER:
		TAKE(reader)
	case TAKE_MULTIPART:
		TAKE(multipart)
	case TAKE_SIGNED_REQUEST:
		TAKE(signed_request)
	default:
		taken.status = mlfa_task_result(task, &taken.error);
	}
	mlfa_task_free(task);
	return taken;
}

static mlfago_made mlfago_queue_new(void) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	mlfa_queue *queue = NULL;
	made.status = mlfa_queue_new(&queue, &made.error);
	made.value = queue;
	return made;
}

static mlfago_made mlfago_context_new(char **trusted_uris, size_t count) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	mlfa_context *context = NULL;
	mlfa_context_options options = MLFA_CONTEXT_OPTIONS_INIT;
	options.trusted_uris = (const char *const *)trusted_uris;
	options.trusted_uri_count = count;
	made.status = mlfa_context_new(&options, &context, &made.error);
	made.value = context;
	return made;
}

static mlfago_made mlfago_config_new(void) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	mlfa_config *config = NULL;
	made.status = mlfa_config_new(&config, &made.error);
	made.value = config;
	return made;
}

static mlfago_made mlfago_config_set(mlfa_config *config, _GoString_ name, _GoString_ value) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	made.status = mlfa_config_set(config, TEXT(name), TEXT(value), &made.error);
	return made;
}

static mlfago_made mlfago_config_load_env(mlfa_config *config) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	made.status = mlfa_config_load_env(config, &made.error);
	return made;
}

static mlfago_made mlfago_store_open(mlfa_context *context, _GoString_ uri, const mlfa_config *config) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	mlfa_store *store = NULL;
	made.status = mlfa_store_open(context, TEXT(uri), config, &store, &made.error);
	made.value = store;
	return made;
}

static mlfago_made mlfago_list_open(mlfa_store *store, _GoString_ path, uint32_t flags) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	mlfa_list *list = NULL;
	made.status = mlfa_list_open(store, TEXT(path), flags, &list, &made.error);
	made.value = list;
	return made;
}

static mlfago_made mlfago_writer_open(mlfa_store *store, _GoString_ path, uint64_t length, mlfa_put_options options) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	mlfa_writer *writer = NULL;
	made.status = mlfa_writer_open(store, TEXT(path), length, &options, &writer, &made.error);
	made.value = writer;
	return made;
}

static mlfago_made mlfago_reader_seek(mlfa_reader *reader, uint64_t offset) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	made.status = mlfa_reader_seek(reader, offset, &made.error);
	return made;
}

static mlfago_made mlfago_multipart_add(mlfa_multipart *multipart, uint32_t number, uint64_t size, _GoString_ etag) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	made.status = mlfa_multipart_add_part(multipart, number, size, TEXT(etag), &made.error);
	return made;
}

static mlfago_made mlfago_properties_new(void) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	mlfa_properties *properties = NULL;
	made.status = mlfa_properties_new(&properties, &made.error);
	made.value = properties;
	return made;
}

static mlfago_made mlfago_properties_add(mlfa_properties *properties, _GoString_ name, _GoString_ value) {
	mlfago_made made = {NULL, NULL, MLFA_OK};
	made.status = mlfa_properties_add(properties, TEXT(name), TEXT(value), &made.error);
	return made;
}

// All that a meta says; the strings are its own.
typedef struct mlfago_meta {
	const char *path, *etag, *sha256;
	uint64_t size;
	int64_t modified_ns;
	int32_t is_directory;
} mlfago_meta;

static mlfago_meta mlfago_meta_of(const mlfa_meta *meta) {
	mlfago_meta all = {mlfa_meta_path(meta), mlfa_meta_etag(meta), mlfa_meta_sha256(meta),
	                   mlfa_meta_size(meta), mlfa_meta_modified_ns(meta), mlfa_meta_is_directory(meta)};
	return all;
}

static void mlfago_entries(const mlfa_entries *entries, mlfago_meta *metas, size_t count) {
	for (size_t index = 0; index < count; index++) {
		metas[index] = mlfago_meta_of(mlfa_entries_at(entries, index));
	}
}

// All that an error says but its report; the strings are its own.
typedef struct mlfago_failure {
	const char *message, *detail, *operation, *path, *provider_code;
	uint64_t retry_after_ms;
	int32_t http_status, is_retryable;
} mlfago_failure;

static mlfago_failure mlfago_failure_of(const mlfa_error *error) {
	mlfago_failure all = {mlfa_error_message(error), mlfa_error_detail(error), mlfa_error_operation(error),
	                      mlfa_error_path(error), mlfa_error_provider_code(error), mlfa_error_retry_after_ms(error),
	                      mlfa_error_http_status(error), mlfa_error_is_retryable(error)};
	return all;
}

typedef struct mlfago_file {
	const char *name, *message;
	uint64_t size;
	int32_t outcome;
	mlfa_status status;
} mlfago_file;

static mlfago_file mlfago_report_at(const mlfa_report *report, size_t index) {
	mlfago_file file = {mlfa_report_name_at(report, index), mlfa_report_message_at(report, index),
	                    mlfa_report_size_at(report, index), mlfa_report_outcome_at(report, index),
	                    mlfa_report_status_at(report, index)};
	return file;
}
*/
import "C"

import (
	"strings"
	"time"
	"unsafe"
)

// Everything that speaks C stands in this file. The rest of the package knows handles as pointers without a type, begins
// operations with a starter, and takes what they answer as Go values.
//
// No pointer into Go's heap stays with the library: strings and bytes are copied, or read, before a call returns, and
// content that the library keeps stands in memory of malloc.

// A starter begins an operation on the object behind a handle.
type starter func(object unsafe.Pointer) nativeStarted

type (
	nativeQueue   = *C.mlfa_queue
	nativeTask    = *C.mlfa_task
	nativeContext = *C.mlfa_context
	nativeStarted = C.mlfago_started
	nativeTag     = C.uint64_t
)

// What an operation answers.
type answer C.int

const (
	answersNothing       answer = C.TAKE_NOTHING
	answersCount         answer = C.TAKE_COUNT
	answersInfo          answer = C.TAKE_META
	answersBytes         answer = C.TAKE_BYTES
	answersEntries       answer = C.TAKE_ENTRIES
	answersReport        answer = C.TAKE_REPORT
	answersProperties    answer = C.TAKE_PROPERTIES
	answersReader        answer = C.TAKE_READER
	answersMultipart     answer = C.TAKE_MULTIPART
	answersSignedRequest answer = C.TAKE_SIGNED_REQUEST
)

// A taken is what an operation answered: a pointer that is to be freed, or a number.
type taken struct {
	value unsafe.Pointer
	count uint64
}

const (
	unknownLength = uint64(C.MLFA_LENGTH_UNKNOWN)
	toTheEnd      = uint64(C.MLFA_TO_THE_END)

	presignGet = uint32(C.MLFA_PRESIGN_GET)
	presignPut = uint32(C.MLFA_PRESIGN_PUT)

	flagRecursiveList   = uint32(C.MLFA_LIST_RECURSIVE)
	flagRecursiveDelete = uint32(C.MLFA_DELETE_RECURSIVE)
)

// The library

// fitsHeader reports whether the library that was loaded is the one that this package was built for.
func fitsHeader() bool {
	return C.mlfa_abi_version() == C.MLFA_ABI_VERSION
}

func nativeVersion() string {
	return C.GoString(C.mlfa_version_string())
}

func nativeSchemes() []string {
	schemes := make([]string, C.mlfa_scheme_count())
	for index := range schemes {
		schemes[index] = C.GoString(C.mlfa_scheme_at(C.size_t(index)))
	}
	return schemes
}

func statusName(status Status) string {
	return C.GoString(C.mlfa_status_name(C.mlfa_status(status)))
}

// failure makes an error of the library's and frees that one.
func failure(status C.mlfa_status, native *C.mlfa_error) *Error {
	all := C.mlfago_failure_of(native)
	err := &Error{
		Op:           C.GoString(all.operation),
		Path:         C.GoString(all.path),
		Status:       Status(status),
		Message:      C.GoString(all.message),
		Detail:       C.GoString(all.detail),
		HTTPStatus:   int(all.http_status),
		ProviderCode: C.GoString(all.provider_code),
		Retryable:    all.is_retryable != 0,
		RetryAfter:   time.Duration(all.retry_after_ms) * time.Millisecond,
		report:       reportOf(C.mlfa_error_report(native)),
	}
	C.mlfa_error_free(native)
	return err
}

func made(result C.mlfago_made) (unsafe.Pointer, error) {
	if result.status != C.MLFA_OK {
		return nil, failure(result.status, result.error)
	}
	return result.value, nil
}

// cText is text for the library to keep during a call where it takes no length; free it.
func cText(text string) (*C.char, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, &Error{Status: StatusInvalidArgument, Message: "a text holds a NUL"}
	}
	return C.CString(text), nil
}

// The queue

func newQueue() (nativeQueue, error) {
	queue, err := made(C.mlfago_queue_new())
	return nativeQueue(queue), err
}

// queueDescriptor can be read from while a task has ended that was not handed out. It is the queue's.
func queueDescriptor(queue nativeQueue) int {
	return int(C.mlfa_queue_fd(queue))
}

// submit has the queue tell of the end of a task.
func submit(task nativeTask, queue nativeQueue, tag uint64) *Error {
	result := C.mlfago_submit(task, queue, C.uint64_t(tag))
	if result.status != C.MLFA_OK {
		return failure(result.status, result.error)
	}
	return nil
}

// endedTags fills in the tags of as many tasks as have ended.
func endedTags(queue nativeQueue, tags []nativeTag) []nativeTag {
	return tags[:C.mlfago_ended(queue, &tags[0], C.size_t(len(tags)))]
}

// endsAtOnce waits for a task for a moment, and reports whether it has ended.
func endsAtOnce(task nativeTask) bool {
	return C.mlfago_ends_at_once(task) != 0
}

func cancelTask(task nativeTask) {
	C.mlfa_task_cancel(task)
}

func freeTask(task nativeTask) {
	C.mlfa_task_free(task)
}

func taskProgress(task nativeTask) Progress {
	progress := C.mlfago_progress(task)
	return Progress{
		FilesFound:  int64(progress.files_found),
		FilesDone:   int64(progress.files_done),
		FilesFailed: int64(progress.files_failed),
		BytesFound:  int64(progress.bytes_found),
		BytesDone:   int64(progress.bytes_done),
	}
}

// startedTask is the task that was begun, or why none was.
func startedTask(started nativeStarted) (nativeTask, *Error) {
	if started.status != C.MLFA_OK {
		return nil, failure(started.status, started.error)
	}
	return started.task, nil
}

// take takes what a task that has ended answers, and frees it.
func take(task nativeTask, what answer) (taken, *Error) {
	result := C.mlfago_take(task, C.int(what))
	if result.status != C.MLFA_OK {
		return taken{}, failure(result.status, result.error)
	}
	return taken{result.value, uint64(result.count)}, nil
}

// Contexts and stores

// newContext makes a context that opens any URI, or only those like the trusted ones.
func newContext(trusted []string, guarded bool) (nativeContext, error) {
	if !guarded {
		context, err := made(C.mlfago_context_new(nil, 0))
		return nativeContext(context), err
	}
	// One place more than needed: with no URI the pointer must not be NULL.
	array := (**C.char)(C.calloc(C.size_t(len(trusted)+1), C.size_t(unsafe.Sizeof(uintptr(0)))))
	defer C.free(unsafe.Pointer(array))
	for index, uri := range trusted {
		text, err := cText(uri)
		if err != nil {
			return nil, err
		}
		defer C.free(unsafe.Pointer(text))
		unsafe.Slice(array, len(trusted))[index] = text
	}
	context, err := made(C.mlfago_context_new(array, C.size_t(len(trusted))))
	return nativeContext(context), err
}

func releaseContext(context nativeContext) {
	C.mlfa_context_release(context)
}

func openStore(context nativeContext, uri string, settings *openSettings) (unsafe.Pointer, error) {
	config, err := made(C.mlfago_config_new())
	if err != nil {
		return nil, err
	}
	options := (*C.mlfa_config)(config)
	defer C.mlfa_config_free(options)
	if !settings.ignoresEnvironment {
		if _, err := made(C.mlfago_config_load_env(options)); err != nil {
			return nil, err
		}
	}
	for name, value := range settings.options {
		if _, err := made(C.mlfago_config_set(options, name, value)); err != nil {
			return nil, err
		}
	}
	return made(C.mlfago_store_open(context, uri, options))
}

func releaseStore(store unsafe.Pointer) {
	C.mlfa_store_release((*C.mlfa_store)(store))
}

func storeScheme(store unsafe.Pointer) string {
	return C.GoString(C.mlfa_store_scheme((*C.mlfa_store)(store)))
}

func storeRoot(store unsafe.Pointer) string {
	return C.GoString(C.mlfa_store_root((*C.mlfa_store)(store)))
}

func storeCapabilities(store unsafe.Pointer) Capabilities {
	return Capabilities(C.mlfa_store_capabilities((*C.mlfa_store)(store)))
}

func startDescribe(store unsafe.Pointer) nativeStarted {
	return C.mlfago_describe((*C.mlfa_store)(store))
}

func startStat(path string) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_stat((*C.mlfa_store)(store), path)
	}
}

func startProperties(path string) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_get_properties((*C.mlfa_store)(store), path)
	}
}

func startGet(path string, offset, length uint64) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_get((*C.mlfa_store)(store), path, C.uint64_t(offset), C.uint64_t(length))
	}
}

func startPut(path string, data []byte, options nativePutOptions) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_put((*C.mlfa_store)(store), path, lentBytes(data), C.size_t(len(data)), options)
	}
}

func startCreateDirectory(path string) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_create_directory((*C.mlfa_store)(store), path)
	}
}

func startDelete(path string, flags uint32) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_delete((*C.mlfa_store)(store), path, C.uint32_t(flags))
	}
}

func startCopy(from, to string) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_copy((*C.mlfa_store)(store), from, to)
	}
}

func startPresign(path string, method uint32, seconds uint64) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_presign((*C.mlfa_store)(store), path, C.uint32_t(method), C.uint64_t(seconds))
	}
}

// lentBytes is data for the length of a call.
func lentBytes(data []byte) *C.uint8_t {
	if len(data) == 0 {
		return nil
	}
	return (*C.uint8_t)(unsafe.Pointer(&data[0]))
}

// Transfers

func startUploadFile(local, path string, options nativeTransferOptions) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_upload_file((*C.mlfa_store)(store), local, path, options)
	}
}

func startDownloadFile(path, local string, options nativeTransferOptions) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_download_file((*C.mlfa_store)(store), local, path, options)
	}
}

func startUploadTree(local, path string, options nativeTransferOptions) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_upload_tree((*C.mlfa_store)(store), local, path, options)
	}
}

func startDownloadTree(path, local string, options nativeTransferOptions) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_download_tree((*C.mlfa_store)(store), local, path, options)
	}
}

// Options

type (
	nativePutOptions      = C.mlfa_put_options
	nativeTransferOptions = C.mlfa_transfer_options
)

// put makes the options of the library; free what they point to with the function that comes along.
func (settings *putSettings) put() (options nativePutOptions, free func(), err error) {
	var properties *C.mlfa_properties
	var etag *C.char
	free = func() {
		C.mlfa_properties_free(properties)
		C.free(unsafe.Pointer(etag))
	}
	C.mlfa_put_options_init(&options, C.sizeof_mlfa_put_options)
	options.mode = C.uint32_t(settings.mode)
	if settings.mode == C.MLFA_PUT_IF_MATCH {
		if etag, err = cText(settings.etag); err != nil {
			return options, free, err
		}
		options.if_match = etag
	}
	properties, err = settings.properties.native()
	options.properties = properties
	return options, free, err
}

// transfer makes the options of the library; free what they point to with the function that comes along.
func (settings *transferSettings) transfer() (options nativeTransferOptions, free func(), err error) {
	C.mlfa_transfer_options_init(&options, C.sizeof_mlfa_transfer_options)
	options.files = C.uint32_t(settings.files)
	options.parts = C.uint32_t(settings.parts)
	options.memory = C.uint64_t(settings.memory)
	options.part_size = C.uint64_t(settings.partSize)
	if settings.readsBack {
		options.verify = C.MLFA_VERIFY_READ_BACK
	}
	properties, err := settings.properties.native()
	options.properties = properties
	return options, func() { C.mlfa_properties_free(properties) }, err
}

const (
	modeOverwrite = uint32(C.MLFA_PUT_OVERWRITE)
	modeCreateNew = uint32(C.MLFA_PUT_CREATE_NEW)
	modeIfMatch   = uint32(C.MLFA_PUT_IF_MATCH)
)

// native makes a set of the library; nil of none.
func (properties Properties) native() (*C.mlfa_properties, error) {
	if len(properties) == 0 {
		return nil, nil
	}
	value, err := made(C.mlfago_properties_new())
	if err != nil {
		return nil, err
	}
	native := (*C.mlfa_properties)(value)
	for name, values := range properties {
		for _, value := range values {
			if _, err := made(C.mlfago_properties_add(native, name, value)); err != nil {
				C.mlfa_properties_free(native)
				return nil, err
			}
		}
	}
	return native, nil
}

// Listings

func openList(store unsafe.Pointer, path string, flags uint32) (unsafe.Pointer, error) {
	return made(C.mlfago_list_open((*C.mlfa_store)(store), path, C.uint32_t(flags)))
}

func freeList(list unsafe.Pointer) {
	C.mlfa_list_free((*C.mlfa_list)(list))
}

func startListNext(count int) starter {
	return func(list unsafe.Pointer) nativeStarted {
		return C.mlfago_list_next((*C.mlfa_list)(list), C.size_t(count))
	}
}

// entries makes infos of entries and frees those; none of NULL.
func entries(value unsafe.Pointer) []*Info {
	native := (*C.mlfa_entries)(value)
	defer C.mlfa_entries_free(native)
	metas := make([]C.mlfago_meta, C.mlfa_entries_count(native))
	if len(metas) == 0 {
		return nil
	}
	C.mlfago_entries(native, &metas[0], C.size_t(len(metas)))
	infos := make([]*Info, len(metas))
	for index := range metas {
		infos[index] = infoOf(&metas[index])
	}
	return infos
}

func infoOf(meta *C.mlfago_meta) *Info {
	info := &Info{
		path:        C.GoString(meta.path),
		etag:        C.GoString(meta.etag),
		sha256:      C.GoString(meta.sha256),
		size:        int64(meta.size),
		isDirectory: meta.is_directory != 0,
	}
	if meta.modified_ns != C.MLFA_TIME_UNKNOWN {
		info.modified = time.Unix(0, int64(meta.modified_ns))
	}
	return info
}

// takenInfo makes an info of a meta and frees that.
func takenInfo(value unsafe.Pointer) *Info {
	meta := (*C.mlfa_meta)(value)
	all := C.mlfago_meta_of(meta)
	info := infoOf(&all)
	C.mlfa_meta_free(meta)
	return info
}

// Readers

func startReader(path string, offset, length uint64) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_reader_open((*C.mlfa_store)(store), path, C.uint64_t(offset), C.uint64_t(length))
	}
}

func readerInfo(reader unsafe.Pointer) *Info {
	meta := C.mlfago_meta_of(C.mlfa_reader_meta((*C.mlfa_reader)(reader)))
	return infoOf(&meta)
}

func startRead(reader unsafe.Pointer) nativeStarted {
	return C.mlfago_reader_read((*C.mlfa_reader)(reader))
}

func seekReader(reader unsafe.Pointer, offset uint64) error {
	_, err := made(C.mlfago_reader_seek((*C.mlfa_reader)(reader), C.uint64_t(offset)))
	return err
}

func freeReader(reader unsafe.Pointer) {
	C.mlfa_reader_free((*C.mlfa_reader)(reader))
}

// bytesOf lends the bytes behind a pointer, until that is released.
func bytesOf(value unsafe.Pointer) []byte {
	native := (*C.mlfa_bytes)(value)
	size := C.mlfa_bytes_size(native)
	if size == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(C.mlfa_bytes_data(native))), int(size))
}

func releaseBytes(value unsafe.Pointer) {
	C.mlfa_bytes_release((*C.mlfa_bytes)(value))
}

// Writers

func openWriter(store unsafe.Pointer, path string, length uint64, options nativePutOptions) (unsafe.Pointer, error) {
	return made(C.mlfago_writer_open((*C.mlfa_store)(store), path, C.uint64_t(length), options))
}

// allocate is memory that the library may keep.
func allocate(size int) []byte {
	return unsafe.Slice((*byte)(C.malloc(C.size_t(size))), size)
}

func freeAllocated(buffer []byte) {
	C.free(unsafe.Pointer(&buffer[0]))
}

// startWrite hands allocated memory over, of which the first size bytes are written.
func startWrite(buffer []byte, size int) starter {
	return func(writer unsafe.Pointer) nativeStarted {
		return C.mlfago_writer_write((*C.mlfa_writer)(writer), unsafe.Pointer(&buffer[0]), C.size_t(size))
	}
}

func startFinish(writer unsafe.Pointer) nativeStarted {
	return C.mlfago_writer_finish((*C.mlfa_writer)(writer))
}

func startAbort(writer unsafe.Pointer) nativeStarted {
	return C.mlfago_writer_abort((*C.mlfa_writer)(writer))
}

func freeWriter(writer unsafe.Pointer) {
	C.mlfa_writer_free((*C.mlfa_writer)(writer))
}

// Uploads in parts

func startMultipart(path string, length, partSize uint64, options nativePutOptions) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_multipart_create((*C.mlfa_store)(store), path, C.uint64_t(length), C.uint64_t(partSize), options)
	}
}

func startResume(path, token string) starter {
	return func(store unsafe.Pointer) nativeStarted {
		return C.mlfago_multipart_resume((*C.mlfa_store)(store), path, token)
	}
}

func multipartToken(multipart unsafe.Pointer) string {
	return C.GoString(C.mlfa_multipart_token((*C.mlfa_multipart)(multipart)))
}

func multipartPartSize(multipart unsafe.Pointer) int64 {
	return int64(C.mlfa_multipart_part_size((*C.mlfa_multipart)(multipart)))
}

func startPutPart(number uint32, data []byte) starter {
	return func(multipart unsafe.Pointer) nativeStarted {
		return C.mlfago_multipart_put((*C.mlfa_multipart)(multipart), C.uint32_t(number), lentBytes(data), C.size_t(len(data)))
	}
}

func addPart(multipart unsafe.Pointer, part Part) error {
	_, err := made(C.mlfago_multipart_add((*C.mlfa_multipart)(multipart), C.uint32_t(part.Number), C.uint64_t(part.Size), part.ETag))
	return err
}

func startPresignPart(number uint32, seconds uint64) starter {
	return func(multipart unsafe.Pointer) nativeStarted {
		return C.mlfago_multipart_presign((*C.mlfa_multipart)(multipart), C.uint32_t(number), C.uint64_t(seconds))
	}
}

func startComplete(multipart unsafe.Pointer) nativeStarted {
	return C.mlfago_multipart_complete((*C.mlfa_multipart)(multipart))
}

func startAbortMultipart(multipart unsafe.Pointer) nativeStarted {
	return C.mlfago_multipart_abort((*C.mlfa_multipart)(multipart))
}

func releaseMultipart(multipart unsafe.Pointer) {
	C.mlfa_multipart_release((*C.mlfa_multipart)(multipart))
}

// What else operations answer

// takenProperties makes properties of the library's and frees those.
func takenProperties(value unsafe.Pointer) Properties {
	native := (*C.mlfa_properties)(value)
	properties := Properties{}
	for index := C.size_t(0); index < C.mlfa_properties_count(native); index++ {
		name := C.GoString(C.mlfa_properties_name_at(native, index))
		properties.Add(name, C.GoString(C.mlfa_properties_value_at(native, index)))
	}
	C.mlfa_properties_free(native)
	return properties
}

// takenRequest makes a request of the library's and frees that.
func takenRequest(value unsafe.Pointer) *SignedRequest {
	native := (*C.mlfa_signed_request)(value)
	request := &SignedRequest{
		Method: C.GoString(C.mlfa_signed_request_method(native)),
		URL:    C.GoString(C.mlfa_signed_request_url(native)),
		Header: map[string][]string{},
	}
	for index := C.size_t(0); index < C.mlfa_signed_request_header_count(native); index++ {
		name := C.GoString(C.mlfa_signed_request_header_name_at(native, index))
		request.Header[name] = append(request.Header[name], C.GoString(C.mlfa_signed_request_header_value_at(native, index)))
	}
	C.mlfa_signed_request_free(native)
	return request
}

// takenReport makes a report of the library's and frees that.
func takenReport(value unsafe.Pointer) *Report {
	native := (*C.mlfa_report)(value)
	report := reportOf(native)
	C.mlfa_report_free(native)
	return report
}

// reportOf is nil for NULL.
func reportOf(native *C.mlfa_report) *Report {
	if native == nil {
		return nil
	}
	report := &Report{Files: make([]FileReport, C.mlfa_report_count(native))}
	for index := range report.Files {
		file := C.mlfago_report_at(native, C.size_t(index))
		report.Files[index] = FileReport{
			Name:    C.GoString(file.name),
			Outcome: Outcome(file.outcome),
			Size:    int64(file.size),
			Status:  Status(file.status),
			Message: C.GoString(file.message),
		}
	}
	return report
}
