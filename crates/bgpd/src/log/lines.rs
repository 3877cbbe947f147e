//! Lines on their way to standard error: whoever logs never waits, and never fails.
//!
//! A full disk, a journal that hangs or a pipe that nobody reads costs lines of the log and nothing else. Lines go into
//! a queue; what does not fit is counted, and the count is said when there is room again. A thread writes them. It begins
//! only with [`write_from_here`], because capabilities and Landlock belong to threads: before they are settled there may be
//! only one.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const WAITING: usize = 2048;
/// How long the end of the process waits for a log that takes its time.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks whether there is room.
const PAUSE: Duration = Duration::from_millis(5);
/// The name of the thread that writes.
const WRITER: &str = "log";

static LINES: OnceLock<Lines> = OnceLock::new();

/// What goes through the queue.
enum Entry {
    Line(Vec<u8>),
    /// Answered when everything before it has been written.
    Mark(SyncSender<()>),
}

/// The queue's near end.
struct Lines {
    entries: SyncSender<Entry>,
    /// The far end, until the thread has it.
    unread: Mutex<Option<Receiver<Entry>>>,
    /// Lines that did not fit since the last one that was written.
    lost: AtomicU64,
}

impl Lines {
    fn new(room: usize) -> Self {
        let (entries, unread) = sync_channel(room);
        Self { entries, unread: Mutex::new(Some(unread)), lost: AtomicU64::new(0) }
    }

    fn put(&self, octets: &[u8]) {
        match self.entries.try_send(Entry::Line(octets.to_vec())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Puts an entry behind those that wait; false where there is no room until then.
    fn put_until(&self, until: Instant, mut entry: Entry) -> bool {
        loop {
            match self.entries.try_send(entry) {
                Ok(()) => return true,
                Err(TrySendError::Full(unsent)) if Instant::now() < until => entry = unsent,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return false,
            }
            thread::sleep(PAUSE);
        }
    }

    fn take_unread(&self) -> Option<Receiver<Entry>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Writes entries as they come. A line that cannot be written is lost: there is nobody who could be told.
    fn write(&self, entries: impl Iterator<Item = Entry>, out: &mut impl Write) {
        for entry in entries {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                writeln!(out, "{}{lost} lines of the log are lost: nobody took them", priority())
                    .unwrap_or_default();
            }
            match entry {
                Entry::Line(octets) => out.write_all(&octets).unwrap_or_default(),
                Entry::Mark(reached) => reached.try_send(()).unwrap_or_default(),
            }
        }
    }
}

/// As the lines of events have it: under systemd the number of a warning, sd-daemon(3).
fn priority() -> &'static str {
    if is_journal() { "<4>" } else { "WARN " }
}

fn is_journal() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some()
}

fn lines() -> &'static Lines {
    LINES.get_or_init(|| Lines::new(WAITING))
}

/// From now on a thread writes the lines, those that wait already first.
pub(super) fn write_from_here() -> io::Result<()> {
    if let Some(unread) = lines().take_unread() {
        let write = move || lines().write(unread.into_iter(), &mut io::stderr());
        thread::Builder::new().name(WRITER.into()).spawn(write)?;
    }
    Ok(())
}

/// Waits until everything has been written, for a second at most.
pub(super) fn finish() {
    if let Some(unread) = lines().take_unread() {
        lines().write(unread.try_iter(), &mut io::stderr());
        return;
    }
    wait_until_written(Instant::now() + PATIENCE);
}

/// When time is over, lines are lost; they would be with the process as well.
fn wait_until_written(until: Instant) {
    let (mark, reached) = sync_channel(1);
    if lines().put_until(until, Entry::Mark(mark)) {
        reached.recv_timeout(until.saturating_duration_since(Instant::now())).unwrap_or_default();
    }
}

/// Writes a line that is the last one, for a second at most.
pub(super) fn last(text: &str) {
    let line = format!("{}{text}\n", if is_journal() { "<2>" } else { "ERROR " });
    let until = Instant::now() + PATIENCE;
    if let Some(unread) = lines().take_unread() {
        lines().write(unread.try_iter(), &mut io::stderr());
    } else if thread::current().name() != Some(WRITER) {
        if lines().put_until(until, Entry::Line(line.into_bytes())) {
            wait_until_written(until);
        }
        return;
    }
    // Nobody else writes.
    io::stderr().write_all(line.as_bytes()).unwrap_or_default();
}

/// Makes a line of what one event writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToLines;

impl MakeWriter<'_> for ToLines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl Write for ToLines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        lines().put(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_takes_is_counted_and_told_later() {
        let lines = Lines::new(2);
        for text in ["one\n", "two\n", "three\n", "four\n"] {
            lines.put(text.as_bytes());
        }
        let unread = lines.take_unread().unwrap();
        let mut out = Vec::new();
        lines.write(unread.try_iter(), &mut out);
        let said = String::from_utf8(out).unwrap();
        let (first, rest) = said.split_once('\n').unwrap();
        assert!(first.ends_with("2 lines of the log are lost: nobody took them"), "{first}");
        assert_eq!(rest, "one\ntwo\n");
        lines.put(b"five\n");
        let mut out = Vec::new();
        lines.write(unread.try_iter(), &mut out);
        assert_eq!(out, b"five\n");
    }

    #[test]
    fn what_comes_last_waits_for_room_and_not_for_ever() {
        let lines = Lines::new(1);
        lines.put(b"one\n");
        let now = Instant::now();
        assert!(!lines.put_until(now + 2 * PAUSE, Entry::Line(b"two\n".to_vec())));
        thread::scope(|scope| {
            let unread = lines.take_unread().unwrap();
            let last = scope
                .spawn(|| lines.put_until(now + Duration::from_secs(60), Entry::Line(b"three\n".to_vec())));
            let mut out = Vec::new();
            lines.write(unread.iter().take(2), &mut out);
            assert!(last.join().unwrap());
            assert_eq!(out, b"one\nthree\n");
        });
    }

    #[test]
    fn a_full_disk_stops_nobody() {
        let lines = Lines::new(4);
        let (mark, reached) = sync_channel(1);
        lines.put(b"one\n");
        lines.entries.try_send(Entry::Mark(mark)).unwrap();
        lines.write(lines.take_unread().unwrap().try_iter(), &mut Full);
        assert_eq!(reached.try_recv(), Ok(()));
        // And with the thread gone, whoever logs goes on all the same.
        lines.put(b"two\n");
        assert_eq!(lines.lost.load(Ordering::Relaxed), 1);
    }
}
