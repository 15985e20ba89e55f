//! The control sockets: who may use them, by their files' modes and by what the kernel tells of each caller.

use crate::{
    control_dir::ControlDir,
    plugins::{catalog::Entry, process},
};
use rr_common::{
    config::Config,
    control::{Access, Guests},
};
use std::{io, path::PathBuf};

/// The control sockets. They never move.
#[derive(Debug)]
pub(crate) struct ControlSockets {
    guests: Guests,
    /// The directory, and the sockets in it.
    dir: PathBuf,
    sockets: Vec<PathBuf>,
    /// What the files' modes say.
    access: Access,
}

/// Who may use the control sockets: whom the configuration names, and the plugins that run under users of their own.
///
/// # Errors
/// An unknown user or group.
pub(crate) fn access(config: &Config, entries: &[Entry]) -> io::Result<Access> {
    let mut access = Access::new(&config.supervisor.control)?;
    for entry in entries {
        if let Some(user) = process::user(&entry.name, &entry.process).map_err(io::Error::other)? {
            access.allow(user.uid);
        }
    }
    Ok(access)
}

impl ControlSockets {
    /// Those of a control directory.
    pub(crate) fn new(dir: &ControlDir, access: Access) -> Self {
        Self {
            guests: access.clone().into(),
            dir: dir.path().to_owned(),
            sockets: vec![dir.socket(), dir.rpc_socket()],
            access,
        }
    }

    /// Who may come in, now and after each change.
    pub(crate) fn guests(&self) -> Guests {
        self.guests.clone()
    }

    /// Whom the files' modes let in.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// From now on it is these who may come in.
    ///
    /// # Errors
    /// The files cannot be given another mode.
    pub(super) fn become_for(&mut self, access: Access) -> io::Result<()> {
        self.guests.become_these(access.clone());
        if self.access != access {
            access.protect(&self.dir, true)?;
            self.sockets
                .iter()
                .try_for_each(|socket| access.protect(socket, false))?;
            self.access = access;
        }
        Ok(())
    }
}
