//! What a transaction has already written: a page names the same few users, labels and milestones
//! again and again.

use std::collections::HashMap;

use annals_core::{NativeId, ProjectId};

use super::{LabelIn, MilestoneIn, UserIn};
use crate::ids::{ForgeId, LabelId, MilestoneId, UserId};

/// The last value written for each name, and its row.
#[derive(Default)]
pub(crate) struct Seen {
    pub users: HashMap<(ForgeId, NativeId), (UserIn, UserId)>,
    /// Forgotten whenever a label is written: a name may then belong to another row.
    pub labels: HashMap<(ProjectId, String), (LabelIn, LabelId)>,
    pub milestones: HashMap<(ProjectId, NativeId), (MilestoneIn, MilestoneId)>,
}
