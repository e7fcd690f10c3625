//! The packets of SFTP version 3 (draft-ietf-secsh-filexfer-02) as bytes, with the extensions of OpenSSH that are used.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// The version that is spoken.
pub(crate) const VERSION: u32 = 3;

/// The longest packet that is taken: what OpenSSH sends at most, and some slack. A server that announces more is not believed.
pub(crate) const LONGEST_PACKET: usize = (256 << 10) + 1024;
/// The longest handle (section 6.3).
const LONGEST_HANDLE: usize = 256;
/// What an entry of a listing has at least: two lengths and the flags of its attributes.
const SHORTEST_NAME: usize = 12;

/// Types of packets (section 3).
mod kind {
    pub(super) const INIT: u8 = 1;
    pub(super) const VERSION: u8 = 2;
    pub(super) const OPEN: u8 = 3;
    pub(super) const CLOSE: u8 = 4;
    pub(super) const READ: u8 = 5;
    pub(super) const WRITE: u8 = 6;
    pub(super) const LSTAT: u8 = 7;
    pub(super) const FSTAT: u8 = 8;
    pub(super) const OPENDIR: u8 = 11;
    pub(super) const READDIR: u8 = 12;
    pub(super) const REMOVE: u8 = 13;
    pub(super) const MKDIR: u8 = 14;
    pub(super) const RMDIR: u8 = 15;
    pub(super) const STAT: u8 = 17;
    pub(super) const RENAME: u8 = 18;
    pub(super) const STATUS: u8 = 101;
    pub(super) const HANDLE: u8 = 102;
    pub(super) const DATA: u8 = 103;
    pub(super) const NAME: u8 = 104;
    pub(super) const ATTRS: u8 = 105;
    pub(super) const EXTENDED: u8 = 200;
    pub(super) const EXTENDED_REPLY: u8 = 201;
}

/// How a file is opened (section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenMode {
    /// To be read.
    Read,
    /// To be written from the beginning on, made if it is not there.
    Create,
    /// To be written, as it is there.
    Write,
}

impl OpenMode {
    fn flags(self) -> u32 {
        const READ: u32 = 0x01;
        const WRITE: u32 = 0x02;
        const CREATE: u32 = 0x08;
        const TRUNCATE: u32 = 0x10;
        match self {
            OpenMode::Read => READ,
            OpenMode::Create => WRITE | CREATE | TRUNCATE,
            OpenMode::Write => WRITE,
        }
    }
}

