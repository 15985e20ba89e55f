//! Leaves the build's time and compiler for `--version`, and generates the messages of `proto/*.proto`, with a compiler in pure
//! Rust: no `protoc` is needed.

use std::{
    env,
    error::Error,
    fs,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    stamp();
    messages()
}

fn stamp() {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    // For reproducible builds the packager says the time.
    let stamp = env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    println!("cargo:rustc-env=RR_BUILD_TIME={}", stamp.unwrap_or(now));

    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let text = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let number = text.as_deref().and_then(|text| text.split_whitespace().nth(1));
    println!("cargo:rustc-env=RR_RUSTC=rust{}", number.unwrap_or_default());
}

fn messages() -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir("proto")? {
        files.push(entry?.path());
    }
    files.sort();
    let descriptors = protox::compile(files, ["proto"])?;
    prost_build::Config::new()
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)] #[serde(default)]")
        .compile_fds(descriptors)?;
    Ok(())
}
