//! The PHP library: its own tests, and its workers behind the real server (SDK side of HTTP-01, HTTP-11, POOL-04).

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::Request;
use nix::sys::signal::Signal;
use rr_tests::port::{free_port, tcp};
use rr_tests::wait::SOON;
use rr_tests::{Room, Server, bin, eventually, process};
use serde_json::{Value, json};
use std::process::Command;

/// A server with one worker that runs this script, which is written into its room, with our library loaded.
fn serve(script: &str) -> Server {
    let room = Room::new();
    let autoload = bin::repository().join("php/autoload.php");
    let source = format!("<?php require '{}';\n{script}", autoload.display());
    let path = room.write("worker.php", source);
    with_command(room, json!(["php", path]))
}

/// A server with one worker for this plain script.
fn serve_classic(script: &str, options: &[&str]) -> Server {
    let room = Room::new();
    let path = room.write("public/index.php", format!("<?php\n{script}"));
    room.write("public/counter.php", "<?php class Counter { static int $n = 0; }");
    let runner = bin::repository().join("php/bin/rr-classic");
    let mut command = vec![json!("php"), json!(runner)];
    command.extend(options.iter().map(|o| json!(o)));
    command.push(json!(path));
    with_command(room, Value::Array(command))
}

fn with_command(room: Room, command: Value) -> Server {
    let settings = json!({"server": {"command": command}, "http": {"pool": {"num_workers": 1}}});
    Server::http_in(room, settings)
}

#[test]
fn the_librarys_own_tests_pass() {
    let script = bin::repository().join("php/tests/run.php");
    let output = Command::new("php").arg(script).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains(" 0 failures"), "{text}");
}

#[test]
fn a_worker_loop_answers_and_is_never_rebooted() {
    let server = serve(
        r"
        $count = 0;
        Rr\Http\HttpWorker::fromEnvironment()->serve(function (Rr\Http\Request $request) use (&$count) {
            return Rr\Http\Response::json([
                'count' => ++$count, 'pid' => getmypid(), 'method' => $request->method, 'path' => $request->path(),
                'query' => $request->query(), 'form' => $request->form(), 'cookies' => $request->cookies,
                'header' => $request->header('x-mine'), 'body' => $request->body, 'host' => $request->host(),
            ]);
        });",
    );
    let mut connection = server.client().connect();
    let first = connection.get("/a%20b?x[]=1").json();
    assert_eq!(first["path"], "/a%20b");
    assert_eq!(first["query"], json!({"x": ["1"]}));
    assert_eq!(first["host"], server.address().to_string());
    let request = Request::put("/put").header("x-mine", "yes").header("cookie", "a=b+c");
    let second = connection
        .send(request.body(Bytes::from_static(b"bytes")).unwrap())
        .json();
    assert_eq!(second["header"], "yes");
    assert_eq!(second["cookies"], json!({"a": "b c"}));
    assert_eq!(second["body"], "bytes");
    let form = "application/x-www-form-urlencoded";
    let third = server.client().post("/", form, "k[z]=v").json();
    assert_eq!(third["form"], json!({"k": {"z": "v"}}));
    assert_eq!([&first["count"], &second["count"], &third["count"]], [1, 2, 3]);
    assert_eq!(first["pid"], third["pid"]);
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn what_is_printed_is_seen_in_the_log_and_not_on_the_wire() {
    let server = serve(
        r"
        Rr\Http\HttpWorker::fromEnvironment()->serve(function () {
            echo 'a stray echo';
            echo $undefined;
            return 'fine';
        });",
    );
    let mut connection = server.client().connect();
    for _ in 0..3 {
        assert_eq!(connection.get("/").text(), "fine");
    }
    server.wait_log("a stray echo");
    server.wait_log("Undefined variable $undefined");
}

#[test]
fn streams_hints_and_trailers() {
    let server = serve(
        r"
        use Rr\Http\{HttpWorker, Request, Response};
        $worker = HttpWorker::fromEnvironment();
        $worker->serve(function (Request $request) use ($worker) {
            return match ($request->path()) {
                '/numbers' => new Response(200, (function () {
                    for ($i = 0; $i < 50; $i++) {
                        yield $i . ',';
                    }
                })(), [], ['X-Sum' => '1225']),
                '/hints' => [$worker->earlyHints(['Link' => '</a.css>'])] ? new Response(200, 'hinted') : null,
                '/endless' => new Response(200, (function () {
                    try {
                        for (;;) {
                            yield str_repeat('x', 1000);
                            usleep(1000);
                        }
                    } finally {
                        error_log('the generator was stopped');
                    }
                })()),
                '/broken' => new Response(200, (function () {
                    yield 'begun';
                    throw new RuntimeException('broken off');
                })()),
                '/pid' => (string) getmypid(),
            };
        });",
    );
    let client = server.client();
    let pid = client.get("/pid").text();

    let request = Request::get("/numbers").header("te", "trailers");
    let numbers = client.send(request.body(Bytes::new()).unwrap());
    assert_eq!(numbers.text().matches(',').count(), 50);
    assert_eq!(numbers.trailers.get("x-sum").unwrap(), "1225");

    let hints = client.get("/hints");
    assert_eq!((hints.status, hints.text().as_str()), (200, "hinted"));
    assert_eq!(hints.informational[0].0, 103);

    let mut raw = server.raw();
    raw.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
    raw.read_until("xxxx");
    drop(raw);
    server.wait_log("the generator was stopped");

    let broken = Request::get("/broken").body(Bytes::new()).unwrap();
    assert!(
        client.try_send(broken).is_err(),
        "a broken stream must not look complete"
    );
    server.wait_log("broken off");
    assert_eq!(client.get("/pid").text(), pid, "the worker survived all of this");
}

#[test]
fn exit_within_a_request_loses_only_this_request() {
    let server = serve(
        r"
        Rr\Http\HttpWorker::fromEnvironment()->serve(
            fn ($request) => $request->path() === '/exit' ? exit(3) : (string) getmypid(),
        );",
    );
    let client = server.client();
    let mut pid = client.get("/").text();
    for _ in 0..3 {
        assert_eq!(client.get("/exit").status, 500);
        let next = client.get("/");
        assert_eq!(next.status, 200);
        assert_ne!(std::mem::replace(&mut pid, next.text()), next.text());
    }
    server.wait_log("exit() was called");
}

#[test]
fn a_plain_script_runs_resident() {
    let server = serve_classic(
        r"
        require_once __DIR__ . '/counter.php';
        switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
            case '/count': echo ++Counter::$n, ' ', getmypid(); break;
            case '/form': setcookie('c', 'v'); echo json_encode([$_GET, $_POST, $_COOKIE, count($_FILES)]); break;
            case '/upload': $to = __DIR__ . '/moved'; move_uploaded_file($_FILES['f']['tmp_name'], $to); readfile($to); break;
            case '/json': echo file_get_contents('php://input'); break;
            case '/session': session_start(); echo $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; break;
            case '/warn': echo 'shown', $undefined; break;
            case '/throw': throw new Exception('nobody catches me');
        }",
        &[],
    );
    let client = server.client();
    let pid = server.workers()[0];
    for n in 1..=3 {
        assert_eq!(client.get("/count").text(), format!("{n} {pid}"));
    }
    let request = Request::post("/form?q=1")
        .header("cookie", "a=1")
        .header("content-type", "application/x-www-form-urlencoded");
    let reply = client.send(request.body(Bytes::from_static(b"p[]=x")).unwrap());
    assert_eq!(reply.json(), json!([{"q": "1"}, {"p": ["x"]}, {"a": "1"}, 0]));
    assert_eq!(reply.header("set-cookie"), "c=v");

    let part = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n.txt\"\r\n\r\ncontent\r\n--b--\r\n";
    let reply = client.post("/upload", "multipart/form-data; boundary=b", part);
    assert_eq!(reply.text(), "content");
    assert_eq!(
        client.post("/json", "application/json", "{\"j\":1}").text(),
        "{\"j\":1}"
    );

    let reply = client.get("/session");
    let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("PHPSESSID="), "{reply:?}");
    let again = Request::get("/session").header("cookie", cookie);
    assert_eq!(client.send(again.body(Bytes::new()).unwrap()).text(), "2");

    assert_eq!(client.get("/throw").status, 500);
    server.wait_log("nobody catches me");
    assert!(client.get("/warn").text().starts_with("shown"));
    server.wait_log("Undefined variable $undefined");
    assert_eq!(
        client.get("/count").text(),
        format!("4 {pid}"),
        "one process did all this"
    );
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn exit_in_a_plain_script_completes_its_answer_and_no_request_is_lost() {
    let server = serve_classic("http_response_code(418); echo getmypid(); exit;", &[]);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let client = server.client();
            std::thread::spawn(move || (0..3).map(|_| client.get("/")).collect::<Vec<_>>())
        })
        .collect();
    let replies: Vec<_> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
    let mut pids: Vec<_> = replies.iter().map(|reply| reply.text()).collect();
    assert!(replies.iter().all(|reply| reply.status == 418), "{}", server.log());
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), 12, "each exit() costs one process");
}

