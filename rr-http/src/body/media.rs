//! Media types and content dispositions with their parameters, as Go's `mime` package reads them.
//!
//! Parameters are tokens or quoted strings; in a quoted string a backslash escapes only a special character, because
//! old browsers send `"C:\dir\file"`. Extended parameters (`name*=utf-8''...`, `name*0=`, `name*1*=`, RFC 2231) are
//! decoded and stitched together.

use super::form::hex;
use std::collections::BTreeMap;

/// A media type, or the disposition of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaType {
    kind: String,
    params: BTreeMap<String, Vec<u8>>,
}

/// Why a text is no media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// It begins with no token.
    #[error("mime: no media type")]
    NoMediaType,
    /// Something else than a slash follows the type.
    #[error("mime: expected slash after first token")]
    NoSlash,
    /// No token follows the slash.
    #[error("mime: expected token after slash")]
    NoSubtype,
    /// Something else than a semicolon follows the subtype.
    #[error("mime: unexpected content after media subtype")]
    AfterSubtype,
    /// A parameter breaks the grammar.
    #[error("mime: invalid media parameter")]
    InvalidParameter,
    /// A parameter has two different values.
    #[error("mime: duplicate parameter name")]
    Duplicate,
}

impl MediaType {
    /// True if the type, without its parameters, is this one; give it in lower case.
    pub fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    /// A parameter by its lower-case name.
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        self.params.get(name).map(Vec::as_slice)
    }
}

/// Parses a header's value.
///
/// # Errors
///
/// [`MediaError`], the first that is found.
pub fn parse(text: &[u8]) -> Result<MediaType, MediaError> {
    let (kind, mut rest) = text.split_at(text.iter().position(|&byte| byte == b';').unwrap_or(text.len()));
    let kind = kind.trim_ascii().to_ascii_lowercase();
    check_kind(&kind)?;
    let mut params = BTreeMap::new();
    // Parameters with an asterisk, by the name before it.
    let mut extended: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    loop {
        rest = trim_start(rest);
        if rest.is_empty() {
            break;
        }
        let Some((name, value, after)) = parameter(rest) else {
            // A semicolon at the end is no error.
            if rest.trim_ascii() == b";" {
                break;
            }
            return Err(MediaError::InvalidParameter);
        };
        let group = match name.split_once('*') {
            Some((base, _)) => extended.entry(base.to_owned()).or_default(),
            None => &mut params,
        };
        if group.get(&name).is_some_and(|present| *present != value) {
            return Err(MediaError::Duplicate);
        }
        group.insert(name, value);
        rest = after;
    }
    for (name, pieces) in extended {
        if let Some(value) = stitch(&name, &pieces) {
            params.insert(name, value);
        }
    }
    let kind = String::from_utf8_lossy(&kind).into_owned();
    Ok(MediaType { kind, params })
}

fn check_kind(kind: &[u8]) -> Result<(), MediaError> {
    let (first, rest) = token(kind);
    match (first, rest.split_first()) {
        ([], _) => Err(MediaError::NoMediaType),
        (_, None) => Ok(()),
        (_, Some((b'/', rest))) => match token(rest) {
            ([], _) => Err(MediaError::NoSubtype),
            (_, []) => Ok(()),
            _ => Err(MediaError::AfterSubtype),
        },
        _ => Err(MediaError::NoSlash),
    }
}

/// `; name = value` at the start of a text: the name in lower case, the value, and what follows.
fn parameter(text: &[u8]) -> Option<(String, Vec<u8>, &[u8])> {
    let (name, rest) = token(trim_start(text.strip_prefix(b";")?));
    if name.is_empty() {
        return None;
    }
    let rest = trim_start(trim_start(rest).strip_prefix(b"=")?);
    let (value, rest) = if rest.starts_with(b"\"") {
        quoted(&rest[1..])?
    } else {
        let (value, rest) = token(rest);
        if value.is_empty() {
            return None;
        }
        (value.to_vec(), rest)
    };
    Some((String::from_utf8_lossy(name).to_ascii_lowercase(), value, rest))
}

/// The rest of a quoted string, without escapes, and what follows its closing quote.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut bytes = text.iter().copied().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((value, &text[at + 1..])),
            b'\\' => match bytes.next_if(|&(_, next)| is_special(next)) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push(byte),
            },
            b'\r' | b'\n' => return None,
            _ => value.push(byte),
        }
    }
    None
}

