//! stub
use super::{KeyClass, classify};
/// stub
#[derive(Debug, Clone, Default)]
pub struct KeyFilter;
/// stub
#[derive(Debug, Clone, Copy)]
pub enum Admission {
    /// t
    Take,
    /// t
    TakeWithoutTime,
    /// t
    Skip(&'static str),
}
impl KeyFilter {
    /// stub
    pub fn new() -> Self {
        Self
    }
    /// stub
    pub fn admit(&self, key: &str) -> Admission {
        match classify(key) {
            KeyClass::Digest(_) => Admission::Skip("digest file"),
            KeyClass::Other { .. } => Admission::Skip("file of another service"),
            _ => Admission::Take,
        }
    }
}
