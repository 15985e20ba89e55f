//! A plugin's process says who it is: whom we take, and why not.

use super::{Calls, Fleet, plugin::Plugin};
use crate::control_dir::LONGEST_SOCKET;
use nix::unistd::Pid;
use rr_common::{
    config::{BUNDLED, OWN_PREFIXES},
    control::{CONTRACT_VERSION, v1::RegisterRequest},
};
use std::time::Instant;
use tonic::Status;

impl Fleet {
    /// Takes the registration of a process, told by its group, or says why not.
    pub(super) fn register(&mut self, group: Pid, registration: RegisterRequest, now: Instant) -> Result<(), Status> {
        let known = self.find(group);
        if known.is_none() {
            speaks_our_version(&registration)?;
        }
        let attached = || self.attach(group, &registration.plugin, now);
        let Some(index) = known.or_else(attached) else {
            return Err(stranger(&registration.plugin));
        };
        if let Err(refusal) = self.check(index, &registration) {
            // It ends now, most likely; then this is the reason that its users read.
            self.plugins[index].refuse(refusal.message().to_owned());
            return Err(refusal);
        }
        self.plugins[index].register(registration)
    }

    fn check(&self, index: usize, registration: &RegisterRequest) -> Result<(), Status> {
        speaks_our_version(registration)?;
        self.plugins[index].is_meant(registration)?;
        let name = &registration.plugin;
        for path in [&registration.socket, &registration.calls_socket] {
            if path.len() > LONGEST_SOCKET || !(path.is_empty() || path.starts_with('/')) {
                return Err(Status::invalid_argument(format!(
                    "the plugin {name} names a socket that is no absolute path of at most {LONGEST_SOCKET} bytes: {path}"
                )));
            }
        }
        if registration.socket.is_empty() {
            return Err(Status::invalid_argument(format!(
                "the plugin {name} names no socket of its own"
            )));
        }
        for prefix in &registration.rpc_prefixes {
            if let Some(owner) = self.owner(index, prefix) {
                return Err(Status::already_exists(format!(
                    "the plugin {name} wants methods with the prefix {prefix}, which are answered by {owner} already"
                )));
            }
        }
        Ok(())
    }

    /// Who else answers the methods with this prefix.
    fn owner(&self, index: usize, prefix: &str) -> Option<String> {
        if OWN_PREFIXES.contains(&prefix) {
            return Some("the server itself".to_owned());
        }
        let own = &self.plugins[index].entry.name;
        let other =
            |plugin: &&Plugin| plugin.entry.name != *own && plugin.member().prefixes.iter().any(|p| p == prefix);
        let found = self.plugins.iter().find(other);
        found.map(|plugin| format!("the plugin {}", plugin.entry.name))
    }
}

impl Plugin {
    /// One bundled program does not do another one's work, whatever an operator or the configuration says.
    fn is_meant(&self, registration: &RegisterRequest) -> Result<(), Status> {
        let (name, program) = (self.entry.name.as_str(), registration.program.as_str());
        let is_other = program != name && BUNDLED.contains(&program) && BUNDLED.contains(&name);
        match is_other && !self.entry.is_custom() {
            true => Err(Status::failed_precondition(format!(
                "the program is the plugin {program}, and cannot be the plugin {name}"
            ))),
            false => Ok(()),
        }
    }

    /// Takes the registration of its process.
    fn register(&mut self, registration: RegisterRequest) -> Result<(), Status> {
        let process = match &mut self.process {
            Some(process) if registration.plugin == self.entry.name => process,
            _ => return Err(stranger(&registration.plugin)),
        };
        process
            .listens_at(registration.socket)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        process.version = registration.plugin_version;
        process.calls = (!registration.calls_socket.is_empty()).then(|| Calls {
            path: registration.calls_socket.into(),
            leases: registration.leases,
        });
        process.prefixes = registration.rpc_prefixes;
        process.returns = registration.started;
        if let Some(adopted) = &mut process.adopted {
            adopted.connection = None;
            adopted.outdated = registration.config != self.config;
        }
        let configured = &self.entry.process.rpc_prefixes;
        process.prefixes.extend(configured.iter().cloned());
        Ok(())
    }
}

fn speaks_our_version(registration: &RegisterRequest) -> Result<(), Status> {
    let (name, theirs) = (&registration.plugin, registration.contract_version);
    match theirs == CONTRACT_VERSION {
        true => Ok(()),
        false => Err(Status::failed_precondition(format!(
            "the plugin {name} speaks version {theirs} of the control contract, this supervisor version {CONTRACT_VERSION}"
        ))),
    }
}

/// The refusal of a process that we have not started under that name.
fn stranger(name: &str) -> Status {
    Status::permission_denied(format!(
        "this supervisor has not started a plugin {name} with this process"
    ))
}
