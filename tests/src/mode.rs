//! On which runtime the started programs run.

/// The variable that `cargo xtask test --lane both` sets, once for each mode.
pub const RUNTIME_MODE: &str = "ANNALS_RUNTIME_MODE";

/// How a program with both runtimes chooses between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeMode {
    /// Everything on tokio.
    Tokio,
    /// Everything on asupersync.
    Asupersync,
    /// The listeners on asupersync, the rest on tokio.
    MixedServer,
    /// Sync runs on asupersync, the rest on tokio.
    MixedIngest,
}

impl RuntimeMode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Tokio, Self::Asupersync, Self::MixedServer, Self::MixedIngest];

    /// What the environment asks for; nothing when the programs shall choose as they were built.
    ///
    /// # Panics
    /// When the variable holds something else, because such a run would prove nothing.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        let name = std::env::var(RUNTIME_MODE).ok()?;
        let known = Self::ALL.into_iter().find(|mode| mode.as_str() == name);
        Some(known.unwrap_or_else(|| {
            panic!("{RUNTIME_MODE}={name}: there are tokio, asupersync, mixed-server and mixed-ingest")
        }))
    }

    /// The name used in [`RUNTIME_MODE`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Asupersync => "asupersync",
            Self::MixedServer => "mixed-server",
            Self::MixedIngest => "mixed-ingest",
        }
    }

    /// The configuration of the programs, as environment variables.
    #[must_use]
    pub const fn variables(self) -> &'static [(&'static str, &'static str)] {
        const DEFAULT: &str = "ANNALS_RUNTIME__DEFAULT";
        match self {
            Self::Tokio => &[(DEFAULT, "tokio")],
            Self::Asupersync => &[(DEFAULT, "asupersync")],
            Self::MixedServer => &[(DEFAULT, "tokio"), ("ANNALS_RUNTIME__SLICES__SERVER", "asupersync")],
            Self::MixedIngest => &[(DEFAULT, "tokio"), ("ANNALS_RUNTIME__SLICES__INGEST", "asupersync")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RuntimeMode;

    #[test]
    fn every_mode_moves_what_its_name_says() {
        for mode in RuntimeMode::ALL {
            let moved: Vec<_> = mode
                .variables()
                .iter()
                .filter(|(_, value)| *value == "asupersync")
                .collect();
            let expected = match mode {
                RuntimeMode::Tokio => None,
                RuntimeMode::Asupersync => Some("ANNALS_RUNTIME__DEFAULT"),
                RuntimeMode::MixedServer => Some("ANNALS_RUNTIME__SLICES__SERVER"),
                RuntimeMode::MixedIngest => Some("ANNALS_RUNTIME__SLICES__INGEST"),
            };
            assert_eq!(
                moved.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
                Vec::from_iter(expected)
            );
        }
    }
}
