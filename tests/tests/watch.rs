//! Development: a file is saved, and the next request runs the new code.

#![allow(clippy::unwrap_used)]

use rr_tests::server::http_config;
use rr_tests::wait::SOON;
use rr_tests::{
    Room, Server, eventually,
    operator::{command, refused, upgrade_self},
    port::free_port,
    process,
    project::save,
    rounds,
};
use serde_json::{Value, json};

/// A project whose worker answers what `src/app.php` returns; with the verb and flags that start its server.
fn project(arguments: &[&str], settings: Value) -> Server {
    let server = launch("return 'first';", arguments, settings);
    server.wait_ready();
    server
}

/// The same with this code in `src/app.php`; waits for nothing.
fn launch(code: &str, arguments: &[&str], settings: Value) -> Server {
    let room = Room::new();
    let mut over = rr_tests::project::write(&room);
    save(&room, "src/app.php", code);
    rr_tests::server::merge(&mut over, settings);
    let port = free_port();
    let config = room.write(".rr.yaml", http_config(port, over).to_string());
    Server::run(room, port, command(arguments, &config))
}

/// Saves it in place.
fn overwrite(room: &Room, name: &str, code: &str) {
    room.write(name, format!("<?php {code}\n"));
}

fn answer(server: &Server) -> String {
    server.client().get("/").text()
}

#[test]
fn a_request_after_a_save_runs_the_new_code() {
    let server = project(&["up", "--watch"], json!({}));
    let mut connection = server.client().connect();
    assert_eq!(connection.get("/").text(), "first");
    for round in 0..rounds(20) {
        let text = format!("round {round}");
        let code = format!("return '{text}';");
        match round % 2 {
            0 => save(server.room(), "src/app.php", &code),
            _ => overwrite(server.room(), "src/app.php", &code),
        }
        // At once, and whichever worker it is.
        for _ in 0..5 {
            assert_eq!(connection.get("/").text(), text, "{}", server.log());
        }
    }
    server.wait_log("src/app.php changed, http: 2 workers renewed in ");
    assert!(server.stop().success());
}

#[test]
fn a_syntax_error_is_shown_and_repaired_at_once() {
    let server = project(&["up", "--watch"], json!({}));
    assert_eq!(answer(&server), "first");
    for round in 0..3 {
        save(server.room(), "src/app.php", "return 'x' oops;");
        eventually(SOON, || server.client().get("/").status == 500);
        let shown = answer(&server);
        assert!(
            shown.contains("unexpected identifier \"oops\"") && shown.contains("src/app.php"),
            "{shown}"
        );
        server.wait_log("src/app.php changed, http: the new workers do not start");
        save(server.room(), "src/app.php", &format!("return 'repaired {round}';"));
        eventually(SOON, || answer(&server) == format!("repaired {round}"));
        eventually(SOON, || server.workers().len() == 2);
    }
    // The plugin was never restarted.
    assert_eq!(process::named(server.pid(), "rr-http").len(), 1);
    assert!(!server.log().contains("EventPlugin"), "{}", server.log());
    assert!(server.stop().success());
}

/// Code that is broken before the server has started is told and waited for, as if it had broken later; also by a plugin that is
/// restarted meanwhile.
#[test]
fn code_that_is_broken_at_the_very_first_start_is_waited_for() {
    let server = launch("return 'x' oops;", &["up", "--watch"], json!({}));
    server.wait_ready();
    server.wait_log("the workers do not start");
    server.wait_log("server 2025.1.15 is up");
    let told = |shown: &str| shown.contains("unexpected identifier \"oops\"") && shown.contains("src/app.php");
    for round in 0..2 {
        let reply = server.client().get("/");
        assert_eq!(reply.status, 500);
        assert!(told(&reply.text()), "{}", reply.text());
        assert!(told(&server.log()), "{}", server.log());
        assert!(server.workers().is_empty());

        save(server.room(), "src/app.php", &format!("return 'repaired {round}';"));
        assert_eq!(answer(&server), format!("repaired {round}"));
        eventually(SOON, || server.workers().len() == 2);
        // A later change would overtake this one's line.
        let line = "src/app.php changed, http: 2 workers renewed in ";
        eventually(SOON, || server.log().matches(line).count() == round + 1);
        save(server.room(), "src/app.php", "return 'x' oops;");
        eventually(SOON, || {
            server.workers().is_empty() && server.client().get("/").status == 500
        });
        let before = server.plugin("rr-http");
        process::kill_and_wait(before);
        eventually(SOON, || {
            let now = process::named(server.pid(), "rr-http");
            now.first().is_some_and(|pid| *pid != before)
        });
    }
    // It did not come to naught again and again: it has served, without workers.
    assert!(!server.log().contains("given up"), "{}", server.log());
    assert!(server.stop().success());
}

