//! Standard input, read by a thread that hears when it is to end, and a token read from it.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use annals_core::{Code, Outcome, Report, Secret};
use annals_net_adapter::{BlockingCx, Cx};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::Error;
use crate::output::{Console, Mode};
use crate::session::Session;

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing any more.
    End,
    /// Nobody waits for it any more.
    Cancelled,
}

/// Who waits for input: a thread that reads for it gives up when this is dropped, because a read that has begun is not
/// cancelled with the future that waits for it.
#[derive(Debug, Default)]
pub struct Waiter(Arc<AtomicBool>);

impl Waiter {
    /// Nobody waits any more.
    pub fn give_up(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn has_given_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// What the thread looks at.
    pub fn patience(&self) -> Patience {
        Patience(self.0.clone())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Whether somebody still waits.
#[derive(Debug, Default)]
pub struct Patience(Arc<AtomicBool>);

/// Waits for input, as long as somebody else waits for it.
///
/// # Errors
/// Those of the system.
pub fn read(cx: &BlockingCx, patience: &Patience, buffer: &mut [u8]) -> io::Result<Read> {
    const TURN: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    let stdin = io::stdin();
    let fd = stdin.as_fd();
    loop {
        if cx.is_cancelled() || patience.0.load(Ordering::Relaxed) {
            return Ok(Read::Cancelled);
        }
        let ready = poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&TURN));
        match ready {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => match rustix::io::read(fd, &mut *buffer) {
                Ok(0) => return Ok(Read::End),
                Ok(count) => return Ok(Read::Bytes(count)),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
}

/// No token is longer.
const MOST_BYTES: usize = 4096;

/// Reads a token: from a person who types it unseen, else from what is piped in.
///
/// # Errors
/// `usage` if a person would have to be asked and may not be, or nothing comes; `io`.
///
/// # Cancel safety
/// What was typed is lost, and the terminal shows again what is typed.
pub async fn token(cx: &Cx, session: &Session, of: &str) -> Result<Secret, Error> {
    let person = session.terminals.stdin;
    if person && session.out.mode == Mode::Robot {
        let report = Report::new(
            Code::Usage,
            "the token is read from standard input, and that is a terminal",
        );
        return Err(report.with_suggestion("pipe it in: annals auth login < FILE").into());
    }
    let unseen = if person {
        Some(Unseen::begin(&session.out.console, of)?)
    } else {
        None
    };
    let waiter = Waiter::default();
    let patience = waiter.patience();
    let typed = cx.blocking("token", move |cx| line(cx, &patience)).await;
    drop((waiter, unseen));
    let text = match typed {
        Outcome::Ok(text) => text,
        Outcome::Err(error) => {
            return Err(Report::new(Code::Io, format!("cannot read standard input: {error}")).into());
        }
        Outcome::Cancelled(reason) => return Err(annals_core::Cancelled(reason).into()),
        Outcome::Panicked(message) => return Err(annals_core::Coded::report(&message).into()),
    };
    let token = text.trim();
    if token.is_empty() {
        return Err(Report::new(Code::Usage, "no token came").into());
    }
    Ok(Secret::new(token))
}

/// The first line.
fn line(cx: &BlockingCx, patience: &Patience) -> io::Result<String> {
    let (mut line, mut buffer) = (Vec::new(), [0; 512]);
    while line.len() < MOST_BYTES && !line.contains(&b'\n') {
        match read(cx, patience, &mut buffer)? {
            Read::Bytes(count) => line.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Read::End | Read::Cancelled => break,
        }
    }
    let first = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    String::from_utf8(first.to_vec()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// As long as it lives, the terminal does not show what is typed.
struct Unseen {
    before: Termios,
    console: Console,
}

impl Unseen {
    fn begin(console: &Console, of: &str) -> Result<Self, Report> {
        let failed = |error: rustix::io::Errno| {
            Report::new(Code::Io, format!("cannot hide what is typed: {error}"))
                .with_suggestion("pipe it in: annals auth login < FILE")
        };
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd()).map_err(failed)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin.as_fd(), OptionalActions::Flush, &silent).map_err(failed)?;
        console.status(&format!("Token for {of} (not shown): "));
        Ok(Self {
            before,
            console: console.clone(),
        })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // The terminal may be gone; then nobody sees anything either.
        let _shown_again = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &self.before);
        self.console.clear();
    }
}
