//! Doing again what failed for a cause that passes.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use mlflow_artifacts_core::{Error, Result, Retry};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// How often an operation that failed as [`Retry::Transient`] is done again, each time after a longer delay.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often: 0 is never.
    pub retries: usize,
}

impl Patience {
    /// Does `operation` until it succeeds, fails for good, or has failed too often.
    pub(crate) async fn repeat<T, F: Future<Output = Result<T>>>(
        self,
        mut operation: impl FnMut() -> F,
    ) -> Result<T> {
        let mut attempts = self.attempts();
        loop {
            match operation().await {
                Ok(done) => return Ok(done),
                Err(error) => attempts.wait(error).await?,
            }
        }
    }

    pub(crate) fn attempts(self) -> Attempts {
        Attempts { patience: self, delays: self.delays(), made: 1 }
    }

    fn delays(self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(LONGEST_DELAY)
            .with_max_times(self.retries)
            .with_jitter()
            .build()
    }
}

/// The attempts at one operation.
pub(crate) struct Attempts {
    patience: Patience,
    delays: ExponentialBackoff,
    made: u32,
}

impl Attempts {
    /// Waits before the next attempt after one that ended with `error`; fails with it if there is to be none.
    pub(crate) async fn wait(&mut self, error: Error) -> Result<()> {
        if error.retry() != Retry::Transient {
            return Err(if self.made > 1 { error.with_attempts(self.made) } else { error });
        }
        match self.delays.next() {
            Some(delay) => {
                tokio::time::sleep(delay.max(error.retry_after().unwrap_or_default())).await;
                self.made += 1;
                Ok(())
            }
            None => Err(error.with_retry(Retry::Exhausted).with_attempts(self.made)),
        }
    }

    /// Begins to count anew: something was achieved.
    pub(crate) fn renew(&mut self) {
        self.delays = self.patience.delays();
    }
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::ErrorKind;

    use super::*;

    fn lost() -> Error {
        Error::new(ErrorKind::Connection, "lost").with_retry(Retry::Transient)
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_done_again_as_often_as_asked_for() {
        let mut made = 0;
        let patience = Patience { retries: 2 };
        let done = patience.repeat(|| {
            made += 1;
            std::future::ready(if made < 3 { Err(lost()) } else { Ok(made) })
        });
        assert_eq!(done.await.unwrap(), 3);
        let failed = patience.repeat(|| std::future::ready(Err::<(), _>(lost()))).await.unwrap_err();
        assert_eq!((failed.retry(), failed.attempts()), (Retry::Exhausted, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_is_told_at_once() {
        let mut made = 0;
        let failed = Patience { retries: 5 }.repeat(|| {
            made += 1;
            std::future::ready(Err::<(), _>(Error::new(ErrorKind::NotFound, "not there")))
        });
        assert_eq!(failed.await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(made, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_begins_the_count_anew() {
        let mut attempts = Patience { retries: 1 }.attempts();
        for _ in 0..5 {
            attempts.wait(lost()).await.unwrap();
            attempts.renew();
        }
        attempts.wait(lost()).await.unwrap();
        assert!(attempts.wait(lost()).await.is_err());
    }
}
