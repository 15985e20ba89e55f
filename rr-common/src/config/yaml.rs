//! YAML to [`Node`], as RoadRunner's parser (yaml.v3) reads it: anchors, aliases, merge keys `<<`, duplicate keys refused,
//! only the first document. Depth, and the size that aliases may expand to, are bounded.
//!
//! The parser hands out events; this file keeps the stack of open lists and mappings itself, so that no input can
//! exhaust the thread's stack.

use super::{
    diagnostic::Diagnostic,
    node::{Node, Origin, Value},
    scalar,
};
use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Deepest nesting of a configuration file.
pub(super) const MAX_DEPTH: usize = 64;
/// Largest sum of what anchors and aliases copy, in bytes, roughly.
const MAX_EXPANDED: usize = 16 << 20;

/// A list or mapping that is not yet complete.
enum Open {
    List {
        items: Vec<Node>,
        anchor: usize,
        origin: Origin,
    },
    Map {
        entries: BTreeMap<String, Node>,
        key: Option<(String, Origin)>,
        merged: Vec<Node>,
        anchor: usize,
        origin: Origin,
    },
}

struct Builder<'a> {
    file: &'a Arc<str>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    expanded: usize,
    root: Option<Node>,
}

/// Reads the first document of a YAML text.
pub(super) fn parse(text: &str, file: &Arc<str>) -> Result<Node, Diagnostic> {
    let mut builder = Builder {
        file,
        open: Vec::new(),
        anchors: HashMap::new(),
        expanded: 0,
        root: None,
    };
    let mut like_libyaml = Options::default();
    like_libyaml.block_scalar_eof_without_line_feed = true;
    for event in Parser::new_from_str_with_options(text, like_libyaml) {
        let (event, span) = event.map_err(|e| {
            let line = u32::try_from(e.marker().line()).unwrap_or(0);
            Diagnostic::file(&**file, line, format!("not valid YAML: {}", e.info()))
        })?;
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        builder.event(event, span)?;
    }
    Ok(builder.root.unwrap_or_default())
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        let line = u32::try_from(span.start.line()).unwrap_or(0);
        let origin = Origin::line(self.file, line);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let merge = style == ScalarStyle::Plain && text == "<<";
                let value = resolve(text.into_owned(), style, tag.as_deref());
                self.complete(Node::new(value, origin), anchor, merge)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().ok_or_else(|| {
                    Diagnostic::file(
                        &**self.file,
                        line,
                        "an alias stands inside the value that its anchor names",
                    )
                })?;
                self.charge(&node, line)?;
                self.complete(Node::new(node.value, origin), 0, false)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(
                Open::List {
                    items: Vec::new(),
                    anchor,
                    origin,
                },
                line,
            ),
            Event::MappingStart(_, anchor, _) => self.begin(
                Open::Map {
                    entries: BTreeMap::new(),
                    key: None,
                    merged: Vec::new(),
                    anchor,
                    origin,
                },
                line,
            ),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { items, anchor, origin }) => {
                    self.complete(Node::new(Value::List(items), origin), anchor, false)
                }
                Some(Open::Map {
                    mut entries,
                    merged,
                    anchor,
                    origin,
                    ..
                }) => {
                    // What is written out wins over what is merged, and an earlier merged mapping over a later one.
                    for node in merged {
                        if let Value::Map(map) = node.value {
                            for (key, node) in map {
                                entries.entry(key).or_insert(node);
                            }
                        }
                    }
                    self.complete(Node::new(Value::Map(entries), origin), anchor, false)
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: Open, line: u32) -> Result<(), Diagnostic> {
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return Err(Diagnostic::file(&**self.file, line, "a key must be a text"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Diagnostic::file(
                &**self.file,
                line,
                format!("nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        self.open.push(open);
        Ok(())
    }

    /// Counts a copy, of an anchored value or for an alias: both can multiply a small file.
    fn charge(&mut self, node: &Node, line: u32) -> Result<(), Diagnostic> {
        self.expanded += weight(node);
        if self.expanded > MAX_EXPANDED {
            let message = "the anchors and aliases of this file expand to too much data";
            return Err(Diagnostic::file(&**self.file, line, message));
        }
        Ok(())
    }

    /// Puts a complete value where it belongs: into the open list or mapping, or at the root.
    fn complete(&mut self, node: Node, anchor: usize, merge: bool) -> Result<(), Diagnostic> {
        if anchor > 0 {
            self.charge(&node, node.origin.line)?;
            self.anchors.insert(anchor, node.clone());
        }
        let error = |line, message: String| Err(Diagnostic::file(&**self.file, line, message));
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { key: slot @ None, .. }) => {
                let line = node.origin.line;
                let name = match node.value {
                    _ if merge => "<<".to_owned(),
                    Value::Text(text) if text == "<<" => "\"<<\"".to_owned(),
                    Value::List(_) | Value::Map(_) => return error(line, "a key must be a text".into()),
                    Value::Null => "null".to_owned(),
                    value => scalar::to_text(&value).to_lowercase(),
                };
                *slot = Some((name, node.origin));
            }
            Some(Open::Map {
                entries, key, merged, ..
            }) => {
                let Some((name, origin)) = key.take() else {
                    return Ok(());
                };
                let line = origin.line;
                if name == "<<" {
                    match node.value {
                        Value::Map(_) => merged.push(node),
                        Value::List(list) if list.iter().all(|n| n.map().is_some()) => merged.extend(list),
                        _ => return error(line, "`<<` needs a mapping or a list of mappings".into()),
                    }
                } else if let Some(first) = entries.get(&name) {
                    let first = first.origin.line;
                    return error(line, format!("key {name:?} is already defined at line {first}"));
                } else {
                    entries.insert(name, Node::new(node.value, origin));
                }
            }
        }
        Ok(())
    }
}

/// The value of a scalar: quoted ones are texts, plain ones are resolved, an explicit core tag decides.
fn resolve(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    match tag.map(|tag| tag.core_suffix()) {
        // `!!str`, and types of the user's own.
        Some(Some("str") | None) => Value::Text(text),
        Some(Some(_)) => scalar::resolve(text),
        None if style == ScalarStyle::Plain => scalar::resolve(text),
        None => Value::Text(text),
    }
}

/// Bytes that a tree takes, roughly.
fn weight(node: &Node) -> usize {
    let own = size_of::<Node>();
    own + match &node.value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.iter().map(weight).sum(),
        Value::Map(map) => map.iter().map(|(k, v)| k.len() + weight(v)).sum(),
        _ => 0,
    }
}
