package mlflowartifacts

import (
	"context"
	"errors"
	"io/fs"
	"time"
	"unsafe"
)

// Version is that of the library.
func Version() string {
	return nativeVersion()
}

// Schemes are the URI schemes that the library opens, sorted.
func Schemes() []string {
	return nativeSchemes()
}

// A Store is a place that keeps artifacts, opened by [Open]. Any number of goroutines may use it at the same time. Paths are
// relative to its root and separated by slashes, without empty, . or .. segments; the empty path is the root.
//
// Close it when it is needed no more.
type Store struct {
	engine       *engine
	handle       *handle
	uri, scheme  string
	capabilities Capabilities
}

// Open opens the store at a URI: file:///srv/artifacts, a local path, artifactory://host/artifactory/repository, s3://bucket/path,
// memory: and so on ([Schemes]). Nothing is connected to or read yet: what is wrong with the server is told by the first call that
// needs it.
func Open(ctx context.Context, uri string, options ...OpenOption) (*Store, error) {
	settings := &openSettings{options: map[string]string{}}
	for _, option := range options {
		option(settings)
	}
	store, err := open(ctx, uri, settings)
	var native *Error
	if errors.As(err, &native) {
		return nil, native.at("open", "", "")
	}
	return store, err
}

func open(ctx context.Context, uri string, settings *openSettings) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Status: StatusCancelled, Message: "the store was not opened", cause: err}
	}
	if err := startCompletions(); err != nil {
		return nil, err
	}
	engine, err := acquireEngine(settings)
	if err != nil {
		return nil, err
	}
	defer engine.release()
	object, err := openStore(engine.context, uri, settings)
	if err != nil {
		return nil, err
	}
	scheme := storeScheme(object)
	return &Store{
		engine:       engine,
		handle:       engine.handle("store", isLocal(scheme), object, releaseStore),
		uri:          storeRoot(object),
		scheme:       scheme,
		capabilities: storeCapabilities(object),
	}, nil
}

// isLocal reports whether stores of a scheme ask nobody over a network.
func isLocal(scheme string) bool {
	return scheme == "memory" || scheme == "file"
}

// newHandle makes a handle of something that belongs to the store.
func (s *Store) newHandle(name string, object unsafe.Pointer, free func(unsafe.Pointer)) *handle {
	return s.engine.handle(name, isLocal(s.scheme), object, free)
}

// Close gives the store up. Operations, readers and writers that were begun go on; what is begun after it answers fs.ErrClosed, as
// does a second Close.
func (s *Store) Close() error {
	if !s.handle.close() {
		return closed("store").at("close", s.uri, "")
	}
	return nil
}

// URI is the root of the store without credentials, for people to read.
func (s *Store) URI() string { return s.uri }

// String is the same as URI.
func (s *Store) String() string { return s.uri }

// Scheme is the URI scheme of the store, such as file.
func (s *Store) Scheme() string { return s.scheme }

// Capabilities are what the store can do beyond what all can.
func (s *Store) Capabilities() Capabilities { return s.capabilities }

// run runs an operation of the store.
func (s *Store) run(ctx context.Context, op operation) (taken, error) {
	result, err := s.handle.run(ctx, op)
	return result, s.located(err)
}

// located says of which store an error is.
func (s *Store) located(err error) error {
	var native *Error
	if errors.As(err, &native) && native.URI == "" {
		native.URI = s.uri
	}
	return err
}

// Describe tells about the store and its server what helps to find a fault: whose credentials are used and where they come from,
// which version answers. Never a secret.
func (s *Store) Describe(ctx context.Context) (Properties, error) {
	result, err := s.run(ctx, operation{name: "describe", start: startDescribe, answers: answersProperties})
	if err != nil {
		return nil, err
	}
	return takenProperties(result.value), nil
}

// Stat tells what stands at a path. Nothing there is fs.ErrNotExist.
func (s *Store) Stat(ctx context.Context, path string) (*Info, error) {
	result, err := s.run(ctx, operation{name: "stat", path: path, start: startStat(path), answers: answersInfo})
	if err != nil {
		return nil, err
	}
	return takenInfo(result.value), nil
}

