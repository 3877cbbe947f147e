//! Octets that may be a whole table: in memory before they go, in the memory file after they came.
//!
//! What is read is given back to the kernel at once, so that the file shrinks as the tables grow.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use nix::fcntl::{FallocateFlags, fallocate};
use tracing::debug;

/// Pieces end at multiples of this, if they have room for it: memory is given back in whole pages, of at most this size.
const PAGES: u64 = 64 * 1024;

/// See the module. Empty by default.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Those in memory.
    octets: Bytes,
    /// Those in a file: from where on, and how many.
    filed: Option<(Arc<File>, u64, u64)>,
}

impl From<Bytes> for Stream {
    fn from(octets: Bytes) -> Self {
        Self { octets, filed: None }
    }
}

impl Stream {
    /// Octets of a file.
    pub(super) fn of_file(file: &Arc<File>, at: u64, len: u64) -> Self {
        Self { octets: Bytes::new(), filed: Some((Arc::clone(file), at, len)) }
    }

    /// Those that are in memory; none of a stream that came.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.filed.as_ref().map_or(self.octets.len() as u64, |(_, _, len)| *len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them.
    ///
    /// # Errors
    /// The file cannot be read, or they are more than there can be memory for.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        let Some((file, at, len)) = &self.filed else { return Ok(self.octets.clone()) };
        let mut octets = vec![0; usize::try_from(*len).map_err(io::Error::other)?];
        file.read_exact_at(&mut octets, *at)?;
        Ok(octets.into())
    }

    /// Takes away the next octets, as many as `piece` has room for; how many they are, 0 at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn take(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let Some((file, at, left)) = &mut self.filed else {
            let some = self.octets.split_to(piece.len().min(self.octets.len()));
            piece.iter_mut().zip(&some).for_each(|(to, from)| *to = *from);
            return Ok(some.len());
        };
        let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
        let beyond = usize::try_from((*at + wanted as u64) % PAGES).unwrap_or_default();
        let wanted = if beyond < wanted && (wanted as u64) < *left { wanted - beyond } else { wanted };
        let room = piece.get_mut(..wanted).unwrap_or_default();
        file.read_exact_at(room, *at)?;
        release(file, *at, wanted);
        *at += wanted as u64;
        *left -= wanted as u64;
        Ok(wanted)
    }
}

/// Gives the memory of what was read back. Where the kernel cannot do that, it goes with the file.
fn release(file: &File, at: u64, count: usize) {
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let (Ok(at), Ok(count)) = (i64::try_from(at), i64::try_from(count)) else { return };
    if count > 0
        && let Err(error) = fallocate(file, hole, at, count)
    {
        debug!(%error, "what was read of the state stays in memory until all of it is");
    }
}

/// The same octets, wherever they are.
#[cfg(test)]
impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes().unwrap() == other.to_bytes().unwrap()
    }
}

#[cfg(test)]
impl Eq for Stream {}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::descriptors::memory;
    use super::*;

    #[test]
    fn pieces_are_the_whole_and_their_memory_is_given_back() {
        let all: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        let file = Arc::new(File::from(memory(|file| file.write_all(&all)).unwrap()));
        let blocks = || std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap());
        let full = blocks();
        for mut stream in
            [Stream::from(Bytes::from(all.clone())), Stream::of_file(&file, 7, all.len() as u64 - 7)]
        {
            let skipped = all.len() - usize::try_from(stream.len()).unwrap();
            let (mut piece, mut read) = (vec![0; 70_000], all[..skipped].to_vec());
            while let count @ 1.. = stream.take(&mut piece).unwrap() {
                read.extend_from_slice(&piece[..count]);
            }
            assert!(read == all && stream.is_empty());
        }
        assert!(blocks() < full / 5, "{} of {full} blocks are left", blocks());
    }

    #[test]
    fn a_file_that_is_too_short_is_an_error() {
        let file = Arc::new(File::from(memory(|file| file.write_all(b"short")).unwrap()));
        let mut stream = Stream::of_file(&file, 3, 3);
        assert!(stream.to_bytes().is_err() && stream.take(&mut [0; 8]).is_err());
    }
}
