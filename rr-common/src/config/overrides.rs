//! `-o key=value`: parsed, expanded, and set in the tree.

use super::{
    diagnostic::Diagnostic,
    interpolate::{self, Lookup},
    node::{Node, Origin, Source, Value},
};
use std::{collections::BTreeMap, sync::Arc};

/// Sets one override; the value is a text, which later conversions make a number, a list or whatever the key needs.
pub(super) fn apply(tree: &mut Node, option: &str, lookup: Lookup<'_>) -> Result<(), Diagnostic> {
    let refuse = |message: &str| Diagnostic::file(format!("-o {option}"), 0, message);
    let (key, value) = option
        .trim_start_matches([' ', '"', '\'', '`'])
        .split_once('=')
        .ok_or_else(|| refuse("invalid flag, usage: -o key=value"))?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return Err(refuse("key should not be empty"));
    }
    if value.is_empty() {
        return Err(refuse("value should not be empty"));
    }
    let key = key.to_lowercase();
    if key.split('.').any(str::is_empty) {
        return Err(refuse("a part of the key is empty"));
    }
    let origin = |unexpanded| Origin {
        source: Source::Override(Arc::from(key.as_str())),
        line: 0,
        unexpanded,
    };
    let text = unquote(value);
    let expanded = interpolate::expand(&text, lookup);
    let unexpanded = (expanded != text).then(|| Arc::from(text));
    let node = Node::new(Value::Text(expanded), origin(unexpanded));
    set(tree, &key, node, &origin(None));
    Ok(())
}

/// Puts a value under a dotted key; whatever stands in the way and is no mapping is replaced.
pub(super) fn set(tree: &mut Node, key: &str, node: Node, origin: &Origin) {
    let mut place = tree;
    for part in key.split('.') {
        if place.map().is_none() {
            *place = Node::new(Value::Map(BTreeMap::new()), origin.clone());
        }
        let Value::Map(map) = &mut place.value else { return };
        place = map
            .entry(part.to_owned())
            .or_insert_with(|| Node::new(Value::Null, origin.clone()));
    }
    *place = node;
}

/// A quoted value loses its quotes, and the backslashes before such quotes.
fn unquote(value: &str) -> String {
    match value.chars().next() {
        Some(quote @ ('"' | '\'' | '`')) => {
            let inner = value.strip_prefix(quote).unwrap_or(value);
            let inner = inner.strip_suffix(quote).unwrap_or(inner);
            inner.replace(&format!("\\{quote}"), &quote.to_string())
        }
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// CFG-04.
    #[test]
    fn values_are_set_under_their_path() {
        let mut tree = Node::default();
        let env = |name: &str| (name == "P").then(|| "80".to_owned());
        for option in [
            "http.address=:$P",
            "HTTP.Pool.num_workers = 4",
            "server.command=\"php 'a b.php' \\\"q\\\"\"",
            "logs=x",
            "logs.level=debug",
            "rpc.listen=tcp://127.0.0.1:${R:-6001}",
            "a.b=c=d",
        ] {
            apply(&mut tree, option, &env).unwrap();
        }
        let text = |path: &str| tree.find(path.split('.')).and_then(Node::text);
        assert_eq!(text("http.address"), Some(":80"));
        assert_eq!(text("http.pool.num_workers"), Some("4"));
        assert_eq!(text("server.command"), Some("php 'a b.php' \"q\""));
        assert_eq!(text("logs.level"), Some("debug"));
        assert_eq!(text("rpc.listen"), Some("tcp://127.0.0.1:6001"));
        assert_eq!(text("a.b"), Some("c=d"));
        for bad in ["x", "=1", "a=", "a..b=1", " = "] {
            assert!(apply(&mut tree, bad, &env).is_err(), "{bad}");
        }
    }
}
