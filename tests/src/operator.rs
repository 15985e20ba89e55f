//! What an operator does with a server: the command line, with the server's own file.

use crate::{Server, bin};
use serde_json::Value;
use std::process::{Child, Command, Output, Stdio};

/// Runs a command to its end.
pub fn rr(server: &Server, arguments: &[&str]) -> Output {
    command(server, arguments).output().unwrap()
}

/// Starts a command that takes a while; whoever waits for it sees what it says.
pub fn start(server: &Server, arguments: &[&str]) -> Child {
    let mut command = command(server, arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn command(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(bin::server());
    command.args(arguments).arg("-c").arg(server.room().file(".rr.yaml"));
    command
}

/// The output that must be of a success.
#[track_caller]
pub fn succeeded(server: &Server, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stderr), server.log());
    text(&output.stdout)
}

/// Replaces the supervisor's program in place, which must work.
#[track_caller]
pub fn upgrade_self(server: &Server) {
    let answer = succeeded(server, &rr(server, &["upgrade", "self", "--json"]));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["pid"], server.pid());
}
