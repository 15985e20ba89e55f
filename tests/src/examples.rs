//! The examples of this repository, served as a user would from its root.

use crate::port::free_port;
use crate::{Room, Server, bin};
use std::process::Command;

/// Serves an example on a port of its own, with these further overrides; the room is for what they name.
#[track_caller]
pub fn serve(room: Room, example: &str, overrides: &[String]) -> Server {
    let port = free_port();
    let mut command = Command::new(bin::server());
    command
        .current_dir(bin::repository())
        .args(["serve", "-c", &format!("examples/{example}/.rr.yaml")])
        .args(["-o", &format!("http.address=127.0.0.1:{port}")]);
    for one in overrides {
        command.args(["-o", one]);
    }
    let server = Server::run(room, port, command);
    server.wait_ready();
    server
}
