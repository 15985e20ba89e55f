//! Finding, reading and parsing the files: the one that is named, the included ones, dotenv files.

use super::{
    LoadOptions,
    diagnostic::Diagnostic,
    dotenv,
    interpolate::Lookup,
    json,
    node::{Node, Value},
    overrides, toml, yaml,
};
use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// The file that is loaded when none is named, and the other one.
const DEFAULT_FILE: &str = ".rr.yaml";
const OTHER_DEFAULT_FILE: &str = "rr.toml";

/// Where a configuration is.
pub(super) struct Located {
    /// The working directory, absolute.
    pub(super) base_dir: PathBuf,
    /// The file, absolute.
    pub(super) path: PathBuf,
    /// The file's name in messages: as it was given.
    pub(super) name: Arc<str>,
}

/// Finds the working directory and the file.
pub(super) fn locate(options: &LoadOptions) -> Result<Located, Diagnostic> {
    let name: Arc<str> = options.file.to_string_lossy().into();
    let absolute = |path: &Path| {
        let path = options
            .from
            .as_ref()
            .map_or_else(|| path.to_owned(), |from| from.join(path));
        std::path::absolute(path).map_err(|e| Diagnostic::file(&*name, 0, format!("no usable path: {e}")))
    };
    let (base_dir, path) = match &options.work_dir {
        Some(dir) => {
            let dir = absolute(dir)?;
            if !dir.is_dir() {
                let message = "the working directory does not exist";
                return Err(Diagnostic::file(dir.display().to_string(), 0, message));
            }
            let path = dir.join(&options.file);
            (dir, path)
        }
        None => {
            let path = absolute(&options.file)?;
            let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
            (dir, path)
        }
    };
    let other = base_dir.join(OTHER_DEFAULT_FILE);
    Ok(match &*name == DEFAULT_FILE && !path.exists() && other.exists() {
        true => Located {
            base_dir,
            path: other,
            name: OTHER_DEFAULT_FILE.into(),
        },
        false => Located { base_dir, path, name },
    })
}

/// Reads and parses one file; its root is a mapping.
pub(super) fn parse_file(path: &Path, name: &Arc<str>) -> Result<Node, Diagnostic> {
    let text = read_text(path, name)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let extension = path.extension().map(|e| e.to_ascii_lowercase());
    parse_text(text, name, extension.as_ref().and_then(|e| e.to_str()).unwrap_or(""))
}

/// Parses a text by the extension of its file.
pub(super) fn parse_text(text: &str, name: &Arc<str>, extension: &str) -> Result<Node, Diagnostic> {
    let mut root = match extension {
        "json" => json::parse(text, name)?,
        "toml" => toml::parse(text, name)?,
        _ => yaml::parse(text, name)?,
    };
    match &mut root.value {
        Value::Null => root.value = Value::Map(BTreeMap::new()),
        Value::Map(_) => split_dotted(&mut root),
        other => {
            let message = format!("expected sections at the top level, found {}", other.describe());
            return Err(Diagnostic::file(&**name, root.origin.line, message));
        }
    }
    Ok(root)
}

/// `http.address: …` at the top level is the long form's equal, as in the reference.
fn split_dotted(root: &mut Node) {
    let Value::Map(map) = &mut root.value else { return };
    let dotted: Vec<_> = map.extract_if(.., |key, _| key.contains('.')).collect();
    for (key, node) in dotted {
        let origin = node.origin.clone();
        overrides::set(root, &key, node, &origin);
    }
}

fn read_text(path: &Path, name: &str) -> Result<String, Diagnostic> {
    let fail = |message: String| Diagnostic::file(name, 0, message);
    let unreadable = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => fail("no such file".into()),
        std::io::ErrorKind::IsADirectory => fail("is a directory, expected a file".into()),
        _ => fail(format!("cannot be read: {e}")),
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(fail(format!("is larger than {MAX_FILE} bytes")));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        Diagnostic::file(name, u32::try_from(line).unwrap_or(0), "is not UTF-8")
    })
}

/// Adds a file's variables; what is already there, in the environment or from an earlier file, stays.
pub(super) fn read_dotenv(path: &Path, env: Lookup<'_>, into: &mut BTreeMap<String, String>) -> Result<(), Diagnostic> {
    let name = path.display().to_string();
    let text = read_text(path, &name)?;
    let found = dotenv::parse(&text).map_err(|bad| Diagnostic::file(&*name, bad.line, bad.message))?;
    for (variable, value) in found {
        if env(&variable).is_none() {
            into.entry(variable).or_insert(value);
        }
    }
    Ok(())
}
