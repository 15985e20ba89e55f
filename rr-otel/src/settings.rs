//! The `otel` section and the `OTEL_*` variables, made one. What the section says comes first, as in the reference.

use crate::{
    endpoint::{Target, absolute},
    resource::{self, Resource},
    sampler::Sampler,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use rr_common::config::section::Otel;
use std::{collections::BTreeMap, path::PathBuf, str::FromStr, time::Duration};

/// The environment: the value of a variable.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a section cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// The exporter does not exist any more.
    #[error(
        "jaeger exporter is deprecated, use OTLP instead: https://github.com/roadrunner-server/roadrunner/issues/1699"
    )]
    Jaeger,
    /// The exporter does not exist.
    #[error("unknown exporter: {0}")]
    Exporter(String),
    /// Not an address.
    #[error("{key}: {reason}")]
    Endpoint {
        /// The key or variable.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Not a header.
    #[error("otel.headers: {0:?} is no header that can be sent")]
    Header(String),
    /// Certificates for TLS cannot be read.
    #[error("otel: {0}")]
    Tls(String),
    /// A thread or a runtime cannot be made.
    #[error("otel: {0}")]
    System(String),
}

/// What is done with spans.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) exporter: Exporter,
    pub(crate) resource: Resource,
    pub(crate) sampler: Sampler,
    pub(crate) limits: Limits,
    /// What is strange, for the log.
    pub(crate) warnings: Vec<String>,
}

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exporter {
    Http(Remote),
    Grpc(Remote),
    Zipkin(Remote),
    Stdout,
    Stderr,
}

/// A collector and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) gzip: bool,
    pub(crate) timeout: Duration,
    pub(crate) certificates: Certificates,
}

/// Files for TLS other than the system's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Certificates {
    pub(crate) authorities: Option<PathBuf>,
    /// Our own certificate and its key.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
}

/// How many spans wait and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most spans that wait; further ones are dropped.
    pub(crate) queue: usize,
    /// Most spans of a batch.
    pub(crate) batch: usize,
    /// How long an incomplete batch waits.
    pub(crate) delay: Duration,
}

impl Settings {
    pub(crate) fn new(section: &Otel, variables: Variables<'_>) -> Result<Self, SettingsError> {
        let mut warnings = Vec::new();
        let exporter = match section.exporter.as_str() {
            "" | "otlp" => match client(section, variables, &mut warnings) {
                Client::Http => Exporter::Http(http(section, variables)?),
                Client::Grpc => Exporter::Grpc(grpc(section, variables)?),
            },
            "zipkin" => Exporter::Zipkin(zipkin(section, variables)?),
            "stdout" => Exporter::Stdout,
            "stderr" => Exporter::Stderr,
            "jaeger" => return Err(SettingsError::Jaeger),
            other => return Err(SettingsError::Exporter(other.into())),
        };
        let variable = |name| variables(name).unwrap_or_default();
        let sampler = Sampler::parse(&variable("OTEL_TRACES_SAMPLER"), &variable("OTEL_TRACES_SAMPLER_ARG"));
        let sampler = sampler.unwrap_or_else(|warning| {
            warnings.push(warning);
            Sampler::default()
        });
        Ok(Self {
            exporter,
            resource: resource::resource(section, variables),
            sampler,
            limits: Limits::new(variables),
            warnings,
        })
    }
}

impl Limits {
    fn new(variables: Variables<'_>) -> Self {
        let queue = number(variables, "OTEL_BSP_MAX_QUEUE_SIZE").unwrap_or(2048usize);
        let batch = number(variables, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE").unwrap_or(512usize);
        let delay = number(variables, "OTEL_BSP_SCHEDULE_DELAY").unwrap_or(5000);
        let queue = queue.clamp(1, 1 << 20);
        Self {
            queue,
            batch: batch.clamp(1, queue),
            delay: Duration::from_millis(delay),
        }
    }
}

enum Client {
    Http,
    Grpc,
}

/// `client`, or the protocol that the environment asks for.
fn client(section: &Otel, variables: Variables<'_>, warnings: &mut Vec<String>) -> Client {
    match section.client.as_str() {
        "http" => return Client::Http,
        "grpc" => return Client::Grpc,
        "" => {}
        other => {
            warnings.push(format!("unknown exporter client {other:?}, http is used"));
            return Client::Http;
        }
    }
    let names = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    let set = names
        .into_iter()
        .find_map(|name| Some((name, variables(name).filter(|value| !value.is_empty())?)));
    match set.as_ref().map(|(name, value)| (*name, value.as_str())) {
        None | Some((_, "http/protobuf")) => Client::Http,
        Some((_, "grpc")) => Client::Grpc,
        Some((name, value)) => {
            let what = if value == "http/json" { "unsupported" } else { "unknown" };
            warnings.push(format!(
                "{what} exporter protocol {value:?} in {name}, http/protobuf is used"
            ));
            Client::Http
        }
    }
}

fn http(section: &Otel, variables: Variables<'_>) -> Result<Remote, SettingsError> {
    const PATH: &str = "/v1/traces";
    let mut remote = otlp(Target::local(4318, PATH), variables);
    if let Some(path) = from_environment(&mut remote, "OTEL_EXPORTER_OTLP_ENDPOINT", variables)? {
        remote.target.path = path.trim_end_matches('/').to_owned() + PATH;
    }
    if let Some(path) = from_environment(&mut remote, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", variables)? {
        remote.target.path = absolute(&path);
    }
    insecure_variables(&mut remote, variables);
    if let Some(path) = from_section(&mut remote, section)?.filter(|path| !matches!(path.as_str(), "" | "/")) {
        remote.target.path = path;
    }
    if !section.custom_url.trim().is_empty() {
        remote.target.path = absolute(&section.custom_url);
    }
    Ok(remote)
}

fn grpc(section: &Otel, variables: Variables<'_>) -> Result<Remote, SettingsError> {
    let mut remote = otlp(Target::local(4317, ""), variables);
    for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] {
        from_environment(&mut remote, name, variables)?;
    }
    insecure_variables(&mut remote, variables);
    from_section(&mut remote, section)?;
    Ok(remote)
}

