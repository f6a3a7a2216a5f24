//! `--max-bytes`: an answer that fits, of whole items, and how to get the rest.

use std::ffi::OsString;

use annals_core::{Code, Report};
use serde::Serialize;
use serde_json::Value;

use super::envelope::Meta;
use super::fields::Shape;
use crate::commands::Conduct;
use crate::given::quoted;
use crate::model::Model;

/// How long the line may be, and the command line it answers.
#[derive(Debug)]
pub struct Budget {
    pub max_bytes: usize,
    /// The command, which may stand behind flags, and whose arguments may have the name of another one.
    pub command: &'static str,
    pub line: Vec<OsString>,
    pub conduct: Conduct,
}

/// What was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Truncated {
    pub lists: Vec<Cut>,
    /// The command that gets it.
    pub next: String,
    /// Whether that is the next page, and not the same answer with more room.
    #[serde(skip)]
    pub is_paged: bool,
}

/// A list that is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    pub field: String,
    pub shown: usize,
    pub omitted: usize,
}

impl Budget {
    /// Leaves out as many items as it takes: of the list the answer mainly is, else of its longest lists. `length` is how
    /// long the line is with them.
    ///
    /// # Errors
    /// `usage` if it does not fit without any item; of a command that did something the whole answer is told all the
    /// same, with a warning.
    pub fn fit(
        &self,
        mut data: Value,
        mut meta: Meta,
        shape: &Shape,
        length: impl Fn(&Value, &Meta) -> usize,
    ) -> Result<(Value, Meta), Report> {
        let needed = length(&data, &meta);
        if needed <= self.max_bytes {
            return Ok((data, meta));
        }
        let (whole, told) = (data.clone(), meta.clone());
        let mut cuts: Vec<Cut> = Vec::new();
        for field in lists(&data, shape) {
            let all = items(&mut data, &field).map(std::mem::take).unwrap_or_default();
            let mut shown = |keep: usize| {
                let cut = Cut {
                    field: field.clone(),
                    shown: keep,
                    omitted: all.len() - keep,
                };
                if let Some(items) = items(&mut data, &field) {
                    *items = all.get(..keep).unwrap_or_default().to_vec();
                }
                let cuts: Vec<Cut> = cuts.iter().cloned().chain([cut]).collect();
                let mut told = told.clone();
                self.say(&mut told, shape, cuts, all.len(), needed);
                (length(&data, &told), told)
            };
            // The most that fits: `fits` does, one more than `over` does not.
            let (mut fits, mut over) = (0, all.len());
            while fits < over {
                let middle = (fits + over).div_ceil(2);
                if shown(middle).0 <= self.max_bytes {
                    fits = middle;
                } else {
                    over = middle - 1;
                }
            }
            let (size, told) = shown(fits);
            if size <= self.max_bytes {
                return Ok((data, told));
            }
            cuts.push(Cut {
                field,
                shown: 0,
                omitted: all.len(),
            });
        }
        let message = format!(
            "the answer takes {needed} bytes, and leaving out items does not bring it below {}",
            self.max_bytes
        );
        if self.conduct == Conduct::Reads {
            let report = Report::new(Code::Usage, message).with_suggestion("ask for less with --fields, or allow more");
            return Err(report.with_detail("needed_bytes", needed));
        }
        meta.warnings.push(message);
        Ok((whole, meta))
    }

    /// Says what was cut, and how to get it.
    fn say(&self, meta: &mut Meta, shape: &Shape, cuts: Vec<Cut>, of: usize, needed: usize) {
        let paged = match (cuts.as_slice(), shape.list) {
            ([cut], Some(list)) if cut.field == list && cut.shown > 0 && self.takes_offset() => Some(cut.shown),
            _ => None,
        };
        let is_paged = paged.is_some();
        let next = if let Some(shown) = paged {
            // Where this page began is not said, but where it ends: before the next one, or with the last item.
            let end = meta
                .next_offset
                .or_else(|| meta.total.and_then(|total| usize::try_from(total).ok()));
            let next = end.map_or(0, |end| end.saturating_sub(of)) + shown;
            meta.next_offset = Some(next);
            format!("--offset {next}")
        } else {
            // Room for what this says, too.
            format!("--max-bytes {}", needed + 512)
        };
        meta.truncated = Some(Truncated {
            lists: cuts,
            next: self.again(&next),
            is_paged,
        });
    }

    fn words(&self) -> impl Iterator<Item = String> {
        self.line.iter().skip(1).map(|word| word.to_string_lossy().into_owned())
    }

    /// The command line again with another flag, which counts because it is the last.
    fn again(&self, flag: &str) -> String {
        let (mut before, mut behind) = (String::from("annals"), String::new());
        for word in self.words() {
            let part = if behind.is_empty() && word != "--" {
                &mut before
            } else {
                &mut behind
            };
            part.push(' ');
            part.push_str(&quoted(&word));
        }
        format!("{before} {flag}{behind}")
    }

    fn takes_offset(&self) -> bool {
        let model = Model::read();
        let entry = model.commands.iter().find(|entry| entry.name == self.command);
        entry.is_some_and(|entry| entry.flags.iter().any(|flag| flag.name == "--offset"))
    }
}

