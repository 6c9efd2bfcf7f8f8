#![doc = include_str!("../README.md")]

#[cfg(feature = "s3")]
mod error;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "s3")]
mod shell;

#[cfg(feature = "s3")]
pub use s3::{S3Reader, S3Source};
