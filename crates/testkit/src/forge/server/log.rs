//! What was asked, and what it got.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::super::gitlab::{self, Request};

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number, from one.
    pub number: u64,
    /// The method.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Whether it was asked conditionally.
    pub conditional: bool,
    /// Whether it carried a token.
    pub token: bool,
    /// The status that was meant; a fault may have kept it from arriving.
    pub status: u16,
    /// Bytes of the body that was meant.
    pub bytes: u64,
    /// The fault that hit it.
    pub fault: Option<&'static str>,
}

/// Counts of what was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests, all of them.
    pub requests: u64,
    /// By method.
    pub by_method: BTreeMap<String, u64>,
    /// By path, with `:n` in place of numbers.
    pub by_path: BTreeMap<String, u64>,
    /// By status.
    pub by_status: BTreeMap<u16, u64>,
    /// Asked conditionally.
    pub conditional: u64,
    /// Answered with 304.
    pub not_modified: u64,
    /// Other requests than GET, HEAD and GraphQL queries; a reader must leave this at zero.
    pub writes_refused: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Faults, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Connections accepted.
    pub connections: u64,
    /// Requests being answered now.
    pub in_flight: u64,
    /// The most that ever were.
    pub peak_in_flight: u64,
}

pub(super) struct Log {
    stats: Stats,
    entries: VecDeque<Entry>,
    limit: usize,
}

impl Log {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            stats: Stats::default(),
            entries: VecDeque::new(),
            limit,
        }
    }

    pub(super) const fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.iter().cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        // What is being answered now still is.
        self.stats = Stats {
            in_flight: self.stats.in_flight,
            ..Stats::default()
        };
    }

    pub(super) fn connected(&mut self) {
        self.stats.connections += 1;
    }

    /// Counts a request that has arrived. Returns its number.
    pub(super) fn begin(&mut self) -> u64 {
        self.stats.requests += 1;
        self.stats.in_flight += 1;
        self.stats.peak_in_flight = self.stats.peak_in_flight.max(self.stats.in_flight);
        self.stats.requests
    }

    /// Notes what it was and what it gets.
    pub(super) fn answered(
        &mut self,
        number: u64,
        request: &Request,
        status: u16,
        bytes: usize,
        fault: Option<&'static str>,
    ) {
        let stats = &mut self.stats;
        let bytes = bytes as u64;
        let conditional = request
            .header("if-none-match")
            .or(request.header("if-modified-since"))
            .is_some();
        *stats.by_method.entry(request.method.clone()).or_default() += 1;
        *stats.by_path.entry(shape(request.path())).or_default() += 1;
        *stats.by_status.entry(status).or_default() += 1;
        stats.conditional += u64::from(conditional);
        stats.not_modified += u64::from(status == 304);
        let is_read = matches!(request.method.as_str(), "GET" | "HEAD") || gitlab::is_query(request);
        stats.writes_refused += u64::from(!is_read);
        stats.bytes += bytes;
        if self.limit > 0 && self.entries.len() == self.limit {
            self.entries.pop_front();
        }
        if self.entries.len() < self.limit {
            self.entries.push_back(Entry {
                number,
                method: request.method.clone(),
                target: request.target.clone(),
                conditional,
                token: request
                    .header("private-token")
                    .or(request.header("authorization"))
                    .is_some(),
                status,
                bytes,
                fault,
            });
        }
    }

    /// Counts a fault that has happened.
    pub(super) fn struck(&mut self, fault: &'static str) {
        *self.stats.faults.entry(fault).or_default() += 1;
    }

    /// The answer is out, or will never be.
    pub(super) fn end(&mut self) {
        self.stats.in_flight = self.stats.in_flight.saturating_sub(1);
    }
}

/// A path without what makes it one of many.
fn shape(path: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part.parse::<u64>().is_ok() { ":n" } else { part });
    parts.collect::<Vec<_>>().join("/")
}
