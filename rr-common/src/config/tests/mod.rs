//! Whole files through [`super::load`].
#![allow(clippy::unwrap_used)]

mod formats;
mod keys;
mod seeds;
mod show;
mod sources;
mod values;

use super::{Findings, LoadOptions, Loaded, load::resolve};
use std::{fs, path::Path};
use tempfile::TempDir;

/// A directory with files.
fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn options(dir: &Path, file: &str, overrides: &[&str]) -> LoadOptions {
    LoadOptions {
        file: file.into(),
        work_dir: Some(dir.into()),
        overrides: overrides.iter().map(|o| (*o).to_owned()).collect(),
        ..LoadOptions::default()
    }
}

fn env(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("9090".into()),
        "SET" => Some("from the environment".into()),
        _ => None,
    }
}

/// Loads one text; the variables are PORT and SET.
fn text(file: &str, text: &str, overrides: &[&str]) -> (Loaded, Findings) {
    let dir = dir(&[(file, text)]);
    resolve(&options(dir.path(), file, overrides), &env).unwrap()
}

fn errors(file: &str, content: &str) -> Vec<String> {
    let dir = dir(&[(file, content)]);
    match resolve(&options(dir.path(), file, &[]), &env) {
        Ok((_, findings)) => findings.errors.iter().map(ToString::to_string).collect(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}
