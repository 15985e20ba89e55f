//! Whole frames into a worker, in order, without waiting.
//!
//! Whoever has a frame writes it himself with one non-blocking write, which is the whole story of nearly every request.
//! What the channel does not take at once (a body larger than a pipe) is written on by a task of the worker's runtime;
//! frames that come meanwhile queue behind it. A worker that cannot be written to is reported once, to be killed.

use super::{Kind, Writer};
use crate::worker::{Body, Payload, unsafe_exec::unread};
use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io::{self, IoSlice, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{io::AsyncWriteExt, runtime::Handle};

/// Bytes of a file that are read at once.
const CHUNK: usize = 128 * 1024;

/// One frame on its way.
#[derive(Clone, Debug)]
pub enum Item {
    /// A request.
    Request(Arc<Payload>),
    /// A constant frame: stop, PONG.
    Control(&'static [u8]),
}

/// What is done about a worker that cannot be written to.
type OnBroken = Box<dyn Fn() + Send + Sync>;

/// The writing end of one worker's channel.
pub struct Outbox {
    file: File,
    kind: Kind,
    /// Keeps frames in order. Held during the non-blocking write; only writers to the same worker share it.
    queue: Mutex<Queue>,
    runtime: Handle,
    on_broken: OnBroken,
}

#[derive(Debug, Default)]
struct Queue {
    /// Frames not yet written, with the bytes that are; a flush task runs while there are any.
    items: VecDeque<(Item, u64)>,
    broken: bool,
    /// Bytes from the start of the last request on.
    last: u64,
    /// The last request could not be written at all.
    refused: bool,
}

impl Outbox {
    /// Writes to this descriptor, which must not block; long writes run on the given runtime.
    pub fn new(file: File, kind: Kind, runtime: Handle, on_broken: OnBroken) -> Arc<Self> {
        Arc::new(Self {
            file,
            kind,
            queue: Mutex::default(),
            runtime,
            on_broken,
        })
    }

    /// Sends a frame: at once as far as the channel takes it, the rest as it takes it.
    pub fn send(self: &Arc<Self>, item: Item) {
        let mut queue = self.lock();
        if queue.broken {
            queue.refused |= matches!(item, Item::Request(_));
            return;
        }
        queue.last = match item {
            Item::Request(_) => item.len(),
            Item::Control(_) => queue.last + item.len(),
        };
        let written = if queue.items.is_empty() {
            match item.write_memory(&self.file, 0) {
                Ok(n) if n == item.len() => return,
                Ok(n) => n,
                Err(error) if retriable(&error) => 0,
                Err(_) => {
                    queue.broken = true;
                    queue.refused = matches!(item, Item::Request(_));
                    drop(queue);
                    return (self.on_broken)();
                }
            }
        } else {
            0
        };
        queue.items.push_back((item, written));
        if queue.items.len() == 1 {
            drop(queue);
            let outbox = Arc::clone(self);
            self.runtime.spawn(async move {
                if outbox.flush().await.is_err() {
                    let mut queue = outbox.lock();
                    queue.broken = true;
                    queue.items.clear();
                    drop(queue);
                    (outbox.on_broken)();
                }
            });
        }
    }

    /// True if the worker, which must be dead, has read no byte of the last request. Pipes only.
    pub fn untouched(&self) -> bool {
        let queue = self.lock();
        let waits = queue
            .items
            .iter()
            .any(|(item, written)| *written == 0 && matches!(item, Item::Request(_)));
        queue.refused || waits || (queue.items.is_empty() && queue.last > 0 && unread(self.file.as_fd()) >= queue.last)
    }

    /// Writes until nothing is left.
    async fn flush(&self) -> io::Result<()> {
        let mut writer = Writer::attach(self.kind, self.file.try_clone()?.into())?;
        loop {
            let Some((item, written)) = self.lock().items.front().cloned() else {
                return Ok(());
            };
            item.write_all(&mut writer, written).await?;
            let mut queue = self.lock();
            queue.items.pop_front();
            if queue.items.is_empty() {
                return Ok(());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Item {
    /// Bytes of the whole frame.
    fn len(&self) -> u64 {
        match self {
            Self::Request(payload) => payload.len(),
            Self::Control(bytes) => bytes.len() as u64,
        }
    }

    /// The parts that are in memory, without the first `skip` bytes.
    fn memory(&self, skip: u64) -> [&[u8]; 2] {
        let [head, body] = match self {
            Self::Request(payload) => payload.memory(),
            Self::Control(bytes) => [*bytes, &[]],
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let rest = skip.saturating_sub(head.len());
        [
            head.get(skip..).unwrap_or_default(),
            body.get(rest..).unwrap_or_default(),
        ]
    }

    /// Tries one write of what is in memory from `written` on; answers the bytes written in all.
    fn write_memory(&self, file: &File, written: u64) -> io::Result<u64> {
        let mut file = file;
        let n = match self.memory(written) {
            [head, []] => file.write(head),
            [[], body] => file.write(body),
            [head, body] => file.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]),
        }?;
        Ok(written + n as u64)
    }

    async fn write_all(&self, writer: &mut Writer, written: u64) -> io::Result<()> {
        for part in self.memory(written) {
            writer.write_all(part).await?;
        }
        if let Self::Request(payload) = self
            && let Body::File(_, size) = payload.rest
        {
            // The head is in memory and has been written by now, some of the file never.
            copy_file(payload, size, writer).await?;
        }
        Ok(())
    }
}

/// Copies a file into the channel; it is read off the runtime's thread.
async fn copy_file(payload: &Arc<Payload>, size: u64, writer: &mut Writer) -> io::Result<()> {
    let mut from = 0;
    while from < size {
        let payload = Arc::clone(payload);
        let len = usize::try_from(size - from).unwrap_or(CHUNK).min(CHUNK);
        let read = move || {
            let mut chunk = vec![0; len];
            match &payload.rest {
                Body::File(file, _) => file.read_exact_at(&mut chunk, from).map(|()| chunk),
                Body::Bytes(_) => Ok(Vec::new()),
            }
        };
        let chunk = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        writer.write_all(&chunk).await?;
        from += len as u64;
    }
    Ok(())
}

fn retriable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
