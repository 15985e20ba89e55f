//! The RPC port: where PHP and the command line call the server.

#![allow(dead_code, unused_imports, reason = "the port itself comes with the next commit")]

mod local;

pub(crate) use local::{Answer, Local, Locals};
