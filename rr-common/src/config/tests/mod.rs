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

mod keys;
mod seeds;

/// CFG-03, CFG-04, CFG-05: variables, then `-o`, then includes, which win over both.
#[test]
fn overrides_and_includes_have_the_references_order() {
    let files = dir(&[
        (
            ".rr.yaml",
            "version: '3'\ninclude: [part.yaml, last.yaml]\nhttp: {address: ':1', middleware: [gzip]}\nrpc: {listen: 'tcp://:1'}\nlogs: {level: '${LEVEL:-warn}'}",
        ),
        ("part.yaml", "version: '3'\nhttp:\n  address: ':${PORT}'\nkv:\n"),
        (
            "last.yaml",
            "version: '3'\nhttp:\n  address: ':3'\n  pool: {max_jobs: 7}\n",
        ),
    ]);
    let overrides = [
        "http.address=:2",
        "rpc.listen=tcp://127.0.0.1:${PORT}",
        "logs.output=stdout,a.log",
    ];
    let (loaded, findings) = resolve(&options(files.path(), ".rr.yaml", &overrides), &env).unwrap();
    assert_eq!(findings.errors, []);
    let http = loaded.config.http.as_ref().unwrap();
    assert_eq!(
        (http.address.as_str(), http.middleware.len(), http.pool.max_jobs),
        (":3", 0, 7)
    );
    assert_eq!(loaded.config.rpc.as_ref().unwrap().listen, "tcp://127.0.0.1:9090");
    assert_eq!(loaded.config.logs.main.level, "warn");
    assert_eq!(loaded.config.logs.main.output, ["stdout", "a.log"]);
    assert_eq!(loaded.origin("http.address").to_string(), "last.yaml:3");
    assert_eq!(
        loaded.origin("rpc.listen").to_string(),
        "-o rpc.listen, from tcp://127.0.0.1:${PORT}"
    );
    assert_eq!(loaded.origin("http.raw_body").to_string(), "default");
}

/// CFG-05: an include that is missing, or says another version.
#[test]
fn bad_includes_are_errors() {
    let files = dir(&[
        (
            ".rr.yaml",
            "version: '3'\ninclude:\n  - other.yaml\n  - gone.yaml\n  - none.yaml\n",
        ),
        ("other.yaml", "# old\nversion: '2.7'\n"),
        ("none.yaml", "kv: {}\n"),
    ]);
    let (_, findings) = resolve(&options(files.path(), ".rr.yaml", &[]), &env).unwrap();
    let texts: Vec<String> = findings.errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 3, "{texts:#?}");
    assert_eq!(texts[0], "gone.yaml: no such file (included from .rr.yaml:4)");
    assert!(
        texts[1].starts_with("none.yaml: rr configuration file should contain a version"),
        "{texts:?}"
    );
    assert_eq!(
        texts[2],
        "other.yaml:2: version: version in included file must be the same as in root"
    );
}

/// CFG-06.
#[test]
fn dotenv_files_fill_in_what_the_environment_lacks() {
    let files = dir(&[
        (
            "conf/.rr.yaml",
            "version: '3'\nenvfile: .env.local\nserver: {command: '$CMD', env: {A: '${SET}', B: '${B_VAR}'}}",
        ),
        ("conf/.env.local", "B_VAR=late\nCMD=never\n"),
        (".env", "CMD=php a.php\nSET=never\n"),
    ]);
    let mut options = options(files.path(), "conf/.rr.yaml", &[]);
    options.dotenv = Some(".env".into());
    options.experimental = true;
    let (loaded, findings) = resolve(&options, &env).unwrap();
    assert_eq!(findings.errors, []);
    let server = loaded.config.server.unwrap();
    assert_eq!(server.command.0, ["php", "a.php"]);
    assert_eq!(server.env["a"], "from the environment");
    assert_eq!(server.env["b"], "late");
    let names: Vec<_> = loaded.env.keys().map(String::as_str).collect();
    assert_eq!(names, ["B_VAR", "CMD"]);

    // Without -e the envfile is not read; DOTENV_PATH wins over the option.
    options.experimental = false;
    options.dotenv = Some("gone".into());
    let env = |name: &str| (name == "DOTENV_PATH").then(|| ".env".to_owned());
    let (loaded, _) = resolve(&options, &env).unwrap();
    assert_eq!(loaded.config.server.unwrap().env["b"], "");
    assert!(resolve(&options, &|_| None).is_err());
}

