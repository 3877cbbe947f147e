//! A panic ends the process at once, on whatever thread and in whatever task it happens.
//!
//! Left alone, the runtime would catch it and go on without the task: a session that nobody serves, kernel routes that
//! nobody writes. A process that is gone is started again by whoever looks after it, and graceful restart (RFC 4724) is
//! made for that. So nothing is unwound: no peer is sent a NOTIFICATION, no route leaves the kernel, and the last line of
//! the log says what happened.

use std::panic::PanicHookInfo;

use crate::log;

/// From now on a panic is written to the log and aborts the process, which ends by SIGABRT. To be called first.
pub fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        log::last_words(&last_words(panic));
        std::process::abort();
    }));
}

fn last_words(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    format!(
        "thread '{}' panicked at {place}: {}; the daemon ends at once: peers are told nothing, kernel routes stay as they are",
        thread.name().unwrap_or("-"),
        panic.payload_as_str().unwrap_or("no message"),
    )
}
