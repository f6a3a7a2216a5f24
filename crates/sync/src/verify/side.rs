//! A project that is compared, and how it is reached.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use annals_core::{EntityKind, Iid, ProjectId, UnixMs};
use annals_db::Db;
use annals_net_adapter::Cx;

use crate::error::Error;
use crate::forge::budget::ByteBudget;
use crate::forge::meter::Meter;
use crate::forge::{self, Forge, ForgeError, Via};

/// Entities of a project for which a server may have nothing but an error: more, and it is the server.
const MOST_BROKEN: usize = 3;

/// A project that is compared, and how it is reached.
pub struct Side {
    pub db: Db,
    pub forge: Arc<dyn Forge>,
    pub meter: Meter,
    pub budget: ByteBudget,
    pub id: ProjectId,
    pub path: String,
    pub native: String,
    /// When the run began: what moved at the forge after that is no finding.
    pub began: UnixMs,
    /// Entities for which the server had nothing but an error.
    pub broken: Mutex<BTreeSet<(EntityKind, Iid)>>,
}

impl Side {
    /// Whether a failure is that of one entity. What stands in the way of everything is not.
    pub fn is_of_one(&self, entity: (EntityKind, Iid), error: &ForgeError) -> bool {
        if matches!(error, ForgeError::Server { .. }) {
            let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
            return broken.contains(&entity) || (broken.len() < MOST_BROKEN && broken.insert(entity));
        }
        error.stop().is_none() && !error.is_outage()
    }

    /// Asks whether the project itself is there: one that is hidden or deleted answers alike for everything in it.
    ///
    /// # Errors
    /// It is not; the forge's.
    ///
    /// # Cancel safety
    /// It only reads.
    pub async fn confirm(&self, cx: &Cx) -> Result<(), Error> {
        let _started = cx.may_start()?;
        let flight = self.budget.flight();
        let via = Via {
            flight: &flight,
            meter: &self.meter,
        };
        Ok(forge::confirm(cx, &*self.forge, via, (&self.native, &self.path)).await?)
    }
}
