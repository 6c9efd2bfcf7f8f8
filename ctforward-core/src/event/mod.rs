//! The event model: a record as its raw bytes with a lazily read header, and the typed view of it.

mod buf;
mod header;
mod index;
pub(crate) mod known;
mod model;
pub(crate) mod record;
pub(crate) mod scan;
mod version;

pub use buf::RecordBuf;
pub use header::{Header, Identity};
pub use model::{
    Addendum, Event, EventCategory, EventContext, EventType, Extra, IdentityType, InScopeOf,
    InsightAttribution, InsightContext, InsightDetails, InsightRate, InsightStatistics,
    InsightValue, InvokedByDelegate, Json, OnBehalfOf, Resource, SessionAttributes, SessionContext,
    SessionIssuer, TimeWindow, TlsDetails, UserIdentity, WebIdFederationData,
};
pub use record::{Field, Record};
pub use version::EventVersion;
