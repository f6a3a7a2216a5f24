//! What is asked one at a time: the project, its catalogues, single entities, sets.

use std::collections::BTreeSet;

use ::url::Url;
use annals_core::{EntityKind, Iid, UnixMs};
use annals_db::content::{DiscussionSetIn, EventSetIn, FileSetIn, Payload, SetShape};
use annals_db::ids::{Files, JobType};
use annals_net_adapter::Cx;
use annals_net_adapter::http::Validators;

use super::client::{GitLab, keep, now, row};
use super::index;
use super::list::List;
use super::project::{self, MrShape, Projection};
use super::sets;
use super::url::EventList;
use crate::forge::error::ForgeError;
use crate::forge::host::Reply;
use crate::forge::raw::RawItem;
use crate::forge::{
    Answer, Bad, Catalogue, CatalogueAnswer, CatalogueRows, Fetch, Oddity, ProjectAnswer, ProjectRef, Row, SetAnswer,
    SetIn, SetKey, Via,
};

impl GitLab {
    pub(super) async fn fetch_project(
        &self,
        cx: &Cx,
        via: Via<'_>,
        at: &ProjectRef,
        kept: Option<&Validators>,
    ) -> Fetch<ProjectAnswer> {
        let url = self.urls.project(at)?;
        let fresh = match self.get(cx, via, &url, kept).await? {
            Reply::Fresh(fresh) => fresh,
            other => return self.other(other),
        };
        let item = RawItem::object(&fresh.body).map_err(|bad| ForgeError::body(self.host.name(), bad))?;
        let mut projection = Projection::new(now(cx, &fresh));
        let project = project::project(&item, &mut projection).map_err(|bad| {
            ForgeError::protocol(self.host.name(), format!("a project that is none: {}", bad.message))
        })?;
        let kept = Some(self.kept(&url, &fresh.validators));
        Ok(Answer::New(ProjectAnswer {
            project,
            odd: projection.odd,
            kept,
        }))
    }

    pub(super) async fn fetch_catalogue(
        &self,
        cx: &Cx,
        via: Via<'_>,
        project: &str,
        which: Catalogue,
        kept: Option<&Validators>,
    ) -> Fetch<CatalogueAnswer> {
        let url = self.urls.catalogue(project, which)?;
        let list = match self.list(cx, via, url, kept).await? {
            Answer::New(list) => list,
            Answer::NotModified => return Ok(Answer::NotModified),
            Answer::Gone(reason) => return Ok(Answer::Gone(reason)),
            Answer::Moved(to) => return Ok(Answer::Moved(to)),
            Answer::Hidden => return Ok(Answer::Hidden),
        };
        let mut projection = Projection::new(list.now);
        let mut bad = Vec::new();
        let rows = match which {
            Catalogue::Labels => CatalogueRows::Labels(keep(&mut bad, &list.items, project::label_row)),
            Catalogue::Milestones => CatalogueRows::Milestones(keep(&mut bad, &list.items, |i| {
                project::milestone_row(i, &mut projection)
            })),
        };
        // What could not be read is to be sent again.
        let is_clean = bad.is_empty();
        Ok(Answer::New(CatalogueAnswer {
            rows,
            bad,
            odd: projection.odd,
            shape: list.shape(),
            kept: list.kept.filter(|_| is_clean),
        }))
    }

    pub(super) async fn fetch_one(
        &self,
        cx: &Cx,
        via: Via<'_>,
        project: &str,
        kind: EntityKind,
        iid: Iid,
    ) -> Fetch<Result<Row, Bad>> {
        let url = self.urls.one(project, kind, iid.0)?;
        let fresh = match self.get(cx, via, &url, None).await? {
            Reply::Fresh(fresh) => fresh,
            Reply::Elsewhere(at) => return Ok(Answer::Moved(at.to_string())),
            other => return self.other(other),
        };
        let item = RawItem::object(&fresh.body).map_err(|bad| ForgeError::body(self.host.name(), bad))?;
        if fresh.url.path() != url.path() {
            return Ok(Answer::Moved(
                index::name_of(&item).unwrap_or_else(|| fresh.url.to_string()),
            ));
        }
        let mut projection = Projection::new(now(cx, &fresh));
        match row(&item, kind, MrShape::Page, &mut projection) {
            Ok(row) if row.iid != iid => Err(ForgeError::protocol(
                self.host.name(),
                "another entity than was asked for",
            )),
            row => Ok(Answer::New(row)),
        }
    }

