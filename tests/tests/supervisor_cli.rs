//! The command line (CLI-01, CLI-02, CLI-06 to CLI-15) and what a user reads when something is wrong.
#![allow(clippy::unwrap_used)]

use rr_tests::{
    Room, Server, bin, eventually,
    operator::{command, rr_in, text},
    port::free_port,
    process, standin,
    wait::SOON,
};
use serde_json::json;
use std::process::Command;

/// CLI-06, SDK-04: Laravel Octane takes the third word; the drop-in name is the same program.
#[test]
fn the_version_is_readable_for_tools() {
    for (name, flag) in [("rr-supervisor", "--version"), ("rr", "--version"), ("rr", "-v")] {
        let output = Command::new(bin::binary(name)).arg(flag).output().unwrap();
        let said = text(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty());
        assert_eq!(said.split(' ').nth(2), Some("2025.1.15"), "{said}");
        assert!(
            said.starts_with("rr version ") && said.contains(" (build time: "),
            "{said}"
        );
    }
}

#[test]
fn without_a_verb_it_explains_itself() {
    let output = rr_in(&Room::new(), &[]);
    assert!(output.status.success());
    for verb in ["serve", "up", "stop", "config"] {
        assert!(text(&output.stdout).contains(verb));
    }
}

/// CLI-16: a shell that reads the script completes our commands and flags.
#[test]
fn shells_complete_the_command_line() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = Command::new(bin::binary("rr"))
            .args(["completion", shell])
            .output()
            .unwrap();
        assert!(
            output.status.success() && text(&output.stdout).contains("upgrade"),
            "{shell}"
        );
    }
    let ask = r#"source <("$0" completion bash); COMP_WORDS=(rr work); COMP_CWORD=1; COMP_LINE='rr work'
        _rr rr work rr; echo "${COMPREPLY[@]}"
        COMP_WORDS=(rr reset --js); COMP_CWORD=2; _rr rr --js reset; echo "${COMPREPLY[@]}""#;
    let output = Command::new("bash")
        .args(["-c", ask])
        .arg(bin::binary("rr"))
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "workers\n--json\n", "{}", text(&output.stderr));
    assert!(!rr_in(&Room::new(), &["completion", "cmd.exe"]).status.success());
}

