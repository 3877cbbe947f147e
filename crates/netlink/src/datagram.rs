//! One datagram of the kernel, read as whatever it could be: for fuzzing, which has no kernel to speak to.
//!
//! The road of a real one is `requests` for answers and dumps, `worker` for notifications; the decoders are the same.

use bgp_fib::{Event, KernelError};

use crate::answer::{decode_done, decode_error};
use crate::decode::{Origin, decode};
use crate::message::Messages;

/// What a datagram says.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Its messages as entries of dumps.
    pub dumped: Vec<Event>,
    /// The same as notifications.
    pub watched: Vec<Event>,
    /// The same as acknowledgements, and as the ends of dumps.
    pub answers: Vec<Result<(), KernelError>>,
}

impl Datagram {
    /// Reads all messages up to the first whose length does not fit.
    pub fn read(octets: &[u8]) -> Self {
        let events = |origin| {
            Messages::new(octets).filter_map(|(header, payload)| decode(header, payload, origin)).collect()
        };
        let answers = Messages::new(octets)
            .flat_map(|(header, payload)| [decode_error(header, payload), decode_done(header, payload)]);
        Self { dumped: events(Origin::Dump), watched: events(Origin::Watch), answers: answers.collect() }
    }
}
