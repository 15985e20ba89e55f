//! Answers one request: body, worker, answer. Knows nothing of the protocol under it.

use crate::{
    body::{self, BodyError, UploadGuard},
    connection::Activity,
    errors,
    hints::Hints,
    observe::{About, Observation},
    reply::{self, Reply},
    request::{self, Surroundings},
    response,
    settings::Settings,
    stream::Streamed,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use rr_common::pool::{self, Answer, ExecError, Payload, Pool};
use std::{fmt::Display, future::poll_fn, task::Poll, time::Instant};

/// The codec flag of requests and answers: protobuf.
pub(crate) const PROTO: u8 = 0x80;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) pool: Pool,
    pub(crate) settings: Settings,
    pub(crate) http1: hyper::server::conn::http1::Builder,
    pub(crate) http2: h2::server::Builder,
}

/// The client has gone: there is no one to answer.
#[derive(Debug, thiserror::Error)]
#[error("the client is gone")]
pub(crate) struct Gone;

/// A request that PHP works on or has worked on.
struct Exchange {
    activity: Activity,
    method: Method,
    about: About,
    seen: Observation,
    uploads: UploadGuard,
}

/// Answers one request.
pub(crate) async fn answer<B>(
    activity: Activity,
    request: Request<B>,
    hints: &mut impl Hints,
) -> Result<Response<Reply>, Gone>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut head, body) = request.into_parts();
    if let Some(response) = without_php(&head) {
        return Ok(response);
    }
    let connection = activity.connection().clone();
    let app = &*connection.app;
    let started = Instant::now();
    let mut seen = Observation::begin(&connection, &head, started);
    app.settings.layers.enter(&connection, &mut head, &mut seen);
    let about = seen.about();
    let declared = head
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let collected = match body::collect(&head.method, content_type, declared, body, &app.settings.body).await {
        Ok(collected) => collected,
        Err(BodyError::ClientGone) => {
            errors::client_gone(about);
            return Err(Gone);
        }
        Err(error) => {
            connection.refuse_rest();
            let response = errors::not_read(&error, about);
            fail(seen, &response, 0, error);
            return Ok(response);
        }
    };
    let read = declared.unwrap_or(match &collected.body {
        pool::Body::Bytes(bytes) => bytes.len() as u64,
        pool::Body::File(_, len) => *len,
    });
    let around = Surroundings {
        remote: &connection.address,
        secure: connection.secure,
        parsed: collected.parsed,
        uploads: collected.uploads.as_deref(),
    };
    let size = request::size_hint(&head) + collected.uploads.as_ref().map_or(0, Bytes::len);
    let mut payload = Payload::new(PROTO, size, |out| request::encode(&head, &around, out), collected.body);
    if let Some(trail) = seen.hand_over() {
        payload = payload.traced(trail);
    }
    let answer = match app.pool.exec(payload).await {
        Ok(answer) => answer,
        Err(error) => {
            if let ExecError::NoFreeWorkers(_) = error {
                seen.no_free_worker();
            }
            let response = errors::not_executed(app, &error, about);
            fail(seen, &response, read, error);
            return Ok(response);
        }
    };
    seen.answered(0, read);
    // The request's map is of no more use, its memory is.
    let mut headers = std::mem::take(&mut head.headers);
    headers.clear();
    let exchange = Exchange {
        activity,
        method: head.method,
        about,
        seen,
        uploads: collected.guard,
    };
    Ok(exchange.deliver(app, answer, headers, hints, read).await)
}

/// Requests that never reach PHP.
fn without_php(head: &Parts) -> Option<Response<Reply>> {
    if let Err(reason) = request::check(head) {
        return Some(errors::bad_request(reason));
    }
    if head.method == Method::OPTIONS && head.uri.path() == "*" {
        return Some(Response::new(Reply::Empty));
    }
    // A tunnel, which we are not.
    (head.method == Method::CONNECT).then(|| {
        let mut response = Response::new(Reply::Empty);
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response
    })
}

/// Ends the observation of a request that failed.
fn fail(mut seen: Observation, response: &Response<Reply>, read: u64, error: impl Display) {
    seen.failed(error);
    seen.wrote(response.status().as_u16());
    seen.answered(response.status().as_u16(), read);
    seen.end(response.body().size_hint().exact().unwrap_or(0));
}

impl Exchange {
    /// Turns the worker's answer into the response, after any interim ones. Headers of interim answers stay for the final
    /// one, as in the reference.
    async fn deliver(
        mut self,
        app: &App,
        mut answer: Answer,
        mut headers: HeaderMap,
        hints: &mut impl Hints,
        read: u64,
    ) -> Response<Reply> {
        loop {
            let status = match head(&answer, &mut headers) {
                Ok(status) => status,
                Err(error) => {
                    let response = errors::not_understood(app, &error, self.about);
                    fail(self.seen, &response, read, error);
                    return response;
                }
            };
            if !(100..600).contains(&status) {
                let mut response = errors::bad_status(status, self.about);
                // What PHP set stays, but for what describes the body.
                headers.remove(header::CONTENT_LENGTH);
                headers.remove(header::TRANSFER_ENCODING);
                headers.extend(std::mem::take(response.headers_mut()));
                *response.headers_mut() = headers;
                fail(
                    self.seen,
                    &response,
                    read,
                    format_args!("unknown status code from worker: {status}"),
                );
                return response;
            }
            let status = u16::try_from(status)
                .ok()
                .and_then(|status| StatusCode::from_u16(status).ok());
            let status = status.unwrap_or(StatusCode::OK);
            // Without a head PHP gave no status, and 200 is what that means to the client.
            if !answer.context.is_empty() {
                self.seen.wrote(status.as_u16());
            }
            if !status.is_informational() {
                return self.compose(status, headers, answer, read).await;
            }
            // To switch protocols is not ours to offer.
            if status != StatusCode::SWITCHING_PROTOCOLS {
                hints.send(status, &headers).await;
            }
            match answer.more.take() {
                // An interim answer that nothing follows: the final one is implied.
                None => return self.compose(StatusCode::OK, headers, answer, read).await,
                Some(mut more) => match more.next().await {
                    Some(Ok(next)) => {
                        answer = Answer {
                            more: Some(more),
                            ..next
                        }
                    }
                    None => return self.compose(StatusCode::OK, headers, answer, read).await,
                    Some(Err(error)) => {
                        let response = errors::not_executed(app, &error, self.about);
                        fail(self.seen, &response, read, error);
                        return response;
                    }
                },
            }
        }
    }

