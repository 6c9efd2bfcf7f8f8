//! Numbers that look random and are the same for the same seed.

use std::hash::{BuildHasher as _, RandomState};

/// SplitMix64: small, and the same on every machine. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// One of these.
    pub fn pick<'t, T>(&mut self, from: &'t [T; 4]) -> &'t T {
        let index = self.next() % 4;
        &from[usize::try_from(index).unwrap_or(0)]
    }

    /// Characters of an alphabet.
    pub fn text(&mut self, length: usize, alphabet: &str) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        let bound = letters.len() as u64;
        (0..length)
            .filter_map(|_| usize::try_from(self.below(bound)).ok())
            .filter_map(|index| letters.get(index))
            .collect()
    }

    /// A UUID of version 4, as eventIDs are.
    pub fn uuid(&mut self) -> String {
        let high = (self.next() & 0xffff_ffff_ffff_0fff) | 0x4000;
        let low = (self.next() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

/// A token for servers on this machine that end with the demo: the keys of the
/// standard library's hash tables are random for every process.
pub fn token() -> String {
    let [a, b] = [(); 2].map(|()| RandomState::new().hash_one("ctforward demo"));
    format!("demo-{a:016x}{b:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_and_another_gives_other_ids() {
        let ids = |seed| {
            let mut random = Random::new(seed);
            [random.uuid(), random.uuid()]
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
        let [first, second] = ids(7);
        assert_ne!(first, second);
        assert_eq!(first.len(), 36);
        assert_eq!(first.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&first.as_bytes()[19]));
        assert_ne!(token(), token());
    }
}
