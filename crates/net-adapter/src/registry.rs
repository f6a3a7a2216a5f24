//! The tree of regions as an operator sees it: a snapshot of all of it, and its changes as they happen.

use std::time::Duration;

use annals_core::{CancelReason, MonoTime};

use crate::backend::BackendKind;
use crate::region::RegionState;
use crate::task::TaskInfo;

/// What a region is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionKind {
    /// The one that holds every other.
    Root,
    /// A part of the process that lives as long as its runtime.
    Slice,
    /// Everything else.
    Scope,
}

/// One region at one moment.
#[derive(Debug, Clone)]
pub struct RegionSnapshot {
    /// Unique within its runtime.
    pub id: u64,
    /// The region it is a child of.
    pub parent: Option<u64>,
    /// Its name.
    pub name: &'static str,
    /// What it is there for.
    pub kind: RegionKind,
    /// Where it is in its life.
    pub state: RegionState,
    /// Time since it was opened.
    pub age: Duration,
    /// The tasks alive in it.
    pub live_tasks: Vec<TaskInfo>,
    /// Permits held in it.
    pub permits: u64,
    /// When it will be cancelled.
    pub deadline: Option<MonoTime>,
    /// Why it was cancelled, if it was.
    pub cancelled: Option<CancelReason>,
}

/// Every region of a runtime at one moment.
#[derive(Debug, Clone)]
pub struct RegistrySnapshot {
    /// The runtime they are on.
    pub runtime: BackendKind,
    /// The regions, parents before their children.
    pub regions: Vec<RegionSnapshot>,
}

impl RegistrySnapshot {
    /// The first region of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&RegionSnapshot> {
        self.regions.iter().find(|r| r.name == name)
    }

    /// The regions directly in another.
    pub fn children(&self, of: u64) -> impl Iterator<Item = &RegionSnapshot> {
        self.regions.iter().filter(move |r| r.parent == Some(of))
    }

    /// Every task alive.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskInfo> {
        self.regions.iter().flat_map(|r| &r.live_tasks)
    }

    /// Permits that somebody holds.
    #[must_use]
    pub fn permits(&self) -> u64 {
        self.regions.iter().map(|r| r.permits).sum()
    }
}

/// A change of one region. Those of one region come in the order in which they happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionEvent {
    /// Which region.
    pub region: u64,
    /// The region it is a child of.
    pub parent: Option<u64>,
    /// Its name.
    pub name: &'static str,
    /// What happened to it.
    pub change: RegionChange,
}

/// What can happen to a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionChange {
    /// It was opened.
    Opened,
    /// It has gone on to this state.
    State(RegionState),
    /// Nothing is left of it.
    Closed,
}
