//! The reference of all keys, as Markdown.

use super::keys::{DefaultValue, KEYS};

const HEAD: &str = "\
# Configuration reference

<!-- Made from the table in crates/core/src/config/keys.rs; edit that. -->

Annals reads one TOML file: the one named with `--config`, else `./annals.toml`, else `annals/annals.toml` in the user
configuration directory. No file is needed. Each layer overrides the one before it:

1. the defaults below,
2. the file,
3. environment variables `ANNALS_SECTION__KEY`: two underscores where the name has a dot, lists separated by commas,
   empty values ignored,
4. the command line.

Any folder may have an `annals.toml`, and who wrote the folder wrote that file. So `./annals.toml`, unless it is named with
`--config`, says how things are done and not where secrets and texts go: of a forge or an embedder on another machine,
`token_env`, `ca_file` and `[embed]` are left out, and so is `server.allowed_hosts`. Each is told in a warning. Such a forge
gets the token that `annals auth login ADDRESS` keeps for its address, or the one in `ANNALS_TOKEN_<HOST>`, whatever its
name; a host with a `-` gets only the former, because `ANNALS_TOKEN_MY_CORP_COM` is as well the variable of `my.corp.com`.

A key that does not exist is an error, and so is a value that breaks its rule; all of them are reported at once, and the
command ends with exit code 3 (`config_invalid`). `${…}` is not interpolated. Durations are integers whose key ends in the
unit. Tokens are never written into this file: they come from environment variables.
";

/// The text of `docs/configuration.md`.
#[must_use]
pub fn reference_markdown() -> String {
    let mut page = String::from(HEAD);
    let mut section = "";
    for key in KEYS {
        if key.section() != section {
            section = key.section();
            page.push_str(&format!(
                "\n## `[{}]`\n\n| key | default | must be | meaning | variable |\n|---|---|---|---|---|\n",
                section.replace('*', "<name>")
            ));
        }
        let default = match key.default {
            DefaultValue::Is(value) => format!("`{value}`"),
            DefaultValue::Unset(meaning) => meaning.to_owned(),
            DefaultValue::Required => "none; must be set".to_owned(),
        };
        page.push_str(&format!(
            "| `{}` | {default} | {} | {} | `{}` |\n",
            key.leaf(),
            key.must_be(),
            key.doc,
            key.variable()
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_row_of_five_cells() {
        let page = reference_markdown();
        for key in KEYS {
            let variable = format!("| `{}` |", key.variable());
            let rows: Vec<_> = page.lines().filter(|line| line.ends_with(&variable)).collect();
            assert_eq!(rows.len(), 1, "{}", key.name);
            assert_eq!(rows.concat().matches('|').count(), 6, "{}", key.name);
        }
        assert_eq!(page.matches("\n## `[").count(), 10);
        assert!(page.contains("## `[forges.<name>]`"));
    }
}
