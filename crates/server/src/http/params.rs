//! Query parameters, read strictly: an unknown name, a repeated one and a value that cannot be are errors, never ignored.

use std::str::FromStr;

use annals_core::text::nearest;
use annals_core::{Code, Report, UnixMs};

/// What a list answers with at most, and when nothing is asked for.
pub(crate) const MOST: u32 = 200;
const USUAL: u32 = 50;

/// A query string with at most 64 parameters.
const PARAMETERS: usize = 64;

/// The parameters of a request.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query string that may name only `known` parameters, each once.
    pub(crate) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Report> {
        let pairs: Vec<(String, String)> = serde_urlencoded(query.unwrap_or_default())
            .into_iter()
            .filter(|(name, _)| !name.is_empty())
            .collect();
        if pairs.len() > PARAMETERS {
            return Err(usage(format!("more than {PARAMETERS} parameters")));
        }
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let others = match known {
                    [] => "this address takes none".to_owned(),
                    known => format!("known are {}", known.join(", ")),
                };
                let report = usage(format!("unknown parameter {name:?}; {others}"));
                return Err(match nearest(name, known.iter().copied()) {
                    Some(near) => report.with_suggestion(near),
                    None => report,
                });
            }
            if pairs.iter().take(at).any(|(earlier, _)| earlier == name) {
                return Err(usage(format!("parameter {name:?} is given twice")));
            }
        }
        Ok(Self(pairs))
    }

    /// A parameter's value; empty counts as absent, as an untouched form field is.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .filter(|v| !v.is_empty())
    }

    /// A parameter that must be one of a few words.
    pub(crate) fn one_of<T: FromStr>(&self, name: &str, words: &str) -> Result<Option<T>, Report> {
        self.get(name)
            .map(|value| {
                value
                    .parse()
                    .map_err(|_| usage(format!("{name} is {value:?}; it must be one of {words}")))
            })
            .transpose()
    }

    /// `limit`: 1 to 200, a larger one is lowered.
    pub(crate) fn limit(&self) -> Result<u32, Report> {
        match self.get("limit").map(str::parse::<u32>) {
            None => Ok(USUAL),
            Some(Ok(limit)) if limit > 0 => Ok(limit.min(MOST)),
            Some(_) => Err(usage(format!("limit must be a number from 1 to {MOST}"))),
        }
    }

    /// `offset`, from zero.
    pub(crate) fn offset(&self) -> Result<u32, Report> {
        match self.get("offset").map(str::parse::<u32>) {
            None => Ok(0),
            Some(Ok(offset)) => Ok(offset),
            Some(Err(_)) => Err(usage("offset must be a number, zero or more")),
        }
    }

    /// A point in time: RFC 3339, a date, or a duration back from now such as `7d`.
    pub(crate) fn time(&self, name: &str, now: UnixMs) -> Result<Option<UnixMs>, Report> {
        use annals_core::time::{When, Zone};
        self.get(name)
            .map(|value| match When::parse(value, now, &Zone::utc()) {
                Ok(when) => Ok(when.first()),
                Err(error) => Err(usage(format!("{name}: {error}"))),
            })
            .transpose()
    }

    /// The same query with another offset, for links to other pages.
    pub(crate) fn with_offset(&self, offset: u64) -> String {
        let offset = offset.to_string();
        let others = self.0.iter().filter(|(n, v)| n != "offset" && !v.is_empty());
        let mut pairs: Vec<(&str, &str)> = others.map(|(n, v)| (n.as_str(), v.as_str())).collect();
        pairs.push(("offset", &offset));
        annals_net_adapter::http::append_query_params("", &pairs)
    }
}

/// A request that was not understood.
pub(crate) fn usage(message: impl Into<String>) -> Report {
    Report {
        actions: Vec::new(),
        ..Report::new(Code::Usage, message)
    }
}

/// `application/x-www-form-urlencoded`, as browsers send it.
fn serde_urlencoded(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}
