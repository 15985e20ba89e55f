//! What is wrong with a configuration, and where: one [`Diagnostic`] for each finding, all of them at once.

use super::node::Origin;
use std::fmt;

/// One finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as it was named, or the option (`-o http.address`); empty when neither applies.
    pub file: String,
    /// Line in the file, from 1; 0 when there is none.
    pub line: u32,
    /// Dotted key; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding about one key.
    pub fn at(origin: &Origin, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: origin.file(),
            line: origin.line,
            key: key.into(),
            message: message.into(),
            help: None,
        }
    }

    /// A finding about a whole file, or about one line of it.
    pub fn file(file: impl Into<String>, line: u32, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line,
            message: message.into(),
            ..Self::default()
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            if self.line > 0 {
                write!(f, ":{}", self.line)?;
            }
            f.write_str(": ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Every error that keeps a configuration from being used; one a line when printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Self(vec![one])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, diagnostic) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// What a check finds: errors stop the start, warnings do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Wrong types, values out of range, dead references.
    pub errors: Vec<Diagnostic>,
    /// Unknown keys and whatever else deserves a word.
    pub warnings: Vec<Diagnostic>,
}

impl Findings {
    /// Sorted by place, so that they read like the file.
    pub(super) fn sort(&mut self) {
        for list in [&mut self.errors, &mut self.warnings] {
            list.sort_by(|a, b| (&a.file, a.line, &a.key).cmp(&(&b.file, b.line, &b.key)));
            list.dedup();
        }
    }
}
