//! `config show`.

use super::text;

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
    let shown = crate::config::show(
        &loaded,
        crate::config::ShowOptions {
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
    let plain = crate::config::show(
        &loaded,
        crate::config::ShowOptions {
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