/// Whoever does not watch the project himself hears of it by the end of the server, at once.
#[test]
fn elsewhere_broken_code_ends_the_start() {
    let section = json!({"reload": {"services": {"http": {"dirs": ["src"]}}}});
    for (verb, settings) in [("up", json!({})), ("serve", json!({})), ("serve", section)] {
        let server = launch("return 'x' oops;", &[verb], settings);
        assert_eq!(server.wait_exit(SOON).code(), Some(1), "{verb}");
        server.wait_log("the plugin http cannot start: ");
        server.wait_log("unexpected identifier \"oops\"");
    }
}

/// New directories are watched with what is in them, also after they were renamed; what the application writes is not.
#[test]
fn directories_come_and_are_renamed() {
    let app = "$text = ''; foreach (glob(__DIR__ . '/*/*/*.php') as $file) { $text .= require $file; } return $text;";
    let server = project(&["up", "--watch"], json!({}));
    save(server.room(), "src/app.php", app);
    eventually(SOON, || answer(&server).is_empty());
    save(server.room(), "src/a/b/one.php", "return 'one';");
    eventually(SOON, || answer(&server) == "one");
    std::fs::rename(server.room().file("src/a"), server.room().file("src/z")).unwrap();
    save(server.room(), "src/z/b/one.php", "return 'renamed';");
    eventually(SOON, || answer(&server) == "renamed");
    std::fs::create_dir(server.room().file("src/z/c")).unwrap();
    save(server.room(), "src/z/c/two.php", "return ' and more';");
    eventually(SOON, || answer(&server) == "renamed and more");
    std::fs::remove_dir_all(server.room().file("src/z/b")).unwrap();
    eventually(SOON, || answer(&server) == " and more");

    let workers = server.workers();
    for ignored in [
        "var/cache/x.php",
        "vendor/acme/x.php",
        ".git/x.php",
        "node_modules/x.php",
        "src/notes.txt",
    ] {
        server.room().write(ignored, "<?php");
    }
    // What comes later is seen, and by then the others would have been.
    save(server.room(), "src/z/c/two.php", "return 'last';");
    eventually(SOON, || answer(&server) == "last");
    server.wait_log("src/z/c/two.php changed");
    assert!(workers.iter().all(|pid| !server.workers().contains(pid)));
    for ignored in ["x.php changed", "notes.txt"] {
        assert!(!server.log().contains(ignored), "{ignored}: {}", server.log());
    }
}

/// A checkout of many files is one renewal, or very few where the machine is slow.
#[test]
fn thousands_of_files_are_one_change() {
    let server = project(&["up", "--watch"], json!({}));
    for number in 0..3000 {
        server
            .room()
            .write(&format!("src/many/{}/{number}.php", number % 40), "<?php return 1;");
    }
    save(server.room(), "src/app.php", "return 'second';");
    eventually(SOON, || answer(&server) == "second");
    server.wait_log(" more, http: 2 workers renewed in");
    let renewals = server.log().matches("workers renewed in").count();
    assert!(renewals < 300, "{renewals} renewals");
    assert!(server.stop().success());
}

/// The section of RoadRunner 2, by plugin, under `serve`; a linked directory is pointed elsewhere, as in a deployment.
#[test]
fn the_section_is_honoured() {
    let section = json!({"services": {"http": {"dirs": ["src"], "recursive": true, "ignore": ["src/gen"], "patterns": [".tpl"]}}});
    let server = project(&["serve"], json!({"reload": section}));
    let pids = server.workers();
    save(server.room(), "other.php", "");
    save(server.room(), "src/gen/a.php", "");
    server.room().write("src/b.txt", "");
    save(server.room(), "src/app.php", "return 'second';");
    eventually(SOON, || answer(&server) == "second");
    eventually(SOON, || server.workers().len() == 2);
    assert!(pids.iter().all(|pid| !server.workers().contains(pid)));
    let pids = server.workers();
    server.room().write("src/view.tpl", "");
    server.wait_log("src/view.tpl changed, http: 2 workers renewed in ");
    assert!(pids.iter().all(|pid| !server.workers().contains(pid)));
    let log = server.log();
    for ignored in ["other.php", "gen/a.php", "b.txt", "but this build does not serve it"] {
        assert!(!log.contains(ignored), "{ignored}: {log}");
    }
    assert!(server.stop().success());
}

