//! A changed configuration takes effect for the endpoints of the supervisor's own: they come, move, change and go.
#![allow(clippy::unwrap_used)]

use rr_tests::{
    Client, Rpc, eventually,
    load::Load,
    metrics::sample,
    operator::done,
    port::{at, closed, free_port, local, tcp},
    reload::{Place, action, endpoint, error},
    rounds,
    server::{merge, php},
    wait::SOON,
};
use serde_json::{Value, json};
use std::{net::TcpListener, path::Path};

/// Status and body.
fn page(port: u16, path: &str) -> (u16, String) {
    let reply = Client::tcp(local(port)).get(path);
    (reply.status, reply.text())
}

#[test]
fn the_health_endpoint_comes_moves_changes_and_goes() {
    let rpc = free_port();
    let mut place = Place::quiet(json!({"rpc": {"listen": tcp(rpc)}}));
    let http = place.server.plugin("rr-http");
    let load = Load::start(place.server.address(), 2, "/echo?body=hi");
    let asked = || error(rpc, "status.Ready", &json!({"plugin": "http"}));
    assert!(asked().unwrap().contains("can't find service"));

    let (first, second) = (free_port(), free_port());
    place.change(json!({"status": {"address": at(first)}}));
    let dry = done(&place.server, &["reload", "--dry-run"]);
    assert!(
        dry.contains(&format!("status: opened at 127.0.0.1:{first}")) && dry.contains("http: unchanged"),
        "{dry}"
    );
    assert!(closed(first));
    assert_eq!(endpoint(&place.reload(), "status"), "opened");
    assert_eq!(page(first, "/health?plugin=http").0, 200);
    assert_eq!(asked(), None);

    // At the same address no request fails, whatever else changes.
    let checks = Load::start_fresh(local(first), 2, "/health");
    for round in 0..rounds(5) {
        checks.goes_on();
        let status = 500 + round % 4;
        place.change(json!({"status": {"unavailable_status_code": status}}));
        let answer = place.reload();
        assert_eq!(
            (endpoint(&answer, "status"), action(&answer, "http")),
            ("changed", "unchanged")
        );
        eventually(SOON, || usize::from(page(first, "/jobs").0) == status);
    }
    checks.goes_on();
    checks.stop_unharmed(&place.server);

    let mut kept = Client::tcp(local(first)).connect();
    assert_eq!(kept.get("/health").status, 200);
    place.change(json!({"status": {"address": at(second)}}));
    assert_eq!(endpoint(&place.reload(), "status"), "moved");
    assert_eq!(page(second, "/health?plugin=http").0, 200);
    eventually(SOON, || closed(first));
    assert!(asked().is_none());

    place.change(json!({"status": null}));
    let answer = place.reload();
    assert_eq!(endpoint(&answer, "status"), "closed");
    eventually(SOON, || closed(second));
    assert!(asked().unwrap().contains("can't find service"));
    load.goes_on();
    load.stop_unharmed(&place.server);
    assert_eq!(place.server.plugin("rr-http"), http);
    assert!(place.server.stop().success());
}

#[test]
fn the_page_of_metrics_comes_moves_with_its_numbers_and_goes() {
    let rpc = free_port();
    let mut place = Place::quiet(json!({"rpc": {"listen": tcp(rpc)}}));
    let http = place.server.plugin("rr-http");
    let add = json!({"name": "orders", "value": 1.0});
    assert!(error(rpc, "metrics.Add", &add).unwrap().contains("can't find service"));
    let mut address = free_port();
    let collect = json!({"orders": {"type": "counter", "help": "x"}});
    place.change(json!({"metrics": {"address": at(address), "collect": collect}}));
    assert_eq!(endpoint(&place.reload(), "metrics"), "opened");
    let declare = json!({"name": "declared", "collector": {"type": "counter", "help": "x"}});
    assert_eq!(error(rpc, "metrics.Declare", &declare), None);

    let counting = Load::start(
        place.server.address(),
        2,
        "/rpc?method=metrics.Add&argument=%7B%22name%22%3A%22orders%22%2C%22value%22%3A1%7D",
    );
    for _ in 0..rounds(5) {
        counting.goes_on();
        let before = address;
        address = free_port();
        place.change(json!({"metrics": {"address": at(address)}}));
        let answer = place.reload();
        assert_eq!(
            (endpoint(&answer, "metrics"), action(&answer, "http")),
            ("moved", "unchanged")
        );
        assert!(sample(&page(address, "/metrics").1, "orders").unwrap() > 20.0);
        eventually(SOON, || closed(before));
    }
    let outcome = counting.stop_unharmed(&place.server);
    let shown = page(address, "/metrics").1;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let counted = outcome.answers as f64;
    assert_eq!(sample(&shown, "orders"), Some(counted), "{shown}");
    assert!(shown.contains("rr_http_"), "{shown}");

    place.change(json!({"metrics": null}));
    assert_eq!(endpoint(&place.reload(), "metrics"), "closed");
    eventually(SOON, || closed(address));
    assert!(error(rpc, "metrics.Add", &add).unwrap().contains("can't find service"));
    // What the application has declared need not be declared again.
    place.change(json!({"metrics": {"address": at(address)}}));
    place.reload();
    assert_eq!(
        error(rpc, "metrics.Add", &json!({"name": "declared", "value": 2.0})),
        None
    );
    assert_eq!(sample(&page(address, "/").1, "declared"), Some(2.0));
    assert_eq!(place.server.plugin("rr-http"), http);
    assert!(place.server.stop().success());
}

