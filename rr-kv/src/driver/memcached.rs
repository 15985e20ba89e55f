//! `driver: memcached`: one or several servers, each with its share of the keys.
//!
//! - [`protocol`]: commands and answers as bytes
//! - `server`: one server's connections; `exchange`: what it is asked, in one go
//! - `placement`: which server has a key
//! - `versions`: one value and its version
//!
//! The commands are those that every Memcached knows, except for `incr`: its numbers are decimal text of 64 bits with a
//! sign, as in every other driver, and Memcached's own are not. So it reads the number with its version and writes the sum if
//! the version is still the same, with the meta commands (Memcached 1.6), which let a key keep its end.

mod exchange;
mod placement;
pub mod protocol;
mod server;
mod versions;

use super::{Driver, DriverError, Item, Outcome, Texts, sum};
use crate::{expiry::Expiry, reply::Reply};
use exchange::{batches, one_line, read};
use futures_util::future::try_join_all;
use placement::Placement;
use protocol::{get, is_key, moment, store};
use rr_common::{config::section::MemcachedStorage, plugin::StartError};
use server::{Broken, Server};
use std::sync::Arc;
use tokio::runtime::Handle;

const PORT: u16 = 11211;
/// How often a number may change under our hands: each time somebody else has got on.
const TRIES: usize = 1000;

/// A storage in Memcached.
#[derive(Debug)]
pub struct Memcached {
    servers: Vec<Arc<Server>>,
    placement: Placement,
    runtime: Handle,
}

impl Memcached {
    /// A storage on these servers. It connects when it is first used.
    ///
    /// # Errors
    /// There is no server, or no time to wait for one.
    pub fn open(name: &str, settings: &MemcachedStorage, runtime: &Handle) -> Result<Self, StartError> {
        let wrong = |text: &str| Err(StartError(format!("kv.{name}.config.{text}")));
        let with_port = |address: &String| match address.trim() {
            text if text.contains(['/', ':']) => text.to_owned(),
            text => format!("{text}:{PORT}"),
        };
        let addresses: Vec<String> = settings.addr.iter().map(with_port).collect();
        if addresses.is_empty() || settings.addr.iter().any(|address| address.trim().is_empty()) {
            return wrong("addr: expected host:port of each server");
        }
        if settings.timeout.is_zero() {
            return wrong("timeout: there must be some");
        }
        let server = |address: &String| Arc::new(Server::new(address, settings.timeout.get()));
        Ok(Self {
            servers: addresses.iter().map(server).collect(),
            placement: Placement::new(settings.hash, &addresses),
            runtime: runtime.clone(),
        })
    }

    fn server(&self, key: &str) -> Outcome<&Server> {
        checked(key)?;
        Ok(&self.servers[self.placement.of(key)])
    }

    /// The items by the server that has them.
    fn shares<'a, T>(&'a self, items: &'a [T], key: fn(&T) -> &str) -> Outcome<Vec<(&'a Server, Vec<&'a T>)>> {
        let mut shares: Vec<Vec<&T>> = vec![Vec::new(); self.servers.len()];
        for item in items {
            checked(key(item))?;
            shares[self.placement.of(key(item))].push(item);
        }
        let servers = self.servers.iter().map(Arc::as_ref);
        Ok(servers.zip(shares).filter(|(_, share)| !share.is_empty()).collect())
    }

    /// Sends a command for each item, to all servers at once; each answer must be one of the lines.
    async fn each<T: Sync>(
        &self,
        items: &[T],
        key: fn(&T) -> &str,
        write: impl Fn(&mut Vec<u8>, &T) + Send + Sync,
        expected: &'static [&'static str],
    ) -> Outcome<()> {
        let mut work = Vec::with_capacity(self.servers.len());
        for (server, share) in self.shares(items, key)? {
            work.push(batches(server, share, &write, expected));
        }
        try_join_all(work).await?;
        Ok(())
    }

    /// Reads keys and writes what `show` makes of those that exist.
    async fn read(&self, keys: &[&str], found: &mut Reply, show: fn(&mut Reply, &str, &[u8])) -> Outcome<()> {
        let mut work = Vec::with_capacity(self.servers.len());
        for (server, share) in self.shares(keys, |key| key)? {
            work.push(read(server, share, show));
        }
        for reply in try_join_all(work).await? {
            found.append(reply);
        }
        Ok(())
    }
}

impl Driver for Memcached {
    const TEXTS: Texts = Texts {
        operation: "memcached_plugin_",
        no_timeout: "should set timeout and at least one key",
        bare_times: &["set"],
    };

