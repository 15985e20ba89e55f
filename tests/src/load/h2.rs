//! Load over HTTP/2: each client has one connection with several requests at once, and opens a new one when the server says
//! GOAWAY. What the server says it has not begun is sent again there, as RFC 9113 has it; everything else that goes wrong counts.

use super::{Counted, Outcome};
use bytes::Bytes;
use h2::{
    Reason,
    client::{SendRequest, handshake},
};
use http::Request;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

/// Requests at once on a connection.
const AT_ONCE: usize = 4;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of one request.
enum End {
    Answered,
    /// The server has not begun it; it may be sent again.
    Refused,
    Failed(String),
}

/// Sends requests until it is over.
pub(super) fn client(address: SocketAddr, path: &str, counted: &Counted) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut outcome = Outcome::default();
        while !counted.is_over() {
            let Ok(stream) = TcpStream::connect(address).await else {
                outcome.refused += 1;
                continue;
            };
            match handshake(stream).await {
                Ok((requests, connection)) => {
                    let driver = tokio::task::spawn_local(connection);
                    serve_out(requests, address, path, counted, &mut outcome).await;
                    // With the last request handle gone it ends by itself, when the server has closed or we have.
                    let _ = timeout(PATIENCE, driver).await;
                }
                Err(error) => outcome.failures.push(format!("handshake: {error}")),
            }
        }
        outcome
    })
}

/// Uses one connection until the server ends it, or all is over.
async fn serve_out(
    requests: SendRequest<Bytes>,
    address: SocketAddr,
    path: &str,
    counted: &Counted,
    outcome: &mut Outcome,
) {
    let mut running = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (requests, path, counted) = (requests.clone(), path.to_owned(), counted.clone());
        running.spawn_local(async move {
            let mut ends = Vec::new();
            while !counted.is_over() {
                let Ok(ready) = requests.clone().ready().await else {
                    break;
                };
                match timeout(PATIENCE, exchange(ready, address, &path)).await {
                    Ok(End::Answered) => counted.count(),
                    Ok(End::Refused) => break,
                    Ok(End::Failed(reason)) => ends.push(reason),
                    Err(_) => ends.push("no answer".to_owned()),
                }
                if !ends.is_empty() {
                    break;
                }
            }
            ends
        });
    }
    drop(requests);
    while let Some(ends) = running.join_next().await {
        outcome.failures.extend(ends.unwrap());
    }
}

async fn exchange(mut requests: SendRequest<Bytes>, address: SocketAddr, path: &str) -> End {
    let request = Request::get(format!("http://{address}{path}")).body(()).unwrap();
    let answer = match requests.send_request(request, true) {
        Ok((answer, _)) => answer,
        Err(error) => return end(&error),
    };
    let mut body = match answer.await {
        Ok(answer) if answer.status() == 200 => answer.into_body(),
        Ok(answer) => return End::Failed(format!("status {}", answer.status())),
        Err(error) => return end(&error),
    };
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => drop(body.flow_control().release_capacity(piece.len())),
            Err(error) => return End::Failed(format!("in the body: {error}")),
        }
    }
    End::Answered
}

/// A request that the server has not begun: it came after the last one that GOAWAY names, or was refused.
fn end(error: &h2::Error) -> End {
    let begun = !(error.is_go_away() && error.reason() == Some(Reason::NO_ERROR)
        || error.reason() == Some(Reason::REFUSED_STREAM));
    match begun {
        true => End::Failed(error.to_string()),
        false => End::Refused,
    }
}
