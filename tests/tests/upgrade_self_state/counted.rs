//! Numbers: what was counted before is counted after, once.

use crate::place::Place;
use rr_tests::{eventually, metrics::sample, operator::done, rounds, wait::SOON};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
    let collect = json!({"other": {"help": "two"}, "gone": null});
    place.server.change(json!({"metrics": {"collect": collect}}));
    place.upgrade();
    assert_eq!(place.samples(&["other", "gone"]), ["gone 2", "other 2"]);
    done(&place.server, &["reload"]);
    place.upgrade();
    assert_eq!(place.samples(&["other", "gone"]), ["other 0"]);
    assert_eq!(place.samples(&names)[..4], before[..4]);
    assert_eq!(place.samples(&["sizes_count"]), ["sizes_count 1201"]);
    assert!(place.server.stop().success(), "{}", place.server.log());
}
