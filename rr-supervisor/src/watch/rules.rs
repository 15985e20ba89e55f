//! What is watched for whom: the `reload` section, or the default of `up --watch`, as plain data. Nothing here looks at a file, except when
//! the default asks where Composer's linked packages lie.

use rr_common::config::{
    Config,
    section::{Reload, Watched},
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What counts by default, by the end of a file's name.
const ENDINGS: [&str; 9] = [
    ".php", ".phtml", ".yaml", ".yml", ".twig", ".latte", ".neon", ".xml", ".ini",
];
/// Directories in the project's own that hold what the application writes, or what others have written.
const WRITTEN: [&str; 9] = [
    "vendor",
    "var",
    "storage",
    "runtime",
    "bootstrap/cache",
    "cache",
    "tmp",
    "logs",
    "build",
];
/// Directories that are left out wherever they are.
const ANYWHERE: [&str; 1] = ["node_modules"];
/// Ends of names that editors give to their own files.
const EDITORS: [&str; 7] = ["~", ".swp", ".swo", ".swx", ".tmp", "___jb_tmp___", "___jb_old___"];

/// Where files are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// A directory, or a single file; absolute.
    pub path: PathBuf,
    /// With all below it.
    pub recursive: bool,
}

/// Which names count.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    /// Those that contain one of these texts, as RoadRunner 2 had it.
    Containing(Vec<String>),
    /// PHP's, and the configuration's of PHP frameworks.
    OfProjects,
    /// Every one: the root is a single file.
    All,
}

/// Plugins, and the files whose change renews their workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The plugins.
    pub plugins: Vec<String>,
    /// Where.
    pub roots: Vec<Root>,
    /// What is left out with all below it; absolute.
    ignore: BTreeSet<PathBuf>,
    names: Names,
}

impl Subject {
    /// One entry of `reload.services`.
    fn of_section(plugin: &str, section: &Reload, watched: &Watched, base: &Path) -> Self {
        let root = |dir: &String| Root {
            path: absolute(base, dir),
            recursive: watched.recursive,
        };
        Self {
            plugins: vec![plugin.to_owned()],
            roots: watched.dirs.iter().map(root).collect(),
            ignore: watched.ignore.iter().map(|path| absolute(base, path)).collect(),
            names: Names::Containing(watched.patterns.iter().chain(&section.patterns).cloned().collect()),
        }
    }

    /// The project in this directory. Composer's packages are left out, but for those that are links to the developer's own, and for
    /// the files that Composer writes when it has installed something.
    fn of_project(plugins: Vec<String>, base: &Path) -> Self {
        let mut roots = vec![Root {
            path: base.to_owned(),
            recursive: true,
        }];
        let composer = base.join("vendor/composer");
        if composer.is_dir() {
            roots.push(Root {
                path: composer,
                recursive: false,
            });
        }
        let linked = linked_packages(&base.join("vendor")).into_iter();
        roots.extend(
            linked
                .filter(|path| !path.starts_with(base))
                .map(|path| Root { path, recursive: true }),
        );
        Self {
            plugins,
            roots,
            ignore: WRITTEN.iter().map(|name| base.join(name)).collect(),
            names: Names::OfProjects,
        }
    }

    /// The server's own configuration, which renews nobody.
    pub(super) fn of_configuration(file: &Path) -> Self {
        Self {
            plugins: Vec::new(),
            roots: vec![Root {
                path: file.to_owned(),
                recursive: false,
            }],
            ignore: BTreeSet::new(),
            names: Names::All,
        }
    }

    /// Whether what is in this directory matters.
    pub(super) fn enters(&self, dir: &Path) -> bool {
        self.roots.iter().any(|root| self.enters_from(root, dir))
    }

    /// Whether a change of this file matters.
    pub(super) fn counts(&self, file: &Path) -> bool {
        let (Some(dir), Some(name)) = (file.parent(), file.file_name()) else {
            return false;
        };
        let named = self.roots.iter().any(|root| root.path == file);
        (named || self.enters(dir)) && !self.ignore.contains(file) && self.names.include(&name.to_string_lossy())
    }

    fn enters_from(&self, root: &Root, dir: &Path) -> bool {
        let Ok(below) = dir.strip_prefix(&root.path) else {
            return false;
        };
        if below.as_os_str().is_empty() {
            return !self.ignore.contains(dir) || self.names == Names::OfProjects;
        }
        let mut path = root.path.clone();
        root.recursive
            && below.components().all(|part| {
                path.push(part);
                !self.ignore.contains(&path) && self.names.descend(&part.as_os_str().to_string_lossy())
            })
    }
}

impl Names {
    fn include(&self, name: &str) -> bool {
        if EDITORS.iter().any(|ending| name.ends_with(ending)) || name.starts_with(".#") {
            return false;
        }
        match self {
            Self::All => true,
            Self::Containing(patterns) => patterns.iter().any(|pattern| name.contains(pattern.as_str())),
            Self::OfProjects if name == ".env" || name.starts_with(".env.") => true,
            Self::OfProjects => !name.starts_with('.') && ENDINGS.iter().any(|ending| name.ends_with(ending)),
        }
    }

    /// Whether a directory of this name is entered.
    fn descend(&self, name: &str) -> bool {
        match self {
            Self::Containing(_) | Self::All => true,
            Self::OfProjects => !name.starts_with('.') && !ANYWHERE.contains(&name),
        }
    }
}

/// All that is to be watched: what the section says, and with `everything` the project for every plugin that the section does
/// not name. `warn` hears what is of no use in the section.
pub(super) fn subjects(config: &Config, everything: bool, base: &Path, mut warn: impl FnMut(String)) -> Vec<Subject> {
    let plugins = config.plugins();
    let default = Reload::default();
    let section = config.reload.as_ref().unwrap_or(&default);
    let mut subjects = Vec::new();
    for (name, watched) in &section.services {
        let of_services = name == "service" && config.service.is_some();
        match () {
            () if !plugins.contains(name) && !of_services => {
                warn(format!("reload.services.{name}: no such plugin is configured"));
            }
            () if watched.dirs.is_empty() => warn(format!("reload.services.{name}: no dirs, so nothing is watched")),
            () => subjects.push(Subject::of_section(name, section, watched, base)),
        }
    }
    if everything {
        let stateful = ["kv", "lock"];
        let others = plugins.into_iter().filter(|name| {
            !stateful.contains(&name.as_str()) && !subjects.iter().any(|subject| subject.plugins.contains(name))
        });
        let others: Vec<String> = others.collect();
        if !others.is_empty() {
            subjects.push(Subject::of_project(others, base));
        }
    } else if section.services.is_empty() && config.reload.is_some() {
        warn("reload: no services are named, so nothing is watched".into());
    }
    subjects
}

/// Where the packages lie that Composer has linked rather than copied (repositories of the type `path`).
fn linked_packages(vendor: &Path) -> Vec<PathBuf> {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    entries(vendor)
        .flat_map(|organisation| entries(&organisation.path()))
        .filter(|package| package.file_type().is_ok_and(|kind| kind.is_symlink()))
        .filter_map(|package| fs::canonicalize(package.path()).ok())
        .collect()
}

/// The path without `.` and `..`, so that it can be compared.
fn absolute(base: &Path, path: &str) -> PathBuf {
    let mut absolute = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            std::path::Component::ParentDir => drop(absolute.pop()),
            std::path::Component::CurDir => {}
            part => absolute.push(part),
        }
    }
    absolute
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
