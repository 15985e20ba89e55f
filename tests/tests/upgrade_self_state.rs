//! What the supervisor knows lives through the replacement of its program: numbers, history, and how things stand.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_common::frame::flag;
use rr_tests::{
    Client, Room, Rpc, Server, bin, eventually,
    metrics::sample,
    operator::{self, done, rr, seen, text, told},
    process,
    room::free_port,
    rounds,
    rpc_place::local,
    server::merge,
    standin,
    wait::SOON,
};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A server for HTTP with its RPC port and the page of its metrics.
struct Place {
    server: Server,
    rpc: u16,
    page: Client,
}

impl Place {
    fn start(settings: Value) -> Self {
        let (rpc, page) = (free_port(), free_port());
        let mut all = json!({
            "rpc": {"listen": format!("tcp://127.0.0.1:{rpc}")},
            "metrics": {"address": format!("127.0.0.1:{page}")},
            "supervisor": {"adopt_timeout": "20s"},
        });
        merge(&mut all, settings);
        Self {
            server: Server::http(all),
            rpc,
            page: Client::tcp(local(page)),
        }
    }

    /// One without RPC port and page.
    fn of(server: Server) -> Self {
        Self {
            server,
            rpc: 0,
            page: Client::tcp(local(0)),
        }
    }

    fn client(&self) -> Rpc {
        Rpc::tcp(local(self.rpc))
    }

    /// Waits until no replaced process is on its way out.
    #[track_caller]
    fn wait_alone(&self) {
        eventually(SOON, || process::named(self.server.pid(), "rr-http").len() <= 1);
    }

    /// Replaces the supervisor's program.
    #[track_caller]
    fn upgrade(&self) {
        self.wait_alone();
        operator::upgrade_self(&self.server);
    }

    /// Sets a gauge to what JSON has no words for.
    #[track_caller]
    fn set_packed(&self, name: &str, value: f64, label: &str) {
        let text = |text: &str| [&[0xa0 | text.len() as u8], text.as_bytes()].concat();
        let value = [&[0xcb][..], &value.to_be_bytes()].concat();
        let labels = [vec![0x91], text(label)].concat();
        let fields = [text("name"), text(name), text("value"), value, text("labels"), labels];
        let body = [vec![0x83], fields.concat()].concat();
        assert_eq!(
            self.client().exchange("metrics.Set", flag::MSGPACK, &body).error(),
            None
        );
    }

    /// What `rr plugins` tells of a plugin, but for what moves on: how long ago things were, memory, whether there is work.
    #[track_caller]
    fn told(&self, plugin: &str) -> Value {
        let mut told = seen(&self.server, plugin);
        for key in ["deaths", "worker_deaths"] {
            for death in told[key].as_array_mut().unwrap() {
                death["seconds_ago"].take();
            }
        }
        for key in ["uptime_seconds", "memory", "workers_memory", "ready"] {
            told[key].take();
        }
        told
    }

    /// Waits until the plugin runs, for so long that its death would be no early one.
    #[track_caller]
    fn wait_settled(&self, plugin: &str) {
        eventually(SOON, || self.told(plugin)["state"] == "running");
        let runs = Instant::now();
        eventually(SOON, || runs.elapsed() > SETTLED);
    }

    /// The application's series on the page.
    fn samples(&self, names: &[&str]) -> Vec<String> {
        let page = self.page.get("/").text();
        let is = |line: &&str| names.iter().any(|name| line.starts_with(name));
        page.lines().filter(is).map(str::to_owned).collect()
    }
}

/// What has been ready for so long is restarted at once, however often it dies.
const SETTLED: Duration = Duration::from_millis(500);

