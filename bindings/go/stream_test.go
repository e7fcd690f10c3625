package mlflowartifacts_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/iotest"
	"time"

	mlfa "mlflowartifacts"
)

func TestReader(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		ctx := context.Background()
		content := noise(1_000_003)
		put(t, store, "large", content)
		reader, err := store.Reader(ctx, "large")
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		if reader.Size() != int64(len(content)) || reader.Info().Path() != "large" {
			t.Errorf("being read is %v of %d bytes", reader.Info(), reader.Size())
		}
		var got bytes.Buffer
		if count, err := io.Copy(&got, reader); err != nil || count != int64(len(content)) || !bytes.Equal(got.Bytes(), content) {
			t.Errorf("copied are %d bytes, %v", count, err)
		}
		if count, err := reader.Read(make([]byte, 10)); count != 0 || err != io.EOF {
			t.Errorf("after the end: %d, %v", count, err)
		}
		for _, at := range []int64{999_999, 0, 500_000, 500_010, 500_000, 1_000_003, 2_000_000} {
			if got, err := reader.Seek(at, io.SeekStart); got != at || err != nil {
				t.Fatalf("seek to %d: %d, %v", at, got, err)
			}
			want := content[min64(at, int64(len(content))):]
			if len(want) > 1000 {
				want = want[:1000]
			}
			got := make([]byte, 1000)
			count, err := io.ReadFull(reader, got)
			if count != len(want) || !bytes.Equal(got[:count], want) || (count == 1000 && err != nil) {
				t.Errorf("at %d: %d bytes, %v", at, count, err)
			}
		}
		if at, err := reader.Seek(-3, io.SeekEnd); at != int64(len(content))-3 || err != nil {
			t.Errorf("seek from the end: %d, %v", at, err)
		}
		rest, err := io.ReadAll(reader)
		if err != nil || !bytes.Equal(rest, content[len(content)-3:]) {
			t.Errorf("the last bytes are %v, %v", rest, err)
		}
		for _, whence := range []int{io.SeekStart, 7} {
			if _, err := reader.Seek(-1, whence); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("seek to nowhere: %v", err)
			}
		}
	})
}

