//! The calls `metrics.*` (MET-02, MET-03): over the wire, from PHP while it answers requests, and what the page then shows.
#![allow(clippy::unwrap_used)]

use rr_common::frame::flag;
use rr_tests::metrics::{sample, serve};
use rr_tests::{
    Client, Room, Rpc, Server, bin, eventually,
    port::{at, free_port, local, tcp},
    process,
    server::merge,
    wait::SOON,
};
use serde_json::{Value, json};

/// A server with metrics and an RPC port, a client for its page, and its RPC address.
fn with_rpc(settings: Value) -> (Server, Client, std::net::SocketAddr) {
    let port = free_port();
    let mut all = json!({"rpc": {"listen": tcp(port)}});
    merge(&mut all, settings);
    let (server, page) = serve(all);
    (server, page, local(port))
}

#[test]
fn the_calls_answer_as_the_reference_does() {
    let collect = json!({"Orders": {"type": "counter", "namespace": "shop", "labels": ["country"]}});
    let (server, page, address) = with_rpc(json!({"metrics": {"collect": collect}}));
    let mut rpc = Rpc::tcp(address);
    let fine = [
        (
            "Declare",
            json!({"name": "load", "collector": {"type": "gauge", "help": "x"}}),
        ),
        (
            "Declare",
            json!({"name": "load", "collector": {"type": "counter", "help": "another"}}),
        ),
        (
            "Declare",
            json!({"name": "times", "collector": {"type": "summary", "objectives": {"0.5": 0.05}}}),
        ),
        ("Add", json!({"name": "orders", "value": 2.5, "labels": ["fr"]})),
        ("Set", json!({"name": "load", "value": 4})),
        ("Sub", json!({"name": "load", "value": 1})),
        ("Observe", json!({"name": "times", "value": 0.5})),
    ];
    for (method, argument) in fine {
        let answer = rpc.call(&format!("metrics.{method}"), &argument);
        assert_eq!(
            (answer.flags, answer.text().as_str()),
            (flag::JSON, "true"),
            "{method} {argument}"
        );
    }
    server.wait_log("metric with provided name already exist");
    let errors = [
        (
            "Add",
            json!({"name": "zz", "value": 1}),
            "undefined collector zz, try first Declare the desired collector",
        ),
        (
            "Add",
            json!({"name": "orders", "value": 1}),
            "required labels for collector `orders`",
        ),
        (
            "Add",
            json!({"name": "orders", "value": -1, "labels": ["fr"]}),
            "counter cannot decrease in value",
        ),
        (
            "Add",
            json!({"name": "orders", "value": 1, "labels": ["a", "b"]}),
            "inconsistent label cardinality: expected 1 label values but got 2 in []string{\"a\", \"b\"}",
        ),
        (
            "Sub",
            json!({"name": "orders", "value": 1, "labels": ["fr"]}),
            "collector `orders` does not support method `Sub`",
        ),
        (
            "Set",
            json!({"name": "orders", "value": 1, "labels": ["fr"]}),
            "collector `orders` does not support method Set",
        ),
        (
            "Add",
            json!({"name": "times", "value": 1}),
            "collector times does not support method `Add`",
        ),
        (
            "Observe",
            json!({"name": "load", "value": 1}),
            "collector `load` does not support method `Observe`",
        ),
        ("Observe", json!({"name": "zz", "value": 1}), "undefined collector zz"),
        (
            "Declare",
            json!({"name": "x", "collector": {"type": "nope"}}),
            "unknown collector type nope",
        ),
        ("Unregister", json!("zz"), "undefined collector zz"),
    ];
    for (method, argument, text) in errors {
        let error = rpc.call(&format!("metrics.{method}"), &argument).error();
        let expected = format!("metrics_plugin_{}: {text}", method.to_lowercase());
        assert_eq!(error, Some(expected), "{method} {argument}");
    }
    let unknown = rpc.call("metrics.Nope", &json!(1));
    assert_eq!(unknown.error().unwrap(), "rpc: can't find method metrics.Nope");
    let msgpack = rpc.exchange(
        "metrics.Add",
        flag::MSGPACK,
        b"\x83\xa4Name\xa6orders\xa5value\x01\xa6labels\x91\xa2fr",
    );
    assert_eq!((msgpack.flags, &*msgpack.body), (flag::MSGPACK, &b"\xc3"[..]));

    let text = page.get("/").text();
    assert_eq!(sample(&text, "shop_orders{country=\"fr\"}"), Some(3.5));
    assert_eq!(sample(&text, "load"), Some(3.0));
    assert_eq!(sample(&text, "times{quantile=\"0.5\"}"), Some(0.5));
    assert_eq!(rpc.call("metrics.Unregister", &json!("load")).text(), "true");
    assert_eq!(sample(&page.get("/").text(), "load"), None);
}

