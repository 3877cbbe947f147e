//! TCP MD5 counters of the network namespace, `/proc/net/netstat`.
//!
//! A segment with a wrong, missing or unexpected RFC 2385 digest is dropped below the sockets. These counters are the
//! only trace that a peer with the wrong password leaves.

use std::io;

/// Segments dropped since the network namespace exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpMd5Counters {
    /// A digest was expected and there was none.
    pub not_found: u64,
    /// There was a digest and none was expected.
    pub unexpected: u64,
    /// The digest did not match.
    pub failure: u64,
}

impl TcpMd5Counters {
    /// Reads the counters of the calling thread's network namespace.
    pub fn read() -> io::Result<Self> {
        std::fs::read_to_string("/proc/thread-self/net/netstat").map(|text| Self::parse(&text))
    }

    /// Segments dropped for any of the reasons.
    pub fn total(self) -> u64 {
        self.not_found.saturating_add(self.unexpected).saturating_add(self.failure)
    }

    /// Two lines per group: names, then values, both behind the name of the group.
    fn parse(text: &str) -> Self {
        let mut rows = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
        let names = rows.next().unwrap_or_default().split_whitespace();
        let values = rows.next().unwrap_or_default().split_whitespace();
        let mut counters = Self::default();
        for (name, value) in names.zip(values) {
            let counter = match name {
                "TCPMD5NotFound" => &mut counters.not_found,
                "TCPMD5Unexpected" => &mut counters.unexpected,
                "TCPMD5Failure" => &mut counters.failure,
                _ => continue,
            };
            *counter = value.parse().unwrap_or_default();
        }
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = "TcpExt: SyncookiesSent TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure Last\n\
                    TcpExt: 1 2 3 4 5\nIpExt: InNoRoutes TCPMD5Failure\nIpExt: 6 7\n";
        let counters = TcpMd5Counters::parse(text);
        assert_eq!(counters, TcpMd5Counters { not_found: 2, unexpected: 3, failure: 4 });
        assert_eq!(counters.total(), 9);
        assert_eq!(TcpMd5Counters::parse("TcpExt: TCPMD5NotFound\n"), TcpMd5Counters::default());
    }
}
