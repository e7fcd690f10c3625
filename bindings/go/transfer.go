package mlflowartifacts

import (
	"context"
	"errors"
)

// Progress is where a transfer stands. What was found grows while a tree is being walked.
type Progress struct {
	// FilesFound are the files found so far, FilesDone those transferred, FilesFailed those that failed.
	FilesFound, FilesDone, FilesFailed int64
	// BytesFound are those of the files found so far, BytesDone those transferred.
	BytesFound, BytesDone int64
}

// Outcome is what became of a file of a tree.
type Outcome int32

// What can become of a file.
const (
	// OutcomeTransferred: the file stands at its target, whole.
	OutcomeTransferred Outcome = iota
	// OutcomeSkipped: the entry was left out on purpose.
	OutcomeSkipped
	// OutcomeFailed: the file does not stand at its target.
	OutcomeFailed
)

// String is transferred, skipped or failed.
func (outcome Outcome) String() string {
	switch outcome {
	case OutcomeTransferred:
		return "transferred"
	case OutcomeSkipped:
		return "skipped"
	default:
		return "failed"
	}
}

// A Report is what became of each file of a tree, in no particular order.
type Report struct {
	Files []FileReport
}

// A FileReport is what became of one file.
type FileReport struct {
	// Name is relative to the tree's top.
	Name string
	// Outcome says whether it was transferred.
	Outcome Outcome
	// Size is how many bytes a file has that was transferred.
	Size int64
	// Status is why it failed; 0 if it did not.
	Status Status
	// Message is why it failed or was skipped, in one line.
	Message string
}

// Count is how many files had this outcome.
func (report *Report) Count(outcome Outcome) int {
	count := 0
	for _, file := range report.Files {
		if file.Outcome == outcome {
			count++
		}
	}
	return count
}

// Bytes are those of all files that were transferred.
func (report *Report) Bytes() int64 {
	var bytes int64
	for _, file := range report.Files {
		bytes += file.Size
	}
	return bytes
}

// UploadFile stores the local file at a path, following symbolic links. Its bytes never pass through Go: this is the fastest way
// to store a file. On failure nothing new is visible.
func (s *Store) UploadFile(ctx context.Context, local, path string, options ...TransferOption) error {
	_, err := s.transfer(ctx, options, func(native nativeTransferOptions) operation {
		return operation{name: "upload", path: path, start: startUploadFile(local, path, native)}
	})
	return err
}

// DownloadFile fetches the file at a path to a local file, replacing that and making its directory. Its bytes never pass through
// Go. They are compared by size, and digest where the store offers one, before the file gets its name.
func (s *Store) DownloadFile(ctx context.Context, path, local string, options ...TransferOption) error {
	_, err := s.transfer(ctx, options, func(native nativeTransferOptions) operation {
		return operation{name: "download", path: path, start: startDownloadFile(path, local, native)}
	})
	return err
}

// UploadTree stores what is in the local directory below a path, files in parallel. Hidden files go along; a symbolic link to a
// file is stored as that file, one to a directory is skipped. A file that fails does not stop the others: then there is an error
// and a report too.
func (s *Store) UploadTree(ctx context.Context, local, path string, options ...TransferOption) (*Report, error) {
	return s.transferTree(ctx, options, func(native nativeTransferOptions) operation {
		return operation{name: "upload", path: path, start: startUploadTree(local, path, native), answers: answersReport}
	})
}

// DownloadTree fetches everything below a directory into a local directory, files in parallel. What stands there already stays
// unless a file replaces it, and no file is written outside it. A file that fails does not stop the others: then there is an error
// and a report too.
func (s *Store) DownloadTree(ctx context.Context, path, local string, options ...TransferOption) (*Report, error) {
	return s.transferTree(ctx, options, func(native nativeTransferOptions) operation {
		return operation{name: "download", path: path, start: startDownloadTree(path, local, native), answers: answersReport}
	})
}

func (s *Store) transferTree(ctx context.Context, options []TransferOption, begin func(nativeTransferOptions) operation) (*Report, error) {
	result, err := s.transfer(ctx, options, begin)
	if err == nil {
		return takenReport(result.value), nil
	}
	var partly *Error
	if errors.As(err, &partly) {
		return partly.report, err
	}
	return nil, err
}

func (s *Store) transfer(ctx context.Context, options []TransferOption, begin func(nativeTransferOptions) operation) (taken, error) {
	settings := transferSettingsOf(options)
	native, free, err := settings.transfer()
	defer free()
	if err != nil {
		return taken{}, s.located(err)
	}
	op := begin(native)
	op.progress = settings.progress
	return s.run(ctx, op)
}
