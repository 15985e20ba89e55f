//! Generates the messages of `proto/`, with a compiler in pure Rust. They also travel as JSON, so they know serde.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "kv/v1/kv.proto";
    println!("cargo:rerun-if-changed=proto/{file}");
    let descriptors = protox::compile([file], ["proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)] #[serde(default)]")
        .field_attribute("Item.value", "#[serde(with = \"rr_common::rpc::as_base64\")]")
        .field_attribute("SwapRequest.value", "#[serde(with = \"rr_common::rpc::as_base64\")]")
        .field_attribute("SwapRequest.expected", "#[serde(with = \"crate::maybe_base64\")]")
        .compile_fds(descriptors)?;
    Ok(())
}
