//! Waits between tries of what lost a race, so that those who race do not meet again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(250);
/// Some 5 s in all: far more than the races of one job or one account need.
const TRIES: u32 = 48;

/// The same thing was lost to others too often.
#[derive(Debug, thiserror::Error)]
#[error("lost {TRIES} races in a row")]
pub(crate) struct Exhausted;

/// A bounded row of waits, each random ("full jitter") below a bound that doubles.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Waits before the next try, if there is to be one.
    pub(crate) async fn wait(&mut self) -> Result<(), Exhausted> {
        self.tries += 1;
        if self.tries >= TRIES {
            return Err(Exhausted);
        }
        let bound = FIRST.saturating_mul(1 << self.tries.min(16)).min(LONGEST);
        tokio::time::sleep(jitter(bound)).await;
        Ok(())
    }
}

/// A random part of `bound`.
pub(crate) fn jitter(bound: Duration) -> Duration {
    Duration::from_micros(below(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX).saturating_add(1)))
}

/// A random number below `bound`; even enough for jitter and for choosing among slots.
pub(crate) fn below(bound: u64) -> u64 {
    // Without randomness all choose the same, which is slow but not wrong.
    getrandom::u64().unwrap_or_default() % bound.max(1)
}

/// A name that nobody else has for one write, by which it is recognised when its answer was lost.
pub(crate) fn write_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_stay_below_their_bound() {
        assert!((0..1000).all(|_| below(3) < 3));
        assert_eq!(below(0), 0);
        assert!((0..1000).all(|_| jitter(LONGEST) <= LONGEST));
    }

    #[test]
    fn write_ids_differ() {
        assert_ne!(write_id().unwrap(), write_id().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn tries_come_to_an_end() {
        let mut backoff = Backoff::default();
        let mut waits = 0;
        while backoff.wait().await.is_ok() {
            waits += 1;
        }
        assert_eq!(waits, TRIES - 1);
    }
}
