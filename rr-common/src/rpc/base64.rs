//! Bytes in JSON, as Go has them: base64 with padding. For a protobuf field of type `bytes`:
//! `#[serde(with = "rr_common::rpc::as_base64")]`.

/// The pair of functions that serde asks for.
pub mod as_base64 {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    /// Writes text.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => STANDARD.encode(bytes).serialize(serializer),
            false => serializer.serialize_bytes(bytes),
        }
    }

    /// Reads text; null is empty.
    ///
    /// # Errors
    /// No text, or no base64.
    pub fn deserialize<'de, D, B>(deserializer: D) -> Result<B, D::Error>
    where
        D: Deserializer<'de>,
        B: From<Vec<u8>>,
    {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        STANDARD.decode(text).map(B::from).map_err(D::Error::custom)
    }
}
