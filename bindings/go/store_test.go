package mlflowartifacts_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mlfa "mlflowartifacts"
)

func TestWhatIsPutIsThere(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		ctx := context.Background()
		content := noise(100_000)
		before := time.Now().Add(-2 * time.Minute)
		written := put(t, store, "a/b c/ü.bin", content)
		if written.Path() != "a/b c/ü.bin" || written.Size() != int64(len(content)) {
			t.Errorf("put answers %v of %d bytes", written, written.Size())
		}
		info, err := store.Stat(ctx, "a/b c/ü.bin")
		if err != nil {
			t.Fatal(err)
		}
		if info.Name() != "ü.bin" || info.Size() != 100_000 || info.IsDir() || info.Mode() != 0o444 || info.ModTime().Before(before) {
			t.Errorf("stat answers %+v", info)
		}
		wantContent(t, store, "a/b c/ü.bin", content)
		part, err := store.Get(ctx, "a/b c/ü.bin", mlfa.Range(99_990, 100))
		if err != nil || !bytes.Equal(part, content[99_990:]) {
			t.Errorf("the end is %d bytes, %v", len(part), err)
		}
		if info, err := store.Stat(ctx, "a/b c"); err != nil || !info.IsDir() || info.Name() != "b c" || info.Mode() != fs.ModeDir|0o555 {
			t.Errorf("the directory is %+v, %v", info, err)
		}
		if info, err := store.Stat(ctx, ""); err != nil || !info.IsDir() || info.Name() != "." {
			t.Errorf("the root is %+v, %v", info, err)
		}
		put(t, store, "empty", nil)
		if got, err := store.Get(ctx, "empty"); err != nil || got == nil || len(got) != 0 {
			t.Errorf("the empty artifact is %v, %v", got, err)
		}
		if exists, err := store.Exists(ctx, "missing"); exists || err != nil {
			t.Errorf("what is missing exists: %v, %v", exists, err)
		}
	})
}

func TestListAndWalk(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		ctx := context.Background()
		for _, path := range []string{"m/a", "m/d/e/f", "m/d/g", "m/z", "mm"} {
			put(t, store, path, []byte(path))
		}
		infos, err := store.List(ctx, "m")
		if err != nil || paths(infos) != "m/a m/d/ m/z" {
			t.Errorf("one level is %q, %v", paths(infos), err)
		}
		infos, err = store.List(ctx, "m", mlfa.Recursive())
		sort.Slice(infos, func(i, j int) bool { return infos[i].Path() < infos[j].Path() })
		if err != nil || paths(infos) != "m/a m/d/ m/d/e/ m/d/e/f m/d/g m/z" {
			t.Errorf("all levels are %q, %v", paths(infos), err)
		}
		var visited []string
		err = store.Walk(ctx, "m", func(info *mlfa.Info) error {
			visited = append(visited, info.Path())
			if info.Path() == "m/d/e" {
				return fs.SkipDir
			}
			return nil
		})
		sort.Strings(visited)
		if err != nil || strings.Join(visited, " ") != "m/a m/d m/d/e m/d/g m/z" {
			t.Errorf("visited are %q, %v", visited, err)
		}
		stop := errors.New("stop")
		if err := store.Walk(ctx, "", func(*mlfa.Info) error { return stop }); err != stop {
			t.Errorf("a walk that is stopped answers %v", err)
		}
		count := 0
		store.All(ctx, "", mlfa.Recursive())(func(info *mlfa.Info, err error) bool {
			count++
			return err == nil && count < 3
		})
		if count != 3 {
			t.Errorf("an iterator that was left went on: %d", count)
		}
		if infos, err := store.List(ctx, "missing"); err != nil || len(infos) != 0 {
			t.Errorf("what is missing has %v, %v", infos, err)
		}
	})
}

func TestLongListing(t *testing.T) {
	store := open(t, "memory:")
	for _, size := range []int{63, 64, 65, 64 + 1024, 64 + 1024 + 1} {
		if _, err := store.Delete(context.Background(), "", mlfa.Recursive()); err != nil {
			t.Fatal(err)
		}
		for number := 0; number < size; number++ {
			put(t, store, "d/"+string(rune(0x4e00+number)), nil)
		}
		infos, err := store.List(context.Background(), "d")
		if err != nil || len(infos) != size {
			t.Errorf("of %d entries %d came, %v", size, len(infos), err)
		}
	}
}

