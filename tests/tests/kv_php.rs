//! KV-01 to KV-12 end to end: the real server, rr-kv, and our PHP client, on every driver in `drivers`.

#![allow(clippy::unwrap_used)]

use rr_tests::servers::{Memcached, Redis, installed};
use rr_tests::wait::SOON;
use rr_tests::{
    Client, Room, Server, bin, eventually,
    port::{at, free_port, local, tcp},
    process,
    server::merge,
};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;

/// The servers behind some of the storages; what is not installed here is left out.
struct Backends {
    redis: Option<Redis>,
    memcached: Option<[Memcached; 2]>,
}

impl Backends {
    fn start(room: &Room) -> Self {
        let memcached = |n: usize| Memcached::start(room, &format!("memcached{n}"));
        Self {
            redis: Redis::start(room, "redis", &[]),
            memcached: memcached(0).and_then(|first| Some([first, memcached(1)?])),
        }
    }
}

/// A storage of each driver, named after it.
fn drivers(room: &Room, backends: &Backends) -> Value {
    let mut drivers = json!({
        "memory": {"driver": "memory", "config": {}},
        "boltdb": {"driver": "boltdb", "config": {"file": room.file("kv.db"), "interval": 1}},
    });
    if let Some(redis) = &backends.redis {
        let config = json!({"addrs": [redis.address()], "dial_timeout": "1s", "read_timeout": "1s"});
        drivers["redis"] = json!({"driver": "redis", "config": config});
    }
    if let Some(servers) = &backends.memcached {
        let addresses: Vec<_> = servers.iter().map(Memcached::address).collect();
        drivers["memcached"] = json!({"driver": "memcached", "config": {"addr": addresses, "timeout": "1s"}});
    }
    drivers
}

/// A server with these storages.
struct Kv {
    server: Server,
    port: u16,
    status: u16,
    names: Vec<String>,
    backends: Backends,
}

impl Kv {
    fn start() -> Self {
        let room = Room::new();
        let (port, status) = (free_port(), free_port());
        let backends = Backends::start(&room);
        let storages = drivers(&room, &backends);
        let names = storages.as_object().unwrap().keys().cloned().collect();
        let mut config = json!({
            "version": "3",
            "rpc": {"listen": tcp(port)},
            "logs": {"mode": "production", "level": "info"},
            "supervisor": {"restart": {"backoff": "20ms"}},
            "status": {"address": at(status)},
        });
        merge(&mut config, json!({"kv": storages}));
        let server = Server::launch(room, port, &config.to_string(), &[]);
        server.wait_started();
        Self {
            server,
            port,
            status,
            names,
            backends,
        }
    }

    /// A program that finds the server as a worker does.
    fn command(&self, program: &str, storage: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("RR_RPC", tcp(self.port))
            .env("KV_STORAGE", storage)
            .current_dir(self.server.room().path());
        command
    }

    fn php(&self, script: &str, storage: &str) -> Command {
        let mut command = self.command("php", storage);
        command.arg(bin::script(&format!("kv/{script}"))).arg(storage);
        command
    }