    pub(super) async fn fetch_set(
        &self,
        cx: &Cx,
        via: Via<'_>,
        project: &str,
        key: &SetKey,
        kept: Option<&Validators>,
    ) -> Fetch<SetAnswer> {
        let began_at = cx.unix_ms();
        match self.urls.set(project, key)? {
            None => self.fetch_events(cx, via, project, key, began_at).await,
            Some(url) if key.job == JobType::Detail => self.fetch_detail(cx, via, key, &url, kept, began_at).await,
            Some(url) => {
                let list = match self.list(cx, via, url, kept).await? {
                    Answer::New(list) => list,
                    Answer::NotModified => return Ok(Answer::NotModified),
                    Answer::Gone(reason) => return Ok(Answer::Gone(reason)),
                    Answer::Moved(to) => return Ok(Answer::Moved(to)),
                    Answer::Hidden => return Ok(Answer::Hidden),
                };
                Ok(Answer::New(set_of(list, key, began_at)))
            }
        }
    }

    async fn fetch_detail(
        &self,
        cx: &Cx,
        via: Via<'_>,
        key: &SetKey,
        url: &Url,
        kept: Option<&Validators>,
        began_at: UnixMs,
    ) -> Fetch<SetAnswer> {
        let fresh = match self.get(cx, via, url, kept).await? {
            Reply::Fresh(fresh) if fresh.url.path() != url.path() => return Ok(Answer::Moved(fresh.url.to_string())),
            Reply::Fresh(fresh) => fresh,
            Reply::Elsewhere(at) => return Ok(Answer::Moved(at.to_string())),
            other => return self.other(other),
        };
        let item = RawItem::object(&fresh.body).map_err(|bad| ForgeError::body(self.host.name(), bad))?;
        let mut projection = Projection::new(now(cx, &fresh));
        let entity = match project::merge_request(&item, MrShape::Page, &mut projection) {
            Ok(projected) if projected.entity.entity.iid == key.iid => projected.entity,
            Ok(_) => {
                return Err(ForgeError::protocol(
                    self.host.name(),
                    "another merge request than was asked for",
                ));
            }
            Err(bad) => {
                return Err(ForgeError::protocol(
                    self.host.name(),
                    format!("a merge request that cannot be read: {}", bad.message),
                ));
            }
        };
        Ok(Answer::New(SetAnswer {
            set: SetIn::Detail(Box::new(entity)),
            items: 1,
            bad: Vec::new(),
            odd: projection.odd,
            payload: None,
            kept: None,
            began_at,
        }))
    }

