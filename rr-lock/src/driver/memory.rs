//! Locks in this process's memory, and in the memory file if there is one.
//!
//! Every call goes through the one [`Desk`]: decide on the table, write the changes down, then tell those who waited. One
//! task waits for the next end of a lock or of a wait; when nothing is held nothing wakes up.

use super::{Answer, Ask, Counts, Driver, DriverError, Token};
use crate::{
    clock::{self, micros},
    journal::{Journal, JournalError},
    table::{Change, Conflict, Outcome, Table, Ticket, Wish},
};
use std::{
    collections::HashMap,
    fs::File,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    task::AbortHandle,
    time::sleep,
};

/// The timer looks at the clock this often at least, while something ends later than that.
const LONGEST_SLEEP: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why the locks of an earlier process cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The memory file.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its locks.
    #[error("the memory file of the locks is damaged: {0}")]
    Conflict(#[from] Conflict),
}

/// The driver.
#[derive(Debug)]
pub struct Memory {
    desk: Arc<Desk>,
    timer: AbortHandle,
    /// The memory file, for the time after a pause.
    state: Option<File>,
    runtime: Handle,
}

#[derive(Debug)]
struct Desk {
    inner: Mutex<Inner>,
    /// Something ends sooner than what the timer waits for.
    sooner: Notify,
}

#[derive(Debug)]
struct Inner {
    table: Table,
    journal: Option<Journal>,
    /// Why the journal is not written any more.
    broken: Option<String>,
    waiting: HashMap<Ticket, Verdict>,
    /// When the timer goes off.
    armed: Option<u64>,
    granted: u64,
}

/// Tells one who waits what has become of the wish.
type Verdict = oneshot::Sender<Result<Option<Token>, DriverError>>;

impl Memory {
    /// Takes over what the memory file keeps, and starts the timer on that runtime. Without a file the locks are as
    /// mortal as this process.
    ///
    /// # Errors
    /// A file that is damaged or cannot be read.
    pub fn start(state: Option<File>, runtime: &Handle) -> Result<Self, RestoreError> {
        let (journal, kept) = match &state {
            Some(file) => Journal::open(file.try_clone().map_err(JournalError::Io)?)
                .map(|(journal, kept)| (Some(journal), kept))?,
            None => (None, Default::default()),
        };
        let last = if kept.last == 0 {
            clock::first_token()
        } else {
            kept.last
        };
        let mut table = Table::restore(kept.grants.into_values(), last)?;
        table.advance(clock::now());
        if table.held() > 0 {
            tracing::info!(target: "lock", held = table.held(), "took over the locks of the process before");
        }
        let mut inner = Inner {
            table,
            journal,
            broken: None,
            waiting: HashMap::new(),
            armed: None,
            granted: 0,
        };
        inner.settle();
        let desk = Arc::new(Desk {
            inner: Mutex::new(inner),
            sooner: Notify::new(),
        });
        let timer = runtime.spawn(watch(Arc::clone(&desk))).abort_handle();
        Ok(Self {
            desk,
            timer,
            state,
            runtime: runtime.clone(),
        })
    }

    async fn wait_for(&self, ask: Ask<'_>) -> Result<Option<Token>, DriverError> {
        let wish = Wish {
            resource: ask.resource,
            id: ask.id,
            mode: ask.mode,
            ttl: micros(ask.ttl),
            wait: micros(ask.wait),
        };
        let (place, verdict) = {
            let mut inner = self.desk.lock();
            let outcome = inner.table.lock(wish, clock::now());
            let (sender, verdict) = oneshot::channel();
            if let Ok(Outcome::Waiting(ticket)) = outcome {
                inner.waiting.insert(ticket, sender);
            }
            inner.settle();
            self.desk.rearm(&inner);
            match outcome.map_err(|full| DriverError::Failed(full.to_string()))? {
                Outcome::Granted(token) => return Ok(Some(token)),
                Outcome::Refused => return Ok(None),
                Outcome::Waiting(ticket) => (
                    Place {
                        desk: &self.desk,
                        resource: ask.resource,
                        ticket,
                    },
                    verdict,
                ),
            }
        };
        let verdict = verdict.await;
        drop(place);
        // The sender is kept until there is a verdict.
        verdict.unwrap_or(Ok(None))
    }

    /// One short question to the table.
    fn ask<T>(&self, question: impl FnOnce(&mut Table, u64) -> T) -> Result<T, DriverError> {
        let mut inner = self.desk.lock();
        let answer = question(&mut inner.table, clock::now());
        inner.settle();
        self.desk.rearm(&inner);
        Ok(answer)
    }
}

impl Driver for Memory {
    fn lock<'a>(&'a self, ask: Ask<'a>) -> Answer<'a, Option<Token>> {
        Box::pin(self.wait_for(ask))
    }

