//! Standard error: lines, and at most one status line below them that is drawn over.
//!
//! Everything that goes to standard error goes through here, log lines too, so that a status line never ends up in the
//! middle of one. A stream that nobody reads any more is no reason to stop.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Standard error; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Console(Arc<Mutex<Status>>);

#[derive(Debug, Default)]
enum Status {
    #[default]
    Hidden,
    Shown,
}

impl Console {
    /// Writes whole lines.
    pub fn say(&self, text: &str) {
        let mut status = self.lock();
        write(&mut status, text.as_bytes());
        if !text.ends_with('\n') {
            write(&mut status, b"\n");
        }
    }

    /// Shows a status line, in place of the one before.
    pub fn status(&self, text: &str) {
        let mut status = self.lock();
        write(&mut status, text.as_bytes());
        *status = Status::Shown;
    }

    /// Takes the status line away.
    pub fn clear(&self) {
        write(&mut self.lock(), b"");
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces what the status line shows by `bytes`.
fn write(status: &mut Status, bytes: &[u8]) {
    let mut stream = io::stderr().lock();
    let erased = match status {
        Status::Shown => stream.write_all(b"\r\x1b[2K"),
        Status::Hidden => Ok(()),
    };
    *status = Status::Hidden;
    let written = erased
        .and_then(|()| stream.write_all(bytes))
        .and_then(|()| stream.flush());
    // Nowhere is left to say that standard error is gone.
    drop(written);
}

/// A log line on its way.
#[derive(Debug)]
pub struct LogLine(Console);

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&mut self.0.lock(), bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Console {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine(self.clone())
    }
}
