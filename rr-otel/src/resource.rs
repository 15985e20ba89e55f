//! Who we are in the traces: the `otel.resource` keys, the older keys, `OTEL_RESOURCE_ATTRIBUTES`, the defaults, in this order.

use crate::{ids, settings::Variables};
use percent_encoding::percent_decode_str;
use rr_common::{COMPATIBLE_VERSION, config::section::Otel};
use std::collections::BTreeMap;

/// The attributes, by their names.
pub(crate) type Resource = BTreeMap<String, String>;

/// What describes this process.
pub(crate) fn resource(section: &Otel, variables: Variables<'_>) -> Resource {
    let mut all = from_environment(variables);
    let own = section.resource.clone().unwrap_or_default();
    let mut fill = |key: &str, configured: &str, older: &str, default: &dyn Fn() -> String| {
        let known = all.get(key).cloned().unwrap_or_default();
        let mut candidates = [configured, older, &known].into_iter();
        let value = candidates.find(|text| !text.is_empty());
        let value = value.map_or_else(default, str::to_owned);
        all.insert(key.to_owned(), value.clone());
        value
    };
    let name = fill("service.name", &own.service_name, &section.service_name, &|| {
        "RoadRunner".into()
    });
    fill(
        "service.version",
        &own.service_version,
        &section.service_version,
        &|| "1.0.0".into(),
    );
    fill("service.instance.id", &own.service_instance_id, "", &ids::uuid);
    fill("service.namespace", &own.service_namespace, "", &|| {
        format!("{name}-{}", ids::uuid())
    });
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    for (key, value) in [
        ("host.arch", architecture),
        ("os.name", std::env::consts::OS),
        ("webengine.name", "RoadRunner"),
        ("webengine.version", COMPATIBLE_VERSION),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", env!("CARGO_PKG_NAME")),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ] {
        all.insert(key.into(), value.into());
    }
    all
}

/// `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`, of which the second wins.
fn from_environment(variables: Variables<'_>) -> Resource {
    let mut all: Resource = pairs(&variables("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default()).collect();
    if let Some(name) = variables("OTEL_SERVICE_NAME").filter(|name| !name.is_empty()) {
        all.insert("service.name".into(), name);
    }
    all
}

/// The pairs of a `key=value,key=value` list, percent-decoded; what is no pair is left out.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8_lossy().into_owned();
    text.split(',').filter_map(move |pair| {
        let (key, value) = pair.split_once('=')?;
        (!key.trim().is_empty()).then(|| (decoded(key), decoded(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rr_common::config::section::OtelResource;

    fn with(section: &Otel, attributes: &str) -> Resource {
        let attributes = Some(attributes.to_owned()).filter(|text| !text.is_empty());
        resource(section, &move |name| {
            (name == "OTEL_RESOURCE_ATTRIBUTES").then(|| attributes.clone())?
        })
    }

    // OTEL-01
    #[test]
    fn the_section_comes_before_the_older_keys_before_the_environment() {
        let environment = "service.name=env%20name, service.version = 3,service.namespace=space,team=web,broken,=x";
        let mut section = Otel::default();
        let all = with(&section, environment);
        assert_eq!(all["service.name"], "env name");
        assert_eq!((&*all["service.version"], &*all["team"]), ("3", "web"));
        assert_eq!(all["service.namespace"], "space");
        section.service_name = "older".into();
        section.service_version = "2".into();
        let all = with(&section, environment);
        assert_eq!((&*all["service.name"], &*all["service.version"]), ("older", "2"));
        section.resource = Some(OtelResource {
            service_name: "own".into(),
            service_version: "1".into(),
            service_instance_id: "here".into(),
            service_namespace: "mine".into(),
        });
        let all = with(&section, environment);
        let keys = [
            "service.name",
            "service.version",
            "service.instance.id",
            "service.namespace",
        ];
        assert_eq!(keys.map(|key| &*all[key]), ["own", "1", "here", "mine"]);
    }

    // OTEL-01
    #[test]
    fn defaults_fill_what_nobody_says() {
        let all = with(&Otel::default(), "");
        assert_eq!(
            (&*all["service.name"], &*all["service.version"]),
            ("RoadRunner", "1.0.0")
        );
        assert_eq!(all["service.instance.id"].len(), 36);
        assert!(all["service.namespace"].starts_with("RoadRunner-"));
        assert_eq!(all["webengine.name"], "RoadRunner");
    }

    #[test]
    fn the_service_name_variable_wins_over_the_attributes() {
        let variables = |name: &str| match name {
            "OTEL_SERVICE_NAME" => Some("named".to_owned()),
            "OTEL_RESOURCE_ATTRIBUTES" => Some("service.name=other".to_owned()),
            _ => None,
        };
        assert_eq!(resource(&Otel::default(), &variables)["service.name"], "named");
    }
}