func TestDelete(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		ctx := context.Background()
		put(t, store, "d/a", nil)
		put(t, store, "d/b", nil)
		put(t, store, "dd", nil)
		if removed, err := store.Delete(ctx, "d/a"); !removed || err != nil {
			t.Errorf("removed: %v, %v", removed, err)
		}
		if removed, err := store.Delete(ctx, "d/a"); removed || err != nil {
			t.Errorf("removed again: %v, %v", removed, err)
		}
		if _, err := store.Delete(ctx, "d"); !errors.Is(err, mlfa.StatusIsADirectory) || !errors.Is(err, syscall.EISDIR) {
			t.Errorf("a directory without Recursive: %v", err)
		}
		if removed, err := store.Delete(ctx, "d", mlfa.Recursive()); !removed || err != nil {
			t.Errorf("removed a directory: %v, %v", removed, err)
		}
		if infos, err := store.List(ctx, ""); err != nil || paths(infos) != "dd" {
			t.Errorf("left is %q, %v", paths(infos), err)
		}
	})
}

func TestConditions(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		ctx := context.Background()
		first := put(t, store, "a", []byte("first"))
		if store.Capabilities().Has(mlfa.CapabilityCreateNew) {
			if _, err := store.Put(ctx, "a", []byte("other"), mlfa.CreateNew()); !errors.Is(err, fs.ErrExist) {
				t.Errorf("create over something: %v", err)
			}
		}
		if store.Capabilities().Has(mlfa.CapabilityReplaceIfMatch) {
			put(t, store, "a", []byte("second"), mlfa.IfMatch(first.ETag()))
			if _, err := store.Put(ctx, "a", []byte("third"), mlfa.IfMatch(first.ETag())); !errors.Is(err, mlfa.StatusPreconditionFailed) {
				t.Errorf("replace what was replaced: %v", err)
			}
			wantContent(t, store, "a", []byte("second"))
		}
		if _, err := store.Put(ctx, "a", []byte("four"), mlfa.WithLength(5)); !errors.Is(err, mlfa.StatusSizeMismatch) {
			t.Errorf("another length than announced: %v", err)
		}
	})
}

func TestCopy(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		put(t, store, "a", []byte("content"))
		_, err := store.Copy(context.Background(), "a", "b/c")
		if !store.Capabilities().Has(mlfa.CapabilityCopy) {
			if !errors.Is(err, mlfa.StatusUnsupported) || !errors.Is(err, syscall.ENOTSUP) {
				t.Errorf("a copy where there is none: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		wantContent(t, store, "b/c", []byte("content"))
	})
}

func TestErrors(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		ctx := context.Background()
		_, err := store.Get(ctx, "missing/a")
		var native *mlfa.Error
		if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, mlfa.StatusNotFound) || !errors.As(err, &native) {
			t.Fatalf("what is missing is %v", err)
		}
		if native.Status != mlfa.StatusNotFound || native.Path != "missing/a" || native.URI != store.URI() || native.Op == "" || native.Retryable {
			t.Errorf("the error is %+v", native)
		}
		if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, context.Canceled) {
			t.Errorf("%v is something else too", err)
		}
		for _, path := range []string{"/a", "a/", "a//b", ".", "a/../b", "a\x00b", "a\nb", "\xff"} {
			if _, err := store.Stat(ctx, path); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("the path %q is %v", path, err)
			}
			if _, err := store.Writer(ctx, path); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("a writer to the path %q is %v", path, err)
			}
			if _, err := store.List(ctx, path); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("a listing of the path %q is %v", path, err)
			}
		}
		put(t, store, "d/a", nil)
		if _, err := store.Get(ctx, "d"); !errors.Is(err, mlfa.StatusIsADirectory) {
			t.Errorf("a directory's content is %v", err)
		}
		if _, err := store.Get(ctx, "d/a", mlfa.Range(-1, 1)); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("content before the beginning is %v", err)
		}
	})
}

