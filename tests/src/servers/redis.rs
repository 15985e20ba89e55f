//! Redis: one server, a cluster, a master with a replica and a sentinel.

use super::{Daemon, installed};
use crate::port::free_port;
use crate::room::Room;
use crate::wait::{SOON, eventually};
use std::process::Command;

/// One `redis-server` on `127.0.0.1`. Its data is in memory only.
pub struct Redis {
    daemon: Daemon,
    port: u16,
    cli: Vec<String>,
}

/// Three masters that share the slots. A slot whose master is gone does not stop the others.
pub struct Cluster {
    /// The nodes.
    pub nodes: Vec<Redis>,
}

/// A master called `main`, its replica, and a sentinel that promotes the replica within about a second.
pub struct Sentinel {
    /// The two servers; the first is the master at the start.
    pub servers: Vec<Redis>,
    sentinel: Redis,
}

impl Redis {
    /// Starts a server with these further arguments (`--requirepass secret`, …) and waits until it answers. `None` if it
    /// is not installed.
    #[track_caller]
    pub fn start(room: &Room, name: &str, further: &[&str]) -> Option<Self> {
        let password = further.windows(2).find(|pair| pair[0] == "--requirepass");
        let cli = password.map_or(vec![], |pair| {
            vec!["--no-auth-warning".into(), "-a".into(), pair[1].to_owned()]
        });
        Self::run(room, name, further, cli)
    }

    /// Starts a server that speaks TLS only, with the room's certificate for `localhost` and its own authority.
    #[track_caller]
    pub fn tls(room: &Room, name: &str) -> Option<Self> {
        room.certificate();
        let file = |name: &str| room.file(name).to_str().unwrap().to_owned();
        let (cert, key) = (file("cert.pem"), file("key.pem"));
        let tls = [
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &cert,
        ];
        let further = [&tls[..], &["--tls-auth-clients", "no"]].concat();
        let cli = vec![
            "--tls".into(),
            "--cacert".into(),
            cert.clone(),
            "--sni".into(),
            "localhost".into(),
        ];
        Self::run(room, name, &further, cli)
    }

    #[track_caller]
    fn run(room: &Room, name: &str, further: &[&str], cli: Vec<String>) -> Option<Self> {
        if !installed("redis-server") || !installed("redis-cli") {
            return None;
        }
        let port = free_port();
        let number = port.to_string();
        let ports = match further.contains(&"--tls-cert-file") {
            true => ["--port", "0", "--tls-port", &number],
            false => ["--port", &number, "--tls-port", "0"],
        };
        // A file of the room's own may come first: sentinels write to theirs.
        let own: &[&str] = match further.contains(&"--sentinel") {
            true => &[],
            false => &["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"],
        };
        let (file, further) = match further.first() {
            Some(first) if !first.starts_with("--") => further.split_at(1),
            _ => (&[][..], further),
        };
        let all = [file, &ports, &["--bind", "127.0.0.1"], own, further].concat();
        let arguments = all.into_iter().map(str::to_owned).collect();
        let redis = Self {
            daemon: Daemon::new("redis-server", &room.file(name), arguments),
            port,
            cli,
        };
        redis.restart();
        Some(redis)
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process: to kill, freeze and thaw.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Starts it after a kill, and waits until it answers.
    #[track_caller]
    pub fn restart(&self) {
        self.daemon.start(|| self.cli(&["ping"]) == "PONG");
    }

    /// What `redis-cli` prints for a command; errors too.
    pub fn cli(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(&self.cli).args(words);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Cluster {
    /// Starts the nodes and waits until each of them knows all slots.
    #[track_caller]
    pub fn start(room: &Room) -> Option<Self> {
        let nodes: Option<Vec<_>> = (0..3).map(|n| Self::node(room, &format!("node{n}"))).collect();
        let cluster = Self { nodes: nodes? };
        let thirds = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        let [first, others @ ..] = &cluster.nodes[..] else {
            unreachable!()
        };
        for (node, (from, to)) in cluster.nodes.iter().zip(thirds) {
            assert_eq!(node.cli(&["cluster", "addslotsrange", from, to]), "OK");
        }
        for other in others {
            let bus = other.cli(&["config", "get", "cluster-port"]);
            let bus = bus.lines().last().unwrap();
            let port = other.port.to_string();
            assert_eq!(first.cli(&["cluster", "meet", "127.0.0.1", &port, bus]), "OK");
        }
        cluster.wait_whole();
        Some(cluster)
    }

    /// Waits until every node sees every slot served.
    #[track_caller]
    pub fn wait_whole(&self) {
        let whole = |node: &Redis| {
            let info = node.cli(&["cluster", "info"]);
            info.contains("cluster_state:ok")
                && info.contains("cluster_slots_ok:16384")
                && info.contains("known_nodes:3")
        };
        eventually(SOON, || self.nodes.iter().all(whole));
    }

    /// The addresses of all nodes.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::address).collect()
    }

    fn node(room: &Room, name: &str) -> Option<Redis> {
        let bus = free_port().to_string();
        let further = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        let patience = [
            "--cluster-node-timeout",
            "1000",
            "--cluster-require-full-coverage",
            "no",
        ];
        Redis::start(room, name, &[&further[..], &patience].concat())
    }
}

impl Sentinel {
    /// Starts all three and waits until the sentinel knows the replica.
    #[track_caller]
    pub fn start(room: &Room) -> Option<Self> {
        let master = Redis::start(room, "first", &[])?;
        let port = master.port.to_string();
        let replica = Redis::start(room, "second", &["--replicaof", "127.0.0.1", &port])?;
        let config = format!(
            "sentinel monitor main 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds main 300\n\
             sentinel failover-timeout main 1000\n"
        );
        let file = room.write("sentinel.conf", config);
        let sentinel = Redis::start(room, "sentinel", &[file.to_str().unwrap(), "--sentinel"])?;
        eventually(SOON, || {
            sentinel
                .cli(&["sentinel", "replicas", "main"])
                .contains("master-link-status")
        });
        eventually(SOON, || {
            replica.cli(&["info", "replication"]).contains("master_link_status:up")
        });
        eventually(SOON, || {
            sentinel
                .cli(&["sentinel", "replicas", "main"])
                .contains("master-link-status\nok")
        });
        let servers = vec![master, replica];
        Some(Self { servers, sentinel })
    }

    /// Where the sentinel listens.
    pub fn address(&self) -> String {
        self.sentinel.address()
    }

    /// The port of the master, as the sentinel sees it.
    pub fn master(&self) -> u16 {
        let answer = self.sentinel.cli(&["sentinel", "get-master-addr-by-name", "main"]);
        answer.lines().last().and_then(|port| port.parse().ok()).unwrap()
    }
}
