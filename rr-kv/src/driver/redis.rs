//! `driver: redis`: keys in Redis as they are, so that whoever else uses the server finds them.
//!
//! An end is sent as the time that is left, by our clock: Redis need not have the same one. What must not happen in
//! between happens in one command or one script. `Again` says which commands may be sent twice when an answer was lost.

use super::{Driver, DriverError, Item, Outcome, Texts};
use crate::{expiry::Expiry, reply::Reply};
use rr_common::{config::section, plugin::StartError};
use rr_redis::{Again, Client, Cmd, Error, PoolNumbers, cmd};
use std::collections::HashMap;
use tokio::runtime::Handle;

/// Counts, and gives a number that did not exist its end. The sum goes through `GET` because Lua's numbers end at 53 bits.
const COUNT: &str = "
local existed = redis.call('EXISTS', KEYS[1])
redis.call('INCRBY', KEYS[1], ARGV[1])
local sum = redis.call('GET', KEYS[1])
if existed == 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return sum";

/// Stores a value in place of the expected one; the third argument is the time that is left, if there is one.
const SWAP: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else
    redis.call('SET', KEYS[1], ARGV[2])
end
return 1";

/// A storage in Redis.
#[derive(Debug)]
pub struct Redis {
    client: Client,
}

impl Redis {
    /// A storage with these settings. It connects when it is first used.
    ///
    /// # Errors
    /// The settings cannot work.
    pub fn open(name: &str, settings: &section::Redis, runtime: &Handle) -> Result<Self, StartError> {
        let refused = |error| StartError(format!("kv.{name}.config.{error}"));
        let (client, warnings) = Client::new(settings, runtime.clone()).map_err(refused)?;
        for warning in warnings {
            tracing::warn!("kv.{name}.config.{warning}");
        }
        Ok(Self { client })
    }

    /// One command for each key.
    async fn each<T: rr_redis::FromRedisValue>(&self, command: &str, keys: &[&str]) -> Outcome<Vec<T>> {
        let commands: Vec<Cmd> = keys.iter().map(|key| with(command, key)).collect();
        Ok(self.client.ask_all(commands, Again::Lost).await?)
    }

    async fn all(&self, commands: Vec<Cmd>) -> Outcome<()> {
        let _: Vec<rr_redis::Value> = self.client.ask_all(commands, Again::Lost).await?;
        Ok(())
    }
}

impl Driver for Redis {
    const TEXTS: Texts = Texts {
        operation: "redis_driver_",
        no_timeout: "should set timeout and at least one key",
        bare_times: &["set", "mexpire"],
    };

    async fn has(&self, keys: &[&str], found: &mut Reply) -> Outcome<()> {
        let exist: Vec<bool> = self.each("EXISTS", keys).await?;
        for (key, _) in keys.iter().zip(exist).filter(|(_, exists)| *exists) {
            found.key(key);
        }
        Ok(())
    }

    async fn set(&self, items: &[Item<'_>]) -> Outcome<()> {
        let now = Expiry::now();
        // Commands go side by side: of two with the same key only the later one is sent.
        let last: HashMap<&str, &Item<'_>> = items.iter().map(|item| (item.key, item)).collect();
        let store = |item: &Item<'_>| match item.expiry {
            Some(expiry) if expiry.is_past(now) => with("DEL", item.key),
            _ => set(item, now),
        };
        let commands: Vec<Cmd> = last.into_values().map(store).collect();
        self.all(commands).await
    }

