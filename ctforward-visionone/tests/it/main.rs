//! The sink, the clients and the stand-in over real connections.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[cfg(feature = "standin")]
mod client;
mod client_raw;
mod client_secrets;
#[cfg(feature = "standin")]
mod cloudone;
#[cfg(feature = "standin")]
mod conformance;
#[cfg(feature = "standin")]
mod outcomes;
mod preflight;
mod raw;
mod secrets;
mod sink;
#[cfg(feature = "standin")]
mod standin;
#[cfg(feature = "standin")]
mod standin_faults;
#[cfg(feature = "standin")]
mod standin_search;
mod tokens;

use std::time::Duration;

use ctforward_core::{Batch, BatchBuilder, Object, ObjectId};
use ctforward_visionone::{Secret, VisionOneSink, VisionOneSinkBuilder};

/// Shaped like a real one: nothing of it may turn up anywhere.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjdGZvcndhcmQifQ.c2lnbmF0dXJlLW9mLXRoaXM";

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn batch(records: &[&[u8]]) -> Batch {
    let object = Object::new(ObjectId::new("bucket", "key"));
    BatchBuilder::of_records(object, records.iter().copied())
}

fn two() -> Batch {
    batch(&[
        br#"{"eventID":"1","n":1624.0}"#,
        br#"{"eventID":"2","u":"\u00fc"}"#,
    ])
}

fn builder(endpoint: &str) -> VisionOneSinkBuilder {
    VisionOneSink::builder(endpoint, secret(TOKEN))
        .connect_timeout(Duration::from_secs(5))
        .request_timeout(Duration::from_secs(20))
}
