//! The page for Prometheus (MET-01): what is on it, on any path, while plugins die and come back.
#![allow(clippy::unwrap_used)]

use rr_tests::metrics::{sample, serve};
use rr_tests::{
    Client, Room, Server, bin, eventually,
    port::{at, free_port, local},
    process, standin,
    wait::SOON,
};
use serde_json::json;
use std::{process::Command, time::Instant};

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
    let server = Server::launch(Room::new(), 0, &config.to_string(), &[]);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    let text = "metrics.collect.m: histogram buckets must be in increasing order: 2 >= 1";
    assert!(server.log().contains(text), "{}", server.log());
}

/// A plugin of a stranger, whose metrics are what stands in a file.
fn strange(text: &str) -> (Server, Client, impl Fn(&str)) {
    let room = Room::new();
    let file = room.write("metrics", text);
    let port = free_port();
    let settings = json!({"metrics": {"address": at(port)}});
    let server = standin::launch(room, json!({"TEST_METRICS": file}), settings);
    server.wait_started();
    let page = Client::tcp(local(port));
    (server, page, move |text| std::fs::write(&file, text).unwrap())
}

#[test]
fn a_plugin_that_talks_rubbish_does_not_break_the_page() {
    let (server, page, say) = strange("# TYPE jobs_done counter\njobs_done{q=\"a\"} 5\n# TYPE depth gauge\ndepth 3\n");
    let text = page.get("/").text();
    assert_eq!(sample(&text, "jobs_done{q=\"a\"}"), Some(5.0));
    assert_eq!(sample(&text, "depth"), Some(3.0));
    for rubbish in ["<html>", "jobs_done{q=\"a\"} 9\ndepth", "# TYPE depth nothing\n"] {
        say(rubbish);
        let text = page.get("/").text();
        assert_eq!(
            sample(&text, "jobs_done{q=\"a\"}"),
            Some(5.0),
            "it had counted that before:\n{text}"
        );
        assert_eq!(sample(&text, "depth"), None, "{text}");
        assert_eq!(sample(&text, "rr_plugin_up{plugin=\"http\"}"), Some(1.0));
    }
    server.wait_log("line 2: a name without a value");
    // It may not speak for others either.
    say("process_open_fds 1\nrr_plugin_up{plugin=\"http\"} 7\nrr_plugin_up{plugin=\"kv\"} 7\n");
    let text = page.get("/").text();
    assert!(
        sample(&text, "process_open_fds").is_some_and(|open| open > 10.0),
        "{text}"
    );
    assert_eq!(sample(&text, "rr_plugin_up{plugin=\"http\"}"), Some(1.0));
    assert!(!text.contains("plugin=\"kv\""), "{text}");
}

#[test]
fn a_plugin_that_hangs_costs_a_bounded_wait() {
    let (server, page, say) = strange("# TYPE jobs_done counter\njobs_done 5\n");
    assert_eq!(sample(&page.get("/").text(), "jobs_done"), Some(5.0));
    say("hang");
    let asked = Instant::now();
    let text = page.get("/").text();
    assert!(asked.elapsed() < SOON);
    assert_eq!(sample(&text, "jobs_done"), Some(5.0));
    server.wait_log("no answer within 2s");
    process::kill_and_wait(server.plugin("rr-test-plugin"));
    say("# TYPE jobs_done counter\njobs_done 2\n");
    eventually(SOON, || sample(&page.get("/").text(), "jobs_done") == Some(7.0));
}

#[test]
fn a_plugin_alone_has_a_page_of_its_own() {
    let (port, metrics) = (free_port(), free_port());
    let settings = json!({
        "metrics": {"address": at(metrics)},
        "http": {"middleware": ["http_metrics"]},
    });
    let room = Room::new();
    let file = room.write(".rr.yaml", rr_tests::server::http_config(port, settings).to_string());
    let mut command = Command::new(bin::binary("rr-http"));
    command.arg("-c").arg(file);
    let server = Server::run(room, port, command);
    eventually(SOON, || server.client().try_connect().is_ok());
    assert_eq!(server.client().get("/hello").status, 200);
    let page = Client::tcp(local(metrics));
    let text = page.get("/any").text();
    assert_eq!(sample(&text, "rr_http_request_total{status=\"200\"}"), Some(1.0));
    assert_eq!(sample(&text, "rr_http_total_workers"), Some(2.0));
    assert!(sample(&text, "process_open_fds").is_some(), "{text}");
    assert_eq!(page.post("/", "text/plain", "x").status, 405);
    assert_eq!(page.get("/").status, 200);
}
