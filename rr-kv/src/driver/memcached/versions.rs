//! One value and its version: read together, and replaced only as long as the version is the same.

use super::{
    Memcached,
    exchange::{one_line, unexpected},
    protocol::{Piece, flag, store},
};
use crate::{
    driver::{DriverError, Item, Outcome},
    expiry::Expiry,
};

/// A value with what it takes to replace it.
pub(super) struct Versioned {
    pub(super) data: Vec<u8>,
    pub(super) cas: u64,
    flags: String,
}

impl Memcached {
    /// Adds an item, or replaces a version of it; says whether.
    pub(super) async fn store_one(&self, item: &Item<'_>, cas: Option<u64>) -> Outcome<bool> {
        let command = if cas.is_some() { "cas" } else { "add" };
        let mut out = Vec::new();
        store(&mut out, command, item, cas, Expiry::now());
        let line = one_line(self.server(item.key)?, &out).await?;
        match line.as_str() {
            "STORED" => Ok(true),
            "NOT_STORED" | "EXISTS" | "NOT_FOUND" => Ok(false),
            other => Err(DriverError::Failed(format!("memcached: {other}"))),
        }
    }

    /// A value with its version.
    pub(super) async fn versioned(&self, command: &[u8], key: &str) -> Outcome<Option<Versioned>> {
        let mut found = None;
        let take = |piece: Piece<'_>| match piece {
            Piece::Value { data, cas, .. } => {
                let (data, flags) = (data.to_vec(), String::new());
                found = Some(Versioned { data, cas, flags });
                Ok(false)
            }
            Piece::Meta { data, flags } => {
                let cas = flag(flags, 'c').and_then(|cas| u64::try_from(cas).ok()).unwrap_or(0);
                let (data, flags) = (data.to_vec(), flags.to_owned());
                found = Some(Versioned { data, cas, flags });
                Ok(true)
            }
            Piece::Line("END" | "EN") => Ok(true),
            Piece::Line("ERROR") => Err("incr needs Memcached 1.6 or newer".into()),
            other @ Piece::Line(_) => Err(unexpected(other)),
        };
        self.server(key)?.exchange(command, take).await?;
        Ok(found)
    }

    /// Writes a sum in place of a number; false if that has changed meanwhile. The key keeps its end.
    pub(super) async fn replace(&self, key: &str, old: &Versioned, sum: i64, by: i64) -> Outcome<bool> {
        let (cas, text) = (old.cas, sum.to_string());
        let number = sum.wrapping_sub(by);
        // Memcached's own arithmetic keeps the end to the second, but it knows no sign, and fills up with blanks what
        // has become shorter.
        let own = number >= 0 && sum >= 0 && text.len() >= old.data.len();
        let command = if own {
            let mode = if by >= 0 { 'I' } else { 'D' };
            format!("ma {key} C{cas} D{} M{mode}\r\n", by.unsigned_abs())
        } else {
            let end = match flag(&old.flags, 't') {
                Some(left @ 0..) => format!(" T{}", left.max(1)),
                _ => String::new(),
            };
            let flags = flag(&old.flags, 'f').unwrap_or(0);
            format!("ms {key} {} C{cas} F{flags}{end}\r\n{text}\r\n", text.len())
        };
        let line = one_line(self.server(key)?, command.as_bytes()).await?;
        match line.split(' ').next() {
            Some("HD") => Ok(true),
            Some("EX" | "NF" | "NS") => Ok(false),
            _ => Err(DriverError::Failed(format!("memcached: {line}"))),
        }
    }
}
