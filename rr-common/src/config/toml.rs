//! TOML to [`Node`]; the parser bounds the nesting itself.

use super::{
    diagnostic::Diagnostic,
    node::{Node, Origin, Value},
};
use std::{collections::BTreeMap, ops::Range, sync::Arc};
use toml::de::{DeTable, DeValue};

struct Reader<'a> {
    file: &'a Arc<str>,
    /// Offset of each line's first byte.
    starts: Vec<usize>,
}

/// Reads a TOML text.
pub(super) fn parse(text: &str, file: &Arc<str>) -> Result<Node, Diagnostic> {
    let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
    let reader = Reader {
        file,
        starts: std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect(),
    };
    let table = DeTable::parse(text).map_err(|e| {
        let line = e.span().map_or(0, |span| reader.line(&span));
        Diagnostic::file(&**file, line, format!("not valid TOML: {}", e.message()))
    })?;
    let value = reader.table(table.get_ref())?;
    Ok(Node::new(value, Origin::line(file, 1)))
}

impl Reader<'_> {
    fn line(&self, span: &Range<usize>) -> u32 {
        let line = self.starts.partition_point(|start| *start <= span.start);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    fn table(&self, table: &DeTable<'_>) -> Result<Value, Diagnostic> {
        let mut entries: BTreeMap<String, Node> = BTreeMap::new();
        for (key, value) in table {
            let line = self.line(&key.span());
            let node = Node::new(self.value(value.get_ref(), line)?, Origin::line(self.file, line));
            let name = key.get_ref().to_lowercase();
            if let Some(other) = entries.get(&name) {
                let message = format!("key {name:?} is defined twice, in different case");
                return Err(Diagnostic::file(&**self.file, line.max(other.origin.line), message));
            }
            entries.insert(name, node);
        }
        Ok(Value::Map(entries))
    }

    fn value(&self, value: &DeValue<'_>, line: u32) -> Result<Value, Diagnostic> {
        Ok(match value {
            DeValue::Boolean(b) => Value::Bool(*b),
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Datetime(date) => Value::Text(date.to_string()),
            DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
                Ok(n) => Value::Int(n.into()),
                Err(_) => {
                    return Err(Diagnostic::file(
                        &**self.file,
                        line,
                        format!("{n} is no 64-bit integer"),
                    ));
                }
            },
            DeValue::Float(x) => match x.as_str().parse() {
                Ok(x) => Value::Float(x),
                Err(_) => return Err(Diagnostic::file(&**self.file, line, format!("{x} is no number"))),
            },
            DeValue::Array(items) => {
                let items = items.iter().map(|item| {
                    let line = self.line(&item.span());
                    Ok(Node::new(
                        self.value(item.get_ref(), line)?,
                        Origin::line(self.file, line),
                    ))
                });
                Value::List(items.collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => self.table(table)?,
        })
    }
}
