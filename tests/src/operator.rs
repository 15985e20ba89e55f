//! What an operator does with a server: the command line, with the server's own file, and what it says.

use crate::{Room, Rpc, Server, bin};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The command line with this file.
pub fn command(arguments: &[&str], file: &Path) -> Command {
    let mut command = Command::new(bin::server());
    command.args(arguments).arg("-c").arg(file);
    command
}

/// Runs a command to its end.
pub fn rr(server: &Server, arguments: &[&str]) -> Output {
    command(arguments, &server.room().file(".rr.yaml")).output().unwrap()
}

/// Runs a command in a directory, where it looks for the file itself.
pub fn rr_in(room: &Room, arguments: &[&str]) -> Output {
    let mut command = Command::new(bin::server());
    command.args(arguments).current_dir(room.path()).output().unwrap()
}

/// Starts a command that takes a while; whoever waits for it sees what it says.
pub fn start(server: &Server, arguments: &[&str]) -> Child {
    let mut command = command(arguments, &server.room().file(".rr.yaml"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Output as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command that succeeds prints; its stderr is empty.
#[track_caller]
pub fn printed(output: &Output) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{out}\n{err}");
    out
}

/// The same of a command that prints JSON: one line.
#[track_caller]
pub fn parsed(output: &Output) -> Value {
    let out = printed(output);
    assert_eq!(out.lines().count(), 1, "{out}");
    serde_json::from_str(&out).unwrap()
}

/// What a command that fails says.
#[track_caller]
pub fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr).trim_end().to_owned()
}

/// The output that must be of a success.
#[track_caller]
pub fn succeeded(server: &Server, output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}", text(&output.stderr), server.log());
    text(&output.stdout)
}

/// Runs a command that must succeed; what it prints.
#[track_caller]
pub fn done(server: &Server, arguments: &[&str]) -> String {
    succeeded(server, &rr(server, arguments))
}

/// The same of a command that prints JSON.
#[track_caller]
pub fn told(server: &Server, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(server, arguments)).unwrap()
}

/// The process of a plugin as `rr plugins` shows it; null if there is none.
#[track_caller]
pub fn seen(server: &Server, plugin: &str) -> Value {
    let mut all = told(server, &["plugins", "--json"])["plugins"].take();
    let mut all = all.as_array_mut().unwrap().iter_mut();
    all.find(|one| one["name"] == plugin)
        .map(Value::take)
        .unwrap_or_default()
}

/// The same as the RPC port tells it, to who asks often.
#[track_caller]
pub fn seen_by_rpc(rpc: &mut Rpc, plugin: &str) -> Value {
    let mut all = rpc.call("supervisor.Plugins", &json!(true)).json();
    let mut all = all.as_array_mut().unwrap().iter_mut();
    all.find(|one| one["name"] == plugin)
        .map(Value::take)
        .unwrap_or_default()
}

/// Replaces a plugin's process, which must work; the pid of the next one.
#[track_caller]
pub fn upgrade(server: &Server, plugin: &str) -> u32 {
    let answer = told(server, &["upgrade", plugin, "--json"]);
    u32::try_from(answer["pid"].as_u64().unwrap()).unwrap()
}

/// Replaces the supervisor's program in place, which must work.
#[track_caller]
pub fn upgrade_self(server: &Server) {
    assert_eq!(upgrade(server, "self"), server.pid());
}

/// How often the supervisor's program was replaced.
#[track_caller]
pub fn renewals(rpc: &mut Rpc) -> u64 {
    let own = rpc.call("supervisor.Self", &json!(true)).json();
    own["renewals"].as_u64().unwrap()
}

/// A supervisor's program that is fit, and gone when it is to be executed.
pub fn vanishing(room: &Room) -> PathBuf {
    let script = format!("{} \"$@\" && rm \"$0\"", bin::server().display());
    room.program("gone", &script)
}
