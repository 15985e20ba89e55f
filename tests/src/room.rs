//! A temporary directory.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A temporary directory of one test, removed at the end.
pub struct Room {
    dir: tempfile::TempDir,
}

impl Room {
    /// A new empty directory.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("rr-test-").tempdir();
        Self { dir: dir.unwrap() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The absolute path of a file here, whether it exists or not.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and returns its path; missing directories are made.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes a shell script that can be executed, and returns its path.
    pub fn program(&self, name: &str, script: &str) -> PathBuf {
        let text = self.write(&format!("{name}.sh"), format!("#!/bin/sh\n{script}\n"));
        self.install(&text, name)
    }

    /// Copies a program, which can be executed here, and returns its path.
    ///
    /// Another process writes it: what is open for writing cannot be executed, and what this one has open the processes that other
    /// tests are just starting have open too.
    pub fn install(&self, program: &Path, name: &str) -> PathBuf {
        let path = self.file(name);
        let mut install = Command::new("install");
        let installed = install.args(["-D", "-m", "755"]).arg(program).arg(&path).status();
        assert!(installed.unwrap().success(), "{}", path.display());
        path
    }

    /// Reads a file as text; empty if it is not there.
    pub fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.file(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes `cert.pem` and `key.pem`, self-signed for `localhost`, and returns the certificate's text.
    pub fn certificate(&self) -> String {
        let names = vec!["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        self.write("key.pem", made.signing_key.serialize_pem());
        self.write("cert.pem", made.cert.pem());
        made.cert.pem()
    }
}
