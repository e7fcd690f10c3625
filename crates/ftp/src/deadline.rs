//! Nothing is waited for without an end.

use std::io;
use std::time::Duration;

/// What `work` answers, or that it took longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("nothing for {} s", limit.as_secs_f32())))
        }
    }
}
