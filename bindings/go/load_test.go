package mlflowartifacts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mlfa "mlflowartifacts"
	"mlflowartifacts/internal/heap"
)

const goroutines = 256

// Operations in flight have no threads of their own.
func TestManyInFlight(t *testing.T) {
	store := open(t, "artifactory://"+silence(t)+"/artifactory/models", mlfa.WithOption("no_ssl", "true"), mlfa.WithOption("token", "none"))
	before := threads(t)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for number := 0; number < goroutines; number++ {
		all.Add(1)
		go func() {
			defer all.Done()
			if _, err := store.Stat(ctx, "a"); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
	}
	time.Sleep(200 * time.Millisecond)
	during := threads(t)
	cancel()
	all.Wait()
	t.Logf("%d threads with %d calls in flight, %d before", during, goroutines, before)
	if during > before+goroutines/2 {
		t.Errorf("%d threads", during-before)
	}
}

// loadTime is how long the stores are under load: a minute, or 2 s with -short.
func loadTime() time.Duration {
	if testing.Short() {
		return 2 * time.Second
	}
	return time.Minute
}

// Many goroutines do one thing and another with one store: none fails, and memory does not grow.
func TestLoad(t *testing.T) {
	for _, uri := range []string{"memory:", "file://" + t.TempDir()} {
		name := strings.Split(uri, ":")[0]
		uri := uri
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t, uri)
			content := noise(50_000)
			var rounds, begun atomic.Int64
			var all sync.WaitGroup
			ctx := context.Background()
			end := time.Now().Add(loadTime())
			for number := 0; number < goroutines; number++ {
				all.Add(1)
				go func(number int) {
					defer all.Done()
					for round := 0; time.Now().Before(end) || round < 2; round++ {
						if err := mix(ctx, store, fmt.Sprintf("g%d", number), content, round); err != nil {
							t.Errorf("goroutine %d, round %d: %v", number, round, err)
							return
						}
						rounds.Add(1)
						if round == 1 {
							begun.Add(1)
						}
					}
				}(number)
			}
			time.Sleep(loadTime() / 4)
			// Until each has done one of each twice, memory grows by what they begin with.
			for begun.Load() < goroutines && !t.Failed() {
				time.Sleep(10 * time.Millisecond)
			}
			quarter := resident(t)
			time.Sleep(time.Until(end))
			whole := resident(t)
			all.Wait()
			t.Logf("%d rounds by %d goroutines; resident after a quarter %d MiB, at the end %d MiB", rounds.Load(), goroutines, quarter>>20, whole>>20)
			if rounds.Load() < goroutines {
				t.Errorf("only %d rounds", rounds.Load())
			}
			if limit := quarter + quarter/4 + 32<<20; whole > limit {
				t.Errorf("memory grew from %d to %d MiB", quarter>>20, whole>>20)
			}
		})
	}
}

// mix does one of each.
func mix(ctx context.Context, store *mlfa.Store, directory string, content []byte, round int) error {
	path := directory + "/a"
	if _, err := store.Put(ctx, path, content[:round%len(content)]); err != nil {
		return err
	}
	info, err := store.Stat(ctx, path)
	if err != nil {
		return err
	}
	if info.Size() != int64(round%len(content)) {
		return fmt.Errorf("%d bytes", info.Size())
	}
	writer, err := store.Writer(ctx, directory+"/b")
	if err != nil {
		return err
	}
	defer writer.Abort()
	if _, err := writer.Write(content); err != nil {
		return err
	}
	if round%3 == 0 {
		if err := writer.Abort(); err != nil {
			return err
		}
	} else if err := writer.Close(); err != nil {
		return err
	}
	if round%3 != 0 {
		reader, err := store.Reader(ctx, directory+"/b")
		if err != nil {
			return err
		}
		defer reader.Close()
		got, err := io.ReadAll(reader)
		if err != nil || !bytes.Equal(got, content) {
			return fmt.Errorf("%d bytes, %w", len(got), err)
		}
	}
	if infos, err := store.List(ctx, directory); err != nil || len(infos) == 0 {
		return fmt.Errorf("%d entries, %w", len(infos), err)
	}
	if _, err := store.Get(ctx, directory+"/missing"); err == nil {
		return fmt.Errorf("what is missing is there")
	}
	short, cancel := context.WithTimeout(ctx, time.Duration(round%50)*time.Microsecond)
	_, _ = store.Get(short, path)
	cancel()
	_, err = store.Delete(ctx, directory+"/b")
	return err
}

// threads are those of the process.
func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

// resident is how much memory the process has.
func resident(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(status))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// leakRounds are made of what is cheap in each run. With -count=100 there are ten thousand, and the least that leaks in each of them
// is more than what comes and goes with threads.
const (
	leakRounds = 100
	leakNoise  = 512 << 10
)