// Exists reports whether a file or directory stands at a path.
func (s *Store) Exists(ctx context.Context, path string) (bool, error) {
	_, err := s.Stat(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Properties are what is kept with the file or directory at a path. The store must have [CapabilityProperties].
func (s *Store) Properties(ctx context.Context, path string) (Properties, error) {
	result, err := s.run(ctx, operation{name: "properties", path: path, start: startProperties(path), answers: answersProperties})
	if err != nil {
		return nil, err
	}
	return takenProperties(result.value), nil
}

// Get reads a file, or a [Range] of it, into memory. Large ones are better read by a [Reader] or fetched by
// [Store.DownloadFile].
func (s *Store) Get(ctx context.Context, path string, options ...ReadOption) ([]byte, error) {
	offset, length, invalid := readSettingsOf(options)
	if invalid != nil {
		return nil, invalid.at("get", s.uri, path)
	}
	result, err := s.run(ctx, operation{name: "get", path: path, start: startGet(path, offset, length), answers: answersBytes})
	if err != nil {
		return nil, err
	}
	defer releaseBytes(result.value)
	// Never nil: an artifact without content is not the same as none.
	return append([]byte{}, bytesOf(result.value)...), nil
}

// Put writes data as the file at a path, making its parents and replacing what was there. When it answers, the artifact is whole
// and visible; on failure nothing has changed.
func (s *Store) Put(ctx context.Context, path string, data []byte, options ...PutOption) (*Info, error) {
	settings := putSettingsOf(options)
	if settings.length != unknownLength && settings.length != uint64(len(data)) {
		err := &Error{Status: StatusSizeMismatch, Message: "the content has another length than was announced"}
		return nil, err.at("put", s.uri, path)
	}
	native, free, err := settings.put()
	defer free()
	if err != nil {
		return nil, s.located(err)
	}
	result, err := s.run(ctx, operation{name: "put", path: path, start: startPut(path, data, native), answers: answersInfo})
	if err != nil {
		return nil, err
	}
	return takenInfo(result.value), nil
}

// CreateDirectory makes a directory and its parents; one that is there already is fine. The store must have
// [CapabilityDirectories]; elsewhere directories are there while something is in them.
func (s *Store) CreateDirectory(ctx context.Context, path string) error {
	_, err := s.run(ctx, operation{name: "create directory", path: path, start: startCreateDirectory(path)})
	return err
}

// Delete removes the file at a path, or with [Recursive] a directory with everything in it too. Nothing there is no error, and
// nor is a store that is configured to delete nothing: the answer says whether something was removed.
func (s *Store) Delete(ctx context.Context, path string, options ...TreeOption) (bool, error) {
	var flags uint32
	if treeSettingsOf(options).isRecursive {
		flags = flagRecursiveDelete
	}
	result, err := s.run(ctx, operation{name: "delete", path: path, start: startDelete(path, flags), answers: answersCount})
	return result.count > 0, err
}

// Copy copies a file within the store. The store must have [CapabilityCopy].
func (s *Store) Copy(ctx context.Context, from, to string) (*Info, error) {
	result, err := s.run(ctx, operation{name: "copy", path: from, start: startCopy(from, to), answers: answersInfo})
	if err != nil {
		return nil, err
	}
	return takenInfo(result.value), nil
}

// A SignedRequest is one that whoever holds it may make, without credentials of their own: treat it as a secret.
type SignedRequest struct {
	// Method is GET or PUT.
	Method string
	// URL has the signature in it.
	URL string
	// Header is what must be sent along, as the header of an http.Request.
	Header map[string][]string
}

// presignMethods are those that can be signed.
var presignMethods = map[string]uint32{"GET": presignGet, "PUT": presignPut}

// Presign signs a request to read (GET) or write (PUT) an artifact that is good for a while, counted in seconds. The store must
// have [CapabilityPresign].
func (s *Store) Presign(ctx context.Context, method, path string, expires time.Duration) (*SignedRequest, error) {
	number, isKnown := presignMethods[method]
	if !isKnown {
		err := &Error{Status: StatusInvalidArgument, Message: "a request with another method than GET and PUT cannot be signed: " + method}
		return nil, err.at("presign", s.uri, path)
	}
	start := startPresign(path, number, seconds(expires))
	result, err := s.run(ctx, operation{name: "presign", path: path, start: start, answers: answersSignedRequest})
	if err != nil {
		return nil, err
	}
	return takenRequest(result.value), nil
}

// seconds are rounded up: what is asked for less than one is not asked for none.
func seconds(duration time.Duration) uint64 {
	if duration <= 0 {
		return 0
	}
	return uint64((duration + time.Second - 1) / time.Second)
}
