//! The lock plugin's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    rr_common::plugin::run::<rr_lock::LockPlugin>()
}
