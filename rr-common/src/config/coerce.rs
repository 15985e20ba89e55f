//! Walks a tree along the schema: converts values weakly, as the reference does ("4" is 4, 1 is true, a text with commas is
//! a list), and gathers every wrong type and unknown key on the way. What remains fits the typed sections exactly; a value
//! that does not convert is reported and left out.

use super::{
    check,
    diagnostic::{Diagnostic, Findings},
    node::{Node, Value},
    scalar,
    schema::{Section, Type},
    weak,
};
use std::{borrow::Cow, collections::BTreeMap};

/// Converts one value; nothing remains of a null and of what does not convert.
pub(super) fn coerce(node: &Node, ty: &Type, path: &str, findings: &mut Findings) -> Option<Node> {
    if node.is_null() {
        return None;
    }
    let value = match ty {
        Type::Any => Ok(node.value.clone()),
        Type::Bool => weak::boolean(&node.value),
        Type::Int { min, max, clamp } => {
            let value = weak::integer(&node.value);
            value.and_then(|n| within(n, *min, *max, *clamp, node, path, findings))
        }
        Type::Float { min } => weak::float(&node.value, *min),
        Type::Text { format } => weak::text(&node.value, *format),
        Type::OneOf(names) => weak::one_of(&node.value, names),
        Type::Seconds => weak::seconds(&node.value),
        Type::Duration => weak::duration(node, path, findings),
        Type::Command => weak::command(node),
        Type::List(item) => list(node, item, path, findings),
        Type::Map(item) => {
            free_names(node, path, findings).map(|entries| Value::Map(names(&entries, item, path, findings)))
        }
        Type::Section(fields) => {
            mapping(node, path, findings).map(|entries| Value::Map(section(entries, fields, path, findings)))
        }
        Type::Driver(drivers) => mapping(node, path, findings)
            .map(|entries| driver(node, entries, drivers, path, findings).unwrap_or_default()),
    };
    match value {
        Ok(Value::Null) => None,
        Ok(value) => Some(Node::new(value, node.origin.clone())),
        Err(message) => {
            findings.errors.push(Diagnostic::at(&node.origin, path, message));
            None
        }
    }
}

/// A number in its bounds. A few keys of the reference cut what is too large.
fn within(
    n: i128,
    min: i128,
    max: i128,
    clamp: bool,
    node: &Node,
    path: &str,
    findings: &mut Findings,
) -> Result<Value, String> {
    if n < min {
        return Err(format!("must be at least {min}, found {n}"));
    }
    if n > max {
        let message = format!("must be at most {max}, found {n}");
        if !clamp {
            return Err(message);
        }
        let warning = Diagnostic::at(&node.origin, path, message).help(format!("taken as {max}"));
        findings.warnings.push(warning);
    }
    Ok(Value::Int(n.min(max)))
}

fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        _ => format!("{path}.{key}"),
    }
}

fn list(node: &Node, item: &Type, path: &str, findings: &mut Findings) -> Result<Value, String> {
    let split: Vec<Node>;
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Map(map) if map.is_empty() => &[],
        Value::Map(_) if !matches!(item, Type::Section(_) | Type::Map(_) | Type::Any) => {
            return Err(weak::expected("a list", &node.value));
        }
        Value::Text(text) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            split = parts
                .map(|part| Node::new(Value::Text(part.to_owned()), node.origin.clone()))
                .collect();
            split.as_slice()
        }
        _ => std::slice::from_ref(node),
    };
    let items = items.iter().enumerate();
    let items = items.filter_map(|(n, value)| coerce(value, item, &format!("{path}[{n}]"), findings));
    Ok(Value::List(items.collect()))
}

/// The entries of a mapping; an empty list is an empty mapping (PHP writes it so), and so is the placeholder `...`.
fn mapping<'a>(node: &'a Node, path: &str, findings: &mut Findings) -> Result<&'a BTreeMap<String, Node>, String> {
    static EMPTY: BTreeMap<String, Node> = BTreeMap::new();
    match &node.value {
        Value::Map(map) => Ok(map),
        Value::List(items) if items.is_empty() => Ok(&EMPTY),
        Value::Text(text) if text == "..." => {
            let message = "the placeholder `...` is taken as an empty mapping";
            findings.warnings.push(Diagnostic::at(&node.origin, path, message));
            Ok(&EMPTY)
        }
        other => Err(weak::expected("a mapping", other)),
    }
}