/// The names of the lists to cut, the longest first where none is what the answer mainly is.
fn lists(data: &Value, shape: &Shape) -> Vec<String> {
    let mut found: Vec<(&String, usize)> = data
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, member)| member.as_array().is_some_and(|items| !items.is_empty()))
        .map(|(name, member)| (name, member.to_string().len()))
        .collect();
    found.sort_by_key(|(name, size)| (shape.list != Some(name.as_str()), std::cmp::Reverse(*size)));
    found.into_iter().map(|(name, _)| name.clone()).collect()
}

fn items<'a>(data: &'a mut Value, field: &str) -> Option<&'a mut Vec<Value>> {
    data.get_mut(field)?.as_array_mut()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const LIST: Shape = Shape {
        fields: &["items.text"],
        list: Some("items"),
        minimal: &["text"],
    };

    fn budget(max_bytes: usize, line: &str, conduct: Conduct) -> Budget {
        budget_of("issues", max_bytes, line, conduct)
    }

    fn budget_of(command: &'static str, max_bytes: usize, line: &str, conduct: Conduct) -> Budget {
        Budget {
            max_bytes,
            command,
            line: crate::model::words(line).into_iter().map(OsString::from).collect(),
            conduct,
        }
    }

    fn length(data: &Value, meta: &Meta) -> usize {
        data.to_string().len() + serde_json::to_string(meta).unwrap().len()
    }

    fn list(sizes: &[usize]) -> Value {
        json!({"items": sizes.iter().map(|size| json!({"text": "x".repeat(*size)})).collect::<Vec<_>>()})
    }

    #[test]
    fn the_next_page_begins_where_this_one_was_cut() {
        let meta = Meta {
            total: Some(100),
            next_offset: Some(60),
            ..Meta::default()
        };
        // Items 40 to 59.
        let budget = budget(1000, "annals --db 'a b.db' issues --offset 40 -n 20", Conduct::Reads);
        let (data, meta) = budget.fit(list(&[100; 20]), meta, &LIST, length).unwrap();
        let shown = data["items"].as_array().unwrap().len();
        assert!(shown > 3 && length(&data, &meta) <= 1000, "{meta:?}");
        assert_eq!(meta.next_offset, Some(40 + shown));
        let truncated = meta.truncated.unwrap();
        assert_eq!(
            truncated.lists,
            [Cut {
                field: "items".to_owned(),
                shown,
                omitted: 20 - shown
            }]
        );
        assert_eq!(
            truncated.next,
            format!("annals --db 'a b.db' issues --offset 40 -n 20 --offset {}", 40 + shown)
        );
    }

    #[test]
    fn an_argument_with_the_name_of_a_command_has_no_pages() {
        let budget = budget_of("who", 1024, "annals who search --max-bytes 1024", Conduct::Reads);
        let (_, meta) = budget.fit(list(&[300; 9]), Meta::default(), &LIST, length).unwrap();
        let next = meta.truncated.unwrap().next;
        assert!(
            next.starts_with("annals who search --max-bytes 1024 --max-bytes "),
            "{next}"
        );
    }

    #[test]
    fn what_has_no_pages_is_got_by_allowing_more() {
        let data = json!({"entity": {"title": "t"}, "short": [1, 2], "long": list(&[300; 5])["items"]});
        let shape = Shape { list: None, ..LIST };
        let budget = budget(1024, "annals show 12 -- x", Conduct::Reads);
        let (data, meta) = budget.fit(data, Meta::default(), &shape, length).unwrap();
        assert_eq!(
            (
                data["entity"]["title"].as_str(),
                data["short"].as_array().unwrap().len()
            ),
            (Some("t"), 2)
        );
        let truncated = meta.truncated.unwrap();
        assert_eq!(truncated.lists[0].field, "long");
        assert!(truncated.next.starts_with("annals show 12 --max-bytes ") && truncated.next.ends_with(" -- x"));
    }

    #[test]
    fn what_cannot_fit_is_refused_unless_something_was_done() {
        let data = json!({"entity": {"body": "x".repeat(5000)}, "items": [1]});
        let shape = Shape { list: None, ..LIST };
        let read = budget(1024, "annals show 12", Conduct::Reads).fit(data.clone(), Meta::default(), &shape, length);
        assert_eq!(read.unwrap_err().code, Code::Usage);
        let (whole, meta) = budget(1024, "annals sync", Conduct::Works)
            .fit(data.clone(), Meta::default(), &shape, length)
            .unwrap();
        assert_eq!((whole, meta.warnings.len(), meta.truncated), (data, 1, None));
    }

    proptest! {
        /// It fits, it is a beginning of the list, and one more would not fit.
        #[test]
        fn as_much_as_fits_is_shown(sizes in proptest::collection::vec(0_usize..400, 1..30), max in 1024_usize..4000) {
            let budget = budget(max, "annals issues", Conduct::Reads);
            let whole = list(&sizes);
            let meta = Meta { total: Some(sizes.len() as u64), ..Meta::default() };
            let (data, said) = budget.fit(whole.clone(), meta, &LIST, length).unwrap();
            let (shown, all) = (data["items"].as_array().unwrap(), whole["items"].as_array().unwrap());
            prop_assert!(length(&data, &said) <= max);
            prop_assert_eq!(shown.as_slice(), &all[..shown.len()]);
            prop_assert_eq!(said.truncated.is_some(), shown.len() < all.len());
        }
    }
}
