//! HTTP/1.1 for strangers: connections are counted, and none of them may take its time.
//!
//! Owns the limits that the control socket and the metrics endpoint share. A caller that sends nothing, or half a
//! question, or a large one, or does not read the answer, is let go; one for whom there is no seat is not kept waiting
//! where it would hold memory. What is asked and answered is not looked at here, but for refusals that are none of
//! ours: they get the form that bgpctl reads.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use bgp_api::{ErrorCode, ErrorReply};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tracing::debug;

/// Octets of a request's head; what hyper needs at least for its buffer.
const MAX_HEAD: usize = 16 * 1024;
/// Octets of a request's body.
const MAX_BODY: usize = 64 * 1024;

/// How long a caller may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To send the head of a request, from connecting or from the last answer on.
    pub head: Duration,
    /// From the head to the first octet of the answer: the request's body, and our work.
    pub answer: Duration,
    /// To take octets of the answer while some wait.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { head: seconds(10), answer: seconds(30), stall: seconds(30) }
    }
}

/// Connections that there may be at once.
#[derive(Clone, Debug)]
pub struct Seats(Arc<Semaphore>);

impl Seats {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    /// One of them, free again when it is dropped; `None` where all are taken.
    pub fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// The router with the limits that belong to requests.
pub fn limited(router: Router, patience: Patience) -> Router {
    router.layer(DefaultBodyLimit::max(MAX_BODY)).layer(middleware::from_fn(
        move |request: Request, next: Next| async move { in_time(patience.answer, request, next).await },
    ))
}

async fn in_time(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => in_words(response).await,
        Err(_) => {
            let message =
                format!("the question did not come whole, or had no answer, within {} s", limit.as_secs());
            refusal(StatusCode::REQUEST_TIMEOUT, message)
        }
    }
}

/// What axum refuses by itself, a body that is too large for one, it says as text.
async fn in_words(response: Response) -> Response {
    let status = response.status();
    let is_ours = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = axum::body::to_bytes(response.into_body(), MAX_BODY).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    refusal(status, if text.is_empty() { status.to_string() } else { text.into_owned() })
}

fn refusal(status: StatusCode, message: String) -> Response {
    let code = match status {
        StatusCode::NOT_FOUND => ErrorCode::PathUnknown,
        StatusCode::METHOD_NOT_ALLOWED => ErrorCode::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => ErrorCode::Unavailable,
        status if status.is_server_error() => ErrorCode::Internal,
        _ => ErrorCode::BadRequest,
    };
    (status, Json(ErrorReply::new(code, message))).into_response()
}

/// Serves one connection to its end, on a seat.
pub async fn converse<S>(stream: S, router: Router, patience: Patience, seat: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(patience.stall));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        debug!(%error, "an HTTP connection was ended");
    }
    drop(seat);
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const SHORT: Patience = Patience {
        head: Duration::from_secs(10),
        answer: Duration::from_secs(30),
        stall: Duration::from_secs(30),
    };

    fn router() -> Router {
        let endless = || async {
            let chunk = Bytes::from_static(&[b'x'; 4096]);
            let stream =
                futures::stream::repeat_with(move || Ok::<_, std::convert::Infallible>(chunk.clone()));
            Body::from_stream(stream)
        };
        let silent = || async {
            std::future::pending::<()>().await;
        };
        let echo = |body: Bytes| async move { body };
        limited(
            Router::new()
                .route("/", get(|| async { "here" }))
                .route("/echo", post(echo))
                .route("/silent", get(silent))
                .route("/endless", get(endless)),
            SHORT,
        )
    }

    /// Serves one connection on the last seat; the caller's end of it, and the seats.
    fn connect() -> (DuplexStream, Seats, tokio::task::JoinHandle<()>) {
        let (ours, theirs) = duplex(64 * 1024);
        let seats = Seats::new(1);
        let seat = seats.take().unwrap();
        assert!(seats.take().is_none(), "there is one seat");
        (theirs, seats, tokio::spawn(converse(ours, router(), SHORT, seat)))
    }

    async fn all(stream: &mut DuplexStream) -> String {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        String::from_utf8(heard).unwrap()
    }

    /// The status, and the body as bgpctl reads it.
    fn refused(heard: &str) -> (String, ErrorReply) {
        let status = heard.split(' ').nth(1).unwrap().to_owned();
        (status, serde_json::from_str(heard.rsplit("\r\n\r\n").next().unwrap()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_is_answered_and_the_seat_is_free_again() {
        let (mut caller, seats, served) = connect();
        caller.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(all(&mut caller).await.ends_with("here"));
        served.await.unwrap();
        assert!(seats.take().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_half_a_head_is_let_go() {
        for words in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
            let start = tokio::time::Instant::now();
            let (mut caller, seats, served) = connect();
            caller.write_all(words.as_bytes()).await.unwrap();
            all(&mut caller).await;
            served.await.unwrap();
            assert!(start.elapsed() >= SHORT.head && start.elapsed() < 2 * SHORT.head, "{words:?}");
            assert!(seats.take().is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_head_or_body_is_refused_and_a_slow_body_is_not_waited_for() {
        let (mut caller, _seats, served) = connect();
        let head = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", "x".repeat(2 * MAX_HEAD));
        caller.write_all(head.as_bytes()).await.unwrap();
        assert!(all(&mut caller).await.starts_with("HTTP/1.1 431 "));
        served.await.unwrap();

        let (mut caller, _seats, _served) = connect();
        let size = MAX_BODY + 1;
        let head =
            format!("POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n");
        caller.write_all(head.as_bytes()).await.unwrap();
        caller.write_all(&vec![b'x'; size]).await.unwrap();
        let (status, refused) = refused(&all(&mut caller).await);
        assert_eq!((status.as_str(), refused.error.code), ("413", ErrorCode::BadRequest));

        let (mut caller, _seats, served) = connect();
        caller.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab").await.unwrap();
        let (status, refused) = self::refused(&all(&mut caller).await);
        assert_eq!((status.as_str(), refused.error.code), ("408", ErrorCode::Unavailable));
        served.await.unwrap();

        let (mut caller, _seats, _served) = connect();
        caller.write_all(b"GET /elsewhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        assert_eq!(self::refused(&all(&mut caller).await).1.error.code, ErrorCode::PathUnknown);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_or_is_not_taken_ends_the_connection() {
        let (mut caller, _seats, served) = connect();
        caller.write_all(b"GET /silent HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(all(&mut caller).await.starts_with("HTTP/1.1 408 "));
        served.await.unwrap();

        let start = tokio::time::Instant::now();
        let (mut caller, seats, served) = connect();
        caller.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        // Nothing is read; virtual time runs on while nobody can do anything.
        served.await.unwrap();
        assert!(start.elapsed() >= SHORT.stall && start.elapsed() < 2 * SHORT.stall);
        assert!(seats.take().is_some());
    }
}
