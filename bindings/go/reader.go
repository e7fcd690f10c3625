package mlflowartifacts

import (
	"context"
	"io"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// A Reader reads an artifact, or a range of it, piece by piece. Whoever replaces the artifact meanwhile does not mix its contents:
// the reader goes on with the old one, or fails with [StatusPreconditionFailed]. What the store tells of size and digest is compared
// before the last bytes are handed out.
//
// It is an io.ReadSeekCloser, an io.WriterTo that copies nothing, an io.ReaderAt, and an fs.File. One goroutine at a time may read;
// ReadAt and Close may be called by others meanwhile. Close it when it is needed no more.
type Reader struct {
	store  *Store
	handle *handle
	info   *Info
	// of the artifact, where the range begins, and how many bytes it has
	start, size int64

	ctx      context.Context
	cancel   context.CancelFunc
	isClosed atomic.Bool

	mu sync.Mutex
	// what was received last, to be released, and what of it was not read
	chunk unsafe.Pointer
	rest  []byte
	// where the next read begins, and where the library's reader stands: both within the range
	position, received int64
	// the library said that this was all, and that it is right
	isComplete bool
}

var (
	_ io.ReadSeekCloser = (*Reader)(nil)
	_ io.WriterTo       = (*Reader)(nil)
	_ io.ReaderAt       = (*Reader)(nil)
	_ fs.File           = (*Reader)(nil)
)

// Reader begins to read the file at a path, or a [Range] of it. It answers with the first bytes, not the last. The context is that
// of all reading: when it ends, so does what the reader does.
func (s *Store) Reader(ctx context.Context, path string, options ...ReadOption) (*Reader, error) {
	offset, length, invalid := readSettingsOf(options)
	if invalid != nil {
		return nil, invalid.at("read", s.uri, path)
	}
	opened, err := s.run(ctx, operation{name: "read", path: path, start: startReader(path, offset, length), answers: answersReader})
	if err != nil {
		return nil, err
	}
	info := readerInfo(opened.value)
	reader := &Reader{
		store:  s,
		handle: s.newHandle("reader", opened.value, freeReader),
		info:   info,
		start:  int64(offset),
		size:   info.size - int64(offset),
	}
	if reader.size < 0 {
		reader.size = 0
	}
	if length < uint64(reader.size) {
		reader.size = int64(length)
	}
	reader.ctx, reader.cancel = context.WithCancel(ctx)
	// Closing the last one of an engine waits: not on the goroutine of all finalizers.
	runtime.SetFinalizer(reader, func(reader *Reader) { go reader.Close() })
	return reader, nil
}

// Info is what is being read, as it was when it was opened.
func (r *Reader) Info() *Info { return r.info }

// Stat is the same for io/fs, with a time to the second.
func (r *Reader) Stat() (fs.FileInfo, error) { return r.info.toTheSecond(), nil }

// Size is how many bytes the range has that is read; without one, how many the artifact has.
func (r *Reader) Size() int64 { return r.size }

// Read reads up to len(p) bytes.
func (r *Reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.receive(); err != nil {
		return 0, err
	}
	count := copy(p, r.rest)
	r.advance(count)
	return count, nil
}

// WriteTo writes all that is left to w, straight from the library's memory.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var total int64
	for {
		err := r.receive()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		expected := len(r.rest)
		count, err := w.Write(r.rest)
		total += int64(count)
		r.advance(count)
		if err == nil && count < expected {
			err = io.ErrShortWrite
		}
		if err != nil {
			return total, err
		}
	}
}

// Seek says where the next read begins, relative to the beginning of the range that is read. The store is asked by the next read,
// and must have [CapabilityRange] unless it begins where the reader stands.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.position
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, r.invalid("there is no such whence to seek from")
	}
	if offset < 0 {
		return 0, r.invalid("there is nothing before the beginning to seek to")
	}
	if r.isClosed.Load() {
		return 0, r.closed("seek")
	}
	// Within what has come nothing is asked for.
	if skipped := offset - r.restsAt(); skipped >= 0 && skipped <= int64(len(r.rest)) {
		r.rest = r.rest[skipped:]
	}
	r.position = offset
	return offset, nil
}

