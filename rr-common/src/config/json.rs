//! JSON to [`Node`]. serde_json parses; a reader that counts the lines it has handed out gives every key its place.

use super::{
    diagnostic::Diagnostic,
    node::{Node, Origin, Value},
};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::{cell::Cell, collections::BTreeMap, fmt, io::Read, sync::Arc};

/// Hands out the text and counts: the line is that of the byte read last, a line break still belonging to its line.
struct Lines<'a> {
    rest: &'a [u8],
    line: &'a Cell<u32>,
    after_break: bool,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let (Some((first, rest)), Some(slot)) = (self.rest.split_first(), buffer.first_mut()) else {
            return Ok(0);
        };
        self.line.set(self.line.get() + u32::from(self.after_break));
        self.after_break = *first == b'\n';
        self.rest = rest;
        *slot = *first;
        Ok(1)
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    file: &'a Arc<str>,
    line: &'a Cell<u32>,
}

/// Reads a JSON text; an empty one is nothing.
pub(super) fn parse(text: &str, file: &Arc<str>) -> Result<Node, Diagnostic> {
    if text.trim().is_empty() {
        return Ok(Node::default());
    }
    let line = Cell::new(1);
    let reader = Lines {
        rest: text.as_bytes(),
        line: &line,
        after_break: false,
    };
    let mut json = serde_json::Deserializer::from_reader(reader);
    let root = Seed { file, line: &line }.deserialize(&mut json);
    root.and_then(|node| json.end().map(|()| node)).map_err(|e| {
        let line = u32::try_from(e.line()).unwrap_or(0);
        let text = e.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        Diagnostic::file(&**file, line, format!("not valid JSON: {text}"))
    })
}

impl Seed<'_> {
    fn node(self, value: Value) -> Node {
        Node::new(value, Origin::line(self.file, self.line.get()))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Node, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(self.node(Value::Null))
    }
    fn visit_bool<E>(self, v: bool) -> Result<Node, E> {
        Ok(self.node(Value::Bool(v)))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Node, E> {
        Ok(self.node(Value::Int(v.into())))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Node, E> {
        Ok(self.node(Value::Int(v.into())))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Node, E> {
        Ok(self.node(Value::Float(v)))
    }
    fn visit_str<E>(self, v: &str) -> Result<Node, E> {
        Ok(self.node(Value::Text(v.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let origin = Origin::line(self.file, self.line.get());
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Node::new(Value::List(items), origin))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let origin = Origin::line(self.file, self.line.get());
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let key = key.to_lowercase();
            let place = Origin::line(self.file, self.line.get());
            if entries.contains_key(&key) {
                return Err(A::Error::custom(format!("key {key:?} is defined twice")));
            }
            let node = map.next_value_seed(self)?;
            entries.insert(key, Node::new(node.value, place));
        }
        Ok(Node::new(Value::Map(entries), origin))
    }
}