    async fn fetch_events(
        &self,
        cx: &Cx,
        via: Via<'_>,
        project: &str,
        key: &SetKey,
        began_at: UnixMs,
    ) -> Fetch<SetAnswer> {
        let mut set = EventSetIn {
            kinds: Vec::new(),
            events: Vec::new(),
            shape: SetShape::OnePage,
        };
        let (mut bad, mut odd, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for which in EventList::ALL {
            if !self.capabilities.has_events(which) {
                continue;
            }
            let url = self.urls.events(project, key, which)?;
            let list = match self.list(cx, via, url, None).await? {
                Answer::New(list) => list,
                Answer::NotModified => continue,
                Answer::Moved(to) => return Ok(Answer::Moved(to)),
                Answer::Hidden => return Ok(Answer::Hidden),
                // The entity is gone, or it has no such list: its own page tells.
                Answer::Gone(reason) => match self.fetch_one(cx, via, project, key.kind, key.iid).await? {
                    Answer::New(_) | Answer::NotModified => {
                        let is_nowhere = self.capabilities.lacks_events(which, project, key.kind, key.iid);
                        odd.push(if is_nowhere {
                            Oddity::new("the forge has no list of resource events of a kind", which.as_str())
                        } else {
                            let value = format!("{} of {}{}", which.as_str(), key.kind.sigil(), key.iid);
                            Oddity::new("a list of resource events is not there", &value)
                        });
                        continue;
                    }
                    Answer::Gone(_) => return Ok(Answer::Gone(reason)),
                    Answer::Moved(to) => return Ok(Answer::Moved(to)),
                    Answer::Hidden => return Ok(Answer::Hidden),
                },
            };
            self.capabilities.shows_events(which);
            let mut projection = Projection::new(list.now);
            set.kinds.push(which.kind());
            set.events.extend(keep(&mut bad, &list.items, |item| {
                sets::event(item, which, &mut projection)
            }));
            if list.shape() == SetShape::ManyPages {
                set.shape = SetShape::ManyPages;
            }
            odd.extend(projection.odd);
            parts.push((which.as_str(), list.raw()));
        }
        let payload = Payload::from_parts(parts.iter().map(|(name, raw)| (*name, raw.as_slice())));
        let items = set.events.len();
        Ok(Answer::New(SetAnswer {
            set: SetIn::Events(set),
            items,
            bad,
            odd,
            payload: Some(payload),
            kept: None,
            began_at,
        }))
    }
}

/// Whether "not modified" is an answer to a job. A new head needs its files recorded even where
/// they are the same as before, and the page of a merge request moves with what made it owed.
pub(super) const fn can_be_unmodified(job: JobType) -> bool {
    match job {
        JobType::Discussions | JobType::Commits | JobType::Closes => true,
        JobType::Detail | JobType::Diffs | JobType::Events => false,
    }
}

/// What a list under a merge request or issue says.
fn set_of(list: List, key: &SetKey, began_at: UnixMs) -> SetAnswer {
    let mut projection = Projection::new(list.now);
    let mut bad = Vec::new();
    let shape = list.shape();
    let mut payload = None;
    let set = match key.job {
        JobType::Diffs => {
            let files = keep(&mut bad, &list.items, sets::file);
            let cut = !bad.is_empty() || files.iter().any(|file| file.too_large);
            SetIn::Diffs(FileSetIn {
                files,
                extent: if cut { Files::Truncated } else { Files::Complete },
                shape: if bad.is_empty() { shape } else { SetShape::Unproven },
                head_oid: key.head_oid.clone(),
                at: Some(key.cause_at),
            })
        }
        JobType::Commits => {
            payload = Some(Payload::from_parts([("commits", list.raw().as_slice())]));
            let mut commits = keep(&mut bad, &list.items, |item| sets::commit(item, &mut projection));
            let mut seen = BTreeSet::new();
            commits.retain(|commit| seen.insert(commit.oid.clone()));
            SetIn::Commits(commits)
        }
        JobType::Closes => {
            payload = Some(Payload::from_parts([("closes_issues", list.raw().as_slice())]));
            SetIn::Closes(keep(&mut bad, &list.items, sets::closes))
        }
        // `Detail` and `Events` are not lists of their own; they do not come here.
        JobType::Discussions | JobType::Detail | JobType::Events => {
            let mut notes = Vec::new();
            let discussions = keep(&mut bad, &list.items, |i| {
                sets::discussion(i, &mut projection, &mut notes)
            });
            bad.extend(notes);
            SetIn::Discussions(DiscussionSetIn { discussions, shape })
        }
    };
    let kept = list.kept.filter(|_| can_be_unmodified(key.job) && bad.is_empty());
    SetAnswer {
        set,
        items: list.items.len(),
        bad,
        odd: projection.odd,
        payload,
        kept,
        began_at,
    }
}
