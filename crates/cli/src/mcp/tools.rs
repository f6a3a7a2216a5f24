//! Tools made of commands.

use std::ffi::OsString;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use annals_core::{Code, Report};
use annals_net_adapter::{Cx, Environment, Runtimes};
use clap::Parser;
use serde_json::{Map, Value, json};

use super::server::Offer;
use super::window::{self, CURSOR, Cursor};
use crate::cli::{Cli, Command, Global, Visit};
use crate::commands::{AsOf, Declared, Run, Tool};
use crate::error::Error;
use crate::given::Given;
use crate::model::{Argument, Entry, Flag, Model};
use crate::output::budget::Budget;
use crate::output::fields::Selection;
use crate::output::{Meta, Mode, Output, Palette, Reply, Shape, Terminals};
use crate::session::Session;
use crate::{settings, usage};

/// Flags of every command that a tool takes too.
const OF_EVERY_TOOL: &[&str] = &["--project", "--fields", "--as-of"];

/// What a session of one call is made of.
#[derive(Debug, Clone)]
pub struct Tools(Arc<Base>);

#[derive(Debug)]
struct Base {
    global: Global,
    /// Read once: one that appears later must not change which mirror is served.
    file: Option<settings::File>,
    env: Environment,
    terminals: Terminals,
    look: crate::output::page::Look,
    console: crate::output::Console,
    given: Given,
    runtimes: Arc<Runtimes>,
}

impl Tools {
    /// The tools of a session.
    pub fn of(session: &Session) -> Self {
        Self(Arc::new(Base {
            global: session.global.clone(),
            file: session.settings.file.clone(),
            env: session.env.clone(),
            terminals: session.terminals,
            look: session.out.look.clone(),
            console: session.out.console.clone(),
            given: session.given.clone(),
            runtimes: session.runtimes.clone(),
        }))
    }
}

impl Offer for Tools {
    fn list(&self) -> Vec<Value> {
        let model = Model::read();
        let entries = declared().filter_map(|declared| {
            let entry = model.commands.iter().find(|entry| entry.name == declared.name)?;
            Some(describe(entry, declared, &model))
        });
        entries.collect()
    }

    fn has(&self, name: &str) -> bool {
        declared().any(|declared| tool_name(declared.name) == name)
    }

    /// Runs the command that the tool is.
    fn call<'a>(
        &'a self,
        cx: &'a Cx,
        name: &'a str,
        arguments: &'a Map<String, Value>,
        length: &'a (dyn Fn(&Value) -> usize + Send + Sync),
        max_bytes: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>> {
        let called = async move {
            let of_tool = declared().find(|declared| tool_name(declared.name) == name);
            let command = of_tool.map(|declared| declared.name).unwrap_or_default();
            let mut arguments = arguments.clone();
            let cursor = Cursor::take(&mut arguments)?;
            let line = line(&self.0.global, name, &arguments)?;
            let cli = Cli::try_parse_from(&line).map_err(|error| match usage::read(&error) {
                usage::Answer::Text(_) => Report::new(Code::Usage, "a tool has no help"),
                usage::Answer::Nothing { report, .. } | usage::Answer::Mistake(report) => *report,
            })?;
            let global = cli.global;
            let (data, meta, shape) = cli
                .command
                .visit(Call {
                    cx,
                    base: &self.0,
                    global,
                })
                .await?;
            let budget = Budget {
                max_bytes,
                command,
                line,
                conduct: crate::commands::Conduct::Reads,
            };
            let content = |data: &Value, meta: &Meta| json!({"data": data, "meta": meta});
            let measured = |data: &Value, meta: &Meta| length(&content(data, &in_words(meta)));
            if cursor.is_none()
                && let Ok((data, meta)) = budget.fit(data.clone(), meta.clone(), &shape, measured)
                && meta.truncated.as_ref().is_none_or(|truncated| truncated.is_paged)
            {
                return Ok(content(&data, &in_words(&meta)));
            }
            // What has no pages, or not even room for one item, is told in parts.
            let part = |data: &Value, next: Option<String>| {
                let mut part = content(data, &meta);
                if let (Some(meta), Some(next)) = (part.get_mut("meta").and_then(Value::as_object_mut), next) {
                    meta.insert(CURSOR.to_owned(), next.into());
                }
                part
            };
            Ok::<_, Error>(window::of(&data, cursor, part, |content| length(content) <= max_bytes)?)
        };
        Box::pin(async move {
            // What is to be run elsewhere must be about the files of this server.
            called.await.map_err(|error| match error {
                Error::Told(report) => self.0.given.report(&report).into(),
                ended @ (Error::Cancelled { .. } | Error::ClosedPipe) => ended,
            })
        })
    }
}

