//! Whether a process is a server: one has the lock of a control directory open, whatever its program is called and however often that
//! was replaced.

use super::{LOCK, identity::Signature};
use std::{fs, io, path::Path};

/// Whether that process has a control directory.
///
/// # Errors
/// It is gone, or not ours to look at.
pub(crate) fn has_one(pid: i32) -> io::Result<bool> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        if fs::read_link(entry.path()).is_ok_and(|open| is_lock(&open)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Other programs have files of that name too; only ours say whose they are, in the form that we read.
fn is_lock(open: &Path) -> bool {
    let is_named = open.file_name().is_some_and(|name| name == Path::new(LOCK));
    is_named && open.parent().and_then(Signature::read).is_some()
}
