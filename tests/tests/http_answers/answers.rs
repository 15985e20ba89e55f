//! What clients get: heads, bodies, early hints, trailers.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Version};
use rr_tests::Server;
use serde_json::json;
use std::future::poll_fn;

fn request(method: Method, path: &str) -> Request<Bytes> {
    Request::builder().method(method).uri(path).body(Bytes::new()).unwrap()
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
