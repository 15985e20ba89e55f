//! The RPC port: where PHP and the command line call the server.
//!
//! - [`accept`]: connections come in
//! - [`client`]: one of them: its calls, in order; [`caller`]: what it takes to answer one
//! - [`intake`], [`outlet`]: the two sides of any connection here: frames in, bytes out; [`load`]: how much waits in all of them
//! - [`route`]: from a method's name to whoever answers it
//! - [`plugin`]: a plugin as callers see it; [`link`]: the connection to its process; [`waiting`]: calls that wait for one
//! - [`freeze`]: everything stands still and is packed for the next program, in the words of [`kept`]; [`ties`]: calls that are waited
//!   for before
//! - [`orders`]: what the main loop tells it while it runs: other methods, other addresses, to stand still
//! - [`local`]: methods that the supervisor answers itself; [`services`]: all of them; [`rpc`]: the first;
//!   [`missing`]: what there would be with a program that is not installed
//!
//! All of it runs on the thread of [`crate::rpc_thread`], whose tasks share their state without locks.
//!
//! A call that goes to a plugin is read from the client and written to the plugin by the client's task, and its answer is read from
//! the plugin and written to the client by the plugin's task: no task, no queue and, for a small one, no copy belongs to a call.

mod accept;
mod caller;
mod client;
mod freeze;
mod intake;
mod kept;
mod link;
mod load;
mod local;
mod missing;
mod orders;
mod outlet;
mod plugin;
mod route;
mod rpc;
mod services;
mod ties;
mod waiting;

pub(crate) use accept::{Doors, open};
pub(crate) use freeze::Frozen;
pub(crate) use local::{Answer, Local, Locals};
pub(crate) use orders::{ORDERS, Order};
use route::Gateway;
pub(crate) use services::{Means, locals, missing};
