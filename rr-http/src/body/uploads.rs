//! Uploaded files: temporary files in `uploads.dir`, and what PHP is told of each.

use super::{
    Settings,
    blocks::{BLOCK, Blocks, WriteError},
    json,
    tree::Leaf,
};
use std::{
    fs::File,
    io::{self, Write},
    os::unix::{ffi::OsStrExt, fs::fchown},
    path::PathBuf,
};
use tempfile::{NamedTempFile, TempPath};
use tokio::runtime::Handle;

/// Refused or failed files carry these numbers, which are PHP's.
mod code {
    pub(super) const OK: u8 = 0;
    pub(super) const NO_TMP_DIR: u8 = 6;
    pub(super) const CANT_WRITE: u8 = 7;
    pub(super) const EXTENSION: u8 = 8;
}

/// The temporary files of one request. They are removed when it is dropped, on a blocking thread if there is a runtime;
/// that PHP has moved them away is no error.
#[derive(Debug, Default)]
pub struct UploadGuard(Vec<TempPath>);

impl UploadGuard {
    /// Number of files.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for UploadGuard {
    fn drop(&mut self) {
        let paths = std::mem::take(&mut self.0);
        if paths.is_empty() {
            return;
        }
        // Each path removes its file when it is dropped, also if the runtime ends before the closure runs.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(paths));
        }
    }
}

/// A file as PHP sees it, a leaf of the uploads tree.
#[derive(Debug)]
pub(super) struct Upload {
    name: Vec<u8>,
    mime: Vec<u8>,
    size: u64,
    error: u8,
    path: Option<PathBuf>,
}

impl Leaf for Upload {
    fn is_empty(&self) -> bool {
        false
    }

    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(br#"{"name":"#)?;
        json::string(&self.name, out)?;
        out.write_all(br#","mime":"#)?;
        json::string(&self.mime, out)?;
        write!(out, r#","size":{},"error":{},"tmpName":"#, self.size, self.error)?;
        let path = self.path.as_deref().map_or(&[][..], |path| path.as_os_str().as_bytes());
        json::string(path, out)?;
        out.write_all(b"}")
    }
}

/// A file that is being received.
#[derive(Debug)]
pub(super) struct Receiver {
    upload: Upload,
    blocks: Blocks<NamedTempFile>,
    dir: PathBuf,
    owner: Option<(u32, u32)>,
}

impl Receiver {
    pub(super) fn new(name: Vec<u8>, mime: Vec<u8>, settings: &Settings) -> Self {
        let error = if accepted(&name, settings) {
            code::OK
        } else {
            code::EXTENSION
        };
        Self {
            upload: Upload {
                name,
                mime,
                size: 0,
                error,
                path: None,
            },
            blocks: Blocks::new(BLOCK),
            dir: settings.uploads_dir.clone(),
            owner: settings.owner,
        }
    }

    /// Takes some bytes. A failure is no error of the request: the file is marked and the rest ignored.
    pub(super) async fn write(&mut self, mut piece: &[u8]) {
        while self.upload.error == code::OK {
            piece = self.blocks.fill(piece);
            if piece.is_empty() {
                return;
            }
            self.flush().await;
        }
    }

    /// The file is complete.
    pub(super) async fn finish(mut self, guard: &mut UploadGuard) -> Upload {
        if self.upload.error == code::OK && !self.blocks.is_stored() {
            self.flush().await;
        }
        if self.upload.error == code::OK {
            self.upload.size = self.blocks.len();
            let (_, file) = self.blocks.into_parts();
            let path = file.map(NamedTempFile::into_temp_path);
            self.upload.path = path.as_deref().map(PathBuf::from);
            guard.0.extend(path);
        }
        self.upload
    }

    async fn flush(&mut self) {
        let (dir, owner) = (self.dir.clone(), self.owner);
        if let Err(error) = self.blocks.flush(move || create(dir, owner)).await {
            let (code, error) = match error {
                WriteError::Create(error) => (code::NO_TMP_DIR, error),
                WriteError::Write(error) => (code::CANT_WRITE, error),
            };
            tracing::error!(target: "http", %error, dir = %self.dir.display(), "cannot store an uploaded file");
            self.upload.error = code;
        }
    }
}

/// A new file named `upload` and random characters, readable by its owner alone.
fn create(dir: PathBuf, owner: Option<(u32, u32)>) -> io::Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix("upload")
        .rand_bytes(12)
        .tempfile_in(dir)?;
    if let Some((user, group)) = owner {
        let handle: &File = file.as_file();
        fchown(handle, Some(user), Some(group))?;
    }
    Ok(file)
}

/// `forbid` wins over `allow`; an empty `allow` accepts everything else.
fn accepted(name: &[u8], settings: &Settings) -> bool {
    let extension = extension(name);
    let in_list = |list: &[String]| list.contains(&extension);
    !in_list(&settings.forbid) && (settings.allow.is_empty() || in_list(&settings.allow))
}

/// The last suffix with its dot, in lower case; empty if there is none.
fn extension(name: &[u8]) -> String {
    let start = name.iter().rposition(|&byte| byte == b'.' || byte == b'/');
    match start {
        Some(at) if name[at] == b'.' => String::from_utf8_lossy(&name[at..]).to_lowercase(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::extension;

    #[test]
    fn extensions() {
        for (name, expected) in [
            ("a.PHP", ".php"),
            ("a.tar.gz", ".gz"),
            (".htaccess", ".htaccess"),
            ("a.", "."),
            ("a", ""),
            ("", ""),
            ("a.b/c", ""),
            ("/", ""),
        ] {
            assert_eq!(extension(name.as_bytes()), expected, "{name}");
        }
    }
}