    fn release<'a>(&'a self, resource: &'a str, id: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { self.ask(|table, now| table.release(resource, id, now)) })
    }

    fn force_release<'a>(&'a self, resource: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { self.ask(|table, now| table.force_release(resource, now)) })
    }

    fn exists<'a>(&'a self, resource: &'a str, id: Option<&'a str>) -> Answer<'a, bool> {
        Box::pin(async move { self.ask(|table, now| table.exists(resource, id, now)) })
    }

    fn update_ttl<'a>(&'a self, resource: &'a str, id: &'a str, ttl: Duration) -> Answer<'a, bool> {
        Box::pin(async move { self.ask(|table, now| table.update_ttl(resource, id, micros(ttl), now)) })
    }

    fn pausing(&self) {
        let mut inner = self.desk.lock();
        for ticket in inner.table.withdraw() {
            if let Some(sender) = inner.waiting.remove(&ticket) {
                let _ = sender.send(Err(DriverError::Paused));
            }
        }
    }

    fn pause(&mut self) -> Result<(), String> {
        // From here on the file is the next process's.
        self.timer.abort();
        let mut inner = self.desk.lock();
        match inner.journal.take() {
            Some(_) => Ok(()),
            None => Err(inner.broken.clone().unwrap_or_else(|| "there is no memory file".into())),
        }
    }

    fn resume(&mut self) -> Result<(), String> {
        let (paused, granted) = {
            let inner = self.desk.lock();
            let unwritten = inner.journal.is_none() && inner.broken.is_none();
            (self.state.is_some() && unwritten, inner.granted)
        };
        if paused {
            // The process that did not take over may have ended locks whose time was over.
            let state = self.state.as_ref().map(File::try_clone).transpose();
            let again = Self::start(state.map_err(|error| error.to_string())?, &self.runtime);
            *self = again.map_err(|error| error.to_string())?;
            self.desk.lock().granted += granted;
        } else {
            self.timer.abort();
            self.timer = self.runtime.spawn(watch(Arc::clone(&self.desk))).abort_handle();
        }
        Ok(())
    }

    fn unhealthy(&self) -> Option<String> {
        self.desk.lock().broken.clone()
    }

    fn counts(&self) -> Counts {
        let inner = self.desk.lock();
        Counts {
            held: Some(inner.table.held() as u64),
            waiting: inner.table.waiting() as u64,
            granted: inner.granted,
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the timer if what comes next comes before it would look. That it wakes for nothing once is cheaper than to
    /// tell it of every lock that is released.
    fn rearm(&self, inner: &Inner) {
        if let Some(next) = inner.table.next_due()
            && inner.armed.is_none_or(|armed| next < armed)
        {
            self.sooner.notify_one();
        }
    }
}

impl Inner {
    /// Writes down what has changed, then tells those who waited.
    fn settle(&mut self) {
        let changes = self.table.take_changes();
        self.granted += changes
            .iter()
            .filter(|change| matches!(change, Change::Granted(_)))
            .count() as u64;
        if !changes.is_empty()
            && let Err(error) = self.write(&changes)
        {
            // Served on from memory: to refuse every lock would be worse. But someone must know.
            let text = format!("locks are not written to the memory file any more: {error}");
            tracing::error!(target: "lock", "{text}");
            self.journal = None;
            self.broken = Some(text);
        }
        for verdict in self.table.take_verdicts() {
            if let Some(sender) = self.waiting.remove(&verdict.ticket) {
                // Nobody there: the place is given up under this same lock, so it was granted before. It ends in time.
                let _ = sender.send(Ok(verdict.token));
            }
        }
    }

    fn write(&mut self, changes: &[Change]) -> io::Result<()> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        journal.append(changes)?;
        if journal.is_long() {
            let (grants, last) = self.table.grants();
            journal.renew(&grants, last)?;
        }
        Ok(())
    }
}

/// A place in a queue, given up when nobody waits for the verdict any more.
struct Place<'a> {
    desk: &'a Desk,
    resource: &'a str,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut inner = self.desk.lock();
        if inner.waiting.remove(&self.ticket).is_some() {
            inner.table.give_up(self.resource, self.ticket, clock::now());
            inner.settle();
            self.desk.rearm(&inner);
        }
    }
}

/// Ends what is due, as long as the driver lives.
async fn watch(desk: Arc<Desk>) {
    loop {
        let next = {
            let mut inner = desk.lock();
            let now = clock::now();
            inner.table.advance(now);
            inner.settle();
            inner.armed = inner.table.next_due();
            inner
                .armed
                .map(|at| Duration::from_micros(at.saturating_sub(now)).min(LONGEST_SLEEP))
        };
        match next {
            Some(time) => tokio::select! {
                () = sleep(time) => {}
                () = desk.sooner.notified() => {}
            },
            None => desk.sooner.notified().await,
        }
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
