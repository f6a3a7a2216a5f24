//! `annals backup [PATH]`: a checked copy of the file, made while others use it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use annals_core::{Code, Report};
use annals_db::backup::{Backup, Target};
use annals_net_adapter::Cx;
use serde::Serialize;

use super::Run;
use crate::error::Error;
use crate::output::page::{counted, one_line};
use crate::output::{Meta, Page, Reply, Shape, Show};
use crate::session::Session;

/// Copy the mirror's file, also while it is used
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without PATH, or with a folder, the copy is named after the file and the time, and --keep counts \
                        copies with such names. To restore one, put it in place of the file while nothing uses that."
)]
pub struct Args {
    /// A new file, or a folder; else the folder of the mirror
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// Remove older copies that this command has named, so that this many are left
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    keep: Option<u16>,
}

#[derive(Debug, Serialize)]
pub struct Data {
    path: String,
    bytes: u64,
    sha256: String,
    schema: u32,
    /// What SQLite says of the copy; a copy it finds fault with is not kept.
    quick_check: &'static str,
    /// Older copies that were removed.
    removed: Vec<String>,
}

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "backup";
    const EXAMPLES: &'static [&'static str] = &[
        "annals backup",
        "annals backup /backups/annals.db",
        "annals backup --keep 7",
    ];
    const ALIASES: &'static [&'static str] = &["save", "snapshot"];

    fn shape(&self) -> Shape {
        Shape {
            fields: &["path", "bytes", "sha256", "schema", "quick_check", "removed"],
            list: None,
            minimal: &["path", "bytes", "sha256"],
        }
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let file = session.db_path()?;
        let keep = self.keep.and_then(|keep| NonZeroUsize::new(usize::from(keep)));
        let target = match (self.path, keep) {
            (Some(path), keep) if path.is_dir() => Target::Folder { folder: path, keep },
            (Some(path), None) => Target::File(path),
            (Some(path), Some(_)) => {
                let message = format!(
                    "--keep counts copies that have names of their own, and {} is one name",
                    path.display()
                );
                return Err(Report::new(Code::Usage, message)
                    .with_suggestion("name a folder, or leave PATH out")
                    .into());
            }
            (None, keep) => {
                let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
                Target::Folder {
                    folder: folder.map_or_else(|| PathBuf::from("."), PathBuf::from),
                    keep,
                }
            }
        };
        let made = annals_db::backup(cx, &file, target)
            .await
            .map_err(|error| match &error {
                annals_db::Error::Exists { .. } => {
                    let told = Report::new(Code::Conflict, error.to_string())
                        .with_suggestion("name another file, or a folder");
                    Error::from(told)
                }
                _ => session.about_mirror(&error),
            })?;
        let meta = Meta {
            warnings: made.left.clone(),
            ..Meta::default()
        };
        Ok(Reply::Data(Data::of(made), meta))
    }
}

impl Data {
    fn of(made: Backup) -> Self {
        Self {
            path: made.path.display().to_string(),
            bytes: made.bytes,
            sha256: made.sha256,
            schema: made.schema,
            quick_check: "ok",
            removed: made.removed.iter().map(|path| path.display().to_string()).collect(),
        }
    }
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        page.line(format!(
            "{}  {} KiB, schema {}",
            one_line(&self.path),
            self.bytes.div_ceil(1024),
            self.schema
        ));
        page.line(format!("sha256 {}", self.sha256));
        if !self.removed.is_empty() {
            page.line(format!("{} removed", counted(self.removed.len() as u64, "older copy")));
        }
    }
}
