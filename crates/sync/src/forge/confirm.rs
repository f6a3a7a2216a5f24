//! Whether a project is to be seen at all.

use annals_net_adapter::Cx;

use super::{Answer, Forge, ForgeError, ProjectRef, Via};

/// Asks for a project, by its id and, for people, its path. Before anything in it is taken to be gone: a project that was
/// hidden or deleted answers alike for everything in it.
///
/// # Errors
/// [`ForgeError::Forbidden`] or [`ForgeError::NotFound`] if it is not shown; the forge's.
///
/// # Cancel safety
/// It only reads.
pub async fn confirm(cx: &Cx, forge: &dyn Forge, via: Via<'_>, (native, path): (&str, &str)) -> Result<(), ForgeError> {
    let at = ProjectRef::Id(native.to_owned());
    let (host, what) = (forge.host().to_owned(), format!("project {path}"));
    match forge.project(cx, via, &at, None).await? {
        Answer::New(_) | Answer::NotModified => Ok(()),
        Answer::Hidden => Err(ForgeError::Forbidden { host, what }),
        Answer::Gone(_) | Answer::Moved(_) => Err(ForgeError::NotFound { host, what }),
    }
}
