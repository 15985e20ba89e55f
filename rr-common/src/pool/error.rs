//! Why a request gets no answer.

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
    /// The answer is no valid payload, or the request is none.
    #[error("sync_worker_receive_frame: Decode: {0}")]
    Decode(String),
    /// A worker did not start: the fresh one of debug mode, or the first replacement of a reset. With PHP's own words.
    #[error("static_pool_allocate: {0}")]
    Boot(String),
    /// The pool is stopping.
    #[error("static_pool_exec: WatcherStopped: the pool is stopping")]
    Stopped,
}