func TestOpenErrors(t *testing.T) {
	ctx := context.Background()
	for uri, status := range map[string]mlfa.Status{
		"nothing://host/path": mlfa.StatusUnknownScheme,
		"s3:///":              mlfa.StatusInvalidURI,
	} {
		var native *mlfa.Error
		if _, err := mlfa.Open(ctx, uri); !errors.As(err, &native) || native.Status != status || native.Op == "" || native.Message == "" {
			t.Errorf("%s is %+v", uri, err)
		}
	}
	if _, err := mlfa.Open(ctx, "memory:", mlfa.WithOption("nonsense", "secret")); !errors.Is(err, mlfa.StatusInvalidConfig) || strings.Contains(err.Error(), "secret") {
		t.Errorf("an unknown option is %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := mlfa.Open(cancelled, "memory:"); !errors.Is(err, context.Canceled) {
		t.Errorf("opened in a context that has ended: %v", err)
	}
}

func TestTrustedURIs(t *testing.T) {
	ctx := context.Background()
	trust := mlfa.WithTrustedURIs("artifactory://art.example/artifactory/models", "memory:")
	for _, uri := range []string{"artifactory://art.example/artifactory/other", "memory:"} {
		store, err := mlfa.Open(ctx, uri, trust)
		if err != nil {
			t.Fatalf("%s: %v", uri, err)
		}
		defer store.Close()
	}
	for _, uri := range []string{"artifactory://evil.example/artifactory/models", "file:///etc", "s3://bucket"} {
		if _, err := mlfa.Open(ctx, uri, trust); !errors.Is(err, mlfa.StatusHostNotAllowed) || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", uri, err)
		}
	}
	if _, err := mlfa.Open(ctx, "memory:", mlfa.WithTrustedURIs()); !errors.Is(err, mlfa.StatusHostNotAllowed) {
		t.Errorf("opened without any trusted URI: %v", err)
	}
	if _, err := mlfa.Open(ctx, "memory:", mlfa.WithTrustedURIs("memory:\x00")); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a URI with a NUL: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	ctx := context.Background()
	// Read when a store is opened, and refused.
	t.Setenv("ARTIFACTORY_NO_SSL", "perhaps")
	const uri = "artifactory://art.example/artifactory/models"
	if _, err := mlfa.Open(ctx, uri); !errors.Is(err, mlfa.StatusInvalidConfig) {
		t.Errorf("the environment was not read: %v", err)
	}
	store, err := mlfa.Open(ctx, uri, mlfa.WithoutEnvironment())
	if err != nil {
		t.Fatalf("the environment was read: %v", err)
	}
	store.Close()
	store, err = mlfa.Open(ctx, uri, mlfa.WithOption("no_ssl", "true"))
	if err != nil {
		t.Fatalf("an option does not win over the environment: %v", err)
	}
	store.Close()
}

