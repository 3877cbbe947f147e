//! Events as they happen, a line each: the one answer that has no end of its own.
//!
//! It ends when its caller hangs up. hyper sees that only while it has read nothing behind the question: whoever sends
//! more than a question and goes would else keep its seat, at no cost, until something happens that can be written.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bgp_api::{Event, EventKind};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::broadcast;

use super::Control;

/// A connection whose end can be waited for by others than those who read it. Both share a descriptor: a crowd costs no more
/// of them than its seats.
#[derive(Debug)]
pub(super) struct Line(Arc<UnixStream>);

/// The end of a connection, told apart from what is read of it.
#[derive(Clone, Debug)]
pub(super) struct HangUp(Arc<UnixStream>);

impl Line {
    pub(super) fn new(stream: UnixStream) -> (Self, HangUp) {
        let shared = Arc::new(stream);
        (Self(Arc::clone(&shared)), HangUp(shared))
    }

    fn poll_try<T>(
        &self,
        mut poll: impl FnMut(&UnixStream) -> Poll<io::Result<()>>,
        mut attempt: impl FnMut(&UnixStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(poll(&self.0))?;
            match attempt(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let place = buffer.initialize_unfilled();
        let read = self.poll_try(|stream| stream.poll_read_ready(cx), |stream| stream.try_read(place));
        read.map_ok(|count| buffer.advance(count))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_try(|stream| stream.poll_write_ready(cx), |stream| stream.try_write(octets))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(|stream| stream.poll_write_ready(cx), |stream| stream.try_write_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(Shutdown::Write))
    }
}

impl HangUp {
    /// Waits until the other end is closed, or says that it will say no more: hyper takes both for an end. Waiting for
    /// `PRIORITY` ends then as well, and for nothing else: a connection is not watched for urgent data. To wait until it can
    /// be read or written, and to say that this is no news, would take the news from hyper.
    async fn happens(&self) {
        while let Ok(ready) = self.0.ready(Interest::PRIORITY).await {
            if ready.is_read_closed() {
                return;
            }
        }
    }
}

/// Events as lines of JSON until the caller goes.
pub(super) async fn monitor(
    State(control): State<Arc<Control>>,
    Extension(hang_up): Extension<HangUp>,
) -> Response {
    let events = control.hub.listen();
    let started = EventKind::MonitorStarted { version: bgp_api::VERSION.to_owned() };
    let lines = futures::stream::try_unfold((events, Some(started)), move |(mut events, first)| {
        let hang_up = hang_up.clone();
        async move {
            let event = match first {
                Some(kind) => Some(crate::events::now(kind)),
                None => tokio::select! {
                    event = next_event(&mut events) => event,
                    // Nobody is there to whom an end could be written: an error breaks the answer off.
                    () = hang_up.happens() => return Err(io::Error::from(io::ErrorKind::BrokenPipe)),
                },
            };
            Ok(event.map(|event| (line(&event), (events, None))))
        }
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

async fn next_event(events: &mut broadcast::Receiver<Event>) -> Option<Event> {
    match events.recv().await {
        Ok(event) => Some(event),
        Err(broadcast::error::RecvError::Lagged(count)) => {
            Some(crate::events::now(EventKind::Lost { count }))
        }
        Err(broadcast::error::RecvError::Closed) => None,
    }
}

fn line(event: &Event) -> Bytes {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