// ReadAt reads len(p) bytes from an offset on, relative to the beginning of the range that is read, by a request of its own. The
// store must have [CapabilityRange], and be open.
func (r *Reader) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, r.invalid("there is nothing before the beginning to read")
	}
	if offset >= r.size {
		return 0, io.EOF
	}
	wanted := p
	if left := r.size - offset; int64(len(wanted)) > left {
		wanted = wanted[:left]
	}
	if len(wanted) == 0 {
		return 0, nil
	}
	part, err := r.store.Reader(r.ctx, r.info.path, Range(r.start+offset, int64(len(wanted))))
	if err != nil {
		return 0, r.located(err)
	}
	defer part.Close()
	if part.info.etag != r.info.etag || part.info.size != r.info.size {
		err := &Error{Status: StatusPreconditionFailed, Message: "the artifact was replaced while it was read"}
		return 0, err.at("read", r.store.uri, r.info.path)
	}
	count, err := io.ReadFull(part, wanted)
	switch {
	case err == io.ErrUnexpectedEOF, err == nil && len(wanted) < len(p):
		return count, io.EOF
	case err != nil:
		return count, r.located(err)
	default:
		return count, nil
	}
}

// Close ends reading, also what another goroutine waits for. A second Close answers fs.ErrClosed.
func (r *Reader) Close() error {
	if r.isClosed.Swap(true) {
		return r.closed("close")
	}
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	runtime.SetFinalizer(r, nil)
	r.drop()
	r.handle.close()
	return nil
}

// receive sees to it that there is something to read where the reader stands; io.EOF if there is not.
func (r *Reader) receive() error {
	if r.isClosed.Load() {
		return r.closed("read")
	}
	if len(r.rest) > 0 && r.restsAt() == r.position {
		return nil
	}
	r.drop()
	if r.received != r.position {
		if r.position >= r.size {
			return io.EOF
		}
		err := r.handle.use(func(reader unsafe.Pointer) error { return seekReader(reader, uint64(r.start+r.position)) })
		if err != nil {
			return r.located(err)
		}
		r.received, r.isComplete = r.position, false
	}
	if r.isComplete {
		return io.EOF
	}
	chunk, err := r.next()
	if err != nil {
		return err
	}
	if chunk == nil {
		r.isComplete = true
		return io.EOF
	}
	r.chunk, r.rest = chunk, bytesOf(chunk)
	r.received += int64(len(r.rest))
	if r.received < r.size {
		return nil
	}
	// The last bytes are handed out when all of them are known to be right: many a reader does not ask for more.
	more, err := r.next()
	if more != nil {
		releaseBytes(more)
		err = (&Error{Status: StatusSizeMismatch, Message: "the artifact has more bytes than its store says"}).at("read", r.store.uri, r.info.path)
	}
	if err != nil {
		r.drop()
		return err
	}
	r.isComplete = true
	return nil
}

// restsAt is where that stands within the range which was received and not read.
func (r *Reader) restsAt() int64 {
	return r.received - int64(len(r.rest))
}

// next is the library's next chunk, nil at the end.
func (r *Reader) next() (unsafe.Pointer, error) {
	result, err := r.handle.run(r.ctx, operation{name: "read", path: r.info.path, start: startRead, answers: answersBytes})
	if err != nil {
		// Where the library's reader stands is not known any more.
		r.received = -1
		return nil, r.located(err)
	}
	return result.value, nil
}

func (r *Reader) advance(count int) {
	r.rest = r.rest[count:]
	r.position += int64(count)
}

func (r *Reader) drop() {
	releaseBytes(r.chunk)
	r.chunk, r.rest = nil, nil
}

func (r *Reader) located(err error) error {
	if r.isClosed.Load() {
		return r.closed("read")
	}
	return r.store.located(err)
}

func (r *Reader) closed(name string) error {
	return closed("reader").at(name, r.store.uri, r.info.path)
}

func (r *Reader) invalid(message string) error {
	return (&Error{Status: StatusInvalidArgument, Message: message}).at("seek", r.store.uri, r.info.path)
}
