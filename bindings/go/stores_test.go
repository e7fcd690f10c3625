package mlflowartifacts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mlfa "mlflowartifacts"
)

// servedStores are those that need a server: a list in JSON, from whoever started the servers.
const servedStores = "MLFA_TEST_STORES"

type place struct {
	Name    string            `json:"name"`
	URI     string            `json:"uri"`
	Options map[string]string `json:"options"`
}

var places atomic.Int64

// served are the stores behind servers. Which there must be is known to whoever starts them.
func served(t testing.TB) []place {
	t.Helper()
	told := os.Getenv(servedStores)
	if told == "" {
		return nil
	}
	var found []place
	if err := json.Unmarshal([]byte(told), &found); err != nil {
		t.Fatalf("%s: %v", servedStores, err)
	}
	return found
}

// forEachStore runs a test on an empty store of every kind at hand.
func forEachStore(t *testing.T, test func(*testing.T, *mlfa.Store)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { test(t, open(t, "memory:")) })
	t.Run("file", func(t *testing.T) { test(t, open(t, "file://"+t.TempDir())) })
	for _, place := range served(t) {
		uri := fmt.Sprintf("%s/go-%d-%d", place.URI, time.Now().UnixNano(), places.Add(1))
		options := place.Options
		t.Run(place.Name, func(t *testing.T) { test(t, open(t, uri, mlfa.WithOptions(options))) })
	}
}

func open(t testing.TB, uri string, options ...mlfa.OpenOption) *mlfa.Store {
	t.Helper()
	store, err := mlfa.Open(context.Background(), uri, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func put(t testing.TB, store *mlfa.Store, path string, data []byte, options ...mlfa.PutOption) *mlfa.Info {
	t.Helper()
	info, err := store.Put(context.Background(), path, data, options...)
	if err != nil {
		t.Fatalf("put %s: %v", path, err)
	}
	return info
}

func wantContent(t testing.TB, store *mlfa.Store, path string, want []byte) {
	t.Helper()
	got, err := store.Get(context.Background(), path)
	if err != nil {
		t.Fatalf("get %s: %v", path, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s has %d bytes, not the %d that it should", path, len(got), len(want))
	}
}

// noise is content of which no part is like another.
func noise(size int) []byte {
	content := make([]byte, size)
	state := uint32(size) | 1
	for index := range content {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		content[index] = byte(state)
	}
	return content
}

func paths(infos []*mlfa.Info) string {
	var all []string
	for _, info := range infos {
		all = append(all, info.String())
	}
	return strings.Join(all, " ")
}
