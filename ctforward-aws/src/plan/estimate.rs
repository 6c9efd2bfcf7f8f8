//! From counts, a sample and prices to what a backfill would be.

use ctforward_core::BatchLimits;
use serde::Serialize;

use super::sample::{Measured, Ratio, Sample};
use super::survey::Survey;

const BASIS: &str = "stored bytes of the files to read, times what the files of the sample held \
                     for each of theirs; errors are one standard error, from the choice of files alone";

/// What the figures are computed with.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// Bytes of one request to the sink, at most.
    pub batch_bytes: u64,
    /// Records of one request to the sink, at most.
    pub batch_records: u64,
    /// Bytes of records a second.
    pub rate: Option<u64>,
    /// Bytes of records a day.
    pub per_day: Option<u64>,
    /// What the user pays.
    pub prices: Prices,
    /// Pages that were listed.
    pub list_requests: u64,
}

impl Settings {
    /// With the limits of a sink's requests, and nothing else known.
    #[must_use]
    pub fn new(batch: BatchLimits) -> Self {
        Self {
            batch_bytes: batch.bytes as u64,
            batch_records: batch.records as u64,
            ..Self::default()
        }
    }
}

/// What the user pays, in whatever currency; no price is built in.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Prices {
    /// Of 1000 GET requests.
    pub get_1000: Option<f64>,
    /// Of 1000 LIST requests.
    pub list_1000: Option<f64>,
    /// Of a GB (1,000,000,000 bytes) read from the bucket, as stored.
    pub gb_out: Option<f64>,
    /// Of a GB of records sent, before compression.
    pub gb_sent: Option<f64>,
    /// Vendor credits for a GB of records sent, before compression.
    pub credits_gb: Option<f64>,
}

/// A number for the whole, from the sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Guess {
    /// The number.
    pub about: u64,
    /// One standard error as a share, for the choice of the sample alone.
    pub relative_error: Option<f64>,
}

/// What follows from the sample; nothing of it is there without one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// Whether every file was read, so that the numbers are counts.
    pub complete: bool,
    /// In words, for who reads the JSON alone.
    pub based_on: &'static str,
    /// Inflated bytes for each stored one.
    pub ratio: f64,
    /// Inflated bytes of all files to read.
    pub inflated_bytes: Guess,
    /// Records in them.
    pub records: Guess,
    /// Bytes of records with a line feed each, before compression.
    pub sent_bytes: Guess,
    /// As many as there are if each is filled.
    pub sink_requests_at_least: u64,
    /// How long sending takes at the rate given.
    pub seconds: Option<f64>,
    /// How many days it takes at the limit a day given.
    pub days: Option<f64>,
}

/// Cost at the user's prices; what has no price or cannot be known is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Cost {
    /// Of the GET requests.
    pub get_requests: Option<f64>,
    /// Of the LIST requests.
    pub list_requests: Option<f64>,
    /// Of the bytes read from the bucket.
    pub gb_out: Option<f64>,
    /// Of the records sent.
    pub gb_sent: Option<f64>,
    /// Credits, which are not money.
    pub credits: Option<f64>,
}

impl Cost {
    /// The sum of what is known of the money.
    #[must_use]
    pub fn money(&self) -> Option<f64> {
        let parts = [
            self.get_requests,
            self.list_requests,
            self.gb_out,
            self.gb_sent,
        ];
        parts.into_iter().flatten().reduce(|a, b| a + b)
    }
}

/// What a listing's bytes come to, going by the sample; `None` where no stored byte
/// of one was read.
#[must_use]
pub fn estimate(survey: &Survey, sample: &Sample, settings: &Settings) -> Option<Estimate> {
    let whole = survey.to_read;
    let guess = |what: fn(&Measured) -> u64| {
        let ratio = Ratio::of(&sample.files, whole.files, what)?;
        Some((
            ratio.value,
            Guess {
                about: rounded(float(whole.bytes) * ratio.value),
                relative_error: ratio.relative_error,
            },
        ))
    };
    let (ratio, inflated_bytes) = guess(|file| file.inflated)?;
    let (_, records) = guess(|file| file.records)?;
    let (_, sent_bytes) = guess(|file| file.sent)?;
    let sent = sent_bytes.about;
    // The last record of a batch has no line feed; that is less than rounding.
    let sink_requests_at_least = sent
        .div_ceil(settings.batch_bytes.max(1))
        .max(records.about.div_ceil(settings.batch_records.max(1)));
    Some(Estimate {
        complete: sample.files.len() as u64 == whole.files && whole.unknown_size == 0,
        based_on: BASIS,
        ratio,
        inflated_bytes,
        records,
        sent_bytes,
        sink_requests_at_least,
        seconds: settings.rate.map(|rate| float(sent) / float(rate)),
        days: settings.per_day.map(|most| float(sent) / float(most)),
    })
}

