//! Limits of memory, processor time and processes for single plugins (`supervisor.plugins.NAME.limits`): control groups, version 2.
//!
//! ```text
//!   …/roadrunner.service/         ours to arrange (systemd: Delegate=), or the directory in `supervisor.cgroup`
//!     supervisor/                 this process, and the plugins without limits
//!     http-1/  kv-1/  http-2/     one group for each process with limits, with all that it starts
//! ```
//!
//! Each process has a group of its own, so that two generations side by side, during an upgrade, do not share one's memory. The kernel
//! refuses processes in a group that hands its controllers down, so this process moves into `supervisor/` first.
//!
//! A limit that cannot be set is an error, not a warning: somebody relies on it. `supervisor.cgroup: none` says that nobody does.

mod values;

use rr_common::config::section::{Limits, PluginProcess, Supervisor};
use std::{
    cell::RefCell,
    fs::{self, File},
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process,
};

/// Where the version 2 hierarchy is.
const MOUNT: &str = "/sys/fs/cgroup";

/// The group of this process; systemd puts it there itself by `DelegateSubgroup=`.
const OWN: &str = "supervisor";

/// The value of `supervisor.cgroup` that switches limits off.
const NONE: &str = "none";

/// Processes of one plugin that have had a group; more than any server starts.
const MOST: u32 = 1_000_000;

/// Why limits cannot be set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    /// No version 2 hierarchy.
    #[error("this machine has no control groups of version 2 in {MOUNT}; {ADVICE}")]
    Absent,
    /// The group is somebody else's.
    #[error("{}: {error}; {ADVICE}", .path.display())]
    Refused {
        /// What could not be read, made or written.
        path: PathBuf,
        /// The kernel's reason.
        error: io::Error,
    },
    /// The group has not been given these controllers.
    #[error("the control group {} has no {missing}; {ADVICE}", .path.display())]
    Controllers {
        /// The group.
        path: PathBuf,
        /// What is missing.
        missing: String,
    },
    /// Others are in the group.
    #[error("other processes are in the control group {}, so it cannot be divided; {ADVICE}", .path.display())]
    Shared {
        /// The group.
        path: PathBuf,
    },
}

/// What can be done about it.
const ADVICE: &str = "limits of plugins need a group of our own: `Delegate=cpu memory pids` in the systemd unit, or a directory in \
                      `supervisor.cgroup`; `supervisor.cgroup: none` starts without limits";

/// The groups of the plugins.
#[derive(Debug)]
pub(crate) struct Groups {
    /// `supervisor.cgroup`.
    setting: String,
    /// The directory that is ours, once it has been prepared.
    root: RefCell<Option<PathBuf>>,
}

impl Groups {
    /// Touches nothing yet: a server without limits leaves control groups alone.
    pub(crate) fn new(setting: &str) -> Self {
        Self {
            setting: setting.to_owned(),
            root: RefCell::new(None),
        }
    }

    /// True when these limits shall be set.
    pub(crate) fn wants(&self, limits: &Limits) -> bool {
        !limits.is_empty() && self.setting != NONE
    }

    /// A new group with these limits; what is returned takes the number of a process that shall be in it.
    ///
    /// # Errors
    /// The groups are not ours to arrange, or a value is refused.
    pub(crate) fn place(&self, plugin: &str, limits: &Limits) -> Result<OwnedFd, CgroupError> {
        let root = self.prepare(limits)?;
        self.clear(&root, plugin);
        let group = make(&root, plugin)?;
        for (file, value) in values::of(limits) {
            let path = group.join(file);
            // A new group has no limits, and without the controller no file for them.
            if value != values::UNLIMITED {
                write(&path, &value).map_err(refused(&path))?;
            }
        }
        let path = group.join("cgroup.procs");
        open(&path).map(OwnedFd::from).map_err(refused(&path))
    }

    /// Sees that limits like these can be set.
    ///
    /// # Errors
    /// The groups are not ours to arrange.
    pub(crate) fn prepare(&self, limits: &Limits) -> Result<PathBuf, CgroupError> {
        let known = self.root.borrow().clone();
        let root = match known {
            Some(root) => root,
            None => self.open()?,
        };
        hand_down(&root, limits)?;
        *self.root.borrow_mut() = Some(root.clone());
        Ok(root)
    }