/// What a check found: it has run, and a client without exit codes reads that as data.
///
/// # Errors
/// Whatever else ended the command.
fn found(error: Error, command: &str) -> Result<Value, Error> {
    match error {
        Error::Told(mut report) if report.code == Code::CheckFailed => {
            let data = report.details.get_mut(command).map(Value::take);
            data.ok_or(Error::Told(report))
        }
        other => Err(other),
    }
}

/// A command line is no next step for whoever has tools only.
fn in_words(meta: &Meta) -> Meta {
    let mut meta = meta.clone();
    if let (Some(truncated), Some(offset)) = (&mut meta.truncated, meta.next_offset) {
        truncated.next = format!("call the tool again with offset {offset}");
    }
    meta
}

fn declared() -> impl Iterator<Item = &'static Declared> {
    Command::DECLARED.iter().filter(|declared| declared.tool == Tool::Reads)
}

fn tool_name(command: &str) -> String {
    format!("annals_{}", property(command))
}

/// `--wait-lock` is `wait_lock`, `REF` is `ref`, `PATH|REF` is `path_ref`: clients refuse names with other characters.
fn property(name: &str) -> String {
    let letters = name.trim_start_matches('-').chars();
    let letters = letters.map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    });
    letters.collect()
}

fn describe(entry: &Entry, declared: &Declared, model: &Model) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for argument in &entry.arguments {
        properties.insert(property(&argument.name), of_argument(argument));
        if argument.required {
            required.push(property(&argument.name));
        }
    }
    for flag in flags(entry, model) {
        properties.insert(property(&flag.name), of_flag(flag));
    }
    let of_cursor = "`meta.cursor` of an answer that was too long: for the rest of it, with the same other arguments";
    properties.insert(CURSOR.to_owned(), json!({"type": "string", "description": of_cursor}));
    let notes = entry
        .notes
        .as_ref()
        .map(|notes| format!("\n\n{notes}"))
        .unwrap_or_default();
    let mut input = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if let (false, Some(members)) = (required.is_empty(), input.as_object_mut()) {
        members.insert("required".to_owned(), required.into());
    }
    json!({
        "name": tool_name(&entry.name),
        "title": entry.about,
        "description": format!("{}{notes}", entry.about),
        "inputSchema": input,
        "outputSchema": of_answer(declared),
        "annotations": {"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false},
    })
}

fn flags<'a>(entry: &'a Entry, model: &'a Model) -> impl Iterator<Item = &'a Flag> {
    let shared = model
        .global_flags
        .iter()
        .filter(|flag| OF_EVERY_TOOL.contains(&flag.name.as_str()));
    entry.flags.iter().chain(shared)
}

fn of_argument(argument: &Argument) -> Value {
    let mut schema = json!({"type": "string", "description": argument.help});
    allow(&mut schema, &argument.values);
    schema
}

fn of_flag(flag: &Flag) -> Value {
    let kind = match (&flag.value, flag.is_number) {
        (None, _) => "boolean",
        (Some(_), true) => "integer",
        (Some(_), false) => "string",
    };
    let mut one = json!({"type": kind});
    allow(&mut one, &flag.values);
    let mut schema = if flag.value.is_some() && (flag.repeats || flag.list) {
        json!({"type": "array", "items": one})
    } else {
        one
    };
    if let Some(members) = schema.as_object_mut() {
        members.insert("description".to_owned(), flag.help.clone().into());
    }
    schema
}

fn allow(schema: &mut Value, values: &[String]) {
    if let (false, Some(members)) = (values.is_empty(), schema.as_object_mut()) {
        members.insert("enum".to_owned(), values.to_vec().into());
    }
}

