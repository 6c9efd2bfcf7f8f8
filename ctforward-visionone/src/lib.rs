#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod api;
mod client;
mod cloudone;
mod connect;
mod endpoint;
mod expiry;
mod secret;
mod sink;
#[cfg(feature = "standin")]
pub mod standin;
mod token;
mod token_cache;
mod token_pair;

pub use api::{ApiError, HttpSettings};
pub use client::{
    ActivityStatistics, Alert, AlertEntity, AlertFilter, AlertIndicator, AlertOptions, AlertPages,
    AlertTime, CloudActivities, CloudActivity, CloudActivityPages, Connectivity, CutWindow,
    ImpactScope, MatchedEvent, MatchedFilter, MatchedRule, PageSize, SearchOptions, SearchQuery,
    StatisticsPeriod, TimeRange, VisionOneClient, VisionOneClientBuilder, VisionOneRegion,
};
pub use cloudone::{
    CloudOneAccount, CloudOneClient, CloudOneClientBuilder, CloudOneRegion, StackLink,
    StackParameters, StackRequest,
};
pub use expiry::{Expiry, ExpiryWarning};
pub use secret::Secret;
pub use sink::{VisionOneSink, VisionOneSinkBuilder};
pub use token::{TokenEnv, TokenFile, TokenProvider};
pub use token_cache::CachedToken;
pub use token_pair::{TokenPair, Which};
