//! The key layout of CloudTrail in S3, both ways.
