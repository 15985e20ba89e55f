//! The calls from the outside: bytes in, bytes or the reference's texts out, and what the page then shows.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::fleet::Roster;
use bytes::Bytes;
use collector::{MOST_SERIES, Operation};
use rr_common::rpc::{CallError, Codec};
use serde_json::{Value, json};
use std::time::Instant;
use tokio::sync::watch;

struct World(Calls);

impl World {
    fn new(collect: &Value) -> Self {
        let section = serde_json::from_value(json!({ "collect": collect })).unwrap();
        let (_, roster) = watch::channel(Arc::new(Roster::default()));
        let registry = Registry::configured(&section, Instant::now()).unwrap();
        Self(Calls(Arc::new(Metrics::new(registry, Ledger::default(), roster))))
    }

    fn raw(&self, method: &str, codec: Codec, body: &'static [u8]) -> Result<Bytes, String> {
        use crate::gateway::Local;
        let answer = self.0.call(method, codec, Bytes::from_static(body));
        let mut answer = std::pin::pin!(answer);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match answer.as_mut().poll(&mut context) {
            std::task::Poll::Ready(answer) => answer.map_err(|error| error.text(&format!("metrics.{method}"))),
            std::task::Poll::Pending => panic!("it must be ready at once"),
        }
    }

    fn call(&self, method: &str, argument: &Value) -> Result<Bytes, String> {
        self.raw(method, Codec::Json, argument.to_string().leak().as_bytes())
    }

    #[track_caller]
    fn fine(&self, method: &str, argument: &Value) {
        assert_eq!(self.call(method, argument), Ok(Bytes::from_static(b"true")));
    }

    #[track_caller]
    fn fails(&self, method: &str, argument: &Value, text: &str) {
        assert_eq!(self.call(method, argument).unwrap_err(), text);
    }

    fn declare(&self, name: &str, collector: &Value) {
        self.fine("Declare", &json!({"name": name, "collector": collector}));
    }

    fn refuses(&self, name: &str, collector: &Value, text: &str) {
        let text = format!("metrics_plugin_declare: {text}");
        self.fails("Declare", &json!({"name": name, "collector": collector}), &text);
    }

    fn samples(&self) -> Vec<String> {
        let text = self.0.0.registry().families(Instant::now()).to_string();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }
}

fn metric(name: &str, value: f64, labels: &[&str]) -> Value {
    json!({"name": name, "value": value, "labels": labels})
}

// MET-02
#[test]
fn every_type_counts() {
    let world = World::new(&json!({
        "app_metric": {"type": "histogram", "help": "h", "labels": ["type"], "buckets": [0.1, 0.2, 1.0]},
        "obj": {"type": "summary", "namespace": "ns", "subsystem": "sub", "objectives": {"0.5": 0.05, "0.9": 0.01}},
    }));
    world.declare("c", &json!({"type": "counter", "labels": ["b", "a"]}));
    world.declare("g", &json!({"type": "gauge", "help": "x"}));
    world.fine("Add", &metric("c", 1.5, &["1", "q\"\\\n"]));
    world.fine("Add", &metric("c", 1e6, &["1", "q\"\\\n"]));
    world.fine("Set", &metric("g", 5.0, &[]));
    world.fine("Sub", &metric("g", 7.0, &["ignored"]));
    world.fine("Add", &metric("g", 0.5, &[]));
    world.fine("Observe", &metric("app_metric", 0.15, &["x"]));
    world.fine("Observe", &metric("app_metric", 0.2, &["x"]));
    world.fine("Observe", &metric("app_metric", 2.0, &["x"]));
    for value in [0.15, 0.15, 3.0] {
        world.fine("Observe", &metric("obj", value, &[]));
    }
    let expected = [
        "app_metric_bucket{type=\"x\",le=\"0.1\"} 0",
        "app_metric_bucket{type=\"x\",le=\"0.2\"} 2",
        "app_metric_bucket{type=\"x\",le=\"1\"} 2",
        "app_metric_bucket{type=\"x\",le=\"+Inf\"} 3",
        "app_metric_sum{type=\"x\"} 2.35",
        "app_metric_count{type=\"x\"} 3",
        "c{a=\"q\\\"\\\\\\n\",b=\"1\"} 1.0000015e+06",
        "g -1.5",
        "ns_sub_obj{quantile=\"0.5\"} 0.15",
        "ns_sub_obj{quantile=\"0.9\"} 3",
        "ns_sub_obj_sum 3.3",
        "ns_sub_obj_count 3",
    ];
    assert_eq!(world.samples(), expected);
    world.fine("Unregister", &json!("c"));
    world.fails(
        "Unregister",
        &json!("c"),
        "metrics_plugin_unregister: undefined collector c",
    );
    assert!(!world.samples().iter().any(|sample| sample.starts_with("c{")));
}

