//! The `Date` header of HTTP/2 answers, formatted once a second. (For HTTP/1.1 hyper does the same.)

use http::HeaderValue;
use jiff::{Timestamp, fmt::rfc2822};
use std::cell::RefCell;

thread_local! {
    static CACHED: RefCell<(i64, HeaderValue)> = const { RefCell::new((i64::MIN, HeaderValue::from_static(""))) };
}

/// The present time as HTTP writes it.
pub(crate) fn header() -> HeaderValue {
    let now = Timestamp::now();
    CACHED.with_borrow_mut(|(second, value)| {
        if *second != now.as_second() {
            *second = now.as_second();
            *value = format(now);
        }
        value.clone()
    })
}

fn format(at: Timestamp) -> HeaderValue {
    let text = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at);
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text.unwrap_or_default()))
        .unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_that_of_http() {
        let at = Timestamp::constant(784_111_777, 0);
        assert_eq!(format(at), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
