//! A server with storages and locks, whose processes are replaced.

use rr_tests::{
    Room, Rpc, Server, bin, eventually,
    operator::{self, upgrade},
    port::{free_port, local, tcp},
    process,
    server::merge,
    wait::SOON,
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Child,
};

/// A server with storages and locks.
pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) port: u16,
}

impl Place {
    pub(crate) fn start(settings: Value) -> Self {
        let (room, port) = (Room::new(), free_port());
        let mut config = json!({
            "version": "3",
            "rpc": {"listen": tcp(port)},
            "kv": {
                "memory": {"driver": "memory", "config": {}},
                "boltdb": {"driver": "boltdb", "config": {"file": room.file("kv.db"), "interval": 1}},
            },
            "lock": {},
            "logs": {"mode": "production", "level": "debug"},
            "endure": {"log_level": "debug"},
            // Killed more often than any plugin deserves.
            "supervisor": {"restart": {"window": "1ms"}},
        });
        merge(&mut config, settings);
        let server = Server::launch(room, port, &config.to_string(), &[]);
        server.wait_started();
        Self { server, port }
    }

    pub(crate) fn rpc(&self) -> Rpc {
        Rpc::tcp(local(self.port))
    }

    /// An upgrade that must work; the new pid.
    #[track_caller]
    pub(crate) fn upgraded(&self, plugin: &str) -> u32 {
        let old = self.server.plugin(&format!("rr-{plugin}"));
        let new = upgrade(&self.server, plugin);
        assert_ne!(old, new);
        eventually(SOON, || !process::alive(old));
        new
    }

    /// Begins an upgrade to that program.
    pub(crate) fn upgrade_to(&self, program: &Path) -> Child {
        let program = program.to_str().unwrap();
        operator::start(&self.server, &["upgrade", "kv", "--binary", program])
    }

    /// A program that is the test plugin with this variable.
    pub(crate) fn misbehaving(&self, variable: &str) -> PathBuf {
        let program = bin::binary("rr-test-plugin");
        let script = format!(
            "export TEST_NO_PORT=1 {variable}
exec {}",
            program.display()
        );
        self.server.room().program("next", &script)
    }
}
