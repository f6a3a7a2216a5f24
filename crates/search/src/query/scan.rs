//! Text to pieces: where a word, phrase or filter begins and ends. Every input has a reading.

use super::{Sign, filter::Key};

/// One word, phrase or filter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub sign: Sign,
    /// Characters before it.
    pub position: usize,
    pub what: What,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    Word(String),
    Phrase(String),
    Filter(Key, Values),
}

/// The values of one filter, and where they begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Values {
    pub position: usize,
    pub items: Vec<Value>,
}

/// One value. A quoted one is always a name: `label:"none"` is the label called none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub position: usize,
    pub text: String,
    pub quoted: bool,
}

pub(super) fn pieces(text: &str) -> impl Iterator<Item = Piece> {
    Scanner {
        chars: text.chars().collect(),
        at: 0,
        glued: None,
    }
}

/// The values of a filter whose text is all there is: a blank is part of a value, as in a form's field.
pub(super) fn values(text: &str) -> Values {
    let mut scanner = Scanner {
        chars: text.chars().collect(),
        at: 0,
        glued: None,
    };
    let Values { position, mut items } = scanner.values(|_| false);
    for item in items.iter_mut().filter(|item| !item.quoted) {
        item.text = item.text.trim().to_owned();
    }
    items.retain(|item| !item.text.is_empty());
    Values { position, items }
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    /// The sign of a word that ended at a quote: `-title:"a b"` leaves out both halves.
    glued: Option<Sign>,
}

impl Iterator for Scanner {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let glued = self.glued.take();
        self.take_while(char::is_whitespace);
        let position = self.at;
        let sign = glued
            .filter(|_| self.peek(0) == Some('"'))
            .unwrap_or_else(|| self.sign());
        let what = if self.peek(0)? == '"' {
            What::Phrase(self.quoted())
        } else if let Some(key) = self.key() {
            What::Filter(key, self.values(char::is_whitespace))
        } else {
            let word = self.take_while(|c| !c.is_whitespace() && c != '"');
            self.glued = (self.peek(0) == Some('"')).then_some(sign);
            What::Word(word)
        };
        Some(Piece { sign, position, what })
    }
}

impl Scanner {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn take_while(&mut self, mut keep: impl FnMut(char) -> bool) -> String {
        let start = self.at;
        while self.peek(0).is_some_and(&mut keep) {
            self.at += 1;
        }
        self.chars.get(start..self.at).unwrap_or_default().iter().collect()
    }

    /// One dash in front of something negates. Two are the beginning of a command-line flag, which is text.
    fn sign(&mut self) -> Sign {
        let negates = self.peek(0) == Some('-') && self.peek(1).is_some_and(|c| c != '-' && !c.is_whitespace());
        if negates {
            self.at += 1;
            return Sign::Exclude;
        }
        Sign::Require
    }

    /// A known key with its colon, in any case; the scanner stays where it is if there is none.
    fn key(&mut self) -> Option<Key> {
        let rest = self.chars.get(self.at..)?;
        let length = rest.iter().position(|c| *c == ':')?;
        let written: String = rest.get(..length)?.iter().collect();
        let key = Key::of(&written.to_ascii_lowercase())?;
        self.at += length + 1;
        Some(key)
    }

    /// Values up to where they end, separated by commas; empty ones are left out.
    fn values(&mut self, ends: fn(char) -> bool) -> Values {
        let start = self.at;
        let mut items = Vec::new();
        loop {
            let position = self.at;
            let (text, quoted) = if self.peek(0) == Some('"') {
                (self.quoted(), true)
            } else {
                (self.take_while(|c| !ends(c) && c != ',' && c != '"'), false)
            };
            if !text.is_empty() {
                items.push(Value { position, text, quoted });
            }
            match self.peek(0) {
                Some(',') => self.at += 1,
                Some('"') => {}
                // In a field of its own there is no next piece: what follows a quote is a value too.
                Some(_) if !ends(' ') => {}
                _ => return Values { position: start, items },
            }
        }
    }

    /// From one quote to the next, or to the end: a missing quote is no error.
    fn quoted(&mut self) -> String {
        self.at += 1;
        let text = self.take_while(|c| c != '"');
        self.at += 1;
        text
    }
}
