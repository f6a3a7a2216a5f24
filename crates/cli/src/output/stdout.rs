//! Standard output: data, and nothing else.

use std::io::{self, Write};

use annals_core::{Code, Report};

use crate::error::Error;

/// Writes text and pushes it out.
///
/// # Errors
/// [`Error::ClosedPipe`] when nobody reads any more, which ends a command quietly; `io` for anything else.
pub fn print(text: &str) -> Result<(), Error> {
    let mut stream = io::stdout().lock();
    let written = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Error::ClosedPipe,
        _ => Error::from(Report::new(
            Code::Io,
            format!("cannot write to standard output: {error}"),
        )),
    })
}
