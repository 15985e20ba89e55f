//! Any process may die at any moment: what that costs, and what is told of it afterwards.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_tests::{
    Client, Room, Rpc, Server, bin, eventually,
    load::Load,
    operator::{parsed, printed, rr, seen_by_rpc, text},
    port::{at, free_port, local, tcp},
    process, rounds,
    server::php,
    standin,
    wait::SOON,
};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Clients of each kind.
const CLIENTS: usize = 3;

/// The time from one kill to the next.
const EVERY: Duration = Duration::from_secs(1);

/// What has been ready for so long is restarted at once, however often it dies.
const SETTLED: Duration = Duration::from_millis(500);

/// What `why` knows, as JSON.
#[track_caller]
fn why(server: &Server, about: &str) -> Value {
    parsed(&rr(server, &["why", about, "--json"]))
}

/// `kill -9` of rr-http again and again: no connection is refused, only what was in flight fails, and no PHP is left over.
#[test]
fn a_killed_http_plugin_costs_only_the_requests_in_flight() {
    let rounds = rounds(6);
    let port = free_port();
    let server = Server::http(json!({"rpc": {"listen": tcp(port)}}));
    let mut rpc = Rpc::tcp(local(port));
    let kept = Load::start(server.address(), CLIENTS, "/echo?body=hi");
    let fresh = Load::start_fresh(server.address(), CLIENTS, "/echo?body=hi");
    let answers = || kept.answers() + fresh.answers();
    let mut killed = Instant::now();
    for round in 0..rounds {
        let before = answers();
        eventually(SOON, || {
            seen_by_rpc(&mut rpc, "http")["state"] == "running" && answers() > before + 20
        });
        // Every second, but not before it has been ready for the half second that makes a death no early one.
        let serves = Instant::now();
        eventually(SOON, || serves.elapsed() > SETTLED && killed.elapsed() > EVERY);
        killed = Instant::now();
        let (pid, workers) = (server.plugin("rr-http"), server.workers());
        assert_eq!(workers.len(), 2, "round {round}\n{}", server.log());
        process::kill_and_wait(pid);
        eventually(SOON, || !workers.iter().any(|worker| process::alive(*worker)));
    }
    let before = answers();
    eventually(SOON, || answers() > before + 20);
    let (kept, fresh) = (kept.stop(), fresh.stop());
    assert_eq!((kept.refused, fresh.refused), (0, 0));
    let failures = [kept.failures, fresh.failures].concat();
    assert!(failures.len() <= rounds * 2 * CLIENTS, "{failures:?}");
    eventually(SOON, || server.workers().len() == 2);
    assert_eq!(server.client().get("/echo?body=after").text(), "after");

    let deaths = why(&server, "http")["deaths"].take();
    // Thousands were answered, which is nothing that a death has to do with.
    assert!(!deaths.to_string().contains("http log"), "{deaths}");
    let by_hand = |death: &&Value| death["cause"] == "crash" && death["exit"].as_str().unwrap().starts_with("SIGKILL");
    let killed = deaths.as_array().unwrap().iter().filter(by_hand).count();
    assert_eq!(killed, rounds.min(16), "{deaths}");
    assert_eq!(seen_by_rpc(&mut rpc, "http")["restarts"], rounds);
    assert!(server.stop().success());
}

