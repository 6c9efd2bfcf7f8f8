//! The event of one call of a Lambda function, as a source of log files.
//!
//! A function may be triggered by an SQS queue, by S3, SNS or EventBridge directly, or by
//! CloudTrail's own topic. [`Event::parse`] tells them apart by content, [`EventSource`]
//! hands over the files that the event names, and [`Outcome`] knows afterwards what to
//! answer:
//!
//! | trigger | messages | what is answered when something is not finished |
//! | --- | --- | --- |
//! | SQS | each of the batch | `batchItemFailures` with the messages of which a part is not finished (Lambda developer guide, *Using Lambda with Amazon SQS*) |
//! | any other | the event as a whole | an error: the call failed |
//!
//! A message is finished once every file that it names was accepted and every thing to be
//! passed over was passed over; until then it is not. So an answer may be made at any
//! moment, also while work is under way: what is not known to be done is not done.
//!
//! # The answer and the trigger's settings
//! The partial answer means what it says only where the event source mapping has
//! `ReportBatchItemFailures` among its `FunctionResponseTypes`. Without it Lambda takes any
//! answer that is no error for success *of all messages*, and deletes them. A function
//! cannot see from its event whether it is set.

mod event;
mod outcome;
mod source;
#[cfg(test)]
mod tests;
mod times;
#[cfg(feature = "sqs")]
mod visibility;

pub use event::{Event, Message};
pub use outcome::{Outcome, Unfinished};
pub use source::EventSource;
pub use times::Times;
#[cfg(feature = "sqs")]
pub use visibility::Visibility;

/// Where these errors come from.
const ORIGIN: &str = "lambda";
