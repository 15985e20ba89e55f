//! Arguments and results in each codec.
//!
//! A method takes either a protobuf message (which may come as JSON too) or a plain value (JSON or MessagePack). An empty
//! argument is the empty value in every codec.

use super::{CallError, Codec};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Reads the argument of a method that takes a plain value.
///
/// # Errors
/// The bytes are no such value, or the codec cannot carry one.
pub fn decode<T: DeserializeOwned + Default>(codec: Codec, body: &[u8]) -> Result<T, CallError> {
    if body.is_empty() {
        return Ok(T::default());
    }
    match codec {
        Codec::Json => serde_json::from_slice(body).map_err(failed),
        Codec::Msgpack => rmp_serde::from_slice(body).map_err(failed),
        Codec::Proto => Err(not_a_message()),
        Codec::Raw => Err(unknown_raw()),
    }
}

/// Writes the result of a method that gives a plain value.
///
/// # Errors
/// The codec cannot carry it.
pub fn encode<T: Serialize>(codec: Codec, value: &T) -> Result<Bytes, CallError> {
    match codec {
        Codec::Json => serde_json::to_vec(value).map(Bytes::from).map_err(failed),
        Codec::Msgpack => rmp_serde::to_vec_named(value).map(Bytes::from).map_err(failed),
        Codec::Proto => Err(not_a_message()),
        Codec::Raw => Err(unknown_raw()),
    }
}

/// Reads the argument of a method that takes a protobuf message.
///
/// # Errors
/// The bytes are no such message, or the codec cannot carry one.
pub fn decode_message<M>(codec: Codec, body: Bytes) -> Result<M, CallError>
where
    M: prost::Message + Default + DeserializeOwned,
{
    match codec {
        Codec::Proto => M::decode(body).map_err(failed),
        codec => decode(codec, &body),
    }
}

/// Writes the result of a method that gives a protobuf message. In JSON empty fields are left out, as Go leaves them out.
///
/// # Errors
/// The codec cannot carry it.
pub fn encode_message<M: prost::Message + Serialize>(codec: Codec, message: &M) -> Result<Bytes, CallError> {
    match codec {
        Codec::Proto => Ok(message.encode_to_vec().into()),
        Codec::Json => {
            let mut value = serde_json::to_value(message).map_err(failed)?;
            omit_empty(&mut value);
            encode(codec, &value)
        }
        codec => encode(codec, message),
    }
}

/// Removes empty members of objects, at every depth.
fn omit_empty(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(omit_empty);
            members.retain(|_, member| !is_empty(member));
        }
        Value::Array(items) => items.iter_mut().for_each(omit_empty),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

fn failed(error: impl std::fmt::Display) -> CallError {
    CallError::Failed(error.to_string())
}

fn not_a_message() -> CallError {
    CallError::failed("goridge_read_request_body: message type is not a proto")
}

fn unknown_raw() -> CallError {
    CallError::failed("unknown Raw payload type")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control::v1::CallRequest;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn an_empty_argument_is_the_empty_value() {
        for codec in [Codec::Json, Codec::Msgpack] {
            assert_eq!(decode::<String>(codec, b""), Ok(String::new()));
        }
        assert_eq!(decode::<bool>(Codec::Json, b"true"), Ok(true));
        assert!(decode::<bool>(Codec::Json, b"\"no\"").is_err());
        assert!(decode::<bool>(Codec::Proto, b"x").is_err());
    }

    #[test]
    fn go_leaves_empty_fields_out() {
        let mut value = json!({"a": 0, "b": {"c": ""}, "d": [{"e": false, "f": 1}], "g": "x"});
        omit_empty(&mut value);
        assert_eq!(value, json!({"d": [{"f": 1}], "g": "x"}));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for codec in [Codec::Json, Codec::Msgpack, Codec::Raw, Codec::Proto] {
                let _ = decode::<Value>(codec, &bytes);
            }
            let _ = <CallRequest as prost::Message>::decode(&bytes[..]);
        }
    }
}
