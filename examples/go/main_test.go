package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asServer has this program be the server instead of its tests.
const asServer = "ARTIFACTSERVER_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start starts the server on a free port and answers its URL and how to end it: with SIGTERM, and well.
func start(t *testing.T, uri string) (string, func()) {
	t.Helper()
	server := exec.Command(os.Args[0], uri)
	server.Env = append(os.Environ(), asServer+"=yes")
	server.Stderr = os.Stderr
	printed, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill() })
	line, err := bufio.NewReader(printed).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "listening on ") {
		t.Fatalf("the server printed %q, %v", line, err)
	}
	address := strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
	return "http://" + address + prefix, func() {
		t.Helper()
		if err := server.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := server.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
}

func ask(t *testing.T, method, url string, body io.Reader, headers ...string) (*http.Response, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for index := 0; index < len(headers); index += 2 {
		request.Header.Set(headers[index], headers[index+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, content
}

func TestServer(t *testing.T) {
	for _, uri := range []string{"memory:", "file://" + t.TempDir()} {
		url, end := start(t, uri)
		large := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
		for _, one := range []struct {
			method, path string
			body         []byte
			headers      []string
			status       int
			want         []byte
		}{
			{"PUT", "runs/large", large, nil, 201, nil},
			{"GET", "runs/large", nil, nil, 200, large},
			{"GET", "runs/large", nil, []string{"Range", "bytes=1599990-"}, 206, large[1_599_990:]},
			{"GET", "runs/large", nil, []string{"Range", "bytes=16-31"}, 206, large[16:32]},
			{"GET", "runs/large", nil, []string{"Range", "bytes=1600000-"}, 416, nil},
			{"HEAD", "runs/large", nil, nil, 200, []byte{}},
			{"PUT", "runs/a%20b", []byte("small"), nil, 201, nil},
			{"GET", "runs/a%20b", nil, nil, 200, []byte("small")},
			{"PUT", "runs/a%20b", []byte("other"), []string{"If-None-Match", "*"}, 412, nil},
			{"PUT", "empty", nil, nil, 201, nil},
			{"GET", "empty", nil, nil, 200, []byte{}},
			{"GET", "missing", nil, nil, 404, nil},
			{"GET", "a/%2E%2E/b", nil, nil, 400, nil},
			{"PUT", "%2E%2E/large", large[:200_000], nil, 400, nil},
			{"GET", "runs", nil, nil, 409, nil},
			{"DELETE", "empty", nil, nil, 204, nil},
			{"DELETE", "empty", nil, nil, 404, nil},
			{"POST", "empty", nil, nil, 405, nil},
		} {
			answer, content := ask(t, one.method, url+one.path, bytes.NewReader(one.body), one.headers...)
			if answer.StatusCode != one.status || (one.want != nil && !bytes.Equal(content, one.want)) {
				t.Errorf("%s %s: %s with %d bytes", one.method, one.path, answer.Status, len(content))
			}
		}
		_, content := ask(t, "GET", url+"?recursive", nil)
		var listed struct{ Files []entry }
		if err := json.Unmarshal(content, &listed); err != nil || len(listed.Files) != 3 || listed.Files[2] != (entry{"runs/large", false, 1_600_000}) {
			t.Errorf("listed are %s, %v", content, err)
		}
		if answer, content := ask(t, "GET", url+"runs/", nil); answer.StatusCode != 200 || !strings.Contains(string(content), `"runs/a b"`) {
			t.Errorf("listed are %s", content)
		}
		atOnce(t, url+"runs/large", large)
		// A body without a length, and one that breaks off.
		if answer, _ := ask(t, "PUT", url+"streamed", io.MultiReader(bytes.NewReader(large))); answer.StatusCode != 201 {
			t.Errorf("streamed: %s", answer.Status)
		}
		half(t, url).Close()
		if answer, _ := ask(t, "GET", url+"half", nil); answer.StatusCode != 404 {
			t.Errorf("half an artifact: %s", answer.Status)
		}
		left := half(t, url)
		defer left.Close()
		end()
	}
}

func atOnce(t *testing.T, url string, want []byte) {
	t.Helper()
	var all sync.WaitGroup
	for client := 0; client < 20; client++ {
		all.Add(1)
		go func() {
			defer all.Done()
			answer, err := http.Get(url)
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			if content, err := io.ReadAll(answer.Body); err != nil || !bytes.Equal(content, want) {
				t.Errorf("one of many got %d bytes, %v", len(content), err)
			}
		}()
	}
	all.Wait()
}

// half sends half of an artifact and leaves the connection open.
func half(t *testing.T, url string) net.Conn {
	t.Helper()
	connection, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), prefix))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connection.Write([]byte("PUT " + prefix + "half HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\nhalf")); err != nil {
		t.Fatal(err)
	}
	return connection
}
