//! Log lines and metrics, and the place of a request in a trace.
//!
//! The way of a log line: [`log`] takes it from `tracing` or from a direct call, looks up its [`channel`], lets
//! [`line`] and [`encode`] write it as one piece of text ([`up`]: for people), and hands it to [`send`], which gives it to the supervisor's [`sink`] (or
//! to one in the same process) as one datagram. The sink writes it to the [`outputs`], of which files may [`rotate`].

mod channel;
mod encode;
mod gather;
mod level;
mod line;
pub mod log;
pub mod metrics;
mod outputs;
pub mod request;
mod rotate;
mod send;
pub mod sink;
pub mod stderr;
mod subscriber;
mod tail;
mod text;
pub mod trace;
mod up;
mod wire;

pub use channel::LogError;
pub use level::Level;
pub use tail::Tail;
