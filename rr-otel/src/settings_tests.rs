//! OTEL-01: what the section, the variables and the defaults come to.
#![allow(clippy::unwrap_used)]

use super::*;

fn with(section: Otel, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let variables: BTreeMap<_, _> = variables
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    Settings::new(&section, &|name| variables.get(name).cloned())
}

fn remote(section: Otel, variables: &[(&str, &str)]) -> Remote {
    match with(section, variables).unwrap().exporter {
        Exporter::Http(remote) | Exporter::Grpc(remote) | Exporter::Zipkin(remote) => remote,
        other => panic!("{other:?}"),
    }
}

fn place(section: Otel, variables: &[(&str, &str)]) -> (bool, String, String) {
    let target = remote(section, variables).target;
    (target.tls, target.authority(), target.path)
}

fn expected(tls: bool, authority: &str, path: &str) -> (bool, String, String) {
    (tls, authority.to_owned(), path.to_owned())
}

#[test]
fn the_defaults_of_the_exporters() {
    assert_eq!(
        place(Otel::default(), &[]),
        expected(true, "localhost:4318", "/v1/traces")
    );
    let grpc = Otel {
        client: "grpc".into(),
        ..Otel::default()
    };
    assert_eq!(place(grpc, &[]), expected(true, "localhost:4317", ""));
    let zipkin = Otel {
        exporter: "zipkin".into(),
        ..Otel::default()
    };
    assert_eq!(place(zipkin, &[]), expected(false, "localhost:9411", "/api/v2/spans"));
    let limits = with(Otel::default(), &[]).unwrap().limits;
    assert_eq!(
        (limits.queue, limits.batch, limits.delay),
        (2048, 512, Duration::from_secs(5))
    );
}

#[test]
fn the_section_comes_before_the_variables() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:1/base/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,b=x%20y"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
    ];
    assert_eq!(
        place(Otel::default(), &variables),
        expected(false, "env:1", "/base/v1/traces")
    );
    let found = remote(Otel::default(), &variables);
    assert_eq!(
        (&found.headers["a"], &found.headers["b"]),
        (&HeaderValue::from_static("1"), &HeaderValue::from_static("x y"))
    );
    assert!(found.gzip);
    assert_eq!(found.timeout, Duration::from_millis(1500));
    let section = Otel {
        endpoint: "own:2".into(),
        custom_url: "mine/traces".into(),
        headers: [("c".to_owned(), "3".to_owned())].into(),
        ..Otel::default()
    };
    assert_eq!(
        place(section.clone(), &variables),
        expected(false, "own:2", "/mine/traces")
    );
    let found = remote(section, &variables);
    assert_eq!(found.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["c"]);
}

#[test]
fn the_variables_of_traces_come_before_the_general_ones() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:1/base"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces/"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    assert_eq!(place(Otel::default(), &variables), expected(true, "traces:443", "/"));
    let insecure = [("OTEL_EXPORTER_OTLP_INSECURE", "true")];
    assert!(!place(Otel::default(), &insecure).0);
}

#[test]
fn insecure_and_urls_decide_about_tls() {
    let with = |endpoint: &str, insecure| {
        let endpoint = endpoint.to_owned();
        place(
            Otel {
                endpoint,
                insecure,
                ..Otel::default()
            },
            &[],
        )
    };
    assert_eq!(with("c:1", false), expected(true, "c:1", "/v1/traces"));
    assert_eq!(with("c:1", true), expected(false, "c:1", "/v1/traces"));
    assert_eq!(with("http://c:1", false), expected(false, "c:1", "/v1/traces"));
    assert_eq!(with("https://c:1/own", false), expected(true, "c:1", "/own"));
}

#[test]
fn the_environment_may_choose_the_client() {
    let chosen = |client: &str, protocol: &str| {
        let section = Otel {
            client: client.into(),
            ..Otel::default()
        };
        let settings = with(section, &[("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]).unwrap();
        (matches!(settings.exporter, Exporter::Grpc(_)), settings.warnings.len())
    };
    assert_eq!(chosen("", "grpc"), (true, 0));
    assert_eq!(chosen("http", "grpc"), (false, 0));
    assert_eq!(chosen("", "http/json"), (false, 1));
    assert_eq!(chosen("", "pigeon"), (false, 1));
    assert_eq!(chosen("pigeon", "grpc"), (false, 1));
}

#[test]
fn what_cannot_be_used_is_an_error() {
    let exporter = |name: &str| {
        with(
            Otel {
                exporter: name.into(),
                ..Otel::default()
            },
            &[],
        )
        .map(|_| ())
    };
    assert_eq!(exporter("jaeger"), Err(SettingsError::Jaeger));
    assert_eq!(exporter("paper"), Err(SettingsError::Exporter("paper".into())));
    assert_eq!(exporter(""), Ok(()));
    assert_eq!(exporter("stderr"), Ok(()));
    let endpoint = Otel {
        endpoint: "ftp://x".into(),
        ..Otel::default()
    };
    assert!(matches!(
        with(endpoint, &[]),
        Err(SettingsError::Endpoint {
            key: "otel.endpoint",
            ..
        })
    ));
    let headers = Otel {
        headers: [("a b".to_owned(), String::new())].into(),
        ..Otel::default()
    };
    assert_eq!(with(headers, &[]).map(|_| ()), Err(SettingsError::Header("a b".into())));
}

#[test]
fn limits_come_from_the_environment_within_reason() {
    let variables = [("OTEL_BSP_MAX_QUEUE_SIZE", "10"), ("OTEL_BSP_SCHEDULE_DELAY", "100")];
    let limits = with(Otel::default(), &variables).unwrap().limits;
    assert_eq!(
        (limits.queue, limits.batch, limits.delay),
        (10, 10, Duration::from_millis(100))
    );
    let limits = with(Otel::default(), &[("OTEL_BSP_MAX_QUEUE_SIZE", "0")])
        .unwrap()
        .limits;
    assert_eq!((limits.queue, limits.batch), (1, 1));
}
