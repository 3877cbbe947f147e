//! Conversations on the request socket: send, and read until the kernel has answered.
//!
//! The kernel works through a request before `sendmsg` returns, so the answer is there at once; a wait happens only where
//! an answer was lost (receive buffer full) or never written (a request whose length is wrong ends the datagram in
//! silence). Then time ends it, and the caller reports that what the kernel holds must be read again.

use std::io;
use std::time::{Duration, Instant};

use bgp_fib::KernelError;

use crate::answer::{decode_done, decode_error};
use crate::batch::Batch;
use crate::message::{Header, Messages, Writer};
use crate::report::Answers;
use crate::socket::{Received, RouteSocket};
use crate::uapi::{flag, message};

/// The request socket and its sequence numbers.
pub(crate) struct Requests {
    socket: RouteSocket,
    patience: Duration,
    sequence: u32,
    request: Vec<u8>,
    datagram: Vec<u8>,
}

/// How a batch ended.
pub(crate) enum Outcome {
    /// The kernel has worked through all of it.
    Complete(Answers),
    /// The last answer was lost; the state of the kernel is not known.
    Lost(Answers),
}

/// How a dump ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DumpEnd {
    /// All of it was read.
    Complete,
    /// The table changed meanwhile (`NLM_F_DUMP_INTR`); entries may be missing.
    Interrupted,
}

impl Requests {
    pub(crate) fn new(socket: RouteSocket, patience: Duration) -> Self {
        Self { socket, patience, sequence: 1, request: Vec::new(), datagram: Vec::new() }
    }

    /// Empties `batch` for requests that come next on this socket.
    pub(crate) fn begin(&self, batch: &mut Batch) {
        batch.restart(self.sequence);
    }

    /// Has the kernel work through `batch`.
    pub(crate) fn execute(&mut self, batch: &mut Batch) -> Outcome {
        self.sequence = batch.next_sequence();
        if let Err(error) = self.socket.send(batch.seal()) {
            // Refused as a whole: nothing was done, so nothing is uncertain.
            return Outcome::Complete(batch.give_up(&from_io(&error)));
        }
        let deadline = Instant::now() + self.patience;
        loop {
            if let Err(error) = self.read(deadline) {
                return Outcome::Lost(batch.give_up(&error));
            }
            for (header, payload) in Messages::new(&self.datagram) {
                if header.kind == message::ERROR
                    && batch.answer(header.sequence, decode_error(header, payload))
                {
                    return Outcome::Complete(batch.take_answers());
                }
            }
        }
    }

    /// Reads a table, handing each entry to `entry`.
    pub(crate) fn dump(
        &mut self,
        kind: u16,
        layout: Layout<'_>,
        entry: impl FnMut(Header, &[u8]),
    ) -> Result<DumpEnd, KernelError> {
        self.dump_while(kind, layout, entry, || Ok(()))
    }

    /// The same; after each datagram `between` says whether to go on.
    pub(crate) fn dump_while(
        &mut self,
        kind: u16,
        layout: Layout<'_>,
        mut entry: impl FnMut(Header, &[u8]),
        mut between: impl FnMut() -> Result<(), KernelError>,
    ) -> Result<DumpEnd, KernelError> {
        let sequence = self.send(kind, flag::DUMP, layout)?;
        let mut end = DumpEnd::Complete;
        loop {
            if let Err(error) = self.read(Instant::now() + self.patience) {
                return Err(self.break_off(error));
            }
            for (header, payload) in Messages::new(&self.datagram) {
                if header.sequence != sequence {
                    continue;
                }
                if header.flags & flag::DUMP_INTR != 0 {
                    end = DumpEnd::Interrupted;
                }
                match header.kind {
                    message::DONE => return decode_done(header, payload).map(|()| end),
                    message::ERROR => return decode_error(header, payload).map(|()| end),
                    _ => entry(header, payload),
                }
            }
            if let Err(error) = between() {
                return Err(self.break_off(error));
            }
        }
    }

    /// Ends a dump that the kernel has not ended: it would refuse the next one.
    fn break_off(&mut self, error: KernelError) -> KernelError {
        if let Err(error) = self.socket.reopen() {
            tracing::error!(%error, "the socket of requests cannot be opened anew");
        }
        error
    }

    /// Has one request done that is no operation of the table.
    pub(crate) fn ask(&mut self, kind: u16, flags: u16, layout: Layout<'_>) -> Result<(), KernelError> {
        self.ask_for(kind, flags, layout, |_, _| {})
    }

    /// Has one request answered, handing each message that is not the acknowledgement to `entry`.
    pub(crate) fn ask_for(
        &mut self,
        kind: u16,
        flags: u16,
        layout: Layout<'_>,
        mut entry: impl FnMut(Header, &[u8]),
    ) -> Result<(), KernelError> {
        let sequence = self.send(kind, flags | flag::ACK, layout)?;
        loop {
            self.read(Instant::now() + self.patience)?;
            for (header, payload) in Messages::new(&self.datagram) {
                match header {
                    _ if header.sequence != sequence => {}
                    Header { kind: message::ERROR, .. } => return decode_error(header, payload),
                    _ => entry(header, payload),
                }
            }
        }
    }

    fn send(&mut self, kind: u16, flags: u16, layout: Layout<'_>) -> Result<u32, KernelError> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        self.request.clear();
        let header = Header { kind, flags: flag::REQUEST | flags, sequence, port: 0 };
        let mut request = Writer::new(&mut self.request, header, layout.fixed);
        (layout.attributes)(&mut request);
        request.finish();
        self.socket.send(&self.request).map_err(|error| from_io(&error))?;
        Ok(sequence)
    }

    /// Reads one datagram, waiting for it until `deadline`.
    fn read(&mut self, deadline: Instant) -> Result<(), KernelError> {
        loop {
            match self.socket.receive(&mut self.datagram).map_err(|error| from_io(&error))? {
                Received::Datagram => return Ok(()),
                Received::Overrun => return Err(lost(libc::ENOBUFS, "answers of the kernel were lost")),
                Received::Nothing => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(lost(libc::ETIMEDOUT, "the kernel did not answer"));
            }
            self.socket.wait(left).map_err(|error| from_io(&error))?;
        }
    }
}

/// The part of a request behind its header.
pub(crate) struct Layout<'a> {
    /// The structure that the type of the message asks for.
    pub(crate) fixed: &'a [u8],
    /// Writes the attributes.
    pub(crate) attributes: &'a dyn Fn(&mut Writer<'_>),
}

fn lost(errno: i32, message: &str) -> KernelError {
    KernelError { errno, message: Some(message.to_owned()) }
}

fn from_io(error: &io::Error) -> KernelError {
    KernelError { errno: error.raw_os_error().unwrap_or(libc::EIO), message: None }
}

#[cfg(test)]
mod tests;
