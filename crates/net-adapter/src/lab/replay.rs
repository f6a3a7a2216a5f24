//! The line that replays a failed run, and how it is read again.

use super::{CancelPoint, Injection, LabConfig};
use crate::backend::BackendKind;

/// The variable that makes every check run the one run it names.
const VARIABLE: &str = "ANNALS_LAB";

/// The command for this run of the test that is running.
pub(super) fn line(config: &LabConfig) -> String {
    let package = std::env::var("CARGO_PKG_NAME").map_or_else(|_| String::new(), |name| format!("-p {name} "));
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("<test>");
    format!("{VARIABLE}=\"{}\" cargo test {package}-- {test} --exact", words(config))
}

fn words(config: &LabConfig) -> String {
    let cancel = match config.cancel_at {
        Some(p) => format!(" cancel={}:{}:{}", p.task, p.poll, injection(p.injection)),
        None => String::new(),
    };
    format!("backend={} seed={}{cancel}", config.backend, config.seed)
}

fn injection(injection: Injection) -> &'static str {
    match injection {
        Injection::Request => "request",
        Injection::Drop => "drop",
    }
}

/// The run that the environment asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replay {
    pub(crate) backend: BackendKind,
    pub(crate) seed: u64,
    pub(crate) cancel_at: Option<CancelPoint>,
}

impl Replay {
    /// # Panics
    /// When the variable is set and not understood: a replay of something else would mislead.
    #[expect(clippy::panic, reason = "only tests replay")]
    pub(crate) fn asked() -> Option<Self> {
        let words = std::env::var(VARIABLE).ok()?;
        match Self::parse(&words) {
            Some(replay) => Some(replay),
            None => panic!("{VARIABLE}={words:?} is not \"backend=… seed=… [cancel=task:poll:request|drop]\""),
        }
    }

    fn parse(words: &str) -> Option<Self> {
        let (mut backend, mut seed, mut cancel_at) = (None, None, None);
        for word in words.split_whitespace() {
            match word.split_once('=')? {
                ("backend", name) => backend = Some(name.parse().ok()?),
                ("seed", number) => seed = Some(number.parse().ok()?),
                ("cancel", point) => cancel_at = Some(Self::point(point)?),
                _ => return None,
            }
        }
        Some(Self {
            backend: backend?,
            seed: seed?,
            cancel_at,
        })
    }

    fn point(text: &str) -> Option<CancelPoint> {
        let mut parts = text.split(':');
        let (task, poll) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let injection = match (parts.next()?, parts.next()) {
            ("request", None) => Injection::Request,
            ("drop", None) => Injection::Drop,
            _ => return None,
        };
        Some(CancelPoint { task, poll, injection })
    }
}

#[cfg(test)]
mod tests {
    use super::{CancelPoint, Injection, LabConfig, Replay, words};
    use crate::backend::BackendKind;

    #[test]
    fn what_is_written_is_read() {
        for injection in [Injection::Request, Injection::Drop] {
            let backend = BackendKind::compiled()[0];
            let point = CancelPoint {
                task: 3,
                poll: 14,
                injection,
            };
            for cancel_at in [None, Some(point)] {
                let config = LabConfig {
                    cancel_at,
                    ..LabConfig::new(7).on(backend)
                };
                assert_eq!(
                    Replay::parse(&words(&config)),
                    Some(Replay {
                        backend,
                        seed: 7,
                        cancel_at
                    })
                );
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "seed=1",
            "backend=tokio seed=x",
            "backend=tokio seed=1 cancel=1:2",
            "backend=tokio seed=1 x=y",
        ] {
            assert_eq!(Replay::parse(text), None, "{text}");
        }
    }
}
