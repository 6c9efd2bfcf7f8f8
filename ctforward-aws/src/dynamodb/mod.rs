//! A ledger in a DynamoDB table, shared by any number of workers.
//!
//! [`DynamoLedger`] is the ledger, [`client`](client()) makes an SDK client for an
//! endpoint of one's own, and [`create_table`] makes a table for it.

mod builder;
mod change;
mod client;
mod decide;
mod error;
mod known;
mod ledger;
mod row;
mod table;

pub use builder::DynamoLedgerBuilder;
pub use client::client;
pub use ledger::DynamoLedger;
pub use table::create_table;
