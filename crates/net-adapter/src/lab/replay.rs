//! The line that replays a failed run, and how it is read again.

use super::{CancelPoint, Injection, LabConfig, LabFailure};
use crate::backend::BackendKind;

/// The variable that makes every check run the one run it names.
const VARIABLE: &str = "ANNALS_LAB";

/// The command for this run of the test that is running.
pub(super) fn line(config: &LabConfig) -> String {
    let package = std::env::var("CARGO_PKG_NAME").map_or_else(|_| String::new(), |name| format!("-p {name} "));
    // The default build has tokio; whoever follows the line may not have more.
    let feature = match config.backend {
        BackendKind::Tokio => "",
        BackendKind::Asupersync => "--features asupersync ",
    };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("<test>");
    format!(
        "{VARIABLE}=\"{}\" cargo test {package}{feature}-- {test} --exact",
        words(config)
    )
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
    /// # Errors
    /// [`LabFailure`] when the variable is not understood, or names a lab that is not there: to run something else, or
    /// nothing, would mislead.
    pub(crate) fn asked() -> Result<Option<Self>, LabFailure> {
        match std::env::var(VARIABLE) {
            Ok(words) => Self::read(&words, BackendKind::compiled()).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn read(words: &str, compiled: &[BackendKind]) -> Result<Self, LabFailure> {
        let Some(replay) = Self::parse(words) else {
            let words = words.to_owned();
            return Err(LabFailure::BadReplay { words });
        };
        if !compiled.contains(&replay.backend) {
            let asked = replay.backend;
            return Err(LabFailure::NotCompiled { asked });
        }
        Ok(replay)
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
    use super::{CancelPoint, Injection, LabConfig, LabFailure, Replay, words};
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
            let refused = Replay::read(text, BackendKind::compiled());
            assert!(matches!(refused, Err(LabFailure::BadReplay { words }) if words == text));
        }
    }

    #[test]
    fn a_run_of_a_lab_that_is_not_there_is_refused() {
        let [here, gone] = [BackendKind::Tokio, BackendKind::Asupersync];
        for (here, gone) in [(here, gone), (gone, here)] {
            assert!(Replay::read(&format!("backend={here} seed=1"), &[here]).is_ok());
            let refused = Replay::read(&format!("backend={gone} seed=1"), &[here]).unwrap_err();
            assert!(matches!(refused, LabFailure::NotCompiled { asked } if asked == gone));
            assert!(refused.to_string().contains(&format!("--features {gone}")), "{refused}");
        }
    }
}
