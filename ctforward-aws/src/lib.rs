#![cfg_attr(feature = "s3", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "s3"),
    doc = "AWS adapters for ctforward; no feature is on, so that only notifications are decoded."
)]

#[cfg(feature = "s3")]
mod caller;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
#[cfg(feature = "s3")]
mod error;
#[cfg(feature = "s3")]
mod facts;
#[cfg(feature = "s3")]
pub mod lambda;
pub mod notification;
#[cfg(feature = "s3")]
pub mod notify_setup;
pub mod permissions;
#[cfg(feature = "s3")]
pub mod plan;
#[cfg(feature = "s3")]
pub mod preflight;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "secretsmanager")]
pub mod secretsmanager;
#[cfg(feature = "s3")]
mod shell;

#[cfg(feature = "sqs")]
pub mod sqs;

#[cfg(feature = "s3")]
pub use s3::{S3Reader, S3Source};
#[cfg(feature = "sqs")]
pub use sqs::SqsSource;
