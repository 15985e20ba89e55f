//! From a file's name to a [`Loaded`] configuration, in the reference's order: dotenv, file, envfile, variables, `-o`,
//! version, includes; then the types, the references, and the typed sections.

use super::{
    Config,
    coerce::coerce,
    diagnostic::{Diagnostic, Diagnostics, Findings},
    files::{self, Located},
    include,
    interpolate::{self, Lookup},
    json,
    node::{Node, Origin, Value},
    overrides, references, schema,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// What to load; the command line's options.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The file (`-c`): TOML or JSON by extension, YAML otherwise. The default `.rr.yaml` stands for `rr.toml` where only
    /// that exists.
    pub file: PathBuf,
    /// The working directory (`-w`), to which `file` is then relative; without it the file's own directory.
    pub work_dir: Option<PathBuf>,
    /// Where relative paths of these two start, as a person would write it, links and all; without it the process's own directory,
    /// whose links the kernel has forgotten.
    pub from: Option<PathBuf>,
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
    load_with(options, &|name| std::env::var(name).ok())
}

/// As [`load`], with these variables in place of the environment.
pub fn load_with(options: &LoadOptions, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Diagnostics> {
    let (loaded, findings) = resolve(options, env)?;
    match findings.errors.is_empty() || options.lenient {
        true => Ok(loaded),
        false => Err(Diagnostics(findings.errors)),
    }
}

/// One that was loaded before, from its [`Loaded::tree`]: it is taken as it is, wherever it once came from.
///
/// # Errors
/// It is none that this build could have loaded.
pub fn restore(tree: serde_json::Value, base_dir: PathBuf) -> Result<Loaded, Diagnostics> {
    let name = "the configuration in force";
    let wrong = |error: serde_json::Error| Diagnostics(vec![Diagnostic::file(name, 0, error.to_string())]);
    let root = json::parse(&tree.to_string(), &name.into()).map_err(|error| Diagnostics(vec![error]))?;
    Ok(Loaded {
        config: Config::deserialize(&tree).map_err(wrong)?,
        tree,
        warnings: Vec::new(),
        base_dir,
        env: BTreeMap::new(),
        root,
    })
}

/// Everything that `load` would say, and what `further` finds wrong with what was loaded without an error; with `strict` the
/// warnings are errors.
pub fn check(options: &LoadOptions, strict: bool, further: impl FnOnce(&Loaded) -> Findings) -> Findings {
    let mut findings = match resolve(options, &|name| std::env::var(name).ok()) {
        Ok((loaded, mut findings)) => {
            if findings.errors.is_empty() {
                findings = further(&loaded);
            }
            findings.warnings.extend(loaded.warnings);
            findings
        }
        Err(errors) => Findings {
            errors: errors.0,
            warnings: Vec::new(),
        },
    };
    if strict {
        findings.errors.append(&mut findings.warnings);
    }
    findings.sort();
    findings
}

/// The whole way; what is wrong in the file comes with the result, what cannot be read at all is the error.
pub(super) fn resolve(options: &LoadOptions, env: Lookup<'_>) -> Result<(Loaded, Findings), Diagnostics> {
    let Located { base_dir, path, name } = files::locate(options)?;
    let mut findings = Findings::default();
    let mut variables = BTreeMap::new();
    let dotenv = env("DOTENV_PATH").map(PathBuf::from).or_else(|| options.dotenv.clone());
    if let Some(file) = dotenv.filter(|file| !file.as_os_str().is_empty()) {
        files::read_dotenv(&base_dir.join(file), env, &mut variables)?;
    }

    let mut tree = match files::parse_file(&path, &name) {
        Err(_) if options.lenient && !options.overrides.is_empty() && !path.exists() => Node::default(),
        other => other?,
    };
    if options.experimental
        && let Some(file) = tree.get("envfile").and_then(Node::text).filter(|file| !file.is_empty())
    {
        let dir = path.parent().unwrap_or(&base_dir);
        files::read_dotenv(&dir.join(file), env, &mut variables)?;
    }
    let lookup = |name: &str| env(name).or_else(|| variables.get(name).cloned());

    interpolate::expand_tree(&mut tree, &lookup);
    for option in &options.overrides {
        if let Err(error) = overrides::apply(&mut tree, option, &lookup) {
            findings.errors.push(error);
        }
    }
    include::check_version(&tree, &name, &mut findings);
    include::include(&mut tree, &name, &base_dir, &lookup, &mut findings);

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

/// Everything that is wrong with a text by itself, in the format that the extension names: no other file is read, no
/// variable is known, and nothing that the text refers to is looked for. Any text is read or refused, within bounds.
pub fn check_text(text: &str, extension: &str) -> Findings {
    let mut findings = Findings::default();
    match files::parse_text(text, &extension.into(), extension) {
        Ok(mut tree) => {
            interpolate::expand_tree(&mut tree, &|_| None);
            include::check_version(&tree, extension, &mut findings);
            let _ = convert(&mut tree, &mut findings).to_json();
        }
        Err(error) => findings.errors.push(error),
    }
    findings.sort();
    findings
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
