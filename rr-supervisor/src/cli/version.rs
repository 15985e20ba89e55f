//! `--version`, in the form that tools take apart: Laravel Octane takes the third word, others `version X`.

use super::Failure;
use jiff::Timestamp;
use rr_common::COMPATIBLE_VERSION;
use std::{env::consts, process::ExitCode};

/// Prints it.
#[allow(clippy::print_stdout)]
pub(super) fn print() -> Result<ExitCode, Failure> {
    println!("{}", text());
    Ok(ExitCode::SUCCESS)
}

/// When this program was built, as RFC 3339.
pub(super) fn build_time() -> String {
    let seconds = env!("RR_BUILD_TIME").parse().unwrap_or_default();
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

fn text() -> String {
    let (time, compiler, os) = (build_time(), env!("RR_RUSTC"), consts::OS);
    // Go's names, which the reference prints.
    let arch = match consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("rr version {COMPATIBLE_VERSION} (build time: {time}, {compiler}), OS: {os}, arch: {arch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CLI-06, SDK-04.
    #[test]
    fn tools_can_read_it() {
        let text = text();
        assert_eq!(text.split(' ').nth(2), Some(COMPATIBLE_VERSION));
        assert!(text.starts_with("rr version 2025.1."), "{text}");
        assert!(text.contains(" (build time: 20"), "{text}");
        assert!(text.contains("), OS: linux, arch: "), "{text}");
    }
}
