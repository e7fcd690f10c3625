package mlflowartifacts_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	mlfa "mlflowartifacts"
)

func TestFS(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		names := []string{"MLmodel", "data/model.pkl", "data/deep/er/file", "data/empty", "name with spaces/ü"}
		for _, name := range names {
			// Each byte is read by a request of its own, too.
			put(t, store, name, noise(len(name)*4))
		}
		put(t, store, "data/empty", nil)
		whole := store.FS(context.Background())
		if err := fstest.TestFS(whole, names...); err != nil {
			t.Error(err)
		}
		t.Logf("fstest.TestFS passes, with %s", size(t, whole))
		sub, err := fs.Sub(whole, "data")
		if err != nil {
			t.Fatal(err)
		}
		if err := fstest.TestFS(sub, "model.pkl", "deep/er/file", "empty"); err != nil {
			t.Error(err)
		}
		t.Logf("fstest.TestFS passes, with %s below data", size(t, sub))
		if matches, err := fs.Glob(sub, "*e*"); err != nil || strings.Join(matches, " ") != "deep empty model.pkl" {
			t.Errorf("the glob found %q, %v", matches, err)
		}
	})
}

// size is what stands in a file system.
func size(t *testing.T, fsys fs.FS) string {
	t.Helper()
	var files, directories int
	err := fs.WalkDir(fsys, ".", func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			directories++
		} else {
			files++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d files and %d directories", files, directories)
}

func TestFSErrors(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		put(t, store, "d/a", []byte("content"))
		fsys := store.FS(context.Background())
		_, openErr := fsys.Open("missing")
		_, statErr := fsys.Stat("missing")
		_, readErr := fsys.ReadFile("missing")
		_, listErr := fsys.ReadDir("missing")
		for _, err := range []error{openErr, statErr, readErr, listErr} {
			var pathError *fs.PathError
			var native *mlfa.Error
			if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &pathError) || pathError.Path != "missing" || !errors.As(err, &native) {
				t.Errorf("what is missing is %v", err)
			}
		}
		for _, name := range []string{"", "/d", "d/", "d//a", "../d", "./d"} {
			_, openErr := fsys.Open(name)
			_, statErr := fsys.Stat(name)
			_, readErr := fsys.ReadFile(name)
			_, listErr := fsys.ReadDir(name)
			_, subErr := fsys.Sub(name)
			for _, err := range []error{openErr, statErr, readErr, listErr, subErr} {
				if !errors.Is(err, fs.ErrInvalid) {
					t.Errorf("the name %q is %v", name, err)
				}
			}
		}
		if _, err := fsys.ReadDir("d/a"); err == nil {
			t.Error("a file was read as a directory")
		}
		if _, err := fsys.ReadFile("d"); !errors.Is(err, mlfa.StatusIsADirectory) {
			t.Errorf("a directory was read as a file: %v", err)
		}
		dir, err := fsys.Open("d")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dir.Read(make([]byte, 1)); err == nil {
			t.Error("a directory has content")
		}
		entries, err := dir.(fs.ReadDirFile).ReadDir(5)
		if err != nil || len(entries) != 1 || entries[0].Name() != "a" {
			t.Errorf("the entries are %v, %v", entries, err)
		}
		if _, err := dir.(fs.ReadDirFile).ReadDir(5); err != io.EOF {
			t.Errorf("after the entries: %v", err)
		}
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
		if err := dir.Close(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("closed twice: %v", err)
		}
	})
}

func TestFSOfAnEmptyStore(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		if entries, err := store.FS(context.Background()).ReadDir("."); err != nil || len(entries) != 0 {
			t.Errorf("an empty store has %v, %v", entries, err)
		}
	})
}

func TestFSIsServed(t *testing.T) {
	store := open(t, "memory:")
	put(t, store, "model/data", noise(10_000))
	server := httptest.NewServer(http.FileServer(http.FS(store.FS(context.Background()))))
	defer server.Close()
	request, err := http.NewRequest("GET", server.URL+"/model/data", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Range", "bytes=9990-")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 206 || string(content) != string(noise(10_000)[9990:]) {
		t.Errorf("served are %d bytes with %s, %v", len(content), answer.Status, err)
	}
}
