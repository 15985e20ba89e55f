//! File formats: YAML, JSON, TOML, and what is none of them.

use super::{dir, env, errors, options, text};
use crate::config::{Findings, load::resolve};
use std::{fs, time::Duration};

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

#[test]
fn the_default_file_may_be_toml() {
    let files = dir(&[("rr.toml", "version = '3'\nnosuch = 1\n")]);
    let (loaded, _) = resolve(&options(files.path(), ".rr.yaml", &[]), &env).unwrap();
    assert_eq!(loaded.warnings[0].to_string(), "rr.toml:2: nosuch: unknown key");
    fs::write(files.path().join(".rr.yaml"), "version: '2.7'").unwrap();
    let (loaded, _) = resolve(&options(files.path(), ".rr.yaml", &[]), &env).unwrap();
    assert_eq!(loaded.config.version, "2.7");
}

/// YAML's own sharing: anchors, aliases, merge keys; bounded.
#[test]
fn anchors_and_merge_keys_work_and_cannot_explode() {
    let content = "\
version: '3'
x-pool: &pool {num_workers: 2, max_jobs: 5}
x-more: &more {max_jobs: 9, debug: true}
http: {address: ':1', pool: {<<: *pool, num_workers: 3}}
tcp: {pool: *pool}
jobs: {pool: {<<: [*pool, *more]}}
";
    let (loaded, findings) = text(".rr.yaml", content, &[]);
    assert_eq!(findings.errors, []);
    let http = &loaded.config.http.unwrap().pool;
    assert_eq!((http.num_workers, http.max_jobs), (3, 5));
    assert_eq!(loaded.config.tcp.unwrap().pool.num_workers, 2);
    let jobs = &loaded.config.jobs.unwrap().pool;
    assert_eq!((jobs.max_jobs, jobs.debug), (5, true));

    let mut bomb = String::from("version: '3'\na0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol,lol]\n");
    for n in 1..12 {
        let alias = format!("*a{}", n - 1);
        bomb += &format!("a{n}: &a{n} [{}]\n", [alias.as_str(); 10].join(","));
    }
    let found = errors(".rr.yaml", &bomb).join("\n");
    assert!(
        found.contains("anchors and aliases of this file expand to too much data"),
        "{found}"
    );
    let anchored = (0..50).fold("1,".repeat(20_000), |inner, n| format!("&n{n} [{inner}]"));
    let found = errors(".rr.yaml", &format!("a: {anchored}")).join("\n");
    assert!(found.contains("expand to too much data"), "{found}");
    let deep = format!("version: '3'\na: {}{}", "[".repeat(100), "]".repeat(100));
    assert!(errors(".rr.yaml", &deep)[0].starts_with(".rr.yaml:2: nested deeper than 64 levels"));
    let own = "version: '3'\na: &a [*a]\n";
    assert!(
        errors(".rr.yaml", own)[0].contains("alias stands inside"),
        "{:?}",
        errors(".rr.yaml", own)
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    for (file, content, message) in [
        (
            ".rr.yaml",
            "version: '3'\nhttp: {}\nhttp: {}\n",
            ".rr.yaml:3: key \"http\" is already defined at line 2",
        ),
        (
            ".rr.yaml",
            "version: '3'\nhttp:\n\taddress: x\n",
            ".rr.yaml:3: not valid YAML",
        ),
        (
            ".rr.yaml",
            "- a\n",
            ".rr.yaml:1: expected sections at the top level, found a list",
        ),
        (
            "rr.json",
            "{\n\"a\": 1,\n\"A\": 2\n}",
            "rr.json:3: not valid JSON: key \"a\" is defined twice",
        ),
        ("rr.json", "{\n\"a\": \n", "rr.json:3: not valid JSON"),
        ("rr.toml", "a = 1\nb = \n", "rr.toml:2: not valid TOML"),
        ("rr.toml", "a = 1\nA = 2\n", "rr.toml:2: key \"a\" is defined twice"),
    ] {
        let found = errors(file, content).join("\n");
        assert!(found.starts_with(message), "{found}");
    }
    let files = dir(&[("dir/x", "")]);
    fs::write(files.path().join("latin1"), b"version: '3'\nserver: {user: caf\xe9}\n").unwrap();
    let mut big = fs::File::create(files.path().join("big")).unwrap();
    std::io::Write::write_all(&mut big, &vec![b'#'; 2 << 20]).unwrap();
    for (file, message) in [
        ("gone", "gone: no such file"),
        ("dir", "dir: is a directory"),
        ("latin1", "latin1:2: is not UTF-8"),
        ("big", "big: is larger than"),
    ] {
        let found = resolve(&options(files.path(), file, &[]), &env)
            .unwrap_err()
            .to_string();
        assert!(found.starts_with(message), "{found}");
    }
}

mod any_input {
    use crate::config::check_text;
    use proptest::prelude::*;

    proptest! {
        /// Any text in any format is read or refused, and whatever is read passes the checks without a panic.
        #[test]
        fn is_read_or_refused(text in "(?s)([a-z0-9:{}\\[\\],&*<!|>'\"#=%@\\\\$ \n\t-]|http|pool|version|: |\n  |é){0,200}") {
            for extension in ["yaml", "json", "toml"] {
                let _ = check_text(&text, extension);
            }
        }

        #[test]
        fn random_bytes_too(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = String::from_utf8_lossy(&bytes);
            for extension in ["yaml", "json", "toml"] {
                let _ = check_text(&text, extension);
            }
        }
    }
}
