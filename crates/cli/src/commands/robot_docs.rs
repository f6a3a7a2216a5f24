//! `annals robot-docs`: everything a program must know of this command line, in one answer.

use annals_core::text::nearest;
use annals_core::{Code, Report};
use annals_net_adapter::Cx;
use clap::Parser;
use serde::Serialize;

use super::{Needs, Run, explain};
use crate::cli::{Cli, Command};
use crate::error::Error;
use crate::model::{self, Entry, Flag, Model};
use crate::output::{Page, Reply, Shape, Show};
use crate::session::Session;

/// Describe every command for programs: flags, fields of the answers, errors, ways to work
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this command
    #[arg(num_args = 0.., value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Data {
    version: &'static str,
    commands: Vec<Described>,
    global_flags: Vec<Flag>,
    errors: Vec<explain::Data>,
    workflows: Vec<Workflow>,
}

/// A command with what its model does not know.
#[derive(Debug, Serialize)]
struct Described {
    #[serde(flatten)]
    entry: Entry,
    /// What its `data` can look like: one for each form of the answer.
    data_schema: Vec<Schema>,
    examples: Vec<&'static str>,
}

/// A form of an answer.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Schema {
    /// A command line that is answered so.
    example: &'static str,
    /// The member that is a list; its items' fields are asked for by their own names.
    list: Option<&'static str>,
    /// Every name that `--fields` takes, dotted; `name.*` is open.
    fields: &'static [&'static str],
    /// What `--fields minimal` means.
    minimal: &'static [&'static str],
}

/// A way to get something done.
#[derive(Debug, Clone, Copy, Serialize)]
struct Workflow {
    goal: &'static str,
    steps: &'static [&'static str],
}

const WORKFLOWS: &[Workflow] = &[
    Workflow {
        goal: "look around without a network or a token",
        steps: &["annals demo --exit --db demo.db", "annals search race --db demo.db"],
    },
    Workflow {
        goal: "mirror a project, and later fetch what is new",
        steps: &[
            "annals sync https://gitlab.com/group/project",
            "annals sync",
            "annals sync-runs -n 1",
        ],
    },
    Workflow {
        goal: "find a discussion and read it, cheaply",
        steps: &[
            "annals search 'cutover race after:1y' -n 10 --fields minimal",
            "annals show 'group/project!42' --discussions",
        ],
    },
    Workflow {
        goal: "read a long list page by page: repeat with `meta.next_offset` until there is none",
        steps: &[
            "annals issues --state open -n 100 --fields ref,title",
            "annals issues --state open -n 100 --fields ref,title --offset 100",
        ],
    },
    Workflow {
        goal: "find out why something failed: `error.code` says what, `error.actions` what to run",
        steps: &[
            "annals explain network",
            "annals doctor",
            "annals sync-runs --status failed",
        ],
    },
];

#[rustfmt::skip]
const SHAPE: Shape = Shape {
    fields: &[
        "version", "commands.name", "commands.about", "commands.usage", "commands.arguments.*", "commands.flags.*",
        "commands.data_schema.*", "commands.examples", "global_flags.*", "errors.code", "errors.exit_code",
        "errors.http", "errors.retry", "errors.retryable", "errors.next", "errors.text", "workflows.goal",
        "workflows.steps",
    ],
    list: None,
    minimal: &["version", "commands.name", "commands.about", "commands.usage"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "robot-docs";
    const EXAMPLES: &'static [&'static str] = &[
        "annals robot-docs --fields minimal",
        "annals robot-docs search",
        "annals robot-docs --fields errors",
    ];
    const ALIASES: &'static [&'static str] = &["agent-docs", "robot-help"];
    const NEEDS: Needs = Needs::Nothing;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, _: &Cx, _: &Session) -> Result<Reply<Data>, Error> {
        let Model { global_flags, commands } = Model::read();
        let mut described: Vec<Described> = commands.into_iter().map(describe).collect();
        if self.command.is_empty() {
            return Ok(Reply::from(Data {
                version: env!("CARGO_PKG_VERSION"),
                commands: described,
                global_flags,
                errors: Code::ALL.iter().map(|code| explain::Data::from(*code)).collect(),
                workflows: WORKFLOWS.to_vec(),
            }));
        }
        let asked = self.command.join(" ");
        let names: Vec<String> = described.iter().map(|command| command.entry.name.clone()).collect();
        described.retain(|command| {
            let rest = command.entry.name.strip_prefix(asked.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
        if described.is_empty() {
            return Err(unknown(&asked, &names).into());
        }
        Ok(Reply::from(Data {
            version: env!("CARGO_PKG_VERSION"),
            commands: described,
            global_flags,
            errors: Vec::new(),
            workflows: Vec::new(),
        }))
    }
}

fn unknown(asked: &str, names: &[String]) -> Report {
    let shown: String = asked.chars().take(60).collect();
    let mut report = Report::new(Code::Usage, format!("there is no command `{shown}`"));
    report.suggestion = nearest(asked, names.iter().map(String::as_str)).map(str::to_owned);
    report.with_detail("commands", names.to_vec())
}

fn describe(entry: Entry) -> Described {
    let examples = examples(&entry);
    let mut data_schema: Vec<Schema> = Vec::new();
    for &example in &examples {
        let Some(shape) = shape_of(example).filter(|shape| !shape.fields.is_empty()) else {
            continue;
        };
        if data_schema.iter().all(|known| known.fields != shape.fields) {
            data_schema.push(Schema {
                example,
                list: shape.list,
                fields: shape.fields,
                minimal: shape.minimal,
            });
        }
    }
    Described {
        entry,
        data_schema,
        examples,
    }
}

/// The declared examples of a command, without those of its subcommands.
fn examples(entry: &Entry) -> Vec<&'static str> {
    let model = Model::read();
    let all = Command::DECLARED.iter().flat_map(|declared| declared.examples);
    let own = |line: &&&str| {
        model
            .entry_of(&model::words(line))
            .is_some_and(|of| of.name == entry.name)
    };
    all.filter(own).copied().collect()
}

fn shape_of(line: &str) -> Option<Shape> {
    let cli = Cli::try_parse_from(model::words(line)).ok()?;
    Some(cli.command.shape())
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        // A person who asks is about to write a program: the same, indented.
        match serde_json::to_string_pretty(self) {
            Ok(text) => page.line(text),
            Err(error) => page.line(error.to_string()),
        }
    }
}

#[cfg(test)]
#[path = "robot_docs_tests.rs"]
mod tests;