#[test]
fn under_load_every_call_counts_once() {
    let place = Place::start(json!({"metrics": {"collect": {"calls": {"type": "counter", "labels": ["client"]}}}}));
    let (over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (place, over, answered) = (&place, &over, &answered);
            scope.spawn(move || {
                let mut rpc = place.client();
                let add = json!({"name": "calls", "value": 1.0, "labels": [client.to_string()]});
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(rpc.call("metrics.Add", &add).error(), None);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..rounds(3) {
            let before = answered.load(Ordering::Relaxed);
            eventually(SOON, || answered.load(Ordering::Relaxed) > before + 200);
            place.upgrade();
        }
        let before = answered.load(Ordering::Relaxed);
        eventually(SOON, || answered.load(Ordering::Relaxed) > before + 200);
        over.store(true, Ordering::Relaxed);
    });
    let page = place.page.get("/").text();
    let counted = (0..4).map(|client| sample(&page, &format!("calls{{client=\"{client}\"}}")).unwrap());
    assert_eq!(counted.sum::<f64>(), answered.into_inner() as f64);
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// What a plugin's dead processes had counted is kept, and the living one is not added twice.
#[test]
fn what_plugins_have_counted_never_shrinks() {
    let place = Place::start(json!({"http": {"middleware": ["http_metrics"]}}));
    let requests = || sample(&place.page.get("/").text(), "rr_http_request_total{status=\"200\"}").unwrap_or_default();
    let mut sent = 0;
    for _ in 0..rounds(3) {
        for _ in 0..5 {
            assert_eq!(place.server.client().get("/echo?body=hi").status, 200);
            sent += 1;
        }
        eventually(SOON, || requests() == f64::from(sent));
        done(&place.server, &["upgrade", "http"]);
        eventually(SOON, || requests() == f64::from(sent));
        // The old one may still take a connection; what it counts then nobody sees.
        place.wait_alone();
        assert_eq!(place.server.client().get("/echo?body=hi").status, 200);
        sent += 1;
        eventually(SOON, || requests() == f64::from(sent));
        let cpu = || {
            sample(
                &place.page.get("/").text(),
                "rr_plugin_cpu_seconds_total{plugin=\"http\"}",
            )
            .unwrap()
        };
        let before = cpu();
        place.upgrade();
        assert_eq!(requests(), f64::from(sent));
        assert!(cpu() >= before);
    }
    assert!(place.server.stop().success(), "{}", place.server.log());
}

#[test]
fn every_kind_of_number_is_kept() {
    let collect = json!({
        "times": {"type": "histogram", "buckets": [0.1, 1.0], "labels": ["page"]},
        "sizes": {"type": "summary", "objectives": {"0.5": 0.05, "0.9": 0.01}},
        "other": {"type": "counter", "help": "one"},
        "gone": {"type": "counter"},
    });
    let place = Place::start(json!({"metrics": {"collect": collect}}));
    let mut rpc = place.client();
    let mut call = |method: &str, argument: Value| {
        assert_eq!(
            rpc.call(&format!("metrics.{method}"), &argument).error(),
            None,
            "{argument}"
        );
    };
    call(
        "Declare",
        json!({"name": "load", "collector": {"type": "gauge", "labels": ["of"]}}),
    );
    for (of, value) in [("half", 0.5), ("third", 1.0 / 3.0)] {
        call("Set", json!({"name": "load", "value": value, "labels": [of]}));
    }
    for (of, value) in [("nan", f64::NAN), ("inf", f64::INFINITY)] {
        place.set_packed("load", value, of);
    }
    for value in [0.1, 0.5, 7.25] {
        call(
            "Observe",
            json!({"name": "times", "value": value, "labels": ["a \"b\"\n"]}),
        );
    }
    for value in 0..1200 {
        call("Observe", json!({"name": "sizes", "value": value}));
    }
    for name in ["other", "gone"] {
        call("Add", json!({"name": name, "value": 2}));
    }
    let names = ["load", "times", "sizes"];
    let before = place.samples(&names);
    assert!(before.contains(&"load{of=\"inf\"} +Inf".to_owned()), "{before:?}");
    assert_eq!(before.len(), 4 + 5 + 4, "{before:?}");
    for _ in 0..2 {
        place.upgrade();
        assert_eq!(place.samples(&names), before);
    }
    call("Observe", json!({"name": "sizes", "value": 5}));
    assert_eq!(place.samples(&["sizes_count"]), ["sizes_count 1201"]);

    // A section that has changed meanwhile is a reload's business, and means another collector.
    let file = place.server.room().read(".rr.yaml");
    let mut changed: Value = serde_json::from_str(&file).unwrap();
    merge(
        &mut changed["metrics"]["collect"],
        json!({"other": {"help": "two"}, "gone": null}),
    );
    place.server.room().write(".rr.yaml", changed.to_string());
    place.upgrade();
    assert_eq!(place.samples(&["other", "gone"]), ["gone 2", "other 2"]);
    done(&place.server, &["reload"]);
    place.upgrade();
    assert_eq!(place.samples(&["other", "gone"]), ["other 0"]);
    assert_eq!(place.samples(&names)[..4], before[..4]);
    assert_eq!(place.samples(&["sizes_count"]), ["sizes_count 1201"]);
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// Why processes died is told afterwards as before, down to what they wrote, and a living one is as old as it was.
#[test]
fn what_was_remembered_is_remembered() {
    let place = Place::start(json!({"http": {"pool": {"num_workers": 1}}}));
    let get = |path: &str| place.server.client().get(path).status;
    assert_eq!(get("/stderr?text=first+words"), 200);
    place.server.wait_log("first words");
    place.wait_settled("http");
    let (first, worker) = (place.server.plugin("rr-http"), place.server.workers()[0]);
    process::kill_and_wait(first);
    eventually(SOON, || place.told("http")["deaths"][0]["pid"] == first);
    eventually(SOON, || place.told("http")["state"] == "running");
    // The worker of the dead one, and one of a replaced one.
    eventually(SOON, || {
        rr(&place.server, &["why", &worker.to_string()]).status.success()
    });
    assert_eq!(get("/exit?code=3"), 500);
    done(&place.server, &["upgrade", "http"]);
    eventually(SOON, || place.told("http")["deaths"].as_array().unwrap().len() == 2);
    assert_eq!(get("/stderr?text=second+words"), 200);
    place.server.wait_log("second words");

    let started = || place.samples(&["rr_plugin_start_time_seconds", "rr_plugin_restarts_total"]);
    place.wait_settled("http");
    let uptime = || told(&place.server, &["plugins", "--json"])["plugins"][0]["uptime_seconds"].as_u64();
    eventually(SOON, || uptime() > Some(0));
    let (before, since) = (place.told("http"), started());
    assert_eq!(before["worker_deaths"].as_array().unwrap().len(), 2, "{before}");
    for _ in 0..2 {
        place.upgrade();
        assert_eq!(place.told("http"), before);
        assert_eq!(started(), since);
        assert!(uptime() > Some(0), "the supervisor's process is no other");
        let orphan = told(&place.server, &["why", &worker.to_string(), "--json"]);
        assert_eq!(orphan["deaths"][0]["cause"], "orphan", "{orphan}");
    }
    // What it wrote before the upgrade is told of one that dies after it.
    let second = place.server.plugin("rr-http");
    process::kill_and_wait(second);
    eventually(SOON, || place.told("http")["deaths"].as_array().unwrap().len() == 3);
    let deaths = place.told("http")["deaths"].take();
    for (death, pid, words) in [(&deaths[0], first, "first words"), (&deaths[2], second, "second words")] {
        assert_eq!(
            (&death["pid"], &death["cause"], &death["early"]),
            (&json!(pid), &json!("crash"), &json!(false))
        );
        assert!(death["exit"].as_str().unwrap().starts_with("SIGKILL"), "{death}");
        assert!(death["lines"].as_str().unwrap().contains(words), "{death}");
    }
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// A plugin may die while the supervisor becomes another program: at whatever moment, its death is told, it is restarted, and what is
/// kept for it is not lost.
#[test]
fn a_death_at_any_moment_is_seen() {
    let place = Place::start(json!({"http": {"pool": {"num_workers": 1}}, "lock": {}}));
    let lock = |id: &str| {
        let argument = json!({"resource": "r", "id": id, "ttl": 600_000_000, "wait": 0});
        place.client().call("lock.Lock", &argument).json()["ok"] == true
    };
    assert!(lock("one"));
    for round in 0..2 * rounds(3) {
        let plugins = ["http", "lock"].map(|plugin| {
            place.wait_settled(plugin);
            (plugin, place.server.plugin(&format!("rr-{plugin}")))
        });
        std::thread::scope(|scope| {
            // It may be refused, since a process is on its way.
            let upgrade = scope.spawn(|| rr(&place.server, &["upgrade", "self"]));
            let began = Instant::now();
            let moment = Duration::from_millis(15 * round as u64);
            eventually(SOON, || began.elapsed() >= moment);
            for (_, pid) in plugins {
                process::signal(pid, Signal::SIGKILL);
            }
            upgrade.join().unwrap();
        });
        for (plugin, pid) in plugins {
            eventually(SOON, || {
                let told = place.told(plugin);
                told["pid"] != pid && told["state"] == "running"
            });
            let deaths = place.told(plugin)["deaths"].take();
            let last = deaths.as_array().unwrap().last().unwrap();
            assert_eq!(last["pid"], pid, "{deaths}\n{}", place.server.log());
            assert!(last["exit"].as_str().unwrap().starts_with("SIGKILL"), "{deaths}");
        }
        assert!(!lock("two"), "it is held\n{}", place.server.log());
    }
    assert_eq!(place.server.client().get("/echo?body=after").text(), "after");
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// A server whose `http` does not start; it goes on without.
fn without_http(restart: Value) -> Server {
    let settings = json!({"supervisor": {"start": "keep_going", "restart": restart}});
    let server = standin::launch(Room::new(), json!({"TEST_DIE_AT_START": "7"}), settings);
    server.wait_log("RoadRunner server started");
    server
}

/// A plugin that was given up stays so, with an answer at its port, until somebody wants another try.
#[test]
fn a_plugin_that_was_given_up_stays_so() {
    let place = Place::of(without_http(json!({"max": 3})));
    let failed = |deaths: usize| {
        let told = place.told("http");
        told["state"] == "failed" && told["deaths"].as_array().unwrap().len() == deaths
    };
    eventually(SOON, || failed(3));
    let before = place.told("http");
    for _ in 0..2 {
        place.upgrade();
        assert_eq!(place.told("http"), before);
        assert_eq!(place.server.client().get("/").status, 503);
    }
    // A reload is another try.
    let reloaded = rr(&place.server, &["reload"]);
    let text = text(&reloaded.stderr);
    assert!(!reloaded.status.success() && text.contains("exit code 7"), "{text}");
    assert_eq!(place.server.client().get("/").status, 503);
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// One that waits for its restart waits on, and holds up nothing.
#[test]
fn a_plugin_that_waits_for_its_restart_waits_on() {
    let place = Place::of(without_http(json!({"max": 100, "backoff": "60s"})));
    eventually(SOON, || place.told("http")["state"] == "restarting");
    let before = place.told("http");
    assert_eq!(before["deaths"].as_array().unwrap().len(), 2);
    place.upgrade();
    assert_eq!(place.told("http"), before);
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// The program that an operator has put in a plugin's place stays, until a reload names another.
#[test]
fn a_chosen_program_is_the_one_that_is_restarted() {
    let place = Place::start(json!({}));
    let room = place.server.room();
    let chosen = room.file("rr-http");
    std::fs::copy(bin::binary("rr-http"), &chosen).unwrap();
    let program = || {
        let pid = place.server.plugin("rr-http");
        std::fs::read_link(format!("/proc/{pid}/exe")).unwrap()
    };
    let dies = || {
        let pid = place.server.plugin("rr-http");
        process::kill_and_wait(pid);
        eventually(SOON, || process::named(place.server.pid(), "rr-http").len() == 1);
        place.wait_settled("http");
    };
    done(
        &place.server,
        &["upgrade", "http", "--binary", chosen.to_str().unwrap()],
    );
    eventually(SOON, || process::named(place.server.pid(), "rr-http").len() == 1);
    for _ in 0..2 {
        place.upgrade();
        assert_eq!(program(), chosen);
        dies();
        assert_eq!(program(), chosen);
    }
    let mut changed: Value = serde_json::from_str(&room.read(".rr.yaml")).unwrap();
    let binary = room.file("named").join("rr-http");
    std::fs::create_dir(room.file("named")).unwrap();
    std::fs::copy(&chosen, &binary).unwrap();
    merge(
        &mut changed,
        json!({"supervisor": {"plugins": {"http": {"binary": binary}}}}),
    );
    room.write(".rr.yaml", changed.to_string());
    done(&place.server, &["reload"]);
    eventually(SOON, || {
        process::named(place.server.pid(), "rr-http").len() == 1 && program() == binary
    });
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// What a custom plugin prints is logged, before and after, and is no reason for it to stand still.
#[test]
fn what_a_custom_plugin_prints_is_logged() {
    let own =
        json!({"command": [bin::binary("rr-test-plugin")], "env": {"TEST_NO_PORT": "1"}, "rpc_prefixes": ["own"]});
    let place = Place::start(json!({"own": {}, "supervisor": {"plugins": {"own": own}}}));
    let mut rpc = place.client();
    let mut print = |text: String| {
        assert_eq!(rpc.exchange("own.Print", flag::RAW, text.as_bytes()).error(), None);
        place.server.wait_log(&text);
    };
    print("printed before".into());
    let before = place.told("own")["pid"].take();
    for round in 0..2 {
        place.upgrade();
        assert_eq!(place.told("own")["pid"], before);
        // More than a pipe holds.
        for number in 0..4 {
            print(format!("{} {round} {number}", "long ".repeat(8000)));
        }
    }
    print("printed after".into());
    process::kill_and_wait(u32::try_from(before.as_u64().unwrap()).unwrap());
    eventually(SOON, || !place.told("own")["deaths"][0].is_null());
    let death = place.told("own")["deaths"][0].take();
    assert!(death["lines"].as_str().unwrap().contains("printed after"), "{death}");
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// A plugin that cannot be adopted is asked to stop and started anew, and that is told as what it is.
#[test]
fn a_plugin_that_hands_nothing_over_is_replaced() {
    let own = json!({"command": [bin::binary("rr-test-custom")], "rpc_prefixes": ["own"]});
    let place = Place::start(json!({"own": {}, "supervisor": {"plugins": {"own": own}}}));
    for round in 1..=2 {
        let before = place.told("own");
        assert_eq!(before["state"], "running");
        place.upgrade();
        eventually(SOON, || place.told("own")["state"] == "running");
        let told = place.told("own");
        assert_ne!(told["pid"], before["pid"]);
        assert_eq!(
            (&told["restarts"], told["deaths"].as_array().unwrap().len()),
            (&json!(round), round)
        );
        let death = &told["deaths"][round - 1];
        assert_eq!(
            (&death["pid"], &death["cause"], &death["early"]),
            (&before["pid"], &json!("upgrade"), &json!(false))
        );
    }
    assert!(
        !place.server.log().contains("the plugin has died"),
        "{}",
        place.server.log()
    );
    assert!(place.server.stop().success(), "{}", place.server.log());
}
