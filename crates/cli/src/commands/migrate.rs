//! `annals migrate`: brings the file up to the schema of this binary, after a backup.

use annals_db::{AutoMigrate, Db, OpenOptions};
use annals_net_adapter::Cx;
use serde::Serialize;

use super::{Conduct, Run};
use crate::error::Error;
use crate::output::{Page, Reply, Shape, Show};
use crate::session::Session;

/// Bring the mirror's file up to date, after a backup
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only say what would be done
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Serialize)]
pub struct Data {
    from: u32,
    to: u32,
    /// The steps taken, by name.
    applied: Vec<String>,
    /// The copy made before the first.
    backup: Option<String>,
}

const SHAPE: Shape = Shape {
    fields: &["from", "to", "applied", "backup"],
    list: None,
    minimal: &["from", "to"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "migrate";
    const EXAMPLES: &'static [&'static str] = &["annals migrate --check", "annals migrate"];
    const CONDUCT: Conduct = Conduct::Works;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let path = session.db_path()?;
        // Reading first: what is not there is not made, and a file that is up to date stays as it is.
        let behind = match Db::open(cx, &path, OpenOptions::read()).await {
            Ok(_) => return Ok(Data::nothing(super::version::newest_schema()).into()),
            Err(annals_db::Error::MigrationNeeded { found, needed }) => (found, needed),
            Err(error) => return Err(session.about_mirror(&error)),
        };
        if self.check {
            return Ok(Data {
                from: behind.0,
                to: behind.1,
                applied: Vec::new(),
                backup: None,
            }
            .into());
        }
        let db = session.mirror_to_write(cx, AutoMigrate::On(session.backups())).await?;
        let report = db.migrated().cloned().unwrap_or_default();
        db.close(cx).await.map_err(|error| session.about_mirror(&error))?;
        Ok(Data {
            from: report.from,
            to: report.to,
            applied: report.applied,
            backup: report.backup.map(|path| path.display().to_string()),
        }
        .into())
    }
}

impl Data {
    fn nothing(schema: u32) -> Self {
        Self {
            from: schema,
            to: schema,
            applied: Vec::new(),
            backup: None,
        }
    }
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        match (self.from == self.to, self.applied.is_empty()) {
            (true, _) => page.line(format!("The file is up to date: schema {}.", self.to)),
            (false, true) => page.line(format!(
                "The file has schema {}; annals migrate brings it to {}.",
                self.from, self.to
            )),
            (false, false) => {
                page.line(format!(
                    "Schema {} is now {}: {}.",
                    self.from,
                    self.to,
                    self.applied.join(", ")
                ));
            }
        }
        if let Some(backup) = &self.backup {
            page.line(format!("The file as it was: {backup}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_which_way_it_went() {
        let shown = |data: &Data| {
            let mut page = Page::new(crate::output::page::tests::look());
            data.show(&mut page);
            page.into_text()
        };
        assert_eq!(shown(&Data::nothing(3)), "The file is up to date: schema 3.\n");
        let applied = Data {
            from: 1,
            to: 2,
            applied: vec!["files".into()],
            backup: Some("a.db.v1.bak".into()),
        };
        assert_eq!(
            shown(&applied),
            "Schema 1 is now 2: files.\nThe file as it was: a.db.v1.bak\n"
        );
    }
}