func TestCloseIsOnce(t *testing.T) {
	ctx := context.Background()
	store, err := mlfa.Open(ctx, "memory:")
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, "a", []byte("content"))
	reader, err := store.Reader(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	writer, err := store.Writer(ctx, "b")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(reader); err != nil || string(content) != "content" {
		t.Errorf("after its store the reader has %q, %v", content, err)
	}
	if _, err := writer.Write([]byte("b")); err != nil {
		t.Error(err)
	}
	if err := writer.Close(); err != nil {
		t.Error(err)
	}
	_, statErr := store.Stat(ctx, "a")
	_, putErr := store.Put(ctx, "a", nil)
	_, listErr := store.List(ctx, "")
	_, readErr := store.Reader(ctx, "a")
	_, writeErr := store.Writer(ctx, "a")
	if _, err := reader.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read of a store that is closed: %v", err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	_, readAtErr := reader.ReadAt(make([]byte, 1), 0)
	for _, err := range []error{store.Close(), statErr, putErr, listErr, readErr, writeErr, writer.Close(), reader.Close(), readAtErr} {
		if !errors.Is(err, fs.ErrClosed) || errors.Is(err, fs.ErrInvalid) {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestCancelled(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		put(t, store, "a", []byte("content"))
		cancelled, cancel := context.WithCancel(context.Background())
		cancel()
		late, cancelLate := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
		defer cancelLate()
		for _, one := range []struct {
			ctx   context.Context
			cause error
		}{{cancelled, context.Canceled}, {late, context.DeadlineExceeded}} {
			_, statErr := store.Stat(one.ctx, "a")
			_, putErr := store.Put(one.ctx, "b", nil)
			_, listErr := store.List(one.ctx, "")
			_, readErr := store.Reader(one.ctx, "a")
			_, writeErr := store.Writer(one.ctx, "b")
			upErr := store.UploadFile(one.ctx, "stores_test.go", "b")
			for _, err := range []error{statErr, putErr, listErr, readErr, writeErr, upErr} {
				if !errors.Is(err, one.cause) || !errors.Is(err, mlfa.StatusCancelled) {
					t.Errorf("in a context that has ended: %v", err)
				}
				if one.cause == context.DeadlineExceeded && errors.Is(err, context.Canceled) {
					t.Errorf("%v is said to be cancelled", err)
				}
			}
		}
		if exists, err := store.Exists(context.Background(), "b"); exists || err != nil {
			t.Errorf("what was cancelled is there: %v, %v", exists, err)
		}
	})
}

// A server that answers nothing: only the context ends a call.
func TestContextReachesTheTask(t *testing.T) {
	address := silence(t)
	store := open(t, "artifactory://"+address+"/artifactory/models", mlfa.WithOption("no_ssl", "true"), mlfa.WithOption("token", "none"))
	calls := map[string]func(context.Context) error{
		"stat": func(ctx context.Context) error { _, err := store.Stat(ctx, "a"); return err },
		"get":  func(ctx context.Context) error { _, err := store.Get(ctx, "a"); return err },
		"put":  func(ctx context.Context) error { _, err := store.Put(ctx, "a", noise(1000)); return err },
		"list": func(ctx context.Context) error { _, err := store.List(ctx, "a"); return err },
		"read": func(ctx context.Context) error { _, err := store.Reader(ctx, "a"); return err },
		"write": func(ctx context.Context) error {
			writer, err := store.Writer(ctx, "a")
			if err != nil {
				return err
			}
			_, _ = writer.Write(noise(1000))
			return writer.Close()
		},
		"upload": func(ctx context.Context) error { return store.UploadFile(ctx, "stores_test.go", "a") },
	}
	// All at the same time: a write that is cancelled waits some seconds for the server to take back what it may have taken.
	var all sync.WaitGroup
	for name, call := range calls {
		for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
			all.Add(1)
			go func(name string, call func(context.Context) error, cause error) {
				defer all.Done()
				ctx, cancel := context.WithCancel(context.Background())
				if cause == context.DeadlineExceeded {
					ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
				} else {
					time.AfterFunc(50*time.Millisecond, cancel)
				}
				defer cancel()
				started := time.Now()
				if err := call(ctx); !errors.Is(err, cause) {
					t.Errorf("%s: not %v but %v", name, cause, err)
				}
				if waited := time.Since(started); waited > 60*time.Second {
					t.Errorf("%s: it ended after %v", name, waited)
				}
			}(name, call, cause)
		}
	}
	all.Wait()
}

// A deadline of the store's own is not that of the context.
func TestTimeoutOfTheStore(t *testing.T) {
	store := open(t, "artifactory://"+silence(t)+"/artifactory/models", mlfa.WithOptions(map[string]string{
		"no_ssl": "true", "token": "none", "read_timeout": "1", "retries": "0",
	}))
	_, err := store.Stat(context.Background(), "a")
	var timeout interface{ Timeout() bool }
	if !errors.Is(err, mlfa.StatusTimeout) || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a server that is silent is %v", err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is said to be a context's", err)
	}
}

func TestProperties(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		ctx := context.Background()
		properties := mlfa.Properties{"mlflow.run_id": {"abc"}, "stage": {"a", "b"}}
		if !store.Capabilities().Has(mlfa.CapabilityProperties) {
			if _, err := store.Put(ctx, "a", nil, mlfa.WithProperties(properties)); !errors.Is(err, mlfa.StatusUnsupported) {
				t.Errorf("properties where there are none: %v", err)
			}
			return
		}
		put(t, store, "a", []byte("content"), mlfa.WithProperties(properties))
		kept, err := store.Properties(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		sort.Strings(kept["stage"])
		if kept.Get("mlflow.run_id") != "abc" || strings.Join(kept["stage"], " ") != "a b" || kept.Get("none") != "" {
			t.Errorf("kept are %v", kept)
		}
	})
}

