//! A plugin panics while it serves: in one request, in one call, in a task, on its main thread. Each costs what it took, and is told with
//! its words and its place.
#![allow(clippy::unwrap_used)]

use rr_tests::{
    Rpc, Server, bin, eventually,
    load::Load,
    operator,
    port::{free_port, local, tcp},
    standin,
    wait::SOON,
};
use serde_json::{Value, json};

/// Clients of HTTP meanwhile.
const CLIENTS: usize = 3;

/// What the test's own programs say when they panic.
const WORDS: &str = "as it was asked to";

/// A server for HTTP with PHP, with these plugins beside it and RPC.
fn start(plugins: Value) -> (Server, Rpc) {
    let port = free_port();
    let mut settings = json!({"rpc": {"listen": tcp(port)}});
    rr_tests::server::merge(&mut settings, plugins);
    let server = Server::http(settings);
    (server, Rpc::tcp(local(port)))
}

/// How often a plugin's process was started again.
fn restarts(rpc: &mut Rpc, name: &str) -> u64 {
    operator::seen_by_rpc(rpc, name)["restarts"].as_u64().unwrap()
}

/// The last lines of a plugin's process: `rr why` tells of this one death, by this exit.
#[track_caller]
fn last_words(server: &Server, name: &str, pid: &Value, exit: &str) -> String {
    let mut why = operator::told(server, &["why", name, "--json"]);
    let deaths = why["deaths"].as_array_mut().unwrap();
    assert_eq!(deaths.len(), 1, "{deaths:?}");
    let death = deaths.remove(0);
    assert_eq!(
        (&death["cause"], &death["exit"], &death["pid"]),
        (&json!("crash"), &json!(exit), pid)
    );
    death["lines"].as_str().unwrap().to_owned()
}

/// The lines of the log that tell of a panic, each with its place.
fn told(server: &Server, program: &str) -> usize {
    let is = |line: &&Value| {
        let at = line["at"].as_str().unwrap_or_default();
        line["msg"] == "panic" && line["error"] == WORDS && at.contains(&format!("{program}.rs:"))
    };
    server.log_json().iter().filter(is).count()
}

/// The task of a connection panics on the frame thread that moves all the others.
#[test]
fn a_panic_in_a_request_costs_that_request() {
    let server = standin::start(json!({}), json!({}));
    let before = server.plugin("rr-test-plugin");
    let load = Load::start(server.address(), CLIENTS, "/");
    for round in 1..=20 {
        let failed = server
            .client()
            .try_send(http::Request::get("/panic").body(Default::default()).unwrap());
        assert!(failed.is_err(), "{failed:?}");
        eventually(SOON, || told(&server, "rr-test-plugin") == round);
    }
    load.stop_unharmed(&server);
    assert_eq!(server.plugin("rr-test-plugin"), before);
    assert!(server.stop().success());
}

/// A call's panic is its answer; one in a task costs the task. Two at once end the process, whatever thread it is.
#[test]
fn a_panic_in_a_call_or_a_task_costs_no_more_and_two_at_once_the_process() {
    let stand_in =
        json!({"binary": bin::binary("rr-test-plugin"), "env": {"TEST_NO_PORT": "1", "RUST_BACKTRACE": "0"}});
    let (server, mut rpc) = start(json!({"jobs": {}, "supervisor": {"plugins": {"jobs": stand_in}}}));
    let before = rpc.call("jobs.Pid", &Value::Null).json();
    let load = Load::start(server.address(), CLIENTS, "/hello");
    let defect = "rpc: the call has failed by a defect of the plugin";
    for (round, (method, error)) in [
        ("jobs.Panic", Some(defect)),
        ("jobs.PanicInTask", None),
        ("jobs.PanicOnMain", None),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(rpc.call(method, &Value::Null).error().as_deref(), error, "{method}");
        eventually(SOON, || told(&server, "rr-test-plugin") == round + 1);
        assert_eq!(rpc.call("jobs.Pid", &Value::Null).json(), before, "{method}");
    }
    assert_eq!(restarts(&mut rpc, "jobs"), 0);

    // The call fails with the process; the connection goes on.
    assert!(rpc.call("jobs.PanicTwice", &Value::Null).error().is_some());
    eventually(SOON, || rpc.call("jobs.Pid", &Value::Null).error().is_none());
    assert_eq!(restarts(&mut rpc, "jobs"), 1);
    let lines = last_words(&server, "jobs", &before, "SIGABRT");
    assert!(
        lines.contains("and once more") && lines.contains("rr-test-plugin.rs:"),
        "{lines}"
    );
    load.stop_unharmed(&server);
    assert!(server.stop().success());
}

/// A program that is none of ours panics on its main thread, and is gone.
#[test]
fn a_panic_on_the_main_thread_costs_the_plugin_which_comes_back() {
    let own =
        json!({"command": [bin::binary("rr-test-custom")], "rpc_prefixes": ["own"], "env": {"RUST_BACKTRACE": "0"}});
    let (server, mut rpc) = start(json!({"own": {}, "supervisor": {"plugins": {"own": own}}}));
    let before = rpc.call("own.Pid", &Value::Null).json();
    let load = Load::start(server.address(), CLIENTS, "/hello");
    rpc.call("own.Panic", &Value::Null);
    eventually(SOON, || {
        let answer = rpc.call("own.Pid", &Value::Null);
        answer.error().is_none() && answer.json() != before
    });
    assert_eq!(restarts(&mut rpc, "own"), 1);
    let lines = last_words(&server, "own", &before, "exit code 101");
    assert!(
        lines.contains(WORDS) && lines.contains("thread 'main'") && lines.contains("rr-test-custom.rs:"),
        "{lines}"
    );
    load.stop_unharmed(&server);
    assert!(server.stop().success());
}
