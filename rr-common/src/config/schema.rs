//! The known keys and their types, taken from the JSON Schema that is generated from the typed sections: the Rust types are
//! the only place where a key is written down.

use serde_json::{Map, Value as Json};
use std::{collections::BTreeMap, sync::OnceLock};

/// The type of one value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    /// Taken as it is.
    Any,
    Bool,
    Int {
        min: i128,
        max: i128,
        /// A larger value is taken as `max`, as the reference does with a few keys (`x-clamp`).
        clamp: bool,
    },
    Float {
        min: Option<f64>,
    },
    Text {
        format: Format,
    },
    /// One of these texts.
    OneOf(Vec<String>),
    Duration,
    /// Whole seconds, also written as a duration: the reference's guide does so, though it cannot read it (`x-seconds`).
    Seconds,
    Command,
    List(Box<Type>),
    /// Free names, one type of value.
    Map(Box<Type>),
    Section(Section),
    /// `driver` decides what `config` may hold.
    Driver(BTreeMap<String, Type>),
}

/// What a text is, beyond being one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    Plain,
    /// `host:port`, `tcp://host:port`, `unix://path`.
    Address,
    /// Several of them, separated by commas.
    Addresses,
}

/// Known keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Section {
    pub(super) fields: BTreeMap<String, Field>,
    /// Other names of keys, as the sections' `x-aliases` give them.
    pub(super) aliases: BTreeMap<String, String>,
}

/// One key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) ty: Type,
    /// Zero and the empty text mean the default. So it is with every key of the reference that has one; keys of ours for
    /// which zero has a meaning say `x-zero`.
    pub(super) zero_is_default: bool,
}

/// The JSON Schema of the whole configuration.
pub(super) fn json() -> Json {
    schemars::schema_for!(super::Config).to_value()
}

/// The type of the whole configuration.
pub(super) fn root() -> &'static Type {
    static ROOT: OnceLock<Type> = OnceLock::new();
    ROOT.get_or_init(|| {
        let schema = json();
        compile(&schema, &schema)
    })
}

/// One schema node; the sections' types are not recursive, so references are followed without a bound.
fn compile(schema: &Json, root: &Json) -> Type {
    let Some(object) = schema.as_object() else {
        return Type::Any;
    };
    if let Some(target) = object.get("$ref").and_then(Json::as_str) {
        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map_or(Type::Any, |target| compile(target, root));
    }
    match object.get("format").and_then(Json::as_str) {
        Some("duration") => return Type::Duration,
        Some("command") => return Type::Command,
        _ => {}
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(choices) = object.get(word).and_then(Json::as_array) {
            return choice(choices, root);
        }
    }
    if let Some(names) = object.get("enum").and_then(Json::as_array) {
        return Type::OneOf(names.iter().filter_map(Json::as_str).map(str::to_owned).collect());
    }
    match kind(object) {
        Some("boolean") => Type::Bool,
        Some("integer") if object.contains_key("x-seconds") => Type::Seconds,
        Some("integer") => integer(object),
        Some("number") => Type::Float {
            min: object.get("minimum").and_then(Json::as_f64),
        },
        Some("string") => Type::Text {
            format: match object.get("format").and_then(Json::as_str) {
                Some("address") => Format::Address,
                Some("addresses") => Format::Addresses,
                _ => Format::Plain,
            },
        },
        Some("array") => {
            let item = object.get("items").map_or(Type::Any, |items| compile(items, root));
            Type::List(Box::new(item))
        }
        Some("object") => mapping(object, root),
        _ => Type::Any,
    }
}

/// The type's name; of a nullable one the other name.
fn kind(object: &Map<String, Json>) -> Option<&str> {
    match object.get("type")? {
        Json::String(name) => Some(name),
        Json::Array(names) => names.iter().filter_map(Json::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

/// An optional value, a list of named constants, or the drivers.
fn choice(choices: &[Json], root: &Json) -> Type {
    let drivers: BTreeMap<String, Type> = choices
        .iter()
        .filter_map(|choice| {
            let name = choice.pointer("/properties/driver/const")?.as_str()?;
            let config = choice.pointer("/properties/config")?;
            Some((name.to_owned(), compile(config, root)))
        })
        .collect();
    if !drivers.is_empty() {
        return Type::Driver(drivers);
    }
    let names: Vec<String> = choices
        .iter()
        .filter_map(|choice| choice.get("const")?.as_str().map(str::to_owned))
        .collect();
    if !names.is_empty() {
        return Type::OneOf(names);
    }
    let value = choices.iter().find(|c| c.get("type").is_none_or(|t| t != "null"));
    value.map_or(Type::Any, |value| compile(value, root))
}

fn integer(object: &Map<String, Json>) -> Type {
    let bound = |name: &str| object.get(name).and_then(Json::as_i64).map(i128::from);
    let (low, high) = match object.get("format").and_then(Json::as_str) {
        Some("uint8") => (0, u8::MAX.into()),
        Some("uint16") => (0, u16::MAX.into()),
        Some("uint32") => (0, u32::MAX.into()),
        Some("uint64") => (0, u64::MAX.into()),
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    };
    Type::Int {
        min: bound("minimum").unwrap_or(low),
        max: bound("maximum").unwrap_or(high),
        clamp: object.contains_key("x-clamp"),
    }
}

fn field(schema: &Json, root: &Json) -> Field {
    let unset = match schema.get("default") {
        None | Some(Json::Null | Json::Bool(_) | Json::Object(_)) => true,
        Some(Json::Number(n)) => n.as_f64() == Some(0.0),
        Some(Json::String(text)) => text.is_empty() || text == "0s",
        Some(Json::Array(items)) => items.is_empty(),
    };
    Field {
        ty: compile(schema, root),
        zero_is_default: !unset && schema.get("x-zero").is_none(),
    }
}

fn mapping(object: &Map<String, Json>, root: &Json) -> Type {
    if let Some(properties) = object.get("properties").and_then(Json::as_object) {
        let fields = properties
            .iter()
            .map(|(name, schema)| (name.clone(), field(schema, root)));
        let aliases = object.get("x-aliases").and_then(Json::as_object);
        let aliases = aliases.into_iter().flatten();
        return Type::Section(Section {
            fields: fields.collect(),
            aliases: aliases
                .filter_map(|(alias, name)| Some((alias.clone(), name.as_str()?.to_owned())))
                .collect(),
        });
    }
    match object.get("additionalProperties") {
        Some(values @ Json::Object(_)) => Type::Map(Box::new(compile(values, root))),
        Some(Json::Bool(true)) => Type::Map(Box::new(Type::Any)),
        _ => Type::Section(Section::default()),
    }
}
