//! Faults of the stand-in: what a service does on a bad day, seeded.

mod apply;
mod body;
mod spec;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ctforward_core::{Error, ErrorKind, Result};
use hyper::StatusCode;

pub(super) use apply::{Broken, post, retry_after};
pub(super) use body::Body;
pub use spec::Fault;

pub(super) use spec::Wait;
use spec::{Drawn, Kind};

/// Faults for a [`StandIn`](super::StandIn): which, how often, and from which seed.
///
/// They befall the requests to the address log lines are posted to; the calls of
/// the public API stay well. Requests are numbered as their heads come, from 0 on.
/// Which of the faults with a rate befalls a request, if any, depends on the seed
/// and on its number alone, not on time: a seed replays.
///
/// ```
/// # fn main() -> ctforward_core::Result<()> {
/// use ctforward_visionone::standin::Faults;
///
/// let faults = Faults::of(["429:0.1,retry-after=2", "reset-after:0.05"])?.seed(7);
/// assert!(Faults::of(["429:1.5"]).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Faults {
    seed: u64,
    all: Vec<Fault>,
}

impl Faults {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// The faults that these texts describe; see [`Fault`].
    ///
    /// # Errors
    /// `Config`, with one line that says what a text should have been.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let all = texts
            .into_iter()
            .map(str::parse)
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { seed: 0, all })
    }

    /// One more fault.
    pub fn with(mut self, fault: Fault) -> Self {
        self.all.push(fault);
        self
    }

    /// What is drawn from. Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// That no request would have to suffer two.
    pub(super) fn check(&self) -> Result<()> {
        let sum: f64 = self.all.iter().filter_map(Fault::rate).sum();
        // Ten times 0.1 is a little more or less than 1.
        if sum > 1.0 + 1e-9 {
            return Err(Error::new(
                ErrorKind::Config,
                "standin",
                format!(
                    "the rates of the faults add up to {sum}, but a request suffers one at most: \
                     they must add up to 1 or less"
                ),
            ));
        }
        Ok(())
    }

    /// Which of the faults befalls request `number`, by its place in the list.
    fn at(&self, number: u64) -> Option<usize> {
        let windows = self.all.iter().position(|fault| match fault.kind {
            Kind::Window { after, span, .. } => {
                number >= after && span.is_none_or(|span| number - after < span)
            }
            _ => false,
        });
        if windows.is_some() {
            return windows;
        }
        let mut drawn = unit(self.seed, number);
        for (index, fault) in self.all.iter().enumerate() {
            let Some(rate) = fault.rate() else { continue };
            if drawn < rate {
                return Some(index);
            }
            drawn -= rate;
        }
        None
    }
}

/// A number of 0 to 1 (without 1) for each number of a seed.
fn unit(seed: u64, number: u64) -> f64 {
    // SplitMix64, twice: neighbouring seeds are no shifted copies of each other.
    let mix = |mut z: u64| {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let unit = (mix(mix(seed) ^ number) >> 11) as f64 / (1_u64 << 53) as f64;
    unit
}

/// The faults of a running stand-in.
#[derive(Debug, Default)]
pub(super) struct Injector {
    faults: Faults,
    number: AtomicU64,
    counts: Vec<AtomicU64>,
}

/// What a body's content brings upon it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) wait: Option<Wait>,
}

impl Injector {
    pub(super) fn new(faults: Faults) -> Self {
        let counts = faults.all.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            faults,
            number: AtomicU64::new(0),
            counts,
        }
    }

    /// How often each fault was injected, in the order they were given.
    pub(super) fn counts(&self) -> Vec<(Fault, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        self.faults.all.iter().cloned().zip(counts).collect()
    }

    pub(super) fn clear(&self) {
        for count in &self.counts {
            count.store(0, Relaxed);
        }
    }

    /// The fault of the next request.
    fn next(&self) -> Option<&Kind> {
        if self.faults.all.is_empty() {
            return None;
        }
        let index = self.faults.at(self.number.fetch_add(1, Relaxed))?;
        self.note(index);
        self.faults.all.get(index).map(|fault| &fault.kind)
    }

    fn note(&self, index: usize) {
        if let Some(count) = self.counts.get(index) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Whether error answers repeat what was asked.
    fn echoes(&self) -> bool {
        let echo = |fault: &Fault| matches!(fault.kind, Kind::EchoHeaders);
        let Some(index) = self.faults.all.iter().position(echo) else {
            return false;
        };
        self.note(index);
        true
    }

    /// Whether bodies must be held to be looked into.
    pub(super) fn looks_inside(&self) -> bool {
        let looks = |fault: &Fault| matches!(fault.kind, Kind::Match { .. });
        self.faults.all.iter().any(looks)
    }

    /// Whether a whole body of so many bytes is refused for what it is.
    pub(super) fn refuses(&self, bytes: usize, body: Option<&[u8]>) -> Option<Refused> {
        let found = |fault: &Fault| match &fault.kind {
            Kind::Over { status, most, wait } if bytes > *most => Some(Refused {
                status: *status,
                wait: *wait,
            }),
            // The text holds no line break, so a match lies within one record.
            Kind::Match { status, text, wait } => {
                memchr::memmem::find(body?, text.as_bytes()).map(|_| Refused {
                    status: *status,
                    wait: *wait,
                })
            }
            _ => None,
        };
        let (index, refused) = self
            .faults
            .all
            .iter()
            .enumerate()
            .find_map(|(index, fault)| Some((index, found(fault)?)))?;
        self.note(index);
        Some(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_suffers_what_its_number_and_the_seed_say() {
        let faults = Faults::of(["429:0.25", "echo-headers", "500:0.25"]).unwrap();
        let of_seed = |seed| {
            let faults = faults.clone().seed(seed);
            (0..4000).map(|n| faults.at(n)).collect::<Vec<_>>()
        };
        assert_eq!(of_seed(1), of_seed(1));
        assert_ne!(of_seed(1), of_seed(2));
        // No seed is another one shifted by a request.
        assert_ne!(of_seed(1)[1..], of_seed(2)[..3999]);
        for (which, share) in [(Some(0), 1000), (Some(2), 1000), (None, 2000)] {
            let got = of_seed(9).iter().filter(|at| **at == which).count();
            assert!(got.abs_diff(share) < 150, "{which:?}: {got}");
        }
        let all = Faults::of(["429:1"]).unwrap();
        assert!((0..4000).all(|n| all.at(n) == Some(0)));
        let none = Faults::of(["429:0"]).unwrap();
        assert!((0..4000).all(|n| none.at(n).is_none()));
    }

    #[test]
    fn a_window_goes_before_what_is_drawn() {
        let faults = Faults::of(["500:1", "401:after=3,for=2", "403:after=7"]).unwrap();
        let got: Vec<_> = (0..9).map(|n| faults.at(n)).collect();
        let (drawn, first, second) = (Some(0), Some(1), Some(2));
        assert_eq!(
            got,
            [
                drawn, drawn, drawn, first, first, drawn, drawn, second, second
            ]
        );
    }

    #[test]
    fn rates_add_up_to_one_at_most() {
        assert!(Faults::of(["429:0.1"; 10]).unwrap().check().is_ok());
        let error = Faults::of(["429:0.6", "500:0.6"]).unwrap().check();
        assert!(error.unwrap_err().message().contains("1.2"));
    }
}
