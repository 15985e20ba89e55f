//! What one server is asked, many commands in one go, and what its answers must be.

use super::{
    protocol::{Piece, get},
    server::Server,
};
use crate::{driver::Outcome, reply::Reply};

/// Commands sent in one go, and about how many bytes of them.
const ABREAST: usize = 64;
const BATCH: usize = 256 << 10;

/// Reads one server's share.
pub(super) async fn read(server: &Server, share: Vec<&&str>, show: fn(&mut Reply, &str, &[u8])) -> Outcome<Reply> {
    let mut reply = Reply::default();
    for keys in share.chunks(ABREAST) {
        let keys: Vec<&str> = keys.iter().map(|key| **key).collect();
        let take = |piece: Piece<'_>| match piece {
            Piece::Value { key, data, .. } if keys.contains(&key) => {
                show(&mut reply, key, data);
                Ok(false)
            }
            Piece::Line("END") => Ok(true),
            other => Err(unexpected(other)),
        };
        server.exchange(&get("get", &keys), take).await?;
    }
    Ok(reply)
}

/// Sends the commands of one server's share, many in one go.
pub(super) async fn batches<T>(
    server: &Server,
    items: Vec<&T>,
    write: &(impl Fn(&mut Vec<u8>, &T) + Send + Sync),
    expected: &'static [&'static str],
) -> Outcome<()> {
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        let (mut out, mut waiting) = (Vec::new(), 0);
        while waiting < ABREAST && out.len() < BATCH {
            let Some(item) = items.next() else { break };
            write(&mut out, item);
            waiting += 1;
        }
        let take = |piece: Piece<'_>| match piece {
            Piece::Line(line) if expected.contains(&line) => {
                waiting -= 1;
                Ok(waiting == 0)
            }
            other => Err(unexpected(other)),
        };
        server.exchange(&out, take).await?;
    }
    Ok(())
}

/// The one line of an answer.
pub(super) async fn one_line(server: &Server, command: &[u8]) -> Outcome<String> {
    let mut found = String::new();
    let take = |piece: Piece<'_>| match piece {
        Piece::Line(line) => {
            found = line.to_owned();
            Ok(true)
        }
        other => Err(unexpected(other)),
    };
    server.exchange(command, take).await?;
    Ok(found)
}

/// What is said of an answer that nobody expects.
pub(super) fn unexpected(piece: Piece<'_>) -> String {
    match piece {
        Piece::Line(line) => line.to_owned(),
        Piece::Value { .. } | Piece::Meta { .. } => "it sends a value that was not asked for".into(),
    }
}
