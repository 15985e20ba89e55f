//! `version` and `include`: the format's version is checked, and the included files' sections replace those before them.

use super::{
    coerce::coerce,
    diagnostic::{Diagnostic, Findings},
    files::parse_file,
    interpolate::{self, Lookup},
    node::{Node, Value},
    schema,
};
use std::{path::Path, sync::Arc};

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float64",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
        Value::Null | Value::Text(_) => "string",
    }
}

pub(super) fn check_version(tree: &Node, file: &str, findings: &mut Findings) {
    let Some(node) = tree.get("version") else {
        let message = "rr configuration file should contain a version e.g: version: 3";
        findings
            .errors
            .push(Diagnostic::file(file, 0, message).help("add the line `version: \"3\"`"));
        return;
    };
    let at = |message: String| Diagnostic::at(&node.origin, "version", message);
    match node.text() {
        Some("3") => {}
        Some("2.7") => findings
            .warnings
            .push(at("version 2.7 is read like version 3".into()).help("write `version: \"3\"`")),
        Some(other) => findings
            .warnings
            .push(at(format!("unknown version {other:?}, read like version 3"))),
        None => findings.errors.push(at(format!(
            "version should be a string: `version: \"3\"`, actual type is: {}",
            go_type(&node.value)
        ))),
    }
}

/// Reads the included files; each one's sections replace those before it, and those of `-o`.
pub(super) fn include(tree: &mut Node, name: &str, base_dir: &Path, lookup: Lookup<'_>, findings: &mut Findings) {
    let list = schema::Type::List(Box::new(schema::Type::Text {
        format: schema::Format::Plain,
    }));
    let Some(files) = tree
        .get("include")
        .and_then(|node| coerce(node, &list, "include", findings))
    else {
        return;
    };
    let Value::List(files) = files.value else { return };
    let version = tree.get("version").and_then(Node::text).map(str::to_owned);
    for node in &files {
        let Some(file) = node.text() else { continue };
        let shown: Arc<str> = file.into();
        let mut included = match parse_file(&base_dir.join(file), &shown) {
            Ok(included) => included,
            Err(error) => {
                let place = match &node.origin.line {
                    0 => String::new(),
                    line => format!("included from {name}:{line}"),
                };
                findings
                    .errors
                    .push(if place.is_empty() { error } else { error.help(place) });
                continue;
            }
        };
        interpolate::expand_tree(&mut included, lookup);
        match included.get("version").map(|node| (node, node.text())) {
            None => {
                let message = "rr configuration file should contain a version e.g: version: 3";
                findings.errors.push(Diagnostic::file(file, 0, message));
            }
            Some((node, None)) => {
                let message = format!("type of version should be string, actual: {}", go_type(&node.value));
                findings.errors.push(Diagnostic::at(&node.origin, "version", message));
            }
            Some((node, Some(text))) if version.as_deref().is_some_and(|version| version != text) => {
                let message = "version in included file must be the same as in root";
                findings.errors.push(Diagnostic::at(&node.origin, "version", message));
            }
            Some(_) => {}
        }
        let (Value::Map(from), Value::Map(into)) = (included.value, &mut tree.value) else {
            continue;
        };
        for (section, node) in from {
            match section.as_str() {
                "include" => findings.warnings.push(Diagnostic::at(
                    &node.origin,
                    "include",
                    "an included file cannot include further files",
                )),
                "version" => {}
                _ if node.is_null() => {}
                _ => {
                    into.insert(section, node);
                }
            }
        }
    }
}
