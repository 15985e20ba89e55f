//! The file in which a process hands over what it keeps in memory: what the plugin writes, cut into chunks that are checked one by
//! one, so that neither side holds more than one of them.
//!
//! ```text
//! head    "rr-state", version of this form (u32), whose (8 bytes, zero padded), version of the content (u32), CRC-32 of all that
//! chunk   length (u32, 1 to 256 KiB), CRC-32 of the content, content
//! end     length 0, CRC-32 of the number that follows, bytes of content in all (u64)
//! ```
//!
//! Numbers are little-endian. Without its end a snapshot is none: whoever wrote it has died over it.

use nix::fcntl::{FallocateFlags, fallocate};
use std::{
    fs::File,
    io::{self, ErrorKind, Read, Seek, Write},
};

const MAGIC: &[u8; 8] = b"rr-state";
const FORM: u32 = 1;
const HEAD: usize = 28;
/// Bytes of content in a chunk, at most.
const CHUNK: usize = 256 << 10;
/// How much is read before its memory is given back.
const STRIDE: u64 = 16 << 20;

/// Whose snapshot it is, and of which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The plugin's name, at most eight bytes.
    pub name: &'static str,
    /// Another version is another way to write the content.
    pub version: u32,
}

/// Why a snapshot cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Written by another build.
    #[error("the process before hands over in version {found}, and this one reads version {known}")]
    Version {
        /// What it is.
        found: u32,
        /// What it should be.
        known: u32,
    },
    /// It is not what was written.
    #[error("what the process before has handed over is damaged: {0}")]
    Damaged(&'static str),
    /// The system refuses.
    #[error("what the process before has handed over cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Kind {
    fn head(self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        let name = self.name.as_bytes();
        head[..8].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&FORM.to_le_bytes());
        for (place, byte) in head[12..20].iter_mut().zip(name) {
            *place = *byte;
        }
        head[20..24].copy_from_slice(&self.version.to_le_bytes());
        let crc = crc32fast::hash(&head[..24]);
        head[24..].copy_from_slice(&crc.to_le_bytes());
        head
    }
}

/// Writes a snapshot. Only [`Writer::finish`] makes it one.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    chunk: Vec<u8>,
    total: u64,
}

impl Writer<File> {
    /// Begins one, in place of whatever the file had.
    ///
    /// # Errors
    /// The system.
    pub fn create(mut file: File, kind: Kind) -> io::Result<Self> {
        file.set_len(0)?;
        file.rewind()?;
        Self::new(file, kind)
    }
}

impl<W: Write> Writer<W> {
    /// Begins one.
    ///
    /// # Errors
    /// The system.
    pub fn new(mut out: W, kind: Kind) -> io::Result<Self> {
        out.write_all(&kind.head())?;
        Ok(Self {
            out,
            chunk: Vec::with_capacity(CHUNK),
            total: 0,
        })
    }

