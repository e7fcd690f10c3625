package mlflowartifacts

import (
	"context"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// The one queue of the process, onto which operations complete that take a while. Its file descriptor is watched along with those
// of Go's connections, so that a thousand operations in flight block no thread of the system.
type completions struct {
	queue nativeQueue

	mu    sync.Mutex
	last  uint64
	waits map[uint64]chan<- struct{}
}

var (
	completionsOnce sync.Once
	theCompletions  *completions
	completionsErr  error
)

// tagsAtOnce is how many ends of operations are taken from the library by one call.
const tagsAtOnce = 64

// channels are those of operations that are over: each carries one message for each use.
var channels = sync.Pool{New: func() any { return make(chan struct{}, 1) }}

func startCompletions() error {
	completionsOnce.Do(func() { theCompletions, completionsErr = newCompletions() })
	return completionsErr
}

func newCompletions() (*completions, error) {
	if !fitsHeader() {
		return nil, &Error{Status: StatusInternal, Message: "the library libmlflow_artifacts that was loaded has another interface than the header that this program was built with"}
	}
	queue, err := newQueue()
	if err != nil {
		return nil, err
	}
	signal, err := watched(queueDescriptor(queue))
	if err != nil {
		return nil, &Error{Status: StatusIO, Message: "the library's completion queue cannot be watched", cause: err}
	}
	c := &completions{queue: queue, waits: map[uint64]chan<- struct{}{}}
	go c.deliver(signal)
	return c, nil
}

// watched lets Go's poller wait for a file descriptor of the library's. Go wants those that do not block, which is not for this
// package to change; so it gets one of its own that watches the other.
func watched(descriptor int) (syscall.RawConn, error) {
	watch, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN}
	if err := syscall.EpollCtl(watch, syscall.EPOLL_CTL_ADD, descriptor, &event); err != nil {
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	if err := syscall.SetNonblock(watch, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(watch), "mlflowartifacts").SyscallConn()
}

// deliver tells those who wait, for as long as the process lives.
func (c *completions) deliver(signal syscall.RawConn) {
	tags := make([]nativeTag, tagsAtOnce)
	err := signal.Read(func(uintptr) bool {
		for c.tell(endedTags(c.queue, tags)) {
		}
		return false
	})
	panic("mlflowartifacts: the library's completion queue cannot be watched any more: " + err.Error())
}

// tell reports whether there was anything to tell.
func (c *completions) tell(ended []nativeTag) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tag := range ended {
		c.waits[uint64(tag)] <- struct{}{}
		delete(c.waits, uint64(tag))
	}
	return len(ended) > 0
}

// wait waits until a task has ended, which it is asked for when the context ends.
func (c *completions) wait(ctx context.Context, task nativeTask, progress *progressSettings) *Error {
	ended := channels.Get().(chan struct{})
	tag := c.expect(ended)
	err := submit(task, c.queue, tag)
	if err == nil {
		progress.wait(ctx, task, ended)
	} else {
		c.forget(tag)
	}
	channels.Put(ended)
	return err
}

func (c *completions) expect(ended chan<- struct{}) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	c.waits[c.last] = ended
	return c.last
}

func (c *completions) forget(tag uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waits, tag)
}

// An operation says what is begun, for whom, and what it answers.
type operation struct {
	name, path string
	start      starter
	answers    answer
	progress   *progressSettings
}

// inFlight are the operations of the process. One that is alone may be waited for on its thread, see handle.isQuick: several would
// take the processors away from those that do the work.
var inFlight atomic.Int64

// A handle owns an object of the library. Operations on it begin at the same time, and all have begun before it is freed.
type handle struct {
	// what the object is, for errors
	name string
	// its operations mostly end sooner than a goroutine that waits for them would be woken
	isQuick bool

	mu     sync.RWMutex
	object unsafe.Pointer
	free   func(unsafe.Pointer)
}

// newHandle makes a handle that frees its object when nobody has it any more, if it was not closed before.
func newHandle(name string, isQuick bool, object unsafe.Pointer, free func(unsafe.Pointer)) *handle {
	h := &handle{name: name, isQuick: isQuick, object: object, free: free}
	// The last one of an engine waits for what goes on there: not on the goroutine of all finalizers.
	runtime.SetFinalizer(h, func(h *handle) { go h.close() })
	return h
}

// close frees the object. It reports whether it was there.
func (h *handle) close() bool {
	h.mu.Lock()
	object := h.object
	h.object = nil
	h.mu.Unlock()
	if object == nil {
		return false
	}
	runtime.SetFinalizer(h, nil)
	h.free(object)
	return true
}

