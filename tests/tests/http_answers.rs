//! HTTP end to end: what reaches PHP, and what becomes of its answers (HTTP-11, 16 to 19, 21, 22).

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Version};
use rr_tests::{Server, eventually, wait::SOON};
use serde_json::{Value, json};
use std::{future::poll_fn, time::Duration};

fn request(method: Method, path: &str) -> Request<Bytes> {
    Request::builder().method(method).uri(path).body(Bytes::new()).unwrap()
}

// HTTP-11: literal expectations; the same requests were put to the reference by hand.
#[test]
fn what_php_sees_of_a_request() {
    let server = Server::http(json!({"http": {"http2": {"h2c": true}}}));
    let mut raw = server.raw();
    raw.send(concat!(
        "GET /dump?a=1&b%5B%5D=2 HTTP/1.1\r\nHost: example.test:81\r\nx-my_header: 1\r\nX-A: one\r\nx-a: two\r\n",
        "Cookie: c1=v%201; c2=a+b; c1=dup; bad=%zz\r\nConnection: close\r\n\r\n"
    ));
    let text = raw.read_to_end();
    let mut seen: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    seen.as_object_mut().unwrap().remove("pid");
    assert_eq!(
        seen,
        json!({
            "remote_addr": "127.0.0.1",
            "protocol": "HTTP/1.1",
            "method": "GET",
            "uri": "http://example.test:81/dump?a=1&b%5B%5D=2",
            "header": {
                "X-My_header": ["1"],
                "X-A": ["one", "two"],
                "Cookie": ["c1=v%201; c2=a+b; c1=dup; bad=%zz"],
                "Connection": ["close"],
            },
            "cookies": {"c1": ["dup"], "c2": ["a b"]},
            "raw_query": "a=1&b%5B%5D=2",
            "parsed": false,
            "uploads": null,
            "attributes": [],
            "body": "",
        })
    );
    // HTTP-07: HTTP/2 without TLS, on the same address.
    let two = server.client().http2().get("/dump?x=1").json();
    assert_eq!(two["protocol"], "HTTP/2.0");
    assert_eq!(two["uri"], format!("http://{}/dump?x=1", server.address()));
    assert!(two["header"].get("Host").is_none());
    // An absolute target is passed as it is; HTTP/1.0 needs no host.
    let mut raw = server.raw();
    raw.send("GET http://Other.Host/dump HTTP/1.0\r\n\r\n");
    let text = raw.read_to_end();
    assert!(
        text.contains(r#""uri":"http://Other.Host/dump""#) && text.contains(r#""protocol":"HTTP/1.0""#),
        "{text}"
    );
    assert!(server.stop().success());
}

// HTTP-01
#[test]
fn one_connection_many_requests() {
    let server = Server::http(json!({"http": {"pool": {"num_workers": 1}}}));
    let mut connection = server.client().connect();
    for i in 0..20 {
        assert_eq!(connection.get(&format!("/echo?body={i}")).text(), i.to_string());
    }
    // Pipelined requests are answered in order.
    let mut raw = server.raw();
    let one = |i: u32| format!("GET /echo?body=%3C{i}%3E HTTP/1.1\r\nHost: h\r\n\r\n");
    raw.send((0..20).map(one).collect::<String>());
    let text = raw.read_until("<19>");
    let order: Vec<_> = (0..20).map(|i| text.find(&format!("<{i}>")).unwrap()).collect();
    assert!(order.is_sorted(), "{text}");
    // HTTP/1.0 ends the connection unless it is asked to stay.
    let mut raw = server.raw();
    raw.send("GET /hello HTTP/1.0\r\nHost: h\r\n\r\n");
    assert!(raw.read_to_end().ends_with("hello"));
}

// HTTP-16
#[test]
fn heads_of_answers() {
    let server = Server::http(json!({}));
    let client = server.client();
    let hello = client.get("/hello");
    assert_eq!(
        (hello.status, hello.text().as_str(), hello.header("content-length")),
        (200, "hello", "5")
    );
    assert_eq!(hello.header("content-type"), "text/plain; charset=utf-8");
    assert!(hello.headers.contains_key("date") && !hello.headers.contains_key("server"));
    let head = client.send(request(Method::HEAD, "/hello"));
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, "5", 0)
    );
    for status in [204, 304] {
        let reply = client.get(&format!("/status?code={status}"));
        assert_eq!(
            (reply.status, reply.body.len(), reply.header("content-length")),
            (status, 0, "")
        );
    }
    for status in [200, 201, 404, 418, 500, 599] {
        let reply = client.get(&format!("/status?code={status}"));
        assert_eq!((reply.status, reply.text().as_str()), (status, "status"));
    }
    for status in [0, 99, 600, 999] {
        let reply = client.get(&format!("/status?code={status}"));
        assert_eq!(
            (reply.status, reply.text()),
            (500, format!("unknown status code from worker: {status}\n"))
        );
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    }
    let empty = client.get("/empty");
    assert_eq!((empty.status, empty.header("content-length")), (200, "0"));
    let implicit = client.get("/implicit");
    assert_eq!((implicit.status, implicit.text().as_str()), (200, "implicit"));
    // A length that does not fit would desynchronise the connection.
    let wrong = client.get("/header?Content-Length=99&Transfer-Encoding=gzip");
    assert_eq!(
        (wrong.header("content-length"), wrong.text().as_str()),
        ("7", "headers")
    );
    assert!(!wrong.headers.contains_key("transfer-encoding"));
    // What HTTP cannot carry is left out.
    let cut = client.get("/header?X-Good=1&X-Split=a%0d%0aInjected:%201");
    assert_eq!(
        (cut.header("x-good"), cut.headers.contains_key("x-split")),
        ("1", false)
    );
    assert!(!cut.headers.contains_key("injected"));
    server.wait_log("invalid names or values");
    // HTTP/1.1 names are written as the reference writes them.
    let mut raw = server.raw();
    raw.send("GET /header?x-some_thing=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(raw.read_to_end().contains("\r\nX-Some_thing: 1\r\n"));
}

