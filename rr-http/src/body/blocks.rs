//! A file that is written in large blocks, by the runtime's blocking threads.
//!
//! Small pieces gather in a buffer, so that a small file costs one hand-over and a large one few, and the thread that
//! moves frames never waits for a disk. The file is created with its first block. When the future that writes is
//! dropped, the block under way is finished elsewhere and the file is dropped with it.

use super::work;
use std::io::{self, Write};

/// Bytes that are written at once.
pub(super) const BLOCK: usize = 256 << 10;

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
    file: Option<F>,
    written: u64,
}

impl<F: Write + Send + 'static> Blocks<F> {
    pub(super) fn new(buffer: Vec<u8>) -> Self {
        Self {
            buffer,
            file: None,
            written: 0,
        }
    }

    /// Bytes so far, written or not.
    pub(super) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// True once something has been written to the file.
    pub(super) fn on_disk(&self) -> bool {
        self.file.is_some()
    }

    /// Adds bytes to the buffer; the caller flushes when there are enough of them.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// Bytes that wait in the buffer.
    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
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
            Ok((file, buffer))
        });
        let (file, buffer) = done.await.map_err(WriteError::Write)??;
        self.file = Some(file);
        self.buffer = buffer;
        self.written += length;
        Ok(())
    }

    /// The bytes that were never written, and the file that holds the others.
    pub(super) fn into_parts(self) -> (Vec<u8>, Option<F>) {
        (self.buffer, self.file)
    }
}