/// The entries of a mapping with free names, which may also be written as a list of small mappings (`env: [A: 1, B: 2]`).
fn free_names<'a>(
    node: &'a Node,
    path: &str,
    findings: &mut Findings,
) -> Result<Cow<'a, BTreeMap<String, Node>>, String> {
    if let Value::List(items) = &node.value
        && items.iter().all(|item| item.map().is_some())
    {
        let entries = items.iter().filter_map(Node::map).flatten();
        return Ok(Cow::Owned(entries.map(|(k, v)| (k.clone(), v.clone())).collect()));
    }
    mapping(node, path, findings).map(Cow::Borrowed)
}

fn names(entries: &BTreeMap<String, Node>, item: &Type, path: &str, findings: &mut Findings) -> BTreeMap<String, Node> {
    let entries = entries.iter().filter_map(|(name, node)| {
        let node = match item {
            // A variable or a header without a value is an empty one.
            Type::Text { .. } if node.is_null() => Node::new(Value::Text(String::new()), node.origin.clone()),
            _ => coerce(node, item, &join(path, name), findings)?,
        };
        Some((name.clone(), node))
    });
    entries.collect()
}

fn section(
    entries: &BTreeMap<String, Node>,
    section: &Section,
    path: &str,
    findings: &mut Findings,
) -> BTreeMap<String, Node> {
    let mut out = BTreeMap::new();
    for (given, node) in entries {
        let name = section.aliases.get(given).unwrap_or(given);
        let path = join(path, given);
        match section.fields.get(name) {
            Some(field) => {
                let node = coerce(node, &field.ty, &path, findings);
                // The key's own name wins over its alias when both are given.
                let shadowed = name != given && entries.contains_key(name);
                let unset = |node: &Node| field.zero_is_default && weak::zero(&node.value);
                if let Some(node) = node
                    && !shadowed
                    && !unset(&node)
                {
                    out.insert(name.clone(), node);
                }
            }
            None => findings.warnings.push(check::unknown_key(given, &path, node, section)),
        }
    }
    out
}

/// `driver` and `config`. A setting of the driver that stands beside `config` counts as if it stood inside.
fn driver(
    node: &Node,
    entries: &BTreeMap<String, Node>,
    drivers: &BTreeMap<String, Type>,
    path: &str,
    findings: &mut Findings,
) -> Option<Value> {
    let all = drivers.keys().cloned().collect::<Vec<_>>().join(", ");
    let Some(driver) = entries.get("driver").filter(|driver| !driver.is_null()) else {
        let message = format!("`driver` is missing, expected one of {all}");
        findings.errors.push(Diagnostic::at(&node.origin, path, message));
        return None;
    };
    let name = scalar::to_text(&driver.value);
    let Some(ty) = drivers.get(&name) else {
        let message = format!(
            "unknown driver, expected one of {all}, found {}",
            driver.value.describe()
        );
        let mut wrong = Diagnostic::at(&driver.origin, join(path, "driver"), message);
        let near = check::nearest(&name, drivers.keys().map(String::as_str));
        wrong.help = near.map(|near| format!("did you mean `{near}`?"));
        // The reference goes on without such a storage, so a file with one must start here too.
        match path.starts_with("kv.") {
            true => findings.warnings.push(wrong),
            false => findings.errors.push(wrong),
        }
        return None;
    };
    let place = join(path, "config");
    let empty = Node::new(Value::Map(BTreeMap::new()), node.origin.clone());
    let config = entries.get("config").filter(|config| !config.is_null());
    let mut config = coerce(config.unwrap_or(&empty), ty, &place, findings).unwrap_or(empty);
    for (key, value) in entries {
        if key == "driver" || key == "config" {
            continue;
        }
        let beside = join(path, key);
        let Type::Section(section) = ty else { continue };
        let Some(field) = section.fields.get(key) else {
            let warning = check::unknown_key(key, &beside, value, section);
            findings.warnings.push(warning);
            continue;
        };
        if let (Some(value), Value::Map(map)) = (coerce(value, &field.ty, &beside, findings), &mut config.value) {
            map.entry(key.clone()).or_insert(value);
        }
    }
    let driver = Node::new(Value::Text(name), driver.origin.clone());
    let entries = [("driver".to_owned(), driver), ("config".to_owned(), config)];
    Some(Value::Map(entries.into()))
}
