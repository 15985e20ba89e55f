//! goridge RPC: how PHP calls methods of the server. Codecs, values and [`wire`], the
//! calls themselves; the frame is [`crate::frame`]'s.
//!
//! A call is a frame with two options, sequence number and length of the method's name, whose payload is the name and the
//! encoded argument. Its answer has the same two options and repeats the name. A failed call's answer has the ERROR flag and
//! a text behind the name. Source: goridge v3.
//!
//! [`lease`] is how the supervisor lends a client's connection to a plugin.

mod base64;
mod codec;
mod error;
mod guard;
pub mod lease;
mod pass;
mod port;
mod quiet;
mod value;
mod watch;
pub mod wire;

pub use base64::as_base64;
pub use codec::{Codec, UnknownCodec};
pub use error::CallError;
pub use guard::{Guarded, Panicked};
pub use pass::Passed;
pub use port::{OpenPort, Port};
pub use quiet::Quiet;
pub use value::{decode, decode_message, encode, encode_message};
pub(crate) use watch::watch;
