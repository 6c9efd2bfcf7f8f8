#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod endpoint;
mod secret;
mod sink;
#[cfg(feature = "standin")]
pub mod standin;
mod token;

pub use secret::Secret;
pub use sink::{VisionOneSink, VisionOneSinkBuilder};
pub use token::{TokenEnv, TokenFile, TokenProvider};
