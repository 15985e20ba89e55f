//! Urlencoded forms: `a=1&b%5B%5D=2` to the JSON tree that the worker gets.

use super::{
    BodyError, Settings, json, quote, spool,
    tree::{Leaf, Tree, TreeError},
    work,
};
use memchr::{memchr, memchr_iter, memchr3};
use rr_common::pool::Body;
use std::{
    borrow::Cow,
    collections::HashMap,
    io::{self, Write},
};

/// Fields of one form, empty ones included, as in the reference.
const MAX_FIELDS: usize = 10_000;

/// Larger forms are parsed on a blocking thread; up to here the hand-over would cost as much as the parsing.
const INLINE: usize = 16 << 10;

/// Why a text is no form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Too many fields.
    #[error("number of URL query parameters exceeded limit")]
    TooManyFields,
    /// The old separator `;`, which is refused even where it would be meant as text.
    #[error("invalid semicolon separator in query")]
    Semicolon,
    /// A percent sign without two hexadecimal digits.
    #[error("invalid URL escape {}", quote::quote(.0))]
    Escape(Vec<u8>),
    /// The names contradict each other.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl From<FormError> for BodyError {
    fn from(error: FormError) -> Self {
        Self::Form(error.to_string())
    }
}

/// A field's value.
#[derive(Debug)]
pub struct Value<'a>(Cow<'a, [u8]>);

impl Leaf for Value<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        json::string(&self.0, out)
    }
}

/// Fields in the order of their first appearance, the values of one name together.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    fields: Vec<(Cow<'a, [u8]>, Vec<Value<'a>>)>,
    index: HashMap<Cow<'a, [u8]>, usize>,
}

/// Up to this many names a look at each is cheaper than an index.
const FEW: usize = 8;

impl<'a> Fields<'a> {
    pub(super) fn push(&mut self, name: Cow<'a, [u8]>, value: Cow<'a, [u8]>) {
        let known = if self.fields.len() <= FEW {
            self.fields.iter().position(|(present, _)| *present == name)
        } else {
            if self.index.is_empty() {
                let names = self.fields.iter().enumerate();
                self.index = names.map(|(at, (name, _))| (name.clone(), at)).collect();
            }
            self.index.get(&name).copied()
        };
        match known {
            Some(at) => self.fields[at].1.push(Value(value)),
            None => {
                if !self.index.is_empty() {
                    self.index.insert(name.clone(), self.fields.len());
                }
                self.fields.push((name, vec![Value(value)]));
            }
        }
    }

    pub(super) fn into_tree(self) -> Result<Tree<Value<'a>>, TreeError> {
        let mut tree = Tree::default();
        for (name, values) in self.fields {
            tree.insert(&name, values)?;
        }
        Ok(tree)
    }
}

/// The tree of an urlencoded text.
///
/// # Errors
///
/// [`FormError`], in the reference's order of precedence.
pub fn parse(text: &[u8]) -> Result<Tree<Value<'_>>, FormError> {
    if memchr_iter(b'&', text).count() >= MAX_FIELDS {
        return Err(FormError::TooManyFields);
    }
    if memchr(b';', text).is_some() {
        return Err(FormError::Semicolon);
    }
    let mut fields = Fields::default();
    for field in text.split(|&byte| byte == b'&').filter(|field| !field.is_empty()) {
        let (name, value) = match memchr(b'=', field) {
            Some(at) => (&field[..at], &field[at + 1..]),
            None => (field, &[][..]),
        };
        fields.push(unescape(name)?, unescape(value)?);
    }
    Ok(fields.into_tree()?)
}

/// Percent-decodes a part of a query, `+` being a space.
pub(crate) fn unescape(text: &[u8]) -> Result<Cow<'_, [u8]>, FormError> {
    let Some(first) = memchr3(b'%', b'+', b'+', text) else {
        return Ok(Cow::Borrowed(text));
    };
    let mut decoded = Vec::with_capacity(text.len());
    decoded.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let digits = after
                    .first_chunk::<2>()
                    .and_then(|&[high, low]| Some((hex(high)?, hex(low)?)));
                let Some((high, low)) = digits else {
                    let escape = std::iter::once(&byte).chain(after.iter().take(2));
                    return Err(FormError::Escape(escape.copied().collect()));
                };
                decoded.push(high << 4 | low);
                rest = &after[2..];
            }
            b'+' => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    Ok(Cow::Owned(decoded))
}

/// The value of a hexadecimal digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// What the worker gets of a form's text: the JSON of the tree that `parse` makes of it.
pub(super) async fn tree<P>(text: Body, settings: &Settings, parse: P) -> Result<Body, BodyError>
where
    P: for<'a> FnOnce(&'a [u8]) -> Result<Tree<Value<'a>>, FormError> + Send + 'static,
{
    match text {
        Body::Bytes(text) if text.len() <= INLINE => {
            let mut json = Vec::with_capacity(text.len() + text.len() / 2);
            write(&parse(&text)?, &mut json)?;
            Ok(Body::Bytes(json.into()))
        }
        text => {
            let mut out = spool::Output::new(settings);
            work::large_form(settings.idle_timeout, move || {
                let text = spool::load(text)?;
                write(&parse(&text)?, &mut out)?;
                Ok(out.finish()?)
            })
            .await
        }
    }
}