    async fn mget(&self, keys: &[&str], found: &mut Reply) -> Outcome<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut command = cmd("MGET");
        command.arg(keys);
        let values: Vec<Option<Vec<u8>>> = self.client.ask(&command, Again::Lost).await?;
        for (key, value) in keys.iter().zip(values) {
            if let Some(value) = value {
                found.value(key, &value);
            }
        }
        Ok(())
    }

    async fn mexpire(&self, keys: &[(&str, Expiry)]) -> Outcome<()> {
        let now = Expiry::now();
        let last: HashMap<&str, Expiry> = keys.iter().copied().collect();
        let end = |(key, expiry): (&str, Expiry)| {
            let mut command = with("PEXPIRE", key);
            // Nothing left removes the key.
            command.arg(left(expiry, now));
            command
        };
        let commands: Vec<Cmd> = last.into_iter().map(end).collect();
        self.all(commands).await
    }

    /// As the reference's: keys without an end are left out. To the nearest second, because what is left was counted from
    /// when Redis was told.
    async fn ttl(&self, keys: &[&str], found: &mut Reply) -> Outcome<()> {
        let left: Vec<i64> = self.each("PTTL", keys).await?;
        let now = Expiry::now().milliseconds();
        for (key, left) in keys.iter().zip(left) {
            if let Ok(left) = u64::try_from(left) {
                let end = now.saturating_add(left).saturating_add(500);
                found.expiry(key, Some(Expiry::at(end - end % 1000)));
            }
        }
        Ok(())
    }

    async fn delete(&self, keys: &[&str]) -> Outcome<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut command = cmd("DEL");
        command.arg(keys);
        let _: i64 = self.client.ask(&command, Again::Lost).await?;
        Ok(())
    }

    /// The selected database; in a cluster that of every master.
    async fn clear(&self) -> Outcome<()> {
        let _: rr_redis::Value = self.client.ask(&cmd("FLUSHDB"), Again::Lost).await?;
        Ok(())
    }

    async fn incr(&self, key: &str, by: i64, expiry: Option<Expiry>) -> Outcome<i64> {
        let command = match expiry {
            None => {
                let mut command = with("INCRBY", key);
                command.arg(by);
                command
            }
            Some(expiry) => {
                let mut command = script(COUNT, key);
                command.arg(by).arg(left(expiry, Expiry::now()));
                command
            }
        };
        self.client.ask(&command, Again::Unsent).await.map_err(|error| {
            let text = error.to_string();
            match text {
                _ if text.contains("would overflow") => DriverError::Overflow,
                _ if text.contains("not an integer") => DriverError::NotAnInteger,
                _ => DriverError::Failed(text),
            }
        })
    }

    async fn add(&self, items: &[Item<'_>], stored: &mut Reply) -> Outcome<()> {
        let now = Expiry::now();
        let mut first = Vec::with_capacity(items.len());
        let mut seen = std::collections::HashSet::new();
        for item in items.iter().filter(|item| seen.insert(item.key)) {
            let mut command = set(item, now);
            command.arg("NX");
            first.push((item.key, command));
        }
        let (keys, commands): (Vec<&str>, Vec<Cmd>) = first.into_iter().unzip();
        let done: Vec<Option<String>> = self.client.ask_all(commands, Again::Unsent).await?;
        for (key, _) in keys.iter().zip(done).filter(|(_, done)| done.is_some()) {
            stored.key(key);
        }
        Ok(())
    }

    async fn compare_and_swap(&self, item: Item<'_>, expected: Option<&[u8]>) -> Outcome<bool> {
        let now = Expiry::now();
        let Some(expected) = expected else {
            let mut command = set(&item, now);
            command.arg("NX");
            let done: Option<String> = self.client.ask(&command, Again::Unsent).await?;
            return Ok(done.is_some());
        };
        let mut command = script(SWAP, item.key);
        command.arg(expected).arg(item.value);
        if let Some(expiry) = item.expiry {
            command.arg(left(expiry, now).max(1));
        }
        Ok(self.client.ask(&command, Again::Unsent).await?)
    }

    fn unhealthy(&self) -> Option<String> {
        self.client.unhealthy()
    }

    fn redis_pool(&self) -> Option<PoolNumbers> {
        Some(self.client.numbers())
    }
}

fn with(command: &str, key: &str) -> Cmd {
    let mut command = cmd(command);
    command.arg(key);
    command
}

/// `SET`, with the time that is left. Redis knows no end in the past: such a key lives for a millisecond.
fn set(item: &Item<'_>, now: Expiry) -> Cmd {
    let mut command = with("SET", item.key);
    command.arg(item.value);
    if let Some(expiry) = item.expiry {
        command.arg("PX").arg(left(expiry, now).max(1));
    }
    command
}

fn script(text: &str, key: &str) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(text).arg(1).arg(key);
    command
}

/// Milliseconds that are left. Bounded, because Redis refuses what it cannot add to its own clock.
fn left(expiry: Expiry, now: Expiry) -> u64 {
    const AGES: u64 = 1 << 50;
    expiry.milliseconds().saturating_sub(now.milliseconds()).min(AGES)
}

impl From<Error> for DriverError {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}