/// What a client asks.
#[derive(Clone, Debug)]
pub(crate) enum Request<'a> {
    Open { path: &'a str, mode: OpenMode },
    Close { handle: &'a Bytes },
    Read { handle: &'a Bytes, offset: u64, length: u32 },
    Write { handle: &'a Bytes, offset: u64, data: Bytes },
    StatHandle { handle: &'a Bytes },
    Stat { path: &'a str },
    StatLink { path: &'a str },
    OpenDirectory { path: &'a str },
    ReadDirectory { handle: &'a Bytes },
    Remove { path: &'a str },
    MakeDirectory { path: &'a str },
    RemoveDirectory { path: &'a str },
    Rename { from: &'a str, to: &'a str },
    PosixRename { from: &'a str, to: &'a str },
    Fsync { handle: &'a Bytes },
    Limits,
    FileSystem { path: &'a str },
}

/// Extensions by the names that servers announce (OpenSSH's `PROTOCOL`, section 4).
pub(crate) mod extension {
    pub(crate) const POSIX_RENAME: &str = "posix-rename@openssh.com";
    pub(crate) const FSYNC: &str = "fsync@openssh.com";
    pub(crate) const LIMITS: &str = "limits@openssh.com";
    pub(crate) const FILE_SYSTEM: &str = "statvfs@openssh.com";
}

/// A packet to be sent.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// All of it but the content.
    pub(crate) head: Bytes,
    /// The content of a write, not copied.
    pub(crate) content: Bytes,
}

impl Request<'_> {
    pub(crate) fn encode(&self, id: u32) -> Encoded {
        match *self {
            Request::Open { path, mode } => {
                Writer::new(kind::OPEN, id).string(path).u32(mode.flags()).no_attributes()
            }
            Request::Close { handle } => Writer::new(kind::CLOSE, id).string(handle),
            Request::Read { handle, offset, length } => {
                Writer::new(kind::READ, id).string(handle).u64(offset).u32(length)
            }
            Request::Write { handle, offset, ref data } => {
                let head = Writer::new(kind::WRITE, id).string(handle).u64(offset).u32(length(data));
                return head.finish(data.clone());
            }
            Request::StatHandle { handle } => Writer::new(kind::FSTAT, id).string(handle),
            Request::Stat { path } => Writer::new(kind::STAT, id).string(path),
            Request::StatLink { path } => Writer::new(kind::LSTAT, id).string(path),
            Request::OpenDirectory { path } => Writer::new(kind::OPENDIR, id).string(path),
            Request::ReadDirectory { handle } => Writer::new(kind::READDIR, id).string(handle),
            Request::Remove { path } => Writer::new(kind::REMOVE, id).string(path),
            Request::MakeDirectory { path } => Writer::new(kind::MKDIR, id).string(path).no_attributes(),
            Request::RemoveDirectory { path } => Writer::new(kind::RMDIR, id).string(path),
            Request::Rename { from, to } => Writer::new(kind::RENAME, id).string(from).string(to),
            Request::PosixRename { from, to } => {
                Writer::extended(id, extension::POSIX_RENAME).string(from).string(to)
            }
            Request::Fsync { handle } => Writer::extended(id, extension::FSYNC).string(handle),
            Request::Limits => Writer::extended(id, extension::LIMITS),
            Request::FileSystem { path } => Writer::extended(id, extension::FILE_SYSTEM).string(path),
        }
        .finish(Bytes::new())
    }
}

/// The first packet of a client.
pub(crate) fn init() -> Encoded {
    // It has the version where others have their id.
    Writer::new(kind::INIT, VERSION).finish(Bytes::new())
}

struct Writer(BytesMut);

impl Writer {
    fn new(kind: u8, id: u32) -> Self {
        let mut bytes = BytesMut::with_capacity(64);
        // The length, known at the end.
        bytes.put_u32(0);
        bytes.put_u8(kind);
        bytes.put_u32(id);
        Writer(bytes)
    }

    fn extended(id: u32, name: &str) -> Self {
        Writer::new(kind::EXTENDED, id).string(name)
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.put_u32(value);
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.put_u64(value);
        self
    }

    fn string(self, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let mut writer = self.u32(length(value));
        writer.0.put_slice(value);
        writer
    }

    fn no_attributes(self) -> Self {
        self.u32(0)
    }

    fn finish(mut self, content: Bytes) -> Encoded {
        let total = length(&self.0) - 4 + length(&content);
        self.0[..4].copy_from_slice(&total.to_be_bytes());
        Encoded { head: self.0.freeze(), content }
    }
}

/// Paths and pieces are far shorter than the 4 GiB at which this would be wrong, and a length that is too short is refused by the server.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// What is wrong with what a server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// What a server says of a file (section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) size: Option<u64>,
    pub(crate) permissions: Option<u32>,
    /// Seconds since 1970.
    pub(crate) modified: Option<u32>,
}

/// An entry of a listing (section 6.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) bytes: Bytes,
    /// A line as `ls -l` prints it.
    pub(crate) long: Bytes,
    pub(crate) attributes: Attributes,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Status { code: u32, message: String },
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<Name>),
    Attributes(Attributes),
    Extended(Bytes),
}

impl Answer {
    /// Reads a packet without its length: the id of the request, and the answer.
    pub(crate) fn decode(packet: Bytes) -> Result<(u32, Self), Malformed> {
        let mut reader = Reader(packet);
        let kind = reader.u8()?;
        let id = reader.u32()?;
        let answer = match kind {
            kind::STATUS => {
                let code = reader.u32()?;
                // Old servers leave the message out.
                let message = reader.string().unwrap_or_default();
                Answer::Status { code, message: String::from_utf8_lossy(&message).into_owned() }
            }
            kind::HANDLE => {
                let handle = reader.string()?;
                if handle.len() > LONGEST_HANDLE {
                    return Err(Malformed("a handle that is too long"));
                }
                Answer::Handle(handle)
            }
            kind::DATA => Answer::Data(reader.string()?),
            kind::NAME => Answer::Names(reader.names()?),
            kind::ATTRS => Answer::Attributes(reader.attributes()?),
            kind::EXTENDED_REPLY => Answer::Extended(reader.0),
            _ => return Err(Malformed("a packet of an unknown type")),
        };
        Ok((id, answer))
    }
}

/// Reads the first packet of a server: its version, and the names of its extensions.
pub(crate) fn version(packet: Bytes) -> Result<(u32, Vec<String>), Malformed> {
    let mut reader = Reader(packet);
    if reader.u8()? != kind::VERSION {
        return Err(Malformed("a first packet that tells no version"));
    }
    let version = reader.u32()?;
    let mut extensions = Vec::new();
    while !reader.0.is_empty() {
        let name = reader.string()?;
        reader.string()?;
        extensions.push(String::from_utf8_lossy(&name).into_owned());
    }
    Ok((version, extensions))
}

/// The longest read and the longest write, of the answer to [`Request::Limits`]; 0 stands for what is not told.
pub(crate) fn limits(answer: Bytes) -> Result<(u64, u64), Malformed> {
    let mut reader = Reader(answer);
    reader.u64()?;
    Ok((reader.u64()?, reader.u64()?))
}

/// The blocks that are free for everybody, of the answer to [`Request::FileSystem`].
pub(crate) fn free_blocks(answer: Bytes) -> Result<u64, Malformed> {
    let mut reader = Reader(answer);
    // The size of a block, the unit of the following, all blocks, and those that are free for root.
    for _ in 0..4 {
        reader.u64()?;
    }
    reader.u64()
}

struct Reader(Bytes);

impl Reader {
    fn check(&self, length: usize) -> Result<(), Malformed> {
        if self.0.len() < length { Err(Malformed("a packet that ends too early")) } else { Ok(()) }
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.check(1)?;
        Ok(self.0.get_u8())
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.check(4)?;
        Ok(self.0.get_u32())
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.check(8)?;
        Ok(self.0.get_u64())
    }

    fn string(&mut self) -> Result<Bytes, Malformed> {
        let length = self.u32()? as usize;
        self.check(length)?;
        Ok(self.0.split_to(length))
    }

    fn names(&mut self) -> Result<Vec<Name>, Malformed> {
        let count = self.u32()? as usize;
        self.check(count.saturating_mul(SHORTEST_NAME))?;
        (0..count)
            .map(|_| Ok(Name { bytes: self.string()?, long: self.string()?, attributes: self.attributes()? }))
            .collect()
    }

    fn attributes(&mut self) -> Result<Attributes, Malformed> {
        const SIZE: u32 = 0x01;
        const OWNERS: u32 = 0x02;
        const PERMISSIONS: u32 = 0x04;
        const TIMES: u32 = 0x08;
        const EXTENDED: u32 = 0x8000_0000;
        let flags = self.u32()?;
        let mut attributes = Attributes::default();
        if flags & SIZE != 0 {
            attributes.size = Some(self.u64()?);
        }
        if flags & OWNERS != 0 {
            self.u64()?;
        }
        if flags & PERMISSIONS != 0 {
            attributes.permissions = Some(self.u32()?);
        }
        if flags & TIMES != 0 {
            self.u32()?;
            attributes.modified = Some(self.u32()?);
        }
        if flags & EXTENDED != 0 {
            for _ in 0..self.u32()? {
                self.string()?;
                self.string()?;
            }
        }
        Ok(attributes)
    }
}

/// Makes packets of what arrives, in whatever pieces.
#[derive(Debug, Default)]
pub(crate) struct Packets {
    /// A packet that has begun, with its length.
    begun: BytesMut,
    arrived: Bytes,
}

impl Packets {
    /// Takes the next piece. All packets of the one before must have been taken out.
    pub(crate) fn push(&mut self, piece: Bytes) {
        debug_assert!(self.arrived.is_empty(), "there are packets left");
        self.arrived = piece;
    }

    /// The next packet, without its length; `None` where more must arrive.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Malformed> {
        if self.begun.is_empty()
            && let Some(total) = total(&self.arrived)?
            && self.arrived.len() >= total
        {
            // Nothing is copied where a packet arrived whole.
            return Ok(Some(self.arrived.split_to(total).slice(4..)));
        }
        self.fill(4);
        let Some(total) = total(&self.begun)? else { return Ok(None) };
        self.begun.reserve(total - self.begun.len());
        self.fill(total);
        if self.begun.len() < total {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.begun).freeze().slice(4..)))
    }

    fn fill(&mut self, length: usize) {
        let missing = length.saturating_sub(self.begun.len()).min(self.arrived.len());
        self.begun.extend_from_slice(&self.arrived.split_to(missing));
    }
}

/// The length of the packet that begins here, with that of the length; `None` before it is known.
fn total(mut bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    if bytes.len() < 4 {
        return Ok(None);
    }
    match bytes.get_u32() as usize {
        0 => Err(Malformed("a packet without a type")),
        length if length > LONGEST_PACKET => Err(Malformed("a packet that is too long")),
        length => Ok(Some(length + 4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(encoded: &Encoded) -> Vec<u8> {
        [&encoded.head[..], &encoded.content[..]].concat()
    }

    #[test]
    fn requests_are_spelled_as_the_draft_has_them() {
        let handle = Bytes::from_static(&[0, 0x80, 0xff]);
        let open = Request::Open { path: "/ä", mode: OpenMode::Create }.encode(7);
        assert_eq!(bytes(&open), b"\0\0\0\x14\x03\0\0\0\x07\0\0\0\x03/\xc3\xa4\0\0\0\x1a\0\0\0\0");
        let write = Request::Write { handle: &handle, offset: 1 << 32, data: "abc".into() }.encode(1);
        assert_eq!(
            bytes(&write),
            b"\0\0\0\x1b\x06\0\0\0\x01\0\0\0\x03\0\x80\xff\0\0\0\x01\0\0\0\0\0\0\0\x03abc"
        );
        let sync = Request::Fsync { handle: &handle }.encode(2);
        assert_eq!(bytes(&sync), b"\0\0\0\x21\xc8\0\0\0\x02\0\0\0\x11fsync@openssh.com\0\0\0\x03\0\x80\xff");
        assert_eq!(bytes(&init()), b"\0\0\0\x05\x01\0\0\0\x03");
    }

    #[test]
    fn answers_are_read_whatever_else_they_tell() {
        let decode = |packet: &'static [u8]| Answer::decode(Bytes::from_static(packet));
        let status = Answer::Status { code: 2, message: "gone".to_owned() };
        assert_eq!(decode(b"\x65\0\0\0\x09\0\0\0\x02\0\0\0\x04gone\0\0\0\0"), Ok((9, status)));
        let silent = Answer::Status { code: 4, message: String::new() };
        assert_eq!(decode(b"\x65\0\0\0\x09\0\0\0\x04"), Ok((9, silent)));
        let all = b"\x69\0\0\0\x01\x80\0\0\x0f\0\0\0\0\0\0\0\x05\0\0\0\x01\0\0\0\x02\0\0\x81\xa4\0\0\0\x03\0\0\0\x04\0\0\0\x01\0\0\0\x01a\0\0\0\x01b";
        let attributes = Attributes { size: Some(5), permissions: Some(0o100_644), modified: Some(4) };
        assert_eq!(decode(all), Ok((1, Answer::Attributes(attributes))));
        let names = b"\x68\0\0\0\x01\0\0\0\x01\0\0\0\x01\xff\0\0\0\x02-r\0\0\0\0";
        let name =
            Name { bytes: Bytes::from_static(b"\xff"), long: "-r".into(), attributes: Attributes::default() };
        assert_eq!(decode(names), Ok((1, Answer::Names(vec![name]))));
    }

    #[test]
    fn answers_that_lie_are_refused() {
        for packet in [
            &b""[..],
            b"\x65\0\0\0",
            b"\x67\0\0\0\x01\xff\xff\xff\xff",
            b"\x68\0\0\0\x01\xff\xff\xff\xff",
            b"\x69\0\0\0\x01\x80\0\0\0\xff\xff\xff\xff",
            b"\x01\0\0\0\x03",
        ] {
            assert!(Answer::decode(Bytes::from_static(packet)).is_err(), "{packet:?}");
        }
        let long = [&b"\x66\0\0\0\x01\0\0\x01\x01"[..], &[0; 257]].concat();
        assert!(Answer::decode(long.into()).is_err());
    }

    #[test]
    fn packets_come_out_of_any_pieces() {
        let stream = b"\0\0\0\x01a\0\0\0\x03bcd\0\0\0\x02ef";
        for size in 1..=stream.len() {
            let mut packets = Packets::default();
            let mut found = Vec::new();
            for piece in stream.chunks(size) {
                packets.push(Bytes::copy_from_slice(piece));
                while let Some(packet) = packets.next().unwrap() {
                    found.push(packet);
                }
            }
            assert_eq!(found, [&b"a"[..], b"bcd", b"ef"], "in pieces of {size}");
        }
    }

    #[test]
    fn packets_without_a_believable_length_are_refused() {
        for length in [0, LONGEST_PACKET + 1, u32::MAX as usize] {
            for size in [1, 4] {
                let mut packets = Packets::default();
                let begin = u32::try_from(length).unwrap().to_be_bytes();
                let outcome = begin.chunks(size).try_for_each(|piece| {
                    packets.push(Bytes::copy_from_slice(piece));
                    packets.next().map(|packet| assert_eq!(packet, None))
                });
                assert!(outcome.is_err(), "{length} in pieces of {size}");
            }
        }
    }
}
