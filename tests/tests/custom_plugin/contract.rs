//! The contract is kept by both sides: its version, the owner of a prefix, who may register.

use crate::own::{config, launch, left_behind, rpc, start};
use nix::sys::signal::Signal;
use rr_tests::{
    Room, Server, bin,
    operator::{refused, rr},
    port::free_port,
    wait::SOON,
};
use serde_json::{Value, json};
use std::{fs, process::Command};

#[test]
fn another_version_of_the_contract_is_refused_and_says_so_on_both_sides() {
    let server = launch("version", json!({}));
    let refusal = "the plugin own speaks version 99 of the control contract, this supervisor version 1";
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    let log = server.log();
    assert!(
        log.contains(&format!("the plugin own cannot start: {refusal}")),
        "{log}"
    );
    assert!(log.contains(&format!("refused: FailedPrecondition {refusal}")), "{log}");
}

#[test]
fn an_upgrade_to_another_version_of_the_contract_leaves_the_old_process() {
    let room = Room::new();
    // The program decides by a file, as a new release would.
    let next = room.file("next");
    let script = room.write(
        "own.sh",
        format!(
            "[ -e {} ] && export TEST_MODE=version\nexec {}\n",
            next.display(),
            bin::binary("rr-test-custom").display()
        ),
    );
    let port = free_port();
    let plugin = json!({"supervisor": {"plugins": {"own": {"command": ["sh", script]}}}});
    let config = config(port, "", plugin);
    let server = Server::launch(room, port, &config.to_string(), &[]);
    server.wait_started();
    let mut rpc = rpc(&server);
    let before = rpc.call("own.Pid", &Value::Null).json();
    fs::write(&next, "").unwrap();
    let told = refused(&rr(&server, &["upgrade", "own"]));
    assert!(told.contains("speaks version 99 of the control contract"), "{told}");
    assert_eq!(rpc.call("own.Pid", &Value::Null).json(), before);
    assert_eq!(left_behind(&server).len(), 1);
    assert!(server.stop().success());
}

#[test]
fn prefixes_of_two_plugins_do_not_meet() {
    let second = |prefixes: Value, registered: &str| {
        json!({"supervisor": {"plugins": {"two": {
            "command": [bin::binary("rr-test-custom")], "rpc_prefixes": prefixes, "env": {"TEST_PREFIXES": registered},
        }}}})
    };
    let declared = launch("", second(json!(["own"]), ""));
    assert_eq!(declared.wait_exit(SOON).code(), Some(1));
    let text =
        "supervisor.plugins.two.rpc_prefixes: methods with the prefix own are answered by the plugin own already";
    assert!(declared.log().contains(text), "{}", declared.log());

    let registered = launch("", second(json!([]), "two own"));
    assert_eq!(registered.wait_exit(SOON).code(), Some(1));
    let text = "the plugin two wants methods with the prefix own, which are answered by the plugin own already";
    assert!(registered.log().contains(text), "{}", registered.log());

    let ours = launch("", second(json!([]), "informer"));
    assert_eq!(ours.wait_exit(SOON).code(), Some(1));
    assert!(
        ours.log().contains("answered by the server itself already"),
        "{}",
        ours.log()
    );
}

/// Who was not started by this supervisor registers nothing, whoever runs it.
#[test]
fn only_what_the_supervisor_started_may_register() {
    let server = start("", json!({}));
    let control = rpc(&server).call("own.Env", &json!("RR_CONTROL")).json();
    let control = control.as_str().unwrap().to_owned();
    let dir = server.room().path().to_owned();
    let intruder = |user: Option<u32>| {
        let program = server.room().install(&bin::binary("rr-test-custom"), "intruder");
        let mut command = Command::new(program);
        command
            .env("RR_CONTROL", &control)
            .env("RR_CONTROL_DIR", &dir)
            .env("RR_PLUGIN", "own");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        if let Some(user) = user {
            std::os::unix::process::CommandExt::uid(&mut command, user);
        }
        let ran = command.output().unwrap();
        String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned()
    };
    let said = intruder(None);
    let refusal = "refused: PermissionDenied this supervisor has not started a plugin own with this process";
    assert!(said.contains(refusal), "{said}");
    if nix::unistd::geteuid().is_root() {
        // Even with every door of the file system open the kernel tells who it is.
        let open = |path: &std::path::Path, mode| {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        };
        open(&dir, 0o777);
        open(std::path::Path::new(&control).parent().unwrap(), 0o711);
        open(std::path::Path::new(&control), 0o666);
        let said = intruder(Some(65534));
        assert!(!said.contains("my section"), "{said}");
        server.wait_log("a process of another user was turned away from the control socket");
    }
    assert!(server.running());
    server.signal(Signal::SIGTERM);
    assert!(server.wait_exit(SOON).success());
}
