//! Points in time: how they are stored, read from forges and people, and shown.
//!
//! [`UnixMs`] is what databases and payloads hold, [`MonoTime`] what deadlines are made of.
//! [`parse_time`] and [`ForgeTime`] read what forges send, [`When`] and [`parse_duration`] what
//! people type, [`as_of`] the moment of a reading of the past, [`relative`] says `3d ago`,
//! [`retry_after`](mod@retry_after) what a server asks us to wait. Nothing here asks a clock or the machine's locale: now
//! and the [`Zone`] are parameters.

mod as_of;
mod calendar;
mod forge;
mod parse;
mod point;
mod relative;
pub mod retry_after;
pub mod rfc3339;
pub mod rfc3339_option;
mod when;
mod zone;

pub use as_of::{BadAsOf, as_of};
pub use forge::ForgeTime;
pub use parse::{BadTime, ParsedTime, ZoneSaid, parse_time, parse_time_and_zone};
pub use point::{MonoTime, UnixMs};
pub use relative::relative;
pub use when::{BadDuration, When, parse_duration};
pub use zone::{UnknownZone, Zone};
