//! Whether an SPDX licence expression can be met with a list of allowed licences.

/// `OR` needs one side, `AND` needs both; `/` is an old way to write `OR`. What cannot be read is not met.
pub fn is_met(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader {
        tokens: &tokens,
        allowed,
    };
    reader.any().is_some_and(|met| met && reader.tokens.is_empty())
}

struct Reader<'a> {
    tokens: &'a [&'a str],
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Reader<'a> {
    fn any(&mut self) -> Option<bool> {
        let mut met = self.all()?;
        while self.takes("OR") {
            met |= self.all()?;
        }
        Some(met)
    }

    fn all(&mut self) -> Option<bool> {
        let mut met = self.one()?;
        while self.takes("AND") {
            met &= self.one()?;
        }
        Some(met)
    }

    fn one(&mut self) -> Option<bool> {
        let token = self.next()?;
        if token == "(" {
            let met = self.any()?;
            return self.takes(")").then_some(met);
        }
        if self.takes("WITH") {
            let exception = self.next()?;
            return Some((self.allowed)(&format!("{token} WITH {exception}")));
        }
        Some((self.allowed)(token))
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self
            .tokens
            .first()
            .is_some_and(|token| token.eq_ignore_ascii_case(word));
        if found {
            self.next();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::is_met;

    #[test]
    fn expressions_follow_and_or_with_and_brackets() {
        let allowed = |id: &str| ["MIT", "ISC", "Zlib"].contains(&id);
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR GPL-3.0) AND ISC",
            "MIT or GPL-3.0",
        ] {
            assert!(is_met(good, &allowed), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "MIT WITH x",
            "(MIT",
            "MIT)",
            "",
            "MIT ISC",
            "LicenseRef-MIT",
        ] {
            assert!(!is_met(bad, &allowed), "{bad}");
        }
    }
}
