//! The examples run as they stand: their own `.rr.yaml`, only the port is changed.

#![allow(clippy::unwrap_used)]

use rr_tests::{
    Client, Room,
    examples::serve,
    port::{free_port, local},
};

#[test]
fn hello() {
    let server = serve(Room::new(), "hello", &[]);
    let mut connection = server.client().connect();
    let replies: Vec<_> = (0..20).map(|_| connection.get("/").text()).collect();
    assert!(replies[0].starts_with("Hello from process "), "{}", replies[0]);
    // Two workers share twenty requests, so one of them has had ten at least.
    let most = replies
        .iter()
        .filter_map(|r| r.split("number ").nth(1)?.trim_end_matches(".\n").parse().ok());
    assert!(most.max() >= Some(10_u32), "{replies:?}");

    assert_eq!(connection.get("/echo?a=1").json()["query"]["a"], "1");
    assert_eq!(connection.get("/stream").text(), "5\n4\n3\n2\n1\ndone\n");
    assert_eq!(connection.get("/nowhere").status, 404);
    assert_eq!(server.client().get("/fail").status, 500);
    server.wait_log("This goes to the log");
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn classic() {
    let server = serve(Room::new(), "classic", &[]);
    let client = server.client();
    let form = "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nAda\r\n\
                --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.txt\"\r\n\r\nbytes\r\n--b--\r\n";
    // Each of the two processes has a guestbook of its own: sign until both have an entry.
    for _ in 0..20 {
        let reply = client.post("/sign", "multipart/form-data; boundary=b", form);
        assert_eq!((reply.status, reply.header("location")), (303, "/"));
        assert!(reply.header("set-cookie").starts_with("name=Ada; path=/"));
    }
    let signed = (0..20).filter(|_| client.get("/").text().contains("<li>Ada, with a file of 5 bytes</li>"));
    assert!(signed.count() > 0, "{}", server.log());
    assert!(client.get("/bye").text().starts_with("exit() works"));
    assert_eq!(client.get("/nowhere").status, 404);
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn state() {
    let room = Room::new();
    let (metrics, status) = (free_port(), free_port());
    let overrides = [
        format!("metrics.address=127.0.0.1:{metrics}"),
        format!("status.address=127.0.0.1:{status}"),
        format!("rpc.listen=unix://{}?mode=0600", room.file("state.sock").display()),
        format!("kv.total.config.file={}", room.file("total.redb").display()),
    ];
    let server = serve(room, "state", &overrides);
    let client = server.client();
    let visits: Vec<_> = (0..6).map(|_| client.get("/").json()).collect();
    assert_eq!(visits[5]["visits_since_the_start"], 6, "{}", server.log());
    assert_eq!(visits[5]["visits_ever"], 6);

    let answers = std::thread::scope(|scope| {
        let one = || client.get("/exclusive").text();
        let all: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        let mut answers: Vec<_> = all.into_iter().map(|answer| answer.join().unwrap()).collect();
        answers.sort();
        answers.dedup();
        answers
    });
    // Each has had the lock, under a number of its own.
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert!(
        answers.iter().all(|answer| answer.starts_with("Done, as number ")),
        "{answers:?}"
    );
    server.wait_log("the report is written");

    let services = client.get("/services").json();
    assert_eq!(services["clock"][0]["running"], true, "{services}");
    server.wait_log("It is ");

    let endpoint = |port| Client::tcp(local(port));
    let page = endpoint(metrics).get("/metrics").text();
    let counted = page.lines().filter(|line| line.starts_with("visits{"));
    let counted: f64 = counted
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(counted, 6.0, "{page}");
    assert_eq!(endpoint(status).get("/health").status, 200);
    assert!(server.stop().success(), "{}", server.log());
}
