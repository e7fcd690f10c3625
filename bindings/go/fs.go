package mlflowartifacts

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"sync"
	"syscall"
)

// FS is a store, or a directory of it, as a file system to read: fs.FS, fs.StatFS, fs.ReadDirFS, fs.ReadFileFS and fs.SubFS. Use it
// with fs.WalkDir, fs.Glob, html/template, http.FS and whatever else reads file systems. The files that it opens are each a [Reader];
// times are told to the second; its own errors are *fs.PathError with an [Error] inside.
type FS struct {
	ctx   context.Context
	store *Store
	// the path of the directory in the store; the empty one is the root
	directory string
}

var (
	_ fs.StatFS     = (*FS)(nil)
	_ fs.ReadDirFS  = (*FS)(nil)
	_ fs.ReadFileFS = (*FS)(nil)
	_ fs.SubFS      = (*FS)(nil)
)

// FS is the store as a file system. The context is that of all that is done with it.
func (s *Store) FS(ctx context.Context) *FS {
	return &FS{ctx: ctx, store: s}
}

// Open opens a file, which is a [Reader], or a directory, which is an fs.ReadDirFile.
func (f *FS) Open(name string) (fs.File, error) {
	place, err := f.place("open", name)
	if err != nil {
		return nil, err
	}
	if place != "" {
		reader, err := f.store.Reader(f.ctx, place)
		if err == nil {
			return reader, nil
		}
		if !errors.Is(err, StatusIsADirectory) {
			return nil, pathError("open", name, err)
		}
	}
	info, err := f.stat("open", name, place)
	if err != nil {
		return nil, err
	}
	return &directory{fs: f, name: name, info: info}, nil
}

// Stat tells what stands at a name.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	place, err := f.place("stat", name)
	if err != nil {
		return nil, err
	}
	info, err := f.stat("stat", name, place)
	if err != nil {
		return nil, err
	}
	return info, nil
}

func (f *FS) stat(operation, name, place string) (fs.FileInfo, error) {
	info, err := f.store.Stat(f.ctx, place)
	if err != nil {
		return nil, pathError(operation, name, err)
	}
	if name == "." {
		return top{info.toTheSecond()}, nil
	}
	return info.toTheSecond(), nil
}

// top is the directory that a file system begins at, whatever it is called in the store.
type top struct{ *Info }

func (top) Name() string { return "." }

// ReadDir tells what stands in a directory, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	place, err := f.place("readdir", name)
	if err != nil {
		return nil, err
	}
	infos, err := f.store.List(f.ctx, place)
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	if len(infos) == 0 {
		// Also the answer for what is no directory.
		info, err := f.stat("readdir", name, place)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, pathError("readdir", name, syscall.ENOTDIR)
		}
	}
	entries := make([]fs.DirEntry, len(infos))
	for index, info := range infos {
		entries[index] = &dirEntry{info: info, fs: f, name: path.Join(name, info.Name())}
	}
	return entries, nil
}

// dirEntry is one of a listing, which on some servers does not tell when files were changed.
type dirEntry struct {
	info *Info
	fs   *FS
	name string
}

func (e *dirEntry) Name() string      { return e.info.Name() }
func (e *dirEntry) IsDir() bool       { return e.info.IsDir() }
func (e *dirEntry) Type() fs.FileMode { return e.info.Type() }

func (e *dirEntry) Info() (fs.FileInfo, error) {
	if e.info.isDirectory || !e.info.modified.IsZero() {
		return e.info.toTheSecond(), nil
	}
	return e.fs.Stat(e.name)
}

// ReadFile reads a file into memory.
func (f *FS) ReadFile(name string) ([]byte, error) {
	place, err := f.place("read", name)
	if err != nil {
		return nil, err
	}
	data, err := f.store.Get(f.ctx, place)
	if err != nil {
		return nil, pathError("read", name, err)
	}
	return data, nil
}

// Sub is the file system that begins at a directory of this one. Whether it is there is told when it is used.
func (f *FS) Sub(name string) (fs.FS, error) {
	place, err := f.place("sub", name)
	if err != nil {
		return nil, err
	}
	return &FS{ctx: f.ctx, store: f.store, directory: place}, nil
}

// place is the path in the store.
func (f *FS) place(operation, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", pathError(operation, name, fs.ErrInvalid)
	}
	joined := path.Join(f.directory, name)
	if joined == "." {
		return "", nil
	}
	return joined, nil
}

func pathError(operation, name string, err error) error {
	return &fs.PathError{Op: operation, Path: name, Err: err}
}

// directory is an open one.
type directory struct {
	fs   *FS
	name string
	info fs.FileInfo

	mu sync.Mutex
	// those that were not handed out yet, once they were read
	entries  []fs.DirEntry
	isRead   bool
	isClosed bool
}

var _ fs.ReadDirFile = (*directory)(nil)

func (d *directory) Stat() (fs.FileInfo, error) { return d.info, nil }

func (d *directory) Read([]byte) (int, error) {
	return 0, pathError("read", d.name, syscall.EISDIR)
}

func (d *directory) ReadDir(count int) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isClosed {
		return nil, pathError("readdir", d.name, fs.ErrClosed)
	}
	if !d.isRead {
		entries, err := d.fs.ReadDir(d.name)
		if err != nil {
			return nil, err
		}
		d.entries, d.isRead = entries, true
	}
	taken := d.entries
	if count > 0 {
		if len(taken) == 0 {
			return nil, io.EOF
		}
		if len(taken) > count {
			taken = taken[:count]
		}
	}
	d.entries = d.entries[len(taken):]
	return taken, nil
}

func (d *directory) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isClosed {
		return pathError("close", d.name, fs.ErrClosed)
	}
	d.isClosed = true
	return nil
}
