//! ROUTE-REFRESH: RFC 2918, with the subtypes of RFC 7313.
//!
//! Leaves out outbound route filters (RFC 5291): their entries behind a plain request are not read.

use bytes::{BufMut, Bytes};

use crate::family::FamilyCode;
use crate::framer::{self, HEADER_LEN};
use crate::iana::message;

/// A ROUTE-REFRESH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteRefresh {
    /// The family that is meant.
    pub family: FamilyCode,
    /// What is asked or told.
    pub subtype: Subtype,
}

/// Message subtype, RFC 7313 section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subtype {
    /// 0: send the family again.
    Request,
    /// 1: BoRR, what follows is everything.
    Begin,
    /// 2: EoRR, what was not sent since Begin is gone.
    End,
    /// Any other, which RFC 7313 section 5 has a receiver ignore.
    Other(u8),
}

/// Why a ROUTE-REFRESH is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteRefreshFault {
    /// Shorter than AFI, subtype and SAFI; the message length.
    #[error("the message length {0} is out of bounds")]
    Short(u16),
    /// BoRR or EoRR with a body that has not 4 octets, more or less; the whole message.
    #[error("begin or end of refresh with a body of other than 4 octets")]
    Length(Bytes),
}

impl RouteRefresh {
    /// Decodes a body. Subtypes are those of a peer with the capability, `enhanced`: "The error handling specified in this
    /// section is applicable only when a BGP speaker has received the "Enhanced Route Refresh Capability" from a peer"
    /// (RFC 7313 section 5), and from another one the octet is reserved and ignored (RFC 2918 section 3).
    pub fn decode(body: &Bytes, enhanced: bool) -> Result<Self, RouteRefreshFault> {
        let subtype =
            body.get(2).filter(|_| enhanced).map_or(Subtype::Request, |octet| Subtype::from(*octet));
        // "If the length, excluding the fixed-size message header, of the received ROUTE-REFRESH message with Message
        // Subtype 1 and 2 is not 4, then the BGP speaker MUST send a NOTIFICATION message". RFC 7313 section 5.
        if matches!(subtype, Subtype::Begin | Subtype::End) && body.len() != 4 {
            return Err(RouteRefreshFault::Length(framer::whole(message::ROUTE_REFRESH, |out| {
                out.put_slice(body);
            })));
        }
        let Some(([high, low, _subtype, safi], _entries)) = body.split_first_chunk::<4>() else {
            let length = body.len().saturating_add(HEADER_LEN);
            return Err(RouteRefreshFault::Short(u16::try_from(length).unwrap_or(u16::MAX)));
        };
        let family = FamilyCode { afi: u16::from_be_bytes([*high, *low]), safi: *safi };
        Ok(Self { family, subtype })
    }

    /// The whole message.
    pub fn encode(&self) -> Bytes {
        framer::whole(message::ROUTE_REFRESH, |out| {
            out.put_u16(self.family.afi);
            out.put_u8(self.subtype.into());
            out.put_u8(self.family.safi);
        })
    }
}

impl From<u8> for Subtype {
    fn from(octet: u8) -> Self {
        match octet {
            0 => Self::Request,
            1 => Self::Begin,
            2 => Self::End,
            other => Self::Other(other),
        }
    }
}

impl From<Subtype> for u8 {
    fn from(subtype: Subtype) -> Self {
        match subtype {
            Subtype::Request => 0,
            Subtype::Begin => 1,
            Subtype::End => 2,
            Subtype::Other(other) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Notification;

    fn decode(body: &'static [u8]) -> Result<RouteRefresh, RouteRefreshFault> {
        RouteRefresh::decode(&Bytes::from_static(body), true)
    }

    #[test]
    fn every_subtype_survives() {
        for octet in 0..=u8::MAX {
            let refresh = RouteRefresh { family: FamilyCode { afi: 2, safi: 1 }, subtype: octet.into() };
            let body = refresh.encode().slice(19..);
            assert_eq!(body[..], [0, 2, octet, 1], "AFI, subtype, SAFI");
            assert_eq!(RouteRefresh::decode(&body, true), Ok(refresh));
        }
    }

    #[test]
    fn begin_and_end_have_four_octets_and_a_request_may_have_more() {
        assert!(decode(&[0, 1, 0, 1, 9, 9, 9]).is_ok());
        let fault = decode(&[0, 1, 1, 1, 9]).unwrap_err();
        let notification = Notification::from(fault);
        assert_eq!((notification.code, notification.subcode), (7, 1));
        assert_eq!(&notification.data[16..], [0, 24, 5, 0, 1, 1, 1, 9], "the whole message");
        assert_eq!(decode(&[0, 1, 0]), Err(RouteRefreshFault::Short(22)));
        let notification = Notification::from(decode(&[0, 1, 2]).unwrap_err());
        assert_eq!((notification.code, &notification.data[16..]), (7, &[0, 22, 5, 0, 1, 2][..]));
        assert_eq!(decode(&[]), Err(RouteRefreshFault::Short(19)));
    }

    #[test]
    fn without_the_capability_the_octet_between_is_reserved() {
        let plain = |body: &'static [u8]| RouteRefresh::decode(&Bytes::from_static(body), false);
        for body in [&[0, 2, 1, 1][..], &[0, 2, 7, 1], &[0, 2, 2, 1, 9]] {
            let request = RouteRefresh { family: FamilyCode { afi: 2, safi: 1 }, subtype: Subtype::Request };
            assert_eq!(plain(body), Ok(request), "{body:?}");
        }
        assert_eq!(plain(&[0, 2, 1]), Err(RouteRefreshFault::Short(22)));
    }
}
