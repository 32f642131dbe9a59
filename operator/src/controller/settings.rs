//! What the operator was started with.

/// The images of what the operator makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    pub gateway: String,
    pub redis: String,
    pub postgres: String,
}
