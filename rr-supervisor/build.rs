//! Leaves the build's time and compiler for `--version`.

use std::{
    env,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
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
