package mlflowartifacts_test

import (
	"context"
	"io"
	"testing"

	mlfa "mlflowartifacts"
)

func BenchmarkStat(b *testing.B) {
	store := open(b, "memory:")
	put(b, store, "a", nil)
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	for round := 0; round < b.N; round++ {
		if _, err := store.Stat(ctx, "a"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStatInParallel(b *testing.B) {
	store := open(b, "memory:")
	put(b, store, "a", nil)
	b.SetParallelism(500)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := store.Stat(context.Background(), "a"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkGet64Bytes(b *testing.B) {
	store := open(b, "memory:")
	put(b, store, "a", noise(64))
	b.ReportAllocs()
	b.ResetTimer()
	for round := 0; round < b.N; round++ {
		if _, err := store.Get(context.Background(), "a"); err != nil {
			b.Fatal(err)
		}
	}
}

const streamed = 64 << 20

func BenchmarkWriteTo(b *testing.B) {
	store := open(b, "memory:")
	put(b, store, "a", noise(streamed))
	b.SetBytes(streamed)
	b.ResetTimer()
	for round := 0; round < b.N; round++ {
		reader, err := store.Reader(context.Background(), "a")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := reader.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
		reader.Close()
	}
}

func BenchmarkWrite(b *testing.B) {
	store := open(b, "memory:")
	content := noise(streamed)
	b.SetBytes(streamed)
	b.ResetTimer()
	for round := 0; round < b.N; round++ {
		writer, err := store.Writer(context.Background(), "a", mlfa.WithLength(streamed))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := writer.Write(content); err != nil {
			b.Fatal(err)
		}
		if err := writer.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
