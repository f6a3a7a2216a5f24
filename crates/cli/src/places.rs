//! Where files are when nobody says.

use std::path::PathBuf;

use annals_net_adapter::Environment;

/// The file of the current folder that is read without being named.
pub const LOCAL_CONFIG: &str = "annals.toml";

/// `annals/annals.toml` in the user's configuration directory.
pub fn user_config(env: &Environment) -> Option<PathBuf> {
    Some(
        user_folder(env, "XDG_CONFIG_HOME", CONFIG)?
            .join("annals")
            .join("annals.toml"),
    )
}

/// `annals/credentials.toml` beside it.
pub fn credentials(env: &Environment) -> Option<PathBuf> {
    Some(user_config(env)?.with_file_name("credentials.toml"))
}

/// `annals/annals.db` in the user's data directory.
pub fn user_db(env: &Environment) -> Option<PathBuf> {
    Some(
        user_folder(env, "XDG_DATA_HOME", DATA)?
            .join("annals")
            .join("annals.db"),
    )
}

const CONFIG: &str = if cfg!(target_os = "macos") {
    "Library/Application Support"
} else {
    ".config"
};
const DATA: &str = if cfg!(target_os = "macos") {
    "Library/Application Support"
} else {
    ".local/share"
};

/// The variable, if it holds an absolute path; else the folder under the user's home.
fn user_folder(env: &Environment, variable: &str, under_home: &str) -> Option<PathBuf> {
    let absolute = |name| env.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(under_home)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_the_desktop_decide() {
        let env = |pairs: &[(&str, &str)]| {
            Environment::new(
                pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            )
        };
        let home = env(&[
            ("HOME", "/home/u"),
            ("XDG_DATA_HOME", "/data"),
            ("XDG_CONFIG_HOME", "relative"),
        ]);
        assert_eq!(user_db(&home), Some(PathBuf::from("/data/annals/annals.db")));
        assert_eq!(
            user_config(&home),
            Some(PathBuf::from("/home/u").join(CONFIG).join("annals/annals.toml"))
        );
        assert_eq!(user_db(&env(&[])), None);
    }
}
