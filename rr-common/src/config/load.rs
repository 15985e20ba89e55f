//! From a file's name to a [`Loaded`] configuration, in the reference's order: dotenv, file, envfile, variables, `-o`,
//! version, includes; then the types, the references, and the typed sections.

use super::{
    Config,
    coerce::coerce,
    diagnostic::{Diagnostic, Diagnostics, Findings},
    dotenv,
    interpolate::{self, Lookup},
    json,
    node::{Node, Origin, Value},
    overrides, references, schema, toml, yaml,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// The file that is loaded when none is named, and the other one.
const DEFAULT_FILE: &str = ".rr.yaml";
const OTHER_DEFAULT_FILE: &str = "rr.toml";

/// What to load; the command line's options.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The file (`-c`): TOML or JSON by extension, YAML otherwise. The default `.rr.yaml` stands for `rr.toml` where only
    /// that exists.
    pub file: PathBuf,
    /// The working directory (`-w`), to which `file` is then relative; without it the file's own directory.
    pub work_dir: Option<PathBuf>,
    /// `-o key=value`, in order.
    pub overrides: Vec<String>,
    /// `--dotenv`; the environment's `DOTENV_PATH` wins.
    pub dotenv: Option<PathBuf>,
    /// `-e`: reads `envfile`.
    pub experimental: bool,
    /// For client commands, which only want an address: only what cannot be read at all is an error, what is wrong in
    /// the file is left out, there are no warnings, and with `overrides` even the file may be missing.
    pub lenient: bool,
}

/// A configuration, ready for use.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The typed sections.
    pub config: Config,
    /// The same, as it is sent to plugins: converted, without unknown keys and defaults, with custom plugins' sections.
    pub tree: serde_json::Value,
    /// What deserves a word but stops nothing.
    pub warnings: Vec<Diagnostic>,
    /// The directory that relative paths start from; absolute.
    pub base_dir: PathBuf,
    /// Variables of dotenv files that the environment does not have; every started process gets them.
    pub env: BTreeMap<String, String>,
    /// The converted tree with the place of each value.
    pub(super) root: Node,
}

impl Loaded {
    /// Where the value of a dotted key comes from; the default when it is written nowhere.
    pub fn origin(&self, key: &str) -> Origin {
        let node = self.root.find(key.split('.'));
        node.map(|node| node.origin.clone()).unwrap_or_default()
    }
}

/// Loads a configuration, or says everything that is wrong with it.
pub fn load(options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    let (loaded, findings) = resolve(options, &|name| std::env::var(name).ok())?;
    match findings.errors.is_empty() || options.lenient {
        true => Ok(loaded),
        false => Err(Diagnostics(findings.errors)),
    }
}

/// Everything that `load` would say; with `strict` the warnings are errors.
pub fn check(options: &LoadOptions, strict: bool) -> Findings {
    let mut findings = match resolve(options, &|name| std::env::var(name).ok()) {
        Ok((loaded, findings)) => Findings {
            errors: findings.errors,
            warnings: loaded.warnings,
        },
        Err(errors) => Findings {
            errors: errors.0,
            warnings: Vec::new(),
        },
    };
    if strict {
        findings.errors.append(&mut findings.warnings);
        findings.sort();
    }
    findings
}

