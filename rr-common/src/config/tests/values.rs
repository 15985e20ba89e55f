//! Types, conversions, and what is said about wrong values and unknown keys.

use super::{dir, errors, options, text};
use std::time::Duration;

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
        crate::config::section::Storage::Boltdb(storage) => {
            assert_eq!((storage.permissions, storage.interval), (0o600, 60))
        }
        other => panic!("{other:?}"),
    }
    let metric = &config.metrics.as_ref().unwrap().collect["a"];
    assert_eq!((metric.objectives["0.5"], metric.buckets[0]), (0.05, 1.0));
    let env = &config.service.as_ref().unwrap()["s"].env;
    assert_eq!((&*env["a"], &*env["b"], &*env["c"]), ("1", "x", "y"));
    // What is sent to plugins makes the same configuration.
    let again: crate::config::Config = serde_json::from_value(loaded.tree.clone()).unwrap();
    assert_eq!(
        serde_json::to_value(&again).unwrap(),
        serde_json::to_value(config).unwrap()
    );
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
supervisor:
  plugins:
    http:
      limits: {cpu: -1, memory: -5}
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
.rr.yaml:29: grpc.proto: no such file: gone.proto
.rr.yaml:33: supervisor.plugins.http.limits.cpu: must be at least 0, found -1
.rr.yaml:33: supervisor.plugins.http.limits.memory: must be at least 0, found -5";
    assert_eq!(errors(".rr.yaml", content).join("\n"), expected);
}

/// What only follows from another error is not reported besides.
#[test]
fn an_error_is_said_once() {
    let content = "\
version: '3'
server: {command: {php: x}}
http: {address: nowhere}
grpc: {listen: 5}
jobs: {consume: [emails], pipelines: {emails: {driver: rabbit}}}
";
    let keys: Vec<String> = errors(".rr.yaml", content)
        .iter()
        .filter_map(|error| error.split(": ").nth(1).map(str::to_owned))
        .collect();
    assert_eq!(
        keys,
        [
            "server.command",
            "http.address",
            "grpc.listen",
            "jobs.pipelines.emails.driver"
        ]
    );
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
kv: {a: {driver: redis, config: {adrs: ['x:1']}}, b: {driver: boltbd}}
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
.rr.yaml:3: kv.b.driver: unknown driver, expected one of boltdb, memcached, memory, redis, found \"boltbd\" (did you mean `boltdb`?)
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
        crate::config::section::Pipeline::Sqs(queue) => assert_eq!((queue.prefetch, &*queue.queue), (10, "beside")),
        other => panic!("{other:?}"),
    }
}

/// OTEL-01, HTTP-31
#[test]
fn traces_that_cannot_be_are_told_with_their_line() {
    let found = errors(".rr.yaml", "version: '3'\notel: {exporter: jaeger}\n").join("\n");
    assert_eq!(
        found,
        ".rr.yaml:2: otel.exporter: jaeger exporter is deprecated, use OTLP instead"
    );
    let found = errors(".rr.yaml", "version: '3'\notel:\n  exporter: paper\n").join("\n");
    let expected = ".rr.yaml:3: otel.exporter: expected otlp, zipkin, stdout or stderr, found \"paper\"";
    assert_eq!(found, expected);
    let warnings = |content: &str| {
        let (loaded, findings) = text(".rr.yaml", content, &[]);
        assert_eq!(findings.errors, []);
        let texts = loaded.warnings.iter().map(ToString::to_string);
        texts.filter(|text| text.contains("otel")).collect::<Vec<_>>()
    };
    let found = warnings("version: '3'\notel:\n  service_name: a\n  service_version: b\n");
    let expected = [
        ".rr.yaml:3: otel.service_name: deprecated, use otel.resource.service_name",
        ".rr.yaml:4: otel.service_version: deprecated, use otel.resource.service_version",
    ];
    assert_eq!(found, expected);
    let found = warnings("version: '3'\nhttp:\n  address: ':1'\n  middleware: [otel]\n");
    let expected = ".rr.yaml:4: http.middleware: otel is named, but there is no section `otel`: nothing is traced";
    assert_eq!(found, [expected]);
}

#[test]
fn strict_turns_warnings_into_errors() {
    let files = dir(&[(".rr.yaml", "version: '3'\nnosuch: 1\n")]);
    let options = options(files.path(), ".rr.yaml", &[]);
    let findings = crate::config::check(&options, false, |_| crate::config::Findings::default());
    assert_eq!((findings.errors.len(), findings.warnings.len()), (0, 1));
    let findings = crate::config::check(&options, true, |_| crate::config::Findings::default());
    assert_eq!((findings.errors.len(), findings.warnings.len()), (1, 0));
}

/// The reference's guide writes `30s` where its code wants a number.
#[test]
fn seconds_may_be_written_as_a_duration() {
    for (written, seconds) in [
        ("30", 30),
        ("'30'", 30),
        ("30s", 30),
        ("1m", 60),
        ("500ms", 1),
        ("0", 60),
    ] {
        let (loaded, findings) = text(
            ".rr.yaml",
            &format!("version: '3'\nstatus: {{check_timeout: {written}}}"),
            &[],
        );
        assert!(findings.errors.is_empty(), "{written}: {:?}", findings.errors);
        assert_eq!(loaded.config.status.unwrap().check_timeout, seconds, "{written}");
    }
    let wrong = errors(".rr.yaml", "version: '3'\nstatus: {check_timeout: soon}");
    assert!(wrong[0].contains("expected seconds, such as 30 or 30s"), "{wrong:?}");
}
