//! The receiving half of a speaker: octets to messages, and a KEEPALIVE whenever it is time for one.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use bgp_wire::{DecodeContext, Framer, Message, Next, message};
use bytes::BytesMut;

use crate::wait::PATIENCE;

/// The longest that one reading takes.
const TICK: Duration = Duration::from_secs(5);

/// Reads one connection.
pub(super) struct Reader {
    stream: TcpStream,
    framer: Framer,
    buffer: BytesMut,
}

impl Reader {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, framer: Framer::new(), buffer: BytesMut::new() }
    }

    pub(super) fn expect(&mut self) -> Result<Message> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        loop {
            if let Some(message) = self.next()? {
                return Ok(message);
            }
            if !self.fill()? {
                bail!("no answer in {PATIENCE:?}");
            }
        }
    }

    /// The next message; `None` where none has come by then.
    pub(super) fn hear(&mut self, until: Instant) -> Result<Option<Message>> {
        loop {
            if let Some(message) = self.next()? {
                return Ok(Some(message));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left))?;
            self.fill()?;
        }
    }

    /// Hands on all but KEEPALIVEs. What cannot be understood is the last.
    pub(super) fn listen(
        mut self,
        writer: &Mutex<TcpStream>,
        interval: Duration,
        sender: &Sender<Result<Message>>,
    ) {
        // Ending is all there is to do about an error here: the receiver sees the channel close.
        self.try_listen(writer, interval, sender).ok();
    }

    fn try_listen(
        &mut self,
        writer: &Mutex<TcpStream>,
        interval: Duration,
        sender: &Sender<Result<Message>>,
    ) -> Result<()> {
        let tick = if interval.is_zero() { TICK } else { interval.min(TICK) };
        self.stream.set_read_timeout(Some(tick))?;
        let mut last = Instant::now();
        loop {
            while let Some(message) = self.next().transpose() {
                let is_fault = message.is_err();
                if !matches!(message, Ok(Message::Keepalive)) {
                    sender.send(message)?;
                }
                if is_fault {
                    return Ok(());
                }
            }
            if !interval.is_zero() && last.elapsed() >= interval {
                let writer = writer.lock().map_err(|_| anyhow!("the writer panicked"))?;
                (&*writer).write_all(&message::keepalive())?;
                last = Instant::now();
            }
            self.fill()?;
        }
    }

    fn next(&mut self) -> Result<Option<Message>> {
        match self.framer.next(&mut self.buffer) {
            Next::Wait => Ok(None),
            Next::Message(frame) => Ok(Some(message::decode(&frame, &DecodeContext::default())?)),
            Next::Fault(fault) => bail!("the peer's header: {fault}"),
        }
    }

    /// Reads once; false when there was nothing in time. The end of the stream is an error.
    fn fill(&mut self) -> Result<bool> {
        let mut octets = [0; 65536];
        match (&self.stream).read(&mut octets) {
            Ok(0) => bail!("the peer has closed"),
            Ok(n) => {
                self.buffer.extend_from_slice(octets.get(..n).unwrap_or_default());
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
