//! `stop`: SIGTERM to the process in the `.pid` file, a second one with `-f`.

use super::{Failure, Global, Output};
use crate::pid_file;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// The server may miss a second signal that comes together with the first.
const BETWEEN: Duration = Duration::from_secs(1);

/// Sends the signals; does not wait for the end.
#[allow(clippy::print_stdout)]
pub(super) fn run(global: &Global, output: Output) -> Result<ExitCode, Failure> {
    let path = directory(global)?.join(pid_file::NAME);
    let pid = pid_file::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure(format!(
            "open {}: no such file or directory, to create a .pid file, you must run RR with the following options: './rr serve -p'",
            pid_file::NAME
        )),
        _ => Failure(error.to_string()),
    })?;
    if output.json {
        println!("{}", serde_json::json!({ "pid": pid }));
    } else if !global.silent {
        println!("stopping process with PID: {pid}");
    }
    let pid = Pid::from_raw(pid);
    kill(pid, Signal::SIGTERM)?;
    if global.force {
        #[expect(
            clippy::disallowed_methods,
            reason = "no runtime here, and nothing else to do meanwhile"
        )]
        std::thread::sleep(BETWEEN);
        match kill(pid, Signal::SIGTERM) {
            // The first one was enough.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The working directory that `serve` with the same flags has.
fn directory(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(directory) = &global.work_dir {
        return Ok(directory.clone());
    }
    let file = std::path::absolute(&global.config)?;
    Ok(file.parent().unwrap_or(Path::new("/")).to_owned())
}
