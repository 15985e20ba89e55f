//! A command as the configuration gives it: one text, split without any quoting, or a list.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// A program and its arguments; empty when the key is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine(pub Vec<String>);

impl CommandLine {
    /// Splits at runs of spaces: a quote is an ordinary character, an argument with a space needs the list form.
    ///
    /// RoadRunner splits at commas first and then takes what stands before the first comma as the program. That is what
    /// `php,worker.php` (Laravel Octane's form) means, and it is kept where it can work: when no space comes before the
    /// first comma. In `php worker.php a,b` it never could, so there the comma is an ordinary character.
    pub fn split(text: &str) -> Self {
        let text = text.trim();
        let listed = text.find(',').is_some_and(|comma| !text[..comma].contains(' '));
        let separator = if listed { ',' } else { ' ' };
        Self(
            text.split(separator)
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }

    /// True when nothing was configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for CommandLine {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            List(Vec<String>),
        }
        Ok(match Form::deserialize(d)? {
            Form::Text(text) => Self::split(&text),
            Form::List(list) => Self(list),
        })
    }
}

impl JsonSchema for CommandLine {
    fn schema_name() -> Cow<'static, str> {
        "CommandLine".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "array"],
            "items": { "type": "string" },
            "format": "command",
            "description": "a string, split at spaces, or a list"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CORE-14.
    #[test]
    fn a_text_is_split_at_spaces_or_commas() {
        for (text, words) in [
            ("php worker.php", &["php", "worker.php"][..]),
            (" php  'a b' ", &["php", "'a", "b'"]),
            ("php,/srv/a b/worker.php", &["php", "/srv/a b/worker.php"]),
            ("php worker.php a,b", &["php", "worker.php", "a,b"]),
            ("", &[]),
        ] {
            assert_eq!(CommandLine::split(text).0, words, "{text}");
        }
    }
}
