//! Starting a process of a service.
//!
//! It leads a process group of its own and dies with us, by the kernel's hand (`PR_SET_PDEATHSIG`). The variable `RR_SERVICE` tells
//! whatever it starts from other people's processes, also what has left the group: that is killed when its own process has ended.

use super::spec::Spec;
use crate::place::Place;
use nix::unistd::Pid;
use rr_common::worker::{recipe, unsafe_exec};
use std::{
    env,
    io::{self, ErrorKind},
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, Stdio},
};
use tokio::net::unix::pipe;

/// The variable with the name of the service and the number of the process.
pub(crate) const MARK: &str = "RR_SERVICE";

/// Variables that are for this process, or would make a service look like a PHP worker.
const OURS: [&str; 9] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "FDSTORE",
    "RR_MODE",
    "RR_RELAY",
];

/// The value of [`MARK`].
pub(super) fn mark(spec: &Spec, number: usize) -> String {
    format!("{}.{number}", spec.name)
}

/// Starts the process of that number; both of its outputs are one pipe, so that their lines keep their order.
///
/// # Errors
/// Why it cannot be started, as the reference says it.
pub(super) fn spawn(spec: &Spec, number: usize, place: &Place) -> Result<(Pid, pipe::Receiver), String> {
    let [program, arguments @ ..] = &spec.command[..] else {
        return Err("exec: no command".into());
    };
    let identity = recipe::identity(&format!("service.{}", spec.name), &spec.user, "").map_err(|error| error.0)?;
    let failed = |error: io::Error| reason(program, &error);
    let (reader, writer) = io::pipe().map_err(failed)?;
    let mut command = Command::new(program);
    for name in OURS {
        command.env_remove(name);
    }
    place.apply(&mut command);
    command
        .args(arguments)
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .env(MARK, mark(spec, number))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer);
    unsafe_exec::prepare(&mut command, identity);
    let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(failed)?;
    // The handle is dropped: the reaper waits for all children, by their pid.
    let child = command.spawn().map_err(failed)?;
    let pid = i32::try_from(child.id()).map_err(|error| failed(io::Error::other(error)))?;
    Ok((Pid::from_raw(pid), pipe))
}

/// The command with the program's whole path, as the reference shows it.
pub(super) fn full_command(spec: &Spec) -> String {
    let mut words = spec.command.clone();
    if let Some(program) = words.first_mut().filter(|program| !program.contains('/'))
        && let Some(path) = env::var_os("PATH")
        && let Some(found) = env::split_paths(&path)
            .map(|place| place.join(&*program))
            .find(|path| path.is_file())
    {
        *program = found.display().to_string();
    }
    words.join(" ")
}

fn reason(program: &str, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound if !program.contains('/') => {
            format!("exec: \"{program}\": executable file not found in $PATH")
        }
        ErrorKind::NotFound => format!("fork/exec {program}: no such file or directory"),
        ErrorKind::PermissionDenied => format!("fork/exec {program}: permission denied"),
        _ => format!("fork/exec {program}: {error}"),
    }
}
