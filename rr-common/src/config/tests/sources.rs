//! Where values come from: variables, `-o`, includes, dotenv files.

use super::{dir, env, options, text};
use crate::config::load::resolve;

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
        let loaded = crate::config::load(&options).unwrap();
        assert_eq!(loaded.config.rpc.unwrap().listen, listen);
        assert_eq!(loaded.warnings, []);
    }
    let mut options = options(files.path(), "gone", &[]);
    options.lenient = true;
    assert!(crate::config::load(&options).is_err());
}
