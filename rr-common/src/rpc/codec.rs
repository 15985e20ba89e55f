//! The codec of a call, which its answer must have too.

use crate::frame::flag;

/// How argument and result are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// A protobuf message.
    Proto,
    /// JSON as Go writes it: bytes are base64.
    Json,
    /// Bytes as they are.
    Raw,
    /// MessagePack.
    Msgpack,
}

/// A frame whose flags name no codec that we speak. Go's gob is among these: it is for Go programs only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("goridge_read_request_body: unknown decoder used in frame")]
pub struct UnknownCodec;

impl Codec {
    /// The codec that a frame's flags name; of several the reference's first.
    ///
    /// # Errors
    /// None, or one that we do not speak.
    pub fn of(flags: u8) -> Result<Self, UnknownCodec> {
        let known = [Self::Proto, Self::Json, Self::Raw, Self::Msgpack];
        let named = known.into_iter().find(|codec| flags & codec.flag() != 0);
        named.ok_or(UnknownCodec)
    }

    /// Its bit in a frame's flags.
    pub const fn flag(self) -> u8 {
        match self {
            Self::Proto => flag::PROTO,
            Self::Json => flag::JSON,
            Self::Raw => flag::RAW,
            Self::Msgpack => flag::MSGPACK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_codecs_the_first_counts() {
        assert_eq!(Codec::of(flag::JSON | flag::PROTO), Ok(Codec::Proto));
        assert_eq!(Codec::of(flag::RAW | flag::MSGPACK), Ok(Codec::Raw));
        assert_eq!(Codec::of(flag::MSGPACK | flag::ERROR), Ok(Codec::Msgpack));
        assert_eq!(Codec::of(flag::GOB), Err(UnknownCodec));
        assert_eq!(Codec::of(0), Err(UnknownCodec));
    }
}
