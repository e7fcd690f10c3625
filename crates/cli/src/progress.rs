//! A progress bar on standard error: only for somebody who watches.

use std::io::IsTerminal as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mlflow_artifacts::Progress;

const INTERVAL: Duration = Duration::from_millis(100);

/// A bar that shows what `progress` answers until it is dropped, which removes it.
pub(crate) struct Bar(Option<(Sender<()>, JoinHandle<()>)>);

impl Bar {
    /// Shows a bar, unless `quiet` or standard error is no terminal. `progress` is asked from another thread.
    pub(crate) fn show(quiet: bool, progress: impl Fn() -> Progress + Send + 'static) -> Self {
        if quiet || !std::io::stderr().is_terminal() {
            return Bar(None);
        }
        let (stop, stopped) = channel();
        Bar(Some((stop, std::thread::spawn(move || draw(&progress, &stopped)))))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some((stop, drawing)) = self.0.take() {
            drop(stop);
            let _ = drawing.join();
        }
    }
}

fn draw(progress: &dyn Fn() -> Progress, stopped: &Receiver<()>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(style("{spinner} {bytes} {binary_bytes_per_sec} {msg}"));
    let mut has_total = false;
    while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let now = progress();
        if now.bytes_found > 0 && !has_total {
            has_total = true;
            bar.set_style(style("{wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} {msg}"));
        }
        if has_total {
            bar.set_length(now.bytes_found);
        }
        bar.set_position(now.bytes_done);
        bar.set_message(files(now));
        bar.tick();
    }
    bar.finish_and_clear();
}

fn files(progress: Progress) -> String {
    let Progress { files_found, files_done, files_failed, .. } = progress;
    match (files_found, files_failed) {
        (0 | 1, 0) => String::new(),
        (_, 0) => format!("{files_done}/{files_found} files"),
        _ => format!("{files_done}/{files_found} files, {files_failed} failed"),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