func min64(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func TestReaderIsWhatTheStandardLibraryWants(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		// Each byte is read by a request of its own, too.
		content := noise(150)
		put(t, store, "a", content)
		for _, one := range []struct {
			options []mlfa.ReadOption
			want    []byte
		}{
			{nil, content},
			{[]mlfa.ReadOption{mlfa.Range(0, -1)}, content},
			{[]mlfa.ReadOption{mlfa.Range(50, 20)}, content[50:70]},
			{[]mlfa.ReadOption{mlfa.Range(140, 50)}, content[140:]},
			{[]mlfa.ReadOption{mlfa.Range(100, 0)}, nil},
			{[]mlfa.ReadOption{mlfa.Range(150, 10)}, nil},
			{[]mlfa.ReadOption{mlfa.Range(160, -1)}, nil},
		} {
			reader, err := store.Reader(context.Background(), "a", one.options...)
			if err != nil {
				t.Fatal(err)
			}
			if reader.Size() != int64(len(one.want)) {
				t.Errorf("the range has %d bytes, not %d", reader.Size(), len(one.want))
			}
			if err := iotest.TestReader(reader, one.want); err != nil {
				t.Error(err)
			}
			if err := reader.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestReadAtOfWhatWasReplaced(t *testing.T) {
	store := open(t, "memory:")
	put(t, store, "a", []byte("first content"))
	reader, err := store.Reader(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	put(t, store, "a", []byte("other content"))
	if _, err := reader.ReadAt(make([]byte, 5), 0); !errors.Is(err, mlfa.StatusPreconditionFailed) {
		t.Errorf("contents were mixed: %v", err)
	}
}

func TestCloseEndsAReadThatWaits(t *testing.T) {
	connected, address := stalling(t)
	store := open(t, "artifactory://"+address+"/artifactory/models", mlfa.WithOption("no_ssl", "true"), mlfa.WithOption("token", "none"))
	reader, err := store.Reader(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	<-connected
	ended := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(reader)
		ended <- err
	}()
	time.Sleep(20 * time.Millisecond)
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("the read ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the read goes on")
	}
}

func TestWriter(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		ctx := context.Background()
		content := noise(1_000_003)
		for name, write := range map[string]func(*mlfa.Writer) error{
			"at once": func(writer *mlfa.Writer) error {
				_, err := writer.Write(content)
				return err
			},
			"in pieces": func(writer *mlfa.Writer) error {
				for left := content; len(left) > 0; {
					count, err := writer.Write(left[:min64(int64(len(left)), 9999)])
					if err != nil {
						return err
					}
					left = left[count:]
				}
				return nil
			},
			"from a reader": func(writer *mlfa.Writer) error {
				count, err := writer.ReadFrom(iotest.HalfReader(bytes.NewReader(content)))
				if count != int64(len(content)) {
					t.Errorf("read are %d bytes", count)
				}
				return err
			},
		} {
			writer, err := store.Writer(ctx, "w/"+name)
			if err != nil {
				t.Fatal(err)
			}
			if err := write(writer); err != nil {
				t.Fatal(err)
			}
			if exists, err := store.Exists(ctx, "w/"+name); exists || err != nil {
				t.Errorf("there before Close: %v, %v", exists, err)
			}
			if writer.Info() != nil {
				t.Error("there is an info before Close")
			}
			if err := writer.Close(); err != nil {
				t.Fatal(err)
			}
			if writer.Info().Size() != int64(len(content)) {
				t.Errorf("written are %d bytes", writer.Info().Size())
			}
			if err := writer.Abort(); err != nil {
				t.Errorf("Abort after Close: %v", err)
			}
			for _, more := range []string{"", "more"} {
				if _, err := writer.Write([]byte(more)); !errors.Is(err, fs.ErrClosed) || errors.Is(err, fs.ErrInvalid) {
					t.Errorf("written after Close: %v", err)
				}
			}
			wantContent(t, store, "w/"+name, content)
		}
		empty, err := store.Writer(ctx, "empty")
		if err != nil {
			t.Fatal(err)
		}
		if err := empty.Close(); err != nil {
			t.Fatal(err)
		}
		wantContent(t, store, "empty", nil)
	})
}

func TestWriterThatIsGivenUp(t *testing.T) {
	broken := errors.New("broken source")
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		put(t, store, "a", []byte("before"))
		for name, end := range map[string]func(*mlfa.Writer, context.CancelFunc) (error, error){
			"aborted": func(writer *mlfa.Writer, _ context.CancelFunc) (error, error) {
				if err := writer.Abort(); err != nil {
					t.Errorf("Abort: %v", err)
				}
				return writer.Close(), fs.ErrClosed
			},
			"cancelled": func(writer *mlfa.Writer, cancel context.CancelFunc) (error, error) {
				cancel()
				return writer.Close(), context.Canceled
			},
			"from a reader that fails": func(writer *mlfa.Writer, _ context.CancelFunc) (error, error) {
				if _, err := io.Copy(writer, iotest.ErrReader(broken)); err != broken {
					t.Errorf("the copy answers %v", err)
				}
				return writer.Close(), broken
			},
		} {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			writer, err := store.Writer(ctx, "a")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := writer.Write(noise(600_000)); err != nil {
				t.Fatal(err)
			}
			if err, want := end(writer, cancel); !errors.Is(err, want) {
				t.Errorf("%s: Close answers %v", name, err)
			}
			wantContent(t, store, "a", []byte("before"))
		}
		infos, err := store.List(context.Background(), "")
		if err != nil || paths(infos) != "a" {
			t.Errorf("left is %q, %v", paths(infos), err)
		}
	})
}

func TestWriterOfAnotherLength(t *testing.T) {
	forEachStore(t, func(t *testing.T, store *mlfa.Store) {
		for _, length := range []int64{4, 6} {
			writer, err := store.Writer(context.Background(), "a", mlfa.WithLength(length))
			if err != nil {
				t.Fatal(err)
			}
			_, writeErr := writer.Write([]byte("12345"))
			if err := writer.Close(); !errors.Is(err, mlfa.StatusSizeMismatch) && !errors.Is(writeErr, mlfa.StatusSizeMismatch) {
				t.Errorf("5 bytes of %d: %v, %v", length, writeErr, err)
			}
		}
		if exists, err := store.Exists(context.Background(), "a"); exists || err != nil {
			t.Errorf("it is there: %v, %v", exists, err)
		}
	})
}

type countlessReader struct{}

func (countlessReader) Read(p []byte) (int, error) { return len(p) + 1, nil }

func TestWriterFromAReaderThatMiscounts(t *testing.T) {
	store := open(t, "memory:")
	writer, err := store.Writer(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.ReadFrom(countlessReader{}); err == nil {
		t.Error("more bytes were read than there is space for")
	}
	if err := writer.Close(); err == nil {
		t.Error("it was written")
	}
}
