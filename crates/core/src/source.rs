//! Reading a local file that is being stored, and noticing when it changes meanwhile.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::{DigestAlgorithm, Error, ErrorKind, Hasher, Result};

/// A regular local file, opened to be stored. All its calls block.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    path: PathBuf,
    opened: Metadata,
}

impl SourceFile {
    /// Opens `path`, following symbolic links.
    ///
    /// Fails with [`ErrorKind::NotFound`], [`ErrorKind::IsADirectory`], [`ErrorKind::Unsupported`] for what is no
    /// regular file (it is not opened: a pipe would block), or [`ErrorKind::Unreadable`].
    pub fn open(path: &Path) -> Result<Self> {
        let before = std::fs::metadata(path).map_err(|error| source_error(error, path))?;
        if before.is_dir() {
            return Err(Error::new(ErrorKind::IsADirectory, "this is a directory where a file is meant")
                .with_path(path.display()));
        }
        if !before.is_file() {
            return Err(
                Error::new(ErrorKind::Unsupported, "this is no regular file").with_path(path.display())
            );
        }
        let file = File::open(path).map_err(|error| source_error(error, path))?;
        Self::from_file(file, path.to_owned())
    }

    /// Takes over a regular file that is open for reading; `path` names it in errors.
    pub fn from_file(file: File, path: PathBuf) -> Result<Self> {
        let opened = file.metadata().map_err(|error| source_error(error, &path))?;
        Ok(SourceFile { file, path, opened })
    }

    /// What the file is called in errors.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file when it was opened.
    pub fn length(&self) -> u64 {
        self.opened.len()
    }

    /// The open file. Its position belongs to the functions here: read it by offset.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads the whole file into memory and checks that it did not change meanwhile.
    pub fn read_all(&self) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let read = (&self.file).rewind().and_then(|()| (&self.file).read_to_end(&mut content));
        read.map_err(|error| source_error(error, &self.path))?;
        self.check_unchanged(content.len() as u64)?;
        Ok(content)
    }

    /// Reads bytes from `offset` on into `buffer`; 0 at the end of the file.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        loop {
            match std::os::unix::fs::FileExt::read_at(&self.file, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| source_error(error, &self.path)),
            }
        }
    }

    /// Reads `size` bytes from `offset` on into memory that nobody has to clear first. One reads at a time.
    pub fn read_part(&self, offset: u64, size: u64) -> Result<Vec<u8>> {
        let mut part = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.take(size).read_to_end(&mut part));
        read.map_err(|error| source_error(error, &self.path))?;
        if part.len() as u64 == size {
            return Ok(part);
        }
        let error = Error::new(ErrorKind::SizeMismatch, "the file became shorter while it was read");
        Err(error.with_path(self.path.display()))
    }

    /// Copies the whole file to `target` and checks that it did not change meanwhile. The kernel copies (a reflink or
    /// `copy_file_range`) a large file where it can; with a `hasher` the bytes pass through it. `advance` is told of every chunk
    /// and stops the copy by failing.
    pub fn copy_to(
        &self,
        target: &File,
        hasher: Option<&mut Hasher>,
        advance: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<u64> {
        (&self.file).rewind().map_err(|error| source_error(error, &self.path))?;
        let copied = copy_bytes(&self.file, target, self.length(), hasher, advance)?;
        // More than it said it has: it grew, or it is one of /proc, which say 0.
        let more = std::os::unix::fs::FileExt::read_at(&self.file, &mut [0], copied);
        if more.map_err(|error| source_error(error, &self.path))? > 0 {
            let message = format!("the file has more than the {copied} bytes that it said it has");
            return Err(Error::new(ErrorKind::SizeMismatch, message).with_path(self.path.display()));
        }
        self.check_unchanged(copied)?;
        Ok(copied)
    }

    /// Fails unless `read` bytes are what the file had when it was opened, and still has.
    pub fn check_unchanged(&self, read: u64) -> Result<()> {
        let now = self.file.metadata().map_err(|error| source_error(error, &self.path))?;
        let expected = self.opened.len();
        if read != expected || now.len() != expected {
            let message =
                format!("the file changed from {expected} to {} bytes while it was read", now.len());
            return Err(Error::new(ErrorKind::SizeMismatch, message).with_path(self.path.display()));
        }
        if now.modified().ok() != self.opened.modified().ok() {
            return Err(Error::new(
                ErrorKind::PreconditionFailed,
                "the file was written to while it was read",
            )
            .with_path(self.path.display()));
        }
        Ok(())
    }
}

fn source_error(error: io::Error, path: &Path) -> Error {
    let error = Error::from_io(error).with_path(path.display());
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::Io => error.into_kind(ErrorKind::Unreadable),
        _ => error,
    }
}

/// How many bytes move between two looks at whether to stop.
const COPY_CHUNK: u64 = 2 << 20;
/// How many bytes pass through memory at once. For a file that is not larger one read and one write are faster than what
/// the kernel's copy asks for.
const BUFFER: usize = 256 << 10;

/// Copies up to `length` bytes from where `source` stands to where `target` stands, and says how many there were.
///
/// The kernel copies large files; small ones, and with a `hasher` all, pass through memory. `advance` is told of every
/// chunk and stops the copy by failing.
fn copy_bytes(
    source: &File,
    target: &File,
    length: u64,
    hasher: Option<&mut Hasher>,
    advance: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<u64> {
    if hasher.is_some() || length <= BUFFER as u64 {
        return copy_through_memory(source, target, length, hasher, advance);
    }
    copy_in_kernel(source, target, length, advance)
}

fn copy_in_kernel(
    source: &File,
    mut target: &File,
    length: u64,
    advance: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<u64> {
    let mut copied = 0;
    while copied < length {
        // `io::copy` between files uses copy_file_range on Linux and falls back to reading and writing.
        let chunk = io::copy(&mut source.take(COPY_CHUNK.min(length - copied)), &mut target)
            .map_err(Error::from_io)?;
        if chunk == 0 {
            break;
        }
        copied += chunk;
        advance(chunk)?;
    }
    Ok(copied)
}

fn copy_through_memory(
    mut source: &File,
    mut target: &File,
    length: u64,
    mut hasher: Option<&mut Hasher>,
    advance: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<u64> {
    let at_once = |left: u64| usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
    let mut buffer = vec![0; at_once(length)];
    let mut copied = 0;
    while copied < length {
        let wanted = at_once(length - copied);
        let chunk = match source.read(&mut buffer[..wanted]) {
            Ok(0) => break,
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::from_io(error).into_kind(ErrorKind::Unreadable)),
        };
        if let Some(hasher) = &mut hasher {
            hasher.update(&buffer[..chunk]);
        }
        io::Write::write_all(&mut target, &buffer[..chunk]).map_err(Error::from_io)?;
        copied += chunk as u64;
        advance(chunk as u64)?;
    }
    Ok(copied)
}

/// The digest of a local file's whole content.
pub fn digest_file(path: &Path, algorithm: DigestAlgorithm) -> Result<crate::Digest> {
    let source = SourceFile::open(path)?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; BUFFER];
    let mut file = source.file();
    let mut read = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(chunk) => {
                hasher.update(&buffer[..chunk]);
                read += chunk as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(source_error(error, path)),
        }
    }
    source.check_unchanged(read)?;
    Ok(hasher.finish())
}
