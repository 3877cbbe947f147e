//! A second, independent reading of an UPDATE, just deep enough to tell what this speaker does not carry.

/// The parts of an UPDATE that expectations need beside themselves.
#[derive(Default)]
pub(crate) struct Raw {
    /// Whether the section of IPv4 routes holds any.
    pub(crate) classic: bool,
    /// Whether MP_REACH_NLRI holds routes, of any family.
    pub(crate) mp_reachable: bool,
    /// Whether there is no attribute but MP_UNREACH_NLRI.
    pub(crate) mp_unreach_only: bool,
    /// Prefixes of families that are not carried: announced, withdrawn.
    pub(crate) foreign: (Vec<String>, Vec<String>),
    /// Whether MP_REACH_NLRI or MP_UNREACH_NLRI is of such a family, and whole enough to name it.
    pub(crate) foreign_mp: bool,
    /// AFI and SAFI of MP_REACH_NLRI.
    pub(crate) reach_family: Option<(u16, u8)>,
}

impl Raw {
    /// Reads as far as lengths hold.
    pub(crate) fn read(body: &[u8]) -> Self {
        let mut raw = Self { mp_unreach_only: true, ..Self::default() };
        let Some((_withdrawn, rest)) = counted(body) else { return raw };
        let Some((attributes, nlri)) = counted(rest) else { return raw };
        raw.classic = !nlri.is_empty();
        let mut rest = attributes;
        while let Some((code, value, after)) = attribute(rest) {
            raw.mp_unreach_only &= code == 15;
            let is_carried = matches!(value, [0, 1 | 2, 1, ..]);
            raw.foreign_mp |= matches!(code, 14 | 15) && value.len() >= 3 && !is_carried;
            match code {
                14 => raw.reach(value),
                15 if matches!(value, [0, 1 | 2, 2, ..]) => {
                    raw.foreign.1 = prefixes(value[1] == 2, &value[3..]);
                }
                _ => {}
            }
            rest = after;
        }
        raw.mp_unreach_only &= rest.is_empty();
        raw
    }

    fn reach(&mut self, value: &[u8]) {
        let Some(next_hop) = value.get(3).map(|length| usize::from(*length)) else { return };
        let nlri = value.get(5 + next_hop..).unwrap_or_default();
        self.mp_reachable = !nlri.is_empty();
        self.reach_family = Some((u16::from_be_bytes([value[0], value[1]]), value[2]));
        if let [0, 1 | 2, 2, ..] = value {
            self.foreign.0 = prefixes(value[1] == 2, nlri);
        }
    }
}

fn counted(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn attribute(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (flags, code) = (*octets.first()?, *octets.get(1)?);
    let rest = &octets[2..];
    let (value, after) = if flags & 0x10 != 0 {
        counted(rest)?
    } else {
        let (length, rest) = rest.split_first()?;
        rest.split_at_checked(usize::from(*length))?
    };
    Some((code, value, after))
}

/// Prefixes without path identifiers, as the corpus writes them, as far as they can be read.
fn prefixes(v6: bool, mut octets: &[u8]) -> Vec<String> {
    let mut prefixes = Vec::new();
    while let Some((length, rest)) = octets.split_first() {
        let Some((prefix, after)) = prefix(v6, *length, rest) else { break };
        prefixes.push(prefix.to_string());
        octets = after;
    }
    prefixes
}

fn prefix(v6: bool, length: u8, octets: &[u8]) -> Option<(bgp_wire::Prefix, &[u8])> {
    let (value, after) = octets.split_at_checked(usize::from(length.div_ceil(8)))?;
    let mut address = [0; 16];
    address.get_mut(..value.len())?.copy_from_slice(value);
    let [a, b, c, d, ..] = address;
    let address: std::net::IpAddr = if v6 { address.into() } else { [a, b, c, d].into() };
    Some((bgp_wire::Prefix::new(address, length)?, after))
}