fn zipkin(section: &Otel, variables: Variables<'_>) -> Result<Remote, SettingsError> {
    let mut remote = Remote {
        target: Target {
            tls: false,
            ..Target::local(9411, "/api/v2/spans")
        },
        headers: HeaderMap::new(),
        gzip: false,
        timeout: Duration::from_secs(10),
        certificates: Certificates::default(),
    };
    let path = match section.endpoint.is_empty() {
        true => from_environment(&mut remote, "OTEL_EXPORTER_ZIPKIN_ENDPOINT", variables)?,
        false => Some(endpoint(&mut remote, "otel.endpoint", &section.endpoint)?),
    };
    if let Some(path) = path.filter(|path| !matches!(path.as_str(), "" | "/")) {
        remote.target.path = path;
    }
    Ok(remote)
}

/// What the variables say about both kinds of OTLP, but for the place.
fn otlp(target: Target, variables: Variables<'_>) -> Remote {
    let variable = |name: &str| {
        let own = variables(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"));
        own.or_else(|| variables(&format!("OTEL_EXPORTER_OTLP_{name}")))
            .filter(|value| !value.is_empty())
    };
    let pairs = variable("HEADERS").unwrap_or_default();
    let headers = resource::pairs(&pairs).filter_map(|(name, value)| header(&name, &value));
    let milliseconds = variable("TIMEOUT").and_then(|text| text.trim().parse().ok());
    let own = variable("CLIENT_CERTIFICATE").zip(variable("CLIENT_KEY"));
    Remote {
        target,
        headers: headers.collect(),
        gzip: variable("COMPRESSION").is_some_and(|value| value == "gzip"),
        timeout: Duration::from_millis(milliseconds.filter(|time| *time > 0).unwrap_or(10_000)),
        certificates: Certificates {
            authorities: variable("CERTIFICATE").map(PathBuf::from),
            own: own.map(|(certificate, key)| (certificate.into(), key.into())),
        },
    }
}

/// What the section says about both kinds of OTLP. Answers the path of its endpoint.
fn from_section(remote: &mut Remote, section: &Otel) -> Result<Option<String>, SettingsError> {
    if !section.headers.is_empty() {
        remote.headers = headers(&section.headers)?;
    }
    remote.gzip |= section.compress;
    let path = match section.endpoint.is_empty() {
        true => None,
        false => Some(endpoint(remote, "otel.endpoint", &section.endpoint)?),
    };
    if section.insecure {
        remote.target.tls = false;
    }
    Ok(path)
}

fn from_environment(
    remote: &mut Remote,
    name: &'static str,
    variables: Variables<'_>,
) -> Result<Option<String>, SettingsError> {
    match variables(name).filter(|value| !value.trim().is_empty()) {
        None => Ok(None),
        Some(value) => endpoint(remote, name, value.trim()).map(Some),
    }
}

fn insecure_variables(remote: &mut Remote, variables: Variables<'_>) {
    for name in ["OTEL_EXPORTER_OTLP_INSECURE", "OTEL_EXPORTER_OTLP_TRACES_INSECURE"] {
        if let Some(value) = variables(name).filter(|value| !value.is_empty()) {
            remote.target.tls = !value.eq_ignore_ascii_case("true");
        }
    }
}

fn endpoint(remote: &mut Remote, key: &'static str, text: &str) -> Result<String, SettingsError> {
    let read = remote.target.read(text);
    read.map_err(|reason| SettingsError::Endpoint { key, reason })
}

fn headers(section: &BTreeMap<String, String>) -> Result<HeaderMap, SettingsError> {
    let each =
        |(name, value): (&String, &String)| header(name, value).ok_or_else(|| SettingsError::Header(name.clone()));
    section.iter().map(each).collect()
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

fn number<T: FromStr>(variables: Variables<'_>, name: &str) -> Option<T> {
    variables(name)?.trim().parse().ok()
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
