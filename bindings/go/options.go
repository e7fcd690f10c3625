package mlflowartifacts

import (
	"math"
	"time"
)

// An OpenOption says how [Open] opens a store.
type OpenOption func(*openSettings)

type openSettings struct {
	options            map[string]string
	ignoresEnvironment bool
	isGuarded          bool
	trusted            []string
}

// WithOption sets an option of the store; OPTIONS.md has all of them with what they mean. One that the store does not know is an
// error. What is set here wins over the URI and over the environment. Values of secret options are never shown.
func WithOption(name, value string) OpenOption {
	return func(settings *openSettings) { settings.options[name] = value }
}

// WithOptions sets many options as [WithOption] does.
func WithOptions(options map[string]string) OpenOption {
	return func(settings *openSettings) {
		for name, value := range options {
			settings.options[name] = value
		}
	}
}

// WithoutEnvironment has the store read no environment variables. Without it those that OPTIONS.md names fill in what is set
// neither here nor in the URI.
func WithoutEnvironment() OpenOption {
	return func(settings *openSettings) { settings.ignoresEnvironment = true }
}

// WithTrustedURIs opens the store only if scheme, host and port of its URI are those of one of these; any other is refused with
// [StatusHostNotAllowed] before anything is connected to. It is the guard of a server whose clients choose URIs: give it those of
// the server's own settings. Without any, nothing opens.
func WithTrustedURIs(uris ...string) OpenOption {
	return func(settings *openSettings) {
		settings.isGuarded = true
		settings.trusted = append(settings.trusted, uris...)
	}
}

// A ReadOption says what of an artifact is read.
type ReadOption func(*readSettings)

type readSettings struct {
	offset, length int64
}

// Range reads length bytes from offset on, or fewer at the artifact's end. A negative length reads to the end.
func Range(offset, length int64) ReadOption {
	return func(settings *readSettings) { settings.offset, settings.length = offset, length }
}

func readSettingsOf(options []ReadOption) (offset, length uint64, err *Error) {
	settings := readSettings{length: -1}
	for _, option := range options {
		option(&settings)
	}
	if settings.offset < 0 {
		return 0, 0, &Error{Status: StatusInvalidArgument, Message: "an artifact is read from a negative offset"}
	}
	if settings.length < 0 {
		return uint64(settings.offset), toTheEnd, nil
	}
	return uint64(settings.offset), uint64(settings.length), nil
}

// A PutOption says how an artifact is written, by [Store.Put], by [Store.Writer] or in parts.
type PutOption interface {
	applyToPut(*putSettings)
}

type putSettings struct {
	mode       uint32
	etag       string
	length     uint64
	partSize   uint64
	properties Properties
}

type putOption func(*putSettings)

func (option putOption) applyToPut(settings *putSettings) { option(settings) }

func putSettingsOf(options []PutOption) *putSettings {
	settings := &putSettings{mode: modeOverwrite, length: unknownLength}
	for _, option := range options {
		option.applyToPut(settings)
	}
	return settings
}

// CreateNew refuses with [StatusAlreadyExists] (fs.ErrExist) if something is there already. The store must have
// [CapabilityCreateNew].
func CreateNew() PutOption {
	return putOption(func(settings *putSettings) { settings.mode = modeCreateNew })
}

// IfMatch replaces what is there only if it still has this etag, else it refuses with [StatusPreconditionFailed]. The store must
// have [CapabilityReplaceIfMatch].
func IfMatch(etag string) PutOption {
	return putOption(func(settings *putSettings) { settings.mode, settings.etag = modeIfMatch, etag })
}

// WithLength says how many bytes will be written, which spares some stores a detour. Another number of bytes is refused with
// [StatusSizeMismatch].
func WithLength(length int64) PutOption {
	return putOption(func(settings *putSettings) {
		settings.length = uint64(length)
		if length < 0 {
			settings.length = unknownLength
		}
	})
}

// WithPartSize says how large every part but the last is of an upload in parts, and of large files of a transfer. Without it the
// store chooses.
func WithPartSize(bytes int64) interface {
	PutOption
	TransferOption
} {
	return partSize(bytes)
}

type partSize int64

func (size partSize) applyToPut(settings *putSettings) { settings.partSize = notNegative(int64(size)) }
func (size partSize) applyToTransfer(settings *transferSettings) {
	settings.partSize = notNegative(int64(size))
}

// WithProperties keeps properties with what is written, where the store has [CapabilityProperties].
func WithProperties(properties Properties) interface {
	PutOption
	TransferOption
} {
	return properties
}

func (properties Properties) applyToPut(settings *putSettings) { settings.properties = properties }
func (properties Properties) applyToTransfer(settings *transferSettings) {
	settings.properties = properties
}

// A TransferOption says how files and trees are transferred.
type TransferOption interface {
	applyToTransfer(*transferSettings)
}

type transferSettings struct {
	files, parts     uint32
	memory, partSize uint64
	readsBack        bool
	properties       Properties
	progress         *progressSettings
}

type transferOption func(*transferSettings)

func (option transferOption) applyToTransfer(settings *transferSettings) { option(settings) }

func transferSettingsOf(options []TransferOption) *transferSettings {
	settings := &transferSettings{}
	for _, option := range options {
		option.applyToTransfer(settings)
	}
	return settings
}

// ParallelFiles is how many files of a tree are in flight at once. Without it: 16.
func ParallelFiles(count int) TransferOption {
	return transferOption(func(settings *transferSettings) { settings.files = count32(count) })
}

// ParallelParts is how many parts of each large file are in flight at once. Without it: 4.
func ParallelParts(count int) TransferOption {
	return transferOption(func(settings *transferSettings) { settings.parts = count32(count) })
}

// WithMemory is how many bytes of content are held in memory at once by all files of the transfer together. Without it: 32 MiB.
func WithMemory(bytes int64) TransferOption {
	return transferOption(func(settings *transferSettings) { settings.memory = notNegative(bytes) })
}

// ReadBack compares digests of every file, reading both sides again where the store offers none. Without it, sizes are compared
// always, and digests where the store offers one.
func ReadBack() TransferOption {
	return transferOption(func(settings *transferSettings) { settings.readsBack = true })
}

// OnProgress has tell told where the transfer stands: about ten times a second, and once at its end, on the goroutine that called
// the transfer.
func OnProgress(tell func(Progress)) TransferOption {
	return transferOption(func(settings *transferSettings) {
		settings.progress = &progressSettings{tell: tell, interval: 100 * time.Millisecond}
	})
}

func count32(count int) uint32 {
	if count < 0 {
		return 0
	}
	if count > math.MaxInt32 {
		return math.MaxInt32
	}
	return uint32(count)
}

func notNegative(bytes int64) uint64 {
	if bytes < 0 {
		return 0
	}
	return uint64(bytes)
}
