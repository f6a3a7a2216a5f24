//! What a request asks for: the segments of its path and its query parameters, both read strictly.

use std::marker::PhantomData;

use annals_core::text::visible_line;
use annals_core::{Code, Report};
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::params::{Params, usage};
use super::problem::{Problem, Told};

/// The parameters that an address takes.
pub(crate) trait Known {
    const NAMES: &'static [&'static str];
}

/// None at all.
#[derive(Debug)]
pub(crate) struct NoParams;

impl Known for NoParams {
    const NAMES: &'static [&'static str] = &[];
}

/// The segments and the parameters; a request that has others is refused before its handler runs.
#[derive(Debug)]
pub(crate) struct Address<T, K = NoParams> {
    pub(crate) path: T,
    pub(crate) params: Params,
    known: PhantomData<K>,
}

impl<S, T, K> FromRequestParts<S> for Address<T, K>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
    K: Known,
{
    type Rejection = Problem;

    fn from_request_parts(parts: &mut Parts, state: &S) -> impl Future<Output = Result<Self, Problem>> + Send {
        // The segments are in the request already: nothing is waited for.
        let told = Told::of(parts);
        async move {
            let Path(path) = Path::<T>::from_request_parts(parts, state).await.map_err(|refused| {
                let message = visible_line(&refused.body_text()).into_owned();
                told.problem(if refused.status().is_client_error() {
                    usage(message)
                } else {
                    Report::new(Code::Internal, message)
                })
            })?;
            let params = Params::read(parts.uri.query(), K::NAMES).map_err(|report| told.problem(report))?;
            Ok(Self {
                path,
                params,
                known: PhantomData,
            })
        }
    }
}
