//! Every YAML block of the two documents that the users sent loads; those without a version get one by `-o`.

use super::{dir, env, options};
use crate::config::{Loaded, load::resolve};

/// Loads one block beside the files that it names.
fn block(text: &str) -> Loaded {
    let files = dir(&[
        (".rr.yaml", text),
        ("public/index.php", ""),
        ("users.proto", ""),
        ("orders.proto", ""),
        ("proto/users.proto", ""),
        ("proto/orders.proto", ""),
    ]);
    let overrides = match text.contains("version:") {
        true => &[][..],
        false => &["version=3"],
    };
    let (loaded, findings) = resolve(&options(files.path(), ".rr.yaml", overrides), &env).unwrap();
    assert_eq!(findings.errors, [], "{text}");
    let unknown = loaded
        .warnings
        .iter()
        .find(|warning| warning.message.starts_with("unknown"));
    assert_eq!(unknown, None, "{text}");
    loaded
}

#[test]
fn http_with_acme() {
    let text = "
http:
  address: 127.0.0.1:8080
  ssl:
    address: :443
    redirect: true
    acme:
      certs_dir: certs
      email: user@site.com
      domains:
        - site.com
";
    let ssl = block(text).config.http.unwrap().ssl.unwrap();
    assert_eq!(ssl.address, ":443");
    assert_eq!(ssl.acme.unwrap().cache_dir, "certs");
}

#[test]
fn jobs_with_redis() {
    let text = "
jobs:
  consume: [ \"emails\", \"default\" ]
  pipelines:
    emails:
      driver: redis
      config:
        addrs: [ \"redis:6379\" ]
      priority: 10
      prefetch: 10
    default:
      driver: memory
";
    let jobs = block(text).config.jobs.unwrap();
    assert_eq!(jobs.pipelines["emails"].driver(), "redis");
    assert_eq!(jobs.pipelines["default"].driver(), "memory");
}

#[test]
fn the_small_sections() {
    let grpc =
        block("grpc:\n  listen: \"tcp://127.0.0.1:9001\"\n  proto:\n    - \"users.proto\"\n    - \"orders.proto\"\n");
    assert_eq!(grpc.config.grpc.unwrap().proto.len(), 2);
    let temporal = block("temporal:\n  address: 127.0.0.1:7233\n  activities:\n    num_workers: 10\n");
    assert_eq!(temporal.config.temporal.unwrap().activities.unwrap().num_workers, 10);
    let kv = "
kv:
  in-memory:
    driver: memory
    config: {}
  users:
    driver: redis
    config:
      addrs:
        - \"localhost:6379\"
";
    assert_eq!(block(kv).config.kv.unwrap().len(), 2);
    let centrifuge =
        "centrifuge:\n  proxy_address: \"tcp://127.0.0.1:30000\"\n  grpc_api_address: tcp://127.0.0.1:30000\n";
    assert_eq!(
        block(centrifuge).config.centrifuge.unwrap().proxy_address,
        "tcp://127.0.0.1:30000"
    );
    let metrics = "
metrics:
  address: localhost:2112
  collect:
    registered_users:
      type: counter
      help: \"Total number of registered users.\"
    money_earned:
      type: gauge
      help: \"The amount of earned money.\"
      labels: [\"project\"]
";
    assert_eq!(
        block(metrics).config.metrics.unwrap().collect["money_earned"].labels,
        ["project"]
    );
    assert_eq!(
        block("status:\n  address: 127.0.0.1:2114\n")
            .config
            .status
            .unwrap()
            .address,
        "127.0.0.1:2114"
    );
    let server = "server:  \n  command: 'php vendor/bin/rr-worker start'\n";
    assert_eq!(block(server).config.server.unwrap().command.0.len(), 3);
}

#[test]
fn the_whole_file() {
    let text = "
version: '2.7'

rpc:
  listen: tcp://127.0.0.1:6001

server:  
  command: 'php vendor/bin/rr-worker start'
  relay: pipes

http:
  address: 0.0.0.0:8080
  middleware: [ \"static\", \"gzip\" ]
  static:
    dir: \"public\"
    forbid: [ \".php\", \".htaccess\" ]

# Jobs plugin for distributed queues
jobs:
  consume: [ \"notifications\", \"orders\" ]
  pipelines:
    notifications:
      driver: memory
    orders:
      driver: kafka
      config:
        ...

# gRPC plugin for service communication
grpc:
  listen: tcp://0.0.0.0:9001
  proto:
    - \"proto/users.proto\"
    - \"proto/orders.proto\"

# Temporal plugin for workflow orchestration
temporal:
  address: temporal:7233
";
    let loaded = block(text);
    assert_eq!(loaded.config.plugins(), ["http", "grpc", "jobs", "temporal"]);
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
}
