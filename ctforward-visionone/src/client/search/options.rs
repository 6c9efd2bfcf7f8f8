//! How a search answers.

use ctforward_core::{Error, ErrorKind, Result};
use url::Url;

use crate::client::{ORIGIN, filter};

/// The longest list of fields that the service takes.
const SELECT: usize = 2048;

/// How many items a page holds at most; the sizes that the service takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PageSize {
    /// 50.
    P50,
    /// 100.
    P100,
    /// 500, the service's own default.
    #[default]
    P500,
    /// 1,000.
    P1000,
    /// 5,000.
    P5000,
}

impl PageSize {
    /// The smallest size that holds `items`, the largest if none does.
    #[must_use]
    pub fn holding(items: usize) -> Self {
        match items {
            0..=50 => Self::P50,
            51..=100 => Self::P100,
            101..=500 => Self::P500,
            501..=1000 => Self::P1000,
            _ => Self::P5000,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::P50 => "50",
            Self::P100 => "100",
            Self::P500 => "500",
            Self::P1000 => "1000",
            Self::P5000 => "5000",
        }
    }
}

/// How a search answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct SearchOptions {
    page: PageSize,
    select: Option<String>,
}

impl SearchOptions {
    /// Pages of 500 and all fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// The size of a page.
    pub fn page(mut self, size: PageSize) -> Self {
        self.page = size;
        self
    }

    /// Only these fields, and those that tell items apart (uuid, eventID, eventTime).
    ///
    /// # Errors
    /// `Config` when a name is none, or the list is longer than 2,048 characters.
    pub fn select<'a>(mut self, fields: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut names = vec!["uuid", "eventID", "eventTime"];
        for name in fields {
            let name = filter::field(name)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let list = names.join(",");
        if list.len() > SELECT {
            let what = "the list of fields is longer than 2048 characters; select fewer";
            return Err(Error::new(ErrorKind::Config, ORIGIN, what));
        }
        self.select = Some(list);
        Ok(self)
    }

    pub(super) fn apply(&self, url: &mut Url) {
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("top", self.page.text());
        if let Some(select) = &self.select {
            pairs.append_pair("select", select);
        }
    }
}
