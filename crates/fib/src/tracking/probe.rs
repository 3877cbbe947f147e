//! Whom the kernel is to be asked to look for, and when: RFC 4861 section 7.3 does the rest.
//!
//! What is sought is asked for at once and then at growing intervals; what is in use is checked slowly.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::tracking::facts::NeighborKey;

/// How eagerly a neighbour is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pace {
    /// Nothing works without it.
    Seek,
    /// It works; look now and then whether it still does.
    Recheck,
}

const RECHECK: Duration = Duration::from_secs(60);
const SEEK_FIRST: Duration = Duration::from_secs(1);
const SEEK_LAST: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Row {
    pace: Pace,
    due: Instant,
    interval: Duration,
}

/// The schedule.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    rows: BTreeMap<NeighborKey, Row>,
}

impl Probes {
    /// Makes the schedule what `needs` says; what was in it keeps its time.
    pub(crate) fn sync(&mut self, needs: &BTreeMap<NeighborKey, Pace>, now: Instant) {
        self.rows.retain(|key, row| needs.get(key) == Some(&row.pace));
        for (key, pace) in needs {
            self.rows.entry(*key).or_insert_with(|| match pace {
                Pace::Seek => Row { pace: *pace, due: now, interval: SEEK_FIRST },
                Pace::Recheck => Row { pace: *pace, due: now + RECHECK, interval: RECHECK },
            });
        }
    }

    /// The next one that is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<NeighborKey> {
        let (key, row) = self.rows.iter_mut().find(|(_, row)| row.due <= now)?;
        row.due = now + row.interval;
        row.interval = match row.pace {
            Pace::Seek => SEEK_LAST.min(row.interval * 2),
            Pace::Recheck => RECHECK,
        };
        Some(*key)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.rows.values().map(|row| row.due).min()
    }
}
