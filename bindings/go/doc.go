// Package mlflowartifacts stores and fetches MLflow artifacts in any store, chosen by URI: local directories, Artifactory, S3 and
// what speaks its protocol, Azure, Google Cloud Storage, SFTP, FTP, and memory for tests.
//
//	store, err := mlflowartifacts.Open(ctx, "s3://models/1/abc/artifacts")
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	report, err := store.UploadTree(ctx, "model", "model")
//
// It is the library libmlflow_artifacts, which is written in Rust, with nothing between it and Go but this package. Build the
// library and let pkg-config find it (make install PREFIX=/usr/local); the build tag mlfa_static links its archive instead of the
// shared library.
//
// # Which call for what
//
// Small content goes by [Store.Put] and [Store.Get]. What comes or goes piece by piece goes by [Store.Writer] and [Store.Reader],
// which are what io.Copy and the rest of the standard library expect. Files and trees on disk go by [Store.UploadFile],
// [Store.UploadTree], [Store.DownloadFile] and [Store.DownloadTree]: their bytes never pass through Go, parts of large files travel
// at the same time, and memory is bounded. What reads file systems reads a [Store.FS].
//
// # Contexts
//
// Every call ends soon after its context does, with an error that is context.Canceled or context.DeadlineExceeded for errors.Is. A
// call that answers has ended: nothing of it goes on behind it, and one that was cancelled while it wrote has cleaned up, for which it
// waits a few seconds if the server is silent. It may have been too late to cancel it; then it answers as if nobody had tried.
//
// # Errors
//
// They are *[Error], and what errors.Is knows of them is what the standard library has for the same: fs.ErrNotExist, fs.ErrExist,
// fs.ErrPermission, fs.ErrInvalid, fs.ErrClosed, os.ErrDeadlineExceeded. The [Status] has what it has no word for. The library repeats
// what failed for a passing reason by itself, so an error is worth telling.
//
// # Goroutines
//
// A [Store] may be used by any number of them. Calls block the goroutine that makes them and no thread of the system: Go's poller
// waits for the ends of all. A call to a local store, if no other is in flight, waits for up to 50 microseconds on its thread, which is
// mostly all that it takes. Opening and closing wait for nothing, but for the Close that is the last of what was opened with the same
// trusted URIs: until what was cancelled there has cleaned up, 10 seconds at most.
//
// # Closing
//
// Close stores, readers, writers and uploads in parts. Those that the garbage collector finds are freed too, but late: connections and
// temporaries stay until then.
package mlflowartifacts
