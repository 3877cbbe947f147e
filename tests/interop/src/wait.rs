//! Waiting for a condition with a deadline.
//!
//! Labs never sleep for a guessed time: they ask again every few milliseconds and say what did not happen when
//! the deadline is over.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A bound that is only there to end a test that fails: nothing takes so long, on a machine with too much to do either.
pub const PATIENCE: Duration = seconds(30);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_tells_what_did_not_happen_and_why() {
        let limit = Duration::from_millis(30);
        let never = until("pigs fly", limit, || Ok(false)).map_err(|error| error.to_string());
        assert!(never.is_err_and(|text| text.contains("pigs fly")));
        let error = until("the question is answered", limit, || bail!("no such file"));
        assert!(error.is_err_and(|error| error.to_string().contains("no such file")));
    }

    #[test]
    fn an_error_on_the_way_is_not_the_end() {
        let mut asked = 0;
        let third = until("the third question", PATIENCE, || {
            asked += 1;
            if asked < 3 { bail!("not yet") } else { Ok(true) }
        });
        assert!(third.is_ok());
    }
}
