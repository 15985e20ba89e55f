//! What fails is a status, a reason in the log, and one request.

use rr_tests::{Server, eventually, wait::SOON};
use serde_json::json;

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
