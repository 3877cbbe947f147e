//! Events as they happen, a line each: the one answer that has no end of its own.
//!
//! It ends when its caller hangs up. hyper sees that only while it has read nothing behind the question: whoever sends
//! more than a question and goes would else keep its seat, at no cost, until something happens that can be written.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bgp_api::{Event, EventKind};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::broadcast;

use super::Control;

/// The end of a connection, told apart from what is read of it.
#[derive(Clone, Debug)]
pub(super) struct HangUp(Arc<UnixStream>);

impl HangUp {
    /// That of `stream`, by a descriptor of its own: who waits for news of one that hyper reads and writes takes the news from it.
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let watched = net::UnixStream::from(stream.as_fd().try_clone_to_owned()?);
        Ok(Self(Arc::new(UnixStream::from_std(watched)?)))
    }

    /// Waits until the other end is closed, not until it has only ended what it says.
    async fn happens(&self) {
        while let Ok(ready) = self.0.ready(Interest::WRITABLE).await {
            if ready.is_write_closed() {
                return;
            }
            // That it can be written to is no news: what is waited for is the kernel's next word.
            drop(self.0.try_io::<()>(Interest::WRITABLE, || Err(io::ErrorKind::WouldBlock.into())));
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
