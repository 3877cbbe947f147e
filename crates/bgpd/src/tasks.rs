//! What every task does alike: waiting for a deadline that may not exist, and replying to whoever asked.

use std::pin::Pin;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::Sleep;

/// Rings at a deadline that moves.
///
/// A hold timer moves with every message. Taking it out of the runtime's timers and putting it in again would cost more
/// than the message, so it stays where it is as long as it does not ring too late, and is moved when it rings too early.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Waits until `deadline`; for ever where there is none.
    pub async fn ring(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline.map(tokio::time::Instant::from) else {
            return std::future::pending().await;
        };
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            sleep.as_mut().await;
            if sleep.deadline() >= deadline {
                return;
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

/// Waits until `deadline`; for ever where there is none.
pub async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Replies; whoever asked may have given up.
pub fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    drop(reply.send(value));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// How long it takes to ring, up to a minute.
    async fn rings(alarm: &mut Alarm, deadline: Option<Instant>) -> Option<Duration> {
        let begin = tokio::time::Instant::now();
        let rung = timeout(Duration::from_secs(60), alarm.ring(deadline)).await;
        rung.ok().map(|()| begin.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_it_should_and_not_when_it_was_to() {
        let (mut alarm, second) = (Alarm::default(), Duration::from_secs(1));
        let now = tokio::time::Instant::now().into_std();
        assert_eq!(rings(&mut alarm, None).await, None);
        let mut now = now + 60 * second;
        assert!(timeout(second, alarm.ring(Some(now + 10 * second))).await.is_err(), "not yet");
        now += second;
        assert!(timeout(second, alarm.ring(Some(now + 20 * second))).await.is_err(), "put off");
        now += second;
        assert_eq!(rings(&mut alarm, Some(now + 15 * second)).await, Some(15 * second), "put off again");
        now += 15 * second;
        assert_eq!(rings(&mut alarm, Some(now - second)).await, Some(Duration::ZERO), "it is past");
        assert_eq!(rings(&mut alarm, Some(now + 9 * second)).await, Some(9 * second));
        now += 9 * second;
        assert!(timeout(second, alarm.ring(Some(now + 30 * second))).await.is_err());
        now += second;
        assert_eq!(rings(&mut alarm, Some(now + 2 * second)).await, Some(2 * second), "brought forward");
        assert_eq!(rings(&mut alarm, None).await, None, "called off");
    }
}
