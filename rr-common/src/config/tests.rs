//! Whole files through [`super::load`].
#![allow(clippy::unwrap_used)]

use super::{Findings, LoadOptions, Loaded, load::resolve};
use std::{fs, path::Path, time::Duration};
use tempfile::TempDir;

/// A directory with files.
fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn options(dir: &Path, file: &str, overrides: &[&str]) -> LoadOptions {
    LoadOptions {
        file: file.into(),
        work_dir: Some(dir.into()),
        overrides: overrides.iter().map(|o| (*o).to_owned()).collect(),
        ..LoadOptions::default()
    }
}

fn env(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("9090".into()),
        "SET" => Some("from the environment".into()),
        _ => None,
    }
}

/// Loads one text; the variables are PORT and SET.
fn text(file: &str, text: &str, overrides: &[&str]) -> (Loaded, Findings) {
    let dir = dir(&[(file, text)]);
    resolve(&options(dir.path(), file, overrides), &env).unwrap()
}

fn errors(file: &str, content: &str) -> Vec<String> {
    let dir = dir(&[(file, content)]);
    match resolve(&options(dir.path(), file, &[]), &env) {
        Ok((_, findings)) => findings.errors.iter().map(ToString::to_string).collect(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

const YAML: &str = "\
version: '3'
server:
  command: php worker.php
HTTP:
  Address: 127.0.0.1:${PORT}
  middleware: gzip, headers
  access_logs: 1
  pool: &pool
    num_workers: \"4\"
    supervisor:
      exec_ttl: 1m30s
";

const JSON: &str = "{
\t\"version\": \"3\",
\t\"server\": { \"command\": [\"php\", \"worker.php\"] },
\t\"HTTP\": {
\t\t\"Address\": \"127.0.0.1:${PORT}\",
\t\t\"middleware\": [\"gzip\", \"headers\"],
\t\t\"access_logs\": true,
\t\t\"pool\": { \"num_workers\": 4, \"supervisor\": { \"exec_ttl\": 90000000000 } }
\t}
}
";

const TOML: &str = "\
version = '3'
[server]
command = ['php', 'worker.php']
[HTTP]
Address = '127.0.0.1:${PORT}'
middleware = ['gzip', 'headers']
access_logs = true
[HTTP.pool]
num_workers = 4
supervisor.exec_ttl = '1m30s'
";

/// CFG-01, CFG-07, CFG-08.
#[test]
fn the_three_formats_are_equal() {
    for (file, content, line) in [
        (".rr.yaml", YAML, 5),
        ("rr.conf", YAML, 5),
        ("rr.json", JSON, 5),
        ("rr.toml", TOML, 5),
    ] {
        let (loaded, findings) = text(file, content, &[]);
        assert_eq!(findings, Findings::default(), "{file}");
        assert_eq!(loaded.warnings, [], "{file}");
        let http = loaded.config.http.as_ref().unwrap();
        assert_eq!(http.address, "127.0.0.1:9090");
        assert_eq!(http.middleware, ["gzip", "headers"]);
        assert!(http.access_logs);
        assert_eq!(http.pool.num_workers, 4);
        let limits = http.pool.supervisor.as_ref().unwrap();
        assert_eq!(limits.exec_ttl.get(), Duration::from_secs(90));
        assert_eq!(loaded.config.server.as_ref().unwrap().command.0, ["php", "worker.php"]);
        let origin = loaded.origin("http.address").to_string();
        assert_eq!(origin, format!("{file}:{line}, from 127.0.0.1:${{PORT}}"));
    }
}

/// CFG-02: the reference's texts.
#[test]
fn the_version_is_checked() {
    let one = |content: &str| errors(".rr.yaml", content).join("\n");
    assert!(one("http: {address: ':1'}").contains("rr configuration file should contain a version e.g: version: 3"));
    assert!(
        one("version: 3").contains("version should be a string: `version: \"3\"`, actual type is: int"),
        "{}",
        one("version: 3")
    );
    assert!(one("version: 2.7").contains("actual type is: float64"));
    assert_eq!(one("version: '3'"), "");
    let (loaded, findings) = text(".rr.yaml", "version: '2.7'", &[]);
    assert!(findings.errors.is_empty());
    assert_eq!(loaded.warnings.len(), 1);
    let (loaded, findings) = text(".rr.yaml", "", &["version=3", "http.address=127.0.0.1:80"]);
    assert!(findings.errors.is_empty(), "{findings:?}");
    assert_eq!(loaded.config.http.unwrap().address, "127.0.0.1:80");
}
