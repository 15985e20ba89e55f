//! `top` on a real terminal: script(1) makes one.
#![allow(clippy::unwrap_used)]

use rr_tests::{
    Room, Server, bin, eventually,
    operator::{rr, text},
    port::{free_port, tcp},
    process,
    wait::{SOON, holds_within},
};
use serde_json::json;
use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
};

/// To and from the other screen of the terminal.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";
/// The terminal's size.
const ROWS: u16 = 30;
const COLUMNS: u16 = 140;

/// `top` at work, and all that it has drawn.
struct Top {
    child: Child,
    keys: ChildStdin,
    drawn: Arc<Mutex<String>>,
}

impl Top {
    fn start(server: &Server) -> Self {
        let file = server.room().file(".rr.yaml");
        let program = bin::server();
        let command = format!(
            "stty rows {ROWS} cols {COLUMNS}; exec '{}' top -c '{}'",
            program.display(),
            file.display()
        );
        let mut child = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let drawn = Arc::new(Mutex::new(String::new()));
        let (mut pipe, into) = (child.stdout.take().unwrap(), Arc::clone(&drawn));
        std::thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(n @ 1..) = pipe.read(&mut piece) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..n]));
            }
        });
        let keys = child.stdin.take().unwrap();
        Self { child, keys, drawn }
    }

    /// All bytes that came.
    fn drawn(&self) -> String {
        self.drawn.lock().unwrap().clone()
    }

    /// What a person would see now.
    fn screen(&self) -> String {
        let mut screen = vt100::Parser::new(ROWS, COLUMNS, 0);
        screen.process(self.drawn().as_bytes());
        screen.screen().contents()
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        let shown = holds_within(SOON, || self.screen().contains(text));
        assert!(shown, "{text} is not on the screen:\n{}", self.screen());
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// It ends, and leaves the terminal as it was.
    #[track_caller]
    fn ends(mut self) {
        eventually(SOON, || self.child.try_wait().unwrap().is_some());
        assert!(self.child.wait().unwrap().success(), "{}", self.drawn());
        eventually(SOON, || self.drawn().contains(LEAVE));
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
    }
}

#[test]
fn top_shows_the_server_resets_a_plugin_and_leaves_the_terminal_as_it_was() {
    let server = Server::http(json!({}));
    let before = server.workers();
    let mut top = Top::start(&server);
    for text in ["rr top: 1 plugin, 2 workers", "supervisor", "pool http of http"] {
        top.shows(text);
    }
    assert!(top.drawn().contains(ENTER));
    let worker = before[0].to_string();
    top.shows(&worker);
    top.press("r");
    top.shows("Replace all workers of http?");
    top.press("y");
    top.shows("the workers of http were reset");
    top.shows("LAST DEATHS AND REPLACEMENTS");
    eventually(SOON, || !before.iter().any(|pid| process::alive(*pid)));
    top.press("q");
    top.ends();
}

#[test]
fn top_waits_for_a_server_that_is_gone() {
    let port = free_port();
    let settings = json!({"rpc": {"listen": tcp(port)}});
    let server = Server::http(settings);
    let mut top = Top::start(&server);
    top.shows("pool http of http");
    let config = std::fs::read_to_string(server.room().file(".rr.yaml")).unwrap();
    assert!(server.stop().success());
    top.shows("no answer");
    let room = Room::new();
    let again = Server::launch(room, server.address().port(), &config, &[]);
    again.wait_ready();
    let pid = again.workers()[0].to_string();
    top.shows(&pid);
    // Ctrl-C is a key here.
    top.press("\x03");
    top.ends();
}

#[test]
fn top_without_a_terminal_says_so() {
    let server = Server::http(json!({}));
    let output = rr(&server, &["top"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("top needs a terminal"));
}
