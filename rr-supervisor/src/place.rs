//! Where processes are started, and with which variables besides our own: what may be another one after a reload.

use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A place to start processes in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    /// The working directory, all links followed; empty for our own.
    pub directory: PathBuf,
    /// Variables of dotenv files.
    pub set: BTreeMap<String, String>,
    /// Variables that our environment has since such a file named them at our start, and that are named no more.
    pub unset: BTreeSet<String>,
}

impl Place {
    /// Makes a process start here.
    pub(crate) fn apply(&self, command: &mut Command) {
        if !self.directory.as_os_str().is_empty() {
            command.current_dir(&self.directory);
        }
        for name in &self.unset {
            command.env_remove(name);
        }
        command.envs(&self.set);
    }

    /// Whether a command names a file in this directory, so that other files there are another program.
    pub(crate) fn has_program(&self, words: &[String]) -> bool {
        let is_here = |word: &String| {
            let path = Path::new(word);
            path.is_relative() && !word.starts_with('-') && self.directory.join(path).is_file()
        };
        words.iter().any(is_here)
    }
}

/// The directory of this process as a person would write it: `$PWD`, if that is the same. The kernel forgets the links on the way,
/// such as `current` of `/srv/app/current`.
pub(crate) fn as_written() -> Option<PathBuf> {
    let written = PathBuf::from(env::var_os("PWD")?);
    (written.is_absolute() && is_ours(&written)).then_some(written)
}

/// Where a directory leads to now, if that is another one than ours.
pub(crate) fn elsewhere(written: &Path) -> Option<PathBuf> {
    let now = written.canonicalize().ok()?;
    (!is_ours(&now)).then_some(now)
}

/// Whether this is the directory of this process.
fn is_ours(path: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    identity(path).is_some_and(|seen| Some(seen) == identity(Path::new(".")))
}

/// We are in another directory while this lives, or for good with [`Visit::stay`].
#[derive(Debug)]
pub(crate) struct Visit {
    back: Option<PathBuf>,
}

impl Visit {
    /// Goes there.
    ///
    /// # Errors
    /// There is no such directory, or it is closed to us.
    pub(crate) fn to(directory: &Path, back: &Path) -> io::Result<Self> {
        env::set_current_dir(directory)?;
        Ok(Self {
            back: Some(back.to_owned()),
        })
    }

    /// Stays there.
    pub(crate) fn stay(mut self) {
        self.back = None;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(back) = &self.back
            && let Err(error) = env::set_current_dir(back)
        {
            tracing::warn!(target: "supervisor", directory = %back.display(), %error, "the way back to the working directory is closed");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_process_starts_where_it_shall() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place {
            directory: dir.path().canonicalize().unwrap(),
            set: BTreeMap::from([("RR_TEST_SET".to_owned(), "new".to_owned())]),
            unset: BTreeSet::from(["HOME".to_owned()]),
        };
        let mut command = Command::new("sh");
        command.args(["-c", "echo $(pwd -P) $RR_TEST_SET $HOME"]);
        place.apply(&mut command);
        let output = command.output().unwrap();
        let expected = format!("{} new\n", place.directory.display());
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }

    #[test]
    fn a_program_of_the_directory_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("artisan"), "").unwrap();
        let place = Place {
            directory: dir.path().to_owned(),
            ..Place::default()
        };
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(place.has_program(&words("php artisan queue:listen")));
        assert!(place.has_program(&words("./artisan")));
        assert!(!place.has_program(&words("/usr/bin/node /opt/server.js --artisan")));
    }
}
