//! Which requests are hit.

use std::str::FromStr;

use super::super::gitlab::Request;
use super::super::rng::Rng;
use super::Fault;

/// Which of the requests that match a rule are hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The n-th, counted from one.
    Nth(u64),
    /// The first n.
    First(u64),
    /// Every n-th.
    Every(u64),
    /// This many in a thousand, drawn from the plan's seed.
    Permille(u64),
    /// All.
    Always,
}

/// `nth:3`, `first:3`, `every:3`, `permille:3` or `always`.
impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, count) = text.split_once(':').unwrap_or((text, "1"));
        let count = count.parse().map_err(|_| format!("{count} is not a number"))?;
        match name {
            "nth" => Ok(Self::Nth(count)),
            "first" => Ok(Self::First(count)),
            "every" => Ok(Self::Every(count)),
            "permille" => Ok(Self::Permille(count)),
            "always" => Ok(Self::Always),
            _ => Err(format!("unknown time {text}")),
        }
    }
}

/// A fault and the requests it hits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What goes wrong.
    pub fault: Fault,
    /// The path and query that match; `*` stands for any characters.
    pub target: String,
    /// Which of those are hit.
    pub when: When,
}

impl Rule {
    /// Hits requests to `target` when `when` says so.
    #[must_use]
    pub fn new(fault: Fault, target: &str, when: When) -> Self {
        Self {
            fault,
            target: target.to_owned(),
            when,
        }
    }

    /// Hits the first request to `target`.
    #[must_use]
    pub fn once(fault: Fault, target: &str) -> Self {
        Self::new(fault, target, When::Nth(1))
    }
}

/// What the faults need to know besides the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// What `Retry-After` says.
    pub retry_after: String,
    /// Another origin, to be redirected to.
    pub elsewhere: String,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            retry_after: "1".to_owned(),
            elsewhere: "http://elsewhere.invalid".to_owned(),
        }
    }
}

/// Which requests are hit by what. The first rule that hits decides.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    rules: Vec<(Rule, u64)>,
    rng: Rng,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self::none()
    }
}

impl FaultPlan {
    /// Nothing goes wrong.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            rules: Vec::new(),
            rng: Rng::new(0),
        }
    }

    /// The same faults at the same draws for the same seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self {
            rules: Vec::new(),
            rng: Rng::new(seed),
        }
    }

    /// Whether nothing goes wrong.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.rules.is_empty()
    }

    /// The plan with one more rule.
    #[must_use]
    pub fn with(mut self, rule: Rule) -> Self {
        self.rules.push((rule, 0));
        self
    }

    /// What happens to this request. Every rule that matches counts it.
    pub fn decide(&mut self, request: &Request) -> Option<Fault> {
        let mut hit = None;
        for (rule, seen) in &mut self.rules {
            if !matches(&rule.target, &request.target) {
                continue;
            }
            *seen += 1;
            let hits = match rule.when {
                When::Nth(n) => *seen == n,
                When::First(n) => *seen <= n,
                When::Every(n) => n > 0 && seen.is_multiple_of(n),
                When::Permille(n) => self.rng.permille(n),
                When::Always => true,
            };
            if hits && hit.is_none() {
                hit = Some(rule.fault);
            }
        }
        hit
    }
}

/// Whether `text` is what `pattern` says, where `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = left.split_once(part) else {
            return false;
        };
        left = after;
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "/a", true),
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("*/issues?*", "/api/v4/projects/1/issues?page=2", true),
            ("*/issues?*", "/api/v4/projects/1/issues/2/discussions?page=2", false),
            ("*/discussions*", "/api/v4/projects/1/issues/2/discussions?page=2", true),
            ("*page=2*", "/x?page=1", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn rules_count_what_they_match_and_the_first_that_hits_decides() {
        let mut plan = FaultPlan::none()
            .with(Rule::new(Fault::InternalError, "*/issues*", When::Nth(2)))
            .with(Rule::new(Fault::BadGateway, "*", When::Every(2)));
        let (issues, labels) = (Request::get("/p/issues"), Request::get("/p/labels"));
        let got: Vec<_> = [&issues, &issues, &labels, &labels]
            .map(|request| plan.decide(request))
            .to_vec();
        assert_eq!(got, [None, Some(Fault::InternalError), None, Some(Fault::BadGateway)]);
    }

    #[test]
    fn a_seed_draws_the_same_faults() {
        let draw = |seed| {
            let mut plan = FaultPlan::seeded(seed).with(Rule::new(Fault::InternalError, "*", When::Permille(300)));
            (0..200)
                .map(|_| plan.decide(&Request::get("/")).is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(4), draw(4));
        assert_ne!(draw(4), draw(5));
        assert!((30..90).contains(&draw(4).into_iter().filter(|hit| *hit).count()));
    }
}