/// HTTP does not notice the death of a plugin that it does not need, and PHP uses that again over the connection that it has.
#[test]
fn the_death_of_kv_and_jobs_costs_http_nothing() {
    let stand_in = json!({"binary": bin::binary("rr-test-plugin"), "env": {"TEST_NO_PORT": "1"}});
    let server = Server::http(json!({
        "server": {"command": php(&bin::script("calls.php"))},
        "http": {"pool": {"num_workers": 1}},
        "rpc": {"listen": tcp(free_port())},
        "kv": {"memory": {"driver": "memory", "config": {}}},
        "jobs": {},
        "supervisor": {"plugins": {"jobs": stand_in}},
    }));
    let client = server.client();
    let call = || client.get("/call").json();
    let first = call();
    assert_eq!((&first["kv"], &first["jobs"]), (&Value::Null, &Value::Null));
    let load = Load::start(server.address(), CLIENTS, "/hello");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let client = Client::tcp(server.address());
            while !over.load(Ordering::Relaxed) {
                // Calls may fail meanwhile. Requests do not, and the connection stays.
                let told = client.get("/call").json();
                assert_eq!((&told["lost"], &told["pid"]), (&json!(false), &first["pid"]));
            }
        });
        for name in ["rr-kv", "rr-test-plugin", "rr-kv"] {
            let before = load.answers();
            process::kill_and_wait(server.plugin(name));
            eventually(SOON, || {
                let told = call();
                told["kv"].is_null() && told["jobs"].is_null() && load.answers() > before + 20
            });
        }
        over.store(true, Ordering::Relaxed);
        caller.join().unwrap();
    });
    assert_eq!(call()["pid"], first["pid"]);
    load.stop_unharmed(&server);
    let deaths = why(&server, "kv")["deaths"].take();
    assert_eq!(deaths.as_array().unwrap().len(), 2, "{deaths}");
    assert!(server.stop().success());
}

/// A worker that died on a request, and one that was replaced: `why` tells which, when and on what.
#[test]
fn why_a_worker_died_is_told() {
    let server = Server::http(json!({"http": {"pool": {"num_workers": 1}}}));
    let client = server.client();
    let get = |path: &str| client.get(path);
    assert_eq!(get("/stderr?text=famous+last+words").status, 200);
    let crashed = server.workers()[0];
    assert_eq!(get("/exit?code=3&secret=1").status, 500);
    let told = || rr(&server, &["why", &crashed.to_string(), "--json"]);
    eventually(SOON, || text(&told().stdout).contains("crash"));
    let death = why(&server, &crashed.to_string())["deaths"][0].take();
    assert_eq!(
        (&death["plugin"], &death["worker"], &death["cause"], &death["execs"]),
        (&json!("http"), &json!(true), &json!("crash"), &json!(2)),
    );
    assert_eq!(death["exit"], "exit code 3");
    // The query may hold what is nobody's business.
    let address = server.address();
    assert_eq!(death["request"], format!("GET http://{address}/exit?…"));
    assert!(
        death["lines"].as_str().unwrap().contains("famous last words"),
        "{death}"
    );
    let sentence = printed(&rr(&server, &["plugins"]));
    let expected = format!("http worker {crashed} died ");
    assert!(sentence.contains(&expected), "{sentence}");

    eventually(SOON, || server.workers().len() == 1);
    let replaced = server.workers()[0];
    assert!(rr(&server, &["reset", "http"]).status.success());
    eventually(SOON, || !process::alive(replaced));
    eventually(SOON, || rr(&server, &["why", &replaced.to_string()]).status.success());
    assert_eq!(why(&server, &replaced.to_string())["deaths"][0]["cause"], "reset");

    // Those who were there when their plugin was replaced, or killed.
    let upgraded = server.workers()[0];
    assert!(rr(&server, &["upgrade", "http"]).status.success());
    eventually(SOON, || !process::alive(upgraded));
    assert_eq!(why(&server, &upgraded.to_string())["deaths"][0]["cause"], "upgrade");
    let orphan = server.workers()[0];
    process::kill_and_wait(server.plugin("rr-http"));
    eventually(SOON, || server.workers().first().is_some_and(|pid| *pid != orphan));
    let death = why(&server, &orphan.to_string())["deaths"][0].take();
    assert_eq!((&death["cause"], &death["plugin"]), (&json!("orphan"), &json!("http")));
    // It is known once it is ready.
    let next = server.workers()[0].to_string();
    eventually(SOON, || rr(&server, &["why", &next]).status.success());
    let running = why(&server, &next)["running"][0].take();
    assert_eq!((&running["plugin"], &running["worker"]), (&json!("http"), &json!(true)));

    let unknown = rr(&server, &["why", "1"]);
    assert!(!unknown.status.success());
    let nobody = rr(&server, &["why", "nobody"]);
    assert!(text(&nobody.stderr).contains("no such plugin: nobody"));
    assert!(server.stop().success());
}

