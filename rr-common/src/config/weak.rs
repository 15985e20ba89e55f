//! One value to one type, as weakly as the reference does it: "4" is 4, 1 is true, numbers become texts. An error says what
//! was expected and what was found.

use super::{
    check,
    command::CommandLine,
    diagnostic::{Diagnostic, Findings},
    duration::Dur,
    node::{Node, Value},
    scalar,
    schema::Format,
};
use std::time::Duration;

/// What an error says.
pub(super) fn expected(what: &str, found: &Value) -> String {
    format!("expected {what}, found {}", found.describe())
}

/// true or false.
pub(super) fn boolean(value: &Value) -> Result<Value, String> {
    Ok(Value::Bool(match value {
        Value::Bool(b) => *b,
        Value::Int(n) => *n != 0,
        Value::Float(x) => *x != 0.0,
        Value::Text(text) => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" | "" => false,
            _ => return Err(expected("true or false", value)),
        },
        _ => return Err(expected("true or false", value)),
    }))
}

/// A whole number.
pub(super) fn integer(value: &Value) -> Result<i128, String> {
    let wrong = || expected("a whole number", value);
    match value {
        Value::Bool(b) => Ok(i128::from(*b)),
        Value::Int(n) => Ok(*n),
        // Whole and within the 53 bits in which floats are exact.
        Value::Float(x) if x.fract() == 0.0 && x.abs() < 9e15 => Ok(*x as i128),
        Value::Text(text) if text.is_empty() => Ok(0),
        Value::Text(text) => match scalar::resolve(text.trim().to_owned()) {
            Value::Int(n) => Ok(n),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// Whole seconds, as a number or as a duration; a part of a second counts as one.
pub(super) fn seconds(value: &Value) -> Result<Value, String> {
    let wrong = || expected("seconds, such as 30 or 30s", value);
    let whole = integer(value).ok().map(u64::try_from);
    let seconds = match (whole, value) {
        (Some(Ok(seconds)), _) => seconds,
        (None, Value::Text(text)) => {
            let time = text.trim().parse::<Dur>().map_err(|_| wrong())?.get();
            time.as_secs() + u64::from(time.subsec_nanos() > 0)
        }
        _ => return Err(wrong()),
    };
    Ok(Value::Int(seconds.into()))
}

/// A finite number, of that size at least.
pub(super) fn float(value: &Value, min: Option<f64>) -> Result<Value, String> {
    let x = match value {
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Int(n) => *n as f64,
        Value::Float(x) => *x,
        Value::Text(text) => text.trim().parse().map_err(|_| expected("a number", value))?,
        _ => return Err(expected("a number", value)),
    };
    match (x.is_finite(), min) {
        (false, _) => Err(expected("a finite number", value)),
        (true, Some(min)) if x < min => Err(format!("must be at least {min}, found {x}")),
        (true, _) => Ok(Value::Float(x)),
    }
}

/// A text; numbers and switches are written out.
pub(super) fn text(value: &Value, format: Format) -> Result<Value, String> {
    if matches!(value, Value::List(_) | Value::Map(_)) {
        return Err(expected("a text", value));
    }
    let text = scalar::to_text(value);
    let wrong = match format {
        Format::Plain => None,
        Format::Address => check::bad_address(&text),
        Format::Addresses => text.split(',').find_map(|one| check::bad_address(one.trim())),
    };
    wrong.map_or(Ok(Value::Text(text)), Err)
}

/// One of a few texts.
pub(super) fn one_of(value: &Value, names: &[String]) -> Result<Value, String> {
    match value {
        Value::Text(text) if names.contains(text) => Ok(value.clone()),
        _ => Err(expected(&format!("one of {}", names.join(", ")), value)),
    }
}

/// A duration; zero in every spelling becomes the number 0.
pub(super) fn duration(node: &Node, path: &str, findings: &mut Findings) -> Result<Value, String> {
    let value = &node.value;
    let wrong = || expected("a duration such as 30s, 5m or 1h30m", value);
    let (dur, bare) = match value {
        Value::Int(n) => {
            let n = u64::try_from(*n).map_err(|_| wrong())?;
            (Dur(Duration::from_nanos(n)), true)
        }
        Value::Text(text) => {
            let dur = text.parse::<Dur>().map_err(|_| wrong())?;
            (dur, text.bytes().all(|b| b.is_ascii_digit()))
        }
        _ => return Err(wrong()),
    };
    if bare && !dur.is_zero() && dur.get() < Duration::from_millis(1) {
        let n = dur.get().as_nanos();
        let message = format!("a number without unit means nanoseconds, found {n}");
        let warning = Diagnostic::at(&node.origin, path, message).help(format!("did you mean `{n}s`?"));
        findings.warnings.push(warning);
    }
    Ok(if dur.is_zero() { Value::Int(0) } else { value.clone() })
}

/// A command, as the list of its words.
pub(super) fn command(node: &Node) -> Result<Value, String> {
    let wrong = || expected("a command: a text or a list of texts", &node.value);
    let words = match &node.value {
        Value::Text(text) => CommandLine::split(text).0,
        Value::List(items) => {
            let words = items.iter().map(|item| match item.value {
                Value::List(_) | Value::Map(_) => Err(wrong()),
                _ => Ok(scalar::to_text(&item.value)),
            });
            words.collect::<Result<_, _>>()?
        }
        _ => return Err(wrong()),
    };
    let nodes = words
        .into_iter()
        .map(|word| Node::new(Value::Text(word), node.origin.clone()));
    Ok(Value::List(nodes.collect()))
}

/// True for what stands for the default where the key has one.
pub(super) fn zero(value: &Value) -> bool {
    match value {
        Value::Int(n) => *n == 0,
        Value::Text(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        _ => false,
    }
}
