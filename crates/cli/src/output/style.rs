//! Colour, as decoration only: nothing is said by colour alone.

use annals_core::config::ColorChoice;
use annals_net_adapter::Environment;

/// What a piece of text is, for a reader's eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Strong,
    Faint,
    Good,
    Bad,
    Attention,
    Link,
    Found,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Strong => "1",
            Self::Faint => "2",
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Attention => "33",
            Self::Link => "36",
            Self::Found => "1;33",
        }
    }
}

/// Whether a stream gets colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    Plain,
    Coloured,
}

impl Palette {
    /// An explicit choice decides; else `NO_COLOR`, then `CLICOLOR_FORCE`, then whether it is a terminal.
    pub fn choose(choice: ColorChoice, env: &Environment, terminal: bool) -> Self {
        let set = |name: &str| env.get(name).is_some_and(|value| !value.is_empty());
        let coloured = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if set("NO_COLOR") => false,
            ColorChoice::Auto if set("CLICOLOR_FORCE") && env.get("CLICOLOR_FORCE") != Some("0") => true,
            ColorChoice::Auto => terminal && env.get("TERM") != Some("dumb"),
        };
        if coloured { Self::Coloured } else { Self::Plain }
    }

    /// The text in this style, if there are colours.
    pub fn paint(self, style: Style, text: &str) -> String {
        match self {
            Self::Coloured if !text.is_empty() => format!("\x1b[{}m{text}\x1b[0m", style.code()),
            Self::Coloured | Self::Plain => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_force_color() {
        use ColorChoice::{Always, Auto, Never};
        let palette = |choice, variables: &[(&str, &str)], terminal| {
            let pairs = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Palette::choose(choice, &Environment::new(pairs), terminal)
        };
        for (choice, variables, terminal, expected) in [
            (Auto, &[][..], true, Palette::Coloured),
            (Auto, &[], false, Palette::Plain),
            (Auto, &[("NO_COLOR", "1")], true, Palette::Plain),
            (Auto, &[("NO_COLOR", "")], true, Palette::Coloured),
            (Auto, &[("CLICOLOR_FORCE", "1")], false, Palette::Coloured),
            (Auto, &[("CLICOLOR_FORCE", "0")], false, Palette::Plain),
            (
                Auto,
                &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")],
                true,
                Palette::Plain,
            ),
            (Auto, &[("TERM", "dumb")], true, Palette::Plain),
            (Always, &[("NO_COLOR", "1")], false, Palette::Coloured),
            (Never, &[("CLICOLOR_FORCE", "1")], true, Palette::Plain),
        ] {
            assert_eq!(
                palette(choice, variables, terminal),
                expected,
                "{choice} {variables:?} {terminal}"
            );
        }
        assert_eq!(Palette::Plain.paint(Style::Bad, "x"), "x");
        assert_eq!(Palette::Coloured.paint(Style::Bad, "x"), "\x1b[1;31mx\x1b[0m");
    }
}
