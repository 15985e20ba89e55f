//! A call that panics costs that call and no other.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

/// A future whose panic is an error. It is not polled again after one.
#[derive(Debug)]
pub struct Guarded<F>(pub F);

/// The future has panicked, which is a defect; the panic's own words are on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

impl<F: Future + Unpin> Future for Guarded<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error() {
        assert_eq!(Guarded(std::future::ready(1)).await, Ok(1));
        let broken = Box::pin(async { assert!(std::hint::black_box(false), "a defect") });
        assert_eq!(Guarded(broken).await, Err(Panicked));
    }
}