    /// Does something for every storage at once.
    fn on_each(&self, test: impl Fn(&str) + Sync) {
        thread::scope(|scope| {
            for name in &self.names {
                scope.spawn(|| test(name));
            }
        });
    }
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// KV-12: PSR-16's public integration tests.
#[test]
fn the_public_tests_of_psr_16_pass() {
    if !installed("phpunit") {
        return;
    }
    let kv = Kv::start();
    kv.on_each(|storage| {
        let mut phpunit = kv.command("phpunit", storage);
        phpunit.args(["--no-configuration", "--do-not-cache-result", "--fail-on-warning"]);
        let output = phpunit.arg(bin::script("kv/Psr16Test.php")).output().unwrap();
        let said = text(&output);
        assert!(output.status.success() && said.contains("\nOK ("), "{storage}: {said}");
    });
}

#[test]
fn what_our_client_offers_besides() {
    let kv = Kv::start();
    kv.on_each(|storage| {
        let output = kv.php("methods.php", storage).output().unwrap();
        assert_eq!(text(&output), "ok\n", "{storage}");
    });
}

/// Counters, `add` and `compareAndSwap` of four processes at once: nothing is counted twice or lost, every race has one winner.
#[test]
fn what_must_be_atomic_is() {
    const CLIENTS: usize = 4;
    const TIMES: usize = 40;
    let kv = Kv::start();
    kv.on_each(|storage| {
        let mut script = kv.command("php", storage);
        let set = "(Rr\\Kv\\Storage::fromEnvironment(getenv('KV_STORAGE')))->set('swapped', 0);";
        let autoload = bin::repository().join("php/autoload.php");
        script.arg("-r").arg(format!("require '{}'; {set}", autoload.display()));
        assert!(script.status().unwrap().success());

        let clients: Vec<Child> = (0..CLIENTS)
            .map(|_| {
                let mut client = kv.php("count.php", storage);
                client.arg(TIMES.to_string()).stdout(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let outputs = clients.into_iter().map(|client| client.wait_with_output().unwrap());
        let won: usize = outputs.map(|output| text(&output).parse::<usize>().unwrap()).sum();
        assert_eq!(won, TIMES, "{storage}");

        let get = "$kv = Rr\\Kv\\Storage::fromEnvironment(getenv('KV_STORAGE')); echo $kv->get('count'), ' ', $kv->get('swapped');";
        let mut script = kv.command("php", storage);
        script.arg("-r").arg(format!("require '{}'; {get}", autoload.display()));
        let all = CLIENTS * TIMES;
        assert_eq!(text(&script.output().unwrap()), format!("{all} {all}"), "{storage}");
    });
}

/// KV-05, KV-06: a server behind a storage goes: errors meanwhile, `/health` tells, the other storages go on. It comes back:
/// all works again, on the connection that the client has had all the time.
#[test]
fn a_server_that_goes_and_comes_back() {
    let kv = Kv::start();
    let health = |expected: u16| {
        let client = Client::tcp(local(kv.status));
        eventually(SOON, || client.get("/health?plugin=kv").status == expected);
    };
    let mut gone = Vec::new();
    if let Some(redis) = &kv.backends.redis {
        gone.push((
            "redis",
            vec![redis.daemon()],
            Box::new(|| redis.restart()) as Box<dyn Fn()>,
        ));
    }
    if let Some(servers) = &kv.backends.memcached {
        let daemons = servers.iter().map(Memcached::daemon).collect();
        gone.push((
            "memcached",
            daemons,
            Box::new(|| servers.iter().for_each(Memcached::restart)),
        ));
    }
    for (storage, daemons, restart) in gone {
        let mut script = kv.php("outage.php", storage);
        let mut client = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut answers = BufReader::new(client.stdout.take().unwrap()).lines();
        let mut ask = |what: &str| {
            writeln!(client.stdin.as_mut().unwrap(), "{what}").unwrap();
            answers.next().unwrap().unwrap()
        };
        assert_eq!(ask("works"), "ok", "{storage}");
        health(200);
        daemons.iter().for_each(|daemon| daemon.kill());
        assert_eq!(ask("fails"), "ok", "{storage}");
        health(503);
        restart();
        health(200);
        assert_eq!(ask("works"), "ok", "{storage}");
        drop(client.stdin.take());
        assert!(client.wait().unwrap().success());
    }
}

/// KV-10: `kill -9` of the plugin loses nothing that was acknowledged, and costs the client errors but not its connection.
#[test]
fn a_killed_plugin_loses_nothing_of_boltdb() {
    let kv = Kv::start();
    let mut writer = kv.php("writes.php", "boltdb").stdout(Stdio::piped()).spawn().unwrap();
    let (tell, told) = sync_channel(100_000);
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
    let mut acknowledged = Vec::new();
    let mut errors = Vec::new();
    for _ in 0..3 {
        let wanted = acknowledged.len() + 30;
        eventually(SOON, || {
            for line in told.try_iter() {
                match line.parse::<usize>() {
                    Ok(number) => acknowledged.push(number),
                    Err(_) => errors.push(line),
                }
            }
            acknowledged.len() >= wanted
        });
        process::kill_and_wait(kv.server.plugin("rr-kv"));
        eventually(SOON, || process::named(kv.server.pid(), "rr-kv").len() == 1);
    }
    eventually(SOON, || told.try_iter().any(|line| line.parse::<usize>().is_ok()));
    writer.kill().unwrap();
    writer.wait().unwrap();

    let read = "$kv = Rr\\Kv\\Storage::fromEnvironment('boltdb'); foreach (explode(',', $argv[1]) as $n) $kv->get(\"key$n\") === (int) $n or print \"$n \";";
    let autoload = bin::repository().join("php/autoload.php");
    let numbers: Vec<String> = acknowledged.iter().map(usize::to_string).collect();
    let mut check = kv.command("php", "boltdb");
    check
        .arg("-r")
        .arg(format!("require '{}'; {read}", autoload.display()))
        .arg(numbers.join(","));
    assert_eq!(text(&check.output().unwrap()), "", "lost; errors meanwhile: {errors:?}");
}
