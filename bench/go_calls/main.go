// Gocalls measures what a call costs from Go, on a store in memory.
//
//	go run .
//
// It prints a line for each kind of call: its name and the nanoseconds that one takes, the least of several rounds. Those in parallel
// are made by many goroutines at the same time, and what is told is how long all took, divided by the calls.
package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	mlfa "mlflowartifacts"
)

const (
	rounds     = 10
	calls      = 5000
	goroutines = 256
	size       = 4 << 10
	path       = "run/artifact"
)

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	store, err := mlfa.Open(ctx, "memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	content := make([]byte, size)
	for _, kind := range []struct {
		name string
		call func() error
	}{
		// First, for the others look for what it puts.
		{"put_4k", func() error { _, err := store.Put(ctx, path, content); return err }},
		{"stat", func() error { _, err := store.Stat(ctx, path); return err }},
		{"get_4k", func() error { _, err := store.Get(ctx, path); return err }},
	} {
		fmt.Printf("%s %d\n", kind.name, least(kind.call, 1))
		fmt.Printf("%s_in_parallel %d\n", kind.name, least(kind.call, goroutines))
	}
}

// least is how many nanoseconds one of many calls takes in the best of the rounds.
func least(call func() error, callers int) int64 {
	best := int64(1) << 62
	for round := 0; round < rounds; round++ {
		if took := measure(call, callers); took < best {
			best = took
		}
	}
	return best
}

func measure(call func() error, callers int) int64 {
	each := calls / callers
	var all sync.WaitGroup
	started := time.Now()
	for caller := 0; caller < callers; caller++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for done := 0; done < each; done++ {
				if err := call(); err != nil {
					log.Fatal(err)
				}
			}
		}()
	}
	all.Wait()
	return time.Since(started).Nanoseconds() / int64(each*callers)
}
