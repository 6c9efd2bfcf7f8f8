//! What a backfill would be, before it is one; and what an outage left behind.
//!
//! [`survey()`] goes through a source and counts what is there, what a ledger knows of
//! it and what is to be read. A sample of that ([`Reservoir`], [`read_sample`]) says
//! what the whole comes to ([`estimate()`]) and costs ([`cost`]); [`Missing`] says of
//! which days, accounts and regions it is. Nothing is sent, acknowledged or noted.

mod estimate;
mod missing;
mod reservoir;
mod sample;
mod survey;

pub use estimate::{Cost, Estimate, Guess, Prices, Settings, cost, estimate};
pub use missing::{Missing, Place};
pub use reservoir::Reservoir;
pub use sample::{Measured, Ratio, Sample, read_sample};
pub use survey::{Before, Stop, Survey, Surveyor, Tally, survey};
