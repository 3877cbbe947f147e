//! A stream of any octets, in pieces of any size: the frames are those of the stream in one piece.
#![no_main]

use bgp_wire::{Framer, Next};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

fn run(stream: &[u8], piece: usize, extended: bool) -> (Vec<Next>, usize) {
    let mut framer = Framer::new();
    if extended {
        framer.allow_extended();
    }
    let (mut buffer, mut said) = (BytesMut::new(), Vec::new());
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match framer.next(&mut buffer) {
                Next::Wait => break,
                Next::Fault(fault) => {
                    said.push(Next::Fault(fault));
                    return (said, 0);
                }
                message => said.push(message),
            }
        }
    }
    (said, buffer.len())
}

fuzz_target!(|input: &[u8]| {
    let [how, stream @ ..] = input else { return };
    let (extended, piece) = (how & 0x80 != 0, usize::from(how & 0x7f) + 1);
    assert_eq!(run(stream, piece, extended), run(stream, stream.len().max(1), extended));
});
