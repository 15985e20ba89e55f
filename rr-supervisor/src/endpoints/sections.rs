//! The sections of the configuration that this process serves itself, as plain data: what changes between two of them, and whether a
//! server could open them.

use crate::{metrics::Registry, sockets::Sockets};
use rr_common::{
    config::{Config, section},
    listen::Address,
    rpc::Port,
};
use serde::Serialize;
use std::{io, time::Instant};

/// The sections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sections {
    pub(super) status: Option<section::Status>,
    pub(super) metrics: Option<section::Metrics>,
    pub(super) rpc: Option<section::Rpc>,
    pub(super) service: bool,
    /// The addresses of the plugins, which are theirs.
    plugins: Vec<String>,
}

/// One of the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Health and readiness.
    Status,
    /// The page for Prometheus.
    Metrics,
    /// The port where PHP and the command line call.
    Rpc,
}

/// What becomes of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Which.
    pub which: Which,
    /// In a word: `opened`, `moved`, `changed` or `closed`.
    pub action: &'static str,
    /// Where it listens then.
    pub address: Option<String>,
}

/// A configuration that cannot be served; the text is for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// One of the endpoints.
    #[error("the plugin {} cannot start: {error}", which.name())]
    Endpoint {
        /// Which.
        which: Which,
        /// The reason, with the key.
        error: io::Error,
    },
    /// The control sockets cannot be opened to whom they shall be.
    #[error("the control directory: {0}")]
    Control(io::Error),
}

impl Which {
    /// The section's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Metrics => "metrics",
            Self::Rpc => "rpc",
        }
    }

    /// The key of its address.
    fn key(self) -> &'static str {
        match self {
            Self::Status => "status.address",
            Self::Metrics => "metrics.address",
            Self::Rpc => "rpc.listen",
        }
    }

    pub(super) fn unfit(self, error: io::Error) -> Unfit {
        Unfit::Endpoint { which: self, error }
    }
}

impl Sections {
    /// Those of a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        let names = config.plugins();
        let mut status = config.status.clone();
        if let Some(section) = &mut status
            && section.address.is_empty()
        {
            section.address = ":80".into();
        }
        Self {
            status,
            metrics: config.metrics.clone(),
            rpc: config.rpc.clone(),
            service: config.service.is_some(),
            plugins: names.iter().flat_map(|name| config.addresses(name)).collect(),
        }
    }

    /// The endpoints that change on the way to others.
    pub(crate) fn changes(&self, after: &Self) -> Vec<Change> {
        // Of metrics the collectors are no matter of the endpoint's.
        let collects = |metrics: &Option<section::Metrics>| metrics.as_ref().map(|metrics| metrics.address.clone());
        let all = [
            (Which::Status, differ(&self.status, &after.status)),
            (Which::Metrics, collects(&self.metrics) != collects(&after.metrics)),
            (Which::Rpc, differ(&self.rpc, &after.rpc)),
        ];
        let changed = all.into_iter().filter(|(_, differ)| *differ);
        changed
            .map(|(which, _)| {
                let (before, address) = (self.address(which), after.address(which));
                Change {
                    which,
                    action: match (before, address) {
                        (None, _) => "opened",
                        (_, None) => "closed",
                        (Some(before), Some(after)) if !is_same_place(before, after) => "moved",
                        _ => "changed",
                    },
                    address: address.map(str::to_owned),
                }
            })
            .collect()
    }

    /// Opens the sockets of all that are not open yet, and looks at everything else that may be wrong with them. All or nothing;
    /// returns the addresses that are new.
    pub(crate) fn reserve(&self, sockets: &Sockets) -> Result<Vec<String>, Unfit> {
        self.has_a_place_for_each()?;
        let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        if let Some(section) = &self.metrics {
            Registry::configured(section, Instant::now()).map_err(|text| Which::Metrics.unfit(wrong(text)))?;
        }
        if let Some(section) = &self.rpc {
            Port::access(section).map_err(|error| Which::Rpc.unfit(error))?;
        }
        let mut opened = Vec::new();
        for (which, address) in self.addresses() {
            match sockets.endpoint(which.key(), address) {
                Ok((_, new)) => opened.extend(new),
                Err(error) => {
                    sockets.close(&opened);
                    return Err(which.unfit(error));
                }
            }
        }
        Ok(opened)
    }

    /// Where one of them listens.
    pub(super) fn address(&self, which: Which) -> Option<&str> {
        match which {
            Which::Status => self.status.as_ref().map(|status| status.address.as_str()),
            Which::Metrics => self.metrics.as_ref().map(|metrics| metrics.address.as_str()),
            Which::Rpc => self.rpc.as_ref().map(|rpc| rpc.listen.as_str()),
        }
    }

    /// Whether something of this configuration, a plugin perhaps, listens at the socket of this name.
    pub(crate) fn need(&self, name: &str) -> bool {
        let own = self.addresses().flat_map(|(_, address)| Sockets::names(address));
        let mut all = own.chain(self.plugins.iter().cloned());
        all.any(|needed| is_same_place(&needed, name))
    }

    fn addresses(&self) -> impl Iterator<Item = (Which, &str)> {
        let all = [Which::Status, Which::Metrics, Which::Rpc];
        all.into_iter().filter_map(|which| Some((which, self.address(which)?)))
    }

    /// Two keys with one address would each get half of its connections.
    fn has_a_place_for_each(&self) -> Result<(), Unfit> {
        let mut taken: Vec<Address> = self.plugins.iter().filter_map(|address| address.parse().ok()).collect();
        for (which, address) in self.addresses() {
            let Ok(parsed) = address.parse() else { continue };
            if taken.contains(&parsed) {
                let key = which.key();
                let text = format!("{key}: listen {address}: another key of this configuration has the same address");
                return Err(which.unfit(io::Error::new(io::ErrorKind::AddrInUse, text)));
            }
            taken.push(parsed);
        }
        Ok(())
    }
}

