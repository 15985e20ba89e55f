//! The arguments of the `metrics.*` calls. Field names may begin with a capital, as in Go, whose JSON does not care and whose
//! MessagePack writes them so; null stands for nothing.

use super::declaration::Declaration;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// A value for a collector.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Metric {
    #[serde(alias = "Name", alias = "NAME", deserialize_with = "or_default")]
    pub name: String,
    #[serde(alias = "Value", alias = "VALUE", deserialize_with = "or_default")]
    pub value: f64,
    #[serde(alias = "Labels", alias = "LABELS", deserialize_with = "or_default")]
    pub labels: Vec<String>,
}

/// A declaration. In MessagePack the collector's fields may stand beside the name, as the reference has them there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NamedCollector {
    #[serde(alias = "Name", deserialize_with = "or_default")]
    name: String,
    #[serde(alias = "Collector", deserialize_with = "or_default")]
    collector: Option<Collector>,
    #[serde(flatten)]
    beside: Collector,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Collector {
    #[serde(alias = "Namespace", deserialize_with = "or_default")]
    namespace: String,
    #[serde(alias = "Subsystem", deserialize_with = "or_default")]
    subsystem: String,
    #[serde(rename = "type", alias = "Type", deserialize_with = "or_default")]
    kind: String,
    #[serde(alias = "Help", deserialize_with = "or_default")]
    help: String,
    #[serde(alias = "Labels", deserialize_with = "or_default")]
    labels: Vec<String>,
    #[serde(alias = "Buckets", deserialize_with = "or_default")]
    buckets: Vec<f64>,
    #[serde(alias = "Objectives", deserialize_with = "or_default")]
    objectives: Objectives,
}

impl From<NamedCollector> for Declaration {
    fn from(named: NamedCollector) -> Self {
        let collector = named.collector.unwrap_or(named.beside);
        Self {
            name: named.name,
            namespace: collector.namespace,
            subsystem: collector.subsystem,
            kind: collector.kind,
            help: collector.help,
            labels: collector.labels,
            buckets: collector.buckets,
            objectives: collector.objectives.0,
        }
    }
}

/// Null is the empty value.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A summary's quantiles and errors. As an object, whose names are numbers; PHP writes an empty one as an empty list. The
/// reference cannot read it in JSON at all.
#[derive(Debug, Default, PartialEq)]
struct Objectives(Vec<(f64, f64)>);

impl<'de> Deserialize<'de> for Objectives {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Pairs)
    }
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Objectives;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of quantiles and their errors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Objectives, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Quantile(quantile), error)) = map.next_entry()? {
            pairs.push((quantile, error));
        }
        Ok(Objectives(pairs))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Objectives, A::Error> {
        let mut pairs = Vec::new();
        while let Some(Objectives(more)) = list.next_element()? {
            pairs.extend(more);
        }
        Ok(Objectives(pairs))
    }
}

/// A number, or a text that is one.
struct Quantile(f64);

impl<'de> Deserialize<'de> for Quantile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Quantile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantile")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantile, E> {
                text.parse().map(Quantile).map_err(E::custom)
            }

            fn visit_f64<E>(self, number: f64) -> Result<Quantile, E> {
                Ok(Quantile(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Quantile, E> {
                Ok(Quantile(number as f64))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Quantile, E> {
                Ok(Quantile(number as f64))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rr_common::rpc::{Codec, decode};

    fn declaration(codec: Codec, body: &[u8]) -> Declaration {
        decode::<NamedCollector>(codec, body).unwrap().into()
    }

    #[test]
    fn json_as_go_takes_it() {
        let expected = Metric {
            name: "c".into(),
            value: 2.0,
            labels: vec!["a".into()],
        };
        for text in [
            r#"{"name":"c","value":2,"labels":["a"],"more":{}}"#,
            r#"{"Labels":["a"],"Value":2.0,"Name":"c"}"#,
        ] {
            assert_eq!(decode::<Metric>(Codec::Json, text.as_bytes()).unwrap(), expected);
        }
        let empty = decode::<Metric>(Codec::Json, br#"{"name":null,"value":null,"labels":null}"#);
        assert_eq!(empty.unwrap(), Metric::default());
        assert!(decode::<Metric>(Codec::Json, br#"{"value":"1"}"#).is_err());
    }

    #[test]
    fn objectives_in_every_form() {
        for objectives in [r#"{"0.5":0.05,"0.9":0.01}"#, r#"[{"0.5":0.05},{"0.9":0.01}]"#] {
            let text =
                format!(r#"{{"name":"s","collector":{{"type":"summary","help":"h","objectives":{objectives}}}}}"#);
            let declared = declaration(Codec::Json, text.as_bytes());
            assert_eq!(declared.objectives, [(0.5, 0.05), (0.9, 0.01)]);
        }
        let none = declaration(
            Codec::Json,
            br#"{"name":"s","collector":{"type":"summary","objectives":[]}}"#,
        );
        assert_eq!((none.kind.as_str(), none.objectives.len()), ("summary", 0));
        let wrong = br#"{"name":"s","collector":{"objectives":{"x":1}}}"#;
        assert!(decode::<NamedCollector>(Codec::Json, wrong).is_err());
    }

    #[test]
    fn msgpack_as_the_reference_takes_it() {
        let metric = decode::<Metric>(Codec::Msgpack, b"\x82\xa4Name\xa1c\xa5value\x01").unwrap();
        assert_eq!((metric.name.as_str(), metric.value), ("c", 1.0));
        let flat =
            b"\x83\xa4Name\xa2m1\xa4Type\xa7counter\xaaObjectives\x81\xcb\x3f\xe0\0\0\0\0\0\0\xcb\x3f\xa0\0\0\0\0\0\0";
        let flat = declaration(Codec::Msgpack, flat);
        assert_eq!((flat.name.as_str(), flat.kind.as_str()), ("m1", "counter"));
        assert_eq!(flat.objectives, [(0.5, 0.031_25)]);
        let nested = b"\x82\xa4name\xa2m2\xa9collector\x81\xa4type\xa5gauge";
        assert_eq!(declaration(Codec::Msgpack, nested).kind, "gauge");
    }
}
