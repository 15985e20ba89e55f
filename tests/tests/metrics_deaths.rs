//! Deaths of workers and of plugins' processes are counted by cause, over the deaths of those who count.
#![allow(clippy::unwrap_used)]

use rr_tests::{
    Client, eventually,
    metrics::{sample, serve},
    operator::done,
    port::{free_port, tcp},
    process,
    wait::SOON,
};
use serde_json::json;

/// Ends of workers with that cause.
fn workers(page: &Client, cause: &str) -> f64 {
    let name = format!("rr_http_worker_deaths_total{{cause=\"{cause}\",pool=\"http\"}}");
    sample(&page.get("/").text(), &name).unwrap_or(f64::NAN)
}

/// Ends of the plugin's processes with that cause.
fn processes(page: &Client, cause: &str) -> f64 {
    let name = format!("rr_plugin_deaths_total{{cause=\"{cause}\",plugin=\"http\"}}");
    sample(&page.get("/").text(), &name).unwrap_or(f64::NAN)
}

#[test]
fn deaths_are_counted_by_cause_over_every_death() {
    let (server, page) = serve(json!({"rpc": {"listen": tcp(free_port())}}));
    // There from the start, so that the first death is seen as one more.
    for cause in [
        "start", "crash", "exec_ttl", "max_jobs", "ttl", "idle_ttl", "memory", "reset", "asked", "fewer",
    ] {
        assert_eq!(workers(&page, cause), 0.0, "{cause}");
    }
    for cause in ["crash", "start", "upgrade", "reload"] {
        assert_eq!(processes(&page, cause), 0.0, "{cause}");
    }
    server.client().get("/exit?code=3");
    eventually(SOON, || workers(&page, "crash") == 1.0);
    done(&server, &["reset"]);
    eventually(SOON, || workers(&page, "reset") == 2.0);

    // A crash of the plugin, which had counted so far.
    process::kill_and_wait(server.plugin("rr-http"));
    eventually(SOON, || processes(&page, "crash") == 1.0);
    assert_eq!((workers(&page, "crash"), workers(&page, "reset")), (1.0, 2.0));
    eventually(SOON, || server.workers().len() == 2);
    server.client().get("/exit?code=3");
    eventually(SOON, || workers(&page, "crash") == 2.0);

    // An upgrade, before which it is asked once more.
    done(&server, &["upgrade", "http"]);
    eventually(SOON, || processes(&page, "upgrade") == 1.0);
    assert_eq!((workers(&page, "crash"), workers(&page, "reset")), (2.0, 2.0));

    // The next program of the supervisor knows what became of the plugins.
    done(&server, &["upgrade", "self"]);
    eventually(SOON, || {
        (processes(&page, "crash"), processes(&page, "upgrade")) == (1.0, 1.0)
    });
    process::kill_and_wait(server.plugin("rr-http"));
    eventually(SOON, || processes(&page, "crash") == 2.0);
    assert!(server.stop().success());
}