func TestMultipart(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		ctx := context.Background()
		const partSize = 5 << 20
		content := noise(partSize + 1000)
		upload, err := store.CreateMultipart(ctx, "m/large", mlfa.WithPartSize(partSize), mlfa.WithLength(int64(len(content))))
		if !store.Capabilities().Has(mlfa.CapabilityMultipart) {
			if !errors.Is(err, mlfa.StatusUnsupported) {
				t.Errorf("parts where there are none: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer upload.Close()
		if upload.PartSize() != partSize {
			t.Errorf("parts have %d bytes", upload.PartSize())
		}
		second, err := upload.PutPart(ctx, 2, content[partSize:])
		if err != nil || second.Size != 1000 || second.Number != 2 {
			t.Fatalf("the second part is %+v, %v", second, err)
		}
		if exists, err := store.Exists(ctx, "m/large"); exists || err != nil {
			t.Errorf("there before it is complete: %v, %v", exists, err)
		}
		if store.Capabilities().Has(mlfa.CapabilityResumeUpload) {
			if upload.Token() == "" {
				t.Error("the upload has no token")
			}
			resumed, err := store.ResumeMultipart(ctx, "m/large", upload.Token())
			if err != nil {
				t.Fatal(err)
			}
			defer resumed.Close()
			if err := resumed.AddPart(second); err != nil {
				t.Fatal(err)
			}
			upload = resumed
		}
		if _, err := upload.PutPart(ctx, 1, content[:partSize]); err != nil {
			t.Fatal(err)
		}
		if info, err := upload.Complete(ctx); err != nil || info.Size() != int64(len(content)) {
			t.Fatalf("complete: %+v, %v", info, err)
		}
		wantContent(t, store, "m/large", content)
		given, err := store.CreateMultipart(ctx, "given up")
		if err != nil {
			t.Fatal(err)
		}
		if err := given.Abort(ctx); err != nil {
			t.Error(err)
		}
		if err := given.Close(); err != nil {
			t.Error(err)
		}
		if err := given.AddPart(second); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("a part after Close: %v", err)
		}
	})
}

func TestPresign(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		ctx := context.Background()
		request, err := store.Presign(ctx, http.MethodPut, "signed", time.Minute)
		if !store.Capabilities().Has(mlfa.CapabilityPresign) {
			if !errors.Is(err, mlfa.StatusUnsupported) {
				t.Errorf("a signature where there is none: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		ask := func(request *mlfa.SignedRequest, body io.Reader) (int, []byte) {
			asked, err := http.NewRequest(request.Method, request.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			asked.Header = request.Header
			answer, err := http.DefaultClient.Do(asked)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			content, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			return answer.StatusCode, content
		}
		if status, answer := ask(request, strings.NewReader("content")); status/100 != 2 {
			t.Fatalf("the signed request was answered with %d: %s", status, answer)
		}
		wantContent(t, store, "signed", []byte("content"))
		// It may be over before anybody could ask.
		if _, err := store.Presign(ctx, http.MethodGet, "signed", time.Millisecond); err != nil {
			t.Errorf("a signature for a moment: %v", err)
		}
		request, err = store.Presign(ctx, http.MethodGet, "signed", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if status, content := ask(request, nil); status != 200 || string(content) != "content" {
			t.Errorf("read by a signed request: %d %q", status, content)
		}
		if _, err := store.Presign(ctx, "DELETE", "signed", time.Minute); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("another method: %v", err)
		}
	})
}

func TestDescribe(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		told, err := store.Describe(context.Background())
		if err != nil || told == nil {
			t.Errorf("told is %v, %v", told, err)
		}
		if store.URI() == "" || store.Scheme() == "" || store.String() != store.URI() {
			t.Errorf("the store is %q, %q", store.URI(), store.Scheme())
		}
	})
	if !strings.Contains(strings.Join(mlfa.Schemes(), " "), "memory") || !strings.Contains(mlfa.Version(), ".") {
		t.Errorf("the library is %s with %v", mlfa.Version(), mlfa.Schemes())
	}
	capabilities := mlfa.CapabilityRange | mlfa.CapabilityProperties
	if capabilities.String() != "range|properties" || !capabilities.Has(mlfa.CapabilityRange) || capabilities.Has(mlfa.CapabilityRange|mlfa.CapabilityCopy) {
		t.Errorf("the capabilities are %v", capabilities)
	}
	if mlfa.StatusNotFound.String() != "not_found" {
		t.Errorf("the status is %v", mlfa.StatusNotFound)
	}
}