// use lends the object for a call that does not block.
func (h *handle) use(call func(object unsafe.Pointer) error) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.object == nil {
		return closed(h.name)
	}
	return call(h.object)
}

func closed(name string) *Error {
	return &Error{Status: StatusInvalidHandle, Message: "the " + name + " is closed"}
}

// run runs an operation to its end, and cancels it when the context ends. It has always ended when run returns: what it was
// given is used no more, and what it does when it is cancelled is done.
func (h *handle) run(ctx context.Context, op operation) (taken, error) {
	result, err := h.perform(ctx, op)
	if err != nil {
		if err.Op == "" {
			err.Op = op.name
		}
		if err.Path == "" {
			err.Path = op.path
		}
		return taken{}, err
	}
	return result, nil
}

func (h *handle) perform(ctx context.Context, op operation) (taken, *Error) {
	if err := ctx.Err(); err != nil {
		return taken{}, &Error{Status: StatusCancelled, Message: op.name + " was not begun", cause: err}
	}
	isAlone := inFlight.Add(1) == 1
	defer inFlight.Add(-1)
	task, err := h.begin(op)
	if err != nil {
		return taken{}, err
	}
	isTaken := false
	defer func() {
		if !isTaken {
			freeTask(task)
		}
	}()
	mayEndAtOnce := isAlone && h.isQuick && op.progress == nil
	if !mayEndAtOnce || !endsAtOnce(task) {
		if err := theCompletions.wait(ctx, task, op.progress); err != nil {
			return taken{}, err
		}
	}
	isTaken = true
	result, err := take(task, op.answers)
	if err != nil && err.Status == StatusCancelled {
		err.cause = ctx.Err()
	}
	return result, err
}

func (h *handle) begin(op operation) (nativeTask, *Error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.object == nil {
		return nil, closed(h.name)
	}
	return startedTask(op.start(h.object))
}

// progressSettings say who is told where a transfer stands. Nil: nobody.
type progressSettings struct {
	tell     func(Progress)
	interval time.Duration
}

// wait waits until a task has ended, which it is asked for when the context ends.
func (p *progressSettings) wait(ctx context.Context, task nativeTask, ended <-chan struct{}) {
	hasEnded := false
	defer func() {
		if !hasEnded {
			// Whoever was told has panicked.
			cancelTask(task)
			<-ended
		}
	}()
	var tick <-chan time.Time
	if p != nil {
		ticker := time.NewTicker(p.interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	cancelled := ctx.Done()
	for !hasEnded {
		select {
		case <-ended:
			hasEnded = true
		case <-tick:
			p.tell(taskProgress(task))
		case <-cancelled:
			cancelTask(task)
			cancelled = nil
		}
	}
	if p != nil {
		p.tell(taskProgress(task))
	}
}

// An engine is a context of the library, which has threads: one for all stores that trust the same URIs, and until the last of
// their readers, writers and uploads is gone. Releasing the last reference waits for what goes on there, so it is done here alone.
type engine struct {
	context nativeContext
	key     string
	// stores and what was made of them, guarded by engines.mu
	users int
}

// anyURI is the key of the engine that opens all URIs. It lives as long as the process.
const anyURI = "any"

var engines = struct {
	mu     sync.Mutex
	shared map[string]*engine
}{shared: map[string]*engine{}}

// acquireEngine is to be followed by a release.
func acquireEngine(settings *openSettings) (*engine, error) {
	key := anyURI
	if settings.isGuarded {
		key = "those like\x00" + strings.Join(settings.trusted, "\x00")
	}
	engines.mu.Lock()
	defer engines.mu.Unlock()
	shared := engines.shared[key]
	if shared == nil {
		context, err := newContext(settings.trusted, settings.isGuarded)
		if err != nil {
			return nil, err
		}
		shared = &engine{context: context, key: key}
		engines.shared[key] = shared
		if key == anyURI {
			shared.users++
		}
	}
	shared.users++
	return shared, nil
}

// handle makes a handle of something on this engine.
func (e *engine) handle(name string, isQuick bool, object unsafe.Pointer, free func(unsafe.Pointer)) *handle {
	e.retain()
	return newHandle(name, isQuick, object, func(object unsafe.Pointer) {
		free(object)
		e.release()
	})
}

func (e *engine) retain() {
	engines.mu.Lock()
	defer engines.mu.Unlock()
	e.users++
}

func (e *engine) release() {
	engines.mu.Lock()
	e.users--
	isLast := e.users == 0
	if isLast {
		delete(engines.shared, e.key)
	}
	engines.mu.Unlock()
	if isLast {
		releaseContext(e.context)
	}
}
