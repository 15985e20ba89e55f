//! goridge RPC: how PHP calls methods of the server. Codecs, values and [`wire`], the
//! calls themselves; the frame is [`crate::frame`]'s.
//!
//! A call is a frame with two options, sequence number and length of the method's name, whose payload is the name and the
//! encoded argument. Its answer has the same two options and repeats the name. A failed call's answer has the ERROR flag and
//! a text behind the name. Source: goridge v3.

mod base64;
mod codec;
mod error;
mod guard;
mod port;
mod quiet;
mod value;
mod watch;
pub mod wire;

pub use base64::as_base64;
pub use codec::{Codec, UnknownCodec};
pub use error::CallError;
pub use guard::{Guarded, Panicked};
pub use port::{OpenPort, Port};
pub use quiet::Quiet;
pub use value::{decode, decode_message, encode, encode_message};
