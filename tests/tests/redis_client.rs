//! The shared connection to Redis (crate rr-redis) against real servers: KV-05.

#![allow(clippy::unwrap_used)]

use rr_common::config::Dur;
use rr_common::config::section::{Redis as Section, RedisTls};
use rr_redis::{Again, Client, Error, FromRedisValue, cmd};
use rr_tests::servers::{Cluster, Redis, Sentinel};
use rr_tests::wait::SOON;
use rr_tests::{Background, Room, eventually};
use std::time::{Duration, Instant};

/// A client, and where its connections live.
struct Live {
    client: Client,
    background: Background,
}

impl Live {
    fn new(section: Section) -> Self {
        let background = Background::new();
        let (client, _warnings) = Client::new(&section, background.handle().clone()).unwrap();
        Self { client, background }
    }

    fn ask<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, Error> {
        self.ask_as(words, Again::Lost)
    }

    fn ask_as<T: FromRedisValue>(&self, words: &[&str], again: Again) -> Result<T, Error> {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        self.background.wait(self.client.ask(&command, again))
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        self.ask(&["SET", key, value])
    }

    fn get(&self, key: &str) -> Result<Option<String>, Error> {
        self.ask(&["GET", key])
    }
}

/// Short waits, so that a test of a dead server is a quick one.
fn section(addresses: Vec<String>) -> Section {
    Section {
        addrs: addresses,
        dial_timeout: Dur(Duration::from_millis(700)),
        read_timeout: Dur(Duration::from_millis(700)),
        max_retries: -1,
        ..Section::default()
    }
}

/// The bound of one command with these settings, and some room for a slow machine.
const BOUND: Duration = Duration::from_millis(1400 + 2000);

#[track_caller]
fn fails_in_time<T: std::fmt::Debug>(ask: impl FnOnce() -> Result<T, Error>) -> Error {
    let began = Instant::now();
    let error = ask().unwrap_err();
    assert!(began.elapsed() < BOUND, "{:?}: {error}", began.elapsed());
    error
}

#[test]
fn a_server_that_goes_gives_errors_and_is_found_again_when_it_is_back() {
    let room = Room::new();
    let Some(redis) = Redis::start(&room, "redis", &[]) else {
        return;
    };
    let live = Live::new(section(vec![redis.address()]));
    live.set("k", "v").unwrap();
    assert_eq!(live.get("k").unwrap().as_deref(), Some("v"));
    assert_eq!(live.client.unhealthy(), None);

    redis.daemon().kill();
    let error = fails_in_time(|| live.get("k"));
    assert!(matches!(error, Error::Unreachable(_) | Error::Lost(_)), "{error:?}");
    assert!(live.client.unhealthy().is_some());

    redis.restart();
    // Nobody asks but /health, which finds out by itself.
    eventually(SOON, || live.client.unhealthy().is_none());
    assert_eq!(live.get("k").unwrap(), None);
    let numbers = live.client.numbers();
    assert_eq!((numbers.open, numbers.idle, numbers.stale), (1, 1, 1), "{numbers:?}");
    assert!(numbers.hits > 0 && numbers.misses >= 2, "{numbers:?}");
    assert!(numbers.exposition().contains("rr_redis_pool_conn_stale_total 1\n"));
}

#[test]
fn a_restart_between_two_commands_costs_neither_of_them() {
    let room = Room::new();
    let Some(redis) = Redis::start(&room, "redis", &[]) else {
        return;
    };
    let live = Live::new(section(vec![redis.address()]));
    assert_eq!(live.ask_as::<i64>(&["INCR", "n"], Again::Unsent).unwrap(), 1);
    redis.daemon().kill();
    redis.restart();
    // The dead connection has been noticed, so that nothing is sent into it.
    assert_eq!(live.ask_as::<i64>(&["INCR", "n"], Again::Unsent).unwrap(), 1);
}

#[test]
fn a_server_that_hangs_is_waited_for_as_long_as_is_configured() {
    let room = Room::new();
    let Some(redis) = Redis::start(&room, "redis", &[]) else {
        return;
    };
    let live = Live::new(section(vec![redis.address()]));
    live.set("k", "v").unwrap();
    redis.daemon().freeze();
    fails_in_time(|| live.get("k"));
    assert!(live.client.unhealthy().is_some());
    redis.daemon().thaw();
    eventually(SOON, || live.get("k").is_ok_and(|value| value.as_deref() == Some("v")));
    assert_eq!(live.client.unhealthy(), None);
}

#[test]
fn many_commands_at_once_get_their_own_answers() {
    let room = Room::new();
    let Some(redis) = Redis::start(&room, "redis", &[]) else {
        return;
    };
    let live = Live::new(Section {
        pool_size: 3,
        min_idle_conns: 2,
        ..section(vec![redis.address()])
    });
    let echo = |n: usize| {
        let mut command = cmd("ECHO");
        command.arg(n.to_string());
        command
    };
    let commands: Vec<_> = (0..3000).map(echo).collect();
    let answers: Vec<usize> = live
        .background
        .wait(live.client.ask_all(commands, Again::Lost))
        .unwrap();
    assert_eq!(answers, (0..3000).collect::<Vec<_>>());
    eventually(SOON, || matches!(live.client.numbers().open, 2 | 3));
}