// HTTP-16: bodies of all sizes, both protocols
#[test]
fn bodies_of_all_sizes() {
    let server = Server::http(json!({"http": {"http2": {"h2c": true}}}));
    for client in [server.client(), server.client().http2()] {
        for size in [1, 16_383, 16_384, 1_000_000, 5_000_000] {
            let reply = client.get(&format!("/body?size={size}"));
            assert_eq!(
                (reply.body.len(), reply.header("content-length")),
                (size, size.to_string().as_str())
            );
        }
        for size in [1, 70_000, 3_000_000] {
            let body = Bytes::from(vec![b'z'; size]);
            assert_eq!(
                client.post("/echo", "application/octet-stream", body.clone()).body,
                body
            );
        }
        assert_eq!(
            client
                .send(request(Method::HEAD, "/body?size=1000000"))
                .header("content-length"),
            "1000000"
        );
    }
}

// HTTP-16, HTTP-19: what is no HTTP answer is an internal error, with a reason in the log.
#[test]
fn answers_that_are_none() {
    let server = Server::http(json!({"http": {"internal_error_code": 555, "pool": {"num_workers": 1}}}));
    let client = server.client();
    for path in [
        "/codec?flags=8",
        "/codec?flags=4",
        "/context?hex=ff",
        "/error?text=boom",
    ] {
        let reply = client.get(path);
        assert_eq!((reply.status, reply.body.len()), (555, 0), "{path}");
    }
    for text in [
        "JSON codec is not supported",
        "unknown payload type: 4",
        "invalid wire-format",
        "SoftJobError: boom",
    ] {
        server.wait_log(text);
    }
    assert_eq!(client.get("/hello").text(), "hello");
}

// HTTP-19
#[test]
fn debug_shows_the_reason() {
    let server = Server::http(json!({"http": {"pool": {"debug": true}}}));
    let reply = server.client().get("/error?text=boom");
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("SoftJobError: boom"), "{}", reply.text());
}

// HTTP-19, HTTP-22: each failure ends as a status, and the next request is served.
#[test]
fn crashes_cost_one_request() {
    let server = Server::http(json!({"http": {"pool": {"num_workers": 1}}}));
    let client = server.client();
    for path in ["/crash", "/exit?code=0", "/half"] {
        let reply = client.get(path);
        assert_eq!((reply.status, reply.body.len()), (500, 0), "{path}");
        assert_eq!(client.get("/hello").text(), "hello");
    }
}