func TestTrees(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		ctx := context.Background()
		source := t.TempDir()
		want := map[string][]byte{"MLmodel": []byte("flavors: {}\n"), "data/model.pkl": noise(300_000), "data/empty": nil}
		var bytesWanted int64
		for name, content := range want {
			file := filepath.Join(source, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, content, 0o666); err != nil {
				t.Fatal(err)
			}
			bytesWanted += int64(len(content))
		}
		var last mlfa.Progress
		report, err := store.UploadTree(ctx, source, "model", mlfa.ParallelFiles(2), mlfa.ParallelParts(2), mlfa.WithMemory(16<<20),
			mlfa.WithPartSize(8<<20), mlfa.OnProgress(func(progress mlfa.Progress) { last = progress }))
		if err != nil {
			t.Fatal(err)
		}
		if report.Count(mlfa.OutcomeTransferred) != 3 || report.Count(mlfa.OutcomeFailed) != 0 || report.Bytes() != bytesWanted {
			t.Errorf("the report is %+v", report)
		}
		if last.FilesDone != 3 || last.BytesDone != bytesWanted || last.FilesFailed != 0 {
			t.Errorf("at the end the progress is %+v", last)
		}
		target := t.TempDir()
		report, err = store.DownloadTree(ctx, "model", target, mlfa.ReadBack())
		if err != nil || report.Count(mlfa.OutcomeTransferred) != 3 {
			t.Fatalf("fetched are %+v, %v", report, err)
		}
		for name, content := range want {
			got, err := os.ReadFile(filepath.Join(target, name))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s has %d bytes, %v", name, len(got), err)
			}
		}
		file := filepath.Join(target, "one")
		if err := store.DownloadFile(ctx, "model/data/model.pkl", file); err != nil {
			t.Fatal(err)
		}
		if err := store.UploadFile(ctx, file, "again", mlfa.OnProgress(func(progress mlfa.Progress) { last = progress })); err != nil {
			t.Fatal(err)
		}
		wantContent(t, store, "again", want["data/model.pkl"])
		if last.BytesDone != 300_000 {
			t.Errorf("at the end of a file the progress is %+v", last)
		}
		if err := store.UploadFile(ctx, filepath.Join(target, "missing"), "b"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a local file that is missing: %v", err)
		}
	})
}

func TestTreeThatFailsInPart(t *testing.T) {
	store := open(t, "memory:")
	source := t.TempDir()
	for _, name := range []string{"good", "bad\nname"} {
		if err := os.WriteFile(filepath.Join(source, name), []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	report, err := store.UploadTree(context.Background(), source, "tree")
	if !errors.Is(err, fs.ErrInvalid) {
		t.Fatalf("a tree with a bad name: %v", err)
	}
	if report == nil || report.Count(mlfa.OutcomeTransferred) != 1 || report.Count(mlfa.OutcomeFailed) != 1 {
		t.Fatalf("the report is %+v", report)
	}
	for _, file := range report.Files {
		if file.Outcome == mlfa.OutcomeFailed && (file.Status != mlfa.StatusInvalidPath || file.Message == "" || file.Outcome.String() != "failed") {
			t.Errorf("what failed is %+v", file)
		}
	}
	wantContent(t, store, "tree/good", []byte("good"))
}

func TestCancelFromProgress(t *testing.T) {
	store := open(t, "memory:")
	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "a"), noise(1000), 0o666); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	told := 0
	// Whatever comes first, the call ends, and tells of its progress at the end.
	_, err := store.UploadTree(ctx, source, "tree", mlfa.OnProgress(func(mlfa.Progress) {
		told++
		cancel()
	}))
	if told == 0 || (err != nil && !errors.Is(err, context.Canceled)) {
		t.Errorf("told %d times, %v", told, err)
	}
}

func TestProgressThatPanics(t *testing.T) {
	_, address := stalling(t)
	store := open(t, "artifactory://"+address+"/artifactory/models", mlfa.WithOption("no_ssl", "true"), mlfa.WithOption("token", "none"))
	target := filepath.Join(t.TempDir(), "a")
	func() {
		defer func() {
			if got := recover(); got != "told" {
				t.Errorf("instead of the panic came %v", got)
			}
		}()
		err := store.DownloadFile(context.Background(), "a", target, mlfa.OnProgress(func(mlfa.Progress) { panic("told") }))
		t.Errorf("a server that stalls: %v", err)
	}()
	// The download has ended, and cleaned up.
	left, err := os.ReadDir(filepath.Dir(target))
	if err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
