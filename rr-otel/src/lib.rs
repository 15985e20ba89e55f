//! Traces: where a request comes from, where it goes on to, and what is told about it to a collector.
//!
//! - [`propagate`]: the place in a trace, read from request headers and written into them
//! - [`span`]: a finished piece of work; [`sampler`]: which traces are recorded
//! - [`Tracer`]: what those who make spans hold; a cheap handle that never waits
//! - `queue`: the finished spans that wait, a bounded number; `sending`: the thread that sends them in batches
//! - `export/`: OTLP over HTTP and gRPC, zipkin, and text on stdout or stderr
//! - `settings`, `resource`, `endpoint`: the `otel` section and the `OTEL_*` variables, made one
//!
//! Nothing of this exists at run time unless [`Traces::start`] is called: no thread, no memory, no connection.

mod client;
mod endpoint;
mod export;
mod ids;
pub mod propagate;
pub mod proto;
mod queue;
mod resource;
mod retry;
pub mod sampler;
mod sending;
mod settings;
pub mod span;
mod tls;
mod tracer;

pub use settings::{SettingsError, Variables};
pub use tracer::{Tracer, Traces};
