//! An answer of one of two shapes.

use serde::{Serialize, Serializer};

use crate::output::{Page, Show};

/// One of the two; it looks like what it holds.
#[derive(Debug)]
pub enum Either<L, R> {
    Left(L),
    Right(R),
}

impl<L: Serialize, R: Serialize> Serialize for Either<L, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Left(left) => left.serialize(serializer),
            Self::Right(right) => right.serialize(serializer),
        }
    }
}

impl<L: Show, R: Show> Show for Either<L, R> {
    fn show(&self, page: &mut Page) {
        match self {
            Self::Left(left) => left.show(page),
            Self::Right(right) => right.show(page),
        }
    }
}
