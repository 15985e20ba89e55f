//! Plain YAML scalars, resolved as yaml.v3 does it: `~`, `true`, `0755`, `0x1f`, `1_000`, `.5`, everything else a text.

use super::node::Value;

/// The value of a plain scalar.
pub(super) fn resolve(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::Text(text);
    }
    let digits = text.replace('_', "");
    if let Some(n) = integer(&digits) {
        return Value::Int(n);
    }
    let is_number = digits.bytes().any(|b| b.is_ascii_digit())
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    match digits.parse() {
        Ok(x) if is_number => Value::Float(x),
        _ => Value::Text(text),
    }
}

/// A 64-bit integer in Go's notation: decimal, or with the prefix `0x`, `0b`, `0o` or `0` (octal).
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let n = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let n = if negative { -n } else { n };
    (n >= i128::from(i64::MIN)).then_some(n)
}

/// A scalar as a text, in mapstructure's weak way: true is "1", false is "0", whole floats lose their fraction.
pub(super) fn to_text(value: &Value) -> String {
    match value {
        Value::Bool(b) => if *b { "1" } else { "0" }.to_owned(),
        Value::Int(n) => n.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Text(text) => text.clone(),
        Value::Null | Value::List(_) | Value::Map(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_resolve_as_in_the_reference() {
        let text = |s: &str| Value::Text(s.into());
        for (given, expected) in [
            ("3", Value::Int(3)),
            ("-3", Value::Int(-3)),
            ("0755", Value::Int(493)),
            ("0o755", Value::Int(493)),
            ("0x1F", Value::Int(31)),
            ("1_000", Value::Int(1000)),
            ("18446744073709551615", Value::Int(18_446_744_073_709_551_615)),
            ("2.7", Value::Float(2.7)),
            ("1e3", Value::Float(1000.0)),
            ("-", text("-")),
            ("1s", text("1s")),
            ("127.0.0.1", text("127.0.0.1")),
            ("yes", text("yes")),
            ("1-2", text("1-2")),
            ("True", Value::Bool(true)),
            ("~", Value::Null),
        ] {
            assert_eq!(resolve(given.into()), expected, "{given}");
        }
    }
}
