//! `$VAR`, `${VAR}` and `${VAR:-default}` in texts.
//!
//! An unset and an empty variable both take the default; without one they become nothing. Each variable is replaced by
//! itself: the reference empties the whole text when only some of its variables have a default, and drops `$` before a
//! digit or a sign; here these stay as written. A default may hold further variables.

use super::node::{Node, Value};
use std::sync::Arc;

/// Where variables are looked up.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Defaults inside defaults that are still followed.
const MAX_DEPTH: usize = 8;

/// Replaces the variables of a text by those of our environment, as in a configuration.
pub fn expand_env(text: &str) -> String {
    expand(text, &|name| std::env::var(name).ok())
}

/// Replaces the variables of a text.
pub(super) fn expand(text: &str, lookup: Lookup<'_>) -> String {
    expand_to_depth(text, lookup, MAX_DEPTH)
}

fn expand_to_depth(text: &str, lookup: Lookup<'_>, depth: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(inner) = after.strip_prefix('{').and_then(braced) {
            let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
            match lookup(name).filter(|value| !value.is_empty()) {
                Some(value) => out.push_str(&value),
                None if depth > 0 && default.contains('$') => {
                    out.push_str(&expand_to_depth(default, lookup, depth - 1));
                }
                None => out.push_str(default),
            }
            rest = &after[inner.len() + 2..];
            continue;
        }
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let name = &after[..end.unwrap_or(after.len())];
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            out.push('$');
            rest = after;
        } else {
            out.push_str(&lookup(name).unwrap_or_default());
            rest = &after[name.len()..];
        }
    }
    out.push_str(rest);
    out
}

/// What stands between an opening brace and its closing one.
fn braced(text: &str) -> Option<&str> {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' if text[..at].ends_with('$') => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&text[..at]);
        }
    }
    None
}

/// Replaces the variables in every text of a tree; the text as it was written is kept in the origin.
pub(super) fn expand_tree(node: &mut Node, lookup: Lookup<'_>) {
    match &mut node.value {
        Value::Text(text) if text.contains('$') => {
            let expanded = expand(text, lookup);
            if expanded != *text {
                node.origin.unexpanded = Some(Arc::from(text.as_str()));
                *text = expanded;
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| expand_tree(item, lookup)),
        Value::Map(map) => map.values_mut().for_each(|value| expand_tree(value, lookup)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/root".into()),
            "EMPTY" => Some(String::new()),
            "PORT" => Some("8080".into()),
            _ => None,
        }
    }

    /// CFG-03.
    #[test]
    fn variables_are_replaced() {
        for (given, expected) in [
            ("$HOME/x", "/root/x"),
            ("${HOME}x", "/rootx"),
            ("tcp://127.0.0.1:${RPC_PORT:-36643}", "tcp://127.0.0.1:36643"),
            ("${EMPTY:-d}|${EMPTY}|$NONE|", "d|||"),
            ("a${HOME}-${N:-d}", "a/root-d"),
            ("${A:-${PORT}}", "8080"),
            ("${A:-b:-c}", "b:-c"),
            ("cost $5, $$, 100$", "cost $5, $$, 100$"),
            ("^a$|${", "^a$|${"),
            ("${}x", "x"),
        ] {
            assert_eq!(expand(given, &env), expected, "{given}");
        }
    }

    proptest! {
        #[test]
        fn any_text_expands(text in "[${}:a-zé-]*") {
            let _ = expand(&text, &env);
        }
    }
}
