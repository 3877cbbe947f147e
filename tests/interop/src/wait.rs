//! Waiting for a condition with a deadline.
//!
//! Labs never sleep for a guessed time: they ask again every few milliseconds and say what did not happen when
//! the deadline is over.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(15);

/// Asks until the answer is yes. An error of the question counts as "not yet" and is shown when time is over.
pub fn until(what: &str, limit: Duration, mut question: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let start = Instant::now();
    loop {
        let answer = question();
        let waited = start.elapsed();
        match answer {
            Ok(true) => return Ok(waited),
            Ok(false) if waited > limit => bail!("after {limit:?}, still not so: {what}"),
            Err(error) if waited > limit => bail!("after {limit:?}, still not so: {what} ({error:#})"),
            Ok(false) | Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// A number of seconds.
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