#[test]
fn a_fresh_process_for_each_request_if_wanted() {
    let script = "require_once __DIR__ . '/counter.php'; function once() {} echo ++Counter::$n;";
    for options in [&["--fresh"][..], &[]] {
        let server = serve_classic(script, options);
        for _ in 0..3 {
            assert_eq!(server.client().get("/").text(), "1");
        }
    }
}

#[test]
fn sockets_as_relay() {
    let room = Room::new();
    let unix = format!("unix://{}", room.file("relay.sock").display());
    for relay in [unix, tcp(free_port())] {
        let room = Room::new();
        let autoload = bin::repository().join("php/autoload.php");
        let source = "echo 'printed'; return Rr\\Http\\Response::text(strrev($request->body));";
        let source = format!(
            "<?php require '{}'; Rr\\Http\\HttpWorker::fromEnvironment()->serve(function ($request) {{ {source} }});",
            autoload.display()
        );
        let command = json!(["php", room.write("worker.php", source)]);
        let settings = json!({"server": {"command": command, "relay": relay}});
        let server = Server::http_in(room, settings);
        let large = "abc".repeat(100_000);
        for _ in 0..3 {
            let reply = server.client().post("/", "text/plain", large.clone());
            assert_eq!(reply.text(), "cba".repeat(100_000));
        }
        server.wait_log("printed");
        assert!(server.stop().success(), "{}", server.log());
    }
}

#[test]
fn workers_end_with_their_server() {
    let server = serve(r"Rr\Http\HttpWorker::fromEnvironment()->serve(fn () => 'x');");
    let workers = server.workers();
    assert_eq!(workers.len(), 1);
    process::signal(workers[0], Signal::SIGKILL);
    eventually(SOON, || {
        let now = server.workers();
        now.len() == 1 && now != workers
    });
    assert_eq!(server.client().get("/").text(), "x");
    assert!(server.stop().success(), "{}", server.log());
}
