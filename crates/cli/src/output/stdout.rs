//! Standard output: data, and nothing else.

use std::io::{self, Write};
use std::os::fd::AsFd;

use annals_core::{Code, Report};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

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

/// Writes text for a reader who may not read: it waits for room, as long as it is `wanted`.
///
/// # Errors
/// Those of the system, a closed pipe among them; `Interrupted`, with a part written, once it is not wanted any more.
pub fn print_while(text: &[u8], wanted: impl Fn() -> bool) -> io::Result<()> {
    const TURN: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    /// A pipe that says it has room has room for so much.
    const PIECE: usize = 512;
    let stdout = io::stdout();
    let fd = stdout.as_fd();
    let mut rest = text;
    while !rest.is_empty() {
        if !wanted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], Some(&TURN)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        match rustix::io::write(fd, rest.get(..PIECE).unwrap_or(rest)) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
