//! What can be said of a plan on the command line.

use std::path::PathBuf;

use ctforward_aws::plan;

/// What a plan is made with.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Plan before a backfill")]
pub struct PlanArgs {
    /// List only, and estimate what forwarding would take: files, bytes, records,
    /// requests, time and cost. Nothing is sent and no ledger is written.
    ///
    /// Needs no endpoint and no token. The estimates come from a sample of files that
    /// are opened, and from prices that you give; no price is built in. What drops
    /// records (--rules, --own-calls, --deduplicate, --event-since, --event-until) is
    /// not applied: all records of the files count as sent. With --ledger, what it
    /// calls finished is left out.
    ///
    /// Objects of the storage classes GLACIER and DEEP_ARCHIVE are counted apart, also
    /// where they were restored already. A listing does not show which objects
    /// Intelligent-Tiering keeps in its archive tiers; those are counted as readable,
    /// unless the sample meets one.
    #[arg(long, conflicts_with = "dry_run")]
    pub plan: bool,

    /// Files opened and read to their end for the estimates, drawn evenly from the
    /// listing, each time the same. 0 opens none; the inflated size is then unknown.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20,
        requires = "plan",
        value_parser = clap::value_parser!(u32).range(..=10_000)
    )]
    pub plan_sample: u32,

    /// Bytes of records that go out in a second: what the duration is computed with,
    /// where it is not --max-bytes-per-second. What Vision One takes is not documented.
    #[arg(long, value_name = "BYTES", requires = "plan",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub plan_rate: Option<u64>,

    /// Write the command that restores each archived object to a new file, one a line,
    /// for bash.
    #[arg(long, value_name = "FILE", requires = "plan")]
    pub plan_restore_file: Option<PathBuf>,

    #[command(flatten)]
    pub prices: Prices,
}

/// What the user pays, in whatever currency. Lines without a price are left out.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Prices {
    /// Price of 1000 GET requests.
    #[arg(long, value_name = "PRICE", requires = "plan", value_parser = price)]
    pub price_get_1000: Option<f64>,

    /// Price of 1000 LIST requests.
    #[arg(long, value_name = "PRICE", requires = "plan", value_parser = price)]
    pub price_list_1000: Option<f64>,

    /// Price of a GB (1,000,000,000 bytes) that is read from the bucket, as stored:
    /// the transfer out of S3, and the retrieval where the storage class asks for it.
    #[arg(long, value_name = "PRICE", requires = "plan", value_parser = price)]
    pub price_gb_out: Option<f64>,

    /// Price of a GB of records sent, before compression: the transfer from where
    /// this runs to the endpoint.
    #[arg(long, value_name = "PRICE", requires = "plan", value_parser = price)]
    pub price_gb_sent: Option<f64>,

    /// Vendor credits for a GB of records sent, before compression.
    #[arg(long, value_name = "CREDITS", requires = "plan", value_parser = price)]
    pub price_credits_gb: Option<f64>,
}

impl Prices {
    /// The same for the estimate.
    pub fn given(&self) -> plan::Prices {
        let mut prices = plan::Prices::default();
        prices.get_1000 = self.price_get_1000;
        prices.list_1000 = self.price_list_1000;
        prices.gb_out = self.price_gb_out;
        prices.gb_sent = self.price_gb_sent;
        prices.credits_gb = self.price_credits_gb;
        prices
    }
}

/// A number that a sum can be multiplied with.
fn price(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(price) if price.is_finite() && price >= 0.0 => Ok(price),
        _ => Err("a price is a number such as 0.0004".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::price;

    #[test]
    fn a_price_is_a_plain_number() {
        assert_eq!(price("0.0004"), Ok(0.0004));
        assert_eq!(price("0"), Ok(0.0));
        for bad in ["", "-1", "NaN", "inf", "1e999", "$1", "1,5"] {
            assert!(price(bad).is_err(), "{bad}");
        }
    }
}
