//! A daemon for the tests: answers on a Unix socket from a table of paths, and remembers what it was asked.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use bgp_api::ErrorReply;
use serde::Serialize;

/// What is sent for one path.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A whole HTTP answer with this status and body.
    Http(u16, String),
    /// These octets, then the end of the connection.
    Raw(Vec<u8>),
    /// Nothing, until the client goes.
    Silence,
}

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) body: String,
}

/// The daemon; its socket goes with it.
pub(crate) struct Daemon {
    directory: PathBuf,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// Table under construction, by `METHOD path?query`.
#[derive(Default)]
pub(crate) struct Answers(HashMap<String, Answer>);

impl Answers {
    pub(crate) fn ok(mut self, request: &str, reply: &impl Serialize) -> Self {
        let body = serde_json::to_string(reply).unwrap();
        self.0.insert(request.to_owned(), Answer::Http(200, body));
        self
    }

    pub(crate) fn error(mut self, request: &str, reply: &ErrorReply) -> Self {
        let body = serde_json::to_string(reply).unwrap();
        self.0.insert(request.to_owned(), Answer::Http(reply.status(), body));
        self
    }

    pub(crate) fn answer(mut self, request: &str, answer: Answer) -> Self {
        self.0.insert(request.to_owned(), answer);
        self
    }

    pub(crate) fn start(self) -> Daemon {
        let directory = temporary_directory();
        let listener = UnixListener::bind(directory.join("control.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let daemon = Daemon { directory, asked: Arc::clone(&asked) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &self.0, &asked);
            }
        });
        daemon
    }
}

impl Daemon {
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.directory).unwrap();
    }
}

/// A directory that nobody else has; short, because a socket's path has at most 107 octets.
pub(crate) fn temporary_directory() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("bgpctl-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir(&directory).unwrap();
    directory
}

fn serve(mut stream: UnixStream, answers: &HashMap<String, Answer>, asked: &Mutex<Vec<Asked>>) {
    let Some(request) = read_request(&stream) else { return };
    let answer = answers.get(&request.line).cloned();
    asked.lock().unwrap().push(request.clone());
    let octets = match answer {
        Some(Answer::Http(status, body)) => http(status, &body),
        Some(Answer::Raw(octets)) => octets,
        Some(Answer::Silence) => {
            // Ends when the client gives up and closes.
            stream.read_to_end(&mut Vec::new()).unwrap_or_default();
            return;
        }
        None => panic!("the test's daemon has no answer to {request:?}"),
    };
    // The client may have left already.
    stream.write_all(&octets).unwrap_or_default();
}

fn http(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Words\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn read_request(stream: &UnixStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap()
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let line = first.trim_end().strip_suffix(" HTTP/1.1").expect("HTTP/1.1").to_owned();
    Some(Asked { line, body: String::from_utf8(body).unwrap() })
}

/// Compares with the golden file of this name; with `UPDATE_GOLDEN=1` writes it instead.
pub(crate) fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/bgpctl").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", path.display()));
    assert!(
        wanted == text,
        "{} differs; UPDATE_GOLDEN=1 takes the new text\n--- wanted\n{wanted}\n--- got\n{text}",
        path.display()
    );
}