/// The whole way; what is wrong in the file comes with the result, what cannot be read at all is the error.
pub(super) fn resolve(options: &LoadOptions, env: Lookup<'_>) -> Result<(Loaded, Findings), Diagnostics> {
    let (base_dir, path) = locate(options)?;
    let name: Arc<str> = match path.file_name() {
        Some(name) if options.file == Path::new(DEFAULT_FILE) => name.to_string_lossy().into(),
        _ => options.file.to_string_lossy().into(),
    };
    let mut findings = Findings::default();
    let mut variables = BTreeMap::new();
    let dotenv = env("DOTENV_PATH").map(PathBuf::from).or_else(|| options.dotenv.clone());
    if let Some(file) = dotenv.filter(|file| !file.as_os_str().is_empty()) {
        read_dotenv(&base_dir.join(file), env, &mut variables)?;
    }

    let mut tree = match parse_file(&path, &name) {
        Err(_) if options.lenient && !options.overrides.is_empty() && !path.exists() => Node::default(),
        other => other?,
    };
    if options.experimental
        && let Some(file) = tree.get("envfile").and_then(Node::text).filter(|file| !file.is_empty())
    {
        let dir = path.parent().unwrap_or(&base_dir);
        read_dotenv(&dir.join(file), env, &mut variables)?;
    }
    let lookup = |name: &str| env(name).or_else(|| variables.get(name).cloned());

    interpolate::expand_tree(&mut tree, &lookup);
    for option in &options.overrides {
        if let Err(error) = overrides::apply(&mut tree, option, &lookup) {
            findings.errors.push(error);
        }
    }
    check_version(&tree, &name, &mut findings);
    include(&mut tree, &name, &base_dir, &lookup, &mut findings);

    let root = convert(&mut tree, &mut findings);
    let json = root.to_json();
    let config: Config = serde_json::from_value(json.clone()).unwrap_or_else(|error| {
        let message = format!("the sections do not fit together: {error}");
        findings.errors.push(Diagnostic::file(&*name, 0, message));
        Config::default()
    });
    references::check(&config, &root, &base_dir, &mut findings);
    findings.sort();
    let loaded = Loaded {
        config,
        tree: json,
        warnings: match options.lenient {
            true => Vec::new(),
            false => std::mem::take(&mut findings.warnings),
        },
        base_dir,
        env: variables,
        root,
    };
    Ok((loaded, findings))
}

/// The working directory and the file's path, both absolute.
fn locate(options: &LoadOptions) -> Result<(PathBuf, PathBuf), Diagnostic> {
    let shown = options.file.display().to_string();
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|e| Diagnostic::file(&*shown, 0, format!("no usable path: {e}")))
    };
    let (dir, path) = match &options.work_dir {
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
    let other = dir.join(OTHER_DEFAULT_FILE);
    match options.file == Path::new(DEFAULT_FILE) && !path.exists() && other.exists() {
        true => Ok((dir, other)),
        false => Ok((dir, path)),
    }
}

/// Reads and parses one file; its root is a mapping.
fn parse_file(path: &Path, name: &Arc<str>) -> Result<Node, Diagnostic> {
    let text = read_text(path, name)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let extension = path.extension().map(|e| e.to_ascii_lowercase());
    parse_text(text, name, extension.as_ref().and_then(|e| e.to_str()).unwrap_or(""))
}

/// Everything that is wrong with a text by itself, in the format that the extension names: no other file is read, no
/// variable is known, and nothing that the text refers to is looked for. Any text is read or refused, within bounds.
pub fn check_text(text: &str, extension: &str) -> Findings {
    let mut findings = Findings::default();
    match parse_text(text, &extension.into(), extension) {
        Ok(mut tree) => {
            interpolate::expand_tree(&mut tree, &|_| None);
            check_version(&tree, extension, &mut findings);
            let _ = convert(&mut tree, &mut findings).to_json();
        }
        Err(error) => findings.errors.push(error),
    }
    findings.sort();
    findings
}

/// Parses a text by the extension of its file.
fn parse_text(text: &str, name: &Arc<str>, extension: &str) -> Result<Node, Diagnostic> {
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
fn read_dotenv(path: &Path, env: Lookup<'_>, into: &mut BTreeMap<String, String>) -> Result<(), Diagnostic> {
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

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float64",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
        Value::Null | Value::Text(_) => "string",
    }
}

fn check_version(tree: &Node, file: &str, findings: &mut Findings) {
    let Some(node) = tree.get("version") else {
        let message = "rr configuration file should contain a version e.g: version: 3";
        findings
            .errors
            .push(Diagnostic::file(file, 0, message).help("add the line `version: \"3\"`"));
        return;
    };
    let at = |message: String| Diagnostic::at(&node.origin, "version", message);
    match node.text() {
        Some("3") => {}
        Some("2.7") => findings
            .warnings
            .push(at("version 2.7 is read like version 3".into()).help("write `version: \"3\"`")),
        Some(other) => findings
            .warnings
            .push(at(format!("unknown version {other:?}, read like version 3"))),
        None => findings.errors.push(at(format!(
            "version should be a string: `version: \"3\"`, actual type is: {}",
            go_type(&node.value)
        ))),
    }
}

