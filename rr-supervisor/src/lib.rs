//! The supervisor: holds the listening sockets, starts and watches one process for each configured plugin, owns the log,
//! stops everything in order. It never runs PHP.
//!
//! - [`cli`]: the command line, one file for each command
//! - [`serve`]: `serve` and `up`: from the configuration to the exit code
//! - [`run`]: the loop: signals, ends of processes, questions, time limits; start order and stop order
//! - [`fleet`]: all plugin processes together
//! - [`gateway`]: the RPC port; [`rpc_thread`]: the thread that it shares with the endpoints
//! - [`service`]: the user's own commands under supervision
//! - [`status`]: health and readiness
//! - [`messages`]: the protobuf messages of the RPC methods
//! - [`operate`]: `informer.*`, `resetter.*`, `supervisor.Plugins`: what operators and the command line ask
//! - [`adopt`]: what a supervisor before us has left behind
//! - [`app_log`]: `app.*`: log lines of PHP applications
//! - [`plugins`]: which there are, the life of each as plain data, how one is started
//! - [`cgroup`]: limits of single plugins
//! - [`control`]: our side of the contract `rr.control.v1`
//! - [`metrics`]: what is counted, and the page for Prometheus
//! - [`endpoint`]: HTTP servers of our own, for few and small requests; [`endpoints`]: what this process serves itself, and how a
//!   changed configuration changes it
//! - [`debug`]: the pages of `serve -d`
//! - [`control_dir`]: the directory of the control sockets, and the lock in it
//! - [`sockets`]: every listening socket, and who answers on it for a plugin that was given up
//! - [`renew`]: this program is replaced by a newer one in place
//! - [`reaper`]: the end of every child, orphans too
//! - [`watch`]: files change, and workers are made anew (development)
//! - [`reload`]: a changed configuration takes effect, all of it or nothing; [`place`]: where processes are started
//! - [`on_init`], [`deadline`], [`notify`], [`pid_file`], [`logs`]: as named

mod adopt;
mod app_log;
mod calls;
mod cgroup;
mod cli;
mod control;
mod control_dir;
mod deadline;
mod debug;
mod endpoint;
mod endpoints;
mod fleet;
mod gateway;
mod logs;
mod messages;
mod metrics;
mod notify;
mod on_init;
mod operate;
mod pid_file;
mod place;
mod plugins;
mod reaper;
mod reload;
mod renew;
mod rpc_thread;
mod run;
mod serve;
mod service;
mod sockets;
mod status;
mod watch;

pub use cli::main;