/// CFG-08: converted as the reference does it.
#[test]
fn values_are_converted_weakly() {
    let content = "\
version: '3'
server: {command: [php, 1], env: {debug: true, MODE: 0755, rate: 1.50}}
http:
  address: ':80'
  access_logs: 'true'
  raw_body: 0
  max_request_size: '0'
  internal_error_code: 0
  middleware: headers
  uploads: {forbid: '.php,.exe', allow: }
  headers: {cors: {max_age: '600'}, request: []}
  pool: {num_workers: '${N:-3}', max_jobs: true, allocate_timeout: 5000000000, destroy_timeout: 0, supervisor: }
  trusted_subnets: []
kv: {local: {driver: boltdb, config: {permissions: 0600}}}
service: {s: {command: php s.php, env: [A: 1, {b: x, c: y}]}}
metrics: {collect: {a: {type: summary, objectives: {0.5: 0.05}, buckets: 1}}}
";
    let (loaded, findings) = text(".rr.yaml", content, &[]);
    assert_eq!((&findings.errors, &loaded.warnings), (&vec![], &vec![]));
    let config = &loaded.config;
    let server = config.server.as_ref().unwrap();
    assert_eq!(server.command.0, ["php", "1"]);
    assert_eq!(
        (&*server.env["debug"], &*server.env["mode"], &*server.env["rate"]),
        ("1", "493", "1.5")
    );
    let http = config.http.as_ref().unwrap();
    assert!(http.access_logs && !http.raw_body);
    // Zero means the default, as everywhere in the reference.
    assert_eq!((http.max_request_size, http.internal_error_code), (1000, 500));
    assert_eq!(http.middleware, ["headers"]);
    assert_eq!(http.uploads.forbid, [".php", ".exe"]);
    assert_eq!(http.headers.as_ref().unwrap().cors.as_ref().unwrap().max_age, 600);
    assert_eq!((http.pool.num_workers, http.pool.max_jobs), (3, 1));
    assert_eq!(http.pool.allocate_timeout.get(), Duration::from_secs(5));
    assert_eq!(http.pool.destroy_timeout.get(), Duration::from_secs(60));
    assert!(http.pool.supervisor.is_none());
    match &config.kv.as_ref().unwrap()["local"] {
        super::section::Storage::Boltdb(storage) => assert_eq!((storage.permissions, storage.interval), (0o600, 60)),
        other => panic!("{other:?}"),
    }
    let metric = &config.metrics.as_ref().unwrap().collect["a"];
    assert_eq!((metric.objectives["0.5"], metric.buckets[0]), (0.05, 1.0));
    let env = &config.service.as_ref().unwrap()["s"].env;
    assert_eq!((&*env["a"], &*env["b"], &*env["c"]), ("1", "x", "y"));
    // What is sent to plugins makes the same configuration.
    let again: super::Config = serde_json::from_value(loaded.tree.clone()).unwrap();
    assert_eq!(
        serde_json::to_value(&again).unwrap(),
        serde_json::to_value(config).unwrap()
    );
}