    /// The final response.
    async fn compose(self, status: StatusCode, mut headers: HeaderMap, answer: Answer, read: u64) -> Response<Reply> {
        let Self {
            activity,
            method,
            mut seen,
            uploads,
            ..
        } = self;
        seen.answered(status.as_u16(), read);
        let trailers = split_trailers(&mut headers);
        let rest = match answer.more {
            None => None,
            Some(mut more) => match poll_fn(|cx| Poll::Ready(more.poll_next(cx))).await {
                // A stream that is complete already is an answer like any other.
                Poll::Ready(None) => None,
                Poll::Ready(next) => Some((more, next)),
                Poll::Pending => Some((more, None)),
            },
        };
        let body = match (rest, trailers) {
            (None, None) => {
                seen.end(answer.body.len() as u64);
                Reply::whole(answer.body)
            }
            (rest, trailers) => {
                let stream = Streamed::new(answer.body, rest, trailers, seen, uploads, activity);
                Reply::Stream(Box::new(stream))
            }
        };
        let body = reply::settle(&method, status, &mut headers, body);
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// The status of an answer's frame, whose headers are appended; 200 if it has no head.
fn head(answer: &Answer, headers: &mut HeaderMap) -> Result<i64, String> {
    const JSON: u8 = 0x08;
    match answer.flags {
        PROTO => {}
        JSON => return Err("JSON codec is not supported".into()),
        flags => return Err(format!("unknown payload type: {flags}")),
    }
    if answer.context.is_empty() {
        return Ok(200);
    }
    let head = response::decode(&answer.context, headers).map_err(|error| error.to_string())?;
    if head.dropped > 0 {
        tracing::warn!(target: "http", count = head.dropped, "headers with invalid names or values from the worker are left out");
    }
    Ok(head.status)
}

/// Takes the trailers that `Trailer` names out of the headers. `Trailer` itself stays, for those that are there.
fn split_trailers(headers: &mut HeaderMap) -> Option<HeaderMap> {
    let named = headers.remove(header::TRAILER)?;
    let mut trailers = HeaderMap::new();
    for name in named.as_bytes().split(|byte| *byte == b',') {
        let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) else {
            continue;
        };
        let values: Vec<_> = headers.get_all(&name).iter().cloned().collect();
        headers.remove(&name);
        for value in values {
            trailers.append(name.clone(), value);
        }
    }
    let names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
    let announced = names.join(", ").parse().ok().filter(|_| !names.is_empty())?;
    headers.insert(header::TRAILER, announced);
    // Only a body of unknown length has room for them.
    headers.remove(header::CONTENT_LENGTH);
    Some(trailers)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // HTTP-16
    #[test]
    fn trailers_leave_the_head() {
        let mut headers = HeaderMap::new();
        headers.insert("trailer", "X-Sum,\tx-gone , b@d".parse().unwrap());
        headers.append("x-sum", "1".parse().unwrap());
        headers.append("x-sum", "2".parse().unwrap());
        headers.append("x-other", "3".parse().unwrap());
        headers.append("content-length", "3".parse().unwrap());
        let trailers = split_trailers(&mut headers).unwrap();
        assert_eq!(trailers.get_all("x-sum").iter().count(), 2);
        assert_eq!(headers["trailer"], "x-sum");
        assert_eq!(headers.len(), 2);
        let mut headers = HeaderMap::new();
        headers.insert("trailer", "X-Gone".parse().unwrap());
        assert!(split_trailers(&mut headers).is_none());
        assert!(headers.is_empty());
    }

    // HTTP-16
    #[test]
    fn the_head_of_a_frame() {
        let answer = |flags, context: &'static [u8]| Answer {
            flags,
            context: Bytes::from_static(context),
            body: Bytes::new(),
            more: None,
        };
        let mut headers = HeaderMap::new();
        assert_eq!(head(&answer(PROTO, b""), &mut headers), Ok(200));
        assert_eq!(head(&answer(PROTO, b"\x08\xc8\x01"), &mut headers), Ok(200));
        assert_eq!(head(&answer(PROTO, b"\x12\x00"), &mut headers), Ok(0));
        assert!(head(&answer(PROTO, b"{}"), &mut headers).is_err());
        assert_eq!(
            head(&answer(8, b""), &mut headers),
            Err("JSON codec is not supported".into())
        );
        assert_eq!(
            head(&answer(4, b""), &mut headers),
            Err("unknown payload type: 4".into())
        );
    }
}
