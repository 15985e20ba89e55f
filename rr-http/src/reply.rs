//! The body of an answer, and the rules that a head must follow before it goes out, whatever the protocol.

use crate::{sniff, stream::Streamed};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Reply {
    /// None.
    Empty,
    /// All of it.
    Full(Bytes),
    /// What PHP sends piece by piece.
    Stream(Box<Streamed>),
}

impl Reply {
    /// A body that is known as a whole.
    pub(crate) fn whole(body: Bytes) -> Self {
        match body.is_empty() {
            true => Self::Empty,
            false => Self::Full(body),
        }
    }

    /// Its bytes as far as they are known now.
    fn beginning(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Full(body) => body,
            Self::Stream(stream) => stream.beginning(),
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(body) => {
                let body = std::mem::take(body);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(body))))
            }
            Self::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(body) => SizeHint::with_exact(body.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// Makes a head from PHP fit its body: our own length, no transfer encoding, a content type if PHP gave none, nothing
/// that a status forbids. Returns the body that goes out.
pub(crate) fn settle(method: &Method, status: StatusCode, headers: &mut HeaderMap, mut body: Reply) -> Reply {
    headers.remove(header::TRANSFER_ENCODING);
    let bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    if let Reply::Stream(stream) = &mut body
        && (bodiless || method == Method::HEAD)
    {
        stream.unwanted();
    }
    if bodiless {
        headers.remove(header::CONTENT_LENGTH);
        if status == StatusCode::NOT_MODIFIED {
            headers.remove(header::CONTENT_TYPE);
        }
        return Reply::Empty;
    }
    let head = method == Method::HEAD;
    match &mut body {
        // The length that the same GET would have may be all that PHP tells.
        Reply::Empty if head => drop(keep_length(headers)),
        Reply::Empty | Reply::Full(_) => drop(headers.remove(header::CONTENT_LENGTH)),
        Reply::Stream(stream) => {
            if let Some(length) = keep_length(headers) {
                stream.promise(length);
            }
        }
    }
    let beginning = body.beginning();
    if !beginning.is_empty()
        && !headers.contains_key(header::CONTENT_TYPE)
        && !headers.contains_key(header::CONTENT_ENCODING)
    {
        headers.insert(header::CONTENT_TYPE, sniff::content_type(beginning));
    }
    body
}

/// A length that PHP promises is kept if it is one.
fn keep_length(headers: &mut HeaderMap) -> Option<u64> {
    let one = {
        let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
        let valid = values.next().and_then(length);
        valid.filter(|first| values.all(|other| length(other) == Some(*first)))
    };
    match one {
        Some(length) => drop(headers.insert(header::CONTENT_LENGTH, length.into())),
        None => drop(headers.remove(header::CONTENT_LENGTH)),
    }
    one
}

fn length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settled(method: Method, status: u16, headers: &[(&'static str, &str)], body: &'static str) -> (HeaderMap, u64) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let body = Reply::whole(Bytes::from_static(body.as_bytes()));
        let body = settle(&method, status.try_into().unwrap(), &mut map, body);
        (map, body.size_hint().exact().unwrap())
    }

    // HTTP-16
    #[test]
    fn a_wrong_length_from_php_never_goes_out() {
        let (headers, len) = settled(
            Method::GET,
            200,
            &[("content-length", "99"), ("transfer-encoding", "chunked")],
            "hi",
        );
        assert!(!headers.contains_key("content-length") && !headers.contains_key("transfer-encoding"));
        assert_eq!(len, 2);
        let (headers, _) = settled(Method::GET, 200, &[("content-length", "99")], "");
        assert!(!headers.contains_key("content-length"));
    }

    // HTTP-16
    #[test]
    fn head_keeps_the_length_of_the_get() {
        let (headers, _) = settled(Method::HEAD, 200, &[("content-length", "99")], "");
        assert_eq!(headers["content-length"], "99");
        let (headers, _) = settled(Method::HEAD, 200, &[("content-length", "9x")], "");
        assert!(headers.is_empty());
        let (headers, _) = settled(
            Method::HEAD,
            200,
            &[("content-length", "9"), ("content-length", "10")],
            "",
        );
        assert!(headers.is_empty());
        let (_, len) = settled(Method::HEAD, 200, &[], "body");
        assert_eq!(len, 4);
    }

    // HTTP-16
    #[test]
    fn statuses_without_a_body() {
        let given = [("content-type", "a/b"), ("content-length", "4"), ("etag", "x")];
        let (headers, len) = settled(Method::GET, 204, &given, "body");
        assert_eq!((headers.len(), len), (2, 0));
        let (headers, len) = settled(Method::GET, 304, &given, "body");
        assert_eq!((headers.len(), len), (1, 0));
    }

    // HTTP-16
    #[test]
    fn the_type_is_guessed_only_where_it_lacks() {
        assert_eq!(
            settled(Method::GET, 200, &[], "x").0["content-type"],
            "text/plain; charset=utf-8"
        );
        assert_eq!(
            settled(Method::GET, 200, &[("content-type", "a/b")], "x").0["content-type"],
            "a/b"
        );
        assert!(
            !settled(Method::GET, 200, &[("content-encoding", "br")], "x")
                .0
                .contains_key("content-type")
        );
        assert!(settled(Method::GET, 200, &[], "").0.is_empty());
    }
}
