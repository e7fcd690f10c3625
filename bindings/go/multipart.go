package mlflowartifacts

import (
	"context"
	"time"
	"unsafe"
)

// A Multipart is an upload in parts, which may come in any order, at the same time, from other processes, or by signed requests from
// others. Nothing is visible before Complete has answered. Any number of goroutines may use it.
//
// Most programs want a [Writer] or [Store.UploadFile] instead, which send large files in parts by themselves.
type Multipart struct {
	store    *Store
	handle   *handle
	path     string
	token    string
	partSize int64
}

// A Part is one of those that were put.
type Part struct {
	// Number is 1 for the first.
	Number int
	// Size is how many bytes it has.
	Size int64
	// ETag names it: the server's answer to the request that put it has it.
	ETag string
}

// CreateMultipart begins an upload in parts to a path. [WithLength] and [WithPartSize] say how large it will be. The store must
// have [CapabilityMultipart].
func (s *Store) CreateMultipart(ctx context.Context, path string, options ...PutOption) (*Multipart, error) {
	settings := putSettingsOf(options)
	native, free, err := settings.put()
	defer free()
	if err != nil {
		return nil, s.located(err)
	}
	start := startMultipart(path, settings.length, settings.partSize, native)
	return s.multipart(ctx, operation{name: "create multipart", path: path, start: start, answers: answersMultipart})
}

// ResumeMultipart takes up an upload that was begun before, perhaps by another process, and neither completed nor aborted. The path
// is the one that it was begun with. Parts that were put before must be named with [Multipart.AddPart]. The store must have
// [CapabilityResumeUpload].
//
// Whoever has a token may write, complete and abort that upload: a server keeps it to itself, or signs it.
func (s *Store) ResumeMultipart(ctx context.Context, path, token string) (*Multipart, error) {
	return s.multipart(ctx, operation{name: "resume multipart", path: path, start: startResume(path, token), answers: answersMultipart})
}

func (s *Store) multipart(ctx context.Context, op operation) (*Multipart, error) {
	result, err := s.run(ctx, op)
	if err != nil {
		return nil, err
	}
	return &Multipart{
		store:    s,
		handle:   s.newHandle("upload", result.value, releaseMultipart),
		path:     op.path,
		token:    multipartToken(result.value),
		partSize: multipartPartSize(result.value),
	}, nil
}

// Token names the upload for [Store.ResumeMultipart]; empty where the store cannot take uploads up again.
func (m *Multipart) Token() string { return m.token }

// PartSize is how many bytes every part has but the last, which may have fewer.
func (m *Multipart) PartSize() int64 { return m.partSize }

// PutPart puts a part, 1 being the first. One that is put again replaces the earlier one.
func (m *Multipart) PutPart(ctx context.Context, number int, data []byte) (Part, error) {
	result, err := m.run(ctx, operation{name: "put part", start: startPutPart(count32(number), data), answers: answersInfo})
	if err != nil {
		return Part{}, err
	}
	info := takenInfo(result.value)
	return Part{Number: number, Size: info.size, ETag: info.etag}, nil
}

// AddPart names a part that somebody else has put, by a signed request or before the upload was taken up again.
func (m *Multipart) AddPart(part Part) error {
	return m.store.located(m.handle.use(func(multipart unsafe.Pointer) error { return addPart(multipart, part) }))
}

// PresignPart signs a request to put a part that is good for a while, counted in seconds. The answer to it has the part's etag; for
// Azure that is the value of blockid in the URL. The store must have [CapabilityPresign].
func (m *Multipart) PresignPart(ctx context.Context, number int, expires time.Duration) (*SignedRequest, error) {
	start := startPresignPart(count32(number), seconds(expires))
	result, err := m.run(ctx, operation{name: "presign part", start: start, answers: answersSignedRequest})
	if err != nil {
		return nil, err
	}
	return takenRequest(result.value), nil
}

// Complete makes the artifact of the parts that were put and named, which must be all from 1 on without a gap. On failure nothing is
// visible and the upload is given up.
func (m *Multipart) Complete(ctx context.Context) (*Info, error) {
	result, err := m.run(ctx, operation{name: "complete multipart", start: startComplete, answers: answersInfo})
	if err != nil {
		return nil, err
	}
	return takenInfo(result.value), nil
}

// Abort gives the upload up and removes its parts.
func (m *Multipart) Abort(ctx context.Context) error {
	_, err := m.run(ctx, operation{name: "abort multipart", start: startAbortMultipart})
	return err
}

// Close frees what is held here. An upload that was neither completed nor aborted stays, to be taken up again by its token. A second
// Close answers fs.ErrClosed.
func (m *Multipart) Close() error {
	if !m.handle.close() {
		return closed("upload").at("close", m.store.uri, m.path)
	}
	return nil
}

func (m *Multipart) run(ctx context.Context, op operation) (taken, error) {
	op.path = m.path
	result, err := m.handle.run(ctx, op)
	return result, m.store.located(err)
}
