//! Who was refused of late: the log names each address once an hour, and no crowd fills it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// For so long an address is no news.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// So many of them within that time; a host that the whole world can reach is tried by many.
const AT_MOST: usize = 64;

/// Addresses that the log has named, and when.
#[derive(Debug, Default)]
pub(super) struct Strangers(BTreeMap<IpAddr, Instant>);

impl Strangers {
    /// Whether the log should name this one now.
    pub(super) fn is_news(&mut self, address: IpAddr, now: Instant) -> bool {
        self.0.retain(|_, at| now.saturating_duration_since(*at) < KNOWN_FOR);
        let is_news = self.0.len() < AT_MOST && !self.0.contains_key(&address);
        if is_news {
            self.0.insert(address, now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_once_an_hour_and_a_crowd_is_not() {
        let (start, mut strangers) = (Instant::now(), Strangers::default());
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        assert!(strangers.is_news(address(1), start));
        assert!(!strangers.is_news(address(1), start + KNOWN_FOR / 2));
        assert!(strangers.is_news(address(1), start + KNOWN_FOR));
        let named = (2..1000).filter(|n| strangers.is_news(address(*n), start + KNOWN_FOR)).count();
        assert_eq!(named, AT_MOST - 1);
        assert!(strangers.is_news(address(1000), start + KNOWN_FOR * 2));
    }
}