/// What that costs.
#[must_use]
pub fn cost(survey: &Survey, estimate: Option<&Estimate>, settings: &Settings) -> Cost {
    let prices = &settings.prices;
    let thousands = |count: u64, price: Option<f64>| Some(float(count) / 1e3 * price?);
    let gigabytes = |bytes: Option<u64>, price: Option<f64>| Some(float(bytes?) / 1e9 * price?);
    let sent = estimate.map(|estimate| estimate.sent_bytes.about);
    Cost {
        get_requests: thousands(survey.from_s3.files, prices.get_1000),
        list_requests: thousands(settings.list_requests, prices.list_1000),
        gb_out: gigabytes(Some(survey.from_s3.bytes), prices.gb_out),
        gb_sent: gigabytes(sent, prices.gb_sent),
        credits: gigabytes(sent, prices.credits_gb),
    }
}

#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn float(number: u64) -> f64 {
    number as f64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no estimate is negative, and what is too large is as large as can be"
)]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::super::survey::Tally;
    use super::*;

    fn settings(prices: Prices) -> Settings {
        Settings {
            batch_bytes: 1_000_000,
            batch_records: 10_000,
            rate: Some(50_000),
            per_day: Some(4_000_000_000),
            prices,
            list_requests: 3,
        }
    }

    fn survey() -> Survey {
        let tally = |files, bytes| Tally {
            files,
            bytes,
            unknown_size: 0,
        };
        Survey {
            to_read: tally(2500, 1_000_000_000),
            from_s3: tally(2000, 800_000_000),
            ..Survey::default()
        }
    }

    fn sample() -> Sample {
        let file = Measured {
            stored: 1000,
            inflated: 10_000,
            records: 5,
            sent: 9000,
            bad: 0,
        };
        Sample {
            opened: 2,
            files: vec![file, file],
            ..Sample::default()
        }
    }

    fn near(a: Option<f64>, b: f64) {
        assert!(a.is_some_and(|a| (a - b).abs() < 1e-9), "{a:?} {b}");
    }

    #[test]
    fn figures_are_those_computed_by_hand() {
        let prices = Prices {
            get_1000: Some(0.0004),
            list_1000: Some(0.005),
            gb_out: Some(0.09),
            gb_sent: Some(0.1),
            credits_gb: Some(2.5),
        };
        let settings = settings(prices);
        let estimate = estimate(&survey(), &sample(), &settings).unwrap();
        assert_eq!(estimate.inflated_bytes.about, 10_000_000_000);
        assert_eq!(estimate.records.about, 5_000_000);
        assert_eq!(estimate.sent_bytes.about, 9_000_000_000);
        assert_eq!(estimate.sent_bytes.relative_error, Some(0.0));
        assert_eq!(estimate.sink_requests_at_least, 9000);
        assert!(!estimate.complete);
        near(estimate.seconds, 180_000.0);
        near(estimate.days, 2.25);
        let cost = cost(&survey(), Some(&estimate), &settings);
        // 2000/1000 * 0.0004, 3/1000 * 0.005, 0.8 * 0.09, 9 * 0.1, 9 * 2.5.
        near(cost.get_requests, 0.0008);
        near(cost.list_requests, 0.000_015);
        near(cost.gb_out, 0.072);
        near(cost.gb_sent, 0.9);
        near(cost.credits, 22.5);
        near(cost.money(), 0.972_815);
    }

    #[test]
    fn small_records_fill_a_request_by_their_number() {
        let mut small = sample();
        small.files.iter_mut().for_each(|file| file.records = 1000);
        let estimate = estimate(&survey(), &small, &settings(Prices::default())).unwrap();
        // 10^9 records in lots of 10,000.
        assert_eq!(estimate.sink_requests_at_least, 100_000);
    }

    #[test]
    fn without_sample_or_price_nothing_is_made_up() {
        let settings = settings(Prices {
            gb_sent: Some(1.0),
            ..Prices::default()
        });
        assert_eq!(estimate(&survey(), &Sample::default(), &settings), None);
        assert_eq!(cost(&survey(), None, &settings), Cost::default());
        assert_eq!(Cost::default().money(), None);
    }
}
