//! `rr up` in front of a developer: what the terminal shows, and Ctrl-C.

#![allow(clippy::unwrap_used)]

use nix::{
    pty::openpty,
    sys::termios::{Termios, tcgetattr},
};
use rr_tests::server::{http_config, merge};
use rr_tests::wait::{SOON, holds_within};
use rr_tests::{
    Room, Rpc, Server, bin, eventually,
    operator::{command, text},
    port::{free_port, local, tcp},
    process,
};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

/// A server in a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    port: u16,
    /// The program's side, for its settings.
    line: File,
    before: Termios,
    room: Room,
}

impl Terminal {
    fn up(environment: &[(&str, &str)]) -> Self {
        let (room, port) = (Room::new(), free_port());
        let config = room.write(".rr.yaml", http_config(port, json!({})).to_string());
        let pty = openpty(None, None).unwrap();
        let line = File::from(pty.slave);
        let before = tcgetattr(&line).unwrap();
        let end = || Stdio::from(line.try_clone().unwrap());
        // `setsid --ctty` makes it the controlling terminal, so that Ctrl-C goes to the whole foreground group.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(bin::server()).arg("up").arg("-c").arg(config);
        command.env_remove("NO_COLOR").env("TERM", "xterm");
        command.envs(environment.iter().copied());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let keyboard = File::from(pty.master);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut output, shown) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut piece) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..n]));
            }
        });
        let terminal = Self {
            child,
            keyboard,
            screen,
            port,
            line,
            before,
            room,
        };
        terminal.shows("Ctrl-C stops it");
        terminal
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        let shown = holds_within(SOON, || self.text().contains(text));
        assert!(shown, "not on the screen: {text:?}\n{}", self.text());
    }

    fn press(&mut self, key: &[u8]) {
        self.keyboard.write_all(key).unwrap();
    }

    fn client(&self) -> rr_tests::Client {
        rr_tests::Client::tcp(local(self.port))
    }

    /// Waits until a worker has a request.
    #[track_caller]
    fn works(&self) {
        let file = self.room.file(".rr.yaml");
        eventually(SOON, || {
            let output = command(&["workers", "http", "--json"], &file).output().unwrap();
            text(&output.stdout).contains("working")
        });
    }

    #[track_caller]
    fn ends(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = holds_within(SOON, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended, "it runs on:\n{}", self.text());
        assert_eq!(
            tcgetattr(&self.line).unwrap(),
            self.before,
            "the terminal has other settings"
        );
        status.unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        for pid in process::descendants(self.child.id()) {
            process::signal(pid, nix::sys::signal::Signal::SIGKILL);
        }
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

const CTRL_C: &[u8] = b"\x03";

#[test]
fn ctrl_c_finishes_what_runs_and_says_one_line() {
    let mut terminal = Terminal::up(&[]);
    assert_eq!(terminal.client().get("/hello").text(), "hello");
    terminal.shows("\x1b[92m200\x1b[0m GET /hello");
    let client = terminal.client();
    let below = process::descendants(terminal.child.id());
    let slow = std::thread::spawn(move || client.get("/sleep?ms=2500").status);
    terminal.works();
    terminal.press(CTRL_C);
    terminal.shows("stop signal received");
    assert_eq!(slow.join().unwrap(), 200);
    assert!(terminal.ends().success(), "{}", terminal.text());
    let screen = terminal.text();
    let (_, after) = screen.split_once("stop signal received").unwrap();
    for noise in ["ERROR", "WARN", "PHP", "forced"] {
        assert!(!after.contains(noise), "{noise}: {screen}");
    }
    assert!(after.contains("GET /sleep"), "{screen}");
    assert!(below.iter().all(|pid| !process::alive(*pid)));
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let mut terminal = Terminal::up(&[]);
    let client = terminal.client();
    let request = http::Request::get("/sleep?ms=25000").body(bytes::Bytes::new()).unwrap();
    let slow = std::thread::spawn(move || client.try_send(request).is_err());
    terminal.works();
    terminal.press(CTRL_C);
    terminal.shows("stop signal received");
    // Each press makes the terminal forget what it has not shown yet, so the last words may be lost: the code tells.
    let ended = holds_within(SOON, || {
        terminal.press(CTRL_C);
        terminal.child.try_wait().unwrap().is_some()
    });
    assert!(ended, "{}", terminal.text());
    assert_eq!(terminal.ends().code(), Some(1));
    assert!(slow.join().unwrap());
}

#[test]
fn no_color_is_heeded() {
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let mut terminal = Terminal::up(&[(name, value)]);
        terminal.client().get("/hello");
        terminal.shows("| INFO  200 GET /hello");
        assert!(!terminal.text().contains('\x1b'), "{}", terminal.text());
        terminal.press(CTRL_C);
        assert!(terminal.ends().success());
    }
}

/// `timeout` and shells send a signal to the process and to its group: that is one, not two.
#[test]
fn a_signal_that_comes_twice_is_one() {
    let (room, port) = (Room::new(), free_port());
    let server = up(room, port, json!({}));
    for _ in 0..3 {
        server.signal(nix::sys::signal::Signal::SIGINT);
    }
    assert!(server.wait_exit(SOON).success(), "{}", server.log());
}

fn up(room: Room, port: u16, settings: Value) -> Server {
    let config = room.write(".rr.yaml", http_config(port, settings).to_string());
    let server = Server::run(room, port, command(&["up"], &config));
    server.wait_ready();
    server.wait_log("Ctrl-C stops it");
    server
}

/// Plugins, services and the application each have their name before their lines; a failure is told once, by its own words.
#[test]
fn everyone_speaks_under_a_name() {
    let rpc = free_port();
    let mut settings = json!({
        "rpc": {"listen": tcp(rpc)},
        "service": {"ticker": {"command": ["sh", "-c", "echo from the service; exec sleep 1000"]}},
    });
    merge(&mut settings, json!({"logs": {"level": ""}}));
    let server = up(Room::new(), free_port(), settings);
    server.wait_log(" ticker     | INFO  from the service\n");
    let mut client = Rpc::tcp(local(rpc));
    client.call("app.Error", &json!("payment refused\nby the bank"));
    server.wait_log(" app        | ERROR payment refused\n         app        |       by the bank\n");
    let reply = server
        .client()
        .get("/error?text=RuntimeException:%20boom%0A%230%20/app/a.php(1)");
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("RuntimeException: boom"), "{}", reply.text());
    let block =
        " http       | WARN  soft worker error: RuntimeException: boom\n         http       |       #0 /app/a.php(1)\n";
    server.wait_log(block);
    server.wait_log(" http       | INFO  500 GET /error?text=");
    let log = server.log();
    assert_eq!(log.matches("RuntimeException: boom").count(), 1, "{log}");
    assert!(
        !log.contains("SoftJobError") && !log.contains("DEBUG") && !log.contains('\x1b'),
        "{log}"
    );
    assert!(server.stop().success());
}
