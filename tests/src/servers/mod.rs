//! Real servers for the tests: private instances on free ports, killed at the end, stopped and started again on demand.
//!
//! A server that is not installed is a failure where `CI` is set; elsewhere the test says that it is skipped:
//!
//! ```no_run
//! use rr_tests::{Room, servers};
//!
//! let room = Room::new();
//! let Some(redis) = servers::Redis::start(&room, "single", &[]) else { return };
//! println!("{}", redis.address());
//! ```

pub mod daemon;
pub mod memcached;
pub mod redis;

pub use daemon::Daemon;
pub use memcached::Memcached;
pub use redis::{Cluster, Redis, Sentinel};

/// Whether a program is installed. A test without it is skipped, visibly.
///
/// # Panics
/// In CI, where nothing may be missing.
#[track_caller]
pub fn installed(program: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        let mut folders = std::env::split_paths(&path);
        folders.any(|folder| folder.join(program).is_file())
    });
    if !found {
        assert!(
            std::env::var_os("CI").is_none(),
            "{program} is not installed: bin/setup test installs it"
        );
        println!("SKIPPED: {program} is not installed");
    }
    found
}