#[test]
fn php_counts_while_it_answers_requests() {
    let room = Room::new();
    let autoload = bin::repository().join("php/autoload.php");
    let script = format!(
        r"<?php
        require '{}';
        use Rr\Metrics\{{Collector, Metrics}};
        $metrics = Metrics::fromEnvironment();
        $metrics->declare('visits_total', Collector::counter('Visits.', labels: ['page']));
        $metrics->declare('size', Collector::histogram(buckets: [10, 100]));
        $metrics->declare('wait', Collector::summary(objectives: ['0.5' => 0.05]));
        $metrics->declare('open', Collector::gauge());
        Rr\Http\HttpWorker::fromEnvironment()->serve(function (Rr\Http\Request $request) use ($metrics) {{
            try {{
                $metrics->add('visits_total', labels: [$request->path()]);
                $metrics->observe('size', 50);
                $metrics->observe('wait', 1.5);
                $metrics->set('open', 5);
                $metrics->sub('open', 2);
                if ($request->path() === '/wrong') {{
                    $metrics->add('nobody');
                }}
                return Rr\Http\Response::text('fine');
            }} catch (Rr\Exception\RpcException $error) {{
                return Rr\Http\Response::text($error->getMessage());
            }}
        }});",
        autoload.display()
    );
    let path = room.write("worker.php", script);
    let (rpc, metrics) = (free_port(), free_port());
    let server = Server::http_in(
        room,
        json!({
            "server": {"command": ["php", path]},
            "rpc": {"listen": tcp(rpc)},
            "metrics": {"address": at(metrics)},
        }),
    );
    let page = Client::tcp(local(metrics));
    for _ in 0..10 {
        assert_eq!(server.client().get("/a").text(), "fine");
    }
    let wrong = server.client().get("/wrong").text();
    assert_eq!(
        wrong,
        "metrics_plugin_add: undefined collector nobody, try first Declare the desired collector"
    );
    let visits = |expected: f64| {
        let text = page.get("/").text();
        assert_eq!(sample(&text, "visits_total{page=\"/a\"}"), Some(expected), "{text}");
        text
    };
    let text = visits(10.0);
    assert_eq!(sample(&text, "size_bucket{le=\"100\"}"), Some(11.0));
    assert_eq!(sample(&text, "wait{quantile=\"0.5\"}"), Some(1.5));
    assert_eq!(sample(&text, "wait_sum"), Some(16.5));
    assert_eq!(sample(&text, "open"), Some(3.0));

    // What the application has counted is not rr-http's, so its death costs nothing; new workers declare again.
    process::kill_and_wait(server.plugin("rr-http"));
    eventually(SOON, || server.client().try_connect().is_ok());
    assert_eq!(server.client().get("/a").text(), "fine");
    visits(11.0);
}

#[test]
fn without_a_section_there_is_no_service() {
    let port = free_port();
    let _server = Server::http(json!({"rpc": {"listen": tcp(port)}}));
    let mut rpc = Rpc::tcp(local(port));
    let answer = rpc.call("metrics.Add", &json!({"name": "x", "value": 1}));
    assert_eq!(answer.error().unwrap(), "rpc: can't find service metrics.Add");
}