    async fn has(&self, keys: &[&str], found: &mut Reply) -> Outcome<()> {
        self.read(keys, found, |reply, key, _| reply.key(key)).await
    }

    async fn set(&self, items: &[Item<'_>]) -> Outcome<()> {
        let now = Expiry::now();
        let write = |out: &mut Vec<u8>, item: &Item<'_>| store(out, "set", item, None, now);
        self.each(items, |item| item.key, write, &["STORED"]).await
    }

    async fn mget(&self, keys: &[&str], found: &mut Reply) -> Outcome<()> {
        self.read(keys, found, Reply::value).await
    }

    async fn mexpire(&self, keys: &[(&str, Expiry)]) -> Outcome<()> {
        let now = Expiry::now();
        let write = |out: &mut Vec<u8>, (key, expiry): &(&str, Expiry)| {
            let command = format!("touch {key} {}\r\n", moment(Some(*expiry), now));
            out.extend_from_slice(command.as_bytes());
        };
        self.each(keys, |(key, _)| key, write, &["TOUCHED", "NOT_FOUND"]).await
    }

    /// The public PHP package looks for this text.
    async fn ttl(&self, _: &[&str], _: &mut Reply) -> Outcome<()> {
        Err(DriverError::Unsupported(
            "not valid request for memcached, see https://github.com/memcached/memcached/issues/239",
        ))
    }

    async fn delete(&self, keys: &[&str]) -> Outcome<()> {
        let write = |out: &mut Vec<u8>, key: &&str| out.extend_from_slice(format!("delete {key}\r\n").as_bytes());
        self.each(keys, |key| key, write, &["DELETED", "NOT_FOUND"]).await
    }

    async fn clear(&self) -> Outcome<()> {
        let mut work = Vec::with_capacity(self.servers.len());
        for server in &self.servers {
            work.push(one_line(server, b"flush_all\r\n"));
        }
        match try_join_all(work).await?.into_iter().find(|line| line != "OK") {
            None => Ok(()),
            Some(line) => Err(DriverError::Failed(format!("memcached: {line}"))),
        }
    }

    async fn incr(&self, key: &str, by: i64, expiry: Option<Expiry>) -> Outcome<i64> {
        let question = format!("mg {key} v c f t\r\n");
        for _ in 0..TRIES {
            let Some(old) = self.versioned(question.as_bytes(), key).await? else {
                let value = by.to_string();
                let value = value.as_bytes();
                if self.store_one(&Item { key, value, expiry }, None).await? {
                    return Ok(by);
                }
                continue;
            };
            // Others may have used Memcached's own decrement, which leaves blanks.
            let sum = sum(Some(old.data.trim_ascii_end()), by)?;
            if self.replace(key, &old, sum, by).await? {
                return Ok(sum);
            }
        }
        Err(contended(key))
    }

    async fn add(&self, items: &[Item<'_>], stored: &mut Reply) -> Outcome<()> {
        for item in items {
            if self.store_one(item, None).await? {
                stored.key(item.key);
            }
        }
        Ok(())
    }

    async fn compare_and_swap(&self, item: Item<'_>, expected: Option<&[u8]>) -> Outcome<bool> {
        let Some(expected) = expected else {
            return self.store_one(&item, None).await;
        };
        let question = get("gets", &[item.key]);
        for _ in 0..TRIES {
            match self.versioned(&question, item.key).await? {
                Some(old) if old.data == expected => {
                    // If it has changed since, the new value decides.
                    if self.store_one(&item, Some(old.cas)).await? {
                        return Ok(true);
                    }
                }
                _ => return Ok(false),
            }
        }
        Err(contended(item.key))
    }

    /// When no server is there. One of several costs its own keys only, and is a warning in the log.
    fn unhealthy(&self) -> Option<String> {
        let troubles = self.servers.iter().map(|server| server.trouble(&self.runtime));
        // All are asked, so that all are looked at.
        let troubles: Vec<Option<String>> = troubles.collect();
        let troubles: Option<Vec<String>> = troubles.into_iter().collect();
        troubles.map(|troubles| troubles.join(", "))
    }
}

fn checked(key: &str) -> Outcome<()> {
    match is_key(key) {
        true => Ok(()),
        false => Err(DriverError::Failed(format!(
            "{key:?} is no key for memcached: 1 to {} bytes without blanks and control characters",
            protocol::LONGEST_KEY
        ))),
    }
}

fn contended(key: &str) -> DriverError {
    DriverError::Failed(format!("memcached: {key:?} changes too often"))
}

impl From<Broken> for DriverError {
    fn from(broken: Broken) -> Self {
        Self::Failed(broken.to_string())
    }
}
