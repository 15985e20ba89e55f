//! What a plugin's next process is given of ours: sockets, files, its place, its limits.

use super::{Surroundings, plugin::Plugin, running::Process};
use crate::{
    plugins::{
        output::Output,
        process::{self, Spawn, SpawnError},
    },
    watch::Gate,
};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rr_common::telemetry::Tail;
use std::{io, os::fd::OwnedFd, path::PathBuf};

impl Plugin {
    /// Starts its process.
    pub(super) fn spawn(&mut self, around: &Surroundings) -> Result<Process, SpawnError> {
        let failed = |error: io::Error| SpawnError::Prepare(error);
        let name = self.entry.name.as_str();
        let state = memory_file(&mut self.state, name, self.entry.keeps_state).map_err(failed)?;
        let handover = memory_file(&mut self.handover, name, self.entry.is_single).map_err(failed)?;
        let lines = Tail::default();
        let is_custom = self.entry.is_custom();
        let (output, words) = Output::open(name, is_custom, lines.clone()).map_err(failed)?;
        let entry = &self.entry;
        let control_dir: PathBuf = match process::user(&entry.name, &entry.process)? {
            Some(user) => {
                let made = around.control_dir.for_user(&user);
                made.map_err(|error| SpawnError::denied(&entry.name, &user, error))?
            }
            None => around.control_dir.path().to_owned(),
        };
        let limits = &entry.process.limits;
        let group = around
            .groups
            .wants(limits)
            .then(|| around.groups.place(&entry.name, limits));
        let group = group
            .transpose()
            .map_err(|error| SpawnError::Limits(entry.name.clone(), error))?;
        let spawn = Spawn {
            group,
            name: &entry.name,
            program: &entry.program,
            process: &entry.process,
            place: &self.place,
            control: &around.control_dir.socket(),
            control_dir,
            sockets: around.sockets.of(&entry.addresses).map_err(failed)?,
            log: around.log.socket(lines.clone()).map_err(failed)?,
            state,
            watch: around.watch.as_ref().map(Gate::copy).transpose().map_err(failed)?,
            // A next generation that does not start must not take a good one's place.
            repair: around.repair && self.is_serving(),
            handover,
            output,
            is_custom,
        };
        let mut process = Process::new(spawn.run()?);
        process.lines = lines;
        process.waits = around.watch.is_some();
        self.output = Some(words);
        Ok(process)
    }
}

/// A copy of a memory file, which the first start makes, if there is to be one.
fn memory_file(kept: &mut Option<OwnedFd>, name: &str, wanted: bool) -> io::Result<Option<OwnedFd>> {
    if !wanted {
        return Ok(None);
    }
    let file = match kept.take() {
        Some(file) => file,
        None => memfd_create(name, MFdFlags::MFD_CLOEXEC)?,
    };
    kept.insert(file).try_clone().map(Some)
}