#[test]
fn the_pid_file_is_written_and_stop_uses_it() {
    let room = Room::new();
    let port = free_port();
    let config = standin::config(port, json!({}), json!({}));
    let server = Server::launch(room, port, &config.to_string(), &["-p"]);
    server.wait_started();
    assert_eq!(server.room().read(".pid"), server.pid().to_string());
    let output = rr_in(server.room(), &["stop"]);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains(&format!("stopping process with PID: {}", server.pid())));
    assert!(server.wait_exit(SOON).success());
    assert!(!server.room().file(".pid").exists());

    let output = rr_in(server.room(), &["stop"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "open .pid: no such file or directory, to create a .pid file, you must run RR with the following options: './rr serve -p'\n";
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn a_forced_stop_signals_twice() {
    let room = Room::new();
    let port = free_port();
    let config = standin::config(port, json!({"TEST_IGNORE_STOP": "1"}), json!({}));
    let server = Server::launch(room, port, &config.to_string(), &["-p"]);
    server.wait_started();
    assert!(rr_in(server.room(), &["stop", "-f", "-s"]).status.success());
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
}

#[test]
fn a_pid_file_with_nonsense_signals_nobody() {
    let room = Room::new();
    for content in ["", "abc", "-1", "0"] {
        room.write(".pid", content);
        assert_eq!(rr_in(&room, &["stop"]).status.code(), Some(1), "{content:?}");
    }
}

/// The server is long dead, and its number perhaps a stranger's.
#[test]
fn a_stale_pid_file_signals_nobody() {
    let room = Room::new();
    let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = stranger.id();
    room.write(".pid", pid.to_string());
    let output = rr_in(&room, &["stop"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(
        said.starts_with("no server runs: ") && said.contains("is another program's by now"),
        "{said}"
    );
    assert!(stranger.try_wait().unwrap().is_none(), "it lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    let output = rr_in(&room, &["stop"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(
        said.contains(&format!("the process {pid} that ")) && said.contains("is gone"),
        "{said}"
    );
}

/// The program's name is another one, and the file is not there any more.
#[test]
fn a_server_whose_program_was_removed_is_stopped() {
    let room = Room::new();
    let port = free_port();
    let file = room.write(".rr.yaml", standin::config(port, json!({}), json!({})).to_string());
    let program = room.install(&bin::server(), "my-server");
    let mut serve = Command::new(&program);
    serve.args(["serve", "-p", "-c"]).arg(&file);
    let server = Server::run(room, port, serve);
    server.wait_started();
    std::fs::remove_file(program).unwrap();
    let output = rr_in(server.room(), &["stop"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(server.wait_exit(SOON).success());
}

#[test]
fn a_pid_file_that_cannot_be_written_is_named() {
    let room = Room::new();
    room.write(".pid/in/the/way", "");
    let config = standin::config(free_port(), json!({}), json!({}));
    room.write(".rr.yaml", config.to_string());
    let output = rr_in(&room, &["serve", "-p"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("/.pid cannot be written: "), "{said}");
}

#[test]
fn every_mistake_in_the_configuration_is_told_with_its_line() {
    let room = Room::new();
    room.write(
        ".rr.yaml",
        "version: \"3\"\nserver:\n  command: php\nhttp:\n  address: 127.0.0.1:1\n  internal_error_code: many\n  pool:\n    allocate_timeout: soon\n",
    );
    let output = rr_in(&room, &["serve"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(".rr.yaml:6: ") && said.contains(".rr.yaml:8: "), "{said}");
    assert_eq!(rr_in(&room, &["config", "check"]).status.code(), Some(1));
}

#[test]
fn an_unknown_key_is_a_warning_and_an_error_when_strict() {
    let room = Room::new();
    let yaml = "version: \"3\"\nserver:\n  command: php\nhttp:\n  address: 127.0.0.1:1\n  adress: x\n";
    room.write(".rr.yaml", yaml);
    let output = rr_in(&room, &["config", "check"]);
    assert!(output.status.success());
    assert!(
        text(&output.stderr).contains(".rr.yaml:6: "),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(rr_in(&room, &["config", "check", "--strict"]).status.code(), Some(1));
}

#[test]
fn config_show_tells_where_values_come_from() {
    let room = Room::new();
    room.write(
        ".rr.yaml",
        "version: \"3\"\nserver:\n  command: php\nhttp:\n  address: 127.0.0.1:1\n",
    );
    let output = rr_in(&room, &["config", "show", "--origin", "-o", "http.max_request_size=7"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let line = |name: &str| said.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("address").contains(".rr.yaml:5"), "{said}");
    assert!(line("max_request_size").contains("-o http.max_request_size"), "{said}");
    assert!(line("internal_error_code").contains("default"), "{said}");
}

#[test]
fn config_schema_is_a_json_schema() {
    let output = rr_in(&Room::new(), &["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["properties"]["http"].is_object());
}

/// What `config check` and `serve` say on stderr; both refuse.
fn refused(room: &Room, yaml: &str) -> String {
    room.write(".rr.yaml", yaml);
    let [checked, served] = [&["config", "check"][..], &["serve"]].map(|arguments| {
        let output = rr_in(room, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
        text(&output.stderr).to_owned()
    });
    assert_eq!(checked.replace("error: ", ""), served);
    served
}

#[test]
fn a_missing_program_is_told_with_the_places_that_were_searched() {
    let room = Room::new();
    // A copy of ours has no plugins beside it.
    let alone = room.install(&bin::server(), "rr-alone");
    room.write(".rr.yaml", "version: \"3\"\nserver:\n  command: php\nkv: {}\n");
    for arguments in [&["config", "check"][..], &["serve"]] {
        let mut command = Command::new(&alone);
        let output = command
            .args(arguments)
            .current_dir(room.path())
            .env("PATH", "/nowhere")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(
            said.contains(".rr.yaml:4: kv: the plugin kv is asked for, but its program rr-kv was not found"),
            "{said}"
        );
        assert!(said.contains("/nowhere/rr-kv"), "{said}");
    }
    let said = refused(
        &room,
        "version: \"3\"\nserver:\n  command: php\nhttp:\n  address: 127.0.0.1:1\nsupervisor:\n  plugins:\n    http:\n      binary: /no/such/program\n",
    );
    assert!(said.contains(".rr.yaml:9: supervisor.plugins.http.binary: "), "{said}");
    assert!(said.contains("/no/such/program"), "{said}");
}

#[test]
fn a_plugin_that_this_build_does_not_have_is_said_to_be_none() {
    let room = Room::new();
    let sections = "temporal:\n  address: 127.0.0.1:7233\njobs: {}\ntcp: {}\ncentrifuge: {}\n";
    let said = refused(&room, &format!("version: \"3\"\nserver:\n  command: php\n{sections}"));
    for place in [
        ".rr.yaml:4: temporal: ",
        ".rr.yaml:6: jobs: ",
        ".rr.yaml:7: tcp: ",
        ".rr.yaml:8: centrifuge: ",
    ] {
        assert!(said.contains(&format!("{place}this build has no plugin ")), "{said}");
    }
    // Who brings a program for it is served.
    let own = format!("version: \"3\"\nserver:\n  command: php\n{sections}supervisor:\n  plugins:\n");
    let own = ["temporal", "jobs", "tcp", "centrifuge"]
        .iter()
        .fold(own, |own, name| own + &format!("    {name}: {{command: /bin/true}}\n"));
    room.write(".rr.yaml", own);
    let output = rr_in(&room, &["config", "check"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn what_a_plugin_or_the_server_would_refuse_is_found_by_the_check() {
    let room = Room::new();
    let yaml = "version: \"3\"\nserver:\n  command: php\nhttp:\n  address: 127.0.0.1:1\n  middleware: [gzip, http_metrics]\n  no_workers_code: 103\n";
    let said = refused(&room, yaml);
    assert!(
        said.contains(".rr.yaml:6: http.middleware: this version does not have the middleware gzip yet"),
        "{said}"
    );
    assert!(
        said.contains(".rr.yaml:7: http.no_workers_code: 103 is no status"),
        "{said}"
    );
    let said = refused(&room, "version: \"3\"\n");
    assert!(said.contains("names no plugin to start"), "{said}");
}

#[test]
fn sections_that_are_not_served_yet_are_warned_about_once() {
    let settings = json!({"fileserver": {"address": "127.0.0.1:1", "serve": [{"prefix": "/", "root": "."}]}});
    let server = standin::start(json!({}), settings);
    let warning = "fileserver: configured, but this build does not serve it";
    server.wait_log(warning);
    let warned = server.log().matches(warning).count();
    assert_eq!(warned, 1, "{}", server.log());
    assert!(server.stop().success());
}

#[test]
fn silence_is_kept() {
    let room = Room::new();
    let port = free_port();
    let config = standin::config(port, json!({}), json!({"logs": {"level": "error"}}));
    let server = Server::launch(room, port, &config.to_string(), &["-s"]);
    server.wait_ready();
    assert!(server.stop().success());
    assert_eq!(server.log(), "");
}

#[test]
fn up_shows_a_banner_and_lines_for_people() {
    let room = Room::new();
    let port = free_port();
    let rpc = json!({"rpc": {"listen": format!("tcp://127.0.0.1:{}", free_port())}});
    let config = standin::config(port, json!({}), rpc);
    let file = room.write(".rr.yaml", config.to_string());
    let server = Server::run(room, port, command(&["up"], &file));
    server.wait_log("lock         on demand");
    server.wait_log(&format!("http://127.0.0.1:{port}"));
    let plugin = server.plugin("rr-test-plugin");
    server.wait_log(&format!("pid {plugin}"));
    assert!(server.stop().success());
    assert!(server.log().contains("drained"));
    assert_eq!(server.log_json().len(), 0, "no JSON for people: {}", server.log());
}

/// The working directory is the file's; `-w` changes it, and the file is then relative to it.
#[test]
fn the_working_directory_follows_the_file() {
    let room = Room::new();
    let port = free_port();
    let config = standin::config(port, json!({}), json!({}));
    room.write("sub/.rr.yaml", config.to_string());
    let mut command = Command::new(bin::server());
    command.args(["-w"]).arg(room.file("sub")).args(["-p", "serve"]);
    let server = Server::run(room, port, command);
    server.wait_started();
    eventually(SOON, || server.room().read("sub/.pid") == server.pid().to_string());
    let plugin = server.plugin("rr-test-plugin");
    let directory = std::fs::read_link(format!("/proc/{plugin}/cwd")).unwrap();
    assert_eq!(directory, server.room().file("sub").canonicalize().unwrap());
    assert!(server.stop().success());
    assert!(!process::alive(plugin));
}

/// CLI-10: variables of a dotenv file are expanded in the configuration and reach the processes.
#[test]
fn dotenv_variables_reach_the_configuration_and_the_processes() {
    let room = Room::new();
    let port = free_port();
    room.write("vars", format!("MY_PORT={port}\nMY_WORD=hello\n"));
    let config = standin::config(port, json!({}), json!({"http": {"address": "127.0.0.1:${MY_PORT}"}}));
    let server = Server::launch(room, port, &config.to_string(), &["--dotenv", "vars"]);
    server.wait_started();
    let plugin = server.plugin("rr-test-plugin");
    let environment = process::environment(plugin).unwrap();
    assert!(environment.contains(&"MY_WORD=hello".to_owned()));
    assert!(server.stop().success());
}
