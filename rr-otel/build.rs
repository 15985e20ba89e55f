//! Generates the messages and the client of OTLP from `proto/`, with a compiler in pure Rust.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "otlp.proto";
    println!("cargo:rerun-if-changed=proto/{file}");
    let descriptors = protox::compile([file], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(descriptors)?;
    Ok(())
}