// HTTP-19: the opt-in status of an overload
#[test]
fn no_free_worker_has_a_status_of_its_own() {
    let pool = json!({"num_workers": 1, "allocate_timeout": "1s"});
    let server = Server::http(json!({"http": {"no_workers_code": 503, "pool": pool}}));
    let client = server.client();
    std::thread::scope(|scope| {
        scope.spawn(|| client.get("/sleep?ms=4000"));
        eventually(SOON, || client.get("/hello").status == 503);
    });
    server.wait_log("NoFreeWorkers");
}

// HTTP-17
#[test]
fn streams_arrive_piece_by_piece() {
    let server = Server::http(json!({"http": {"http2": {"h2c": true}}}));
    for client in [server.client(), server.client().http2()] {
        let reply = client.get("/stream?n=12");
        assert_eq!(reply.text(), (0..12).map(|i| format!("{i}|")).collect::<String>());
        assert_eq!(
            (reply.header("x-streamed"), reply.header("content-length")),
            ("yes", "")
        );
        // The window is smaller than the whole: PHP waits for the client.
        assert_eq!(client.get("/stream?n=200&size=50000&ping=0").body.len(), 10_000_000);
    }
    // The first piece does not wait for the last.
    let mut raw = server.raw();
    raw.send("GET /stream?n=3&ms=300000 HTTP/1.1\r\nHost: h\r\n\r\n");
    raw.read_until("0|");
}

// HTTP-17: the client goes, PHP is told, the worker serves on.
#[test]
fn a_stream_without_a_client_stops() {
    let server = Server::http(json!({"http": {"http2": {"h2c": true}, "pool": {"num_workers": 1}}}));
    let pid = server.client().get("/pid").text();
    let mut raw = server.raw();
    raw.send("GET /stream?n=100000&ms=1&ping=0 HTTP/1.1\r\nHost: h\r\n\r\n");
    raw.read_until("5|");
    drop(raw);
    server.wait_log("stream stopped after");
    assert_eq!(server.client().get("/pid").text(), pid);
}

// HTTP-17: a broken stream must not look like a whole one.
#[test]
fn a_broken_stream_breaks_the_connection() {
    let server = Server::http(json!({"http": {"pool": {"num_workers": 1}}}));
    let worker = server.workers()[0];
    let mut raw = server.raw();
    raw.send("GET /stream?n=3&ms=300000 HTTP/1.1\r\nHost: h\r\n\r\n");
    raw.read_until("0|");
    rr_tests::process::signal(worker, nix::sys::signal::Signal::SIGKILL);
    let text = raw.read_to_end();
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    server.wait_log("read stream");
    assert_eq!(server.client().get("/hello").text(), "hello");
}

// HTTP-18
#[test]
fn early_hints_come_before_the_answer() {
    let server = Server::http(json!({"http": {"http2": {"h2c": true}}}));
    for client in [server.client(), server.client().http2()] {
        let reply = client.get("/hints");
        assert_eq!(
            (reply.status, reply.text().as_str(), reply.header("x-final")),
            (200, "hinted", "yes")
        );
        // As in the reference they stay for the final answer.
        assert_eq!(reply.header("link"), "</a.css>; rel=preload");
    }
    let seen = &server.client().get("/hints").informational;
    assert_eq!(
        (seen.len(), seen[0].0.as_u16(), &seen[0].1["link"]),
        (1, 103, &HeaderValue::from_static("</a.css>; rel=preload"))
    );
    assert_eq!(http2_hints(&server), ["</a.css>; rel=preload"]);
    // A client of HTTP/1.0 does not know them; pipelined answers do not mix with them.
    let mut raw = server.raw();
    raw.send("GET /hints HTTP/1.0\r\nHost: h\r\n\r\n");
    assert!(raw.read_to_end().starts_with("HTTP/1.0 200 OK"));
    let mut raw = server.raw();
    raw.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\nGET /hints HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let text = raw.read_to_end();
    let at = |what: &str| text.find(what).unwrap();
    assert!(
        at("hello") < at("HTTP/1.1 103") && at("HTTP/1.1 103") < at("hinted"),
        "{text}"
    );
}

