//! The last of what somebody wrote.

use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are kept.
const LONGEST: usize = 4096;

/// The last of a stream of text, shared between who gathers it and who wants to know.
#[derive(Clone, Debug, Default)]
pub struct Tail(Arc<Mutex<Vec<u8>>>);

impl From<&[u8]> for Tail {
    /// What has been written before.
    fn from(bytes: &[u8]) -> Self {
        let tail = Self::default();
        tail.push(bytes);
        tail
    }
}

impl Tail {
    /// It as text, without surrounding space.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// It as it was written.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True for the same one, not for another with the same text.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Adds something; as much of the oldest goes.
    pub fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&bytes[bytes.len().saturating_sub(LONGEST)..]);
        let excess = tail.len().saturating_sub(LONGEST);
        tail.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept() {
        let tail = Tail::default();
        tail.push(&vec![b'a'; 3 * LONGEST]);
        tail.push(b"\nlast words\n");
        let text = tail.text();
        assert!(text.len() <= LONGEST && text.ends_with("a\nlast words"));
        let again = Tail::from(&*tail.bytes());
        assert_eq!(again.bytes(), tail.bytes());
        assert!(tail.is(&tail.clone()) && !tail.is(&again));
    }
}
