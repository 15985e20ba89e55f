//! Where the configuration comes from, and what is in force: read afresh for each reload, with all links on the way to the working
//! directory followed again.

use crate::{
    control_dir::{self, Signature},
    endpoints,
    place::Place,
    plugins::catalog::Entry,
    serve,
    watch::Wish,
};
use bytes::Bytes;
use rr_common::{
    config::{self, Config, LoadOptions, Loaded},
    control::Access,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::PathBuf,
    sync::Arc,
};

/// How to read the configuration again as it was read at the start.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The command line's options.
    pub options: LoadOptions,
    /// The directory that relative paths start from, as it is written.
    pub base_dir: PathBuf,
    /// Variables that our environment has from the dotenv files of the start.
    pub exported: BTreeSet<String>,
    /// Log lines for people (`up`).
    pub for_people: bool,
    /// The project's files are watched, whatever the configuration says (`up --watch`).
    pub watch: bool,
}

/// What is in force.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    /// The configuration as plugins get it.
    pub json: Bytes,
    /// The plugins that it asks for, in the order of their start.
    pub entries: Vec<Entry>,
    /// Where processes are started.
    pub place: Arc<Place>,
    /// The files that are watched.
    pub wish: Option<Wish>,
}

/// What shall be in force.
#[derive(Debug)]
pub(super) struct Wanted {
    pub config: Arc<Config>,
    pub access: Access,
    pub tree: Value,
    pub warnings: Vec<String>,
    pub signature: Signature,
    pub current: Current,
}

impl Source {
    /// Reads the files; the error has a line for everything that is wrong.
    pub(super) fn read(&self) -> Result<(Loaded, PathBuf), String> {
        let variable = |name: &str| match self.exported.contains(name) {
            true => None,
            false => env::var(name).ok(),
        };
        let loaded = config::load_with(&self.options, &variable).map_err(|errors| errors.to_string())?;
        let directory = loaded.base_dir.canonicalize();
        let directory = directory.map_err(|error| format!("{}: {error}", loaded.base_dir.display()))?;
        Ok((loaded, directory))
    }

    /// What a configuration asks for, looked at from its own directory.
    pub(super) fn wanted(&self, mut loaded: Loaded, directory: PathBuf) -> Result<Wanted, String> {
        let entries = serve::startable(&loaded).map_err(|error| error.to_string())?;
        if self.for_people {
            serve::for_people(&mut loaded).map_err(|error| error.to_string())?;
        }
        let json = serde_json::to_vec(&loaded.tree).map_err(|error| error.to_string())?;
        let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        warnings.extend(serve::unserved(&loaded).iter().map(ToString::to_string));
        let access = endpoints::access(&loaded.config, &entries).map_err(|error| error.to_string())?;
        let wish = Wish::of(&loaded.config, self.watch, (&directory, &self.options.file), |text| {
            warnings.push(text)
        });
        let wish = wish.map_err(|error| error.to_string())?;
        let signature = control_dir::Identity {
            file: &loaded.base_dir.join(self.options.file.file_name().unwrap_or_default()),
            addresses: &control_dir::addresses(&loaded.config),
        }
        .signature();
        Ok(Wanted {
            current: Current {
                json: json.into(),
                entries,
                place: Arc::new(self.place(directory, loaded.env)),
                wish,
            },
            signature,
            access,
            config: Arc::new(loaded.config),
            tree: loaded.tree,
            warnings,
        })
    }

    fn place(&self, directory: PathBuf, set: BTreeMap<String, String>) -> Place {
        let unset = self
            .exported
            .iter()
            .filter(|name| !set.contains_key(*name))
            .cloned()
            .collect();
        Place { directory, set, unset }
    }
}
