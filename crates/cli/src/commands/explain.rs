//! `annals explain CODE`: a row of the error table.

use annals_core::text::nearest;
use annals_core::{Code, Report, Retry};
use annals_net_adapter::Cx;
use serde::Serialize;

use super::{Needs, Run};
use crate::error::Error;
use crate::output::table::Table;
use crate::output::{Page, Reply, Shape, Show};
use crate::session::Session;

/// Explain an error code: what it means, its exit code, and what to do
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The code, as errors show it
    code: String,
}

#[derive(Debug, Serialize)]
pub struct Data {
    code: Code,
    /// The exit code of a command that ends with it; none where no command does.
    exit_code: Option<u8>,
    http: Option<u16>,
    /// `yes`, `no`, `if_transient` or `queue_only`.
    retry: &'static str,
    retryable: bool,
    next: &'static str,
    text: &'static str,
}

const SHAPE: Shape = Shape {
    fields: &["code", "exit_code", "http", "retry", "retryable", "next", "text"],
    list: None,
    minimal: &["code", "next", "text"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "explain";
    const EXAMPLES: &'static [&'static str] = &["annals explain lock_lost"];
    const NEEDS: Needs = Needs::Nothing;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, _: &Cx, _: &Session) -> Result<Reply<Data>, Error> {
        let asked = self.code.trim().to_lowercase().replace('-', "_");
        let code: Code = asked.parse().map_err(|error: annals_core::code::UnknownCode| {
            let names = Code::ALL.iter().map(|code| code.as_str());
            let mut report = Report::new(Code::Usage, error.to_string());
            report.suggestion = nearest(&asked, names).map(str::to_owned);
            report
        })?;
        Ok(Reply::from(Data::from(code)))
    }
}

#[cfg(test)]
impl Data {
    pub const fn code(&self) -> Code {
        self.code
    }
}

impl From<Code> for Data {
    fn from(code: Code) -> Self {
        Self {
            code,
            exit_code: code.exit_code(),
            http: code.http_status(),
            retry: match code.retry() {
                Retry::No => "no",
                Retry::Yes => "yes",
                Retry::IfTransient => "if_transient",
                Retry::QueueOnly => "queue_only",
            },
            retryable: code.retry().is_retryable(),
            next: code.next(),
            text: code.meaning(),
        }
    }
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let number = |number: Option<u16>| number.map_or_else(|| "–".to_owned(), |number| number.to_string());
        let retry = match self.retry {
            "yes" => "can succeed, unchanged",
            "if_transient" => "can succeed if the failure was a passing one",
            _ => "does not help",
        };
        page.heading(self.code.as_str());
        page.body(self.text, "");
        page.blank();
        let mut table = Table::pairs();
        table.row(["exit code".into(), number(self.exit_code.map(u16::from)).into()]);
        table.row(["HTTP".into(), number(self.http).into()]);
        table.row(["trying again".into(), retry.into()]);
        table.row(["next".into(), self.next.replace('`', "").into()]);
        page.table(&table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explain_knows_every_code() {
        for &code in Code::ALL {
            let data = Data::from(code);
            assert_eq!((data.code, data.exit_code), (code, code.exit_code()));
            let mut page = Page::new(crate::output::page::tests::look());
            data.show(&mut page);
            assert!(
                page.into_text()
                    .contains(code.meaning().split(' ').next().unwrap_or_default())
            );
        }
    }
}
