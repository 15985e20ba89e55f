//! The `.pid` file in the working directory: written with `-p`, read by `stop`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

/// Its name, as the reference has it.
pub(crate) const NAME: &str = ".pid";

/// The file of this process; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes our pid.
    ///
    /// # Errors
    /// The working directory cannot be written.
    pub(crate) fn write() -> io::Result<Self> {
        let path = std::path::absolute(NAME)?;
        fs::write(&path, process::id().to_string())
            .map_err(|error| io::Error::new(error.kind(), format!("{} cannot be written: {error}", path.display())))?;
        Ok(Self { path })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Not if a later server has put its own there.
        if read(&self.path).is_ok_and(|pid| u32::try_from(pid) == Ok(process::id())) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The pid in a file.
///
/// # Errors
/// No file, or no pid in it.
pub(crate) fn read(path: &Path) -> io::Result<i32> {
    let text = fs::read_to_string(path)?;
    let pid: i32 = text
        .trim()
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{NAME}: no process id: {text:?}")))?;
    // 0 and negative numbers would address whole process groups.
    if pid <= 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{NAME}: no process id: {pid}"),
        ));
    }
    Ok(pid)
}
