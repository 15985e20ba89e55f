//! A body that is kept as it is: in memory while it is small, in an unlinked temporary file when it is not.

use super::{
    BodyError, Settings,
    blocks::{BLOCK, Blocks},
    incoming::Incoming,
};
use bytes::Bytes;
use rr_common::pool::Body;
use std::{
    error::Error,
    fs::File,
    io::{self, Read, Seek, Write},
    path::PathBuf,
};

/// Bytes on their way to a [`Body`].
#[derive(Debug)]
pub(super) struct Spool {
    blocks: Blocks<File>,
    dir: PathBuf,
}

impl Spool {
    /// `expected` is the probable length, if one is known; a lie costs nothing but speed.
    pub(super) fn new(settings: &Settings, expected: u64) -> Self {
        let in_memory = usize::try_from(expected)
            .ok()
            .filter(|&expected| expected <= settings.spill_above);
        // What will not stay in memory is written from its first block on.
        let room = in_memory.map_or(BLOCK.min(settings.spill_above), |_| settings.spill_above);
        let mut blocks = Blocks::new(room);
        blocks.reserve(in_memory.unwrap_or(room));
        Self {
            blocks,
            dir: settings.uploads_dir.clone(),
        }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> u64 {
        self.blocks.len()
    }

    /// Adds bytes.
    pub(super) async fn write(&mut self, mut piece: &[u8]) -> io::Result<()> {
        loop {
            piece = self.blocks.fill(piece);
            if piece.is_empty() {
                return Ok(());
            }
            self.flush().await?;
        }
    }

    /// All bytes as a body.
    pub(super) async fn finish(mut self) -> io::Result<Body> {
        if self.blocks.has_file() && !self.blocks.is_stored() {
            self.flush().await?;
        }
        let length = self.blocks.len();
        Ok(match self.blocks.into_parts() {
            (buffer, None) => Body::Bytes(buffer.into()),
            (_, Some(mut file)) => {
                file.rewind()?;
                Body::File(file, length)
            }
        })
    }

    async fn flush(&mut self) -> io::Result<()> {
        let dir = self.dir.clone();
        Ok(self.blocks.flush(move || tempfile::tempfile_in(dir)).await?)
    }
}

/// Reads a body to its end. One that comes in a single piece is moved, not copied.
pub(super) async fn read<B>(mut incoming: Incoming<B>, settings: &Settings) -> Result<Body, BodyError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let Some(first) = incoming.next().await? else {
        return Ok(Body::Bytes(Bytes::new()));
    };
    if incoming.ended() {
        return Ok(Body::Bytes(first));
    }
    let Some(second) = incoming.next().await? else {
        return Ok(Body::Bytes(first));
    };
    let so_far = (first.len() + second.len()) as u64;
    let mut spool = Spool::new(settings, incoming.declared().unwrap_or(so_far));
    spool.write(&first).await?;
    spool.write(&second).await?;
    drop((first, second));
    while let Some(piece) = incoming.next().await? {
        spool.write(&piece).await?;
    }
    Ok(spool.finish().await?)
}

/// All bytes of a body, in memory.
pub(super) fn load(body: Body) -> io::Result<Bytes> {
    match body {
        Body::Bytes(bytes) => Ok(bytes),
        Body::File(mut file, length) => {
            let mut bytes = Vec::with_capacity(length as usize);
            file.rewind()?;
            file.take(length).read_to_end(&mut bytes)?;
            Ok(bytes.into())
        }
    }
}

/// The same as [`Spool`] for code that runs on a blocking thread already.
#[derive(Debug)]
pub(super) struct Output {
    buffer: Vec<u8>,
    file: Option<File>,
    written: u64,
    spill_above: usize,
    dir: PathBuf,
}

impl Output {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            buffer: Vec::new(),
            file: None,
            written: 0,
            spill_above: settings.spill_above,
            dir: settings.uploads_dir.clone(),
        }
    }

    pub(super) fn finish(mut self) -> io::Result<Body> {
        if self.file.is_some() {
            self.spill()?;
        }
        match self.file {
            None => Ok(Body::Bytes(self.buffer.into())),
            Some(mut file) => {
                file.rewind()?;
                Ok(Body::File(file, self.written))
            }
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.dir)?),
        };
        file.write_all(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > self.spill_above {
            self.spill()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
