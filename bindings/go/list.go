package mlflowartifacts

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"unsafe"
)

// A TreeOption says whether a call means what is below a directory, too.
type TreeOption func(*treeSettings)

type treeSettings struct {
	isRecursive bool
}

// Recursive means everything below a directory, not only the next level.
func Recursive() TreeOption {
	return func(settings *treeSettings) { settings.isRecursive = true }
}

func treeSettingsOf(options []TreeOption) treeSettings {
	var settings treeSettings
	for _, option := range options {
		option(&settings)
	}
	return settings
}

// Entries are fetched so many at once: few at first, so that they come soon, and then more.
const (
	firstEntries = 64
	mostEntries  = 1024
)

// List tells what stands in a directory, sorted by path, or with [Recursive] what stands below it, a directory before its content.
// It is empty if there is nothing at the path, or a file: object stores have no other answer.
func (s *Store) List(ctx context.Context, path string, options ...TreeOption) ([]*Info, error) {
	var infos []*Info
	err := s.list(ctx, path, options, func(batch []*Info) bool {
		infos = append(infos, batch...)
		return true
	})
	if err != nil {
		return nil, err
	}
	return infos, nil
}

// All is List as an iterator: entries are fetched while it goes on, and no more after it was left. From Go 1.23 on:
//
//	for info, err := range store.All(ctx, "model", mlflowartifacts.Recursive()) {
//
// An error is the last that comes.
func (s *Store) All(ctx context.Context, path string, options ...TreeOption) func(yield func(*Info, error) bool) {
	return func(yield func(*Info, error) bool) {
		err := s.list(ctx, path, options, func(batch []*Info) bool {
			for _, info := range batch {
				if !yield(info, nil) {
					return false
				}
			}
			return true
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// Walk calls visit for everything below a directory, a directory before its content. It ends with the first error that visit
// answers; fs.SkipDir is none: answered for a directory it leaves out what is in it, for a file what else is in its directory.
func (s *Store) Walk(ctx context.Context, path string, visit func(*Info) error) error {
	var visited error
	skipped := map[string]bool{}
	err := s.list(ctx, path, []TreeOption{Recursive()}, func(batch []*Info) bool {
		for _, info := range batch {
			if isBelowAny(info.path, skipped) {
				continue
			}
			visited = visit(info)
			if errors.Is(visited, fs.SkipDir) {
				visited = nil
				if info.isDirectory {
					skipped[info.path] = true
				} else {
					skipped[parent(info.path)] = true
				}
			}
			if visited != nil {
				return false
			}
		}
		return true
	})
	if visited != nil {
		return visited
	}
	return err
}

// isBelowAny reports whether one of the directories has the path in it.
func isBelowAny(path string, directories map[string]bool) bool {
	for len(directories) > 0 && path != "" {
		path = parent(path)
		if directories[path] {
			return true
		}
	}
	return false
}

// parent is the path one level up, the root of what is in it.
func parent(path string) string {
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 {
		return ""
	}
	return path[:slash]
}

// list hands out what a listing has, batch by batch, until take answers no.
func (s *Store) list(ctx context.Context, path string, options []TreeOption, take func([]*Info) bool) error {
	var flags uint32
	if treeSettingsOf(options).isRecursive {
		flags = flagRecursiveList
	}
	var object unsafe.Pointer
	err := s.handle.use(func(store unsafe.Pointer) (err error) {
		object, err = openList(store, path, flags)
		return err
	})
	if err != nil {
		return s.located(err)
	}
	listing := s.newHandle("listing", object, freeList)
	defer listing.close()
	for count := firstEntries; ; count = mostEntries {
		result, err := listing.run(ctx, operation{name: "list", path: path, start: startListNext(count), answers: answersEntries})
		if err != nil {
			return s.located(err)
		}
		batch := entries(result.value)
		if !take(batch) || len(batch) < count {
			return nil
		}
	}
}