/// A form without fields is an empty body, not an empty object.
fn write(tree: &Tree<Value<'_>>, out: &mut impl Write) -> io::Result<()> {
    if tree.is_empty() {
        return Ok(());
    }
    tree.write_json(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str) -> Result<String, String> {
        let mut out = Vec::new();
        parse(text.as_bytes())
            .map_err(|error| error.to_string())?
            .write_json(&mut out)
            .unwrap();
        Ok(String::from_utf8(out).unwrap())
    }

    /// HTTP-12: the table of the facts, and the corners of the reference's grammar.
    #[test]
    fn table() {
        for (text, expected) in [
            ("a=1&a=2", r#"{"a":"2"}"#),
            ("b[]=x&b[]=y", r#"{"b":["x","y"]}"#),
            ("c[k][z]=q", r#"{"c":{"k":{"z":"q"}}}"#),
            ("d[0][id]=7", r#"{"d":{"0":{"id":"7"}}}"#),
            ("e=", r#"{"e":""}"#),
            ("e", r#"{"e":""}"#),
            ("f[][g]=1&f[][g]=2", r#"{"f":{"":{"g":"2"}}}"#),
            ("a=&a[b]=2", r#"{"a":{"b":"2"}}"#),
            ("a[b]=2&a=", r#"{"a":{"b":"2"}}"#),
            ("a[]=&a[b]=2", r#"{"a":{"b":"2"}}"#),
            ("a=&a[b]=", r#"{"a":{"b":""}}"#),
            ("a=1&a[]=2", r#"{"a":["2"]}"#),
            ("a[]=2&a=1", r#"{"a":"1"}"#),
            ("a=1&a[]=", r#"{"a":"1"}"#),
            ("a[]=1", r#"{"a":["1"]}"#),
            ("a[b][]=1&a[b][]=2&a[c]=3", r#"{"a":{"b":["1","2"],"c":"3"}}"#),
            (
                "z=1&b=2&a=3&B=4&%C3%A9=5",
                r#"{"B":"4","a":"3","b":"2","z":"1","é":"5"}"#,
            ),
            ("%20a+b%20=1", r#"{"ab":"1"}"#),
            ("a%5Bb%5D=1%2B1+%26", r#"{"a":{"b":"1+1 \u0026"}}"#),
            (
                "a[b=1&a]c=2&a[[d]]=3&a[e]f=4",
                r#"{"a":{"b":"1","c":"2","d":"3","e":{"f":"4"}}}"#,
            ),
            ("[a]=1&=2&[]=3", r#"{"":["3"]}"#),
            ("a[=1", r#"{"a":"1"}"#),
            ("%ff=%e2%82", "{\"\u{fffd}\":\"\\ufffd\\ufffd\"}"),
            ("&&a=1&&", r#"{"a":"1"}"#),
        ] {
            // The bare [a] and the bare value contradict each other.
            let expected = if text.starts_with("[a]=1") {
                Err("invalid multiple values to key '' in tree".into())
            } else {
                Ok(expected.to_owned())
            };
            assert_eq!(json(text), expected, "{text}");
        }
    }

    #[test]
    fn errors() {
        for (text, expected) in [
            ("a=1&a[b]=2", "invalid multiple values to key 'a' in tree"),
            ("a[b]=2&a=1", "invalid multiple values to key 'a' in tree"),
            ("a[b]=2&a[]=1", "invalid multiple values to key 'a' in tree"),
            ("x[a][b]=2&x[a]=1", "invalid multiple values to key 'a' in tree"),
            ("a[b]=2&a=&a=", "invalid multiple values to key 'a' in tree"),
            ("a=%", r#"invalid URL escape "%""#),
            ("a=%4", r#"invalid URL escape "%4""#),
            ("%4g4=1", r#"invalid URL escape "%4g""#),
            ("a=%zz&b=;", "invalid semicolon separator in query"),
        ] {
            assert_eq!(json(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn bounds() {
        let deep = |levels: usize| format!("a{}=1", "[b]".repeat(levels - 1));
        assert!(json(&deep(127)).unwrap().len() > 127);
        assert_eq!(json(&deep(128)).unwrap(), "{}");
        assert_eq!(json(&format!("{}&c=1", deep(1000))).unwrap(), r#"{"c":"1"}"#);

        let mut text: String = (0..10_000).map(|at| format!("k{at}=&")).collect();
        assert_eq!(json(&text), Err("number of URL query parameters exceeded limit".into()));
        text.pop();
        assert!(json(&text).is_ok());

        let text: Vec<String> = (0..9_999).map(|at| format!("k{at}{}=1", "[b]".repeat(6))).collect();
        assert_eq!(json(&text.join("&")), Err("form has more than 50000 keys".into()));
    }

    proptest! {
        #[test]
        fn any_bytes(text: Vec<u8>) {
            if let Ok(tree) = parse(&text) {
                let mut out = Vec::new();
                tree.write_json(&mut out).unwrap();
                serde_json::from_slice::<serde_json::Value>(&out).unwrap();
            }
        }

        #[test]
        fn any_names(text in r"([ab]?(\[|\]|\[a?\]| |%5b|%ff){0,4}=1?&?){0,12}") {
            if let Ok(tree) = parse(text.as_bytes()) {
                let mut out = Vec::new();
                tree.write_json(&mut out).unwrap();
                serde_json::from_slice::<serde_json::Value>(&out).unwrap();
            }
        }

        /// With names that do not clash the values come out as they went in.
        #[test]
        fn values_survive(values in proptest::collection::vec(any::<String>(), 1..30)) {
            let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let text: Vec<_> = values.iter().enumerate().map(|(at, value)| format!("k[{at}]={}", encode(value))).collect();
            let tree: serde_json::Value = serde_json::from_str(&json(&text.join("&")).unwrap()).unwrap();
            for (at, value) in values.iter().enumerate() {
                prop_assert_eq!(tree["k"][at.to_string()].as_str().unwrap(), value);
            }
        }
    }
}
