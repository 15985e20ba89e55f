//! Generates the messages of the lock methods from `proto/`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "lock/v1beta1/lock.proto";
    println!("cargo:rerun-if-changed=proto/{file}");
    let descriptors = protox::compile([file], ["proto"])?;
    prost_build::Config::new()
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)] #[serde(default)]")
        .compile_fds(descriptors)?;
    Ok(())
}
