//! The untyped tree that every file format is read into: each value knows where it was written.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// A value and its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written; for a mapping's value the line of its key.
    pub origin: Origin,
}

/// A value as YAML, JSON and TOML know them.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing: the same as an absent key.
    #[default]
    Null,
    /// true or false.
    Bool(bool),
    /// A whole number; every format's 64-bit integers fit.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping; its keys are in lower case.
    Map(BTreeMap<String, Node>),
}

/// Where a value comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// File, option or default.
    pub source: Source,
    /// Line in the file, from 1; 0 when there is none.
    pub line: u32,
    /// The text before its variables were expanded, when it had any.
    pub unexpanded: Option<Arc<str>>,
}

/// Who gave a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Nobody: the default.
    #[default]
    Default,
    /// A file, as it was named.
    File(Arc<str>),
    /// `-o` with this key.
    Override(Arc<str>),
}

impl Origin {
    /// A line of a file.
    pub fn line(file: &Arc<str>, line: u32) -> Self {
        Self {
            source: Source::File(file.clone()),
            line,
            unexpanded: None,
        }
    }

    /// The name for diagnostics.
    pub(super) fn file(&self) -> String {
        match &self.source {
            Source::Default => String::new(),
            Source::File(file) => file.to_string(),
            Source::Override(key) => format!("-o {key}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Default => return f.write_str("default"),
            Source::File(file) => write!(f, "{file}:{}", self.line)?,
            Source::Override(key) => write!(f, "-o {key}")?,
        }
        match &self.unexpanded {
            Some(text) => write!(f, ", from {text}"),
            None => Ok(()),
        }
    }
}

impl Node {
    /// A value at a place.
    pub fn new(value: Value, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// The mapping, when it is one.
    pub fn map(&self) -> Option<&BTreeMap<String, Node>> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The text, when it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// True for nothing.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The value under a key of a mapping; nulls count as absent.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.map()?.get(key).filter(|node| !node.is_null())
    }

    /// The value under a path of keys.
    pub fn find<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Node> {
        path.into_iter().try_fold(self, |node, key| node.get(key))
    }

    /// The same as JSON; a number that JSON cannot hold becomes null.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(n) => match (i64::try_from(*n), u64::try_from(*n)) {
                (Ok(n), _) => n.into(),
                (_, Ok(n)) => n.into(),
                _ => Json::Null,
            },
            Value::Float(x) => (*x).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(map) => map.iter().map(|(k, v)| (k.clone(), v.to_json())).collect(),
        }
    }
}

impl Value {
    /// What was found, for a message: kind and, for scalars, the value.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Bool(b) => b.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Float(x) => x.to_string(),
            Self::Text(text) if text.chars().count() > 60 => "a long text".into(),
            Self::Text(text) => format!("{text:?}"),
            Self::List(_) => "a list".into(),
            Self::Map(_) => "a mapping".into(),
        }
    }
}
