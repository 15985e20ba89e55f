//! The workers of one plugin.

use crate::config;
use bytes::{Bytes, BytesMut};
use std::{
    fs::File,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::runtime::Handle;

/// What a pool needs to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The plugin's `pool` section.
    pub pool: config::section::Pool,
    /// The `server` section.
    pub server: config::section::Server,
    /// `rpc.listen`, if it is written in the file.
    pub rpc: Option<String>,
    /// The plugin's name, which is its workers' `RR_MODE`.
    pub mode: String,
    /// Variables that the plugin adds.
    pub env: Vec<(String, String)>,
    /// The runtimes on which frames move.
    pub runtimes: Vec<Handle>,
}

/// The workers of one plugin; a cheap handle.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: Arc<()>,
}

/// One request to a worker: a frame whose context is encoded in place.
#[derive(Debug)]
pub struct Payload {
    head: BytesMut,
    body: Body,
}

/// The body of a request.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// The first `len` bytes of a file, from its start.
    File(File, u64),
}

/// A worker's answer.
#[derive(Debug)]
pub struct Answer {
    /// Flags of the frame, the error bit never set.
    pub flags: u8,
    /// The context.
    pub context: Bytes,
    /// The body.
    pub body: Bytes,
    /// The frames that follow, if the answer is a stream.
    pub more: Option<Stream>,
}

/// The further frames of a streamed answer. At most a few wait in memory: the worker waits while the reader does. Dropping it stops the worker's stream.
#[derive(Debug)]
pub struct Stream {}

/// Why a request got no answer. The text is the reference's chain.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// No worker became free in time.
    #[error("static_pool_exec: NoFreeWorkers:\n\t{0}")]
    NoFreeWorkers(String),
    /// `max_queue_size` is reached.
    #[error("static_pool_exec: QueueSize: max queue size reached")]
    QueueSize,
    /// The worker answered with an error frame; it lives on.
    #[error("sync_worker_receive_frame: SoftJobError: {0}")]
    SoftJob(String),
    /// The worker died or broke the protocol.
    #[error("sync_worker_receive_frame: Network: {0}")]
    Network(String),
    /// The request ran longer than `exec_ttl`.
    #[error("worker_exec_with_timeout: ExecTTL: context deadline exceeded")]
    ExecTtl,
    /// The answer is no valid payload.
    #[error("sync_worker_receive_frame: Decode: {0}")]
    Decode(String),
    /// The pool is stopping.
    #[error("static_pool_exec: WatcherStopped: the pool is stopping")]
    Stopped,
}

/// One worker as `rr workers` shows it.
#[derive(Clone, Debug)]
pub struct WorkerInfo {
    /// Process id.
    pub pid: u32,
    /// State number as RoadRunner reports it.
    pub status: u8,
    /// State as text.
    pub status_text: &'static str,
    /// Requests served.
    pub execs: u64,
    /// Start.
    pub created: SystemTime,
    /// Resident memory in bytes.
    pub memory: u64,
    /// CPU share in percent since the start.
    pub cpu: f64,
    /// Start of the running request.
    pub busy_since: Option<Instant>,
}

impl Payload {
    /// A payload whose context the given function appends.
    pub fn new(_flags: u8, _size_hint: usize, _context: impl FnOnce(&mut BytesMut), _body: Body) -> Self {
        unimplemented!()
    }
}

impl Stream {
    /// The next frame's body; `None` after the last one.
    pub async fn next(&mut self) -> Option<Result<Answer, ExecError>> {
        unimplemented!()
    }
}

impl Pool {
    /// Starts every worker; returns when all are ready, or with PHP's own words why not. Call it on the runtime of a thread that lives as long as the process.
    pub async fn start(_options: Options) -> Result<Self, crate::plugin::StartError> {
        unimplemented!()
    }

    /// Gives one request to a worker and waits for the answer. Dropping the future drops the answer, never the worker.
    pub async fn exec(&self, _payload: Payload) -> Result<Answer, ExecError> {
        unimplemented!()
    }

    /// The workers as they are.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        unimplemented!()
    }

    /// Replaces every worker, a few at a time.
    pub async fn reset(&self) -> Result<(), ExecError> {
        unimplemented!()
    }

    /// One worker more, up to 500.
    pub async fn add_worker(&self) -> Result<(), crate::plugin::StartError> {
        unimplemented!()
    }

    /// One worker less; the last one stays.
    pub async fn remove_worker(&self) {
        unimplemented!()
    }

    /// True in debug mode, where error texts go to the client.
    pub fn debug(&self) -> bool {
        unimplemented!()
    }

    /// Refuses new requests, lets running ones finish, stops every worker; at the deadline kills what is left.
    pub async fn stop(&self, _deadline: Instant) {
        let _ = (&self.inner, Duration::ZERO);
        unimplemented!()
    }
}
