package mlflowartifacts

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Status says what went wrong, in a number that never changes its meaning. It is an error to compare with:
//
//	if errors.Is(err, mlflowartifacts.StatusPreconditionFailed) { ... }
//
// New ones are added over time: treat one that you do not know by its hundred.
type Status int32

// What a call can come to.
const (
	// StatusInvalidArgument: an argument makes no sense.
	StatusInvalidArgument Status = 100
	// StatusInvalidUTF8: a text is not UTF-8.
	StatusInvalidUTF8 Status = 102
	// StatusBusy: the object is in use by another call.
	StatusBusy Status = 105
	// StatusInvalidHandle: the store, reader, writer or upload is closed.
	StatusInvalidHandle Status = 106

	// StatusInvalidPath: an artifact path is malformed, reserved, too long, or leads outside the store.
	StatusInvalidPath Status = 200
	// StatusInvalidURI: a URI cannot be parsed.
	StatusInvalidURI Status = 201
	// StatusInvalidConfig: an option is unknown or its value is malformed.
	StatusInvalidConfig Status = 202
	// StatusUnknownScheme: no store is known for the URI's scheme.
	StatusUnknownScheme Status = 203
	// StatusHostNotAllowed: the URI is not one of those that are trusted, see [WithTrustedURIs].
	StatusHostNotAllowed Status = 204
	// StatusUnsupported: the store cannot do this at all.
	StatusUnsupported Status = 205

	// StatusNotFound: there is nothing at the path.
	StatusNotFound Status = 300
	// StatusAlreadyExists: something is there already.
	StatusAlreadyExists Status = 301
	// StatusIsADirectory: the path is a directory where a file is meant.
	StatusIsADirectory Status = 302
	// StatusNotADirectory: the path, or a parent of it, is a file where a directory is meant.
	StatusNotADirectory Status = 303
	// StatusPreconditionFailed: the artifact is no longer the one that was named by its etag.
	StatusPreconditionFailed Status = 304
	// StatusRangeNotSatisfiable: the range starts at or after the artifact's end.
	StatusRangeNotSatisfiable Status = 305
	// StatusChecksumMismatch: the bytes do not have the expected digest.
	StatusChecksumMismatch Status = 306
	// StatusSizeMismatch: there were more or fewer bytes than announced.
	StatusSizeMismatch Status = 307
	// StatusTooLarge: the artifact is larger than the store accepts.
	StatusTooLarge Status = 308
	// StatusIncomplete: some files of a tree failed, for different reasons: see the [Report].
	StatusIncomplete Status = 309

	// StatusPermissionDenied: the store knows who asks and refuses.
	StatusPermissionDenied Status = 400
	// StatusUnauthenticated: the store does not accept the credentials, or there are none.
	StatusUnauthenticated Status = 401

	// StatusConnection: the server cannot be reached or hung up.
	StatusConnection Status = 500
	// StatusTimeout: a deadline of the store's configuration passed. That of a context is StatusCancelled.
	StatusTimeout Status = 501
	// StatusTLS: the TLS handshake failed or the certificate is not trusted.
	StatusTLS Status = 502
	// StatusRateLimited: the store asks to slow down.
	StatusRateLimited Status = 503
	// StatusProtocol: the server answered something that its protocol does not allow.
	StatusProtocol Status = 504
	// StatusUnavailable: the server answered that it failed or cannot serve now.
	StatusUnavailable Status = 505

	// StatusIO: an operating system call failed.
	StatusIO Status = 600
	// StatusNoSpace: the disk or the quota is full.
	StatusNoSpace Status = 601
	// StatusUnreadable: a local source file exists but cannot be read.
	StatusUnreadable Status = 602

	// StatusInternal: a defect of the library. Please report it.
	StatusInternal Status = 900
	// StatusPanic: a panic inside the library was caught: a defect. Please report it.
	StatusPanic Status = 901
	// StatusCancelled: the context of the call ended.
	StatusCancelled Status = 902
	// StatusForked: the operation was begun before the process forked, which Go programs do not.
	StatusForked Status = 903
)