#[test]
fn users_passwords_and_databases_are_those_of_the_section() {
    let room = Room::new();
    let Some(redis) = Redis::start(&room, "redis", &["--requirepass", "secret"]) else {
        return;
    };
    let base = || section(vec![redis.address()]);
    let live = Live::new(Section {
        password: "secret".into(),
        db: 3,
        ..base()
    });
    live.set("k", "v").unwrap();
    assert_eq!(redis.cli(&["-n", "3", "get", "k"]), "v");

    let added = redis.cli(&["acl", "setuser", "app", "on", ">word", "~app:*", "+@all"]);
    assert_eq!(added, "OK");
    let user = Live::new(Section {
        username: "app".into(),
        password: "word".into(),
        ..base()
    });
    user.set("app:k", "v").unwrap();
    let refused = user.set("other", "v").unwrap_err();
    assert!(
        matches!(&refused, Error::Answer(_)) && refused.to_string().contains("NOPERM"),
        "{refused}"
    );
    assert_eq!(
        user.client.unhealthy(),
        None,
        "a refused command is no trouble of the server"
    );

    let wrong = fails_in_time(|| {
        Live::new(Section {
            password: "wrong".into(),
            ..base()
        })
        .get("k")
    });
    assert!(wrong.to_string().contains("authentication failed"), "{wrong}");
    let nobody = Live::new(base());
    let without = fails_in_time(|| nobody.get("k"));
    assert!(without.to_string().contains("NOAUTH"), "{without}");
    assert!(nobody.client.unhealthy().is_some());
}

#[test]
fn tls_checks_the_servers_certificate() {
    let room = Room::new();
    let Some(redis) = Redis::tls(&room, "redis") else {
        return;
    };
    let base = |authority: &Room| Section {
        tls: Some(RedisTls {
            root_ca: authority.file("cert.pem").to_str().unwrap().into(),
            ..RedisTls::default()
        }),
        ..section(vec![format!("localhost:{}", redis.port())])
    };
    let live = Live::new(base(&room));
    live.set("k", "v").unwrap();
    assert_eq!(live.get("k").unwrap().as_deref(), Some("v"));

    let other = Room::new();
    other.certificate();
    let error = fails_in_time(|| Live::new(base(&other)).get("k"));
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    let plain = section(vec![redis.address()]);
    fails_in_time(|| Live::new(plain).get("k"));
}

#[test]
fn a_new_master_is_found_through_the_sentinels() {
    let room = Room::new();
    let Some(sentinel) = Sentinel::start(&room) else { return };
    let live = Live::new(Section {
        master_name: "main".into(),
        // The first of the sentinels is not there.
        ..section(vec!["127.0.0.1:1".into(), sentinel.address()])
    });
    live.set("k", "v").unwrap();
    assert_eq!(sentinel.servers[0].cli(&["get", "k"]), "v");
    eventually(SOON, || sentinel.servers[1].cli(&["get", "k"]) == "v");

    sentinel.servers[0].daemon().kill();
    fails_in_time(|| live.get("k"));
    assert!(live.client.unhealthy().is_some());
    eventually(SOON, || live.set("new", "v").is_ok());
    assert_eq!(live.get("k").unwrap().as_deref(), Some("v"));
    assert_eq!(sentinel.servers[1].cli(&["get", "new"]), "v");
    assert_eq!(sentinel.master(), sentinel.servers[1].port());
    assert_eq!(live.client.unhealthy(), None);
}

#[test]
fn a_cluster_answers_for_all_keys_and_recovers_from_the_loss_of_nodes() {
    let room = Room::new();
    let Some(cluster) = Cluster::start(&room) else { return };
    // One more address than there are nodes: one that is not there.
    let addresses = [vec!["127.0.0.1:1".into()], cluster.addresses()].concat();
    let live = Live::new(section(addresses));
    let keys: Vec<String> = (0..60).map(|n| format!("key{n}")).collect();
    for key in &keys {
        live.set(key, key).unwrap();
    }
    for node in &cluster.nodes {
        assert_ne!(node.cli(&["dbsize"]), "0", "the keys are spread");
    }
    let mut all = vec!["MGET"];
    all.extend(keys.iter().map(String::as_str));
    assert_eq!(live.ask::<Vec<String>>(&all).unwrap(), keys);

    cluster.nodes[2].daemon().kill();
    let (mut lost, mut kept) = (0, 0);
    for key in &keys[..20] {
        match live.get(key) {
            Ok(value) => {
                assert_eq!(value.as_ref(), Some(key));
                kept += 1;
            }
            Err(_) => lost += 1,
        }
    }
    assert!(lost > 0 && kept > 0, "{lost} lost, {kept} kept");
    cluster.nodes[2].restart();
    cluster.wait_whole();
    eventually(SOON, || keys.iter().all(|key| live.get(key).is_ok()));

    for node in &cluster.nodes {
        node.daemon().kill();
    }
    fails_in_time(|| live.get("key0"));
    assert!(live.client.unhealthy().is_some());
    for node in &cluster.nodes {
        node.restart();
    }
    cluster.wait_whole();
    eventually(SOON, || keys.iter().all(|key| live.set(key, key).is_ok()));
    assert_eq!(live.client.unhealthy(), None);
}
