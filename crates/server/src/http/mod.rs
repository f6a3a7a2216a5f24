//! What every answer has in common: its headers, its errors, how its parameters are read.

pub(crate) mod accept;
pub(crate) mod address;
pub(crate) mod cursor;
pub(crate) mod guard;
pub(crate) mod params;
pub(crate) mod problem;
