package mlflowartifacts

import (
	"io/fs"
	"path"
	"strings"
	"time"
)

// Info is what a store knows about one path. It is an fs.FileInfo and an fs.DirEntry, too.
type Info struct {
	path, etag, sha256 string
	size               int64
	modified           time.Time
	isDirectory        bool
}

var (
	_ fs.FileInfo = (*Info)(nil)
	_ fs.DirEntry = (*Info)(nil)
)

// Path is relative to the store's root, which is the empty path.
func (info *Info) Path() string { return info.path }

// Name is the last segment of the path; "." for the root.
func (info *Info) Name() string { return path.Base(info.path) }

// Size is how many bytes a file has; 0 for a directory.
func (info *Info) Size() int64 { return info.size }

// ModTime is when the content was last replaced; zero where the store does not tell.
func (info *Info) ModTime() time.Time { return info.modified }

// ETag names this content: it changes when the content is replaced. Empty for directories and where the store has none.
func (info *Info) ETag() string { return info.etag }

// SHA256 is that of the content in hexadecimal; empty where the store does not tell.
func (info *Info) SHA256() string { return info.sha256 }

// toTheSecond is the same with a time as exact as every store tells it, however it is asked: some list fractions of seconds, which
// they leave out elsewhere, and in a file system one file has one time.
func (info *Info) toTheSecond() *Info {
	rounded := *info
	rounded.modified = info.modified.Truncate(time.Second)
	return &rounded
}

// IsDir reports whether the path is a directory.
func (info *Info) IsDir() bool { return info.isDirectory }

// Mode tells files from directories. Stores have no permissions: all may read.
func (info *Info) Mode() fs.FileMode {
	if info.isDirectory {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// Type is that of the mode.
func (info *Info) Type() fs.FileMode { return info.Mode().Type() }

// Info is itself.
func (info *Info) Info() (fs.FileInfo, error) { return info, nil }

// Sys is nil: there is nothing beneath.
func (info *Info) Sys() any { return nil }

// String is for people to read.
func (info *Info) String() string {
	if info.isDirectory {
		return info.path + "/"
	}
	return info.path
}

// Properties are names, each with values, such as a store keeps with an artifact.
type Properties map[string][]string

// Add adds a value to those of a name.
func (properties Properties) Add(name, value string) {
	properties[name] = append(properties[name], value)
}

// Get is the first value of a name; empty if there is none.
func (properties Properties) Get(name string) string {
	if values := properties[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Capabilities are a set of what a store can do beyond what all can. Bits that this package does not name may be set.
type Capabilities uint64

// What a store may be able to do.
const (
	// CapabilityDirectories: directories exist by themselves, also empty ones.
	CapabilityDirectories Capabilities = 1 << iota
	// CapabilityRange: parts of an artifact can be read.
	CapabilityRange
	// CapabilityCreateNew: [CreateNew].
	CapabilityCreateNew
	// CapabilityIfMatch: a reader notices that the artifact is replaced.
	CapabilityIfMatch
	// CapabilityReplaceIfMatch: [IfMatch].
	CapabilityReplaceIfMatch
	// CapabilityMultipart: [Store.CreateMultipart].
	CapabilityMultipart
	// CapabilityResumeUpload: [Store.ResumeMultipart], also in another process.
	CapabilityResumeUpload
	// CapabilityCopy: [Store.Copy].
	CapabilityCopy
	// CapabilityPresign: [Store.Presign].
	CapabilityPresign
	// CapabilitySHA256: [Info.SHA256].
	CapabilitySHA256
	// CapabilityProperties: [Store.Properties] and [WithProperties].
	CapabilityProperties
)

var capabilityNames = []string{
	"directories", "range", "create-new", "if-match", "replace-if-match", "multipart", "resume-upload", "copy", "presign", "sha256",
	"properties",
}

// Has reports whether all of these are in the set.
func (capabilities Capabilities) Has(these Capabilities) bool {
	return capabilities&these == these
}

// String names what this package knows of the set, joined by |.
func (capabilities Capabilities) String() string {
	var names []string
	for index, name := range capabilityNames {
		if capabilities.Has(1 << index) {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}
