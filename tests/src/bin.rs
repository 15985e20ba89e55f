//! Where the repository, the built binaries and the PHP scripts are.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A script of `tests/php/`.
pub fn script(name: &str) -> PathBuf {
    let path = repository().join("tests/php").join(name);
    assert!(path.is_file(), "no such script: {}", path.display());
    path
}

/// A binary of this workspace, of the same profile as the test: tests live in `target/<profile>/deps`.
///
/// Cargo builds no binaries of other crates for a test, hence the message.
pub fn binary(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let path = exe.parent().unwrap().parent().unwrap().join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --workspace` with the test's profile first",
        path.display()
    );
    path
}

/// The server under test: `rr-supervisor`, or the binary that `RR_TEST_SERVER` names, so that a test can be tried
/// against another server with RoadRunner's command line.
pub fn server() -> PathBuf {
    match std::env::var_os("RR_TEST_SERVER") {
        Some(path) => PathBuf::from(path),
        None => binary("rr-supervisor"),
    }
}
