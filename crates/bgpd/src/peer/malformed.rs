//! UPDATEs of a peer that are malformed, in the log: RFC 7606 section 6 asks for the routes and for the whole message.
//!
//! Owns what is said and how often: a peer that sends nothing else must not fill the disk, and the first messages show as
//! much as the thousandth.

use std::time::{Duration, Instant};

use bgp_session::Malformed;
use bgp_wire::Update;
use tracing::warn;

/// Messages that may be logged at once, and how long it takes until there may be one more.
const AT_ONCE: u32 = 5;
const ONE_MORE: Duration = Duration::from_secs(10);
/// Routes that are named.
const NAMED: usize = 20;

/// How much may be logged yet.
#[derive(Debug)]
pub(super) struct MalformedLog {
    /// Messages that may be logged now, of [`AT_ONCE`], as of `counted`.
    left: u32,
    counted: Instant,
    /// Messages since the last one that was logged.
    unsaid: u64,
}

impl MalformedLog {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: AT_ONCE, counted: now, unsaid: 0 }
    }

    /// Logs one message, unless there have been many of them.
    pub(super) fn log(&mut self, malformed: &Malformed, now: Instant) {
        if !self.may_log(now) {
            self.unsaid = self.unsaid.saturating_add(1);
            return;
        }
        let unsaid = std::mem::take(&mut self.unsaid);
        let message = format!("{:x}", malformed.body);
        let Some(update) = &malformed.update else {
            warn!(unsaid, message, "malformed UPDATE; it costs the session");
            return;
        };
        let routes = routes(update);
        for fault in &update.faults {
            warn!(attribute = fault.code, cost = ?fault.remedy, octets = format!("{:x}", fault.octets), routes, "malformed attribute: {}", fault.reason);
        }
        warn!(unsaid, message, "the UPDATE with the malformed attributes, whole, behind its header");
    }

    fn may_log(&mut self, now: Instant) -> bool {
        let more = now.saturating_duration_since(self.counted).as_secs() / ONE_MORE.as_secs();
        if let Ok(more @ 1..) = u32::try_from(more) {
            self.left = self.left.saturating_add(more).min(AT_ONCE);
            self.counted = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

/// The destinations of an UPDATE, the first of them by name.
fn routes(update: &Update) -> String {
    let announced = update.announced.iter().map(|announcement| &announcement.nlri);
    let mut entries = update.withdrawn.iter().chain(announced).flatten();
    let mut text: Vec<String> = entries.by_ref().take(NAMED).map(|entry| entry.prefix.to_string()).collect();
    match entries.count() {
        0 => {}
        more => text.push(format!("and {more} more")),
    }
    text.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_not_all_logged_and_some_are_after_a_while() {
        let start = Instant::now();
        let mut log = MalformedLog::new(start);
        let logged = |log: &mut MalformedLog, at| (0..100).filter(|_| log.may_log(start + at)).count();
        assert_eq!(logged(&mut log, Duration::ZERO), 5);
        assert_eq!(logged(&mut log, Duration::from_secs(9)), 0);
        assert_eq!(logged(&mut log, Duration::from_secs(21)), 2);
        assert_eq!(logged(&mut log, Duration::from_hours(1)), 5);
    }

    #[test]
    fn routes_are_named_up_to_a_number() {
        use bgp_wire::update::Nlri;
        use bgp_wire::{Family, Prefix};

        let prefix = |n: u8| format!("10.0.{n}.0/24").parse::<Prefix>().map(Into::into).unwrap();
        let nlri = |count| Nlri::from_entries(Family::Ipv4Unicast, false, (0..count).map(prefix));
        let update = |count| Update { withdrawn: [nlri(count)].into_iter().collect(), ..Update::default() };
        assert_eq!(routes(&update(2)), "10.0.0.0/24 10.0.1.0/24");
        assert!(routes(&update(23)).ends_with("10.0.19.0/24 and 3 more"));
    }
}
