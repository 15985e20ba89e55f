//! Dead references: files that a key names and that do not exist, pipelines that nobody defines, settings that are needed
//! and missing. These are errors, because the server could not do what the file says.

use super::{
    Config, custom,
    diagnostic::{Diagnostic, Findings},
    node::{Node, Origin},
    section::{Http, Jobs, Pipeline, Pool, Redis, Server, Storage},
    unfit,
};
use std::path::Path;

const LEVELS: [&str; 7] = ["debug", "info", "warn", "error", "dpanic", "panic", "fatal"];

struct Check<'a> {
    root: &'a Node,
    base_dir: &'a Path,
    findings: &'a mut Findings,
}

/// Checks every reference of a converted configuration.
pub(super) fn check(config: &Config, root: &Node, base_dir: &Path, findings: &mut Findings) {
    let mut check = Check {
        root,
        base_dir,
        findings,
    };
    check.server(config);
    check.logs(config);
    if let Some(http) = &config.http {
        check.http(http);
    }
    if let Some(jobs) = &config.jobs {
        check.jobs(jobs);
    }
    check.otel(config);
    check.files(config);
    check.required(config);
    for (key, message) in custom::mistakes(config) {
        check.error(&key, message);
    }
}

impl Check<'_> {
    /// The place of a key, or of the nearest key above it that is written out.
    fn origin(&self, key: &str) -> Origin {
        let mut node = self.root;
        for part in key.split('.') {
            match node.get(part) {
                Some(inner) => node = inner,
                None => break,
            }
        }
        node.origin.clone()
    }

    /// True when the key, or one below it, has an error already; what follows from that is not worth a second one.
    fn failed(&self, key: &str) -> bool {
        self.findings.errors.iter().any(|error| {
            let below = error.key.strip_prefix(key);
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    fn error(&mut self, key: &str, message: impl Into<String>) {
        if !self.failed(key) {
            let diagnostic = Diagnostic::at(&self.origin(key), key, message);
            self.findings.errors.push(diagnostic);
        }
    }

    fn warn(&mut self, key: &str, message: impl Into<String>) {
        let diagnostic = Diagnostic::at(&self.origin(key), key, message);
        self.findings.warnings.push(diagnostic);
    }

    /// A file that must exist when it is named.
    fn file(&mut self, key: &str, path: &str) {
        if !path.is_empty() && !self.base_dir.join(path).is_file() {
            self.error(key, format!("no such file: {path}"));
        }
    }

    fn key_pair(&mut self, section: &str, key: &str, cert: &str) {
        self.file(&format!("{section}.key"), key);
        self.file(&format!("{section}.cert"), cert);
        if key.is_empty() != cert.is_empty() {
            self.error(section, "`key` and `cert` belong together, one of them is missing");
        }
    }

    fn server(&mut self, config: &Config) {
        if let Some(rpc) = &config.rpc
            && !["tcp://", "unix://"]
                .iter()
                .any(|scheme| rpc.listen.starts_with(scheme))
        {
            let found = &rpc.listen;
            self.error(
                "rpc.listen",
                format!("expected tcp://host:port or unix://path, found {found:?}"),
            );
        }
        let pools: [(&str, Option<&Pool>); 6] = [
            ("http", config.http.as_ref().map(|c| &c.pool)),
            ("jobs", config.jobs.as_ref().map(|c| &c.pool)),
            ("grpc", config.grpc.as_ref().map(|c| &c.pool)),
            ("tcp", config.tcp.as_ref().map(|c| &c.pool)),
            ("centrifuge", config.centrifuge.as_ref().map(|c| &c.pool)),
            ("temporal", config.temporal.as_ref().and_then(|c| c.activities.as_ref())),
        ];
        let lacking = pools
            .iter()
            .find(|(_, pool)| pool.is_some_and(|pool| pool.command.is_empty()));
        match (&config.server, lacking) {
            (Some(Server { command, .. }), Some(_)) if command.is_empty() => {
                self.error("server.command", "command should not be empty");
            }
            (None, Some((plugin, _))) => {
                self.warn(plugin, "there is no `server.command`, so no worker can be started");
            }
            _ => {}
        }
        let Some(server) = &config.server else { return };
        let relay = server.relay.as_str();
        if relay != "pipes" && !relay.starts_with("tcp://") && !relay.starts_with("unix://") {
            self.error(
                "server.relay",
                format!("expected pipes, tcp://host:port or unix://path, found {relay:?}"),
            );
        }
        if server.on_init.as_ref().is_some_and(|hook| hook.command.is_empty()) {
            self.error("server.on_init.command", "on_init command should not be empty");
        }
    }

    fn logs(&mut self, config: &Config) {
        let main = std::iter::once(("logs".to_owned(), &config.logs.main));
        let channels = config.logs.channels.iter();
        let channels = channels.map(|(name, channel)| (format!("logs.channels.{name}"), channel));
        for (key, channel) in main.chain(channels) {
            let level = channel.level.to_lowercase();
            if !level.is_empty() && !LEVELS.contains(&level.as_str()) {
                let known = LEVELS.join(", ");
                self.error(
                    &format!("{key}.level"),
                    format!("expected one of {known}, found {level:?}"),
                );
            }
            if !["", "console", "json"].contains(&channel.encoding.as_str()) {
                let message = format!("expected console or json, found {:?}", channel.encoding);
                self.error(&format!("{key}.encoding"), message);
            }
        }
    }

    fn otel(&mut self, config: &Config) {
        let mut middleware = config.http.iter().flat_map(|http| &http.middleware);
        let Some(otel) = &config.otel else {
            if middleware.any(|name| name == "otel") {
                self.warn(
                    "http.middleware",
                    "otel is named, but there is no section `otel`: nothing is traced",
                );
            }
            return;
        };
        match otel.exporter.as_str() {
            "" | "otlp" | "zipkin" | "stdout" | "stderr" => {}
            "jaeger" => self.error("otel.exporter", "jaeger exporter is deprecated, use OTLP instead"),
            other => self.error(
                "otel.exporter",
                format!("expected otlp, zipkin, stdout or stderr, found {other:?}"),
            ),
        }
        for (key, value) in [
            ("service_name", &otel.service_name),
            ("service_version", &otel.service_version),
        ] {
            if !value.is_empty() {
                self.warn(&format!("otel.{key}"), format!("deprecated, use otel.resource.{key}"));
            }
        }
    }

    fn http(&mut self, http: &Http) {
        let tls = http
            .ssl
            .as_ref()
            .is_some_and(|ssl| ssl.has_key_pair() || ssl.acme.is_some());
        let fcgi = http.fcgi.as_ref().is_some_and(|fcgi| !fcgi.address.is_empty());
        let http3 = http.http3.as_ref().is_some_and(|http3| !http3.address.is_empty());
        let broken = ["http.address", "http.ssl", "http.fcgi", "http.http3"];
        if http.address.is_empty() && !tls && !fcgi && !http3 && !broken.iter().any(|key| self.failed(key)) {
            // Another error inside the section does not make this one less true, so it is not put through `error`.
            self.findings.errors.push(Diagnostic::at(
                &self.origin("http"),
                "http",
                "unable to run http service, no method has been specified (http, https, http/2 or FastCGI)",
            ));
        }
        if let Some(ssl) = &http.ssl {
            self.key_pair("http.ssl", &ssl.key, &ssl.cert);
            self.file("http.ssl.root_ca", &ssl.root_ca);
            if let Some(acme) = &ssl.acme {
                if acme.email.is_empty() {
                    self.error("http.ssl.acme.email", "the certificate authority needs an address");
                }
                if acme.domains.is_empty() {
                    self.error("http.ssl.acme.domains", "no domain is named");
                }
            }
        }
        if let Some(http3) = &http.http3 {
            self.key_pair("http.http3", &http3.key, &http3.cert);
        }
        if let Some(files) = &http.static_files {
            if files.dir.is_empty() {
                self.error("http.static.dir", "the directory is missing");
            } else if !self.base_dir.join(&files.dir).is_dir() {
                self.error("http.static.dir", format!("no such directory: {}", files.dir));
            }
        }
        for name in &http.middleware {
            if !unfit::known_middleware().any(|known| known == name) {
                let near = super::check::nearest(name, unfit::known_middleware());
                let message = format!("requested middleware does not exist: {name}");
                let mut warning = Diagnostic::at(&self.origin("http.middleware"), "http.middleware", message);
                warning.help = near.map(|near| format!("did you mean `{near}`?"));
                self.findings.warnings.push(warning);
            }
        }
        for subnet in &http.trusted_subnets {
            if !is_subnet(subnet) {
                let message = format!("expected a network such as 10.0.0.0/8, found {subnet:?}");
                self.error("http.trusted_subnets", message);
            }
        }
    }

    fn jobs(&mut self, jobs: &Jobs) {
        for name in &jobs.consume {
            let name = name.to_lowercase();
            if jobs.pipelines.contains_key(&name) || self.failed(&format!("jobs.pipelines.{name}")) {
                continue;
            }
            let near = super::check::nearest(&name, jobs.pipelines.keys().map(String::as_str));
            let message = format!("there is no pipeline {name:?}");
            let mut error = Diagnostic::at(&self.origin("jobs.consume"), "jobs.consume", message);
            error.help = near.map(|near| format!("did you mean `{near}`?"));
            self.findings.errors.push(error);
        }
        for (name, pipeline) in &jobs.pipelines {
            let key = format!("jobs.pipelines.{name}.config");
            match pipeline {
                Pipeline::Kafka(queue) => {
                    if let Some(tls) = &queue.connection.tls {
                        self.key_pair(&format!("{key}.tls"), &tls.key, &tls.cert);
                        self.file(&format!("{key}.tls.root_ca"), &tls.root_ca);
                    }
                }
                Pipeline::Redis(queue) => self.redis(&key, &queue.connection),
                _ => {}
            }
        }
    }

    fn redis(&mut self, key: &str, redis: &Redis) {
        let Some(tls) = &redis.tls else { return };
        let key = format!("{key}.tls");
        self.key_pair(&key, &tls.key, &tls.cert);
        match tls.root_ca.is_empty() {
            true => self.error(&format!("{key}.root_ca"), "`tls` needs the authority's certificate"),
            false => self.file(&format!("{key}.root_ca"), &tls.root_ca),
        }
    }

    /// Files that the other sections name.
    fn files(&mut self, config: &Config) {
        if let Some(grpc) = &config.grpc {
            if let Some(tls) = &grpc.tls {
                self.key_pair("grpc.tls", &tls.key, &tls.cert);
                self.file("grpc.tls.root_ca", &tls.root_ca);
            }
            for proto in &grpc.proto {
                if !proto.contains(['*', '?', '[', '{']) {
                    self.file("grpc.proto", proto);
                }
            }
        }
        if let Some(tls) = config.centrifuge.as_ref().and_then(|c| c.tls.as_ref()) {
            self.key_pair("centrifuge.tls", &tls.key, &tls.cert);
        }
        if let Some(tls) = config.temporal.as_ref().and_then(|c| c.tls.as_ref()) {
            self.key_pair("temporal.tls", &tls.key, &tls.cert);
            self.file("temporal.tls.root_ca", &tls.root_ca);
        }
        if let Some(tls) = config.amqp.as_ref().and_then(|c| c.tls.as_ref()) {
            self.key_pair("amqp.tls", &tls.key, &tls.cert);
            self.file("amqp.tls.root_ca", &tls.root_ca);
        }
        if let Some(tls) = config.kafka.as_ref().and_then(|c| c.tls.as_ref()) {
            self.key_pair("kafka.tls", &tls.key, &tls.cert);
            self.file("kafka.tls.root_ca", &tls.root_ca);
        }
        for (name, storage) in config.kv.iter().flatten() {
            if let Storage::Redis(redis) = storage {
                self.redis(&format!("kv.{name}.config"), redis);
            }
        }
    }

    /// Keys without which a section cannot work.
    fn required(&mut self, config: &Config) {
        if config.grpc.as_ref().is_some_and(|grpc| grpc.listen.is_empty()) {
            self.error("grpc.listen", "the address is missing");
        }
        for (name, server) in config.tcp.iter().flat_map(|tcp| &tcp.servers) {
            if server.addr.is_empty() {
                self.error(&format!("tcp.servers.{name}.addr"), "the address is missing");
            }
        }
        for (name, service) in config.service.iter().flatten() {
            if service.command.is_empty() {
                self.error(&format!("service.{name}.command"), "the command is missing");
            }
        }
    }
}

/// `address/bits`.
fn is_subnet(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    match (address.parse::<std::net::IpAddr>(), bits.parse::<u8>()) {
        (Ok(address), Ok(bits)) => bits <= if address.is_ipv4() { 32 } else { 128 },
        _ => false,
    }
}
