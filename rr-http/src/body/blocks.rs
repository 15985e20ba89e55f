//! A file that is written in large blocks, by the runtime's blocking threads.
//!
//! Pieces gather in a buffer, so that a small file costs one hand-over and a large one few, and the thread that moves
//! frames never waits for a disk. The file is created with its first block. When the future that writes is
//! dropped, the block under way is finished elsewhere and the file is dropped with it.

use super::work;
use std::io::{self, Write};

/// Bytes that are written at once.
pub(super) const BLOCK: usize = 128 << 10;

/// What went wrong.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The file could not be created.
    Create(io::Error),
    /// A block could not be written.
    Write(io::Error),
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Create(error) | WriteError::Write(error) => error,
        }
    }
}

/// A file that is written in large blocks.
#[derive(Debug)]
pub(super) struct Blocks<F> {
    buffer: Vec<u8>,
    /// Bytes that fit into the buffer.
    room: usize,
    file: Option<F>,
    written: u64,
}

impl<F: Write + Send + 'static> Blocks<F> {
    /// `room` is how many bytes gather before the first block is written.
    pub(super) fn new(room: usize) -> Self {
        Self {
            buffer: Vec::new(),
            room,
            file: None,
            written: 0,
        }
    }

    /// Makes place for a known number of bytes, as far as they fit.
    pub(super) fn reserve(&mut self, expected: usize) {
        self.buffer.reserve_exact(expected.min(self.room));
    }

    /// Bytes so far, written or not.
    pub(super) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// True if there is a file that has all the bytes.
    pub(super) fn is_stored(&self) -> bool {
        self.file.is_some() && self.buffer.is_empty()
    }

    /// True if there is a file.
    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Takes as many bytes as there is room for and returns the others; if there are any, flush.
    #[must_use]
    pub(super) fn fill<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let (fits, rest) = piece.split_at(piece.len().min(self.room - self.buffer.len()));
        if self.buffer.capacity() - self.buffer.len() < fits.len() {
            // Doubled like any vector, but never beyond its room.
            let wanted = (self.buffer.len() * 2).clamp(self.buffer.len() + fits.len(), self.room);
            self.buffer.reserve_exact(wanted - self.buffer.len());
        }
        self.buffer.extend_from_slice(fits);
        rest
    }

    /// Writes the buffer, after creating the file if there is none yet.
    pub(super) async fn flush<C>(&mut self, create: C) -> Result<(), WriteError>
    where
        C: FnOnce() -> io::Result<F> + Send + 'static,
    {
        let mut buffer = std::mem::take(&mut self.buffer);
        let file = self.file.take();
        let length = buffer.len() as u64;
        let done = work::blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => create().map_err(WriteError::Create)?,
            };
            file.write_all(&buffer).map_err(WriteError::Write)?;
            buffer.clear();
            buffer.shrink_to(BLOCK);
            Ok((file, buffer))
        });
        let (file, buffer) = done.await.map_err(WriteError::Write)??;
        self.file = Some(file);
        self.buffer = buffer;
        self.room = BLOCK;
        self.written += length;
        Ok(())
    }

    /// The bytes that were never written, and the file that holds the others.
    pub(super) fn into_parts(self) -> (Vec<u8>, Option<F>) {
        (self.buffer, self.file)
    }
}