    /// Ends it.
    ///
    /// # Errors
    /// The system.
    pub fn finish(mut self) -> io::Result<W> {
        self.send()?;
        let total = self.total.to_le_bytes();
        self.out.write_all(&0_u32.to_le_bytes())?;
        self.out.write_all(&crc32fast::hash(&total).to_le_bytes())?;
        self.out.write_all(&total)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn send(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.out.write_all(&(self.chunk.len() as u32).to_le_bytes())?;
        self.out.write_all(&crc32fast::hash(&self.chunk).to_le_bytes())?;
        self.out.write_all(&self.chunk)?;
        self.total += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK {
            self.send()?;
        }
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a snapshot: the content up to its end, which is only told of a whole one.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    chunk: Vec<u8>,
    at: usize,
    total: u64,
    ended: bool,
}

impl Reader<Consumed> {
    /// Opens a file, whose memory is given back as it is read.
    ///
    /// # Errors
    /// It is no snapshot of this kind.
    pub fn open(mut file: File, kind: Kind) -> Result<Self, SnapshotError> {
        file.rewind()?;
        Self::new(
            Consumed {
                file,
                read: 0,
                freed: 0,
            },
            kind,
        )
    }
}

impl<R: Read> Reader<R> {
    /// Reads from its beginning.
    ///
    /// # Errors
    /// It is no snapshot of this kind.
    pub fn new(mut input: R, kind: Kind) -> Result<Self, SnapshotError> {
        let mut head = [0; HEAD];
        input.read_exact(&mut head).map_err(cut_off)?;
        let expected = kind.head();
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[..8] != expected[..8] || number(24) != crc32fast::hash(&head[..24]) {
            return Err(SnapshotError::Damaged("its head"));
        }
        for (at, known) in [(8, FORM), (20, kind.version)] {
            let found = number(at);
            if found != known {
                return Err(SnapshotError::Version { found, known });
            }
        }
        if head != expected {
            return Err(SnapshotError::Damaged("it is another plugin's"));
        }
        Ok(Self {
            input,
            chunk: Vec::new(),
            at: 0,
            total: 0,
            ended: false,
        })
    }

    /// Reads exactly so many bytes of content.
    ///
    /// # Errors
    /// There are fewer, or they are damaged.
    pub fn take_exact(&mut self, bytes: &mut [u8]) -> Result<(), SnapshotError> {
        let mut done = 0;
        while done < bytes.len() {
            if self.at == self.chunk.len() && !self.next()? {
                return Err(SnapshotError::Damaged("it ends too early"));
            }
            let taken = (self.chunk.len() - self.at).min(bytes.len() - done);
            bytes[done..done + taken].copy_from_slice(&self.chunk[self.at..self.at + taken]);
            self.at += taken;
            done += taken;
        }
        Ok(())
    }

    /// Reads so many bytes of content into the buffer, which grows with what is there, not with what is claimed.
    ///
    /// # Errors
    /// There are fewer, or they are damaged.
    pub fn take_into(&mut self, buffer: &mut Vec<u8>, length: usize) -> Result<(), SnapshotError> {
        let mut left = length;
        while left > 0 {
            let (from, piece) = (buffer.len(), left.min(CHUNK));
            buffer.resize(from + piece, 0);
            self.take_exact(&mut buffer[from..])?;
            left -= piece;
        }
        Ok(())
    }

    /// A number of the content.
    ///
    /// # Errors
    /// As [`Reader::take_exact`].
    pub fn take_u32(&mut self) -> Result<u32, SnapshotError> {
        let mut bytes = [0; 4];
        self.take_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// A large number of the content.
    ///
    /// # Errors
    /// As [`Reader::take_exact`].
    pub fn take_u64(&mut self) -> Result<u64, SnapshotError> {
        let mut bytes = [0; 8];
        self.take_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Makes sure that nothing more comes, and that it is whole.
    ///
    /// # Errors
    /// It is not.
    pub fn finish(mut self) -> Result<(), SnapshotError> {
        match self.at == self.chunk.len() && !self.next()? {
            true => Ok(()),
            false => Err(SnapshotError::Damaged("it is longer than it should be")),
        }
    }

    /// Goes on to the next chunk; false at the end.
    fn next(&mut self) -> Result<bool, SnapshotError> {
        if self.ended {
            return Ok(false);
        }
        let mut head = [0; 8];
        self.input.read_exact(&mut head).map_err(cut_off)?;
        let [a, b, c, d, crc @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > CHUNK {
            return Err(SnapshotError::Damaged("the length of a chunk"));
        }
        self.chunk.resize(if length == 0 { 8 } else { length }, 0);
        self.input.read_exact(&mut self.chunk).map_err(cut_off)?;
        if crc32fast::hash(&self.chunk) != u32::from_le_bytes(crc) {
            return Err(SnapshotError::Damaged("a checksum"));
        }
        self.at = 0;
        if length > 0 {
            self.total += length as u64;
            return Ok(true);
        }
        if self.chunk != self.total.to_le_bytes() {
            return Err(SnapshotError::Damaged("a part of it is missing"));
        }
        self.chunk.clear();
        self.ended = true;
        Ok(false)
    }
}

fn cut_off(error: io::Error) -> SnapshotError {
    match error.kind() {
        ErrorKind::UnexpectedEof => SnapshotError::Damaged("it is cut off"),
        _ => SnapshotError::Io(error),
    }
}

/// A memory file that shrinks while it is read: what is read once is not needed any more, since the process that wrote it
/// still has it.
#[derive(Debug)]
pub struct Consumed {
    file: File,
    read: u64,
    freed: u64,
}

impl Read for Consumed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(bytes)?;
        self.read += read as u64;
        let ripe = self.read - self.freed;
        if ripe >= STRIDE
            && let (Ok(from), Ok(length)) = (self.freed.try_into(), ripe.try_into())
        {
            let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            // Where holes are not to be had the memory goes with the whole file.
            let _ = fallocate(&self.file, hole, from, length);
            self.freed = self.read;
        }
        Ok(read)
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
