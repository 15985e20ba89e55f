//! The Debian packages, as far as no package has to be built for it: what they promise each other, and what their scripts do.
#![allow(clippy::unwrap_used)]

use rr_common::control::CONTRACT_VERSION;
use rr_tests::{Room, Server, bin, eventually, load::Load, process, wait::SOON};
use serde_json::json;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const PLUGINS: [&str; 3] = ["rr-http", "rr-kv", "rr-lock"];

fn manifest(name: &str) -> String {
    fs::read_to_string(bin::repository().join(name).join("Cargo.toml")).unwrap()
}

/// Versions may differ between packages as long as they speak the same contract: dpkg sees to that by these lines.
#[test]
fn the_packages_agree_on_the_contract() {
    let contract = format!("roadrunner-contract-{CONTRACT_VERSION}\"");
    let line = |name: &str, key: &str| {
        let text = manifest(name);
        let found = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default()
            .to_owned();
        assert!(found.ends_with(&contract), "{name}: {found}");
    };
    line("rr-supervisor", "provides = ");
    for plugin in PLUGINS {
        line(plugin, "depends = ");
    }
    let makefile = fs::read_to_string(bin::repository().join("Makefile")).unwrap();
    let plugins: Vec<_> = PLUGINS.iter().map(|name| name.trim_start_matches("rr-")).collect();
    assert!(makefile.contains(&format!("PLUGINS = {}\n", plugins.join(" "))));
}

#[test]
fn every_script_parses_and_every_file_of_a_package_is_there() {
    let packages = bin::repository().join("packages");
    let mut scripts = vec![packages.join("after-install"), packages.join("bin/rr")];
    for package in PLUGINS.into_iter().chain(["rr-supervisor"]) {
        scripts.extend(
            fs::read_dir(packages.join(package))
                .unwrap()
                .flatten()
                .map(|entry| entry.path()),
        );
        let text = manifest(package);
        let sources = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("[\"../")?.split('"').next());
        for source in sources.filter(|source| !source.contains('*')) {
            assert!(bin::repository().join(source).is_file(), "{package}: {source}");
        }
    }
    assert!(scripts.len() >= 7);
    for script in scripts {
        let parsed = Command::new("sh").arg("-n").arg(&script).output().unwrap();
        assert!(parsed.status.success(), "{}: {parsed:?}", script.display());
    }
}

/// What dpkg runs after a newer rr-http has been unpacked.
fn after_install(config: &Path) -> Output {
    after_install_of("http", config)
}

fn after_install_of(plugin: &str, config: &Path) -> Output {
    let programs = bin::server();
    let path = format!("{}:/usr/bin:/bin", programs.parent().unwrap().display());
    Command::new(bin::repository().join("packages/after-install"))
        .arg(plugin)
        .env("PATH", path)
        .env("RR_CONFIG", config)
        .output()
        .unwrap()
}

#[test]
fn a_newer_plugin_is_put_into_service_and_no_request_is_lost() {
    let server = Server::http(json!({}));
    let old = server.plugin("rr-http");
    let load = Load::start(server.address(), 4, "/echo?body=hi");
    eventually(SOON, || load.answers() > 20);
    let told = after_install(&server.room().file(".rr.yaml"));
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(
        told.status.success() && text.contains("plugin upgraded: [http]"),
        "{told:?}"
    );
    eventually(SOON, || !process::alive(old));
    load.goes_on();
    load.stop_unharmed(&server);
    assert!(server.stop().success());
}

#[test]
fn without_a_server_an_installation_succeeds_and_says_so() {
    let room = Room::new();
    let config = room.write(".rr.yaml", "version: '3'\nhttp: {address: '127.0.0.1:1'}\n");
    for config in [&config, Path::new("/nowhere/.rr.yaml")] {
        let told = after_install(config);
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(
            told.status.success() && text.contains("no running server uses it yet"),
            "{told:?}"
        );
    }
}

/// A server runs, and it is not to be said that none does.
#[test]
fn what_the_running_server_does_not_take_is_said_to_be_refused_by_it() {
    let server = Server::http(json!({}));
    let told = after_install_of("kv", &server.room().file(".rr.yaml"));
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let expected = "rr-kv: installed, but the running server goes on with what it has: no such plugin: kv";
    assert!(told.status.success() && text.contains(expected), "{told:?}");
    assert!(server.stop().success());
}
