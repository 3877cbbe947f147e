//! NLRI: prefixes as an UPDATE carries them, RFC 4271 section 4.3, with path identifiers of RFC 7911.

use bytes::Bytes;

use crate::family::Family;
use crate::prefix::Prefix;

/// Checked NLRI of one family, still as octets; iterating cannot fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nlri {
    family: Family,
    with_path_ids: bool,
    octets: Bytes,
}

/// One destination of an UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NlriEntry {
    /// The destination, host bits cleared.
    pub prefix: Prefix,
    /// RFC 7911 path identifier; zero where add-path is off.
    pub path_id: u32,
}