/// The value of an extended parameter: `name*`, or else `name*0`, `name*1*` and so on.
fn stitch(name: &str, pieces: &BTreeMap<String, Vec<u8>>) -> Option<Vec<u8>> {
    if let Some(whole) = pieces.get(&format!("{name}*")) {
        return with_charset(whole);
    }
    let mut value = None;
    for number in 0.. {
        let plain = format!("{name}*{number}");
        let piece = match pieces.get(&plain) {
            Some(piece) => piece.clone(),
            None => match pieces.get(&(plain + "*")) {
                Some(piece) if number == 0 => with_charset(piece).unwrap_or_default(),
                Some(piece) => percent_decode(piece).unwrap_or_default(),
                None => break,
            },
        };
        value.get_or_insert_with(Vec::new).extend(piece);
    }
    value
}

/// `charset'language'percent-encoded`; only UTF-8 and its subset are known.
fn with_charset(text: &[u8]) -> Option<Vec<u8>> {
    let mut parts = text.splitn(3, |&byte| byte == b'\'');
    let charset = parts.next()?.to_ascii_lowercase();
    let _language = parts.next()?;
    let value = parts.next()?;
    matches!(charset.as_slice(), b"us-ascii" | b"utf-8").then(|| percent_decode(value))?
}

fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            _ => byte,
        });
    }
    Some(decoded)
}

/// The longest token at the start of a text, and what follows.
fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|&byte| !byte.is_ascii_graphic() || is_special(byte));
    text.split_at(end.unwrap_or(text.len()))
}

fn is_special(byte: u8) -> bool {
    b"()<>@,;:\\\"/[]?=".contains(&byte)
}

fn trim_start(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn param(text: &str) -> Option<String> {
        let parsed = parse(text.as_bytes()).unwrap();
        parsed
            .param("f")
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    #[test]
    fn types() {
        assert!(
            parse(b" Multipart/Form-Data ; boundary=x")
                .unwrap()
                .is("multipart/form-data")
        );
        assert!(parse(b"form-data").unwrap().is("form-data"));
        for (text, error) in [
            ("", MediaError::NoMediaType),
            ("; a=1", MediaError::NoMediaType),
            ("text plain", MediaError::NoSlash),
            ("text/", MediaError::NoSubtype),
            ("text/plain x", MediaError::AfterSubtype),
            ("text/plain; a", MediaError::InvalidParameter),
            ("text/plain; a=", MediaError::InvalidParameter),
            ("text/plain; a=\"x", MediaError::InvalidParameter),
            ("text/plain; a=1;; b=2", MediaError::InvalidParameter),
            ("text/plain; a=1; A=2", MediaError::Duplicate),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn parameters() {
        for (text, value) in [
            ("t; f=x", Some("x")),
            ("t;F = x ; g=1;", Some("x")),
            ("t; f=x; f=x", Some("x")),
            (r#"t; f="a b;=\"\\c""#, Some(r#"a b;="\c"#)),
            (r#"t; f="C:\dir\file.txt""#, Some(r"C:\dir\file.txt")),
            (r#"t; f="""#, Some("")),
            ("t; f*=utf-8''%e2%82%ac%20x", Some("€ x")),
            ("t; f*=UTF-8'en'a; f=b", Some("a")),
            ("t; f*=latin1''%e4; f=b", Some("b")),
            ("t; f*=utf-8''%zz", None),
            ("t; f*0=a; f*1=b; f*3=d", Some("ab")),
            ("t; f*0*=utf-8''%41; f*1*=%42; f*2=C", Some("ABC")),
            ("t; f*1=b", None),
        ] {
            assert_eq!(param(text).as_deref(), value, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_parameters(text in r#"[a-c]{1,2}(; ?[fF]\*?[0-2]?\*?="?(utf-8''|%4|\\|[a-c"'])*"?){0,4}"#) {
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn quoted_strings_survive(value in "[ -~]*") {
            let escaped = value.replace('\\', r"\\").replace('"', r#"\""#);
            prop_assert_eq!(param(&format!("t; f=\"{escaped}\"")), Some(value));
        }
    }
}