// MET-03
#[test]
fn errors_have_the_references_texts() {
    let world = World::new(&json!({}));
    for (name, kind) in [("c", "counter"), ("g", "gauge"), ("h", "histogram"), ("s", "summary")] {
        world.declare(name, &json!({"type": kind}));
        world.declare(&format!("{name}l"), &json!({"type": kind, "labels": ["a"]}));
    }
    let unsupported = [
        ("Add", "add", vec!["h", "hl", "s", "sl"]),
        ("Sub", "sub", vec!["c", "cl", "h", "hl", "s", "sl"]),
        ("Set", "set", vec!["c", "cl", "h", "hl", "s", "sl"]),
        ("Observe", "observe", vec!["c", "cl", "g", "gl"]),
    ];
    for (method, word, names) in unsupported {
        for name in names {
            let text = match method {
                "Add" => format!("collector {name} does not support method `Add`"),
                "Set" => format!("collector `{name}` does not support method Set"),
                _ => format!("collector `{name}` does not support method `{method}`"),
            };
            world.fails(
                method,
                &metric(name, 1.0, &["x"]),
                &format!("metrics_plugin_{word}: {text}"),
            );
        }
    }
    for (method, word) in [("Sub", "sub"), ("Set", "set"), ("Observe", "observe")] {
        let text = format!("metrics_plugin_{word}: undefined collector zz");
        world.fails(method, &metric("zz", 1.0, &[]), &text);
    }
    let text = "metrics_plugin_add: undefined collector zz, try first Declare the desired collector";
    world.fails("Add", &metric("zz", 1.0, &[]), text);
    world.fails(
        "Add",
        &metric("cl", 1.0, &[]),
        "metrics_plugin_add: required labels for collector `cl`",
    );
    world.fails(
        "Add",
        &metric("gl", 1.0, &[]),
        "metrics_plugin_add: required labels for collector gl",
    );
    world.fails(
        "Observe",
        &metric("hl", 1.0, &[]),
        "metrics_plugin_observe: required labels for collector `hl`",
    );
    world.fails(
        "Set",
        &metric("gl", 1.0, &["x", "q\"é"]),
        "metrics_plugin_set: inconsistent label cardinality: expected 1 label values but got 2 in []string{\"x\", \"q\\\"é\"}",
    );
    world.fails("Nope", &json!(1), "rpc: can't find method metrics.Nope");
    // The reference dies of it.
    world.fails(
        "Add",
        &metric("c", -1.0, &[]),
        "metrics_plugin_add: counter cannot decrease in value",
    );
}

