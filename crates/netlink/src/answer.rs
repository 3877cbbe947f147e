//! What the kernel answers to a request: an acknowledgement, or an error number with its extended text.
//!
//! The text is what makes "Invalid argument" mean "Nexthop has invalid gateway"; it goes to the operator as it is and
//! nothing depends on it.

use bgp_fib::KernelError;

use crate::message::{Header, attributes, u32_at};
use crate::uapi::flag;

/// Octets of the error code, after which comes the header of the request.
const CODE_LEN: usize = 4;
const ECHOED_HEADER_LEN: usize = 16;
/// `NLMSGERR_ATTR_MSG` and `NLMSGERR_ATTR_OFFS`.
const TEXT: u16 = 1;

/// Decodes the payload of an `NLMSG_ERROR`, of which an acknowledgement is the kind with code zero.
pub(crate) fn decode_error(header: Header, payload: &[u8]) -> Result<(), KernelError> {
    let Some(errno) = code(payload) else { return Ok(()) };
    let echoed = match header.flags & flag::CAPPED {
        0 => u32_at(payload, CODE_LEN).and_then(|len| usize::try_from(len).ok()).unwrap_or(ECHOED_HEADER_LEN),
        _ => ECHOED_HEADER_LEN,
    };
    let texts = payload.get(CODE_LEN + echoed.next_multiple_of(4)..).unwrap_or_default();
    Err(KernelError { errno, message: text(header, texts) })
}

/// Decodes the payload of an `NLMSG_DONE`: a dump that the kernel refuses ends here, not in an `NLMSG_ERROR`.
pub(crate) fn decode_done(header: Header, payload: &[u8]) -> Result<(), KernelError> {
    let Some(errno) = code(payload) else { return Ok(()) };
    Err(KernelError { errno, message: text(header, payload.get(CODE_LEN..).unwrap_or_default()) })
}

/// The error number, positive; `None` for success.
fn code(payload: &[u8]) -> Option<i32> {
    let code = u32_at(payload, 0)?.cast_signed();
    (code != 0).then(|| code.wrapping_neg())
}

fn text(header: Header, texts: &[u8]) -> Option<String> {
    if header.flags & flag::ACK_TLVS == 0 {
        return None;
    }
    let (_, text) = attributes(texts).find(|(kind, _)| *kind == TEXT)?;
    let text = text.split(|octet| *octet == 0).next().unwrap_or_default();
    Some(String::from_utf8_lossy(text).into_owned())
}
