//! The command line as a user runs it: the built program, real files, real HTTP.

mod bad_input;
mod corpus;
mod forward;
mod s3;
mod support;
