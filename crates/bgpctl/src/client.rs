//! HTTP/1.1 over the control socket: one connection per question.

use std::path::Path;
use std::time::Duration;

use bgp_api::ErrorReply;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::failure::Failure;

/// Where to ask, and how long to wait.
pub(crate) struct Client<'a> {
    socket: &'a Path,
    timeout: Duration,
}

impl<'a> Client<'a> {
    /// A client of the daemon at `socket`.
    pub(crate) fn new(socket: &'a Path, timeout: Duration) -> Self {
        Self { socket, timeout }
    }

    /// Asks for a view.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, String::new()).await
    }

    /// Asks for something to be done; `body` is JSON or empty.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: String) -> Result<T, Failure> {
        self.ask(Method::POST, path, body).await
    }

    /// Hands each line of a stream to `each`, until the daemon ends it or `each` fails.
    pub(crate) async fn lines(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let response = self.in_time(self.send(Method::GET, path, String::new())).await?;
        if !response.status().is_success() {
            return Err(self.in_time(self.refusal(response)).await?);
        }
        let mut body = response.into_body();
        let mut waiting = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            waiting.extend_from_slice(&data);
            while let Some(end) = waiting.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = waiting.drain(..=end).collect();
                each(line.trim_ascii())?;
            }
        }
        Err(Failure::Silent { socket: self.socket.to_owned(), what: "ended the stream".to_owned() })
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: String) -> Result<T, Failure> {
        let is_order = method == Method::POST;
        let answered = self.in_time(async {
            let response = self.send(method, path, body).await?;
            if !response.status().is_success() {
                return Err(self.refusal(response).await?);
            }
            let body = self.collect(response).await?;
            serde_json::from_slice(&body).map_err(|error| Failure::Malformed(error.to_string()))
        });
        match answered.await {
            Err(Failure::Silent { socket, what }) if is_order => Err(Failure::Silent {
                socket,
                what: format!("{what}; it may do what it was told all the same"),
            }),
            other => other,
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(result) => result,
            Err(_) => Err(Failure::late(self.socket, self.timeout)),
        }
    }

    async fn send(&self, method: Method, path: &str, body: String) -> Result<Response<Incoming>, Failure> {
        let stream = UnixStream::connect(self.socket)
            .await
            .map_err(|error| Failure::Unreachable { socket: self.socket.to_owned(), error })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(&error))?;
        // Its errors come out at the sender and at the body.
        drop(tokio::spawn(connection));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "bgpd-rs")
            .header("content-type", "application/json")
            .header("user-agent", format!("bgpctl/{}", bgp_api::VERSION))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::Malformed(error.to_string()))?;
        sender.send_request(request).await.map_err(|error| self.broken(&error))
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, Failure> {
        Ok(response.into_body().collect().await.map_err(|error| self.broken(&error))?.to_bytes())
    }

    /// The error that the daemon sent; a status without one is an answer that cannot be read.
    async fn refusal(&self, response: Response<Incoming>) -> Result<Failure, Failure> {
        let status = response.status();
        let body = self.collect(response).await?;
        Ok(match serde_json::from_slice::<ErrorReply>(&body) {
            Ok(reply) => Failure::Daemon(reply.error),
            Err(_) => Failure::Malformed(format!("HTTP status {status} without an error in JSON")),
        })
    }

    fn broken(&self, error: &hyper::Error) -> Failure {
        if error.is_parse() {
            return Failure::Malformed(format!("not HTTP: {error}"));
        }
        Failure::Silent { socket: self.socket.to_owned(), what: format!("broke off: {error}") }
    }
}
