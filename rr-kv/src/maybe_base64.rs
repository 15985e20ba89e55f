//! Optional bytes in JSON: base64, or null.

use bytes::Bytes;
use rr_common::rpc::as_base64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are there.
#[derive(Serialize, Deserialize)]
struct Present(#[serde(with = "as_base64")] Bytes);

pub(crate) fn serialize<S: Serializer>(bytes: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
    bytes.clone().map(Present).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    Ok(Option::<Present>::deserialize(deserializer)?.map(|present| present.0))
}
