//! What comes before the first plugin: the control directory and who may use it, what a supervisor before us has left, the listening
//! sockets, `on_init`.

use super::{ServeError, graph::graph, predecessor::Predecessor, settings::START_PATIENCE};
use crate::{
    adopt::{self, Left, memory::Memory},
    control_dir::{self, ControlDir, Identity},
    endpoints::{self, Sections},
    logs::ServerLog,
    notify::Notify,
    on_init,
    place::Place,
    plugins::catalog::Entry,
    reaper::Reaper,
    sockets::Sockets,
};
use rr_common::{config::Loaded, control::Access};
use std::{
    io::{self, Write},
    path::Path,
};

/// What is prepared, and with what.
#[derive(Debug)]
pub(super) struct Preparation<'a> {
    /// The configuration.
    pub loaded: &'a Loaded,
    /// Its file, as it was named.
    pub file: &'a Path,
    /// The plugins.
    pub entries: &'a [Entry],
    /// The listening sockets that this process has.
    pub sockets: &'a Sockets,
    /// The service manager.
    pub notify: &'a Notify,
    /// Where log lines go.
    pub log: &'a ServerLog,
}

/// What is there before the first plugin.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The control directory.
    pub control_dir: ControlDir,
    /// Who may use the sockets in it.
    pub access: Access,
    /// What a supervisor before us has left.
    pub left: Left,
    /// What it has noted.
    pub memory: Memory,
}

impl Preparation<'_> {
    /// Does all of it.
    ///
    /// # Errors
    /// What keeps the server from starting.
    pub(super) async fn run(self, before: &mut Predecessor, reaper: &mut Reaper) -> Result<Prepared, ServeError> {
        let Self {
            loaded,
            file,
            entries,
            sockets,
            ..
        } = self;
        let access = endpoints::access(&loaded.config, entries)?;
        let addresses = control_dir::addresses(&loaded.config);
        let identity = Identity {
            file: &loaded.base_dir.join(file.file_name().unwrap_or_default()),
            addresses: &addresses,
        };
        let control = &loaded.config.supervisor.control;
        let control_dir = ControlDir::open(control, &identity, &access, before.lock.take())?;
        control_dir.sign(&identity.signature())?;
        let mut left = adopt::search(&control_dir, entries, self.log, &before.lines, before.renewed);
        let memory = Memory::open(control_dir.path(), before.renewed || !left.plugins.is_empty());
        sockets.inherit(std::mem::take(&mut left.sockets));
        self.bind()?;
        left.wait(loaded.config.endure.grace_period.get()).await;
        control_dir.sweep(None);
        // With the plugins of a program before us that is long ago.
        if !before.renewed {
            self.on_init(reaper).await?;
        }
        if loaded.config.endure.print_graph {
            writeln!(io::stdout(), "{}", graph(entries))?;
        }
        Ok(Prepared {
            control_dir,
            access,
            left,
            memory,
        })
    }

    /// Binds what is not there yet, before anything else is done: a taken port is the most common mistake.
    fn bind(&self) -> Result<(), ServeError> {
        for entry in self.entries {
            let bound = self.sockets.of(&entry.addresses);
            bound.map_err(|error| ServeError::Listen {
                plugin: entry.name.clone(),
                error,
            })?;
        }
        Sections::of(&self.loaded.config).reserve(self.sockets)?;
        self.sockets.close_unclaimed();
        Ok(())
    }

    /// Runs `server.on_init`, once, before any plugin.
    async fn on_init(&self, reaper: &mut Reaper) -> Result<(), ServeError> {
        let server = self.loaded.config.server.as_ref();
        let Some(section) = server.and_then(|server| server.on_init.as_ref()) else {
            return Ok(());
        };
        // systemd counts the start from here on, and this may take its time.
        self.notify.extend(section.exec_timeout.get() + START_PATIENCE);
        let exit_of = async |pid| on_init::exit_of(pid, reaper).await;
        match on_init::run(section, &Place::default(), exit_of).await {
            Err(error) if section.exit_on_error => return Err(error.into()),
            Err(error) => tracing::error!(target: "server", "{error}"),
            Ok(()) => {}
        }
        Ok(())
    }
}