// What was in use after the first rounds of the process: -count=100 compares with it a hundred times.
var leakBaseline struct {
	sync.Once
	heap        int64
	descriptors int
	goroutines  int
}

// TestLeak runs everything that makes handles, also what fails and what is forgotten, and counts what is in use.
func TestLeak(t *testing.T) {
	leakBaseline.Do(func() {
		for round := 0; round < 5; round++ {
			everything(t)
		}
		leakBaseline.heap, leakBaseline.descriptors, leakBaseline.goroutines = settled(0), descriptors(t), runtime.NumGoroutine()
	})
	everything(t)
	if inUse := settled(leakBaseline.heap + leakNoise); inUse > leakBaseline.heap+leakNoise {
		t.Errorf("in use are %d bytes, %d at first", inUse, leakBaseline.heap)
	}
	if open := fallen(func() int { return descriptors(t) }, leakBaseline.descriptors); open > leakBaseline.descriptors {
		t.Errorf("open are %d descriptors, %d at first", open, leakBaseline.descriptors)
	}
	if running := fallen(runtime.NumGoroutine, leakBaseline.goroutines); running > leakBaseline.goroutines {
		t.Errorf("running are %d goroutines, %d at first", running, leakBaseline.goroutines)
	}
}

// fallen is a count when it is at most enough, or what it still is after a while: some of it goes a moment later than what had it.
func fallen(count func() int, enough int) int {
	for tries := 0; tries < 1000 && count() > enough; tries++ {
		time.Sleep(10 * time.Millisecond)
	}
	return count()
}

// settled is what is in use when finalizers and the library's threads have done what they had to, or when it is at most enough.
func settled(enough int64) int64 {
	least := int64(1) << 62
	for tries := 0; tries < 2000 && least > enough; tries++ {
		runtime.GC()
		time.Sleep(5 * time.Millisecond)
		if inUse := heap.InUse(); inUse < least {
			least = inUse
		} else if enough == 0 && tries > 10 {
			break
		}
	}
	return least
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func everything(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	for _, options := range [][]mlfa.OpenOption{nil, {mlfa.WithTrustedURIs("memory:")}} {
		store, err := mlfa.Open(ctx, "memory:", options...)
		if err != nil {
			t.Fatal(err)
		}
		put(t, store, "d/a", noise(1000))
		target := t.TempDir()
		if _, err := store.DownloadTree(ctx, "d", target); err != nil {
			t.Fatal(err)
		}
		if _, err := store.UploadTree(ctx, target, "up", mlfa.OnProgress(func(mlfa.Progress) {})); err != nil {
			t.Fatal(err)
		}
		if _, err := store.UploadTree(ctx, target+"/missing", "up"); err == nil {
			t.Fatal("what is missing was stored")
		}
		upload, err := store.CreateMultipart(ctx, "parts")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := upload.PutPart(ctx, 1, []byte("part")); err != nil {
			t.Fatal(err)
		}
		if _, err := upload.Complete(ctx); err != nil {
			t.Fatal(err)
		}
		upload.Close()
		if _, err := store.Presign(ctx, "GET", "d/a", time.Minute); err == nil {
			t.Fatal("memory signed a request")
		}
		if _, err := store.Properties(ctx, "d/a"); err == nil && !store.Capabilities().Has(mlfa.CapabilityProperties) {
			t.Fatal("there are properties")
		}
		if _, err := store.Describe(ctx); err != nil {
			t.Fatal(err)
		}
		panics(t, store, target)
		forget(t, store)
		for round := 0; round < leakRounds/2; round++ {
			if err := mix(ctx, store, "m", noise(100), round); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := mlfa.Open(ctx, "nothing:"); err == nil {
		t.Fatal("nothing was opened")
	}
}

// panics is a transfer that is told of its progress, and panics.
func panics(t *testing.T, store *mlfa.Store, source string) {
	t.Helper()
	defer func() {
		if recover() != "told" {
			t.Fatal("what was told of progress was lost")
		}
	}()
	_, err := store.UploadTree(context.Background(), source, "up", mlfa.OnProgress(func(mlfa.Progress) { panic("told") }))
	t.Fatal(err)
}

// forget leaves a reader, a writer and a listing to the collector.
func forget(t *testing.T, store *mlfa.Store) {
	t.Helper()
	reader, err := store.Reader(context.Background(), "d/a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	writer, err := store.Writer(context.Background(), "forgotten")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write([]byte("forgotten")); err != nil {
		t.Fatal(err)
	}
	store.All(context.Background(), "")(func(*mlfa.Info, error) bool { return false })
}
