package mlflowartifacts

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// So many bytes are collected before they are handed to the library: at first as many as most artifacts have, so that those take
// little memory, and then more.
const (
	firstWrite = 64 << 10
	laterWrite = 256 << 10
)

// A Writer writes an artifact piece by piece. Nothing is visible before Close has answered that it went well; then all of it is.
// After a failure, after Abort, and when the context ends before, nothing has changed.
//
// It is an io.WriteCloser and an io.ReaderFrom. What the store finds wrong may be told by a later Write, or by Close: look at its
// error. A Writer that is neither closed nor aborted holds on to what was written, so:
//
//	w, err := store.Writer(ctx, "model/model.pkl")
//	if err != nil {
//		return err
//	}
//	defer w.Abort() // does nothing after Close
//	if _, err := io.Copy(w, source); err != nil {
//		return err
//	}
//	return w.Close()
//
// One goroutine at a time may write; Abort may be called by another meanwhile.
type Writer struct {
	store  *Store
	handle *handle
	path   string

	// the caller's, and the one that Abort ends too
	parent, ctx context.Context
	cancel      context.CancelFunc
	// no Write and no Close does anything any more
	isEnded atomic.Bool

	mu sync.Mutex
	// memory of the library, and how much of it is filled
	buffer   []byte
	buffered int
	// something was handed over
	isFlushed bool
	// why nothing more is written
	failed error
	info   *Info
}

var (
	_ io.WriteCloser = (*Writer)(nil)
	_ io.ReaderFrom  = (*Writer)(nil)
)

// Writer begins to write the file at a path, making its parents. The context is that of all writing: when it ends before Close has
// answered, nothing is written.
func (s *Store) Writer(ctx context.Context, path string, options ...PutOption) (*Writer, error) {
	settings := putSettingsOf(options)
	if err := ctx.Err(); err != nil {
		return nil, (&Error{Status: StatusCancelled, Message: "write was not begun", cause: err}).at("write", s.uri, path)
	}
	native, free, err := settings.put()
	defer free()
	if err != nil {
		return nil, s.located(err)
	}
	var object unsafe.Pointer
	err = s.handle.use(func(store unsafe.Pointer) (err error) {
		object, err = openWriter(store, path, settings.length, native)
		return err
	})
	if err != nil {
		return nil, s.located(err)
	}
	writer := &Writer{store: s, handle: s.newHandle("writer", object, freeWriter), path: path, parent: ctx}
	writer.ctx, writer.cancel = context.WithCancel(ctx)
	// The library gives up what was not finished.
	runtime.SetFinalizer(writer, func(writer *Writer) { go writer.release() })
	return writer, nil
}

// Write writes p behind what was written before. It keeps nothing of p.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for written := 0; ; {
		space, err := w.space()
		if err != nil {
			return written, err
		}
		count := copy(space, p[written:])
		w.buffered += count
		written += count
		if err := w.flushFull(); err != nil || written == len(p) {
			return written, err
		}
	}
}

// ReadFrom writes all that r has, reading straight into the library's memory. If r fails, the artifact does: Close answers that
// error and leaves nothing.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var total int64
	for {
		space, err := w.space()
		if err != nil {
			return total, err
		}
		count, err := r.Read(space)
		if count < 0 || count > len(space) {
			count, err = 0, errors.New("mlflowartifacts: the reader answers a number of bytes that cannot be")
		}
		w.buffered += count
		total += int64(count)
		if flushed := w.flushFull(); flushed != nil {
			return total, flushed
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			w.failed = err
			return total, err
		}
	}
}

// Close ends the artifact. When it answers nil, the artifact is whole and visible; else nothing has changed. A second Close, or one
// after Abort, answers fs.ErrClosed.
func (w *Writer) Close() error {
	if w.isEnded.Swap(true) {
		return closed("writer").at("write", w.store.uri, w.path)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.failed
	if err == nil && w.buffered > 0 {
		err = w.flush()
	}
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		// What made it fail is what is told.
		_ = w.giveUp()
	}
	w.release()
	return err
}

// Abort gives the artifact up: when it answers, what was written is gone. A Write that another goroutine waits for ends. After
// Close, it does nothing.
func (w *Writer) Abort() error {
	if w.isEnded.Swap(true) {
		return nil
	}
	w.cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.giveUp()
	w.release()
	return err
}

// Info is what was written; nil before Close has answered that it went well.
func (w *Writer) Info() *Info {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.info
}

// space is where the next bytes go: never none.
func (w *Writer) space() ([]byte, error) {
	if w.isEnded.Load() {
		return nil, closed("writer").at("write", w.store.uri, w.path)
	}
	if w.failed != nil {
		return nil, w.failed
	}
	if w.buffer == nil {
		size := firstWrite
		if w.isFlushed {
			size = laterWrite
		}
		w.buffer = allocate(size)
	}
	return w.buffer[w.buffered:], nil
}

func (w *Writer) flushFull() error {
	if w.buffered < len(w.buffer) {
		return nil
	}
	return w.flush()
}

// flush hands over what was collected.
func (w *Writer) flush() error {
	buffer, size := w.buffer, w.buffered
	w.buffer, w.buffered, w.isFlushed = nil, 0, true
	begun := false
	write := startWrite(buffer, size)
	_, err := w.run(operation{name: "write", start: func(object unsafe.Pointer) nativeStarted {
		begun = true
		return write(object)
	}})
	if !begun {
		freeAllocated(buffer)
	}
	w.failed = err
	return err
}

func (w *Writer) finish() error {
	result, err := w.run(operation{name: "write", start: startFinish, answers: answersInfo})
	if err != nil {
		return err
	}
	w.info = takenInfo(result.value)
	return nil
}

func (w *Writer) run(op operation) (taken, error) {
	op.path = w.path
	result, err := w.handle.run(w.ctx, op)
	if err != nil && w.ctx.Err() != nil && w.parent.Err() == nil {
		err = closed("writer").at("write", w.store.uri, w.path)
	}
	return result, w.store.located(err)
}

// giveUp waits until what was written is gone, also when the context has ended.
func (w *Writer) giveUp() error {
	_, err := w.handle.run(context.Background(), operation{name: "abort", path: w.path, start: startAbort})
	return w.store.located(err)
}

func (w *Writer) release() {
	runtime.SetFinalizer(w, nil)
	w.cancel()
	w.handle.close()
	if w.buffer != nil {
		freeAllocated(w.buffer)
		w.buffer, w.buffered = nil, 0
	}
}