/// Reads the included files; each one's sections replace those before it, and those of `-o`.
fn include(tree: &mut Node, name: &str, base_dir: &Path, lookup: Lookup<'_>, findings: &mut Findings) {
    let list = schema::Type::List(Box::new(schema::Type::Text {
        format: schema::Format::Plain,
    }));
    let Some(files) = tree
        .get("include")
        .and_then(|node| coerce(node, &list, "include", findings))
    else {
        return;
    };
    let Value::List(files) = files.value else { return };
    let version = tree.get("version").and_then(Node::text).map(str::to_owned);
    for node in &files {
        let Some(file) = node.text() else { continue };
        let shown: Arc<str> = file.into();
        let mut included = match parse_file(&base_dir.join(file), &shown) {
            Ok(included) => included,
            Err(error) => {
                let place = match &node.origin.line {
                    0 => String::new(),
                    line => format!("included from {name}:{line}"),
                };
                findings
                    .errors
                    .push(if place.is_empty() { error } else { error.help(place) });
                continue;
            }
        };
        interpolate::expand_tree(&mut included, lookup);
        match included.get("version").map(|node| (node, node.text())) {
            None => {
                let message = "rr configuration file should contain a version e.g: version: 3";
                findings.errors.push(Diagnostic::file(file, 0, message));
            }
            Some((node, None)) => {
                let message = format!("type of version should be string, actual: {}", go_type(&node.value));
                findings.errors.push(Diagnostic::at(&node.origin, "version", message));
            }
            Some((node, Some(text))) if version.as_deref().is_some_and(|version| version != text) => {
                let message = "version in included file must be the same as in root";
                findings.errors.push(Diagnostic::at(&node.origin, "version", message));
            }
            Some(_) => {}
        }
        let (Value::Map(from), Value::Map(into)) = (included.value, &mut tree.value) else {
            continue;
        };
        for (section, node) in from {
            match section.as_str() {
                "include" => findings.warnings.push(Diagnostic::at(
                    &node.origin,
                    "include",
                    "an included file cannot include further files",
                )),
                "version" => {}
                _ if node.is_null() => {}
                _ => {
                    into.insert(section, node);
                }
            }
        }
    }
}

/// Converts the whole tree. Sections that only a custom plugin or a kv storage reads are taken aside first.
fn convert(tree: &mut Node, findings: &mut Findings) -> Node {
    kv_fallback(tree);
    let custom: BTreeSet<String> = tree
        .find(["supervisor", "plugins"])
        .and_then(Node::map)
        .map(|plugins| plugins.keys().cloned().collect())
        .unwrap_or_default();
    let schema::Type::Section(known) = schema::root() else {
        return Node::default();
    };
    let mut own = BTreeMap::new();
    if let Value::Map(map) = &mut tree.value {
        own.extend(map.extract_if(.., |name, _| {
            !known.fields.contains_key(name) && (custom.contains(name) || name.starts_with("x-"))
        }));
    }
    let mut root = coerce(tree, schema::root(), "", findings).unwrap_or_default();
    if let Value::Map(map) = &mut root.value {
        map.extend(own);
    }
    root
}

/// A kv storage without `config` reads the top-level section of its own name.
fn kv_fallback(tree: &mut Node) {
    let Value::Map(map) = &mut tree.value else { return };
    let Some(mut kv) = map.remove("kv") else { return };
    if let Value::Map(storages) = &mut kv.value {
        for (name, storage) in storages {
            let known = matches!(schema::root(), schema::Type::Section(s) if s.fields.contains_key(name));
            if storage.get("config").is_some() || (known && name != "redis") {
                continue;
            }
            let section = match known {
                true => map.get(name).cloned(),
                false => map.remove(name),
            };
            if let (Some(section), Value::Map(storage)) = (section, &mut storage.value) {
                storage.insert("config".into(), section);
            }
        }
    }
    map.insert("kv".into(), kv);
}
