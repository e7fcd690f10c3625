package mlflowartifacts_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	mlfa "mlflowartifacts"
)

func Example() {
	ctx := context.Background()
	store, err := mlfa.Open(ctx, "memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Put(ctx, "model/MLmodel", []byte("flavors: {}\n")); err != nil {
		log.Fatal(err)
	}
	infos, err := store.List(ctx, "model")
	if err != nil {
		log.Fatal(err)
	}
	for _, info := range infos {
		fmt.Println(info.Path(), info.Size())
	}
	// Output: model/MLmodel 12
}

func ExampleOpen() {
	store, err := mlfa.Open(context.Background(), "artifactory://art.example/artifactory/models",
		mlfa.WithOption("token_file", "/run/secrets/artifactory"),
		mlfa.WithoutEnvironment(),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	fmt.Println(store.Scheme(), store.Capabilities().Has(mlfa.CapabilityProperties))
	// Output: artifactory true
}

func ExampleWithTrustedURIs() {
	_, err := mlfa.Open(context.Background(), "artifactory://evil.example/artifactory/models",
		mlfa.WithTrustedURIs("artifactory://art.example/artifactory/models"))
	fmt.Println(errors.Is(err, mlfa.StatusHostNotAllowed), errors.Is(err, fs.ErrPermission))
	// Output: true true
}

func ExampleStore_Writer() {
	ctx := context.Background()
	store, err := mlfa.Open(ctx, "memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	write := func(source io.Reader) error {
		w, err := store.Writer(ctx, "log.txt")
		if err != nil {
			return err
		}
		defer w.Abort() // does nothing after Close
		if _, err := io.Copy(w, source); err != nil {
			return err
		}
		return w.Close()
	}
	if err := write(strings.NewReader("epoch 1\n")); err != nil {
		log.Fatal(err)
	}
	content, err := store.Get(ctx, "log.txt")
	fmt.Printf("%s%v", content, err)
	// Output:
	// epoch 1
	// <nil>
}

func ExampleStore_Reader() {
	ctx := context.Background()
	store, err := mlfa.Open(ctx, "memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Put(ctx, "log.txt", []byte("epoch 1\nepoch 2\n")); err != nil {
		log.Fatal(err)
	}
	r, err := store.Reader(ctx, "log.txt", mlfa.Range(8, -1))
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(os.Stdout, r); err != nil {
		log.Fatal(err)
	}
	// Output: epoch 2
}

func ExampleStore_UploadTree() {
	ctx := context.Background()
	directory, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(directory)
	if err := os.WriteFile(filepath.Join(directory, "MLmodel"), []byte("flavors: {}\n"), 0o666); err != nil {
		log.Fatal(err)
	}
	store, err := mlfa.Open(ctx, "memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	report, err := store.UploadTree(ctx, directory, "model", mlfa.OnProgress(func(progress mlfa.Progress) {
		fmt.Printf("%d of %d files\n", progress.FilesDone, progress.FilesFound)
	}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Count(mlfa.OutcomeTransferred), "transferred,", report.Bytes(), "bytes")
	// Output:
	// 1 of 1 files
	// 1 transferred, 12 bytes
}

func ExampleStore_FS() {
	ctx := context.Background()
	store, err := mlfa.Open(ctx, "memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	for _, path := range []string{"model/MLmodel", "model/data/model.pkl"} {
		if _, err := store.Put(ctx, path, nil); err != nil {
			log.Fatal(err)
		}
	}
	err = fs.WalkDir(store.FS(ctx), ".", func(path string, entry fs.DirEntry, err error) error {
		fmt.Println(path)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// .
	// model
	// model/MLmodel
	// model/data
	// model/data/model.pkl
}

func ExampleError() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	store, err := mlfa.Open(ctx, "memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	_, err = store.Get(ctx, "missing")
	var failed *mlfa.Error
	switch {
	case errors.Is(err, fs.ErrNotExist) && errors.As(err, &failed):
		fmt.Println(failed.Status, failed.Path)
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Println("too late")
	}
	// Output: not_found missing
}
