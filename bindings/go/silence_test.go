package mlflowartifacts_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// silence listens and answers nothing.
func silence(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				_, _ = io.Copy(io.Discard, connection)
			}()
		}
	}()
	return listener.Addr().String()
}

// stalling answers every request for an artifact with its first bytes, and then nothing more.
func stalling(t *testing.T) (<-chan struct{}, string) {
	t.Helper()
	asked := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		w.Header().Set("X-Checksum-Sha1", strings.Repeat("0", 40))
		w.Header().Set("X-Checksum-Sha256", strings.Repeat("0", 64))
		_, _ = w.Write([]byte("first bytes"))
		w.(http.Flusher).Flush()
		if r.Method == http.MethodHead {
			return
		}
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	return asked, server.Listener.Addr().String()
}
