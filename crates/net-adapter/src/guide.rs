//! The guide for developers, whose examples are tests: they run on every runtime that is built in, and in its lab.
#![doc = include_str!("../../../docs/contributing/runtime.md")]
