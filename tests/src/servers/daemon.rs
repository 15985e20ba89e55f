//! One process that stays: started, stopped, started again with the same arguments.

use crate::wait::{SOON, eventually, holds_within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A process that listens somewhere; it is killed when this is dropped.
pub struct Daemon {
    program: String,
    arguments: Vec<String>,
    folder: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Daemon {
    /// A process that runs in `folder`, which is made, and writes its log there. Not started yet.
    pub fn new(program: &str, folder: &Path, arguments: Vec<String>) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        Self {
            program: program.to_owned(),
            arguments,
            folder: folder.to_owned(),
            child: Mutex::new(None),
        }
    }

    /// Starts it and waits until `ready` holds.
    #[track_caller]
    pub fn start(&self, mut ready: impl FnMut() -> bool) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .unwrap();
        let started = Command::new(&self.program)
            .args(&self.arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        *self.child() = Some(started.unwrap());
        let ready = holds_within(SOON, || {
            let ended = self.child().as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "{} has ended:\n{}", self.program, self.log());
            ready()
        });
        assert!(ready, "{} does not answer:\n{}", self.program, self.log());
    }

    /// Kills it, and returns when it is gone.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            let _ended_already = child.kill();
            let _reaped = child.wait();
        }
    }

    /// Freezes it: it keeps its connections and answers nothing. Returns when every thread of it has stopped.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        let pid = self.child().as_ref().map_or(0, Child::id);
        let stopped = || {
            let mut threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
            threads.all(|thread| {
                let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
                stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
            })
        };
        eventually(SOON, stopped);
    }

    /// Lets it run on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// What it has written.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &*self.child() {
            kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        }
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
