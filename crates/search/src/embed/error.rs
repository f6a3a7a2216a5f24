//! What can go wrong between a text and its vector. None of these holds a text or a secret.

use std::time::Duration;

use annals_core::{CancelReason, Code, Coded, Report, TaskError};
use annals_net_adapter::Stop;

/// A failure of an embedder.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EmbedError {
    /// It does not answer, or not as an embedder does.
    #[error("the embedder at {at} is away: {why}")]
    Unavailable {
        /// Host and port.
        at: String,
        /// What happened.
        why: String,
    },
    /// It does not answer in time; with less to do at once it may.
    #[error("the embedder at {at} did not answer within {} s", .waited.as_secs())]
    TimedOut {
        /// Host and port.
        at: String,
        /// How long was waited.
        waited: Duration,
    },
    /// It breaks at what was sent: whether at the text or always, another text can tell.
    #[error("the embedder at {at} answers with an internal error")]
    Broken {
        /// Host and port.
        at: String,
    },
    /// It asks for more patience than we have.
    #[error("the embedder at {at} asks to wait {} s", .retry_after.as_secs())]
    RateLimited {
        /// Host and port.
        at: String,
        /// How long.
        retry_after: Duration,
    },
    /// The key is not accepted.
    #[error("the embedder at {at} rejected the key in {variable}")]
    AuthRejected {
        /// Host and port.
        at: String,
        /// Where the key came from.
        variable: String,
    },
    /// It wants a key and there is none.
    #[error("the embedder at {at} wants a key and none is set")]
    TokenMissing {
        /// Host and port.
        at: String,
        /// Where one is looked for.
        variable: String,
    },
    /// It has no such model.
    #[error("the embedder at {at} has no model {model}")]
    ModelMissing {
        /// Host and port.
        at: String,
        /// What was asked for.
        model: String,
        /// What makes it have it, where that is a command.
        fetch: Option<String>,
    },
    /// The model does not take a text as long as this.
    #[error("the text is too long for the model")]
    TooLong,
    /// It will not embed what was sent.
    #[error("the embedder refused the text with status {status}")]
    Refused {
        /// The status of its answer.
        status: u16,
    },
    /// Its answer is not one vector for each text.
    #[error("the answer of the embedder cannot be used: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// What is configured cannot work.
    #[error("{key}: {why}")]
    Unusable {
        /// The key of the configuration, or the variable.
        key: String,
        /// Why.
        why: String,
    },
    /// No embedder is configured.
    #[error("there are no vectors, because embed.provider is `none`")]
    Off,
    /// The process is stopping.
    #[error(transparent)]
    Stopped(#[from] Stop),
}

impl EmbedError {
    /// Whether it is about what was sent: other texts, or fewer at once, may go well.
    #[must_use]
    pub const fn is_about_texts(&self) -> bool {
        match self {
            Self::TooLong | Self::Refused { .. } | Self::Malformed { .. } => true,
            Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::RateLimited { .. }
            | Self::AuthRejected { .. }
            | Self::TokenMissing { .. }
            | Self::ModelMissing { .. }
            | Self::Unusable { .. }
            | Self::Off
            | Self::Stopped(_) => false,
        }
    }

    /// Whether it may be about what was sent, although it need not: one text can be too slow for the time there is, and make
    /// a model fail at which every other goes well.
    #[must_use]
    pub const fn may_be_about_texts(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Broken { .. })
    }

    /// The request to stop that it is, if it is one.
    #[must_use]
    pub const fn stop(&self) -> Option<&Stop> {
        match self {
            Self::Stopped(stop) => Some(stop),
            Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::RateLimited { .. }
            | Self::AuthRejected { .. }
            | Self::TokenMissing { .. }
            | Self::ModelMissing { .. }
            | Self::TooLong
            | Self::Refused { .. }
            | Self::Malformed { .. }
            | Self::Unusable { .. }
            | Self::Off => None,
        }
    }
}

impl Coded for EmbedError {
    fn code(&self) -> Code {
        match self {
            Self::Unavailable { .. } | Self::TimedOut { .. } | Self::Broken { .. } => Code::EmbedderUnavailable,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::AuthRejected { .. } => Code::AuthRejected,
            Self::TokenMissing { .. } => Code::TokenMissing,
            Self::ModelMissing { .. } => Code::ModelMissing,
            Self::TooLong | Self::Refused { .. } | Self::Malformed { .. } => Code::EmbeddingFailed,
            Self::Unusable { .. } => Code::ConfigInvalid,
            Self::Off => Code::OptionOff,
            Self::Stopped(stop) => stop.reason().code(),
        }
    }

    fn report(&self) -> Report {
        let report = Report::new(self.code(), self.to_string());
        match self {
            Self::Unavailable { at, .. } => report
                .with_suggestion("start the embedder, or correct embed.base_url")
                .with_detail("host", at.as_str()),
            Self::TimedOut { at, .. } => report
                .with_suggestion("give it more time with embed.timeout_s, or less at once with embed.batch")
                .with_detail("host", at.as_str()),
            Self::Broken { at } => report
                .with_suggestion("look into the log of the embedder")
                .with_detail("host", at.as_str()),
            Self::RateLimited { at, retry_after } => Report {
                actions: vec!["annals embed".to_owned()],
                ..report
            }
            .with_retry_after_ms(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX))
            .with_detail("host", at.as_str()),
            // The actions of these codes keep the token of a forge, which is nothing to an embedder.
            Self::AuthRejected { at, variable } => Report {
                actions: Vec::new(),
                ..report
            }
            .with_suggestion(format!("set {variable} to a valid key"))
            .with_detail("host", at.as_str()),
            Self::TokenMissing { at, variable } => Report {
                actions: Vec::new(),
                ..report
            }
            .with_suggestion(format!("set {variable} to the key of the embedder"))
            .with_detail("host", at.as_str()),
            Self::ModelMissing { at, model, fetch } => {
                let fetch = fetch.as_deref().map_or_else(
                    || "change embed.model to a model that it has".to_owned(),
                    |command| format!("`{command}`, or change embed.model"),
                );
                report
                    .with_suggestion(fetch)
                    .with_detail("host", at.as_str())
                    .with_detail("model", model.as_str())
            }
            Self::Unusable { key, .. } => report.with_detail("key", key.as_str()),
            Self::Off => report
                .with_suggestion("set embed.provider")
                .with_detail("key", "embed.provider"),
            Self::TooLong | Self::Refused { .. } | Self::Malformed { .. } | Self::Stopped(_) => report,
        }
    }
}

impl TaskError for EmbedError {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        self.stop().map(Stop::reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_login_at_a_forge_is_offered_for_the_key_of_an_embedder() {
        let (at, variable) = ("embed.example".to_owned(), "KEY".to_owned());
        let missing = EmbedError::TokenMissing {
            at: at.clone(),
            variable: variable.clone(),
        };
        for error in [missing, EmbedError::AuthRejected { at, variable }] {
            let report = error.report();
            assert!(report.actions.is_empty(), "{report:?}");
            assert!(report.suggestion.is_some_and(|text| text.contains("KEY")));
        }
    }
}
