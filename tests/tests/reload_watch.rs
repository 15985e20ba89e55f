//! A changed configuration takes effect for the files that are watched: the watching begins, follows other rules, and ends.
#![allow(clippy::unwrap_used)]

use rr_tests::{
    Room, eventually,
    load::Load,
    process, project,
    reload::{Place, action},
    server::merge,
    wait::SOON,
};
use serde_json::{Value, json};

/// A project whose worker answers what `src/app.php` returns.
#[track_caller]
fn start(arguments: &[&str], settings: Value) -> Place {
    let room = Room::new();
    let mut all = project::write(&room);
    merge(&mut all, settings);
    Place::run(room, ".rr.yaml", arguments, all)
}

/// Saves the project's code; the next request runs it, if anybody watches.
fn save(place: &Place, text: &str) {
    project::save(place.server.room(), "src/app.php", &format!("return '{text}';"));
}

/// `up --watch` watches what no section names; a section takes its plugins over.
#[test]
fn a_project_that_is_watched_follows_its_configuration() {
    let mut place = start(&["up", "--watch"], json!({}));
    save(&place, "second");
    assert_eq!(place.get("/"), "second");
    place.server.wait_log("src/app.php changed");
    let http = place.server.plugin("rr-http");
    place.server.room().write("lib/a.php", "<?php");
    place.server.wait_log("lib/a.php changed");
    place.change(json!({"reload": {"services": {"http": {"dirs": ["lib"]}}}}));
    assert_eq!(action(&place.reload(), "http"), "unchanged");
    let workers = place.server.workers();
    save(&place, "third");
    assert_eq!((place.get("/"), place.server.workers()), ("second".to_owned(), workers));
    place.server.room().write("lib/b.php", "<?php");
    place.server.wait_log("lib/b.php changed");
    eventually(SOON, || place.get("/") == "third");
    place.change(json!({"reload": null}));
    place.reload();
    save(&place, "fourth");
    assert_eq!(place.get("/"), "fourth");
    assert_eq!(place.server.plugin("rr-http"), http);
    assert!(place.server.stop().success());
}

#[test]
fn watching_begins_changes_and_ends() {
    let mut place = start(&["serve"], json!({}));
    let load = Load::start(place.server.address(), 1, "/");
    let first = place.server.plugin("rr-http");
    save(&place, "nobody saw it");
    assert_eq!(place.get("/"), "first");

    place.change(json!({"reload": {"services": {"http": {"dirs": ["src"], "patterns": [".php"]}}}}));
    let answer = place.reload();
    assert_eq!(
        (action(&answer, "http"), &answer["settings"][0]),
        ("replaced", &json!("reload"))
    );
    eventually(SOON, || !process::alive(first));
    let http = place.server.plugin("rr-http");
    for round in 0..20 {
        save(&place, &format!("round {round}"));
        // At once: requests wait for it.
        assert_eq!(place.get("/"), format!("round {round}"), "{}", place.server.log());
    }

    // Other rules concern no process: each knows already what its requests wait for.
    place.change(json!({"reload": {"services": {"http": {"ignore": ["src/data.php"]}}}}));
    assert_eq!(action(&place.reload(), "http"), "unchanged");
    place.server.room().write("src/data.php", "<?php");
    save(&place, "seen");
    assert_eq!(place.get("/"), "seen", "{}", place.server.log());
    place.server.wait_log("src/app.php changed");
    assert!(!place.server.log().contains("data.php"), "{}", place.server.log());
    place.server.room().write("lib/a.txt", "");
    place.change(json!({"reload": {"services": {"http": {"dirs": ["lib"], "patterns": [".txt"]}}}}));
    assert_eq!(action(&place.reload(), "http"), "unchanged");
    let workers = place.server.workers();
    save(&place, "unseen");
    assert_eq!((place.get("/"), place.server.workers()), ("seen".to_owned(), workers));
    place.server.room().write("lib/a.txt", "changed");
    place.server.wait_log("lib/a.txt changed");
    eventually(SOON, || place.get("/") == "unseen");
    assert_eq!(place.server.plugin("rr-http"), http);

    place.change(json!({"reload": null}));
    assert_eq!(action(&place.reload(), "http"), "unchanged");
    let workers = place.server.workers();
    save(&place, "unseen again");
    place.server.room().write("lib/a.txt", "changed again");
    assert_eq!((place.get("/"), place.server.workers()), ("unseen".to_owned(), workers));
    load.stop_unharmed(&place.server);
    assert!(place.server.stop().success());
}
