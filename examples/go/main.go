// Artifactserver is a small HTTP server of artifacts.
//
//	artifactserver [-listen 127.0.0.1:8080] STORE_URI
//
//	GET /artifacts/PATH     the artifact, or the range of it that is asked for
//	GET /artifacts/PATH/    what is in a directory, as JSON; with ?recursive all that is below it
//	PUT /artifacts/PATH     stores the body; with If-None-Match: * only if nothing is there
//	DELETE /artifacts/PATH  removes the artifact
//
// It prints where it listens, and ends on SIGTERM and SIGINT when those who are being served are. Content passes through piece by
// piece, whatever its size. It knows no users: it is an example.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	mlfa "mlflowartifacts"
)

// prefix is what the paths of requests begin with.
const prefix = "/artifacts/"

// grace is how long a server that ends waits for those who are being served.
const grace = 2 * time.Second

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", "127.0.0.1:0", "the address to listen on")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: artifactserver [-listen ADDRESS] STORE_URI")
	}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ended, *listen, flag.Arg(0)); err != nil {
		log.Fatal(err)
	}
}

// run serves until the context ends.
func run(ctx context.Context, address, uri string) error {
	store, err := mlfa.Open(ctx, uri)
	if err != nil {
		return err
	}
	defer store.Close()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	// Not a ServeMux, which would clean paths up: the store refuses what is no path of an artifact.
	server := &http.Server{Handler: &handler{store}, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	waiting, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(waiting); err != nil {
		// What they began to store is given up.
		return server.Close()
	}
	return nil
}

type handler struct {
	store *mlfa.Store
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, prefix) {
		http.NotFound(w, r)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, prefix)
	isDirectory := path == "" || strings.HasSuffix(path, "/")
	var err error
	switch {
	case r.Method == http.MethodGet && isDirectory:
		err = h.list(w, r, strings.TrimSuffix(path, "/"))
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		err = h.get(w, r, path)
	case r.Method == http.MethodPut:
		err = h.put(w, r, path)
	case r.Method == http.MethodDelete:
		err = h.delete(w, r, path)
	default:
		w.Header().Set("Allow", "GET, HEAD, PUT, DELETE")
		http.Error(w, "there is no such method here", http.StatusMethodNotAllowed)
	}
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
	}
}

// get leaves ranges and conditions to net/http, which reads and seeks as it needs.
func (h *handler) get(w http.ResponseWriter, r *http.Request, path string) error {
	reader, err := h.store.Reader(r.Context(), path)
	if err != nil {
		return err
	}
	defer reader.Close()
	info := reader.Info()
	if info.ETag() != "" {
		w.Header().Set("ETag", `"`+strings.Trim(info.ETag(), `"`)+`"`)
	}
	http.ServeContent(w, r, info.Name(), info.ModTime(), reader)
	return nil
}

func (h *handler) put(w http.ResponseWriter, r *http.Request, path string) error {
	options := []mlfa.PutOption{mlfa.WithLength(r.ContentLength)}
	if r.Header.Get("If-None-Match") == "*" {
		options = append(options, mlfa.CreateNew())
	}
	writer, err := h.store.Writer(r.Context(), path, options...)
	if err != nil {
		return err
	}
	// A client that goes away in the middle leaves nothing.
	defer writer.Abort()
	if _, err := io.Copy(writer, r.Body); err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (h *handler) delete(w http.ResponseWriter, r *http.Request, path string) error {
	removed, err := h.store.Delete(r.Context(), path)
	if err != nil {
		return err
	}
	if !removed {
		http.NotFound(w, r)
		return nil
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// An entry is one of a listing, named as MLflow's REST interface does.
type entry struct {
	Path  string `json:"path"`
	IsDir bool   `json:"is_dir"`
	Size  int64  `json:"file_size"`
}

func (h *handler) list(w http.ResponseWriter, r *http.Request, directory string) error {
	var options []mlfa.TreeOption
	if r.URL.Query().Has("recursive") {
		options = append(options, mlfa.Recursive())
	}
	infos, err := h.store.List(r.Context(), directory, options...)
	if err != nil {
		return err
	}
	entries := make([]entry, len(infos))
	for index, info := range infos {
		entries[index] = entry{info.Path(), info.IsDir(), info.Size()}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string][]entry{"files": entries})
}

// statusOf says in HTTP's words what went wrong.
func statusOf(err error) int {
	var failed *mlfa.Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, fs.ErrExist), errors.Is(err, mlfa.StatusPreconditionFailed):
		return http.StatusPreconditionFailed
	case errors.Is(err, mlfa.StatusIsADirectory), errors.Is(err, mlfa.StatusNotADirectory):
		return http.StatusConflict
	case errors.Is(err, fs.ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, fs.ErrPermission):
		return http.StatusForbidden
	case errors.As(err, &failed) && failed.Retryable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadGateway
	}
}