/// Forms that the reference allows besides the usual ones.
#[test]
fn other_places_for_the_same_keys() {
    let content = "\
version: '3'
http.address: ':1'
http.pool.num_workers: 2
kv: {users: {driver: memcached}, redis: {driver: redis}}
users: {addr: ['a:1']}
redis: {addrs: ['b:2']}
server: {command: php, env: {EMPTY: }}
";
    let (loaded, findings) = text(".rr.yaml", content, &[]);
    assert_eq!((&findings.errors, &loaded.warnings), (&vec![], &vec![]));
    let http = loaded.config.http.as_ref().unwrap();
    assert_eq!((&*http.address, http.pool.num_workers), (":1", 2));
    assert_eq!(loaded.tree["kv"]["users"]["config"]["addr"][0], "a:1");
    assert_eq!(loaded.tree["kv"]["redis"]["config"]["addrs"][0], "b:2");
    assert_eq!(loaded.config.server.unwrap().env["empty"], "");
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

/// All at once, each with its line.
#[test]
fn every_error_is_named() {
    let content = "\
version: '3'
rpc:
  listen: 127.0.0.1:6001
server:
  command: ''
  relay: carrier pigeon
http:
  address: 127.0.0.1
  access_logs: maybe
  max_request_size: -1
  middleware: {a: b}
  ssl: {key: gone.pem, cert: gone.pem}
  static:
    dir: nowhere
  pool:
    num_workers: 501
    allocate_timeout: soon
    supervisor: 5s
  http2: {max_concurrent_streams: 4294967296}
  trusted_subnets: ['10.0.0.0']
logs: {level: loud}
jobs:
  consume: [email]
  pipelines:
    emails: {driver: memmory}
    other: {config: {}}
kv: []
grpc:
  proto: [gone.proto, 'gone/*.proto']
";
    let expected = "\
.rr.yaml:3: rpc.listen: expected tcp://host:port or unix://path, found \"127.0.0.1:6001\"
.rr.yaml:5: server.command: command should not be empty
.rr.yaml:6: server.relay: expected pipes, tcp://host:port or unix://path, found \"carrier pigeon\"
.rr.yaml:8: http.address: expected host:port, tcp://host:port or unix://path, found \"127.0.0.1\" without a port
.rr.yaml:9: http.access_logs: expected true or false, found \"maybe\"
.rr.yaml:10: http.max_request_size: must be at least 0, found -1
.rr.yaml:11: http.middleware: expected a list, found a mapping
.rr.yaml:12: http.ssl.cert: no such file: gone.pem
.rr.yaml:12: http.ssl.key: no such file: gone.pem
.rr.yaml:14: http.static.dir: no such directory: nowhere
.rr.yaml:16: http.pool.num_workers: must be at most 500, found 501
.rr.yaml:17: http.pool.allocate_timeout: expected a duration such as 30s, 5m or 1h30m, found \"soon\"
.rr.yaml:18: http.pool.supervisor: expected a mapping, found \"5s\"
.rr.yaml:19: http.http2.max_concurrent_streams: must be at most 4294967295, found 4294967296
.rr.yaml:20: http.trusted_subnets: expected a network such as 10.0.0.0/8, found \"10.0.0.0\"
.rr.yaml:21: logs.level: expected one of debug, info, warn, error, dpanic, panic, fatal, found \"loud\"
.rr.yaml:23: jobs.consume: there is no pipeline \"email\"
.rr.yaml:25: jobs.pipelines.emails.driver: unknown driver, expected one of amqp, beanstalk, boltdb, google_pub_sub, kafka, memory, nats, redis, sqs, found \"memmory\" (did you mean `memory`?)
.rr.yaml:26: jobs.pipelines.other: `driver` is missing, expected one of amqp, beanstalk, boltdb, google_pub_sub, kafka, memory, nats, redis, sqs
.rr.yaml:28: grpc.listen: the address is missing
.rr.yaml:29: grpc.proto: no such file: gone.proto";
    assert_eq!(errors(".rr.yaml", content).join("\n"), expected);
}

#[test]
fn an_http_section_without_address_is_the_references_error() {
    let found = errors(".rr.yaml", "version: '3'\nhttp: {raw_body: true}\n").join("\n");
    let expected =
        ".rr.yaml:2: http: unable to run http service, no method has been specified (http, https, http/2 or FastCGI)";
    assert_eq!(found, expected);
}

#[test]
fn unknown_keys_are_warnings_with_the_nearest_key() {
    let content = "\
version: '3'
htpp: {address: ':1'}
kv: {a: {driver: redis, config: {adrs: ['x:1']}}}
http:
  address: ':1'
  num_workers: 4
  pool: {num_worker: 4, ttl: 10s, scale: {step: 1}, supervisor: {ttl: 60}}
  middleware: [gzip, grip]
mine: {any: [thing]}
x-shared: {anything: 1}
supervisor: {plugins: {mine: {command: ./mine}}}
jobs: {pipelines: {p: {driver: sqs, config: {prefetch: 20}, quue: x, queue: beside}}}
";
    let (loaded, findings) = text(".rr.yaml", content, &[]);
    assert_eq!(findings.errors, []);
    let texts: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let expected = "\
.rr.yaml:2: htpp: unknown key (did you mean `http`?)
.rr.yaml:3: kv.a.config.adrs: unknown key (did you mean `addrs`?)
.rr.yaml:4: http: there is no `server.command`, so no worker can be started
.rr.yaml:6: http.num_workers: unknown key (it belongs under `pool`)
.rr.yaml:7: http.pool.num_worker: unknown key (did you mean `num_workers`?)
.rr.yaml:7: http.pool.scale: unknown key
.rr.yaml:7: http.pool.supervisor.ttl: a number without unit means nanoseconds, found 60 (did you mean `60s`?)
.rr.yaml:7: http.pool.ttl: unknown key (it belongs under `supervisor`)
.rr.yaml:8: http.middleware: requested middleware does not exist: grip (did you mean `gzip`?)
.rr.yaml:12: jobs.pipelines.p.config.prefetch: must be at most 10, found 20 (taken as 10)
.rr.yaml:12: jobs.pipelines.p.quue: unknown key (did you mean `queue`?)";
    assert_eq!(texts.join("\n"), expected);
    assert_eq!(loaded.tree["mine"]["any"][0], "thing");
    match &loaded.config.jobs.as_ref().unwrap().pipelines["p"] {
        super::section::Pipeline::Sqs(queue) => assert_eq!((queue.prefetch, &*queue.queue), (10, "beside")),
        other => panic!("{other:?}"),
    }
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
        found.contains("the aliases of this file expand to too much data"),
        "{found}"
    );
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

/// Client commands only want the address: `reset -o rpc.listen=…` with Laravel Octane's empty file.
#[test]
fn client_commands_are_lenient() {
    let files = dir(&[
        ("empty", ""),
        ("broken", "http: {address: 5, pool: 3}\nrpc: {listen: 'tcp://:7'}"),
    ]);
    for (file, overrides, listen) in [
        ("empty", &["rpc.listen=tcp://:6"][..], "tcp://:6"),
        ("gone", &["rpc.listen=tcp://:6"], "tcp://:6"),
        ("broken", &[], "tcp://:7"),
    ] {
        let mut options = options(files.path(), file, overrides);
        options.lenient = true;
        let loaded = super::load(&options).unwrap();
        assert_eq!(loaded.config.rpc.unwrap().listen, listen);
        assert_eq!(loaded.warnings, []);
    }
    let mut options = options(files.path(), "gone", &[]);
    options.lenient = true;
    assert!(super::load(&options).is_err());
}

#[test]
fn strict_turns_warnings_into_errors() {
    let files = dir(&[(".rr.yaml", "version: '3'\nnosuch: 1\n")]);
    let options = options(files.path(), ".rr.yaml", &[]);
    let findings = super::check(&options, false);
    assert_eq!((findings.errors.len(), findings.warnings.len()), (0, 1));
    let findings = super::check(&options, true);
    assert_eq!((findings.errors.len(), findings.warnings.len()), (1, 0));
}

/// `config show`: what it prints loads again and means the same.
#[test]
fn show_prints_values_origins_and_no_secrets() {
    let content = "\
version: '3'
server: {command: 'php a.php', env: {DB_PASSWORD: 'hunter2', url: 'mysql://u:hunter2@db/x'}}
http: {address: ':${PORT}', pool: {num_workers: 2}}
kv: {r: {driver: redis, config: {password: '${P:-hunter2}'}}}
fileserver: {address: ':9', serve: [{prefix: /a, root: 'b c'}]}
mine: {text: 'yes: no'}
supervisor: {plugins: {mine: {command: ./mine}}}
";
    let (loaded, _) = text(".rr.yaml", content, &["http.pool.max_jobs=3"]);
    let shown = super::show(
        &loaded,
        super::ShowOptions {
            origin: true,
            secrets: false,
        },
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    for line in [
        "max_jobs: 3 # -o http.pool.max_jobs",
        "address: \":9090\" # .rr.yaml:3, from :${PORT}",
        "raw_body: false # default",
        "- address",
        "url: mysql://u:***@db/x # .rr.yaml:2",
    ] {
        let squeezed = shown
            .lines()
            .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "));
        let found = squeezed
            .clone()
            .any(|l| l == line || (line == "- address" && l.starts_with("- bytes_range")));
        assert!(found, "{line}\n{shown}");
    }
    let plain = super::show(
        &loaded,
        super::ShowOptions {
            origin: false,
            secrets: true,
        },
    );
    let (again, findings) = text(".rr.yaml", &plain, &[]);
    assert_eq!((findings.errors, again.warnings), (vec![], vec![]), "{plain}");
    assert_eq!(
        serde_json::to_value(&again.config).unwrap(),
        serde_json::to_value(&loaded.config).unwrap()
    );
    assert_eq!(again.tree["mine"], loaded.tree["mine"]);
}

mod any_input {
    use super::super::check_text;
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
