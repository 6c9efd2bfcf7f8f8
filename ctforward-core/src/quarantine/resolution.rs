use std::fmt;

/// Why something left a quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Resolution {
    /// A pipeline finished it: the sink accepted it, or a rule dropped it.
    Accepted,
    /// It is in quarantine for another reason now.
    Replaced,
    /// Somebody decided that it is not to be sent.
    Dropped,
}

impl Resolution {
    /// Its name on disk: one word in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Replaced => "replaced",
            Self::Dropped => "dropped",
        }
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
