//! A response body on its way from a service to the client.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::stack::limits::Active;

/// The body of a response, passed on frame by frame.
pub(crate) struct Relay<B = Incoming> {
    body: B,
    silence: Option<Silence>,
    _active: Option<Active>,
}

/// Ends a stream that has sent nothing for a while.
struct Silence {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl<B: Body> Relay<B> {
    /// Relays the body of a service that the gateway trusts to end it.
    pub(super) fn of_service(body: B) -> Self {
        Self { body, silence: None, _active: None }
    }

    /// Relays the body of a function's response and keeps its request counted meanwhile. A stream, which has no
    /// announced length, ends cleanly after `silence` without a byte, as on the hosted platform.
    pub(super) fn of_function(body: B, silence: Duration, active: Active) -> Self {
        let is_stream = body.size_hint().exact().is_none();
        let silence =
            is_stream.then(|| Silence { limit: silence, timer: Box::pin(tokio::time::sleep(silence)) });
        Self { body, silence, _active: Some(active) }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Relay<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        match (Pin::new(&mut this.body).poll_frame(cx), &mut this.silence) {
            (Poll::Pending, Some(silence)) => silence.timer.as_mut().poll(cx).map(|()| None),
            (Poll::Ready(frame), Some(silence)) => {
                silence.timer.as_mut().reset(Instant::now() + silence.limit);
                Poll::Ready(frame)
            }
            (polled, None) => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::sync::Arc;

    use http_body_util::BodyExt as _;

    use crate::stack::limits::Traffic;

    use super::*;

    /// Sends its chunks, each after a pause, and then nothing for ever.
    struct Unending(VecDeque<&'static [u8]>, Duration, Pin<Box<Sleep>>);

    impl Body for Unending {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.0.is_empty() || self.2.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let pause = self.1;
            self.2.as_mut().reset(Instant::now() + pause);
            Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(Bytes::from_static(chunk)))))
        }
    }

    #[tokio::test]
    async fn a_silent_stream_ends_cleanly_and_is_counted_until_then() {
        let traffic = Arc::new(Traffic::default());
        let pause = Duration::from_millis(20);
        let body =
            Unending(VecDeque::from([&b"one "[..], b"two"]), pause, Box::pin(tokio::time::sleep(pause)));
        let relay = Relay::of_function(body, Duration::from_millis(500), traffic.begin());
        assert!(!traffic.is_idle());
        let received = relay.collect().await.expect("no error").to_bytes();
        assert_eq!(received, "one two");
        assert!(traffic.is_idle());
    }
}