/// A server whose `http` is a stand-in with these variables, with the pages that show its state.
struct Shown {
    server: Server,
    status: Client,
    metrics: Client,
}

impl Shown {
    fn start(variables: Value, restart: Value) -> Self {
        let (status, metrics) = (free_port(), free_port());
        let settings = json!({
            "status": {"address": at(status)},
            "metrics": {"address": at(metrics)},
            "supervisor": {"start": "keep_going", "restart": restart},
        });
        let server = standin::launch(Room::new(), variables, settings);
        server.wait_started();
        Self {
            server,
            status: Client::tcp(local(status)),
            metrics: Client::tcp(local(metrics)),
        }
    }

    /// Everything says that it is in this state.
    #[track_caller]
    fn is(&self, state: &str) {
        let series = format!("rr_plugin_state{{plugin=\"http\",state=\"{state}\"}} 1\n");
        eventually(SOON, || self.metrics.get("/metrics").text().contains(&series));
        let up = i32::from(state == "running");
        let up = format!("rr_plugin_up{{plugin=\"http\"}} {up}\n");
        assert!(self.metrics.get("/metrics").text().contains(&up));
        let health = self.status.get("/health");
        let expected = if state == "running" { 200 } else { 503 };
        assert_eq!(
            (health.status, &health.json()[0]["status_code"]),
            (expected, &json!(expected))
        );
        let drawn = printed(&rr(&self.server, &["plugins"]));
        let row = drawn.lines().find(|line| line.contains("│ http ")).unwrap();
        assert!(row.contains(&format!("│ {state} ")), "{drawn}");
    }
}

/// Deaths before ready: the second restart waits, and everything shows that; the history has the last words.
#[test]
fn a_plugin_that_waits_for_its_restart_is_shown_as_such() {
    let shown = Shown::start(
        json!({"TEST_PANIC_AT_START": "1"}),
        json!({"backoff": "60s", "max": 100}),
    );
    shown.is("restarting");
    let deaths = why(&shown.server, "http")["deaths"].take();
    let deaths = deaths.as_array().unwrap();
    assert_eq!(deaths.len(), 2);
    for death in deaths {
        assert_eq!(
            (&death["cause"], &death["exit"], &death["early"]),
            (&json!("start"), &json!("exit code 101"), &json!(true))
        );
        assert!(
            death["lines"].as_str().unwrap().contains("as it was asked to"),
            "{death}"
        );
    }
    assert!(shown.server.stop().success());
}

/// The budget is spent: it is given up, and everything shows that.
#[test]
fn a_plugin_that_was_given_up_is_shown_as_such() {
    let shown = Shown::start(json!({"TEST_DIE_AT_START": "7"}), json!({"max": 3}));
    shown.is("failed");
    let deaths = why(&shown.server, "http")["deaths"].take();
    let exits: Vec<&Value> = deaths.as_array().unwrap().iter().map(|death| &death["exit"]).collect();
    assert_eq!(exits, ["exit code 7"; 3]);
    let text = printed(&rr(&shown.server, &["why", "http"]));
    assert!(
        text.contains("http did not start ") && text.ends_with("http is failed now\n"),
        "{text}"
    );
    assert!(shown.server.stop().success());
}

/// Its death is followed by a restart, which everything shows.
#[test]
fn a_plugin_that_dies_comes_back() {
    let shown = Shown::start(json!({}), json!({}));
    shown.is("running");
    let before = shown.server.plugin("rr-test-plugin");
    process::signal(before, Signal::SIGFPE);
    eventually(SOON, || {
        let now = process::named(shown.server.pid(), "rr-test-plugin");
        now.first().is_some_and(|pid| *pid != before)
    });
    shown.is("running");
    let death = why(&shown.server, &before.to_string())["deaths"][0].take();
    assert_eq!((&death["cause"], &death["exit"]), (&json!("crash"), &json!("SIGFPE")));
    assert!(shown.server.stop().success());
}