#[test]
fn services_are_steered_once_there_are_some() {
    let rpc = free_port();
    let mut place = Place::new(json!({"rpc": {"listen": tcp(rpc)}}));
    let listed = || Rpc::tcp(local(rpc)).call("service.List", &json!({}));
    assert!(listed().error().unwrap().contains("can't find service"));
    place.change(json!({"service": {"beside": {"command": ["sleep", "1000"]}}}));
    place.reload();
    assert_eq!(listed().json()["services"], json!(["beside"]));
    let workers = done(&place.server, &["workers", "service"]);
    assert!(workers.contains("sleep 1000"), "{workers}");
    place.change(json!({"service": null}));
    place.reload();
    assert!(listed().error().unwrap().contains("can't find service"));
    assert!(place.server.stop().success());
}

/// A port that is taken, or a later step that fails: everything is as it was.
#[test]
fn what_fails_changes_no_endpoint() {
    let (rpc, status, metrics) = (free_port(), free_port(), free_port());
    let mut place = Place::quiet(json!({
        "rpc": {"listen": tcp(rpc)},
        "status": {"address": at(status)},
        "metrics": {"address": at(metrics)},
    }));
    let http = place.server.plugin("rr-http");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let others = [free_port(), free_port(), free_port()];
    let moved = json!({
        "rpc": {"listen": tcp(others[0])}, "status": {"address": at(others[1])}, "metrics": {"address": at(others[2])},
    });
    let with = |changes: Value| {
        let mut all = moved.clone();
        merge(&mut all, changes);
        all
    };
    let mut before = place.settings.clone();
    for (changes, reason) in [
        (
            with(json!({"status": {"address": taken.to_string()}})),
            format!("status.address: listen {taken}"),
        ),
        (
            with(json!({"metrics": {"address": taken.to_string()}})),
            format!("metrics.address: listen {taken}"),
        ),
        (
            with(json!({"rpc": {"listen": format!("tcp://{taken}")}})),
            format!("rpc.listen: listen tcp://{taken}"),
        ),
        (
            with(json!({"metrics": {"address": at(others[1])}})),
            "another key of this configuration has the same address".to_owned(),
        ),
        (
            with(json!({"http": {"pool": {"command": php(Path::new("/nowhere.php"))}}})),
            "the plugin http cannot start".to_owned(),
        ),
        (
            with(json!({"reload": {"services": {"http": {"dirs": ["nowhere"]}}}})),
            "reload.services.http.dirs".to_owned(),
        ),
        (
            with(json!({"supervisor": {"plugins": {"http": {"attached": true}}}})),
            "supervisor.plugins.http.attached has changed".to_owned(),
        ),
        (
            with(json!({"supervisor": {"control": {"dir": "/nowhere"}}})),
            "supervisor.control.dir has changed".to_owned(),
        ),
    ] {
        place.settings = before.clone();
        place.change(changes);
        let told = place.refused();
        assert!(told.contains(&reason), "{reason:?} in {told}");
        assert_eq!(page(status, "/health").0, 200);
        assert_eq!(page(metrics, "/metrics").0, 200);
        assert_eq!(error(rpc, "rpc.Version", &json!(true)), None);
        assert!(place.get("/rpc?method=rpc.Version").contains("2025"));
        eventually(SOON, || others.iter().all(|port| closed(*port)));
        assert_eq!(place.server.plugin("rr-http"), http);
    }
    // In the end all of it is possible at once.
    before = place.settings.clone();
    merge(&mut before, json!({"supervisor": null, "reload": null, "http": null}));
    place.settings = before;
    place.change(json!({"http": {"pool": {"num_workers": 1}}}));
    let answer = place.reload();
    for name in ["rpc", "status", "metrics"] {
        assert_eq!(endpoint(&answer, name), "moved");
    }
    eventually(SOON, || [rpc, status, metrics].iter().all(|port| closed(*port)));
    assert_eq!(page(others[1], "/health").0, 200);
    assert_eq!(place.server.workers().len(), 1);
    assert!(place.server.stop().success());
}
