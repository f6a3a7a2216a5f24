//! GitLab.

mod payload;
