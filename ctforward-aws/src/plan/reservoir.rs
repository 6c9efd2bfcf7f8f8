//! A sample of a stream of unknown length, each item as likely as any other.

/// So that two plans of the same listing open the same files.
const SEED: u64 = 1;

/// Reservoir sampling: holds at most as many items as were asked for, each time the
/// same of the same stream.
#[derive(Debug)]
pub struct Reservoir<T> {
    size: usize,
    offered: u64,
    random: fastrand::Rng,
    held: Vec<T>,
}

impl<T> Reservoir<T> {
    /// A sample of `size` items.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            size,
            offered: 0,
            random: fastrand::Rng::with_seed(SEED),
            held: Vec::new(),
        }
    }

    /// The next item of the stream.
    pub fn offer(&mut self, item: T) {
        self.offered += 1;
        if self.held.len() < self.size {
            self.held.push(item);
            return;
        }
        // The newest takes a place with the chance that each before it had.
        let place = usize::try_from(self.random.u64(..self.offered)).unwrap_or(usize::MAX);
        if let Some(held) = self.held.get_mut(place) {
            *held = item;
        }
    }

    /// The items drawn, in no order.
    #[must_use]
    pub fn into_items(self) -> Vec<T> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(size: usize, of: u64) -> Vec<u64> {
        let mut reservoir = Reservoir::new(size);
        (0..of).for_each(|n| reservoir.offer(n));
        reservoir.into_items()
    }

    #[test]
    fn a_sample_is_spread_over_all_and_the_same_each_time() {
        assert!(sample(0, 100).is_empty());
        assert_eq!(sample(5, 3), [0, 1, 2]);
        let drawn = sample(1000, 100_000);
        assert_eq!(drawn, sample(1000, 100_000));
        let mut distinct = drawn.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 1000);
        // 100 are expected of each tenth, with a deviation of 9.5.
        for tenth in 0..10 {
            let count = drawn.iter().filter(|n| **n / 10_000 == tenth).count();
            assert!((60..=140).contains(&count), "{tenth}: {count}");
        }
    }
}
