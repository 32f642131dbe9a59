//! What scenarios are written with: real npm clients and a real browser.

pub mod clients;
