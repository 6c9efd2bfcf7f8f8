//! The key layout of CloudTrail in S3, both ways.
//!
//! ```text
//! [prefix/]AWSLogs/[o-orgid/]<account>/<kind>/<region>/YYYY/MM/DD/<file>
//! ```
//!
//! [`LogKey`] is a whole key, [`FileName`] its last part, [`Folder`] a place on
//! the way to it, and [`classify`] says which of these a key of a shared bucket
//! is. All of them borrow from the key and allocate nothing. No region, partition
//! or kind is looked up in a list: what AWS adds tomorrow is read today.
//!
//! The layout is that of AWS's pages
//! [Finding your CloudTrail log files](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-find-log-files.html),
//! [CloudTrail log file name format](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-examples.html)
//! and [Digest file structure](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html).
//! All dates and times in it are UTC, and are those of delivery: a file may hold
//! events from any time before.

mod classify;
mod file_name;
mod folder;
mod kind;
mod log_key;
mod part;

pub use classify::{KeyClass, classify};
pub use file_name::{Encoding, FileName, FilePart};
pub use folder::{Folder, Level};
pub use kind::Kind;
pub use log_key::LogKey;