/// What the answers have in common: their members, whose types the reference for programs does not tell either.
fn of_answer(declared: &Declared) -> Value {
    let mut members = Map::new();
    for line in declared.examples {
        let Ok(cli) = Cli::try_parse_from(crate::model::words(line)) else {
            continue;
        };
        let shape = cli.command.shape();
        for field in shape.fields {
            let head = field.split('.').next().unwrap_or(field);
            let schema = if shape.list == Some(head) {
                json!({"type": "array"})
            } else {
                json!({})
            };
            members.insert(head.to_owned(), schema);
        }
    }
    json!({
        "type": "object",
        "properties": {
            "data": {"type": "object", "properties": members},
            "meta": {"type": "object"},
        },
        "required": ["data", "meta"],
    })
}

/// The command line of a call. What clap would not understand, it says itself.
fn line(global: &Global, name: &str, arguments: &Map<String, Value>) -> Result<Vec<OsString>, Report> {
    let model = Model::read();
    let entry = model.commands.iter().find(|entry| tool_name(&entry.name) == name);
    let entry = entry.ok_or_else(|| Report::new(Code::Usage, "there is no such tool"))?;
    let mut words: Vec<OsString> = vec!["annals".into()];
    let given = [
        (
            "--config",
            global.config.as_ref().map(|path| path.clone().into_os_string()),
        ),
        ("--db", global.db.clone().map(OsString::from)),
        ("--project", global.project.clone().map(OsString::from)),
        ("--tz", global.tz.clone().map(OsString::from)),
    ];
    for (flag, value) in given {
        words.extend(value.into_iter().flat_map(|value| [flag.into(), value]));
    }
    words.push(entry.name.as_str().into());
    for (name, value) in arguments {
        if entry.arguments.iter().any(|argument| property(&argument.name) == *name) {
            continue;
        }
        let flag = flags(entry, &model).find(|flag| property(&flag.name) == *name);
        let flag = flag.ok_or_else(|| unknown(name, entry, &model))?;
        match (value, &flag.value) {
            (Value::Null | Value::Bool(false), None) | (Value::Null, Some(_)) => {}
            (Value::Bool(true), None) => words.push(flag.name.as_str().into()),
            (Value::Array(items), Some(_)) if flag.repeats || flag.list => {
                for item in items {
                    words.push(format!("{}={}", flag.name, text(name, item)?).into());
                }
            }
            (value, Some(_)) => words.push(format!("{}={}", flag.name, text(name, value)?).into()),
            (_, None) => return Err(Report::new(Code::Usage, format!("`{name}` is true or false"))),
        }
    }
    let mut plain: Vec<OsString> = Vec::new();
    for argument in &entry.arguments {
        let Some(value) = arguments
            .get(&property(&argument.name))
            .filter(|value| !value.is_null())
        else {
            continue;
        };
        let value = text(&argument.name, value)?;
        if argument.repeats {
            plain.extend(value.split_whitespace().map(OsString::from));
        } else {
            plain.push(value.into());
        }
    }
    if !plain.is_empty() {
        words.push("--".into());
        words.extend(plain);
    }
    Ok(words)
}

fn text(name: &str, value: &Value) -> Result<String, Report> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(Report::new(Code::Usage, format!("`{name}` is text or a number")))
        }
    }
}

fn unknown(name: &str, entry: &Entry, model: &Model) -> Report {
    let arguments = entry.arguments.iter().map(|argument| property(&argument.name));
    let valid: Vec<String> = arguments
        .chain(flags(entry, model).map(|flag| property(&flag.name)))
        .chain([CURSOR.to_owned()])
        .collect();
    let shown: String = name.chars().take(60).collect();
    let mut report = Report::new(Code::Usage, format!("the tool takes no `{shown}`"));
    report.suggestion = annals_core::text::nearest(name, valid.iter().map(String::as_str)).map(str::to_owned);
    report.with_detail("valid", valid)
}

/// Runs whichever command it is handed, in a session of its own.
struct Call<'a> {
    cx: &'a Cx,
    base: &'a Base,
    global: Global,
}