/// An address may be written in several ways, and say what else the socket's file is given.
fn is_same_place(one: &str, other: &str) -> bool {
    let parsed = |address: &str| address.parse::<Address>().ok();
    one == other || parsed(one).is_some_and(|address| parsed(other) == Some(address))
}

/// Compares their written form: the types have no other comparison.
fn differ<T: Serialize>(one: &T, other: &T) -> bool {
    serde_json::to_value(one).ok() != serde_json::to_value(other).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sections(tree: Value) -> Sections {
        Sections::of(&serde_json::from_value(tree).unwrap())
    }

    #[test]
    fn endpoints_come_move_change_and_go() {
        let base = json!({
            "status": {"address": ":1"}, "metrics": {"address": ":2"}, "rpc": {"listen": "unix://a", "allow_users": []},
        });
        let seen = |after: Value| {
            let changes = sections(base.clone()).changes(&sections(after));
            let shown = changes.into_iter().map(|change| {
                let to = change.address.unwrap_or_default();
                format!("{} {} {to}", change.which.name(), change.action)
                    .trim_end()
                    .to_owned()
            });
            shown.collect::<Vec<_>>()
        };
        assert_eq!(seen(base.clone()), [""; 0]);
        assert_eq!(seen(json!({})), ["status closed", "metrics closed", "rpc closed"]);
        assert_eq!(
            seen(json!({
                "status": {"address": ":1", "check_timeout": 3},
                "metrics": {"address": ":3", "collect": {}},
                "rpc": {"listen": "unix://a?mode=0600", "allow_users": ["0"]},
            })),
            [
                "status changed :1",
                "metrics moved :3",
                "rpc changed unix://a?mode=0600"
            ]
        );
        // The collectors are taken over without the endpoint.
        let mut counted = base.clone();
        counted["metrics"]["collect"] = json!({"a": {"type": "counter"}});
        assert_eq!(seen(counted), [""; 0]);
        let opened = sections(json!({})).changes(&sections(json!({"status": {"address": ""}})));
        assert_eq!(opened[0].address.as_deref(), Some(":80"));
    }

    #[test]
    fn what_cannot_be_served_is_told_and_nothing_stays_open() {
        let sockets = Sockets::new(Vec::new());
        let free = || sockets.held().is_empty();
        for (tree, reason) in [
            (
                json!({"http": {"address": "127.0.0.1:81"}, "metrics": {"address": "tcp://127.0.0.1:81"}}),
                "the plugin metrics cannot start: metrics.address: listen tcp://127.0.0.1:81: another key",
            ),
            (
                json!({"status": {"address": "127.0.0.1:0"}, "rpc": {"listen": "no address"}}),
                "the plugin rpc cannot start: rpc.listen: ",
            ),
            (
                json!({"status": {"address": "127.0.0.1:0"}, "rpc": {"listen": "tcp://127.0.0.2:0", "allow_users": ["0"]}}),
                "the plugin rpc cannot start: rpc.allow_users: ",
            ),
            (
                json!({"status": {"address": "127.0.0.1:0"}, "metrics": {"address": "127.0.0.2:0", "collect": {"a": {"type": "histogram", "buckets": [2, 1]}}}}),
                "the plugin metrics cannot start: metrics.collect.a: ",
            ),
        ] {
            let unfit = sections(tree).reserve(&sockets).unwrap_err();
            assert!(unfit.to_string().starts_with(reason), "{unfit}");
            assert!(free(), "{unfit}");
        }
        let fit = sections(json!({"status": {"address": "127.0.0.1:0"}}));
        assert_eq!(fit.reserve(&sockets).unwrap(), ["127.0.0.1:0"]);
        assert_eq!(fit.reserve(&sockets).unwrap(), [""; 0], "it is open by now");
    }
}