// MET-03
#[test]
fn declarations_are_judged_as_in_the_reference() {
    let world = World::new(&json!({"aa_b": {"type": "counter", "help": "h"}}));
    world.refuses("x", &json!({"type": "nope"}), "unknown collector type nope");
    world.refuses("x", &json!({}), "unknown collector type ");
    world.refuses(
        "b",
        &json!({"namespace": "aa", "type": "gauge", "help": "h"}),
        "duplicate metrics collector registration attempted",
    );
    world.refuses(
        "b",
        &json!({"namespace": "aa", "type": "gauge", "help": "h2"}),
        "a previously registered descriptor with the same fully-qualified name as Desc{fqName: \"aa_b\", help: \"h2\", \
         constLabels: {}, variableLabels: {}} has different label names or a different help string",
    );
    world.refuses(
        "",
        &json!({"type": "counter", "help": "h"}),
        "descriptor Desc{fqName: \"\", help: \"h\", constLabels: {}, variableLabels: {}} is invalid: \"\" is not a valid metric name",
    );
    world.refuses(
        "m",
        &json!({"type": "counter", "labels": ["a", "__x"]}),
        "descriptor Desc{fqName: \"m\", help: \"\", constLabels: {}, variableLabels: {a,__x}} is invalid: \
         \"__x\" is not a valid label name for metric \"m\"",
    );
    world.refuses(
        "m",
        &json!({"type": "counter", "labels": ["x", "x"]}),
        "descriptor Desc{fqName: \"m\", help: \"\", constLabels: {}, variableLabels: {x,x}} is invalid: \
         duplicate label names in constant and variable labels for metric \"m\"",
    );
    // These end the reference.
    world.refuses(
        "m",
        &json!({"type": "histogram", "labels": ["le"]}),
        "\"le\" is not allowed as label name in histograms",
    );
    world.refuses(
        "m",
        &json!({"type": "summary", "labels": ["quantile"]}),
        "\"quantile\" is not allowed as label name in summaries",
    );
    world.refuses(
        "m",
        &json!({"type": "histogram", "buckets": [2, 1]}),
        "histogram buckets must be in increasing order: 2 >= 1",
    );
    // Twice is no error and changes nothing; what Prometheus cannot read is written with underscores.
    world.declare("my-metric é", &json!({"type": "gauge", "labels": ["a-b"]}));
    world.declare("my-metric é", &json!({"type": "counter"}));
    world.fine("Set", &metric("my-metric é", 2.0, &["x"]));
    assert_eq!(world.samples(), ["aa_b 0", "my_metric__{a_b=\"x\"} 2"]);
    // Its name is free again after its end, with other labels too.
    world.fine("Unregister", &json!("my-metric é"));
    world.declare("my-metric é", &json!({"type": "gauge", "help": "other"}));
}

#[test]
fn a_label_with_ids_in_it_does_not_eat_the_memory() {
    let world = World::new(&json!({"c": {"type": "counter", "labels": ["id"]}}));
    let mut registry = world.0.0.registry();
    for id in 0..MOST_SERIES {
        let labels = [id.to_string()];
        registry
            .update(Operation::Add, "c", 1.0, &labels, Instant::now())
            .unwrap();
    }
    drop(registry);
    let text = "metrics_plugin_add: collector c would have more than 10000 combinations of label values; is one of its labels an id?";
    world.fails("Add", &metric("c", 1.0, &["one more"]), text);
    world.fine("Add", &metric("c", 1.0, &["9999"]));
    world.fine("Unregister", &json!("c"));
    world.declare("c", &json!({"type": "counter", "labels": ["id"]}));
    let long = "x".repeat(5000);
    let text = "metrics_plugin_add: the label values of collector c have more than 4096 bytes";
    world.fails("Add", &metric("c", 1.0, &[&long]), text);
    assert_eq!(world.samples(), Vec::<String>::new());
}

#[test]
fn other_codecs() {
    let world = World::new(&json!({"c": {"type": "counter"}}));
    let answer = world.raw("Add", Codec::Msgpack, b"\x82\xa4name\xa1c\xa5value\x01");
    assert_eq!(answer, Ok(Bytes::from_static(b"\xc3")));
    assert_eq!(world.samples(), ["c 1"]);
    let undefined = "metrics_plugin_add: undefined collector , try first Declare the desired collector";
    assert_eq!(world.raw("Add", Codec::Raw, b"").unwrap_err(), undefined);
    let raw = CallError::failed("unknown Raw payload type").to_string();
    assert_eq!(world.raw("Add", Codec::Raw, b"x").unwrap_err(), raw);
    assert!(world.raw("Add", Codec::Json, b"{").is_err());
}

#[test]
fn a_collector_of_the_configuration_that_makes_no_sense_is_named() {
    let section = serde_json::from_value(json!({"collect": {"m": {"type": "histogram", "buckets": [2, 1]}}})).unwrap();
    let error = Registry::configured(&section, Instant::now()).unwrap_err();
    assert_eq!(
        error,
        "metrics.collect.m: histogram buckets must be in increasing order: 2 >= 1"
    );
}