impl<'a> Visit for Call<'a> {
    type Out = Pin<Box<dyn Future<Output = Result<(Value, Meta, Shape), Error>> + Send + 'a>>;

    fn visit<C: Run>(self, command: C) -> Self::Out {
        let Self { cx, base, global } = self;
        Box::pin(async move {
            AsOf::check::<C>(&global)?;
            let shape = command.shape();
            let selection = match &global.fields {
                Some(asked) => Selection::parse(asked, &shape)?,
                None => None,
            };
            let session = Session {
                settings: settings::layered(base.file.clone(), &global, command.overrides(), &base.env)?,
                faults: Vec::new(),
                given: base.given.clone(),
                env: base.env.clone(),
                terminals: base.terminals,
                out: Output {
                    command: C::NAME,
                    mode: Mode::Robot,
                    console: base.console.clone(),
                    stderr: Palette::Plain,
                    look: base.look.clone(),
                    selection: None,
                    shape,
                    budget: None,
                    corrections: Vec::new(),
                    pager: None,
                },
                runtimes: base.runtimes.clone(),
                global,
                moment: OnceLock::new(),
            };
            let as_of = session.as_of(cx)?;
            let (data, meta) = match cx.or_cancel(command.run(cx, &session)).await? {
                Ok(Reply::Data(data, meta)) => {
                    let data = serde_json::to_value(&data)
                        .map_err(|error| Report::new(Code::Internal, format!("the answer is not JSON: {error}")))?;
                    (data, meta)
                }
                Ok(Reply::Printed) => {
                    return Err(Report::new(Code::Internal, "the command answered in its own way").into());
                }
                Err(error) => (found(error, C::NAME)?, Meta::default()),
            };
            let data = match selection {
                Some(selection) => selection.of(data),
                None => data,
            };
            let warnings = [session.settings.warnings, meta.warnings].concat();
            Ok((
                data,
                Meta {
                    as_of,
                    warnings,
                    ..meta
                },
                shape,
            ))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn words(tool: &str, arguments: Value) -> Result<String, Report> {
        let global = Cli::try_parse_from(["annals", "--db", "m.db", "mcp"]).unwrap().global;
        let line = line(&global, tool, arguments.as_object().unwrap())?;
        let words: Vec<String> = line.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        Ok(words.join(" "))
    }

    #[test]
    fn a_call_is_a_command_line() {
        for (tool, arguments, line) in [
            (
                "annals_search",
                json!({"query": "--force race", "limit": 5, "facets": ["label", "state"]}),
                "annals --db m.db search --facets=label --facets=state --limit=5 -- --force race",
            ),
            (
                "annals_show",
                json!({"ref": "mr 42", "discussions": true, "files": false}),
                "annals --db m.db show --discussions -- mr 42",
            ),
            (
                "annals_issues",
                json!({"state": ["open"], "after": "-7d", "label": null}),
                "annals --db m.db issues --after=-7d --state=open",
            ),
            ("annals_projects", json!({}), "annals --db m.db projects"),
            (
                "annals_who",
                json!({"path_query_ref": "cutover race"}),
                "annals --db m.db who -- cutover race",
            ),
        ] {
            assert_eq!(words(tool, arguments).unwrap(), line);
        }
        for (arguments, told) in [
            (json!({"lable": "x"}), "no `lable`"),
            (json!({"db": "other.db"}), "no `db`"),
            (json!({"asc": "yes"}), "true or false"),
            (json!({"author": {"a": 1}}), "text or a number"),
        ] {
            let report = words("annals_issues", arguments).unwrap_err();
            assert!(
                report.code == Code::Usage && report.message.contains(told),
                "{report:?}"
            );
        }
    }

    /// A tool reads; and a command with subcommands that write cannot be made to run them.
    #[test]
    fn tools_only_read() {
        let model = Model::read();
        for declared in declared() {
            let entry = model.commands.iter().find(|entry| entry.name == declared.name).unwrap();
            let inner = model
                .commands
                .iter()
                .any(|other| other.name.starts_with(&format!("{} ", entry.name)));
            assert!(
                !inner || entry.arguments.is_empty(),
                "{}: a word could be a subcommand",
                entry.name
            );
        }
    }
}
