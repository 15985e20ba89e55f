//! `stop`: SIGTERM to the process in the `.pid` file, a second one with `-f`.

use super::{Failure, Global, Output};
use crate::{control_dir, pid_file};
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
    find(pid, &path)?;
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

/// The file may be older than its server's end, and its number somebody else's by now, who must not be signalled.
fn find(pid: i32, file: &Path) -> Result<(), Failure> {
    let text = match control_dir::has_one(pid) {
        Ok(true) => return Ok(()),
        // The signal is denied then as well, most likely, and the kernel's word on that is the better one.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        // A server that is just starting has none yet.
        Ok(false) if is_same_program(pid) => return Ok(()),
        Ok(false) => "is another program's by now",
        Err(_) => "is gone",
    };
    let file = file.display();
    Err(Failure(format!(
        "no server runs: the process {pid} that {file} names {text}"
    )))
}

/// Whether that process runs a program of our name, which may have been replaced meanwhile.
fn is_same_program(pid: i32) -> bool {
    let program = |of: &str| {
        let path = std::fs::read_link(format!("/proc/{of}/exe")).ok()?;
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some(name.trim_end_matches(" (deleted)").to_owned())
    };
    program("self").is_some_and(|own| program(&pid.to_string()) == Some(own))
}

/// The working directory that `serve` with the same flags has.
fn directory(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(directory) = &global.work_dir {
        return Ok(directory.clone());
    }
    let file = std::path::absolute(&global.config)?;
    Ok(file.parent().unwrap_or(Path::new("/")).to_owned())
}