/// Where the kernel tells nothing the files are looked at.
#[test]
fn files_are_looked_at_where_the_kernel_is_silent() {
    let server = project(
        &["up", "--watch"],
        json!({"reload": {"poll": true, "interval": "100ms"}}),
    );
    server.wait_log("a look each 100ms");
    for round in 0..3 {
        save(server.room(), "src/app.php", &format!("return 'round {round}';"));
        eventually(SOON, || answer(&server) == format!("round {round}"));
    }
    assert!(server.stop().success());
}

#[test]
fn a_wrong_section_says_what_is_wrong() {
    let start = |reload: Value| {
        let room = Room::new();
        let config = http_config(free_port(), json!({"reload": reload})).to_string();
        let config = room.write(".rr.yaml", config);
        refused(&command(&["serve"], &config).output().unwrap())
    };
    let missing = start(json!({"services": {"http": {"dirs": ["nowhere"]}}}));
    assert!(
        missing.contains("reload.services.http.dirs: ") && missing.contains("nowhere\": No such file"),
        "{missing}"
    );
    let short = start(json!({"interval": "1ms", "services": {"http": {"dirs": ["."]}}}));
    assert!(short.contains("reload.interval: 1ms is too short"), "{short}");
}

/// The supervisor becomes another program, and its plugin goes on with the gate that it has.
#[test]
fn after_an_upgrade_of_the_supervisor_no_request_meets_old_code() {
    let rounds = rounds(20);
    let server = project(&["up", "--watch"], json!({"supervisor": {"adopt_timeout": "20s"}}));
    let plugin = server.plugin("rr-http");
    let mut connection = server.client().connect();
    assert_eq!(connection.get("/").text(), "first");
    for round in 0..rounds {
        if round % 4 == 0 {
            upgrade_self(&server);
        }
        let text = format!("round {round}");
        save(server.room(), "src/app.php", &format!("return '{text}';"));
        for _ in 0..5 {
            assert_eq!(connection.get("/").text(), text, "{}", server.log());
        }
    }
    // Where nothing has changed nobody's workers are renewed. The last change has come to rest when it is told.
    let before = server.log().len();
    save(server.room(), "src/last.php", "");
    eventually(SOON, || {
        let reports = [
            "src/last.php changed, http: 2",
            "src/app.php changed, and one more, http: 2",
        ];
        reports.iter().any(|report| server.log()[before..].contains(report))
    });
    eventually(SOON, || server.workers().len() == 2);
    let workers = server.workers();
    upgrade_self(&server);
    assert_eq!(answer(&server), format!("round {}", rounds - 1));
    assert_eq!((server.workers(), server.plugin("rr-http")), (workers, plugin));
    assert!(server.stop().success());
}

/// Files that are saved while the supervisor becomes another program: at whatever moment, the next request runs them.
#[test]
fn a_save_during_an_upgrade_of_the_supervisor_is_not_missed() {
    let server = project(&["up", "--watch"], json!({"supervisor": {"adopt_timeout": "20s"}}));
    let plugin = server.plugin("rr-http");
    let mut connection = server.client().connect();
    assert_eq!(connection.get("/").text(), "first");
    for round in 0..rounds(20) / 2 {
        std::thread::scope(|scope| {
            let upgrading = scope.spawn(|| upgrade_self(&server));
            let mut saved = 0;
            while !upgrading.is_finished() {
                let text = format!("round {round}, {saved}");
                save(server.room(), "src/app.php", &format!("return '{text}';"));
                assert_eq!(connection.get("/").text(), text, "{}", server.log());
                saved += 1;
            }
        });
    }
    assert_eq!(server.plugin("rr-http"), plugin);
    assert!(server.stop().success());
}

/// A saved configuration takes no effect by itself, and the developer hears what does it.
#[test]
fn a_saved_configuration_is_mentioned() {
    let server = project(&["up", "--watch"], json!({}));
    let pids = server.workers();
    let said = "the configuration has changed: `rr reload` takes it over";
    let mentioned = || server.log().matches(said).count();
    let text = server.room().read(".rr.yaml");
    server.room().write(".rr.yaml", &text);
    eventually(SOON, || mentioned() == 1);
    // As many editors save.
    server.room().write("new", &text);
    std::fs::rename(server.room().file("new"), server.room().file(".rr.yaml")).unwrap();
    eventually(SOON, || mentioned() == 2);
    server.room().write(".rr.yaml", &text);
    eventually(SOON, || mentioned() == 3);
    assert_eq!(server.workers(), pids);
    assert!(server.stop().success());
}
