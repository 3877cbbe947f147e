//! Reading an input: each part is as long as it says, or as what is left.

/// What is left of an input.
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    /// The next octet.
    pub fn octet(&mut self) -> Option<u8> {
        let (octet, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*octet)
    }

    /// A number of two octets.
    pub fn number(&mut self) -> Option<u32> {
        Some(u32::from(u16::from_be_bytes([self.octet()?, self.octet()?])))
    }

    /// So many octets as the two before them say, or all that is left.
    pub fn counted(&mut self) -> Option<&'a [u8]> {
        let len = self.number()? as usize;
        let (octets, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        Some(octets)
    }
}
