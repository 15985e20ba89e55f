//! `config show`: the resolved configuration as YAML, each value with the place that it comes from.

use super::{
    Loaded,
    node::{Node, Source},
    scalar,
};
use serde_json::{Map, Value as Json};
use std::fmt::Write;

/// What `config show` prints.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShowOptions {
    /// The place of each value, as a comment behind it.
    pub origin: bool,
    /// Passwords, keys and tokens as they are, not masked.
    pub secrets: bool,
}

/// Column in which the comments begin, where the values leave room.
const COMMENT: usize = 48;

/// The resolved configuration, defaults included, as YAML that loads again (secrets apart).
pub fn show(loaded: &Loaded, options: ShowOptions) -> String {
    let mut printer = Printer {
        options,
        out: String::new(),
    };
    match serde_json::to_value(&loaded.config) {
        Ok(Json::Object(mut sections)) => {
            // Sections of custom plugins have no type; they are shown as they were written.
            if let Json::Object(tree) = &loaded.tree {
                for (name, section) in tree {
                    sections.entry(name).or_insert_with(|| section.clone());
                }
            }
            printer.map(&sections, Some(&loaded.root), 0, false);
        }
        other => printer.out = format!("{other:?}"),
    }
    printer.out
}

struct Printer {
    options: ShowOptions,
    out: String,
}

impl Printer {
    fn map(&mut self, map: &Map<String, Json>, node: Option<&Node>, depth: usize, env: bool) {
        for (key, value) in map {
            let node = node.and_then(|node| node.get(key));
            let secret = !self.options.secrets && is_secret(key, env);
            let start = self.out.len();
            let _ = write!(self.out, "{:depth$}{}:", "", quoted(key), depth = depth * 2);
            match value {
                Json::Null => {
                    self.out.truncate(start);
                }
                Json::Object(inner) if !inner.is_empty() => {
                    self.out.push('\n');
                    self.map(inner, node, depth + 1, key == "env" || key == "headers");
                }
                Json::Array(items) if items.iter().any(Json::is_object) => {
                    self.out.push('\n');
                    self.list(items, node, depth + 1);
                }
                value => {
                    let shown = if secret && !is_unset(value) {
                        "\"***\"".to_owned()
                    } else {
                        self.inline(value)
                    };
                    let _ = write!(self.out, " {shown}");
                    self.comment(node, start, secret);
                }
            }
        }
    }

    /// A list of mappings.
    fn list(&mut self, items: &[Json], node: Option<&Node>, depth: usize) {
        let nodes = match node.map(|node| &node.value) {
            Some(super::Value::List(nodes)) => nodes.as_slice(),
            _ => &[],
        };
        for (n, item) in items.iter().enumerate() {
            let start = self.out.len();
            match item {
                Json::Object(map) => {
                    self.map(map, nodes.get(n), depth + 1, false);
                    // The first key's indentation becomes the dash.
                    let dash = start + depth * 2;
                    if self.out.get(dash..dash + 2) == Some("  ") {
                        self.out.replace_range(dash..dash + 2, "- ");
                    }
                }
                other => {
                    let _ = write!(self.out, "{:depth$}- {}", "", self.inline(other), depth = depth * 2);
                    self.comment(nodes.get(n), start, false);
                }
            }
        }
    }

    fn inline(&self, value: &Json) -> String {
        match value {
            Json::String(text) if self.options.secrets => quoted(text),
            Json::String(text) => quoted(&without_password(text)),
            Json::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.inline(item)).collect();
                format!("[{}]", items.join(", "))
            }
            other => other.to_string(),
        }
    }

    fn comment(&mut self, node: Option<&Node>, start: usize, secret: bool) {
        if self.options.origin {
            let width = self.out[start..].chars().count();
            let gap = COMMENT.saturating_sub(width).max(2);
            let mut origin = node.map(|node| node.origin.clone()).unwrap_or_default();
            if secret {
                // The default inside `${DB_PASSWORD:-…}` is a secret too.
                origin.unexpanded = None;
            }
            let origin = origin.to_string().replace(['\n', '\r'], " ");
            let shown = match self.options.secrets {
                true => origin,
                false => without_password(&origin),
            };
            let _ = write!(self.out, "{:gap$}# {shown}", "");
        }
        self.out.push('\n');
    }
}

fn is_unset(value: &Json) -> bool {
    matches!(value, Json::String(text) if text.is_empty()) || *value == Json::Bool(false)
}

/// Keys whose values are nobody's business; in `env` and `headers` the names are the user's own.
fn is_secret(key: &str, env: bool) -> bool {
    let key = key.to_lowercase();
    if env {
        return [
            "password",
            "passwd",
            "secret",
            "token",
            "key",
            "credential",
            "authorization",
            "cookie",
        ]
        .iter()
        .any(|word| key.contains(word));
    }
    matches!(
        key.as_str(),
        "password" | "sentinel_password" | "secret" | "secret_key" | "access_key" | "session_token" | "token" | "nonce"
    )
}

/// The password of a `scheme://user:password@host` is masked.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
        Some((user, password)) => {
            let after = &rest[user.len() + 1 + password.len()..];
            format!("{scheme}://{user}:***{after}")
        }
        None => text.to_owned(),
    }
}

/// A text as YAML: bare where that is safe, otherwise in double quotes.
fn quoted(text: &str) -> String {
    let harmless =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | ':' | '@' | '-' | '+' | '=' | '%' | '*');
    let bare = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_'))
        && text.chars().all(harmless)
        && !text.ends_with(':')
        && matches!(scalar::resolve(text.to_owned()), super::Value::Text(_));
    match bare {
        true => text.to_owned(),
        false => Json::String(text.to_owned()).to_string(),
    }
}

impl Loaded {
    /// True when a value was given by somebody: a file or `-o`.
    pub fn is_set(&self, key: &str) -> bool {
        self.origin(key).source != Source::Default
    }
}
