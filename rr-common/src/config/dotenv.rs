//! `.env` files: `NAME=value` lines, `export`, comments, quotes, `$NAME` of earlier lines, as the reference's reader takes
//! them. Nothing here touches the process's own environment; the variables are handed to whoever starts processes.

use super::interpolate;
use std::collections::BTreeMap;

/// Why such a file cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) line: u32,
    pub(super) message: &'static str,
}

/// Reads a whole file's text.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, String>, BadLine> {
    let mut variables = BTreeMap::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(variables);
        }
        if rest.starts_with('#') {
            rest = after_line(rest);
            continue;
        }
        let read = &text[..text.len() - rest.len()];
        let line = u32::try_from(read.matches('\n').count() + 1).unwrap_or(u32::MAX);
        let bad = |message| BadLine { line, message };

        let statement = rest.strip_prefix("export ").unwrap_or(rest);
        let end = statement.find(['=', ':', '\n']).unwrap_or(statement.len());
        let (name, value) = (statement[..end].trim(), &statement[end..]);
        let value = value
            .strip_prefix(['=', ':'])
            .ok_or_else(|| bad("expected NAME=value"))?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(bad("a variable's name consists of letters, digits and underscores"));
        }

        let value = value.trim_start_matches([' ', '\t']);
        let lookup = |key: &str| variables.get(key).cloned();
        let (value, after) = if let Some(inner) = value.strip_prefix('\'') {
            let end = inner.find('\'').ok_or_else(|| bad("the quote is not closed"))?;
            (inner[..end].to_owned(), &inner[end + 1..])
        } else if let Some(inner) = value.strip_prefix('"') {
            let end = closing_quote(inner).ok_or_else(|| bad("the quote is not closed"))?;
            let plain = unescape(&inner[..end]);
            (interpolate::expand(&plain, &lookup), &inner[end + 1..])
        } else {
            let end = value.find('\n').unwrap_or(value.len());
            let plain = without_comment(&value[..end]);
            (interpolate::expand(plain, &lookup), &value[end..])
        };
        variables.insert(name.to_owned(), value);
        rest = after_line(after);
    }
}

fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

/// A comment begins at the start, or after a blank.
fn without_comment(value: &str) -> &str {
    let comment = value
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|at| *at == 0 || value[..*at].ends_with([' ', '\t']));
    value[..comment.unwrap_or(value.len())].trim_end()
}

/// Offset of the first quote that no backslash precedes.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| match c {
        '"' if !escaped => Some(at),
        _ => {
            escaped = c == '\\' && !escaped;
            None
        }
    })
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            (_, Some('n')) => out.push('\n'),
            (_, Some('r')) => out.push('\r'),
            (_, Some('$')) => out.push_str("\\$"),
            (_, Some(other)) => out.push(other),
            (c, None) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// CFG-06.
    #[test]
    fn every_form_is_read() {
        let text = "# a comment\nA=1\nexport B = two words # comment\nC='$A # raw'\nD=\"x\\n${A}\nnext line\" # c\nE: yaml\n\nF=\nG=a#b\nH=$A-$B\n";
        let found = parse(text).unwrap();
        let expect = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "$A # raw"),
            ("D", "x\n1\nnext line"),
            ("E", "yaml"),
            ("F", ""),
            ("G", "a#b"),
            ("H", "1-two words"),
        ];
        for (name, value) in expect {
            assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(found.len(), expect.len());
    }

    #[test]
    fn bad_lines_are_named() {
        assert_eq!(parse("A=1\nnonsense\n").unwrap_err().line, 2);
        assert_eq!(parse("A=\"open\n\n").unwrap_err().line, 1);
        assert_eq!(parse("\nA B=1").unwrap_err().line, 2);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[A-C=:\"'\\\\$#{} \\n\\té]*") {
            let _ = parse(&text);
        }
    }
}
