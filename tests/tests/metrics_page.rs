//! The page for Prometheus (MET-01): what is on it, on any path, while plugins die and come back.
#![allow(clippy::unwrap_used)]

use rr_tests::metrics::{sample, serve};
use rr_tests::{Server, eventually, process, room::free_port, wait::SOON};
use serde_json::json;

#[test]
fn any_path_shows_what_is_counted() {
    let collect = json!({
        "Orders": {"type": "counter", "help": "a \"b\" \\", "namespace": "shop", "subsystem": "web"},
        "basket": {"type": "summary", "objectives": [{"0.5": 0.05}, {"0.9": 0.01}]},
    });
    let (server, client) = serve(json!({"metrics": {"collect": collect}}));
    for path in ["/", "/metrics", "/any/thing?x=1"] {
        let answer = client.get(path);
        assert_eq!(answer.status, 200);
        let kind = answer.header("content-type");
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    }
    let page = client.get("/metrics").text();
    assert!(
        page.contains("# HELP shop_web_orders a \"b\" \\\\\n# TYPE shop_web_orders counter\nshop_web_orders 0\n"),
        "{page}"
    );
    assert!(page.contains("basket{quantile=\"0.5\"} NaN\n"), "{page}");
    for name in [
        "cpu_seconds_total",
        "open_fds",
        "resident_memory_bytes",
        "start_time_seconds",
    ] {
        assert!(sample(&page, &format!("process_{name}")).is_some(), "{page}");
    }
    assert_eq!(sample(&page, "rr_http_total_workers"), Some(2.0));
    assert_eq!(sample(&page, "rr_http_workers_ready"), Some(2.0));
    for pid in server.workers() {
        assert_eq!(
            sample(&page, &format!("rr_http_worker_state{{pid=\"{pid}\",state=\"ready\"}}")),
            Some(0.0)
        );
    }
    assert_eq!(sample(&page, "rr_plugin_up{plugin=\"http\"}"), Some(1.0));
    let names: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert!(names.is_sorted(), "{page}");
    assert!(server.stop().success());
}

#[test]
fn a_dead_plugin_does_not_break_the_page() {
    let (server, client) = serve(json!({}));
    let page = client.get("/").text();
    let memory = sample(&page, "process_resident_memory_bytes").unwrap();
    let plugin = sample(&page, "rr_plugin_resident_memory_bytes{plugin=\"http\"}").unwrap();
    assert!(memory > plugin, "the supervisor's own memory is in the sum:\n{page}");

    process::kill_and_wait(server.plugin("rr-http"));
    let page = client.get("/").text();
    assert!(sample(&page, "process_cpu_seconds_total").is_some(), "{page}");
    let back = || sample(&client.get("/").text(), "rr_http_workers_ready") == Some(2.0);
    eventually(SOON, back);
    let page = client.get("/").text();
    assert_eq!(sample(&page, "rr_plugin_restarts_total{plugin=\"http\"}"), Some(1.0));
    assert_eq!(sample(&page, "rr_plugin_up{plugin=\"http\"}"), Some(1.0));
    let old = server.workers();
    assert_eq!(page.matches("rr_http_worker_state{").count(), old.len());
}

#[test]
fn a_collector_that_makes_no_sense_ends_the_start() {
    let settings = json!({"metrics": {"collect": {"m": {"type": "histogram", "buckets": [2, 1]}}}});
    let config = rr_tests::server::http_config(free_port(), settings);
    let server = Server::launch(rr_tests::Room::new(), 0, &config.to_string(), &[]);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    let text = "metrics.collect.m: histogram buckets must be in increasing order: 2 >= 1";
    assert!(server.log().contains(text), "{}", server.log());
}
