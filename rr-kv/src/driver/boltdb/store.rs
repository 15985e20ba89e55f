//! The open file. After a failure of the disk redb refuses all further work; then the file is closed, and opened anew by
//! the next write: a disk that was full and is not any more needs no restart.

use super::file::{Tables, VALUES};
use crate::driver::DriverError;
use redb::{Database, DatabaseError, ReadOnlyTable, ReadableDatabase, StorageError};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

/// Memory for pages of the file.
const CACHE: usize = 32 << 20;
/// In a BoltDB file: a number behind the first page's header of 16 bytes.
const BOLT_MAGIC: u32 = 0xED0C_DAED;

/// Where the file is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub file: PathBuf,
    /// Its mode, if it has to be created.
    pub permissions: u32,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    #[error(
        "{0} is a BoltDB file, as RoadRunner writes it; this server keeps its keys in another format and leaves the file alone. \
         Move it away, or name another one in `config.file`"
    )]
    Bolt(PathBuf),
    #[error("{0}: {1}")]
    Database(PathBuf, Box<DatabaseError>),
}

impl OpenError {
    /// Another process has the file open.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Database(_, error) if matches!(**error, DatabaseError::DatabaseAlreadyOpen))
    }
}

/// The file, open or not at present.
#[derive(Debug)]
pub(super) struct Store {
    place: Place,
    database: RwLock<Option<Database>>,
    trouble: Mutex<Option<String>>,
}

impl Store {
    /// Opens the file, and creates it if it is not there.
    pub(super) fn open(place: Place) -> Result<Self, OpenError> {
        Ok(Self {
            database: RwLock::new(Some(place.open()?)),
            place,
            trouble: Mutex::default(),
        })
    }

    /// Reads as the file is after the last commit.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadOnlyTable<&'static str, (u64, &'static [u8])>) -> Result<T, StorageError>,
    ) -> Result<T, DriverError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = &*database else {
            return Err(self.failed());
        };
        let work = || -> Result<T, redb::Error> {
            let transaction = database.begin_read()?;
            Ok(read(&transaction.open_table(VALUES)?)?)
        };
        work().map_err(|error| DriverError::Failed(error.to_string()))
    }

    /// Changes the file in one transaction, which is on the disk when this returns.
    pub(super) fn write<T>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, StorageError>,
    ) -> Result<T, DriverError> {
        let done = self.opened().and_then(|()| {
            let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
            let database = database.as_ref().ok_or_else(|| self.failed().to_string())?;
            let work = || -> Result<T, redb::Error> {
                let transaction = database.begin_write()?;
                let result = change(&mut Tables::open(&transaction)?)?;
                transaction.commit()?;
                Ok(result)
            };
            work().map_err(|error| error.to_string())
        });
        match done {
            Ok(result) => {
                *self.lock() = None;
                Ok(result)
            }
            Err(error) => {
                tracing::error!(file = %self.place.file.display(), error, "the storage's file cannot be written");
                *self.lock() = Some(format!("{}: {error}", self.place.file.display()));
                self.close();
                Err(self.failed())
            }
        }
    }

    /// Closes the file.
    pub(super) fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What went wrong last, unless something has gone right since.
    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Opens the file if it was closed after a failure. The writer alone does this.
    fn opened(&self) -> Result<(), String> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            let database = self.place.open().map_err(|error| error.to_string())?;
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
        }
        Ok(())
    }

    /// The error for whoever needs the file and cannot have it.
    pub(super) fn failed(&self) -> DriverError {
        DriverError::Failed(self.trouble().unwrap_or_else(|| "the storage is closed".into()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn open(&self) -> Result<Database, OpenError> {
        let path = &self.file;
        let failed = |error| OpenError::Io(path.clone(), error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(self.permissions)
            .open(path);
        if is_bolt(file.map_err(failed)?).map_err(failed)? {
            return Err(OpenError::Bolt(path.clone()));
        }
        let refused = |error| OpenError::Database(path.clone(), Box::new(error));
        let shown = path.display().to_string();
        let database = Database::builder()
            .set_cache_size(CACHE)
            .set_repair_callback(move |_| {
                tracing::info!(file = shown, "the file was not closed in order and is checked")
            })
            .create(path)
            .map_err(refused)?;
        // Readers need the tables too.
        let make = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            drop(Tables::open(&transaction)?);
            Ok(transaction.commit()?)
        };
        match make() {
            Ok(()) => Ok(database),
            Err(error) => Err(OpenError::Io(path.clone(), io::Error::other(error))),
        }
    }
}

fn is_bolt(mut file: File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.by_ref().take(20).read_to_end(&mut start)?;
    Ok(start.get(16..20) == Some(&BOLT_MAGIC.to_le_bytes()[..])
        || start.get(16..20) == Some(&BOLT_MAGIC.to_be_bytes()[..]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        driver::{
            Item,
            boltdb::file::{self, Owned},
        },
        expiry::Expiry,
    };

    #[test]
    fn after_a_failure_of_the_disk_the_file_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Place {
            file: directory.path().join("kv.db"),
            permissions: 0o600,
        });
        let store = store.unwrap();
        let now = Expiry::now();
        let set = |key: &str| {
            let item = Owned::of(&Item {
                key,
                value: b"1",
                expiry: None,
            });
            store.write(|tables| tables.set(&item, now))
        };
        set("before").unwrap();
        let full = || StorageError::Io(io::Error::from(io::ErrorKind::StorageFull));
        let failed = store.write(|tables| tables.clear().and(Err::<(), _>(full())));
        assert!(failed.unwrap_err().to_string().contains("no storage space"));
        assert!(store.trouble().unwrap().contains("kv.db"));
        assert!(store.read(|_| Ok(())).is_err());

        set("after").unwrap();
        assert_eq!(store.trouble(), None);
        for key in ["before", "after"] {
            let found = store.read(|values| file::get(values, key, now, |_, value| value.to_vec()));
            assert_eq!(found.unwrap().as_deref(), Some(&b"1"[..]), "{key}");
        }
    }
}