/// The `Link` headers of the interim answers to `/hints` by HTTP/2, which hyper's client does not show.
fn http2_hints(server: &Server) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("http://{}/hints", server.address()))
            .body(())
            .unwrap();
        let (mut answer, _) = client.send_request(request, true).unwrap();
        let mut links = Vec::new();
        while let Some(Ok(interim)) = poll_fn(|cx| answer.poll_informational(cx)).await {
            assert_eq!(interim.status(), 103);
            links.push(interim.headers()["link"].to_str().unwrap().to_owned());
        }
        assert_eq!(answer.await.unwrap().status(), 200);
        links
    })
}

// HTTP-16
#[test]
fn trailers_follow_the_body() {
    let server = Server::http(json!({"http": {"http2": {"h2c": true}}}));
    let with = |te: &str| {
        let mut request = request(Method::GET, "/trailers");
        request.headers_mut().insert("te", te.parse().unwrap());
        request
    };
    for client in [server.client(), server.client().http2()] {
        let reply = client.send(with("trailers"));
        assert_eq!(
            (reply.text().as_str(), reply.trailers["x-sum"].to_str().unwrap()),
            ("part", "42")
        );
        assert!(!reply.headers.contains_key("x-sum"));
    }
    // HTTP/1.1 clients get them only if they say that they take them.
    let reply = server.client().get("/trailers");
    assert_eq!(
        (reply.text().as_str(), reply.trailers.len(), reply.version),
        ("part", 0, Version::HTTP_11)
    );
}

// HTTP-21
#[test]
fn the_request_log() {
    let server = Server::http(json!({}));
    server.client().get("/echo?body=12345");
    let line = |message: &str| {
        server
            .log_json()
            .into_iter()
            .find(|line| line["msg"] == message && line["URI"] == "/echo?body=12345")
    };
    eventually(SOON, || line("http log").is_some());
    let line = line("http log").unwrap();
    assert_eq!((&line["level"], &line["logger"]), (&json!("info"), &json!("http")));
    let names: Vec<_> = line.as_object().unwrap().keys().cloned().collect();
    let mut expected = [
        "level",
        "ts",
        "logger",
        "msg",
        "status",
        "method",
        "URI",
        "URL",
        "remote_address",
        "read_bytes",
        "write_bytes",
        "start",
        "elapsed",
    ];
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(
        (&line["status"], &line["write_bytes"], &line["URL"]),
        (&json!(200), &json!(5), &json!("/echo?body=12345"))
    );
    assert!(line["elapsed"].is_i64() && line["remote_address"].as_str().unwrap().starts_with("127.0.0.1:"));
}

// HTTP-21
#[test]
fn the_access_log() {
    let server = Server::http(json!({"http": {"access_logs": true}}));
    let mut sent = Request::post("/echo?q=1")
        .header("user-agent", "me/1")
        .header("referer", "/from");
    sent.headers_mut()
        .unwrap()
        .insert("content-type", "text/plain".parse().unwrap());
    server.client().send(sent.body("1234567".into()).unwrap());
    let line = || {
        server
            .log_json()
            .into_iter()
            .find(|line| line["msg"] == "http access log")
    };
    eventually(SOON, || line().is_some());
    let line = line().unwrap();
    for (name, value) in [
        ("read_bytes", json!(7)),
        ("write_bytes", json!(7)),
        ("status", json!(200)),
        ("method", json!("POST")),
        ("query", json!("q=1")),
        ("content_len", json!(7)),
        ("host", json!(server.address().to_string())),
        ("user_agent", json!("me/1")),
        ("referer", json!("/from")),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    for name in ["time_local", "request_time", "start", "elapsed"] {
        assert!(line.get(name).is_some(), "{name}");
    }
}

// HTTP-01: what runs is finished before the end, idle connections are closed.
#[test]
fn a_stop_lets_requests_finish() {
    let server = Server::http(json!({}));
    let mut idle = server.raw();
    idle.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    idle.read_until("hello");
    let mut running = server.raw();
    running.send("GET /sleep?ms=1500 HTTP/1.1\r\nHost: h\r\n\r\n");
    // Connections are accepted in order: when a later one is answered, that one is running.
    assert_eq!(server.client().get("/hello").text(), "hello");
    assert!(server.stop().success());
    assert!(running.read_to_end().ends_with("slept"));
    assert!(idle.closes_within(Duration::from_secs(5)));
}