    /// Removes the groups that are empty, all or those of one plugin. The kernel keeps the others.
    fn clear(&self, root: &Path, plugin: &str) {
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let of_plugin = name.to_str().and_then(|name| name.rsplit_once('-'));
            if of_plugin.is_some_and(|(name, number)| name == plugin && number.parse::<u32>().is_ok()) {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }

    /// Finds the directory that is ours, and leaves it to its groups.
    fn open(&self) -> Result<PathBuf, CgroupError> {
        if !self.setting.is_empty() {
            return Ok(PathBuf::from(&self.setting));
        }
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|_| CgroupError::Absent)?;
        let own = own_group(&own).ok_or(CgroupError::Absent)?;
        if !own.join("cgroup.controllers").exists() {
            return Err(CgroupError::Absent);
        }
        if own.file_name().is_some_and(|name| name == OWN) {
            return Ok(own.parent().unwrap_or(&own).to_owned());
        }
        let inner = own.join(OWN);
        match fs::create_dir(&inner) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(refused(&inner)(error)),
            _ => {}
        }
        let procs = inner.join("cgroup.procs");
        write(&procs, &process::id().to_string()).map_err(refused(&procs))?;
        Ok(own)
    }
}

/// What the user should know about limits that are configured and not set.
pub(crate) fn warnings(section: &Supervisor) -> Vec<String> {
    let limited = section.plugins.iter().filter(|(_, process)| !process.limits.is_empty());
    let warning = |(name, process): (&String, &PluginProcess)| {
        if process.attached {
            let text = "its service manager starts the plugin; limits belong into that one's unit";
            Some(format!("supervisor.plugins.{name}.limits: {text}"))
        } else {
            (section.cgroup == NONE)
                .then(|| format!("limits of plugins are switched off (supervisor.cgroup): {name} has none"))
        }
    };
    limited.filter_map(warning).collect()
}

impl Drop for Groups {
    fn drop(&mut self) {
        if let Some(root) = self.root.borrow().as_deref() {
            let names = fs::read_dir(root).into_iter().flatten().flatten();
            for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
                if let Some((plugin, _)) = name.rsplit_once('-') {
                    self.clear(root, plugin);
                }
            }
        }
    }
}

/// The directory of a process's group, from `/proc/PID/cgroup`.
fn own_group(table: &str) -> Option<PathBuf> {
    let path = table.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(MOUNT).join(path))
}

/// Lets the groups below have the controllers that these limits need.
fn hand_down(root: &Path, limits: &Limits) -> Result<(), CgroupError> {
    let has = |file: &str| -> Result<Vec<String>, CgroupError> {
        let path = root.join(file);
        let text = fs::read_to_string(&path).map_err(refused(&path))?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    };
    let wanted = values::controllers(limits);
    let handed_down = has("cgroup.subtree_control")?;
    let wanted: Vec<_> = wanted
        .into_iter()
        .filter(|name| !handed_down.iter().any(|has| has == name))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let there = has("cgroup.controllers")?;
    let missing: Vec<_> = wanted
        .iter()
        .copied()
        .filter(|name| !there.iter().any(|has| has == name))
        .collect();
    if !missing.is_empty() {
        return Err(CgroupError::Controllers {
            path: root.to_owned(),
            missing: missing.join(" and no "),
        });
    }
    let path = root.join("cgroup.subtree_control");
    let all: Vec<_> = wanted.iter().map(|name| format!("+{name}")).collect();
    write(&path, &all.join(" ")).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => CgroupError::Shared { path: root.to_owned() },
        _ => refused(&path)(error),
    })
}

/// A new group for a process of a plugin.
fn make(root: &Path, plugin: &str) -> Result<PathBuf, CgroupError> {
    for number in 1..MOST {
        let path = root.join(format!("{plugin}-{number}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            // A process of this plugin that is still there, perhaps our predecessor's.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(&path)(error)),
        }
    }
    Err(refused(root)(io::ErrorKind::AlreadyExists.into()))
}

/// One write, as the kernel wants it.
fn write(path: &Path, value: &str) -> io::Result<()> {
    open(path)?.write_all(value.as_bytes())
}

/// Made where it does not exist: the kernel refuses that, but a directory may stand for its tree.
fn open(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(false).open(path)
}

fn refused(path: &Path) -> impl Fn(io::Error) -> CgroupError {
    let path = path.to_owned();
    move |error| CgroupError::Refused {
        path: path.clone(),
        error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