// String is the stable name of the status, such as not_found.
func (status Status) String() string {
	return statusName(status)
}

// Error is what [Status.String] says.
func (status Status) Error() string {
	return status.String()
}

// What else a status is, for errors.Is.
var meanings = map[Status][]error{
	StatusInvalidArgument:     {fs.ErrInvalid},
	StatusInvalidUTF8:         {fs.ErrInvalid},
	StatusInvalidPath:         {fs.ErrInvalid},
	StatusInvalidURI:          {fs.ErrInvalid},
	StatusInvalidConfig:       {fs.ErrInvalid},
	StatusUnknownScheme:       {fs.ErrInvalid},
	StatusHostNotAllowed:      {fs.ErrPermission},
	StatusUnsupported:         {syscall.ENOTSUP}, // which is errors.ErrUnsupported, too, since Go 1.21
	StatusNotFound:            {fs.ErrNotExist},
	StatusAlreadyExists:       {fs.ErrExist},
	StatusIsADirectory:        {syscall.EISDIR},
	StatusNotADirectory:       {syscall.ENOTDIR},
	StatusPermissionDenied:    {fs.ErrPermission},
	StatusUnauthenticated:     {fs.ErrPermission},
	StatusInvalidHandle:       {fs.ErrClosed},
	StatusTimeout:             {os.ErrDeadlineExceeded},
	StatusNoSpace:             {syscall.ENOSPC},
	StatusRangeNotSatisfiable: {fs.ErrInvalid},
}

// Error is what every failing call of this package answers, or what stands in the *fs.PathError of a file system.
//
// It can be asked with errors.Is for a [Status], for the errors of io/fs that mean the same (fs.ErrNotExist, fs.ErrExist,
// fs.ErrPermission, fs.ErrInvalid, fs.ErrClosed), for errors.ErrUnsupported, for context.Canceled and
// context.DeadlineExceeded when the context of the call ended, for os.ErrDeadlineExceeded when a deadline of the store's
// configuration passed, and for some of syscall (EISDIR, ENOTDIR, ENOSPC).
type Error struct {
	// Op is the operation that failed, such as put.
	Op string
	// URI is the root of the store, without credentials; empty if there is no store yet.
	URI string
	// Path is the artifact or local path that it failed on; empty if there is none.
	Path string
	// Status says what went wrong.
	Status Status
	// Message is one line for people: operation, path, cause, remedy. Never a secret.
	Message string
	// Detail is the message followed by the chain of its causes; empty if there are none.
	Detail string
	// HTTPStatus is what the server answered; 0 if there was no such answer.
	HTTPStatus int
	// ProviderCode is the provider's own code for the failure, such as NoSuchKey.
	ProviderCode string
	// Retryable says that the same call may succeed when it is made again.
	Retryable bool
	// RetryAfter is how long the server asked to wait before that.
	RetryAfter time.Duration

	// why the call was given up
	cause error
	// of a tree that was transferred in part
	report *Report
}

// Error is the message, and why the call was given up.
func (err *Error) Error() string {
	if err.cause != nil {
		return err.Message + ": " + err.cause.Error()
	}
	return err.Message
}

// Unwrap is the error of the context, if that ended the call, or of the system.
func (err *Error) Unwrap() error {
	return err.cause
}

// Is reports whether the error means the same as the target, see [Error].
func (err *Error) Is(target error) bool {
	if err.Status == target {
		return true
	}
	for _, meaning := range meanings[err.Status] {
		if errors.Is(meaning, target) {
			return true
		}
	}
	return false
}

// Timeout reports whether a deadline passed, as net.Error has it.
func (err *Error) Timeout() bool {
	return err.Status == StatusTimeout || errors.Is(err.cause, context.DeadlineExceeded)
}

// at adds what the library does not know of an error.
func (err *Error) at(name, uri, path string) *Error {
	if err.Op == "" {
		err.Op = name
	}
	if err.URI == "" {
		err.URI = uri
	}
	if err.Path == "" {
		err.Path = path
	}
	return err
}
